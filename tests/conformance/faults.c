/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The contract: whom a fault goes to, and mapping at the first fault. Without a guest: what the
   runtime's abort handler calls is called here. */

#include "objects.h"
#include "vm_memory.h"

static faults_t low, high;

static memory_fault_result_t fault(suite_t *suite, uintptr_t addr, size_t size)
{
    return vm_memory_handle_fault(&suite->vm, NULL, addr, size);
}

static void two_devices(suite_t *suite)
{
    low = (faults_t){.answer = FAULT_IGNORE};
    high = (faults_t){.answer = FAULT_RESTART};
    EXPECT(vm_reserve_memory_at(&suite->vm, 0x1000, 0x10, record_fault, &low) != NULL);
    EXPECT(vm_reserve_memory_at(&suite->vm, 0x1010, 0x10, record_fault, &high) != NULL);
}

static void fault_goes_to_the_reservation_that_holds_the_whole_access(suite_t *suite)
{
    two_devices(suite);
    EXPECT(fault(suite, 0x1008, 8) == FAULT_IGNORE);
    EXPECT_EQUAL(low.count, 1);
    EXPECT_EQUAL(low.addr, 0x1008);
    EXPECT_EQUAL(low.length, 8);
    EXPECT(fault(suite, 0x1010, 1) == FAULT_RESTART);
    EXPECT_EQUAL(high.count, 1);
    EXPECT_EQUAL(high.addr, 0x1010);
    EXPECT_EQUAL(low.count, 1);
    EXPECT(fault(suite, 0x101f, 0) == FAULT_RESTART); /* of no width, where it is not known */
}

static void access_across_a_reservations_end_is_FAULT_ERROR(suite_t *suite)
{
    two_devices(suite);
    EXPECT(fault(suite, 0x100d, 4) == FAULT_ERROR);
    EXPECT_REASON(GUESTMEM_BAD_RANGE);
    EXPECT(fault(suite, 0x101f, 2) == FAULT_ERROR);
    EXPECT(fault(suite, 0x1000, SIZE_MAX) == FAULT_ERROR);
    EXPECT_EQUAL(low.count + high.count, 0);
}

static void access_without_a_reservation_is_FAULT_UNHANDLED(suite_t *suite)
{
    EXPECT(fault(suite, 0x1000, 1) == FAULT_UNHANDLED);
    two_devices(suite);
    EXPECT(fault(suite, 0x1020, 1) == FAULT_UNHANDLED);
    EXPECT(fault(suite, 0xfff, 1) == FAULT_UNHANDLED);
    EXPECT(fault(suite, UINTPTR_MAX, 8) == FAULT_UNHANDLED);
    EXPECT_EQUAL(statistics_of(suite).faults_unhandled, 4);
    EXPECT_EQUAL(low.count + high.count, 0);
}

static void callbacks_answer_is_the_faults_result(suite_t *suite)
{
    static const memory_fault_result_t answers[] = {FAULT_HANDLED, FAULT_UNHANDLED, FAULT_RESTART,
                                                    FAULT_IGNORE, FAULT_ERROR};
    two_devices(suite);
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        low.answer = answers[i];
        EXPECT(fault(suite, 0x1000, 4) == answers[i]);
    }
}

static memory_fault_result_t free_own_reservation(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr,
                                                  size_t length, void *cookie)
{
    (void)vcpu, (void)length;
    vm_memory_reservation_t *own = guestmem_find_reservation(vm, addr);
    return vm_free_reserved_memory(vm, own) == 0 &&
                   vm_reserve_memory_at(vm, addr, PAGE, record_fault, cookie) != NULL
               ? FAULT_RESTART
               : FAULT_ERROR;
}

static void callback_may_free_its_own_reservation(suite_t *suite)
{
    low = (faults_t){.answer = FAULT_IGNORE};
    EXPECT(vm_reserve_memory_at(&suite->vm, GPA, PAGE, free_own_reservation, &low) != NULL);
    EXPECT(fault(suite, GPA, 4) == FAULT_RESTART);
    EXPECT(fault(suite, GPA, 4) == FAULT_IGNORE);
    EXPECT_EQUAL(low.count, 1);
}

