/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The contract: reservations, of chosen and of anonymous addresses, and VMs side by side. */

#include "vm_memory.h"
#include <guestmem/change.h>
#include <string.h>

static faults_t faults;

static vm_memory_reservation_t *reserve_anon(suite_t *suite, size_t size, size_t align,
                                             uintptr_t *addr)
{
    return vm_reserve_anon_memory(&suite->vm, size, align, record_fault, &faults, addr);
}

static void two_emulated_devices_may_share_a_page(suite_t *suite)
{
    vm_memory_reservation_t *high = reserve(suite, 0x1010, 0xff0);
    vm_memory_reservation_t *low = reserve(suite, 0x1000, 0x10);
    EXPECT(guestmem_find_reservation(&suite->vm, 0x100f) == low);
    EXPECT(guestmem_find_reservation(&suite->vm, 0x1010) == high);
    EXPECT(guestmem_find_reservation(&suite->vm, 0x2000) == NULL);
}

static void mapping_fails_where_another_reservation_shares_a_page(suite_t *suite)
{
    vm_memory_reservation_t *low = reserve(suite, GPA + 0x10, 0x10);
    vm_memory_reservation_t *high = reserve(suite, GPA + 0x800, PAGE);
    holdings_t before = suite->counting.held;
    EXPECT_REFUSED(map_frame_alloc_reservation(&suite->vm, low) == -1, GUESTMEM_PAGE_SHARED);
    EXPECT_REFUSED(map_frame_alloc_reservation(&suite->vm, high) == -1, GUESTMEM_PAGE_SHARED);
    EXPECT_EQUAL(guestmem_last_error(&suite->vm)->other_base, GPA + 0x10);
    EXPECT_HELD(&before);
    EXPECT(vm_free_reserved_memory(&suite->vm, low) == 0);
    EXPECT(map_frame_alloc_reservation(&suite->vm, high) == 0);
}

static void mapped_reservation_covers_the_pages_that_it_touches(suite_t *suite)
{
    vm_memory_reservation_t *r = reserve(suite, GPA + 0xff8, 16);
    EXPECT(map_frame_alloc_reservation(&suite->vm, r) == 0);
    EXPECT(has_frame(suite, GPA));
    EXPECT(has_frame(suite, GPA + 2 * PAGE - 1));
    EXPECT(!has_frame(suite, GPA - 1));
    EXPECT(!has_frame(suite, GPA + 2 * PAGE));
}

static void anonymous_reservations_can_be_freed_and_their_space_is_used_again(suite_t *suite)
{
    uintptr_t addr[5] = {0};
    vm_memory_reservation_t *r[4];
    EXPECT(vm_memory_make_anon(&suite->vm, GPA, 4 * PAGE) == 0);
    for (int i = 0; i < 4; i++) {
        r[i] = reserve_anon(suite, PAGE, PAGE, &addr[i]);
        REQUIRE(r[i] != NULL);
        EXPECT(addr[i] >= GPA && addr[i] <= GPA + 3 * PAGE);
    }
    EXPECT_REFUSED(reserve_anon(suite, 1, 1, &addr[4]) == NULL, GUESTMEM_NO_ADDRESS);
    EXPECT(vm_free_reserved_memory(&suite->vm, r[0]) == 0);
    EXPECT(vm_free_reserved_memory(&suite->vm, r[2]) == 0);
    EXPECT_REFUSED(reserve_anon(suite, 2 * PAGE, 1, &addr[4]) == NULL, GUESTMEM_NO_ADDRESS);
    EXPECT(vm_free_reserved_memory(&suite->vm, r[3]) == 0);
    EXPECT(reserve_anon(suite, 2 * PAGE, PAGE, &addr[4]) != NULL);
    EXPECT_EQUAL(addr[4], addr[2]);
    EXPECT(reserve_anon(suite, PAGE, PAGE, &addr[4]) != NULL);
    EXPECT_EQUAL(addr[4], addr[0]);
}

static void anonymous_memory_is_for_anonymous_reservations_and_aligned(suite_t *suite)
{
    uintptr_t addr = 0;
    EXPECT(vm_memory_make_anon(&suite->vm, GPA + PAGE, 8 * MEGABYTE) == 0);
    EXPECT_REFUSED(vm_reserve_memory_at(&suite->vm, GPA, PAGE + 1, record_fault, &faults) == NULL,
                   GUESTMEM_OVERLAP);
    for (uintptr_t i = 1; i <= 4; i++) { /* past the gaps that the others leave */
        EXPECT(reserve_anon(suite, PAGE, 2 * MEGABYTE, &addr) != NULL);
        EXPECT_EQUAL(addr, GPA + i * 2 * MEGABYTE);
    }
    EXPECT_REFUSED(reserve_anon(suite, 1, 16 * MEGABYTE, &addr) == NULL, GUESTMEM_NO_ADDRESS);
    EXPECT(reserve_anon(suite, PAGE, 1, &addr) != NULL);
    EXPECT_EQUAL(addr & (PAGE - 1), 0);
}

