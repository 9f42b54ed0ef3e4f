/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * IO spaces: a guest's devices see what the guest sees, and nothing else. The library's own code
 * runs on address spaces of the hosted kernel in their place (see arch_io.c).
 */

#include <guestmem/change.h>
#include <sel4vm/guest_iospace.h>
#include <vka/object.h>
#include "world.h"

#define GPA        ((uintptr_t)0x80000000)
#define NUM_SPACES 2

typedef struct io_world {
    world_t *world;
    vka_object_t spaces[NUM_SPACES];
} io_world_t;

static int setup(void **state)
{
    io_world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    assert_int_equal(world_setup((void **)&w->world), 0);
    vm_t *vm = &w->world->vm;
    for (int i = 0; i < NUM_SPACES; i++) {
        assert_int_equal(vka_alloc_vspace_root(vm->vka, &w->spaces[i]), 0);
        assert_int_equal(simple_ASIDPool_assign(vm->simple, w->spaces[i].cptr), seL4_NoError);
    }
    *state = w;
    return 0;
}

static bool never(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    fail_msg("a device can still reach 0x%lx", (unsigned long)mapping->gpa);
    return false;
}

static int teardown(void **state)
{
    io_world_t *w = *state;
    world_t *world = w->world;
    vm_memory_destroy(&world->vm);
    for (int i = 0; i < NUM_SPACES; i++) {
        hosted_stage2_for_each(world->system, w->spaces[i].cptr, never, NULL);
        vka_free_object(world->vm.vka, &w->spaces[i]);
    }
    free(w);
    return world_teardown((void **)&world);
}

static int add(io_world_t *w, int space)
{
    return vm_guest_add_iospace(&w->world->vm, &w->world->vm.mem.vmm_vspace, w->spaces[space].cptr);
}

static bool device_mapping(io_world_t *w, int space, uintptr_t gpa,
                           hosted_stage2_mapping_t *mapping)
{
    return hosted_stage2_translate(w->world->system, w->spaces[space].cptr, gpa, mapping);
}

static void expect_mapped(io_world_t *w, int space, uintptr_t gpa)
{
    hosted_stage2_mapping_t device;
    hosted_stage2_mapping_t guest = guest_mapping_at(w->world, gpa);
    assert_true(device_mapping(w, space, gpa, &device));
    assert_int_equal(device.paddr, guest.paddr);
    assert_int_equal(device.size_bits, 12);
    assert_int_equal(device.read, guest.read);
    assert_int_equal(device.write, guest.write);
}

static void expect_unmapped(io_world_t *w, int space, uintptr_t gpa)
{
    hosted_stage2_mapping_t device;
    assert_false(device_mapping(w, space, gpa, &device));
}

static size_t tables(const io_world_t *w)
{
    hosted_census_t now;
    hosted_census_take(w->world->system, &now);
    return now.page_tables;
}

static vm_memory_reservation_t *map_pages(io_world_t *w, uintptr_t gpa, size_t pages)
{
    vm_memory_reservation_t *r = world_reserve(w->world, gpa, pages * PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->world->vm, r), 0);
    return r;
}

static void what_is_mapped_in_the_guest_is_mapped_for_its_devices(void **state)
{
    io_world_t *w = *state;
    assert_int_equal(add(w, 0), 0);
    assert_int_equal(add(w, 1), 0);
    map_pages(w, GPA, 3);
    for (uintptr_t i = 0; i < 3; i++) {
        expect_mapped(w, 0, GPA + i * PAGE);
        expect_mapped(w, 1, GPA + i * PAGE);
    }
    expect_unmapped(w, 0, GPA - PAGE);
    expect_unmapped(w, 0, GPA + 3 * PAGE);
}

static void what_the_guest_has_is_mapped_in_a_new_space(void **state)
{
    io_world_t *w = *state;
    map_pages(w, GPA, 3);
    map_pages(w, GPA + 64 * MEGABYTE, 2);
    expect_unmapped(w, 0, GPA);
    assert_int_equal(add(w, 0), 0);
    expect_mapped(w, 0, GPA);
    expect_mapped(w, 0, GPA + 2 * PAGE);
    expect_mapped(w, 0, GPA + 64 * MEGABYTE + PAGE);
    expect_unmapped(w, 1, GPA);
}

