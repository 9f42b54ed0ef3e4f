/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* RAM: registration, and the list of regions. */

#include "world.h"
#include <vka/object.h>

#define GPA ((uintptr_t)0x80000000)

static void expect_regions(world_t *w, int count, const vm_ram_region_t *expected)
{
    assert_int_equal(w->vm.mem.num_ram_regions, count);
    for (int i = 0; i < count; i++) {
        assert_int_equal(w->vm.mem.ram_regions[i].start, expected[i].start);
        assert_int_equal(w->vm.mem.ram_regions[i].size, expected[i].size);
        assert_int_equal(w->vm.mem.ram_regions[i].allocated, expected[i].allocated);
    }
}

static void registered_ram_is_zeroed_and_listed(void **state)
{
    world_t *w = *state;
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 4 * MEGABYTE, false), 0);
    expect_regions(w, 1, (vm_ram_region_t[]){{GPA, 4 * MEGABYTE, 0}});
    assert_int_equal(guest_mapping_at(w, GPA).size_bits, 21);
    assert_int_equal(guest_bytes(w, GPA)[12345], 0);
    guestmem_reservation_info_t info;
    assert_int_equal(
        guestmem_reservation_info(&w->vm, guestmem_find_reservation(&w->vm, GPA), &info), 0);
    assert_true(info.ram);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, GPA, 4), FAULT_ERROR);
}

static void untyped_ram_is_one_to_one_and_zeroed_whatever_it_held(void **state)
{
    world_t *w = *state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(vm_ram_register_at(&w->vm, RAM_PADDR, 2 * PAGE, true), 0);
        assert_int_equal(guest_mapping_at(w, RAM_PADDR).paddr, RAM_PADDR);
        assert_int_equal(guest_bytes(w, RAM_PADDR)[100], 0);
        memset(guest_bytes(w, RAM_PADDR), 0xee, PAGE);
        vm_memory_reservation_t *r = guestmem_find_reservation(&w->vm, RAM_PADDR);
        assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    }
}

/* The first physical address of device memory that is memory (the board's reserved memory). */
static bool find_reserved_memory(world_t *w, uintptr_t *paddr)
{
    simple_t *simple = hosted_simple(w->system);
    for (int i = 0; i < simple_get_untyped_count(simple); i++) {
        size_t size_bits;
        bool device;
        simple_get_nth_untyped(simple, i, &size_bits, paddr, &device);
        if (device && *paddr >= 0x40000000 && *paddr < 0x200000000 && size_bits >= 21) {
            return true;
        }
    }
    return false;
}

static void ram_of_device_untypeds_is_cleared_and_cached(void **state)
{
    world_t *w = *state;
    uintptr_t paddr;
    assert_true(find_reserved_memory(w, &paddr));
    memset(hosted_physical_memory(w->system, paddr, 2 * PAGE), 0xee, 2 * PAGE);
    assert_int_equal(vm_ram_register_at(&w->vm, paddr, PAGE, true), 0);
    assert_int_equal(guest_bytes(w, paddr)[100], 0);
    assert_true(guest_mapping_at(w, paddr).cacheable);

    vm_memory_reservation_t *r = world_reserve(w, paddr + PAGE, PAGE);
    assert_int_equal(map_ut_alloc_reservation(&w->vm, r), 0);
    assert_int_equal(guest_bytes(w, paddr + PAGE)[100], 0xee);
    assert_false(guest_mapping_at(w, paddr + PAGE).cacheable);
}

static void ram_takes_an_address_of_an_anonymous_region(void **state)
{
    world_t *w = *state;
    assert_int_equal(vm_ram_register(&w->vm, MEGABYTE), 0);
    expect_failure(w, GUESTMEM_NO_ADDRESS);
    assert_int_equal(vm_memory_make_anon(&w->vm, GPA, 8 * MEGABYTE), 0);
    assert_int_equal(vm_ram_register(&w->vm, MEGABYTE), GPA);
    assert_int_equal(vm_ram_register(&w->vm, MEGABYTE), GPA + MEGABYTE);
    expect_regions(w, 1, (vm_ram_region_t[]){{GPA, 2 * MEGABYTE, 0}});
    assert_int_equal(vm_ram_register(&w->vm, 0), 0);
    expect_failure(w, GUESTMEM_BAD_RANGE);
    assert_int_equal(vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, GPA)), 0);
    expect_regions(w, 1, (vm_ram_region_t[]){{GPA + MEGABYTE, MEGABYTE, 0}});
    assert_int_equal(vm_ram_register(&w->vm, MEGABYTE), GPA);
}