static void anonymous_reservations_are_mapped_and_dispatched_as_others(suite_t *suite)
{
    uintptr_t addr = 0;
    faults.answer = FAULT_IGNORE;
    EXPECT(vm_memory_make_anon(&suite->vm, GPA, 16 * PAGE) == 0);
    vm_memory_reservation_t *r = reserve_anon(suite, 2 * PAGE, PAGE, &addr);
    REQUIRE(r != NULL);
    EXPECT(vm_memory_handle_fault(&suite->vm, NULL, addr + 4, 4) == FAULT_IGNORE);
    EXPECT_EQUAL(faults.addr, addr + 4);
    EXPECT(map_frame_alloc_reservation(&suite->vm, r) == 0);
    EXPECT(has_frame(suite, addr + PAGE));
    EXPECT(vm_free_reserved_memory(&suite->vm, r) == 0);
    EXPECT(!has_frame(suite, addr));
}

static void different_vms_share_no_state(suite_t *suite)
{
    static vm_t other;
    holdings_t before = suite->counting.held;
    reserve(suite, GPA, PAGE);
    REQUIRE(memory_make(suite, &other));
    vm_memory_reservation_t *theirs =
        vm_reserve_memory_at(&other, GPA, PAGE, record_fault, &faults);
    EXPECT(theirs != NULL);
    EXPECT(map_frame_alloc_reservation(&other, theirs) == 0);
    EXPECT(!has_frame(suite, GPA));
    EXPECT_REFUSED(vm_free_reserved_memory(&suite->vm, theirs) == -1, GUESTMEM_NO_RESERVATION);
    EXPECT_EQUAL(guestmem_last_error(&other)->code, GUESTMEM_OK);
    vm_memory_destroy(&other);
    EXPECT(vm_free_reserved_memory(&suite->vm, guestmem_find_reservation(&suite->vm, GPA)) == 0);
    EXPECT_HELD(&before);
}

static void many_reservations_are_found_listed_and_freed(suite_t *suite)
{
    enum { COUNT = 1000 };
    holdings_t before = suite->counting.held;
    for (uintptr_t i = 0; i < COUNT; i++) {
        reserve(suite, 0x1000 * (1 + (i * 7) % COUNT), 0x800);
    }
    uintptr_t expected = 0x1000;
    vm_memory_reservation_t *r = NULL;
    while ((r = guestmem_next_reservation(&suite->vm, r)) != NULL && !suite->broken) {
        EXPECT_EQUAL(info_of(suite, r).base, expected);
        expected += 0x1000;
    }
    EXPECT_EQUAL(expected, 0x1000 * (COUNT + 1));
    vm_memory_reservation_t *top = reserve(suite, UINTPTR_MAX - 0xf, 0x10);
    EXPECT(guestmem_next_reservation(&suite->vm, top) == NULL);
    EXPECT(vm_free_reserved_memory(&suite->vm, top) == 0);
    for (uintptr_t i = 0; i < COUNT; i++) {
        uintptr_t addr = 0x1000 * (1 + (i * 13) % COUNT);
        r = guestmem_find_reservation(&suite->vm, addr + 0x7ff);
        EXPECT(vm_free_reserved_memory(&suite->vm, r) == 0);
    }
    EXPECT_EQUAL(statistics_of(suite).reservations, 0);
    EXPECT_EQUAL(suite->counting.held.slots, before.slots);
}

static void anonymous_region_without_a_whole_page_has_no_room(suite_t *suite)
{
    uintptr_t addr = 0;
    EXPECT(vm_memory_make_anon(&suite->vm, 0x1001, 0x1fff) == 0);
    EXPECT(reserve_anon(suite, 1, 1, &addr) != NULL);
    EXPECT_EQUAL(addr, 0x2000);
    EXPECT(vm_memory_make_anon(&suite->vm, UINTPTR_MAX - 10, 11) == 0);
    EXPECT_REFUSED(reserve_anon(suite, 1, 1, &addr) == NULL, GUESTMEM_NO_ADDRESS);
}

static void anonymous_region_may_end_at_the_top_of_the_address_space(suite_t *suite)
{
    uintptr_t addr = 0;
    EXPECT(vm_memory_make_anon(&suite->vm, UINTPTR_MAX - (2 * PAGE - 1), 2 * PAGE) == 0);
    EXPECT(reserve_anon(suite, PAGE, 1, &addr) != NULL);
    EXPECT_EQUAL(addr, UINTPTR_MAX - (2 * PAGE - 1));
    EXPECT(reserve_anon(suite, 1, 1, &addr) != NULL);
    EXPECT_EQUAL(addr, UINTPTR_MAX - (PAGE - 1));
    EXPECT_REFUSED(reserve_anon(suite, 1, 1, &addr) == NULL, GUESTMEM_NO_ADDRESS);
}

