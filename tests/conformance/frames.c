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
    for (int i = 0; i < GUESTMEM_NUM_FRAME_SIZES; i++) {
        size_t bits = guestmem_frame_size_bits((guestmem_frame_size_t)i);
        EXPECT_EQUAL(guestmem_set_largest_frame(&suite->vm, bits), bits != 0 ? 0 : -1);
    }
    EXPECT_EQUAL(guestmem_frame_size_bits(GUESTMEM_FRAME_2M), 21);
    EXPECT_EQUAL(guestmem_frame_size_bits(GUESTMEM_NUM_FRAME_SIZES), 0);
}

#ifdef CONFIG_ARCH_AARCH64
static void a_gigabyte_is_one_frame_where_there_is_one(suite_t *suite)
{
    vka_object_t frame;
    if (vka_alloc_frame(suite->env->vka, seL4_HugePageBits, &frame) != 0) {
        suite_skip(suite, "the allocator has no free GiB of regular memory");
        return;
    }
    vka_free_object(suite->env->vka, &frame);
    vm_memory_reservation_t *r = reserve(suite, GPA, GIGABYTE);
    EXPECT(guestmem_set_largest_frame(&suite->vm, seL4_HugePageBits) == 0);
    EXPECT(map_frame_alloc_reservation(&suite->vm, r) == 0);
    EXPECT_EQUAL(info_of(suite, r).frames[GUESTMEM_FRAME_1G], 1);
    EXPECT_EQUAL(statistics_of(suite).page_tables, 0);
    EXPECT_EQUAL(vspace_get_cookie(&suite->vm.mem.vm_vspace, (void *)(GPA + GIGABYTE - 1)), 30);
}
#endif

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

