/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The contract, as a guest sees it: accesses that fault, and what their callbacks make of them. */

#include "guest.h"

static void read_only_store_traps_with_address_length_and_data(suite_t *suite)
{
    device_t device = {0};
    unsigned char *page = create_allocated_reservation_frame(&suite->guest->vm, GPA, seL4_CanRead,
                                                             device_access, &device);
    REQUIRE(page != NULL);
    page[0] = 0x42;
    guest_clean(suite, page, 1);
    guest_clear(suite);
    size_t load = guest_load(suite, 1, GPA);
    for (size_t i = 0; i < GUEST_NUM_WIDTHS; i++) {
        guest_store(suite, guest_widths[i], GPA + 8 * i, GUEST_VALUE + i);
    }
    size_t after = guest_load(suite, 1, GPA);
    REQUIRE(guest_go(suite));
    EXPECT_EQUAL(guest_loaded(suite, load), 0x42);
    EXPECT_EQUAL(guest_loaded(suite, after), 0x42);
    EXPECT_EQUAL(device.count, GUEST_NUM_WIDTHS);
    for (size_t i = 0; i < GUEST_NUM_WIDTHS; i++) {
        EXPECT_EQUAL(device.seen[i].address, GPA + 8 * i);
        EXPECT_EQUAL(device.seen[i].length, guest_widths[i]);
        EXPECT_EQUAL(device.seen[i].size, guest_widths[i]);
        EXPECT_EQUAL(device.seen[i].data,
                     GUEST_VALUE + i); /* the whole register, whatever the width */
        EXPECT_EQUAL(device.seen[i].mask, guest_width_mask(guest_widths[i]));
        EXPECT(!device.seen[i].read);
        EXPECT(device.seen[i].ip >= GUEST_RAM && device.seen[i].ip < GUEST_LIST);
    }
    /* What was trapped did not reach memory. */
    EXPECT(page[0] == 0x42 && page[8] == 0 && page[16] == 0 && page[24] == 0);
}

static void emulated_load_finds_what_the_callback_sets(suite_t *suite)
{
    for (size_t i = 0; i < GUEST_NUM_WIDTHS; i++) {
        device_t device = {.answer = GUEST_VALUE};
        vm_memory_reservation_t *r = guest_device(suite, GPA, PAGE, &device);
        EXPECT_EQUAL(guest_load_now(suite, guest_widths[i], GPA + 0x18),
                     GUEST_VALUE & guest_width_mask(guest_widths[i]));
        EXPECT_EQUAL(device.count, 1);
        EXPECT(device.seen[0].read);
        EXPECT_EQUAL(device.seen[0].address, GPA + 0x18);
        EXPECT_EQUAL(device.seen[0].length, guest_widths[i]);
        EXPECT(vm_free_reserved_memory(&suite->guest->vm, r) == 0);
    }
}

static void emulated_loads_data_stands_in_byte_lanes(suite_t *suite)
{
    device_t device = {.answer = 0x44332211};
    guest_device(suite, GPA, PAGE, &device);
    guest_clear(suite);
    size_t bytes[4], halves[2];
    for (size_t i = 0; i < 4; i++) {
        bytes[i] = guest_load(suite, 1, GPA + i);
    }
    for (size_t i = 0; i < 2; i++) {
        halves[i] = guest_load(suite, 2, GPA + 2 * i);
    }
    REQUIRE(guest_go(suite));
    for (size_t i = 0; i < 4; i++) {
        EXPECT_EQUAL(guest_loaded(suite, bytes[i]), 0x11 * (i + 1));
        EXPECT_EQUAL(device.seen[i].mask, (uint64_t)0xff << (8 * i));
    }
    EXPECT_EQUAL(guest_loaded(suite, halves[0]), 0x2211);
    EXPECT_EQUAL(guest_loaded(suite, halves[1]), 0x4433);
    EXPECT_EQUAL(device.seen[5].mask, 0xffff0000);
}

static void two_devices_in_a_page_see_their_own_accesses(suite_t *suite)
{
    device_t low = {.answer = 1}, high = {.answer = 2};
    guest_device(suite, GPA, 0x10, &low);
    guest_device(suite, GPA + 0x10, 0xff0, &high);
    guest_clear(suite);
    size_t first = guest_load(suite, 4, GPA + 0xc);
    size_t second = guest_load(suite, 4, GPA + 0x10);
    REQUIRE(guest_go(suite));
    EXPECT_EQUAL(guest_loaded(suite, first), 1);
    EXPECT_EQUAL(guest_loaded(suite, second), 2);
    EXPECT_EQUAL(low.count, 1);
    EXPECT_EQUAL(high.count, 1);
}