static void what_is_freed_is_unmapped_for_devices(void **state)
{
    io_world_t *w = *state;
    assert_int_equal(add(w, 0), 0);
    hosted_census_t before;
    hosted_census_take(w->world->system, &before);
    vm_memory_reservation_t *low = map_pages(w, GPA, 3);
    vm_memory_reservation_t *high = map_pages(w, GPA + 4 * MEGABYTE, 3);
    assert_int_equal(vm_free_reserved_memory(&w->world->vm, low), 0);
    expect_unmapped(w, 0, GPA);
    expect_mapped(w, 0, GPA + 4 * MEGABYTE);
    assert_int_equal(vm_free_reserved_memory(&w->world->vm, high), 0);
    expect_unmapped(w, 0, GPA + 4 * MEGABYTE);
    expect_census(w->world, &before);
}

static void tables_are_made_once_and_shared(void **state)
{
    io_world_t *w = *state;
    assert_int_equal(add(w, 0), 0);
    size_t before = tables(w);
    map_pages(w, GPA, 3);
    assert_int_equal(tables(w), before + 4); /* two of the guest, two of the device */
    map_pages(w, GPA + 16 * PAGE, 3);
    assert_int_equal(tables(w), before + 4);
    vm_memory_reservation_t *next = map_pages(w, GPA + 2 * MEGABYTE, 3);
    assert_int_equal(tables(w), before + 6);
    assert_int_equal(vm_free_reserved_memory(&w->world->vm, next), 0);
    assert_int_equal(tables(w), before + 4);
    expect_mapped(w, 0, GPA + 16 * PAGE);
}

static void tables_of_others_stay(void **state)
{
    io_world_t *w = *state;
    vka_object_t table;
    vm_t *vm = &w->world->vm;
    assert_int_equal(vka_alloc_page_table(vm->vka, &table), 0);
    assert_int_equal(
        seL4_ARM_PageTable_Map(table.cptr, w->spaces[0].cptr, GPA, seL4_ARM_Default_VMAttributes),
        seL4_NoError);
    size_t before = tables(w);
    assert_int_equal(add(w, 0), 0);
    vm_memory_reservation_t *r = map_pages(w, GPA, 1);
    assert_int_equal(tables(w), before + 3); /* two of the guest, the inner one of the device */
    assert_int_equal(vm_free_reserved_memory(vm, r), 0);
    assert_int_equal(tables(w), before);
    r = map_pages(w, GPA, 1);
    expect_mapped(w, 0, GPA);
    assert_int_equal(vm_free_reserved_memory(vm, r), 0);
    vka_free_object(vm->vka, &table);
}

static vm_frame_t hand_out(uintptr_t addr, void *cookie)
{
    vm_frame_t frame = *(vm_frame_t *)cookie;
    frame.vaddr = addr & ~(((uintptr_t)1 << frame.size_bits) - 1);
    return frame;
}

static void devices_have_the_guests_rights(void **state)
{
    io_world_t *w = *state;
    vm_t *vm = &w->world->vm;
    const struct {
        seL4_CapRights_t rights;
        bool mapped;
    } rows[] = {{seL4_AllRights, true},
                {seL4_CanRead, true},
                {seL4_CanWrite, false},
                {seL4_NoRights, false}};
    assert_int_equal(add(w, 0), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        vka_object_t object = world_frame(w->world, 12);
        vm_frame_t frame = {.cptr = object.cptr, .rights = rows[i].rights, .size_bits = 12};
        vm_memory_reservation_t *r = world_reserve(w->world, GPA, PAGE);
        assert_int_equal(vm_map_reservation(vm, r, hand_out, &frame), 0);
        if (rows[i].mapped) {
            expect_mapped(w, 0, GPA);
        } else {
            hosted_stage2_mapping_t seen;
            assert_true(!device_mapping(w, 0, GPA, &seen));
        }
        assert_int_equal(vm_free_reserved_memory(vm, r), 0);
        vka_free_object(vm->vka, &object);
    }
}

static void frames_are_small_where_there_are_io_spaces(void **state)
{
    io_world_t *w = *state;
    guestmem_reservation_info_t info;
    assert_int_equal(add(w, 0), 0);
    vm_memory_reservation_t *r = map_pages(w, GPA, 512);
    assert_int_equal(guestmem_reservation_info(&w->world->vm, r, &info), 0);
    assert_int_equal(info.frames[GUESTMEM_FRAME_4K], 512);
    expect_mapped(w, 0, GPA + 511 * PAGE);
}