static void deferred_map_maps_a_frame_a_fault_and_answers_FAULT_RESTART(suite_t *suite)
{
    static const uintptr_t order[] = {2, 0, 3, 1};
    EXPECT(guestmem_set_map_time(&suite->vm, GUESTMEM_MAP_ON_FAULT) == 0);
    EXPECT(guestmem_set_largest_frame(&suite->vm, 12) == 0);
    low = (faults_t){.answer = FAULT_IGNORE};
    vm_memory_reservation_t *r =
        vm_reserve_memory_at(&suite->vm, GPA, 4 * PAGE, record_fault, &low);
    REQUIRE(r != NULL);
    EXPECT(map_frame_alloc_reservation(&suite->vm, r) == 0);
    EXPECT(!has_frame(suite, GPA));
    for (size_t i = 0; i < 4; i++) {
        uintptr_t gpa = GPA + order[i] * PAGE;
        EXPECT(fault(suite, gpa + 8, 8) == FAULT_RESTART);
        EXPECT(has_frame(suite, gpa));
        EXPECT_EQUAL(info_of(suite, r).frames[GUESTMEM_FRAME_4K], i + 1);
    }
    EXPECT_EQUAL(low.count, 0);
    EXPECT(fault(suite, GPA, 8) == FAULT_IGNORE);
    EXPECT_EQUAL(low.count, 1);
}

static vm_frame_t no_frame(uintptr_t addr, void *cookie)
{
    (void)addr;
    ++*(int *)cookie;
    return (vm_frame_t){0};
}

static void failed_map_never_runs_again_by_itself(suite_t *suite)
{
    int asked = 0;
    low = (faults_t){.answer = FAULT_IGNORE};
    EXPECT(guestmem_set_map_time(&suite->vm, GUESTMEM_MAP_ON_FAULT) == 0);
    vm_memory_reservation_t *r = vm_reserve_memory_at(&suite->vm, GPA, PAGE, record_fault, &low);
    REQUIRE(r != NULL);
    EXPECT(vm_map_reservation(&suite->vm, r, no_frame, &asked) == 0);
    holdings_t before = suite->counting.held;
    EXPECT(fault(suite, GPA, 4) == FAULT_ERROR);
    EXPECT_REASON(GUESTMEM_NO_FRAME);
    EXPECT(fault(suite, GPA, 4) == FAULT_IGNORE);
    EXPECT_EQUAL(asked, 1);
    EXPECT_EQUAL(low.count, 1);
    EXPECT_HELD(&before);
}

static void failed_map_at_once_is_not_retried_by_faults(suite_t *suite)
{
    int asked = 0;
    low = (faults_t){.answer = FAULT_IGNORE};
    vm_memory_reservation_t *r = vm_reserve_memory_at(&suite->vm, GPA, PAGE, record_fault, &low);
    REQUIRE(r != NULL);
    EXPECT_REFUSED(vm_map_reservation(&suite->vm, r, no_frame, &asked) == -1, GUESTMEM_NO_FRAME);
    EXPECT(fault(suite, GPA, 4) == FAULT_IGNORE);
    EXPECT_EQUAL(asked, 1);
}

static void faults_of_freed_reservations_still_count(suite_t *suite)
{
    two_devices(suite);
    for (int i = 0; i < 3; i++) {
        fault(suite, 0x1000, 4);
        fault(suite, 0x1010, 4);
        fault(suite, 0x2000, 4);
    }
    EXPECT_EQUAL(info_of(suite, guestmem_find_reservation(&suite->vm, 0x1000)).faults, 3);
    EXPECT_EQUAL(statistics_of(suite).faults, 9);
    EXPECT(vm_free_reserved_memory(&suite->vm, guestmem_find_reservation(&suite->vm, 0x1000)) == 0);
    EXPECT_EQUAL(statistics_of(suite).faults, 9);
    EXPECT(vm_reserve_memory_at(&suite->vm, 0x1000, 0x10, record_fault, &low) != NULL);
    fault(suite, 0x1000, 4);
    EXPECT_EQUAL(info_of(suite, guestmem_find_reservation(&suite->vm, 0x1000)).faults, 1);
    EXPECT_EQUAL(statistics_of(suite).faults, 10);
    EXPECT_EQUAL(statistics_of(suite).faults_unhandled, 3);
}

