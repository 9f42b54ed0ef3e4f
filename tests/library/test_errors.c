/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* What a failed call says. */

#include <sel4vm/guest_iospace.h>
#include "world.h"

static void every_code_has_a_name(void **state)
{
    (void)state;
    for (int code = GUESTMEM_OK; code <= GUESTMEM_NOT_INITIALISED; code++) {
        for (int other = GUESTMEM_OK; other < code; other++) {
            assert_string_not_equal(guestmem_error_name((guestmem_error_code_t)code),
                                    guestmem_error_name((guestmem_error_code_t)other));
        }
    }
    assert_string_equal(guestmem_error_name((guestmem_error_code_t)99), "unknown");
}

static void the_byte_at_zero_can_be_in_the_way(void **state)
{
    world_t *w = *state;
    vm_memory_reservation_t *first = world_reserve(w, 0, 0x10);
    assert_null(vm_reserve_memory_at(&w->vm, 0, 1, record_fault, w));
    assert_int_equal(guestmem_last_error(&w->vm)->other_last, 0xf);
    assert_non_null(strstr(w->log_line, "[0x0..0xf]"));
    expect_failure(w, GUESTMEM_OVERLAP);
    assert_int_equal(vm_free_reserved_memory(&w->vm, first), 0);
}

static void the_default_fault_callback_names_what_it_can(void **state)
{
    world_t *w = *state;
    vm_memory_reservation_t *r = world_reserve(w, 0x1000, 0x1000);
    assert_int_equal(default_error_fault_callback(&w->vm, NULL, 0x1234, 4, NULL), FAULT_ERROR);
    assert_non_null(strstr(w->log_line, "4 bytes at 0x1234"));
    assert_non_null(strstr(w->log_line, "[0x1000..0x1fff]"));
    assert_int_equal(guestmem_name_reservation(&w->vm, r, "rtc"), 0);
    assert_int_equal(default_error_fault_callback(&w->vm, NULL, 0x1234, 4, NULL), FAULT_ERROR);
    assert_non_null(strstr(w->log_line, "[0x1000..0x1fff] rtc"));
    assert_int_equal(default_error_fault_callback(&w->vm, NULL, 0x2000, 4, NULL), FAULT_ERROR);
    assert_non_null(strstr(w->log_line, "in no reservation"));
    assert_int_equal(w->log_lines, 3);
}

static void what_receives_an_answer_must_not_be_null(void **state)
{
    world_t *w = *state;
    uintptr_t addr = 7;
    size_t size = 7;
    vm_memory_reservation_t *r = world_reserve(w, 0x1000, 0x1000);
    vm_get_reservation_memory_region(NULL, &addr, &size);
    vm_get_reservation_memory_region(r, NULL, &size);
    vm_get_reservation_memory_region(r, &addr, NULL);
    assert_int_equal(addr, 7);
    assert_int_equal(size, 7);
    assert_int_equal(w->log_lines, 3);
    w->log_lines = 0;
    assert_int_equal(vm_ram_find_largest_free_region(&w->vm, NULL, &size), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(vm_ram_find_largest_free_region(&w->vm, &addr, NULL), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
}

static void an_io_space_is_refused_where_the_kernel_has_none(void **state)
{
    world_t *w = *state;
    assert_int_equal(vm_guest_add_iospace(&w->vm, &w->vm.mem.vmm_vspace, 0x42), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(vm_guest_add_iospace(NULL, NULL, 0x42), -1);
    assert_int_equal(w->log_lines, 1);
    vm_memory_reservation_t *r = world_reserve(w, 2 * MEGABYTE, 2 * MEGABYTE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    assert_int_equal(guest_mapping_at(w, 2 * MEGABYTE).size_bits, 21); /* nothing has changed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_name),
        world_test(the_byte_at_zero_can_be_in_the_way),
        world_test(the_default_fault_callback_names_what_it_can),
        world_test(what_receives_an_answer_must_not_be_null),
        world_test(an_io_space_is_refused_where_the_kernel_has_none),
    };
    return cmocka_run_group_tests_name("errors", tests, NULL, NULL);
}