static void a_space_is_refused_over_large_frames(void **state)
{
    io_world_t *w = *state;
    vm_t *vm = &w->world->vm;
    map_pages(w, GPA - PAGE, 1);
    map_pages(w, GPA, 512);
    hosted_census_t before;
    hosted_census_take(w->world->system, &before);
    assert_int_equal(add(w, 0), -1);
    expect_failure(w->world, GUESTMEM_BAD_FRAME);
    assert_int_equal(guestmem_last_error(vm)->other_base, GPA);
    expect_census(w->world, &before);
    expect_unmapped(w, 0, GPA - PAGE);
    map_pages(w, GPA + 4 * MEGABYTE, 1); /* it is not half there */
    expect_unmapped(w, 0, GPA + 4 * MEGABYTE);
}

static void a_callers_large_frame_is_refused(void **state)
{
    io_world_t *w = *state;
    vm_t *vm = &w->world->vm;
    assert_int_equal(add(w, 0), 0);
    vka_object_t object = world_frame(w->world, 21);
    vm_frame_t frame = {.cptr = object.cptr, .rights = seL4_AllRights, .size_bits = 21};
    vm_memory_reservation_t *r = world_reserve(w->world, GPA, 2 * MEGABYTE);
    hosted_census_t before;
    hosted_census_take(w->world->system, &before);
    assert_int_equal(vm_map_reservation(vm, r, hand_out, &frame), -1);
    expect_failure(w->world, GUESTMEM_BAD_FRAME);
    expect_census(w->world, &before);
    assert_false(guest_has(w->world, GPA));
    vka_free_object(vm->vka, &object);
}

static void memory_that_is_mapped_on_fault_is_mapped_for_devices_then(void **state)
{
    io_world_t *w = *state;
    vm_t *vm = &w->world->vm;
    assert_int_equal(guestmem_set_map_time(vm, GUESTMEM_MAP_ON_FAULT), 0);
    map_pages(w, GPA, 512);
    assert_int_equal(add(w, 0), 0);
    expect_unmapped(w, 0, GPA + 5 * PAGE);
    assert_int_equal(vm_memory_handle_fault(vm, NULL, GPA + 5 * PAGE, 4), FAULT_RESTART);
    expect_mapped(w, 0, GPA + 5 * PAGE);
    expect_unmapped(w, 0, GPA + 6 * PAGE);
}