static vm_frame_t frames_from_array(uintptr_t addr, void *cookie)
{
    const vka_object_t *frames = cookie;
    return (vm_frame_t){frames[(addr - GPA) / PAGE].cptr, seL4_AllRights, addr, 12};
}

static void ram_may_be_of_the_callers_frames(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    vka_object_t frames[2] = {world_frame(w, 12), world_frame(w, 12)};
    hosted_census_take(w->system, &before);
    assert_int_equal(vm_ram_register_at_custom_iterator(&w->vm, GPA, 2 * PAGE, NULL, frames), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(
        vm_ram_register_at_custom_iterator(&w->vm, GPA, 2 * PAGE, frames_from_array, frames), 0);
    char text[] = "shared";
    assert_int_equal(
        vm_ram_touch(&w->vm, GPA + PAGE - 3, sizeof(text), vm_guest_ram_write_callback, text), 0);
    assert_memory_equal(guest_bytes(w, GPA + PAGE), "red", 4);
    assert_int_equal(vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, GPA)), 0);
    expect_census(w, &before);
    vka_free_object(w->vm.vka, &frames[0]);
    vka_free_object(w->vm.vka, &frames[1]);
}

static void ram_that_cannot_be_had_changes_nothing(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    hosted_census_take(w->system, &before);
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, (size_t)1 << 38, false), -1);
    expect_failure(w, GUESTMEM_NO_FRAME);
    assert_int_equal(vm_ram_register_at(&w->vm, 0x7000000000, PAGE, true), -1);
    expect_failure(w, GUESTMEM_NO_FRAME);
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 0, false), -1);
    expect_failure(w, GUESTMEM_BAD_RANGE);
    assert_int_equal(w->vm.mem.num_ram_regions, 0);
    expect_census(w, &before);
}

static void allocation_takes_the_lowest_fit_and_free_gives_it_back(void **state)
{
    world_t *w = *state;
    uintptr_t addr;
    size_t size;
    assert_int_equal(vm_ram_find_largest_free_region(&w->vm, &addr, &size), -1);
    expect_failure(w, GUESTMEM_NO_ADDRESS);
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 8 * PAGE, false), 0);
    assert_int_equal(vm_ram_register_at(&w->vm, GPA + 16 * PAGE, 4 * PAGE, false), 0);
    assert_int_equal(vm_ram_allocate(&w->vm, 0x1800), GPA);
    assert_int_equal(vm_ram_allocate(&w->vm, 0x800), GPA + 0x1800);
    vm_ram_mark_allocated(&w->vm, GPA + 4 * PAGE, PAGE);
    expect_regions(w, 5,
                   (vm_ram_region_t[]){{GPA, 2 * PAGE, 1},
                                       {GPA + 2 * PAGE, 2 * PAGE, 0},
                                       {GPA + 4 * PAGE, PAGE, 1},
                                       {GPA + 5 * PAGE, 3 * PAGE, 0},
                                       {GPA + 16 * PAGE, 4 * PAGE, 0}});
    assert_int_equal(vm_ram_find_largest_free_region(&w->vm, &addr, &size), 0);
    assert_int_equal(addr, GPA + 16 * PAGE);
    assert_int_equal(size, 4 * PAGE);
    assert_int_equal(vm_ram_allocate(&w->vm, 4 * PAGE), GPA + 16 * PAGE);
    assert_int_equal(vm_ram_find_largest_free_region(&w->vm, &addr, &size), 0);
    assert_int_equal(addr, GPA + 5 * PAGE); /* the smaller ones before and behind do not matter */
    assert_int_equal(vm_ram_allocate(&w->vm, 4 * PAGE), 0);
    expect_failure(w, GUESTMEM_NO_ADDRESS);
    assert_int_equal(vm_ram_allocate(&w->vm, 0), 0);
    expect_failure(w, GUESTMEM_BAD_RANGE);

    vm_ram_mark_allocated(&w->vm, GPA, PAGE);
    expect_failure(w, GUESTMEM_NOT_RAM);
    vm_ram_free(&w->vm, GPA + 3 * PAGE, PAGE);
    expect_failure(w, GUESTMEM_NOT_RAM);
    vm_ram_free(&w->vm, GPA + 8 * PAGE, PAGE);
    expect_failure(w, GUESTMEM_NOT_RAM);
    vm_ram_free(&w->vm, GPA, 0);
    expect_failure(w, GUESTMEM_BAD_RANGE);
    vm_ram_free(&w->vm, GPA, 2 * PAGE);
    vm_ram_free(&w->vm, GPA + 4 * PAGE, PAGE);
    vm_ram_free(&w->vm, GPA + 16 * PAGE, 4 * PAGE);
    expect_regions(w, 2, (vm_ram_region_t[]){{GPA, 8 * PAGE, 0}, {GPA + 16 * PAGE, 4 * PAGE, 0}});
}

