/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The guest's address space: which frames are mapped where. Every mapping of the guest is made
 * here, so what is occupied is known before the kernel is called (it would replace silently).
 */

#include <guestmem/inspect.h>
#include <sel4/sel4.h>
#include "frame_run.h"
#include "page_tables.h"
#include "range_map.h"

struct vm_memory_reservation_cookie;

typedef struct guest_space {
    seL4_CPtr root;   /* of the VSpace object; null until vm_init_guest_vspace() */
    range_map_t runs; /* what is mapped; the values are frame_run_t */
    page_tables_t tables;
    size_t frames[GUESTMEM_NUM_FRAME_SIZES]; /* mapped, by size */
} guest_space_t;

void guest_space_init(guest_space_t *space, heap_t *heap);

/** Free the record; nothing may be mapped any more. */
void guest_space_destroy(guest_space_t *space);

/**
 * Map all frames of a run, with the tables that they need.
 *
 * @return 0; -1 with the cause blamed, and nothing mapped
 * @see guest_space_unmap
 */
int guest_space_map(struct vm_memory_reservation_cookie *memory, frame_run_t *run);

/** Unmap a run and release its frames, not the run itself. Cannot fail. */
void guest_space_unmap(struct vm_memory_reservation_cookie *memory, frame_run_t *run);

/** The run with the frame that holds `gpa`, and the frame's index; NULL if it is not mapped. */
frame_run_t *guest_space_find(const guest_space_t *space, uintptr_t gpa, size_t *index);

/** The pages around `gpa`, which is not mapped, that are not mapped either: `*first` and `*last`
 * are moved towards it where runs are in the way. */
void guest_space_hole(const guest_space_t *space, uintptr_t gpa, uintptr_t *first, uintptr_t *last);

/** The run with the lowest address that ends at or above `gpa` and starts within `last`, or NULL.
 */
frame_run_t *guest_space_next(const guest_space_t *space, uintptr_t gpa, uintptr_t last);

/** The run with the highest address that starts at or below `gpa` and ends within `first`, or NULL.
 */
frame_run_t *guest_space_previous(const guest_space_t *space, uintptr_t first, uintptr_t gpa);