static void names_are_copied_cut_and_removed(suite_t *suite)
{
    char name[] = "pl011@9000000";
    vm_memory_reservation_t *r = reserve(suite, 0x1000, 0x1000);
    holdings_t before = suite->counting.held;
    EXPECT(guestmem_name_reservation(&suite->vm, r, name) == 0);
    name[0] = 'x';
    EXPECT(strcmp(info_of(suite, r).name, "pl011@9000000") == 0);
    EXPECT(guestmem_name_reservation(&suite->vm, r, "0123456789012345678901234567890123456") == 0);
    EXPECT_EQUAL(strlen(info_of(suite, r).name), GUESTMEM_NAME_SIZE - 1);
    EXPECT(guestmem_name_reservation(&suite->vm, r, NULL) == 0);
    EXPECT_EQUAL(info_of(suite, r).name[0], '\0');
    EXPECT(guestmem_name_reservation(&suite->vm, r, "rtc") == 0);
    EXPECT(guestmem_name_reservation(&suite->vm, r, "") == 0);
    EXPECT_HELD(&before);
}

/* The lines of a description, and which of them is looked at. */
typedef struct lines {
    unsigned count;
    char text[4][256];
} lines_t;

static void keep_line(const char *line, void *cookie)
{
    lines_t *lines = cookie;
    if (lines->count < 4) {
        strncpy(lines->text[lines->count], line, sizeof(lines->text[0]) - 1);
    }
    lines->count++;
}

static bool describe(suite_t *suite, lines_t *lines)
{
    memset(lines, 0, sizeof(*lines));
    return EXPECT(guestmem_describe(&suite->vm, keep_line, lines) == 0) &&
           EXPECT_EQUAL(lines->count, 4);
}

static void a_description_has_what_each_range_is_made_of(suite_t *suite)
{
    static lines_t lines;
    vm_memory_reservation_t *r = reserve(suite, 0x1010, 0xff0);
    REQUIRE(guestmem_name_reservation(&suite->vm, r, "rtc@1010") == 0);
    REQUIRE(vm_ram_register_at(&suite->vm, GPA, 5 * PAGE, false) == 0);
    REQUIRE(vm_memory_make_anon(&suite->vm, 2 * GPA, 3 * MEGABYTE) == 0);
    holdings_t before = suite->counting.held;
    REQUIRE(describe(suite, &lines));
    EXPECT_HELD(&before);
    EXPECT(strstr(lines.text[0], "1010-") && strstr(lines.text[0], "1fff     4080 B  rtc@1010 "));
    EXPECT(strstr(lines.text[0], " emulated ") && !strstr(lines.text[0], "RAM"));
    EXPECT(strstr(lines.text[1], " 20 KiB ") && strstr(lines.text[1], "RAM  rw      5 x 4K"));
    EXPECT(!strstr(lines.text[1], "not mapped"));
    EXPECT(strstr(lines.text[2], " 3 MiB  anonymous region"));
    EXPECT(strstr(lines.text[3], "reservations: 2; anonymous regions: 1; frames: 5 x 4K; "));
    REQUIRE(guestmem_discard(&suite->vm, GPA + PAGE, PAGE, NULL) == 0);
    REQUIRE(guestmem_protect(&suite->vm, GPA, PAGE, seL4_CanRead) == 0);
    REQUIRE(describe(suite, &lines));
    EXPECT(strstr(lines.text[1], "RAM  mixed   4 x 4K; not mapped: 4 KiB"));
    EXPECT_REFUSED(guestmem_describe(&suite->vm, NULL, NULL) == -1, GUESTMEM_BAD_ARGUMENT);
}

static const check_t checks[] = {
    CHECK(two_emulated_devices_may_share_a_page),
    CHECK(mapping_fails_where_another_reservation_shares_a_page),
    CHECK(mapped_reservation_covers_the_pages_that_it_touches),
    CHECK(anonymous_reservations_can_be_freed_and_their_space_is_used_again),
    CHECK(anonymous_memory_is_for_anonymous_reservations_and_aligned),
    CHECK(anonymous_reservations_are_mapped_and_dispatched_as_others),
    CHECK(anonymous_region_without_a_whole_page_has_no_room),
    CHECK(anonymous_region_may_end_at_the_top_of_the_address_space),
    CHECK(a_description_has_what_each_range_is_made_of),
    CHECK(names_are_copied_cut_and_removed),
    CHECK(different_vms_share_no_state),
    CHECK(many_reservations_are_found_listed_and_freed),
};

const area_t area_reservations = AREA("reservations", FIXTURE_MEMORY, checks);
