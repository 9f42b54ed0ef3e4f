/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The contract: which ranges and arguments are refused, and what is told about it. */

#include "vm_memory.h"
#include <string.h>

static faults_t faults;

static void *reserve_quietly(suite_t *suite, uintptr_t addr, size_t size)
{
    return vm_reserve_memory_at(&suite->vm, addr, size, record_fault, &faults);
}

static void range_of_size_0_is_refused(suite_t *suite)
{
    EXPECT(reserve_quietly(suite, 0x1000, 0) == NULL);
    EXPECT_REASON(GUESTMEM_BAD_RANGE);
    EXPECT(vm_memory_make_anon(&suite->vm, 0x1000, 0) == -1);
    EXPECT_REASON(GUESTMEM_BAD_RANGE);
    EXPECT(vm_ram_register_at(&suite->vm, 0x1000, 0, false) == -1);
    EXPECT_REASON(GUESTMEM_BAD_RANGE);
}

static void range_that_wraps_is_refused(suite_t *suite)
{
    EXPECT(reserve_quietly(suite, UINTPTR_MAX - 0xf, 0x11) == NULL);
    EXPECT_REASON(GUESTMEM_BAD_RANGE);
    EXPECT(reserve_quietly(suite, 0x1000, SIZE_MAX) == NULL);
    EXPECT_REASON(GUESTMEM_BAD_RANGE);
    EXPECT(vm_memory_make_anon(&suite->vm, UINTPTR_MAX - 0xfff, 0x1001) == -1);
    EXPECT_REASON(GUESTMEM_BAD_RANGE);
}

static void range_that_ends_at_the_top_is_valid(suite_t *suite)
{
    uintptr_t addr = 0;
    size_t size = 0;
    vm_memory_reservation_t *top = reserve(suite, UINTPTR_MAX - 0xf, 0x10);
    REQUIRE(top != NULL);
    vm_get_reservation_memory_region(top, &addr, &size);
    EXPECT_EQUAL(addr, UINTPTR_MAX - 0xf);
    EXPECT_EQUAL(size, 0x10);
    EXPECT(guestmem_find_reservation(&suite->vm, UINTPTR_MAX) == top);
    EXPECT(vm_free_reserved_memory(&suite->vm, top) == 0);
    EXPECT(guestmem_find_reservation(&suite->vm, UINTPTR_MAX) == NULL);
}

static void null_vm_is_refused(suite_t *suite)
{
    uintptr_t addr;
    vm_memory_reservation_t *r = reserve(suite, GPA, PAGE);
    EXPECT(vm_reserve_memory_at(NULL, GPA, PAGE, record_fault, &faults) == NULL);
    EXPECT(vm_reserve_anon_memory(NULL, PAGE, PAGE, record_fault, &faults, &addr) == NULL);
    EXPECT(vm_memory_make_anon(NULL, GPA, PAGE) == -1);
    EXPECT(vm_free_reserved_memory(NULL, r) == -1);
    EXPECT(map_frame_alloc_reservation(NULL, r) == -1);
    EXPECT(map_ut_alloc_reservation(NULL, r) == -1);
    EXPECT(map_maybe_device_reservation(NULL, r) == -1);
    EXPECT(vm_ram_register_at(NULL, GPA, PAGE, false) == -1);
    EXPECT(vm_memory_init(NULL) == -1);
    EXPECT(create_allocated_reservation_frame(NULL, GPA, seL4_AllRights, record_fault, &faults) ==
           NULL);
    EXPECT(vm_memory_handle_fault(NULL, NULL, GPA, 1) == FAULT_ERROR);
    EXPECT(!info_of(suite, r).mapped);
}

static void null_reservation_is_refused(suite_t *suite)
{
    handout_t handout = {0};
    EXPECT(vm_free_reserved_memory(&suite->vm, NULL) == -1);
    EXPECT_REASON(GUESTMEM_NO_RESERVATION);
    EXPECT(vm_map_reservation(&suite->vm, NULL, hand_out, &handout) == -1);
    EXPECT_REASON(GUESTMEM_NO_RESERVATION);
    EXPECT(map_frame_alloc_reservation(&suite->vm, NULL) == -1);
    EXPECT_REASON(GUESTMEM_NO_RESERVATION);
    EXPECT_EQUAL(handout.next, 0);
}

static void null_iterator_is_refused(suite_t *suite)
{
    vm_memory_reservation_t *r = reserve(suite, GPA, PAGE);
    EXPECT(vm_map_reservation(&suite->vm, r, NULL, NULL) == -1);
    EXPECT_REASON(GUESTMEM_BAD_ARGUMENT);
    EXPECT(vm_ram_register_at_custom_iterator(&suite->vm, 2 * GPA, PAGE, NULL, NULL) == -1);
    EXPECT_REASON(GUESTMEM_BAD_ARGUMENT);
}

