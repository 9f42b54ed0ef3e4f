/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The contract, as a guest sees it: loads and stores to every kind of memory that is mapped. */

#include "guest.h"
#include "objects.h"
#include <string.h>

/* Store and load back every width at `gpa`, and see the bytes through the VMM. */
static void store_and_load(suite_t *suite, uintptr_t gpa)
{
    size_t loads[GUEST_NUM_WIDTHS];
    guest_clear(suite);
    for (size_t i = 0; i < GUEST_NUM_WIDTHS; i++) {
        guest_store(suite, guest_widths[i], gpa + 8 * i, GUEST_VALUE + i);
        loads[i] = guest_load(suite, guest_widths[i], gpa + 8 * i);
    }
    if (!guest_go(suite)) {
        return;
    }
    for (size_t i = 0; i < GUEST_NUM_WIDTHS; i++) {
        uint64_t seen = 0;
        EXPECT_EQUAL(guest_loaded(suite, loads[i]),
                     (GUEST_VALUE + i) & guest_width_mask(guest_widths[i]));
        EXPECT(guestmem_access(&suite->guest->vm, gpa + 8 * i, guest_widths[i],
                               vm_guest_ram_read_callback, &seen) == 0);
        EXPECT_EQUAL(seen, (GUEST_VALUE + i) & guest_width_mask(guest_widths[i]));
    }
}

static void allocated_ram_is_loaded_and_stored(suite_t *suite)
{
    EXPECT(vm_ram_register_at(&suite->guest->vm, GPA, 2 * MEGABYTE + 2 * PAGE, false) == 0);
    store_and_load(suite, GPA);
    store_and_load(suite, GPA + 2 * MEGABYTE - 32);
    store_and_load(suite, GPA + 2 * MEGABYTE + 2 * PAGE - 32);
}

static void allocated_ram_is_zero_at_first(suite_t *suite)
{
    for (int round = 0; round < 2; round++) {
        EXPECT(vm_ram_register_at(&suite->guest->vm, GPA, PAGE, false) == 0);
        EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA + PAGE - 8), 0);
        guest_store_now(suite, GUEST_WORD, GPA + PAGE - 8, GUEST_VALUE);
        EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA + PAGE - 8), GUEST_VALUE);
        EXPECT(vm_free_reserved_memory(&suite->guest->vm,
                                       guestmem_find_reservation(&suite->guest->vm, GPA)) == 0);
    }
}

static void what_the_vmm_writes_the_guest_loads(suite_t *suite)
{
    static device_t unexpected = {.result = FAULT_IGNORE};
    unsigned char *page = create_allocated_reservation_frame(&suite->guest->vm, GPA, seL4_AllRights,
                                                             device_access, &unexpected);
    REQUIRE(page != NULL);
    seL4_Word value = GUEST_VALUE;
    memcpy(page + 0x100, &value, sizeof(value));
    guest_clean(suite, page + 0x100, sizeof(value));
    EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA + 0x100), GUEST_VALUE);
    guest_store_now(suite, 2, GPA + 0x108, 0xbeef);
    EXPECT_EQUAL(page[0x108], 0xef);
    EXPECT_EQUAL(page[0x109], 0xbe);
    EXPECT_EQUAL(unexpected.count, 0);
}

static void memory_at_chosen_addresses_is_loaded_and_stored(suite_t *suite)
{
    device_t unexpected = {.result = FAULT_IGNORE};
    vm_t *vm = &suite->guest->vm;
    uintptr_t paddr = free_paddr(suite, 3 * PAGE);
    if (guestmem_find_reservation(vm, paddr) != NULL) {
        suite_skip(suite, "the free memory lies where the guest's own is");
        return;
    }
    vm_memory_reservation_t *r = guest_device(suite, paddr, 2 * PAGE, &unexpected);
    EXPECT(map_ut_alloc_reservation(vm, r) == 0);
    store_and_load(suite, paddr);
    store_and_load(suite, paddr + PAGE);
    EXPECT(vm_free_reserved_memory(vm, r) == 0);
    r = guest_device(suite, GPA + 0x10, 2 * PAGE, &unexpected);
    EXPECT(map_ut_alloc_reservation_with_base_paddr(vm, paddr + 0x10, r) == 0);
    store_and_load(suite, GPA + 0x10);
    store_and_load(suite, GPA + 0x10 + 2 * PAGE - 32);
    EXPECT_EQUAL(unexpected.count, 0);
}

static void device_frame_reads_the_device(suite_t *suite)
{
    device_t unexpected = {.result = FAULT_IGNORE};
    uintptr_t paddr = suite->env->device_paddr;
    volatile uint32_t *vmm = create_device_reservation_frame(&suite->guest->vm, paddr, seL4_CanRead,
                                                             device_access, &unexpected);
    REQUIRE(vmm != NULL);
    EXPECT_EQUAL(guest_load_now(suite, 4, paddr + 0xfe0), vmm[0xfe0 / 4]);
    EXPECT_EQUAL(unexpected.count, 0);
    guest_store_now(suite, 4, paddr + 0xfe0, 0); /* may not: the callback sees it */
    EXPECT_EQUAL(unexpected.count, 1);
    EXPECT(!unexpected.seen[0].read);
}

static void callers_frames_are_what_the_guest_sees(suite_t *suite)
{
    device_t device = {.result = FAULT_IGNORE};
    seL4_CPtr frames[2] = {new_frame(suite, 12), new_frame(suite, 12)};
    for (int i = 0; i < 2; i++) {
        unsigned char *page = show_frame(suite, frames[i]);
        REQUIRE(page != NULL);
        page[8] = (unsigned char)(0x71 + i);
        hide_frame(suite, page);
    }
    vm_memory_reservation_t *r = guest_device(suite, GPA, 2 * PAGE, &device);
    EXPECT(vm_map_reservation_frames(&suite->guest->vm, r, frames, 2, 12) == 0);
    guest_clear(suite);
    size_t first = guest_load(suite, 1, GPA + 8), second = guest_load(suite, 1, GPA + PAGE + 8);
    REQUIRE(guest_go(suite));
    EXPECT_EQUAL(guest_loaded(suite, first), 0x71);
    EXPECT_EQUAL(guest_loaded(suite, second), 0x72);
    EXPECT_EQUAL(device.count, 0);
    EXPECT(vm_free_reserved_memory(&suite->guest->vm, r) == 0);
}

static const check_t checks[] = {
    CHECK(allocated_ram_is_loaded_and_stored),
    CHECK(allocated_ram_is_zero_at_first),
    CHECK(what_the_vmm_writes_the_guest_loads),
    CHECK(memory_at_chosen_addresses_is_loaded_and_stored),
    CHECK(device_frame_reads_the_device),
    CHECK(callers_frames_are_what_the_guest_sees),
};

const area_t area_guest = AREA("guest", FIXTURE_GUEST, checks);
