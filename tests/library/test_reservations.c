/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Reservations without frames: ranges, overlaps, anonymous regions, names, faults. */

#include "world.h"

static void a_range_may_end_at_the_top_but_not_wrap(void **state)
{
    world_t *w = *state;
    uintptr_t addr;
    size_t size;
    vm_memory_reservation_t *top = world_reserve(w, UINTPTR_MAX - 0xf, 0x10);
    vm_get_reservation_memory_region(top, &addr, &size);
    assert_int_equal(addr, UINTPTR_MAX - 0xf);
    assert_int_equal(size, 0x10);
    assert_int_equal(vm_free_reserved_memory(&w->vm, top), 0);

    assert_null(vm_reserve_memory_at(&w->vm, UINTPTR_MAX - 0xf, 0x11, record_fault, w));
    expect_failure(w, GUESTMEM_BAD_RANGE);
    assert_null(vm_reserve_memory_at(&w->vm, 0x1000, SIZE_MAX, record_fault, w));
    expect_failure(w, GUESTMEM_BAD_RANGE);
    assert_null(vm_reserve_memory_at(&w->vm, 0x1000, 0, record_fault, w));
    expect_failure(w, GUESTMEM_BAD_RANGE);
}

static void null_arguments_are_refused(void **state)
{
    world_t *w = *state;
    uintptr_t addr;
    assert_null(vm_reserve_memory_at(&w->vm, 0x1000, 0x1000, NULL, w));
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(vm_memory_make_anon(&w->vm, 0x100000, 0x10000), 0);
    assert_null(vm_reserve_anon_memory(&w->vm, 0x1000, 0x1000, NULL, w, &addr));
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_null(vm_reserve_anon_memory(&w->vm, 0x1000, 0x1000, record_fault, w, NULL));
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_null(vm_reserve_anon_memory(&w->vm, 0x1000, 0, record_fault, w, &addr));
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_null(vm_reserve_anon_memory(&w->vm, 0x1000, 0x3000, record_fault, w, &addr));
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(vm_free_reserved_memory(&w->vm, NULL), -1);
    expect_failure(w, GUESTMEM_NO_RESERVATION);
    assert_int_equal(vm_map_reservation(&w->vm, NULL, NULL, NULL), -1);
    expect_failure(w, GUESTMEM_NO_RESERVATION);

    assert_null(vm_reserve_memory_at(NULL, 0x1000, 0x1000, record_fault, w));
    assert_int_equal(vm_memory_make_anon(NULL, 0x1000, 0x1000), -1);
    assert_int_equal(vm_memory_init(NULL), -1);
    assert_int_equal(vm_memory_init(&w->vm), -1);
    assert_int_equal(vm_memory_handle_fault(NULL, NULL, 0, 1), FAULT_ERROR);
    assert_int_equal(guestmem_last_error(NULL)->code, GUESTMEM_NOT_INITIALISED);
    assert_int_equal(w->log_lines, 5);
}

static void overlaps_are_refused_by_range_and_name(void **state)
{
    world_t *w = *state;
    vm_memory_reservation_t *first = world_reserve(w, 0x2000, 0x1000);
    assert_int_equal(guestmem_name_reservation(&w->vm, first, "uart"), 0);
    const struct {
        uintptr_t addr;
        size_t size;
    } overlapping[] = {{0x2000, 1}, {0x2fff, 1}, {0x1fff, 2}, {0x1000, 0x3000}, {0x2100, 0x10}};
    for (size_t i = 0; i < sizeof(overlapping) / sizeof(overlapping[0]); i++) {
        assert_null(vm_reserve_memory_at(&w->vm, overlapping[i].addr, overlapping[i].size,
                                         record_fault, w));
        const guestmem_error_t *error = guestmem_last_error(&w->vm);
        assert_int_equal(error->other_base, 0x2000);
        assert_int_equal(error->other_last, 0x2fff);
        assert_string_equal(error->other_name, "uart");
        assert_int_equal(error->base, overlapping[i].addr);
        assert_int_equal(error->last, overlapping[i].addr + overlapping[i].size - 1);
        expect_failure(w, GUESTMEM_OVERLAP);
    }
    world_reserve(w, 0x1fff, 1);
    world_reserve(w, 0x3000, 1);
}

static void emulated_reservations_may_share_a_page(void **state)
{
    world_t *w = *state;
    vm_memory_reservation_t *low = world_reserve(w, 0x1000, 0x10);
    vm_memory_reservation_t *high = world_reserve(w, 0x1010, 0x10);
    assert_ptr_equal(guestmem_find_reservation(&w->vm, 0x100f), low);
    assert_ptr_equal(guestmem_find_reservation(&w->vm, 0x1010), high);
    assert_null(guestmem_find_reservation(&w->vm, 0x1020));
    /* The neighbour may reach beyond the page that they share. */
    world_reserve(w, 0x3800, 0x1000);
    world_reserve(w, 0x3400, 0x400);
}

