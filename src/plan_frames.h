/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What the two halves of a plan share: its state, and the steps that count frames. */

#include <guestmem/plan.h>
#include "memory.h"

/** Frames that will be one frame_run_t. */
typedef struct plan_run {
    struct plan_run *older; /* of those that are being mapped */
    uintptr_t base;
    size_t count;
    size_t capacity;
    uint8_t size_bits;
    bool cacheable;
} plan_run_t;

/** A range that was added. */
typedef struct plan_range {
    vm_memory_reservation_t *record;
    bool mapped;
    bool windowed;
    uintptr_t first; /* its pages */
    uintptr_t last;
} plan_range_t;

struct guestmem_plan {
    guestmem_plan_memory_t memory;
    heap_t heap;    /* what the library will hold: the same modules stand on it */
    heap_t scratch; /* what only the plan needs */
    reservation_pool_t pool;
    range_map_t reservations; /* the values are plan_range_t */
    range_map_t regions;      /* the values are anon_region_t */
    anon_region_t *oldest_region;
    range_map_t runs; /* the values are plan_run_t */
    range_map_t tables[ARCH_NUM_TABLE_LEVELS];
    range_map_t ram; /* of the scratch: ranges of RAM, neighbours merged */
    size_t ram_reservations;
    size_t ram_capacity;
    guestmem_needs_t needs; /* but for the blocks on `heap` */
    guestmem_plan_problem_t problem;
};

/** Say why a call fails. @return -1 */
int plan_blame(guestmem_plan_t *plan, guestmem_error_code_t code, uintptr_t base, uintptr_t last);

/** Count a block of heap that the plan itself has no use for. */
void plan_count_block(guestmem_plan_t *plan, size_t bytes);

/** Add a range to one of the plan's maps. @return 0; -1 with a problem */
int plan_insert(guestmem_plan_t *plan, range_map_t *map, uintptr_t base, uintptr_t last,
                void *value);

/** Count the frames and tables of pages `[first, last]`, mapped in one go. @return 0; -1 with a
 *  problem */
int plan_frames(guestmem_plan_t *plan, const frame_source_t *source, uintptr_t first,
                uintptr_t last);

/** As plan_frames(), with a frame at each fault. */
int plan_faults(guestmem_plan_t *plan, const frame_source_t *source, uintptr_t first,
                uintptr_t last);

/** Count the window of pages `[first, last]`. @return 0; -1 with a problem */
int plan_window(guestmem_plan_t *plan, uintptr_t first, uintptr_t last);
