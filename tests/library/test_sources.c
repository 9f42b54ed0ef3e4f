/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Where frames come from when that is not the allocator alone, and mappings of mixed frames. */

#include "world.h"
#include <vka/capops.h>

#define GPA      ((uintptr_t)0x80000000)
#define RESERVED ((uintptr_t)0x48000000) /* the board's memory that the kernel does not clear */

/* What frame_of_pool() hands out; tests run one after another. */
static struct {
    vka_t *vka;
    vka_object_t frames[4];
    unsigned has; /* a bit for each frame that it has */
    int asked;
} pool;

/* A simple_t's frame_cap: a copy of the frame for RAM_PADDR and on. */
static seL4_Error frame_of_pool(void *data, void *paddr, int size_bits, cspacepath_t *path)
{
    (void)data;
    cspacepath_t from;
    pool.asked++;
    uintptr_t index = ((uintptr_t)paddr - RAM_PADDR) / PAGE;
    if (size_bits != 12 || index >= 4 || (pool.has & (1u << index)) == 0) {
        return seL4_FailedLookup;
    }
    vka_cspace_make_path(pool.vka, pool.frames[index].cptr, &from);
    return (seL4_Error)vka_cnode_copy(path, &from, seL4_AllRights);
}

/* Let the VM's simple_t hand out the frames of `has`. */
static void use_pool(world_t *w, simple_t *simple, unsigned has)
{
    *simple = *hosted_simple(w->system);
    simple->frame_cap = frame_of_pool;
    pool.vka = w->vm.vka;
    pool.has = has;
    pool.asked = 0;
    for (int i = 0; i < 4; i++) {
        if ((has & (1u << i)) != 0) {
            assert_int_equal(
                vka_alloc_frame_at(pool.vka, 12, RAM_PADDR + (uintptr_t)i * PAGE, &pool.frames[i]),
                0);
        }
    }
    w->vm.simple = simple;
}

static void end_pool(world_t *w)
{
    for (int i = 0; i < 4; i++) {
        if ((pool.has & (1u << i)) != 0) {
            vka_free_object(w->vm.vka, &pool.frames[i]);
        }
    }
}

static void a_frame_that_simple_hands_out_goes_back_as_a_copy(void **state)
{
    world_t *w = *state;
    simple_t simple;
    hosted_census_t before;
    use_pool(w, &simple, 0x3);
    hosted_census_take(w->system, &before);
    vm_memory_reservation_t *r = world_reserve(w, RAM_PADDR, 2 * PAGE);
    assert_int_equal(map_ut_alloc_reservation(&w->vm, r), 0);
    assert_true(guest_has(w, RAM_PADDR + PAGE));
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    expect_census(w, &before);
    end_pool(w);
}

static void frames_of_simple_and_of_untypeds_may_alternate(void **state)
{
    world_t *w = *state;
    simple_t simple;
    hosted_census_t before;
    use_pool(w, &simple, 0x5);
    hosted_census_take(w->system, &before);
    vm_memory_reservation_t *r = world_reserve(w, RAM_PADDR, 4 * PAGE);
    assert_int_equal(map_ut_alloc_reservation(&w->vm, r), 0);
    for (uintptr_t page = RAM_PADDR; page < RAM_PADDR + 4 * PAGE; page += PAGE) {
        assert_int_equal(guest_mapping_at(w, page).paddr, page);
    }
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    expect_census(w, &before);
    end_pool(w);
}

static void memory_that_the_allocator_has_is_not_asked_of_simple(void **state)
{
    world_t *w = *state;
    simple_t simple;
    use_pool(w, &simple, 0x2);
    vm_memory_reservation_t *r = world_reserve(w, RAM_PADDR, 3 * PAGE);
    assert_int_equal(map_ut_alloc_reservation(&w->vm, r), 0);
    assert_int_equal(pool.asked, 1);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    end_pool(w);
}

static void without_simple_untyped_memory_is_taken_for_a_devices(void **state)
{
    world_t *w = *state;
    simple_t simple = *hosted_simple(w->system);
    simple.frame_cap = NULL;
    simple_t *simples[] = {NULL, &simple};
    for (size_t i = 0; i < 2; i++) {
        w->vm.simple = simples[i];
        vm_memory_reservation_t *r = world_reserve(w, RAM_PADDR, PAGE);
        assert_int_equal(map_ut_alloc_reservation(&w->vm, r), 0);
        assert_int_equal(guest_mapping_at(w, RAM_PADDR).paddr, RAM_PADDR);
        assert_int_equal(guest_mapping_at(w, RAM_PADDR).cacheable, simples[i] != NULL);
        assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    }
}