static void FAULT_IGNORE_skips_the_access(suite_t *suite)
{
    device_t device = {.result = FAULT_IGNORE};
    guest_device(suite, GPA, PAGE, &device);
    EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA), GUEST_UNTOUCHED);
    guest_store_now(suite, 4, GPA, 1);
    EXPECT_EQUAL(device.count, 2);
}

/* Maps its reservation at the first fault, and lets the access run again. */
static memory_fault_result_t map_and_restart(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr,
                                             size_t length, void *cookie)
{
    (void)vcpu, (void)length;
    ++*(int *)cookie;
    return map_frame_alloc_reservation(vm, guestmem_find_reservation(vm, addr)) == 0 ? FAULT_RESTART
                                                                                     : FAULT_IGNORE;
}

static void FAULT_RESTART_runs_the_access_again(suite_t *suite)
{
    int faults = 0;
    EXPECT(vm_reserve_memory_at(&suite->guest->vm, GPA, 2 * PAGE, map_and_restart, &faults) !=
           NULL);
    guest_clear(suite);
    guest_store(suite, GUEST_WORD, GPA + PAGE, GUEST_VALUE);
    size_t load = guest_load(suite, GUEST_WORD, GPA + PAGE);
    size_t other = guest_load(suite, GUEST_WORD, GPA);
    REQUIRE(guest_go(suite));
    EXPECT_EQUAL(guest_loaded(suite, load), GUEST_VALUE);
    EXPECT_EQUAL(guest_loaded(suite, other), 0);
    EXPECT_EQUAL(faults, 1);
}

/* The VM's unhandled-fault callback: backs a page that it is asked about. */
static memory_fault_result_t back_page(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t length,
                                       void *cookie)
{
    (void)vcpu, (void)length;
    device_t *device = cookie;
    device->count++;
    device->seen[0].address = addr;
    if (device->result != FAULT_RESTART) {
        return device->result;
    }
    vm_memory_reservation_t *r =
        vm_reserve_memory_at(vm, addr & ~(PAGE - 1), PAGE, device_access, device);
    return r != NULL && map_frame_alloc_reservation(vm, r) == 0 ? FAULT_RESTART : FAULT_IGNORE;
}

static void access_outside_reservations_asks_the_unhandled_fault_callback(suite_t *suite)
{
    static device_t device;
    device = (device_t){.result = FAULT_IGNORE};
    EXPECT(vm_register_unhandled_mem_fault_callback(&suite->guest->vm, back_page, &device) == 0);
    EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA + 0x48), GUEST_UNTOUCHED);
    EXPECT_EQUAL(device.count, 1);
    EXPECT_EQUAL(device.seen[0].address, GPA + 0x48);
    device.result = FAULT_RESTART;
    guest_store_now(suite, GUEST_WORD, GPA + 0x48, GUEST_VALUE);
    device.result = FAULT_IGNORE;
    EXPECT_EQUAL(device.count, 2);
    EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA + 0x48), GUEST_VALUE);
    EXPECT_EQUAL(device.count, 2);
}

static void deferred_memory_is_mapped_by_the_guests_accesses(suite_t *suite)
{
    device_t unexpected = {.result = FAULT_IGNORE};
    guestmem_reservation_info_t info;
    EXPECT(guestmem_set_map_time(&suite->guest->vm, GUESTMEM_MAP_ON_FAULT) == 0);
    EXPECT(guestmem_set_largest_frame(&suite->guest->vm, 12) == 0);
    vm_memory_reservation_t *r = guest_device(suite, GPA, 8 * PAGE, &unexpected);
    EXPECT(map_frame_alloc_reservation(&suite->guest->vm, r) == 0);
    guest_clear(suite);
    guest_store(suite, GUEST_WORD, GPA + 5 * PAGE, GUEST_VALUE);
    size_t load = guest_load(suite, GUEST_WORD, GPA + 5 * PAGE);
    size_t zero = guest_load(suite, GUEST_WORD, GPA + 2 * PAGE);
    REQUIRE(guest_go(suite));
    EXPECT_EQUAL(guest_loaded(suite, load), GUEST_VALUE);
    EXPECT_EQUAL(guest_loaded(suite, zero), 0);
    EXPECT_EQUAL(unexpected.count, 0);
    EXPECT(guestmem_reservation_info(&suite->guest->vm, r, &info) == 0);
    EXPECT_EQUAL(info.frames[GUESTMEM_FRAME_4K], 2);
}