static void ram_of_a_device_untyped_is_zeroed_or_kept(suite_t *suite)
{
    unsigned char byte = 1;
    uintptr_t paddr = suite->env->scratch_device_paddr;
    if (paddr == 0) {
        suite_skip(suite, "the board has no device memory that may be written");
        return;
    }
    for (int round = 0; round < 3; round++) {
        bool keep = round == 2;
        EXPECT(guestmem_set_fixed_ram(&suite->vm, keep ? GUESTMEM_FIXED_RAM_KEPT
                                                       : GUESTMEM_FIXED_RAM_CLEARED) == 0);
        EXPECT(vm_ram_register_at(&suite->vm, paddr, PAGE, true) == 0);
        EXPECT(guestmem_read(&suite->vm, paddr + PAGE - 1, &byte, 1) == 0);
        EXPECT_EQUAL(byte, keep ? 0xee : 0);
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

static void guests_vspace_refuses_what_changes_it(suite_t *suite)
{
    vspace_t *face = &suite->vm.mem.vm_vspace;
    holdings_t before = suite->counting.held;
    seL4_CPtr cap = seL4_CapNull;
    void *vaddr = NULL, *at = (void *)GPA;
    const reservation_t some = {&before};
    EXPECT(vspace_new_pages(face, seL4_AllRights, 1, 12) == NULL);
    EXPECT(vspace_map_pages(face, &cap, NULL, seL4_AllRights, 1, 12, 1) == NULL);
    EXPECT(vspace_reserve_range_aligned(face, PAGE, 12, seL4_AllRights, 1, &vaddr).res == NULL);
    EXPECT(vspace_reserve_range_at(face, at, PAGE, seL4_AllRights, 1).res == NULL);
    EXPECT(vspace_reserve_deferred_rights_range_at(face, at, PAGE, 1).res == NULL);
    EXPECT(vspace_map_pages_at_vaddr(face, &cap, NULL, at, 1, 12, some) != 0);
    EXPECT(vspace_new_pages_at_vaddr(face, at, 1, 12, some) != 0);
    EXPECT(vspace_deferred_rights_map_pages_at_vaddr(face, &cap, NULL, at, 1, 12, seL4_AllRights,
                                                     some) != 0);
    EXPECT(vspace_share_mem_at_vaddr(face, face, at, 1, 12, at, some) != 0);
    vspace_unmap_pages(face, at, 1, 12, VSPACE_PRESERVE);
    vspace_free_reservation(face, some);
    vspace_free_reservation_by_vaddr(face, at);
    vspace_tear_down(face, VSPACE_PRESERVE);
    EXPECT_EQUAL(vspace_get_cap(face, at), seL4_CapNull);
    EXPECT_EQUAL(vspace_get_cookie(face, at), 0);
    EXPECT_HELD(&before);
}

/* Whether a physical address is of one of the board's device untypeds. */
static bool is_device(suite_t *suite, uintptr_t paddr)
{
    int count = simple_get_untyped_count(suite->env->simple);
    for (int i = 0; i < count; i++) {
        size_t bits;
        uintptr_t base;
        bool device;
        simple_get_nth_untyped(suite->env->simple, i, &bits, &base, &device);
        if (paddr - base < (uintptr_t)1 << bits) {
            return device;
        }
    }
    return true;
}

static bool frame_is_device(suite_t *suite, uintptr_t gpa)
{
    seL4_CPtr cap = vspace_get_cap(&suite->vm.mem.vm_vspace, (void *)gpa);
    return is_device(suite, frame_paddr(suite, cap));
}

/* Device memory, if it has some: so a VMM's own regular memory is left alone. */
static void memory_of_any_kind_is_what_the_allocator_prefers(suite_t *suite)
{
    vka_object_t frame;
    REQUIRE(vka_alloc_frame_maybe_device(suite->env->vka, 12, true, &frame) == 0);
    bool device = is_device(suite, frame_paddr(suite, frame.cptr));
    vka_free_object(suite->env->vka, &frame);
    EXPECT(vm_memory_make_anon(&suite->vm, 3 * GPA, PAGE) == 0);
    EXPECT(map_maybe_device_reservation(&suite->vm, reserve(suite, GPA, PAGE)) == 0);
    EXPECT(vm_ram_register_at(&suite->vm, 2 * GPA, PAGE, false) == 0);
    EXPECT(vm_ram_register(&suite->vm, PAGE) == 3 * GPA);
    EXPECT(map_frame_alloc_reservation(&suite->vm, reserve(suite, 4 * GPA, PAGE)) == 0);
    EXPECT_EQUAL(frame_is_device(suite, GPA), device);
    EXPECT_EQUAL(frame_is_device(suite, 2 * GPA), device);
    EXPECT_EQUAL(frame_is_device(suite, 3 * GPA), device);
    EXPECT(!frame_is_device(suite, 4 * GPA));
    EXPECT_EQUAL(info_of(suite, guestmem_find_reservation(&suite->vm, GPA)).cacheable, !device);
    EXPECT(info_of(suite, guestmem_find_reservation(&suite->vm, 2 * GPA)).cacheable);
}

static const check_t checks[] = {
    CHECK(largest_frames_that_fit_are_used),
    CHECK(policy_caps_the_size_for_a_vm_and_a_reservation),
#ifdef CONFIG_ARCH_AARCH64
    CHECK(a_gigabyte_is_one_frame_where_there_is_one),
#endif
    CHECK(runtime_finds_physical_addresses_through_the_guests_vspace),
    CHECK(guests_vspace_refuses_what_changes_it),
    CHECK(memory_of_any_kind_is_what_the_allocator_prefers),
    CHECK(allocated_memory_reaches_the_guest_zeroed),
    CHECK(ram_at_a_chosen_paddr_is_zeroed_whatever_it_held),
    CHECK(ram_of_a_device_untyped_is_zeroed_or_kept),
    CHECK(device_frames_are_uncached_in_guest_and_vmm),
    CHECK(allocated_frames_are_cached_in_guest_and_vmm),
    CHECK(vmms_pointer_always_reads_and_writes),
};

const area_t area_frames = AREA("frames", FIXTURE_MEMORY, checks);
