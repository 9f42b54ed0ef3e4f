/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The contract: size, content and attributes of frames, and what the VMM sees of them. */

#include "objects.h"
#include "vm_memory.h"
#include <sel4vm/arch/guest_memory_arch.h>
#include <string.h>
#include <vka/object.h>

static faults_t faults;

static void largest_frames_that_fit_are_used(suite_t *suite)
{
    vm_memory_reservation_t *r = reserve(suite, GPA + 2 * MEGABYTE - PAGE, 4 * MEGABYTE + 2 * PAGE);
    EXPECT(map_frame_alloc_reservation(&suite->vm, r) == 0);
    guestmem_reservation_info_t info = info_of(suite, r);
    EXPECT_EQUAL(info.frames[GUESTMEM_FRAME_4K], 2);
    EXPECT_EQUAL(info.frames[GUESTMEM_FRAME_2M], 2);
    EXPECT_EQUAL(vspace_get_cookie(&suite->vm.mem.vm_vspace, (void *)(GPA + 3 * MEGABYTE + 5)), 21);
}

static void policy_caps_the_size_for_a_vm_and_a_reservation(suite_t *suite)
{
    EXPECT(guestmem_set_largest_frame(&suite->vm, 12) == 0);
    vm_memory_reservation_t *small = reserve(suite, GPA, 2 * MEGABYTE);
    EXPECT(map_frame_alloc_reservation(&suite->vm, small) == 0);
    EXPECT_EQUAL(info_of(suite, small).frames[GUESTMEM_FRAME_4K], 512);
    vm_memory_reservation_t *large = reserve(suite, GPA + 2 * MEGABYTE, 2 * MEGABYTE);
    EXPECT(guestmem_set_reservation_largest_frame(&suite->vm, large, 21) == 0);
    EXPECT(map_frame_alloc_reservation(&suite->vm, large) == 0);
    EXPECT_EQUAL(info_of(suite, large).frames[GUESTMEM_FRAME_2M], 1);
    EXPECT(guestmem_set_largest_frame(&suite->vm, 16) == -1);
    EXPECT_REASON(GUESTMEM_BAD_ARGUMENT);
}

static void large_frames_take_a_retype_and_a_map_each(suite_t *suite)
{
    guestmem_statistics_t before = statistics_of(suite);
    vm_memory_reservation_t *r = reserve(suite, GPA, 16 * MEGABYTE);
    EXPECT(map_frame_alloc_reservation(&suite->vm, r) == 0);
    guestmem_statistics_t after = statistics_of(suite);
    EXPECT_EQUAL(after.page_maps - before.page_maps, 8);
    EXPECT_EQUAL(after.table_maps - before.table_maps, 1);
    EXPECT_EQUAL(after.object_allocations - before.object_allocations, 9);
    EXPECT_EQUAL(after.cap_copies - before.cap_copies, 0);
}

static void a_gigabyte_is_one_frame_where_there_is_one(suite_t *suite)
{
    vka_object_t frame;
    if (vka_alloc_frame(suite->env->vka, seL4_HugePageBits, &frame) != 0) {
        suite_skip(suite, "the allocator has no free GiB of regular memory");
        return;
    }
    vka_free_object(suite->env->vka, &frame);
    vm_memory_reservation_t *r = reserve(suite, GPA, GIGABYTE);
    EXPECT(map_frame_alloc_reservation(&suite->vm, r) == 0);
    EXPECT_EQUAL(info_of(suite, r).frames[GUESTMEM_FRAME_1G], 1);
    EXPECT_EQUAL(statistics_of(suite).page_tables, 0);
    EXPECT_EQUAL(vspace_get_cookie(&suite->vm.mem.vm_vspace, (void *)(GPA + GIGABYTE - 1)), 30);
}

