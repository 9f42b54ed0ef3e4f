/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * A run: frames of one size, rights, attributes and origin at successive GPAs. What is common to
 * them is kept once, and for each frame only its capability and the allocator's cookie.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sel4/sel4.h>
#include "heap.h"

/** Where a frame came from, which tells how it goes back. */
typedef enum frame_origin {
    FRAME_ORIGIN_ALLOCATOR, /* the vka: delete, free the slot, return the memory */
    FRAME_ORIGIN_SIMPLE,    /* a copy that simple made: delete, free the slot */
    FRAME_ORIGIN_CALLER,    /* handed in: only unmap */
} frame_origin_t;

typedef struct guest_frame {
    seL4_CPtr cap;
    seL4_Word cookie; /* the vka's */
} guest_frame_t;

/** One frame with all that is known of it. */
typedef struct frame {
    uintptr_t base; /* GPA */
    size_t size_bits;
    seL4_CapRights_t rights;
    bool cacheable;
    frame_origin_t origin;
    guest_frame_t guest;
} frame_t;

typedef struct frame_run {
    struct frame_run *older; /* made before it, while a mapping is being made */
    uintptr_t base;          /* GPA of the first frame */
    size_t count;
    size_t capacity;
    seL4_CapRights_t rights;
    uint8_t size_bits;
    bool cacheable;
    frame_origin_t origin;
    guest_frame_t frames[];
} frame_run_t;

/** Make a run of one frame, with room for `capacity`. @return NULL if the heap is exhausted */
frame_run_t *frame_run_create(heap_t *heap, const frame_t *frame, size_t capacity);

/** The bytes of heap of a run with that capacity. */
size_t frame_run_bytes(size_t capacity);

/** Free a run; its frames are the caller's to release before. */
void frame_run_destroy(heap_t *heap, frame_run_t *run);

/** Add a frame behind the last. @return false if it is not of the run's kind, or there is no room
 */
bool frame_run_append(frame_run_t *run, const frame_t *frame);

static inline uintptr_t frame_run_last(const frame_run_t *run)
{
    return run->base + ((run->count << run->size_bits) - 1);
}

static inline uintptr_t frame_run_gpa(const frame_run_t *run, size_t index)
{
    return run->base + ((uintptr_t)index << run->size_bits);
}
