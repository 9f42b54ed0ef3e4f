/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Mappings that have not all of their frames yet. */

#include "world.h"

#define GPA ((uintptr_t)0x80000000)

/* A reservation that is mapped by 4 KiB frames, each at its first fault. */
static vm_memory_reservation_t *map_on_fault(world_t *w, uintptr_t addr, size_t size)
{
    vm_memory_reservation_t *r = world_reserve(w, addr, size);
    assert_int_equal(guestmem_set_largest_frame(&w->vm, 12), 0);
    assert_int_equal(guestmem_set_map_time(&w->vm, GUESTMEM_MAP_ON_FAULT), 0);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    assert_int_equal(guestmem_set_map_time(&w->vm, GUESTMEM_MAP_NOW), 0);
    return r;
}

static void without_frames_there_are_only_the_promised_rights(void **state)
{
    world_t *w = *state;
    guestmem_reservation_info_t info;
    vm_memory_reservation_t *r = map_on_fault(w, GPA, 2 * PAGE);
    assert_int_equal(guestmem_reservation_info(&w->vm, r, &info), 0);
    assert_true(info.mapped);
    assert_true(seL4_CapRights_get_capAllowWrite(info.rights));
    assert_true(info.cacheable);
    assert_int_equal(info.frames[GUESTMEM_FRAME_4K], 0);
}

static void a_page_without_a_frame_cannot_be_accessed(void **state)
{
    world_t *w = *state;
    char bytes[16];
    hosted_census_t before;
    map_on_fault(w, GPA, 2 * PAGE);
    hosted_census_take(w->system, &before);
    assert_int_equal(guestmem_access(&w->vm, GPA, 16, vm_guest_ram_read_callback, bytes), -1);
    expect_failure(w, GUESTMEM_NOT_MAPPED);
    expect_census(w, &before);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, GPA, 4), FAULT_RESTART);
    hosted_census_take(w->system, &before);
    assert_int_equal(guestmem_access(&w->vm, GPA, 16, vm_guest_ram_read_callback, bytes), -1);
    expect_failure(w, GUESTMEM_NOT_MAPPED);
    expect_census(w, &before);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, GPA + PAGE, 4), FAULT_RESTART);
    assert_int_equal(guestmem_access(&w->vm, GPA, 16, vm_guest_ram_read_callback, bytes), 0);
}

static void an_access_that_ends_in_a_hole_opens_no_window(void **state)
{
    world_t *w = *state;
    char bytes[16];
    hosted_census_t before;
    vm_memory_reservation_t *r = world_reserve(w, GPA, PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    hosted_census_take(w->system, &before);
    assert_int_equal(guestmem_access(&w->vm, GPA + PAGE - 8, 16, vm_guest_ram_read_callback, bytes),
                     -1);
    expect_failure(w, GUESTMEM_NOT_MAPPED);
    assert_int_equal(guestmem_access(&w->vm, GPA, 0, vm_guest_ram_read_callback, bytes), -1);
    expect_failure(w, GUESTMEM_BAD_RANGE);
    expect_census(w, &before);
}

static void what_is_mapped_behind_a_reservation_is_not_in_its_way(void **state)
{
    world_t *w = *state;
    map_on_fault(w, GPA, 2 * PAGE);
    vm_memory_reservation_t *behind = world_reserve(w, GPA + 4 * PAGE, PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, behind), 0);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, GPA + PAGE, 4), FAULT_RESTART);
    assert_true(guest_has(w, GPA + PAGE));
    assert_false(guest_has(w, GPA));
    assert_false(guest_has(w, GPA + 2 * PAGE));
}