static void runtime_finds_physical_addresses_through_the_guests_vspace(suite_t *suite)
{
    vm_t *vm = &suite->vm;
    uintptr_t paddr = free_paddr(suite, 2 * PAGE);
    vm_memory_reservation_t *r = reserve(suite, GPA, 2 * PAGE);
    EXPECT(map_ut_alloc_reservation_with_base_paddr(vm, paddr, r) == 0);
    EXPECT_EQUAL(vm_arm_ipa_to_pa(vm, GPA, 2 * PAGE), paddr);
    EXPECT_EQUAL(vm_arm_ipa_to_pa(vm, GPA + 0x10, 2 * PAGE - 0x20), paddr + 0x10);
    EXPECT_EQUAL(vm_arm_ipa_to_pa(vm, GPA + 2 * PAGE, 1), 0);
    EXPECT_EQUAL(vm_arm_ipa_to_pa(vm, GPA + PAGE, 2 * PAGE), 0);
    EXPECT(vm_ram_register_at(vm, 2 * GPA, 2 * MEGABYTE, false) == 0);
    seL4_CPtr large = vspace_get_cap(&vm->mem.vm_vspace, (void *)(2 * GPA));
    EXPECT_EQUAL(vm_arm_ipa_to_pa(vm, 2 * GPA + MEGABYTE, MEGABYTE),
                 frame_paddr(suite, large) + MEGABYTE);
    EXPECT_EQUAL(vspace_get_root(&vm->mem.vm_vspace), vm->mem.vm_vspace_root.cptr);
}

static void allocated_memory_reaches_the_guest_zeroed(suite_t *suite)
{
    static const unsigned char zeroes[PAGE];
    static unsigned char bytes[PAGE];
    for (int round = 0; round < 3; round++) {
        vm_memory_reservation_t *r = reserve(suite, GPA, 2 * PAGE);
        EXPECT(map_frame_alloc_reservation(&suite->vm, r) == 0);
        for (uintptr_t page = 0; page < 2; page++) {
            memset(bytes, 0xff, sizeof(bytes));
            EXPECT(guestmem_access(&suite->vm, GPA + page * PAGE, PAGE, vm_guest_ram_read_callback,
                                   bytes) == 0);
            EXPECT(memcmp(bytes, zeroes, PAGE) == 0);
            memset(bytes, 0xa5, sizeof(bytes));
            EXPECT(guestmem_access(&suite->vm, GPA + page * PAGE, PAGE, vm_guest_ram_write_callback,
                                   bytes) == 0);
        }
        EXPECT(vm_free_reserved_memory(&suite->vm, r) == 0);
    }
}

static void ram_at_a_chosen_paddr_is_zeroed_whatever_it_held(suite_t *suite)
{
    unsigned char bytes[64];
    uintptr_t paddr = free_paddr(suite, PAGE);
    for (int round = 0; round < 2; round++) {
        EXPECT(vm_ram_register_at(&suite->vm, paddr, PAGE, true) == 0);
        EXPECT(guestmem_read(&suite->vm, paddr + 256, bytes, sizeof(bytes)) == 0);
        EXPECT(bytes[0] == 0 && memcmp(bytes, bytes + 1, sizeof(bytes) - 1) == 0);
        EXPECT(guestmem_fill(&suite->vm, paddr, 0xee, PAGE) == 0);
        EXPECT(vm_free_reserved_memory(&suite->vm, guestmem_find_reservation(&suite->vm, paddr)) ==
               0);
    }
}

static void ram_of_a_device_untyped_is_zeroed_too(suite_t *suite)
{
    unsigned char byte = 1;
    uintptr_t paddr = suite->env->scratch_device_paddr;
    if (paddr == 0) {
        suite_skip(suite, "the board has no device memory that may be written");
        return;
    }
    for (int round = 0; round < 2; round++) {
        EXPECT(vm_ram_register_at(&suite->vm, paddr, PAGE, true) == 0);
        EXPECT(guestmem_read(&suite->vm, paddr + PAGE - 1, &byte, 1) == 0);
        EXPECT_EQUAL(byte, 0);
        EXPECT(guestmem_fill(&suite->vm, paddr, 0xee, PAGE) == 0);
        EXPECT(vm_free_reserved_memory(&suite->vm, guestmem_find_reservation(&suite->vm, paddr)) ==
               0);
    }
}