static void null_callback_is_refused(suite_t *suite)
{
    uintptr_t addr;
    char page[16] = "";
    EXPECT(vm_reserve_memory_at(&suite->vm, GPA, PAGE, NULL, NULL) == NULL);
    EXPECT_REASON(GUESTMEM_BAD_ARGUMENT);
    EXPECT(vm_memory_make_anon(&suite->vm, 2 * GPA, 16 * PAGE) == 0);
    EXPECT(vm_reserve_anon_memory(&suite->vm, PAGE, PAGE, NULL, NULL, &addr) == NULL);
    EXPECT_REASON(GUESTMEM_BAD_ARGUMENT);
    EXPECT(create_allocated_reservation_frame(&suite->vm, GPA, seL4_AllRights, NULL, NULL) == NULL);
    EXPECT_REASON(GUESTMEM_BAD_ARGUMENT);
    EXPECT(vm_ram_register_at(&suite->vm, GPA, PAGE, false) == 0);
    EXPECT(vm_ram_touch(&suite->vm, GPA, sizeof(page), NULL, page) == -1);
    EXPECT_REASON(GUESTMEM_BAD_ARGUMENT);
}

static void alignment_that_is_no_power_of_two_is_refused(suite_t *suite)
{
    uintptr_t addr;
    static const size_t alignments[] = {0, 3, 0x3000, SIZE_MAX};
    EXPECT(vm_memory_make_anon(&suite->vm, GPA, 16 * PAGE) == 0);
    for (size_t i = 0; i < sizeof(alignments) / sizeof(alignments[0]); i++) {
        EXPECT(vm_reserve_anon_memory(&suite->vm, PAGE, alignments[i], record_fault, &faults,
                                      &addr) == NULL);
        EXPECT_REASON(GUESTMEM_BAD_ARGUMENT);
    }
}

static void failure_tells_code_range_and_what_is_in_the_way(suite_t *suite)
{
    vm_memory_reservation_t *first = reserve(suite, 0x2000, 0x1000);
    EXPECT(guestmem_name_reservation(&suite->vm, first, "uart@2000") == 0);
    EXPECT(reserve_quietly(suite, 0x1800, 0x1000) == NULL);
    EXPECT_REASON(GUESTMEM_OVERLAP);
    const guestmem_error_t *error = guestmem_last_error(&suite->vm);
    EXPECT_EQUAL(error->base, 0x1800);
    EXPECT_EQUAL(error->last, 0x27ff);
    EXPECT_EQUAL(error->other_base, 0x2000);
    EXPECT_EQUAL(error->other_last, 0x2fff);
    EXPECT(strcmp(error->other_name, "uart@2000") == 0);
    EXPECT(strcmp(error->function, "vm_reserve_memory_at") == 0);
    EXPECT(strstr(error->message, "uart@2000") != NULL);
    EXPECT(strstr(error->message, "0x1800") != NULL);
    EXPECT_EQUAL(error->kernel_error, seL4_NoError);
}

static void failure_tells_the_kernels_error(suite_t *suite)
{
    /* A frame that is mapped already: the library cannot know, the kernel does. */
    vm_memory_reservation_t *first = reserve(suite, GPA, PAGE);
    vm_memory_reservation_t *second = reserve(suite, GPA + PAGE, PAGE);
    REQUIRE(first != NULL && second != NULL);
    EXPECT(map_frame_alloc_reservation(&suite->vm, first) == 0);
    seL4_CPtr mapped = vspace_get_cap(&suite->vm.mem.vm_vspace, (void *)GPA);
    holdings_t before = suite->counting.held;
    EXPECT(vm_map_reservation_frames(&suite->vm, second, &mapped, 1, seL4_PageBits) == -1);
    EXPECT_REASON(GUESTMEM_KERNEL);
    EXPECT_ERROR(guestmem_last_error(&suite->vm)->kernel_error, seL4_InvalidArgument);
    EXPECT_HELD(&before);
    EXPECT(has_frame(suite, GPA));
    EXPECT(!has_frame(suite, GPA + PAGE));
}

static void success_leaves_the_reason_alone(suite_t *suite)
{
    EXPECT_EQUAL(guestmem_last_error(&suite->vm)->code, GUESTMEM_OK);
    EXPECT(reserve_quietly(suite, 0, 0) == NULL);
    reserve(suite, GPA, PAGE);
    EXPECT_REASON(GUESTMEM_BAD_RANGE);
}

static const check_t checks[] = {
    CHECK(range_of_size_0_is_refused),
    CHECK(range_that_wraps_is_refused),
    CHECK(range_that_ends_at_the_top_is_valid),
    CHECK(null_vm_is_refused),
    CHECK(null_reservation_is_refused),
    CHECK(null_iterator_is_refused),
    CHECK(null_callback_is_refused),
    CHECK(alignment_that_is_no_power_of_two_is_refused),
    CHECK(failure_tells_code_range_and_what_is_in_the_way),
    CHECK(failure_tells_the_kernels_error),
    CHECK(success_leaves_the_reason_alone),
};

const area_t area_ranges = AREA("ranges and reasons", FIXTURE_MEMORY, checks);