static void deferred_frames_are_the_largest_that_fit_their_hole(suite_t *suite)
{
    vspace_t *vspace = &suite->vm.mem.vm_vspace;
    EXPECT(guestmem_set_map_time(&suite->vm, GUESTMEM_MAP_ON_FAULT) == 0);
    vm_memory_reservation_t *r = reserve(suite, GPA + PAGE, 6 * MEGABYTE);
    vm_memory_reservation_t *after = reserve(suite, GPA + 6 * MEGABYTE + 2 * PAGE, PAGE);
    EXPECT(map_frame_alloc_reservation(&suite->vm, r) == 0);
    EXPECT(map_frame_alloc_reservation(&suite->vm, after) == 0);
    EXPECT(fault(suite, GPA + 6 * MEGABYTE + 2 * PAGE, 4) == FAULT_RESTART);
    EXPECT(info_of(suite, r).mapped && info_of(suite, r).cacheable);
    EXPECT(seL4_CapRights_get_capAllowWrite(info_of(suite, r).rights)); /* with no frame yet */
    EXPECT(fault(suite, GPA + 3 * PAGE, 4) == FAULT_RESTART);
    EXPECT_EQUAL(vspace_get_cookie(vspace, (void *)(GPA + 3 * PAGE)), 12);
    EXPECT(fault(suite, GPA + 3 * MEGABYTE, 4) == FAULT_RESTART);
    EXPECT_EQUAL(vspace_get_cookie(vspace, (void *)(GPA + 2 * MEGABYTE)), 21);
    EXPECT(fault(suite, GPA + 6 * MEGABYTE + PAGE - 1, 1) == FAULT_RESTART);
    EXPECT(!has_frame(suite, GPA + 6 * MEGABYTE + PAGE));
    EXPECT_EQUAL(info_of(suite, r).frames[GUESTMEM_FRAME_4K], 2);
}

static void page_without_a_frame_yet_cannot_be_accessed(suite_t *suite)
{
    char bytes[16];
    EXPECT(guestmem_set_map_time(&suite->vm, GUESTMEM_MAP_ON_FAULT) == 0);
    EXPECT(guestmem_set_largest_frame(&suite->vm, 12) == 0);
    vm_memory_reservation_t *r = reserve(suite, GPA, 2 * PAGE);
    EXPECT(map_frame_alloc_reservation(&suite->vm, r) == 0);
    for (uintptr_t page = 0; page < 2; page++) {
        holdings_t before = suite->counting.held;
        EXPECT_REFUSED(guestmem_access(&suite->vm, GPA + PAGE - 8, 16, vm_guest_ram_read_callback,
                                       bytes) == -1,
                       GUESTMEM_NOT_MAPPED);
        EXPECT_HELD(&before);
        EXPECT(fault(suite, GPA + page * PAGE, 4) == FAULT_RESTART);
    }
    EXPECT(guestmem_access(&suite->vm, GPA + PAGE - 8, 16, vm_guest_ram_read_callback, bytes) == 0);
}

static const check_t checks[] = {
    CHECK(fault_goes_to_the_reservation_that_holds_the_whole_access),
    CHECK(access_across_a_reservations_end_is_FAULT_ERROR),
    CHECK(access_without_a_reservation_is_FAULT_UNHANDLED),
    CHECK(callbacks_answer_is_the_faults_result),
    CHECK(callback_may_free_its_own_reservation),
    CHECK(deferred_map_maps_a_frame_a_fault_and_answers_FAULT_RESTART),
    CHECK(deferred_frames_are_the_largest_that_fit_their_hole),
    CHECK(page_without_a_frame_yet_cannot_be_accessed),
    CHECK(failed_map_never_runs_again_by_itself),
    CHECK(faults_of_freed_reservations_still_count),
    CHECK(failed_map_at_once_is_not_retried_by_faults),
};

const area_t area_faults = AREA("faults", FIXTURE_MEMORY, checks);