static void faults_go_to_the_reservation_that_holds_the_whole_access(void **state)
{
    world_t *w = *state;
    world_reserve(w, 0x1000, 0x10);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, 0x100c, 4), FAULT_HANDLED);
    assert_int_equal(w->faults, 1);
    assert_int_equal(w->fault_addr, 0x100c);
    assert_int_equal(w->fault_length, 4);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, 0x100d, 4), FAULT_ERROR);
    expect_failure(w, GUESTMEM_BAD_RANGE);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, 0x100f, SIZE_MAX), FAULT_ERROR);
    expect_failure(w, GUESTMEM_BAD_RANGE);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, 0x1010, 1), FAULT_UNHANDLED);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, 0xfff, 4), FAULT_UNHANDLED);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, UINTPTR_MAX, 8), FAULT_UNHANDLED);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, 0x100f, 0), FAULT_HANDLED);
    assert_int_equal(w->faults, 2);
}

static void a_fault_returns_what_the_callback_answers(void **state)
{
    world_t *w = *state;
    world_reserve(w, 0x1000, 0x10);
    for (int answer = FAULT_HANDLED; answer <= FAULT_ERROR; answer++) {
        w->fault_answer = (memory_fault_result_t)answer;
        assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, 0x1000, 1), answer);
    }
}

static memory_fault_result_t free_own_reservation(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t fault_addr,
                                                  size_t fault_length, void *cookie)
{
    (void)vcpu;
    (void)fault_length;
    vm_memory_reservation_t *own = guestmem_find_reservation(vm, fault_addr);
    assert_int_equal(vm_free_reserved_memory(vm, own), 0);
    return vm_reserve_memory_at(vm, fault_addr, 0x1000, record_fault, cookie) != NULL
               ? FAULT_RESTART
               : FAULT_ERROR;
}

static void a_callback_may_free_its_own_reservation(void **state)
{
    world_t *w = *state;
    assert_non_null(vm_reserve_memory_at(&w->vm, 0x1000, 0x1000, free_own_reservation, w));
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, 0x1000, 4), FAULT_RESTART);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, 0x1000, 4), FAULT_HANDLED);
    assert_int_equal(w->faults, 1);
}

static void a_foreign_reservation_is_refused(void **state)
{
    world_t *w = *state;
    vm_t other;
    world_make_vm(w, &other);
    vm_memory_reservation_t *foreign =
        vm_reserve_memory_at(&other, 0x1000, 0x1000, record_fault, w);
    assert_non_null(foreign);
    vm_memory_reservation_t *bad[] = {foreign, NULL};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(vm_free_reserved_memory(&w->vm, bad[i]), -1);
        expect_failure(w, GUESTMEM_NO_RESERVATION);
        assert_int_equal(map_frame_alloc_reservation(&w->vm, bad[i]), -1);
        expect_failure(w, GUESTMEM_NO_RESERVATION);
        assert_int_equal(map_maybe_device_reservation(&w->vm, bad[i]), -1);
        expect_failure(w, GUESTMEM_NO_RESERVATION);
        assert_int_equal(map_ut_alloc_reservation(&w->vm, bad[i]), -1);
        expect_failure(w, GUESTMEM_NO_RESERVATION);
        assert_int_equal(map_ut_alloc_reservation_with_base_paddr(&w->vm, 0, bad[i]), -1);
        expect_failure(w, GUESTMEM_NO_RESERVATION);
        assert_int_equal(guestmem_name_reservation(&w->vm, bad[i], "x"), -1);
        expect_failure(w, GUESTMEM_NO_RESERVATION);
    }
    vm_memory_destroy(&other);
}

static void anonymous_reservations_take_free_addresses_and_give_them_back(void **state)
{
    world_t *w = *state;
    uintptr_t a;
    uintptr_t b;
    uintptr_t c;
    assert_int_equal(vm_memory_make_anon(&w->vm, 0x100000, 0x4000), 0);
    vm_memory_reservation_t *first =
        vm_reserve_anon_memory(&w->vm, 0x1001, 0x1000, record_fault, w, &a);
    assert_non_null(first);
    assert_int_equal(a, 0x100000);
    assert_non_null(vm_reserve_anon_memory(&w->vm, 1, 1, record_fault, w, &b));
    assert_int_equal(b, 0x102000);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, 0x102000, 1), FAULT_HANDLED);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, 0x102001, 1), FAULT_UNHANDLED);
    assert_null(vm_reserve_anon_memory(&w->vm, 0x2000, 0x1000, record_fault, w, &c));
    expect_failure(w, GUESTMEM_NO_ADDRESS);

    hosted_census_t full;
    hosted_census_take(w->system, &full);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(vm_free_reserved_memory(&w->vm, first), 0);
        first = vm_reserve_anon_memory(&w->vm, 0x1001, 0x1000, record_fault, w, &a);
        assert_non_null(first);
        assert_int_equal(a, 0x100000);
    }
    expect_census(w, &full);
}

