/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* A VM that is NULL, or whose memory is not there (yet, or any more). */

#include "world.h"

/* Check that each call so far has logged one line. */
static void expect_lines(world_t *w, int lines)
{
    assert_int_equal(w->log_lines, lines);
    w->log_lines = 0;
}

static void expect_reservations_refused(world_t *w, vm_t *vm)
{
    uintptr_t addr;
    vm_memory_reservation_t *r = world_reserve(w, 0x1000, 0x1000); /* of another VM */
    vm_memory_reservation_t *anon = vm_reserve_anon_memory(vm, PAGE, PAGE, record_fault, w, &addr);
    assert_null(anon);
    assert_null(vm_reserve_memory_at(vm, 0x1000, 1, record_fault, w));
    assert_int_equal(vm_memory_make_anon(vm, 0x1000, 0x1000), -1);
    assert_int_equal(vm_free_reserved_memory(vm, r), -1);
    assert_int_equal(vm_map_reservation(vm, r, NULL, NULL), -1);
    assert_int_equal(vm_map_reservation_frames(vm, r, NULL, 0, 12), -1);
    assert_int_equal(vm_memory_handle_fault(vm, NULL, 0x1000, 1), FAULT_ERROR);
    expect_lines(w, 7);
    assert_int_equal(map_frame_alloc_reservation(vm, r), -1);
    assert_null(create_allocated_reservation_frame(vm, 0x1000, seL4_AllRights, record_fault, w));
    expect_lines(w, 2);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
}

static void expect_ram_refused(world_t *w, vm_t *vm)
{
    uintptr_t addr;
    size_t size;
    assert_int_equal(vm_ram_register(vm, PAGE), 0);
    assert_int_equal(vm_ram_register_at(vm, 0x1000, PAGE, false), -1);
    assert_int_equal(vm_ram_register_at_custom_iterator(vm, 0x1000, PAGE, NULL, NULL), -1);
    assert_int_equal(vm_ram_find_largest_free_region(vm, &addr, &size), -1);
    assert_int_equal(vm_ram_touch(vm, 0x1000, 1, vm_guest_ram_read_callback, &addr), -1);
    assert_int_equal(guestmem_access(vm, 0x1000, 1, vm_guest_ram_read_callback, &addr), -1);
    assert_int_equal(vm_ram_allocate(vm, PAGE), 0);
    vm_ram_mark_allocated(vm, 0x1000, PAGE);
    vm_ram_free(vm, 0x1000, PAGE);
    expect_lines(w, 9);
    assert_int_equal(guestmem_read(vm, 0x1000, &addr, 1), -1);
    assert_int_equal(guestmem_write(vm, 0x1000, &addr, 1), -1);
    assert_int_equal(guestmem_fill(vm, 0x1000, 0, 1), -1);
    assert_int_equal(guestmem_copy(vm, 0x1000, 0x2000, 1), -1);
    assert_null(guestmem_pointer(vm, 0x1000, &size));
    expect_lines(w, 5);
}

static void expect_inspection_refused(world_t *w, vm_t *vm)
{
    guestmem_reservation_info_t info;
    guestmem_statistics_t statistics;
    assert_null(guestmem_find_reservation(vm, 0x1000));
    assert_null(guestmem_next_reservation(vm, NULL));
    assert_int_equal(guestmem_reservation_info(vm, NULL, &info), -1);
    assert_int_equal(guestmem_name_reservation(vm, NULL, "name"), -1);
    assert_int_equal(guestmem_get_statistics(vm, &statistics), -1);
    assert_int_equal(guestmem_set_map_time(vm, GUESTMEM_MAP_NOW), -1);
    assert_int_equal(guestmem_set_largest_frame(vm, 12), -1);
    assert_int_equal(guestmem_set_reservation_largest_frame(vm, NULL, 12), -1);
    assert_int_equal(guestmem_set_windows(vm, GUESTMEM_WINDOWS_NONE), -1);
    expect_lines(w, 9);
    assert_int_equal(guestmem_last_error(vm)->code, GUESTMEM_NOT_INITIALISED);
    assert_int_equal(default_error_fault_callback(vm, NULL, 0x1000, 1, NULL), FAULT_ERROR);
    vm_memory_destroy(vm);
}

static void each_call_refuses_a_vm_without_memory(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    vm_t blank = {.vka = w->vm.vka, .simple = w->vm.simple, .io_ops = w->vm.io_ops};
    vm_t ended;
    world_make_vm(w, &ended);
    vm_memory_destroy(&ended);
    vm_t *vms[] = {NULL, &blank, &ended};
    hosted_census_take(w->system, &before);
    for (size_t i = 0; i < sizeof(vms) / sizeof(vms[0]); i++) {
        expect_reservations_refused(w, vms[i]);
        expect_ram_refused(w, vms[i]);
        w->log_lines = 0;
        expect_inspection_refused(w, vms[i]);
        w->log_lines = 0;
        expect_census(w, &before);
    }
}

static void an_init_without_its_means_is_refused(void **state)
{
    world_t *w = *state;
    vm_t vms[] = {{.vka = w->vm.vka}, {.io_ops = w->vm.io_ops}};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(vm_memory_init(&vms[i]), -1);
        assert_null(vms[i].mem.reservation_cookie);
        expect_lines(w, 1);
    }
}

static void nothing_is_mapped_before_the_guest_has_an_address_space(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    vm_t vm = {.vka = w->vm.vka, .simple = w->vm.simple, .io_ops = w->vm.io_ops};
    hosted_census_take(w->system, &before);
    assert_int_equal(vm_memory_init(&vm), 0);
    vm_memory_reservation_t *r = vm_reserve_memory_at(&vm, 0x1000, PAGE, record_fault, w);
    assert_int_equal(map_frame_alloc_reservation(&vm, r), -1);
    assert_int_equal(guestmem_last_error(&vm)->code, GUESTMEM_NOT_INITIALISED);
    assert_int_equal(vm_ram_register_at(&vm, 0x2000, PAGE, false), -1);
    assert_int_equal(guestmem_last_error(&vm)->code, GUESTMEM_NOT_INITIALISED);
    vm_memory_destroy(&vm); /* there is no address space object to end, either */
    expect_census(w, &before);
}

static void a_guest_vspace_needs_a_vm_with_memory_and_a_root(void **state)
{
    world_t *w = *state;
    vm_t blank = {0};
    vspace_t *vmm = &w->vm.mem.vmm_vspace;
    assert_int_equal(vm_init_guest_vspace(vmm, vmm, NULL, w->vm.vka, 1), -1);
    assert_int_equal(vm_init_guest_vspace(vmm, vmm, &blank.mem.vm_vspace, w->vm.vka, 1), -1);
    assert_int_equal(vm_init_guest_vspace(vmm, vmm, &w->vm.mem.vm_vspace, w->vm.vka, seL4_CapNull),
                     -1);
    expect_lines(w, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(each_call_refuses_a_vm_without_memory),
        world_test(an_init_without_its_means_is_refused),
        world_test(nothing_is_mapped_before_the_guest_has_an_address_space),
        world_test(a_guest_vspace_needs_a_vm_with_memory_and_a_root),
    };
    return cmocka_run_group_tests_name("uninitialised", tests, NULL, NULL);
}