static void on_fault_frames_are_mapped_one_by_one(void **state)
{
    world_t *w = *state;
    guestmem_reservation_info_t info;
    hosted_census_t before;
    hosted_census_take(w->system, &before);
    assert_int_equal(guestmem_set_map_time(&w->vm, GUESTMEM_MAP_ON_FAULT), 0);
    assert_int_equal(guestmem_set_map_time(&w->vm, (guestmem_map_time_t)7), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(guestmem_set_largest_frame(&w->vm, 12), 0);
    vm_memory_reservation_t *r = world_reserve(w, GPA, 4 * PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    assert_false(guest_has(w, GPA));
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), -1);
    expect_failure(w, GUESTMEM_ALREADY_MAPPED);

    const uintptr_t order[] = {2, 0, 3, 1};
    for (size_t i = 0; i < 4; i++) {
        uintptr_t gpa = GPA + order[i] * PAGE;
        assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, gpa + 8, 8), FAULT_RESTART);
        assert_true(guest_has(w, gpa));
        assert_int_equal(guestmem_reservation_info(&w->vm, r, &info), 0);
        assert_int_equal(info.frames[GUESTMEM_FRAME_4K], i + 1);
    }
    assert_int_equal(w->faults, 0);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, GPA, 8), FAULT_HANDLED);
    assert_int_equal(w->faults, 1);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    expect_census(w, &before);
}

static void on_fault_the_frame_is_the_largest_that_fits_the_hole(void **state)
{
    world_t *w = *state;
    assert_int_equal(guestmem_set_map_time(&w->vm, GUESTMEM_MAP_ON_FAULT), 0);
    vm_memory_reservation_t *r = world_reserve(w, GPA + PAGE, 6 * MEGABYTE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, GPA + 3 * PAGE, 4), FAULT_RESTART);
    assert_int_equal(guest_mapping_at(w, GPA + 3 * PAGE).size_bits, 12);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, GPA + 3 * MEGABYTE, 4), FAULT_RESTART);
    assert_int_equal(guest_mapping_at(w, GPA + 3 * MEGABYTE).size_bits, 21);
    assert_int_equal(guest_mapping_at(w, GPA + 3 * MEGABYTE).gpa, GPA + 2 * MEGABYTE);
}

/* An iterator that has nothing; counts how often it is asked. */
static vm_frame_t no_frame(uintptr_t addr, void *cookie)
{
    (void)addr;
    ++*(int *)cookie;
    return (vm_frame_t){0};
}

static void a_deferred_map_that_failed_is_not_tried_again(void **state)
{
    world_t *w = *state;
    int asked = 0;
    assert_int_equal(guestmem_set_map_time(&w->vm, GUESTMEM_MAP_ON_FAULT), 0);
    vm_memory_reservation_t *r = world_reserve(w, GPA, PAGE);
    assert_int_equal(vm_map_reservation(&w->vm, r, no_frame, &asked), 0);
    hosted_census_t before;
    hosted_census_take(w->system, &before);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, GPA, 4), FAULT_ERROR);
    expect_failure(w, GUESTMEM_NO_FRAME);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, GPA, 4), FAULT_HANDLED);
    assert_int_equal(asked, 1);
    assert_int_equal(w->faults, 1);
    expect_census(w, &before);
}

/* One frame for GPA. */
static vm_frame_t only_frame(uintptr_t addr, void *cookie)
{
    const vka_object_t *frame = cookie;
    return (vm_frame_t){frame->cptr, seL4_AllRights, addr, 12};
}

static void a_map_that_must_be_at_once_is_never_deferred(void **state)
{
    world_t *w = *state;
    vka_object_t frame = world_frame(w, 12);
    vm_memory_reservation_t *r = world_reserve(w, GPA, PAGE);
    assert_int_equal(guestmem_set_map_time(&w->vm, GUESTMEM_MAP_ON_FAULT), 0);
    assert_int_equal(map_vm_memory_reservation(&w->vm, r, only_frame, &frame), 0);
    assert_true(guest_has(w, GPA));
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    vka_free_object(w->vm.vka, &frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(without_frames_there_are_only_the_promised_rights),
        world_test(a_page_without_a_frame_cannot_be_accessed),
        world_test(an_access_that_ends_in_a_hole_opens_no_window),
        world_test(what_is_mapped_behind_a_reservation_is_not_in_its_way),
        world_test(on_fault_frames_are_mapped_one_by_one),
        world_test(on_fault_the_frame_is_the_largest_that_fits_the_hole),
        world_test(a_deferred_map_that_failed_is_not_tried_again),
        world_test(a_map_that_must_be_at_once_is_never_deferred),
    };
    return cmocka_run_group_tests_name("deferred", tests, NULL, NULL);
}