static void anonymous_alignment_is_honoured(void **state)
{
    world_t *w = *state;
    uintptr_t addr;
    assert_int_equal(vm_memory_make_anon(&w->vm, 0x101000, 0x300000), 0);
    assert_non_null(vm_reserve_anon_memory(&w->vm, 0x1000, 0x100000, record_fault, w, &addr));
    assert_int_equal(addr, 0x200000);
    assert_null(vm_reserve_anon_memory(&w->vm, 0x1000, 0x400000 * 2, record_fault, w, &addr));
    expect_failure(w, GUESTMEM_NO_ADDRESS);
    assert_null(vm_reserve_anon_memory(&w->vm, SIZE_MAX, PAGE, record_fault, w, &addr));
    expect_failure(w, GUESTMEM_NO_ADDRESS);
}

static void anonymous_regions_and_reservations_keep_apart(void **state)
{
    world_t *w = *state;
    world_reserve(w, 0x1000, 0x1000);
    assert_int_equal(vm_memory_make_anon(&w->vm, 0x1800, 0x10000), -1);
    expect_failure(w, GUESTMEM_OVERLAP);
    assert_int_equal(vm_memory_make_anon(&w->vm, 0x2000, 0x10000), 0);
    assert_int_equal(vm_memory_make_anon(&w->vm, 0x3000, 0x1000), -1);
    expect_failure(w, GUESTMEM_OVERLAP);
    assert_null(vm_reserve_memory_at(&w->vm, 0x11000, 0x2000, record_fault, w));
    expect_failure(w, GUESTMEM_OVERLAP);
    assert_int_equal(vm_memory_make_anon(&w->vm, 0x20000, 0), -1);
    expect_failure(w, GUESTMEM_BAD_RANGE);
}

static void an_anonymous_region_without_a_whole_page_has_no_room(void **state)
{
    world_t *w = *state;
    uintptr_t addr;
    assert_int_equal(vm_memory_make_anon(&w->vm, 0x1001, 0x1fff), 0);
    assert_non_null(vm_reserve_anon_memory(&w->vm, 1, 1, record_fault, w, &addr));
    assert_int_equal(addr, 0x2000);
    assert_int_equal(vm_memory_make_anon(&w->vm, UINTPTR_MAX - 10, 11), 0);
    assert_null(vm_reserve_anon_memory(&w->vm, 1, 1, record_fault, w, &addr));
    expect_failure(w, GUESTMEM_NO_ADDRESS);
}

static void reservations_are_listed_in_order(void **state)
{
    world_t *w = *state;
    for (uintptr_t i = 0; i < 500; i++) {
        world_reserve(w, 0x1000 * (1 + (i * 7) % 500), 0x800);
    }
    uintptr_t expected = 0x1000;
    vm_memory_reservation_t *r = NULL;
    while ((r = guestmem_next_reservation(&w->vm, r)) != NULL) {
        uintptr_t addr;
        size_t size;
        vm_get_reservation_memory_region(r, &addr, &size);
        assert_int_equal(addr, expected);
        expected += 0x1000;
    }
    assert_int_equal(expected, 0x1000 * 501);
}

static void the_list_ends_at_the_top_and_goes_on_from_valid_handles_only(void **state)
{
    world_t *w = *state;
    vm_memory_reservation_t *low = world_reserve(w, 0x1000, 0x1000);
    vm_memory_reservation_t *top = world_reserve(w, UINTPTR_MAX - 0xf, 0x10);
    assert_ptr_equal(guestmem_next_reservation(&w->vm, low), top);
    assert_null(guestmem_next_reservation(&w->vm, top));
    assert_int_equal(w->log_lines, 0);
    assert_int_equal(vm_free_reserved_memory(&w->vm, low), 0);
    guestmem_reservation_info_t info;
    assert_null(guestmem_next_reservation(&w->vm, low));
    expect_failure(w, GUESTMEM_NO_RESERVATION);
    assert_int_equal(guestmem_reservation_info(&w->vm, low, &info), -1);
    expect_failure(w, GUESTMEM_NO_RESERVATION);
}