static void device_frames_are_uncached_in_guest_and_vmm(suite_t *suite)
{
    uintptr_t paddr = suite->env->device_paddr;
    unsigned char *page =
        create_device_reservation_frame(&suite->vm, paddr, seL4_AllRights, record_fault, &faults);
    REQUIRE(page != NULL);
    EXPECT(!info_of(suite, guestmem_find_reservation(&suite->vm, paddr)).cacheable);
    EXPECT_EQUAL(suite->counting.uncached_windows, 1);
    EXPECT_EQUAL(suite->counting.cached_windows, 0);
    seL4_CPtr cap = vspace_get_cap(&suite->vm.mem.vm_vspace, (void *)paddr);
    EXPECT_EQUAL(frame_paddr(suite, cap), paddr);
}

static void allocated_frames_are_cached_in_guest_and_vmm(suite_t *suite)
{
    unsigned char *page =
        create_allocated_reservation_frame(&suite->vm, GPA, seL4_AllRights, record_fault, &faults);
    REQUIRE(page != NULL);
    EXPECT(info_of(suite, guestmem_find_reservation(&suite->vm, GPA)).cacheable);
    EXPECT(vm_ram_register_at(&suite->vm, 2 * GPA, PAGE, false) == 0);
    EXPECT(guestmem_fill(&suite->vm, 2 * GPA, 1, PAGE) == 0);
    EXPECT(info_of(suite, guestmem_find_reservation(&suite->vm, 2 * GPA)).cacheable);
    EXPECT_EQUAL(suite->counting.uncached_windows, 0);
    EXPECT(suite->counting.cached_windows >= 2);
}

static void device_page_that_is_taken_is_refused(suite_t *suite)
{
    uintptr_t paddr = suite->env->device_paddr;
    EXPECT(create_device_reservation_frame(&suite->vm, paddr, seL4_CanRead, record_fault,
                                           &faults) != NULL);
    holdings_t before = suite->counting.held;
    EXPECT(create_device_reservation_frame(&suite->vm, paddr, seL4_CanRead, record_fault,
                                           &faults) == NULL);
    EXPECT_REASON(GUESTMEM_OVERLAP);
    EXPECT_HELD(&before);
}

static void single_frames_must_be_aligned(suite_t *suite)
{
    holdings_t before = suite->counting.held;
    EXPECT(create_allocated_reservation_frame(&suite->vm, GPA + 4, seL4_AllRights, record_fault,
                                              &faults) == NULL);
    EXPECT_REASON(GUESTMEM_MISALIGNED);
    EXPECT(create_device_reservation_frame(&suite->vm, suite->env->device_paddr + 4, seL4_AllRights,
                                           record_fault, &faults) == NULL);
    EXPECT_REASON(GUESTMEM_MISALIGNED);
    EXPECT_HELD(&before);
}

static void vmms_pointer_always_reads_and_writes(suite_t *suite)
{
    static const seL4_Word rights[][2] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}}; /* read, write */
    for (uintptr_t i = 0; i < 4; i++) {
        uintptr_t gpa = GPA + i * PAGE;
        unsigned char *page = create_allocated_reservation_frame(
            &suite->vm, gpa, seL4_CapRights_new(0, 0, rights[i][0], rights[i][1]), record_fault,
            &faults);
        REQUIRE(page != NULL);
        page[5] = (unsigned char)(i + 1);
        unsigned char byte = 0;
        EXPECT(guestmem_access(&suite->vm, gpa + 5, 1, vm_guest_ram_read_callback, &byte) == 0);
        EXPECT_EQUAL(byte, i + 1);
    }
}

static const check_t checks[] = {
    CHECK(largest_frames_that_fit_are_used),
    CHECK(policy_caps_the_size_for_a_vm_and_a_reservation),
    CHECK(large_frames_take_a_retype_and_a_map_each),
    CHECK(a_gigabyte_is_one_frame_where_there_is_one),
    CHECK(runtime_finds_physical_addresses_through_the_guests_vspace),
    CHECK(allocated_memory_reaches_the_guest_zeroed),
    CHECK(ram_at_a_chosen_paddr_is_zeroed_whatever_it_held),
    CHECK(ram_of_a_device_untyped_is_zeroed_too),
    CHECK(device_frames_are_uncached_in_guest_and_vmm),
    CHECK(allocated_frames_are_cached_in_guest_and_vmm),
    CHECK(device_page_that_is_taken_is_refused),
    CHECK(single_frames_must_be_aligned),
    CHECK(vmms_pointer_always_reads_and_writes),
};

const area_t area_frames = AREA("frames", FIXTURE_MEMORY, checks);