static void freed_memory_is_out_of_the_guests_reach(suite_t *suite)
{
    static device_t gone;
    gone = (device_t){.result = FAULT_IGNORE};
    EXPECT(vm_register_unhandled_mem_fault_callback(&suite->guest->vm, back_page, &gone) == 0);
    static const size_t sizes[] = {PAGE, 2 * MEGABYTE};
    for (size_t i = 0; i < 2; i++) {
        gone.count = 0;
        EXPECT(vm_ram_register_at(&suite->guest->vm, GPA, sizes[i], false) == 0);
        guest_store_now(suite, GUEST_WORD, GPA + sizes[i] - 8, GUEST_VALUE);
        EXPECT_EQUAL(gone.count, 0);
        EXPECT(vm_free_reserved_memory(&suite->guest->vm,
                                       guestmem_find_reservation(&suite->guest->vm, GPA)) == 0);
        EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA + sizes[i] - 8), GUEST_UNTOUCHED);
        EXPECT_EQUAL(gone.count, 1);
    }
}

static void guest_that_goes_everywhere_reaches_its_reservations_only(suite_t *suite)
{
    static device_t outside;
    device_t device = {0};
    uint64_t random = 88172645463325252u;
    outside = (device_t){.result = FAULT_IGNORE};
    EXPECT(vm_register_unhandled_mem_fault_callback(&suite->guest->vm, back_page, &outside) == 0);
    EXPECT(vm_ram_register_at(&suite->guest->vm, GPA, 2 * PAGE, false) == 0);
    guest_device(suite, GPA + 2 * PAGE, PAGE, &device);
    int expected_outside = 0, expected_device = 0;
    guest_clear(suite);
    for (int i = 0; i < 200; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        /* Around the reservations, or anywhere in what the guest can address but its own memory. */
        uintptr_t addr =
            i % 2 == 0 ? GPA - 4 * PAGE + random % (10 * PAGE) : GUEST_FAR + random % GUEST_FAR;
        size_t width = guest_widths[(random >> 61) % GUEST_NUM_WIDTHS];
        addr &= ~(uintptr_t)(width - 1);
        expected_device += addr >= GPA + 2 * PAGE && addr < GPA + 3 * PAGE;
        expected_outside += addr < GPA || addr >= GPA + 3 * PAGE;
        if ((random >> 60 & 1) == 0) {
            guest_load(suite, width, addr);
        } else {
            guest_store(suite, width, addr, random);
        }
    }
    REQUIRE(guest_go(suite));
    EXPECT_EQUAL(device.count, expected_device);
    EXPECT_EQUAL(outside.count, expected_outside);
}

static void access_across_a_reservations_end_ends_the_guest(suite_t *suite)
{
    device_t device = {0};
    guest_device(suite, GPA, 0x12, &device);
    guest_clear(suite);
    guest_load(suite, 2, GPA + 0x10);
    guest_load(suite, GUEST_WORD, GPA + 0x10);
    guest_go_to_its_end(suite);
    EXPECT_EQUAL(device.count, 1);
    EXPECT_EQUAL(guestmem_last_error(&suite->guest->vm)->code, GUESTMEM_BAD_RANGE);
}

static const check_t checks[] = {
    CHECK(read_only_store_traps_with_address_length_and_data),
    CHECK(emulated_load_finds_what_the_callback_sets),
    CHECK(emulated_loads_data_stands_in_byte_lanes),
    CHECK(two_devices_in_a_page_see_their_own_accesses),
    CHECK(FAULT_IGNORE_skips_the_access),
    CHECK(FAULT_RESTART_runs_the_access_again),
    CHECK(access_outside_reservations_asks_the_unhandled_fault_callback),
    CHECK(deferred_memory_is_mapped_by_the_guests_accesses),
    CHECK(freed_memory_is_out_of_the_guests_reach),
    CHECK(guest_that_goes_everywhere_reaches_its_reservations_only),
};

const area_t area_guest_faults = AREA("guest", FIXTURE_GUEST, checks);

/* Behind this check the guest cannot be used any more. */
static const check_t last_checks[] = {
    CHECK(access_across_a_reservations_end_ends_the_guest),
};

const area_t area_guest_end = AREA("guest", FIXTURE_GUEST, last_checks);
