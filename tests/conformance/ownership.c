/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The contract: whose a frame is, and that everything goes back to where it came from. */

#include "objects.h"
#include "vm_memory.h"

static faults_t faults;

/* The frame's capability is there, and the frame is mapped nowhere. */
static void expect_callers_frame(suite_t *suite, seL4_CPtr frame)
{
    seL4_CPtr space = new_space(suite);
    make_tables(suite, space, 0, 12);
    EXPECT_ERROR(map(frame, space, 0), seL4_NoError);
    EXPECT_ERROR(seL4_ARM_Page_Unmap(frame), seL4_NoError);
}

static void frames_that_the_caller_handed_in_are_unmapped_and_stay_the_callers(suite_t *suite)
{
    seL4_CPtr frame = new_frame(suite, 12);
    holdings_t before = suite->counting.held;
    for (int round = 0; round < 3; round++) {
        vm_memory_reservation_t *r = reserve(suite, GPA, PAGE);
        EXPECT(vm_map_reservation_frames(&suite->vm, r, &frame, 1, 12) == 0);
        EXPECT(vm_free_reserved_memory(&suite->vm, r) == 0);
        EXPECT_HELD(&before);
        expect_callers_frame(suite, frame);
    }
}

static void callers_frames_survive_the_end_of_the_vms_memory(suite_t *suite)
{
    static vm_t other;
    seL4_CPtr frame = new_frame(suite, 12);
    holdings_t before = suite->counting.held;
    REQUIRE(memory_make(suite, &other));
    vm_memory_reservation_t *r = vm_reserve_memory_at(&other, GPA, PAGE, record_fault, &faults);
    EXPECT(vm_map_reservation_frames(&other, r, &frame, 1, 12) == 0);
    vm_memory_destroy(&other);
    EXPECT_HELD(&before);
    expect_callers_frame(suite, frame);
}

static void callers_ram_frames_stay_the_callers_and_keep_their_content(suite_t *suite)
{
    char text[8] = "";
    seL4_CPtr frame = new_frame(suite, 12);
    unsigned char *page = show_frame(suite, frame);
    REQUIRE(page != NULL);
    page[0] = 'k';
    hide_frame(suite, page);
    handout_t handout = {.frames = {{frame, seL4_AllRights, GPA, 12}}};
    holdings_t before = suite->counting.held;
    EXPECT(vm_ram_register_at_custom_iterator(&suite->vm, GPA, PAGE, hand_out, &handout) == 0);
    EXPECT(guestmem_read(&suite->vm, GPA, text, 1) == 0);
    EXPECT_EQUAL(text[0], 'k');
    EXPECT(vm_free_reserved_memory(&suite->vm, guestmem_find_reservation(&suite->vm, GPA)) == 0);
    EXPECT_HELD(&before);
    expect_callers_frame(suite, frame);
}

/* Each way to get memory; answers its reservation. */
typedef vm_memory_reservation_t *(*take_fn)(suite_t *suite);

static vm_memory_reservation_t *take_free_frames(suite_t *suite)
{
    vm_memory_reservation_t *r = reserve(suite, GPA - PAGE, 4 * MEGABYTE + 2 * PAGE);
    EXPECT(map_frame_alloc_reservation(&suite->vm, r) == 0);
    return r;
}

static vm_memory_reservation_t *take_maybe_device(suite_t *suite)
{
    vm_memory_reservation_t *r = reserve(suite, GPA, 3 * PAGE);
    EXPECT(map_maybe_device_reservation(&suite->vm, r) == 0);
    return r;
}

static vm_memory_reservation_t *take_untyped(suite_t *suite)
{
    vm_memory_reservation_t *r = reserve(suite, GPA, 2 * PAGE);
    uintptr_t paddr = free_paddr(suite, 2 * PAGE);
    EXPECT(map_ut_alloc_reservation_with_base_paddr(&suite->vm, paddr, r) == 0);
    return r;
}

static vm_memory_reservation_t *take_device(suite_t *suite)
{
    vm_memory_reservation_t *r = reserve(suite, suite->env->device_paddr, PAGE);
    EXPECT(map_ut_alloc_reservation(&suite->vm, r) == 0);
    return r;
}