/* The list against a model with a state for each page. */
static void the_list_agrees_with_a_page_by_page_model(void **state)
{
    world_t *w = *state;
    enum { PAGES = 64 };
    int model[PAGES]; /* -1: no RAM, else the state */
    hosted_census_t before;
    uint32_t seed = 7;
    hosted_census_take(w->system, &before);
    memset(model, 0xff, sizeof(model));
    for (int step = 0; step < 3000; step++) {
        seed = seed * 1664525u + 1013904223u;
        uintptr_t first = (seed >> 8) % PAGES;
        uintptr_t count = 1 + (seed >> 16) % 4;
        count = first + count > PAGES ? PAGES - first : count;
        uintptr_t gpa = GPA + first * PAGE;
        bool uniform = true;
        for (uintptr_t i = 1; i < count; i++) {
            uniform = uniform && model[first + i] == model[first];
        }
        if (uniform && model[first] < 0) {
            for (uintptr_t i = 0; i < count; i++) {
                assert_int_equal(vm_ram_register_at(&w->vm, gpa + i * PAGE, PAGE, false), 0);
                model[first + i] = 0;
            }
        } else if (seed % 3 == 0 && model[first] >= 0) {
            assert_int_equal(
                vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, gpa)), 0);
            model[first] = -1;
        } else if (uniform) {
            if (model[first] == 0) {
                vm_ram_mark_allocated(&w->vm, gpa, count * PAGE);
            } else {
                vm_ram_free(&w->vm, gpa, count * PAGE);
            }
            for (uintptr_t i = 0; i < count; i++) {
                model[first + i] ^= 1;
            }
        }
        int region = 0;
        for (int i = 0; i < PAGES; i++) {
            if (model[i] >= 0 && (i == 0 || model[i] != model[i - 1])) {
                assert_true(region < w->vm.mem.num_ram_regions);
                assert_int_equal(w->vm.mem.ram_regions[region].start, GPA + (uintptr_t)i * PAGE);
                assert_int_equal(w->vm.mem.ram_regions[region].allocated, model[i]);
                region++;
            }
        }
        assert_int_equal(region, w->vm.mem.num_ram_regions);
    }
    assert_int_equal(w->log_lines, 0);
    for (uintptr_t i = 0; i < PAGES; i++) {
        vm_memory_reservation_t *r = guestmem_find_reservation(&w->vm, GPA + i * PAGE);
        assert_int_equal(r != NULL, model[i] >= 0);
        if (r != NULL) {
            assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
        }
    }
    expect_census(w, &before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(registered_ram_is_zeroed_and_listed),
        world_test(untyped_ram_is_one_to_one_and_zeroed_whatever_it_held),
        world_test(ram_of_device_untypeds_is_cleared_and_cached),
        world_test(ram_takes_an_address_of_an_anonymous_region),
        world_test(ram_may_be_of_the_callers_frames),
        world_test(ram_that_cannot_be_had_changes_nothing),
        world_test(allocation_takes_the_lowest_fit_and_free_gives_it_back),
        world_test(the_list_agrees_with_a_page_by_page_model),
    };
    return cmocka_run_group_tests_name("ram", tests, NULL, NULL);
}