static void bad_arguments_are_refused(void **state)
{
    io_world_t *w = *state;
    vm_t *vm = &w->world->vm;
    assert_int_equal(vm_guest_add_iospace(vm, NULL, seL4_CapNull), -1);
    expect_failure(w->world, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(add(w, 0), 0);
    assert_int_equal(add(w, 0), -1);
    expect_failure(w->world, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(vm_guest_add_iospace(NULL, NULL, w->spaces[1].cptr), -1);
}

/* Let each operation of adding a space fail in turn. */
static void adding_a_space_is_all_or_nothing(void **state)
{
    io_world_t *w = *state;
    hosted_census_t before;
    map_pages(w, GPA, 3);
    map_pages(w, GPA + 4 * MEGABYTE, 2);
    assert_int_equal(add(w, 1), 0);
    hosted_census_take(w->world->system, &before);
    uint64_t k;
    for (k = 1;; k++) {
        hosted_inject_fail(w->world->system, HOSTED_OPERATION_FORWARD, k);
        int result = add(w, 0);
        hosted_inject_stop(w->world->system);
        if (result == 0) {
            break;
        }
        expect_census(w->world, &before);
        expect_unmapped(w, 0, GPA);
        expect_unmapped(w, 0, GPA + 4 * MEGABYTE);
        expect_mapped(w, 1, GPA);
    }
    assert_true(k > 20); /* 5 slots, copies and maps, 3 tables and what they take */
    expect_mapped(w, 0, GPA + 4 * MEGABYTE);
}

/* Let each operation of mapping two pages fail in turn, with two spaces. */
static void fail_mapping(io_world_t *w)
{
    vm_t *vm = &w->world->vm;
    vm_memory_reservation_t *r = world_reserve(w->world, GPA, 2 * PAGE);
    hosted_census_t before;
    hosted_census_take(w->world->system, &before);
    uint64_t k;
    for (k = 1;; k++) {
        hosted_inject_fail(w->world->system, HOSTED_OPERATION_FORWARD, k);
        int result = map_frame_alloc_reservation(vm, r);
        bool fired = hosted_inject_fired(w->world->system);
        hosted_inject_stop(w->world->system);
        if (!fired) {
            assert_int_equal(result, 0);
            break;
        }
        assert_int_equal(result, -1);
        expect_census(w->world, &before);
        for (int space = 0; space < NUM_SPACES; space++) {
            expect_unmapped(w, space, GPA);
            expect_unmapped(w, space, GPA + PAGE);
        }
        assert_false(guest_has(w->world, GPA));
    }
    assert_true(k > 20);
    expect_mapped(w, 0, GPA + PAGE);
    expect_mapped(w, 1, GPA);
}

static void mapping_is_all_or_nothing_alone_and_beside_memory(void **state)
{
    io_world_t *w = *state;
    assert_int_equal(add(w, 0), 0);
    assert_int_equal(add(w, 1), 0);
    fail_mapping(w);
    assert_int_equal(
        vm_free_reserved_memory(&w->world->vm, guestmem_find_reservation(&w->world->vm, GPA)), 0);
    map_pages(w, GPA - 2 * PAGE, 1);
    fail_mapping(w);
    expect_mapped(w, 0, GPA - 2 * PAGE);
    expect_mapped(w, 1, GPA - 2 * PAGE);
}

/* Let each operation of discarding in the middle fail in turn, with two spaces. */
static void what_is_discarded_is_lost_to_devices_until_it_comes_again(void **state)
{
    io_world_t *w = *state;
    vm_t *vm = &w->world->vm;
    hosted_census_t before;
    assert_int_equal(add(w, 0), 0);
    assert_int_equal(add(w, 1), 0);
    map_pages(w, GPA, 5);
    hosted_census_take(w->world->system, &before);
    int failures = 0;
    for (uint64_t k = 1, fired = true; fired; k++) {
        hosted_inject_fail(w->world->system, HOSTED_OPERATION_FORWARD, k);
        int result = guestmem_discard(vm, GPA + PAGE, 2 * PAGE, NULL);
        fired = hosted_inject_fired(w->world->system);
        hosted_inject_stop(w->world->system);
        assert_int_equal(result, fired ? -1 : 0);
        if (fired) {
            failures++;
            expect_census(w->world, &before);
            expect_mapped(w, 1, GPA + 2 * PAGE);
        }
    }
    assert_true(failures >= 6); /* two cuts of the guest's record and of each space's */
    for (int space = 0; space < NUM_SPACES; space++) {
        expect_mapped(w, space, GPA);
        expect_unmapped(w, space, GPA + PAGE);
        expect_unmapped(w, space, GPA + 2 * PAGE);
        expect_mapped(w, space, GPA + 3 * PAGE);
    }
    assert_int_equal(vm_memory_handle_fault(vm, NULL, GPA + 2 * PAGE, 4), FAULT_RESTART);
    expect_mapped(w, 1, GPA + 2 * PAGE);
    expect_unmapped(w, 1, GPA + PAGE);
    w->world->log_lines = 0;
}

static void what_devices_would_not_notice_is_refused(void **state)
{
    io_world_t *w = *state;
    vm_t *vm = &w->world->vm;
    vm_memory_reservation_t *r = map_pages(w, GPA, 2);
    assert_int_equal(guestmem_track_written(vm, r, GUESTMEM_TRACK_FRAMES), 0);
    assert_int_equal(add(w, 0), -1);
    expect_failure(w->world, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(guestmem_track_written(vm, r, GUESTMEM_TRACK_NOTHING), 0);
    assert_int_equal(add(w, 0), 0);
    assert_int_equal(guestmem_track_written(vm, r, GUESTMEM_TRACK_FRAMES), -1);
    expect_failure(w->world, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(guestmem_protect(vm, GPA, PAGE, seL4_CanRead), -1);
    expect_failure(w->world, GUESTMEM_BAD_ARGUMENT);
}

#define io_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        io_test(what_is_mapped_in_the_guest_is_mapped_for_its_devices),
        io_test(what_the_guest_has_is_mapped_in_a_new_space),
        io_test(what_is_freed_is_unmapped_for_devices),
        io_test(tables_are_made_once_and_shared),
        io_test(tables_of_others_stay),
        io_test(devices_have_the_guests_rights),
        io_test(frames_are_small_where_there_are_io_spaces),
        io_test(a_space_is_refused_over_large_frames),
        io_test(a_callers_large_frame_is_refused),
        io_test(memory_that_is_mapped_on_fault_is_mapped_for_devices_then),
        io_test(what_is_discarded_is_lost_to_devices_until_it_comes_again),
        io_test(what_devices_would_not_notice_is_refused),
        io_test(bad_arguments_are_refused),
        io_test(adding_a_space_is_all_or_nothing),
        io_test(mapping_is_all_or_nothing_alone_and_beside_memory),
    };
    return cmocka_run_group_tests_name("io_spaces", tests, NULL, NULL);
}