static void a_range_of_two_kinds_of_memory_has_no_common_window(void **state)
{
    world_t *w = *state;
    char bytes[16] = "";
    hosted_census_t before;
    vm_memory_reservation_t *r = world_reserve(w, RESERVED - PAGE, 2 * PAGE);
    assert_int_equal(map_ut_alloc_reservation(&w->vm, r), 0);
    assert_true(guest_mapping_at(w, RESERVED - PAGE).cacheable);
    assert_false(guest_mapping_at(w, RESERVED).cacheable);
    hosted_census_take(w->system, &before);
    assert_int_equal(guestmem_access(&w->vm, RESERVED - 8, 16, vm_guest_ram_write_callback, bytes),
                     -1);
    expect_failure(w, GUESTMEM_NOT_MAPPED);
    assert_non_null(strstr(guestmem_last_error(&w->vm)->message, "mixes"));
    expect_census(w, &before);
}

static void ram_that_cannot_be_cleared_is_given_back(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    hosted_census_take(w->system, &before);
    bool fired = true;
    int failures = 0;
    for (uint64_t k = 1; fired; k++) {
        hosted_inject_fail(w->system, HOSTED_OPERATION_FORWARD, k);
        int result = vm_ram_register_at(&w->vm, RESERVED, 2 * PAGE, true);
        fired = hosted_inject_fired(w->system);
        hosted_inject_stop(w->system);
        if (result == 0) {
            vm_memory_reservation_t *r = guestmem_find_reservation(&w->vm, RESERVED);
            assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
        } else {
            failures++;
        }
        expect_census(w, &before);
    }
    assert_true(failures > 10);
}

/* Frames for an iterator, one after another. */
typedef struct handout {
    vm_frame_t frames[4];
    int next;
} handout_t;

static vm_frame_t hand_out(uintptr_t addr, void *cookie)
{
    (void)addr;
    handout_t *handout = cookie;
    return handout->frames[handout->next++];
}

static void neighbours_keep_rights_of_their_own(void **state)
{
    world_t *w = *state;
    handout_t handout = {0};
    vka_object_t frames[4];
    const seL4_CapRights_t rights[4] = {seL4_CanRead, seL4_AllRights, seL4_NoRights, seL4_CanRead};
    for (uintptr_t i = 0; i < 4; i++) {
        frames[i] = world_frame(w, 12);
        handout.frames[i] = (vm_frame_t){frames[i].cptr, rights[i], GPA + i * PAGE, 12};
    }
    vm_memory_reservation_t *r = world_reserve(w, GPA, 4 * PAGE);
    assert_int_equal(vm_map_reservation(&w->vm, r, hand_out, &handout), 0);
    for (uintptr_t i = 0; i < 4; i++) {
        hosted_stage2_mapping_t mapping = guest_mapping_at(w, GPA + i * PAGE);
        assert_int_equal(mapping.read, seL4_CapRights_get_capAllowRead(rights[i]));
        assert_int_equal(mapping.write, seL4_CapRights_get_capAllowWrite(rights[i]));
    }
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    for (int i = 0; i < 4; i++) {
        vka_free_object(w->vm.vka, &frames[i]);
    }
}

static void neighbours_may_differ_in_size(void **state)
{
    world_t *w = *state;
    vka_object_t large = world_frame(w, 21);
    vka_object_t small = world_frame(w, 12);
    handout_t handout = {.frames = {{large.cptr, seL4_AllRights, GPA, 21},
                                    {small.cptr, seL4_AllRights, GPA + 2 * MEGABYTE, 12}}};
    vm_memory_reservation_t *r = world_reserve(w, GPA, 2 * MEGABYTE + PAGE);
    assert_int_equal(vm_map_reservation(&w->vm, r, hand_out, &handout), 0);
    assert_int_equal(guest_mapping_at(w, GPA).size_bits, 21);
    assert_int_equal(guest_mapping_at(w, GPA + 2 * MEGABYTE).size_bits, 12);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);

    /* The same large frame where the reservation ends before it does. */
    r = world_reserve(w, GPA, PAGE);
    handout.next = 0;
    assert_int_equal(vm_map_reservation(&w->vm, r, hand_out, &handout), -1);
    expect_failure(w, GUESTMEM_BAD_FRAME);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    handout.next = 0;
    assert_int_equal(vm_ram_register_at_custom_iterator(&w->vm, GPA, PAGE, hand_out, &handout), -1);
    expect_failure(w, GUESTMEM_BAD_FRAME);
    vka_free_object(w->vm.vka, &large);
    vka_free_object(w->vm.vka, &small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(a_frame_that_simple_hands_out_goes_back_as_a_copy),
        world_test(frames_of_simple_and_of_untypeds_may_alternate),
        world_test(memory_that_the_allocator_has_is_not_asked_of_simple),
        world_test(without_simple_untyped_memory_is_taken_for_a_devices),
        world_test(a_range_of_two_kinds_of_memory_has_no_common_window),
        world_test(ram_that_cannot_be_cleared_is_given_back),
        world_test(neighbours_keep_rights_of_their_own),
        world_test(neighbours_may_differ_in_size),
    };
    return cmocka_run_group_tests_name("sources", tests, NULL, NULL);
}
