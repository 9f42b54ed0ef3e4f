/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Where frames come from, and how they go back.
 */

#include <guestmem/inspect.h>
#include <sel4vm/guest_memory.h>
#include "frame_run.h"

struct vm_memory_reservation_cookie;

/** What the memory is used for. */
typedef enum frame_use {
    FRAME_USE_ANY,
    FRAME_USE_RAM, /* cached and zeroed, also where it comes from a device untyped */
} frame_use_t;

typedef struct frame_source {
    guestmem_backing_t backing;
    frame_use_t use;
    seL4_CapRights_t rights;         /* of the guest; an iterator's frames bring their own */
    bool cacheable;                  /* GUESTMEM_CALLER */
    size_t largest_bits;             /* largest frame to acquire */
    uintptr_t paddr_offset;          /* GUESTMEM_UNTYPED: physical address less GPA */
    memory_map_iterator_fn iterator; /* GUESTMEM_CALLER */
    void *cookie;
    uintptr_t iterator_from; /* lowest GPA to ask the iterator for */
} frame_source_t;

/**
 * Acquire the largest frame that there is, holds `gpa`, and lies within `[first, last]`.
 *
 * @param gpa    a multiple of 4 KiB
 * @param first  multiple of 4 KiB, and `last` the last byte of a page
 * @return 0; -1 with the cause blamed
 * @see frame_source_release
 */
int frame_source_acquire(struct vm_memory_reservation_cookie *memory, const frame_source_t *source,
                         uintptr_t gpa, uintptr_t first, uintptr_t last, frame_t *frame);

/**
 * Whether a frame that holds `gpa` fits in `[first, last]`, as alignment and policy have it.
 *
 * @param size  its index in arch_frames
 * @param base  receives its first GPA, whether it fits or not
 */
bool frame_source_fits(const frame_source_t *source, int size, uintptr_t gpa, uintptr_t first,
                       uintptr_t last, uintptr_t *base);

/** How many frames of one size from `base` on may follow up to `last`, before a larger one fits. */
size_t frame_source_expected(const frame_source_t *source, uintptr_t base, size_t size_bits,
                             uintptr_t last);

/** Give a frame back to where it came from. Ends its mapping too, unless it is a caller's. */
void frame_source_release(struct vm_memory_reservation_cookie *memory, guest_frame_t frame,
                          frame_origin_t origin, size_t size_bits);

/** frame_source_release() of all frames of a run, the newest first. */
void frame_source_release_run(struct vm_memory_reservation_cookie *memory, const frame_run_t *run);