static vm_memory_reservation_t *take_allocated_page(suite_t *suite)
{
    EXPECT(create_allocated_reservation_frame(&suite->vm, GPA, seL4_CanRead, record_fault,
                                              &faults) != NULL);
    return guestmem_find_reservation(&suite->vm, GPA);
}

static vm_memory_reservation_t *take_device_page(suite_t *suite)
{
    uintptr_t paddr = suite->env->device_paddr;
    EXPECT(create_device_reservation_frame(&suite->vm, paddr, seL4_CanRead, record_fault,
                                           &faults) != NULL);
    return guestmem_find_reservation(&suite->vm, paddr);
}

static vm_memory_reservation_t *take_ram(suite_t *suite)
{
    EXPECT(vm_ram_register_at(&suite->vm, GPA, 2 * MEGABYTE + PAGE, false) == 0);
    EXPECT(guestmem_fill(&suite->vm, GPA, 0x5a, 2 * MEGABYTE + PAGE) == 0);
    return guestmem_find_reservation(&suite->vm, GPA);
}

static vm_memory_reservation_t *take_ram_1_to_1(suite_t *suite)
{
    uintptr_t paddr = free_paddr(suite, 2 * PAGE);
    EXPECT(vm_ram_register_at(&suite->vm, paddr, 2 * PAGE, true) == 0);
    return guestmem_find_reservation(&suite->vm, paddr);
}

static const take_fn takes[] = {take_free_frames, take_maybe_device,   take_untyped,
                                take_device,      take_allocated_page, take_device_page,
                                take_ram,         take_ram_1_to_1};
#define NUM_TAKES (sizeof(takes) / sizeof(takes[0]))

static void reserve_map_free_returns_every_count_to_its_start(suite_t *suite)
{
    for (size_t i = 0; i < NUM_TAKES; i++) {
        holdings_t before = suite->counting.held;
        for (int round = 0; round < 3; round++) {
            vm_memory_reservation_t *r = takes[i](suite);
            EXPECT(!holdings_equal(&before, &suite->counting.held));
            EXPECT(vm_free_reserved_memory(&suite->vm, r) == 0);
            EXPECT_HELD(&before);
        }
    }
}

static void memory_destroy_returns_every_count_to_its_start(suite_t *suite)
{
    /* The fixture ends the memory, and sees that nothing is held. */
    for (size_t i = 0; i < NUM_TAKES; i++) {
        if (takes[i] != take_device && takes[i] != take_device_page) {
            vm_memory_destroy(&suite->vm);
            REQUIRE(memory_make(suite, &suite->vm));
            takes[i](suite);
        }
    }
    take_device(suite);
    EXPECT(vm_memory_make_anon(&suite->vm, 4 * GPA, 64 * PAGE) == 0);
    EXPECT(vm_ram_register(&suite->vm, 3 * PAGE) != 0);
}

static void page_tables_go_with_their_last_page(suite_t *suite)
{
    size_t tables = statistics_of(suite).page_tables;
    vm_memory_reservation_t *r = reserve(suite, ABOVE - GIGABYTE + PAGE, PAGE);
    EXPECT(map_frame_alloc_reservation(&suite->vm, r) == 0);
    EXPECT_EQUAL(statistics_of(suite).page_tables, tables + TABLES);
    EXPECT(vm_free_reserved_memory(&suite->vm, r) == 0);
    EXPECT_EQUAL(statistics_of(suite).page_tables, tables);
}

static const check_t checks[] = {
    CHECK(frames_that_the_caller_handed_in_are_unmapped_and_stay_the_callers),
    CHECK(callers_frames_survive_the_end_of_the_vms_memory),
    CHECK(callers_ram_frames_stay_the_callers_and_keep_their_content),
    CHECK(reserve_map_free_returns_every_count_to_its_start),
    CHECK(memory_destroy_returns_every_count_to_its_start),
    CHECK(page_tables_go_with_their_last_page),
};

const area_t area_ownership = AREA("ownership", FIXTURE_MEMORY, checks);
