/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* What a failed call says. */

#include <sel4vm/guest_iospace.h>
#include "world.h"

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
        world_test(the_default_fault_callback_names_what_it_can),
        world_test(an_io_space_is_refused_where_the_kernel_has_none),
    };
    return cmocka_run_group_tests_name("errors", tests, NULL, NULL);
}