static void names_are_kept_cut_and_removed(void **state)
{
    world_t *w = *state;
    guestmem_reservation_info_t info;
    vm_memory_reservation_t *r = world_reserve(w, 0x1000, 0x1000);
    hosted_census_t before;
    hosted_census_take(w->system, &before);
    char name[] = "pl011@9000000";
    assert_int_equal(guestmem_name_reservation(&w->vm, r, name), 0);
    name[0] = 'x';
    assert_int_equal(guestmem_reservation_info(&w->vm, r, &info), 0);
    assert_string_equal(info.name, "pl011@9000000");
    assert_int_equal(
        guestmem_name_reservation(&w->vm, r, "0123456789012345678901234567890123456789"), 0);
    assert_int_equal(guestmem_reservation_info(&w->vm, r, &info), 0);
    assert_int_equal(strlen(info.name), GUESTMEM_NAME_SIZE - 1);
    assert_int_equal(guestmem_name_reservation(&w->vm, r, NULL), 0);
    assert_int_equal(guestmem_reservation_info(&w->vm, r, &info), 0);
    assert_string_equal(info.name, "");
    assert_int_equal(guestmem_name_reservation(&w->vm, r, "rtc"), 0);
    assert_int_equal(guestmem_name_reservation(&w->vm, r, ""), 0);
    expect_census(w, &before);
}

static void statistics_count_reservations_and_faults(void **state)
{
    world_t *w = *state;
    guestmem_statistics_t s;
    guestmem_reservation_info_t info;
    vm_memory_reservation_t *r = world_reserve(w, 0x1000, 0x1000);
    assert_int_equal(vm_memory_make_anon(&w->vm, 0x100000, 0x4000), 0);
    vm_memory_handle_fault(&w->vm, NULL, 0x1000, 1);
    vm_memory_handle_fault(&w->vm, NULL, 0x1000, 1);
    vm_memory_handle_fault(&w->vm, NULL, 0x5000, 1);
    assert_int_equal(guestmem_get_statistics(&w->vm, &s), 0);
    assert_int_equal(s.reservations, 1);
    assert_int_equal(s.anonymous_regions, 1);
    assert_int_equal(s.faults, 3);
    assert_int_equal(s.faults_unhandled, 1);
    assert_int_equal(s.page_maps + s.table_maps + s.cap_copies + s.object_allocations, 0);
    assert_true(s.heap_blocks > 0);
    hosted_census_t now;
    hosted_census_take(w->system, &now);
    assert_int_equal(now.heap_bytes - w->before.heap_bytes, s.heap_bytes);
    assert_int_equal(now.heap_blocks - w->before.heap_blocks, s.heap_blocks);
    assert_int_equal(guestmem_reservation_info(&w->vm, r, &info), 0);
    assert_int_equal(info.faults, 2);
    assert_int_equal(info.backing, GUESTMEM_EMULATED);
    assert_false(info.mapped);
    assert_int_equal(guestmem_get_statistics(&w->vm, NULL), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(guestmem_reservation_info(&w->vm, r, NULL), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
}

static void vms_share_nothing(void **state)
{
    world_t *w = *state;
    vm_t other;
    hosted_census_t alone;
    hosted_census_take(w->system, &alone);
    world_make_vm(w, &other);
    world_reserve(w, 0x1000, 0x1000);
    vm_memory_reservation_t *theirs = vm_reserve_memory_at(&other, 0x1000, 0x1000, record_fault, w);
    assert_non_null(theirs);
    assert_int_equal(map_frame_alloc_reservation(&other, theirs), 0);
    assert_false(guest_has(w, 0x1000));
    assert_null(vm_reserve_memory_at(&other, 0x1000, 1, record_fault, w));
    assert_int_equal(guestmem_last_error(&w->vm)->code, GUESTMEM_OK);
    vm_memory_destroy(&other);
    assert_int_equal(vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, 0x1000)), 0);
    expect_census(w, &alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(a_range_may_end_at_the_top_but_not_wrap),
        world_test(null_arguments_are_refused),
        world_test(overlaps_are_refused_by_range_and_name),
        world_test(emulated_reservations_may_share_a_page),
        world_test(faults_go_to_the_reservation_that_holds_the_whole_access),
        world_test(a_fault_returns_what_the_callback_answers),
        world_test(a_callback_may_free_its_own_reservation),
        world_test(a_foreign_reservation_is_refused),
        world_test(anonymous_reservations_take_free_addresses_and_give_them_back),
        world_test(anonymous_alignment_is_honoured),
        world_test(anonymous_regions_and_reservations_keep_apart),
        world_test(an_anonymous_region_without_a_whole_page_has_no_room),
        world_test(reservations_are_listed_in_order),
        world_test(the_list_ends_at_the_top_and_goes_on_from_valid_handles_only),
        world_test(names_are_kept_cut_and_removed),
        world_test(statistics_count_reservations_and_faults),
        world_test(vms_share_nothing),
    };
    return cmocka_run_group_tests_name("reservations", tests, NULL, NULL);
}
