/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* What a plan says beforehand is what the memory takes, here as well. */

#include "vm_memory.h"
#include <guestmem/plan.h>

#define DEVICE    (GPA - GIGABYTE)
#define FRAMES    (GPA + GIGABYTE + 0x800)
#define ON_DEMAND (GPA + 2 * GIGABYTE)

/* RAM with its window, an emulated device with a name, and frames at odd addresses. */
static void plan_all(suite_t *suite, guestmem_plan_t *plan)
{
    guestmem_plan_range_t ranges[] = {
        {.base = GPA,
         .size = 4 * MEGABYTE + PAGE,
         .backing = GUESTMEM_FREE_FRAMES,
         .ram = true,
         .largest_bits = 21},
        {.base = DEVICE, .size = 0x100, .named = true},
        {.base = FRAMES, .size = 3 * PAGE, .backing = GUESTMEM_FREE_FRAMES, .largest_bits = 21},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        EXPECT(guestmem_plan_range(plan, &ranges[i]) == 0);
    }
    EXPECT(guestmem_plan_window(plan, GPA) == 0);
}

static void make_all(suite_t *suite)
{
    vm_t *vm = &suite->vm;
    EXPECT(guestmem_set_largest_frame(vm, 21) == 0);
    EXPECT(vm_ram_register_at(vm, GPA, 4 * MEGABYTE + PAGE, false) == 0);
    EXPECT(guestmem_name_reservation(vm, reserve(suite, DEVICE, 0x100), "device") == 0);
    EXPECT(map_frame_alloc_reservation(vm, reserve(suite, FRAMES, 3 * PAGE)) == 0);
    EXPECT(guestmem_fill(vm, GPA, 1, 1) == 0);
}

static void memory_takes_what_its_plan_says(suite_t *suite)
{
    guestmem_plan_t *plan = guestmem_plan_create(NULL);
    REQUIRE(plan != NULL);
    holdings_t before = suite->counting.held;
    plan_all(suite, plan);
    make_all(suite);
    guestmem_needs_t needs = guestmem_plan_needs(plan);
    guestmem_statistics_t taken = statistics_of(suite);
    const holdings_t *now = &suite->counting.held;
    EXPECT_EQUAL(taken.reservations, needs.reservations);
    for (int size = 0; size < GUESTMEM_NUM_FRAME_SIZES; size++) {
        EXPECT_EQUAL(taken.frames[size], needs.frames[size]);
    }
    EXPECT_EQUAL(taken.page_tables, needs.page_tables[0] + needs.page_tables[1]);
    EXPECT_EQUAL(taken.table_maps, needs.table_maps);
    EXPECT_EQUAL(taken.window_frames, needs.window_frames);
    EXPECT_EQUAL(taken.heap_blocks, needs.heap_blocks);
    EXPECT_EQUAL(taken.heap_bytes, needs.heap_bytes);
    EXPECT_EQUAL(now->slots - before.slots, needs.slots);
    EXPECT_EQUAL(now->object_bytes - before.object_bytes, needs.untyped_bytes);
    EXPECT_EQUAL(now->reservations - before.reservations, needs.windows);
    EXPECT_EQUAL(now->pages - before.pages, needs.window_frames);
    guestmem_plan_destroy(plan);
}

static void memory_on_fault_takes_what_its_plan_says(suite_t *suite)
{
    guestmem_plan_t *plan = guestmem_plan_create(NULL);
    REQUIRE(plan != NULL);
    holdings_t before = suite->counting.held;
    guestmem_plan_range_t range = {.base = ON_DEMAND,
                                   .size = 2 * MEGABYTE + 2 * PAGE,
                                   .backing = GUESTMEM_FREE_FRAMES,
                                   .on_fault = true,
                                   .largest_bits = 21};
    EXPECT(guestmem_plan_range(plan, &range) == 0);
    EXPECT(guestmem_plan_faults(plan, &range) == 0);
    EXPECT(guestmem_set_largest_frame(&suite->vm, 21) == 0);
    EXPECT(guestmem_set_map_time(&suite->vm, GUESTMEM_MAP_ON_FAULT) == 0);
    EXPECT(map_frame_alloc_reservation(&suite->vm, reserve(suite, range.base, range.size)) == 0);
    for (uintptr_t gpa = range.base; gpa - range.base < range.size; gpa += PAGE) {
        if (!has_frame(suite, gpa)) {
            EXPECT(vm_memory_handle_fault(&suite->vm, NULL, gpa, 4) == FAULT_RESTART);
        }
    }
    guestmem_needs_t needs = guestmem_plan_needs(plan);
    EXPECT_EQUAL(statistics_of(suite).frames[GUESTMEM_FRAME_2M], needs.frames[GUESTMEM_FRAME_2M]);
    EXPECT_EQUAL(statistics_of(suite).frames[GUESTMEM_FRAME_4K], needs.frames[GUESTMEM_FRAME_4K]);
    EXPECT_EQUAL(suite->counting.held.slots - before.slots, needs.slots);
    EXPECT_EQUAL(suite->counting.held.object_bytes - before.object_bytes, needs.untyped_bytes);
    guestmem_plan_destroy(plan);
}

static const check_t checks[] = {
    CHECK(memory_takes_what_its_plan_says),
    CHECK(memory_on_fault_takes_what_its_plan_says),
};

const area_t area_plan = AREA("plan", FIXTURE_MEMORY, checks);
