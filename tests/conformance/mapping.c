/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The contract: mapping a reservation, once, with the frames that an iterator or array hands in. */

#include "objects.h"
#include "vm_memory.h"

static vm_frame_t frame_at(seL4_CPtr cap, uintptr_t gpa, size_t bits)
{
    return (vm_frame_t){cap, seL4_AllRights, gpa, bits};
}

/* A frame that is mapped nowhere can be mapped anywhere. */
static void expect_unmapped(suite_t *suite, seL4_CPtr frame)
{
    seL4_CPtr space = new_space(suite);
    make_tables(suite, space, 0, 12);
    EXPECT_ERROR(map(frame, space, 0), seL4_NoError);
    EXPECT_ERROR(seL4_ARM_Page_Unmap(frame), seL4_NoError);
}

static void mapping_twice_fails_and_changes_nothing(suite_t *suite)
{
    handout_t handout = {0};
    vm_memory_reservation_t *r = reserve(suite, GPA, 2 * PAGE);
    EXPECT(map_frame_alloc_reservation(&suite->vm, r) == 0);
    seL4_CPtr cap = vspace_get_cap(&suite->vm.mem.vm_vspace, (void *)GPA);
    holdings_t before = suite->counting.held;
    EXPECT_REFUSED(map_frame_alloc_reservation(&suite->vm, r) == -1, GUESTMEM_ALREADY_MAPPED);
    EXPECT_REFUSED(map_ut_alloc_reservation(&suite->vm, r) == -1, GUESTMEM_ALREADY_MAPPED);
    EXPECT_REFUSED(map_maybe_device_reservation(&suite->vm, r) == -1, GUESTMEM_ALREADY_MAPPED);
    EXPECT_REFUSED(vm_map_reservation(&suite->vm, r, hand_out, &handout) == -1,
                   GUESTMEM_ALREADY_MAPPED);
    EXPECT_EQUAL(handout.next, 0);
    EXPECT_HELD(&before);
    EXPECT_EQUAL(vspace_get_cap(&suite->vm.mem.vm_vspace, (void *)GPA), cap);
}

static void iterator_is_asked_for_the_first_address_and_after_each_frame(suite_t *suite)
{
    seL4_CPtr small = new_frame(suite, 12), large = new_frame(suite, 21);
    uintptr_t start = GPA + 2 * MEGABYTE - PAGE;
    handout_t handout = {
        .frames = {frame_at(small, start, 12), frame_at(large, GPA + 2 * MEGABYTE, 21)}};
    vm_memory_reservation_t *r = reserve(suite, start + 8, 2 * MEGABYTE + PAGE - 8);
    EXPECT(vm_map_reservation(&suite->vm, r, hand_out, &handout) == 0);
    EXPECT_EQUAL(handout.next, 2);
    EXPECT_EQUAL(handout.asked[0], start + 8);
    EXPECT_EQUAL(handout.asked[1], GPA + 2 * MEGABYTE);
    EXPECT_EQUAL(info_of(suite, r).frames[GUESTMEM_FRAME_2M], 1);
    EXPECT_EQUAL(info_of(suite, r).frames[GUESTMEM_FRAME_4K], 1);
    EXPECT(info_of(suite, r).backing == GUESTMEM_CALLER);
}

/* Map two pages with a good frame and a second one, and check that nothing is left of it. */
static void expect_second_refused(suite_t *suite, vm_frame_t first, vm_frame_t second,
                                  guestmem_error_code_t code)
{
    vm_t *vm = &suite->vm;
    holdings_t before = suite->counting.held;
    vm_memory_reservation_t *r = reserve(suite, GPA, 2 * PAGE);
    handout_t handout = {.frames = {first, second}};
    EXPECT_REFUSED(vm_map_reservation(vm, r, hand_out, &handout) == -1, code);
    EXPECT(!info_of(suite, r).mapped);
    EXPECT(!has_frame(suite, GPA));
    EXPECT(vm_free_reserved_memory(vm, r) == 0);
    handout.next = 0;
    EXPECT_REFUSED(vm_ram_register_at_custom_iterator(vm, GPA, 2 * PAGE, hand_out, &handout) == -1,
                   code);
    EXPECT_EQUAL(vm->mem.num_ram_regions, 0);
    EXPECT(!has_frame(suite, GPA));
    EXPECT_HELD(&before);
}

static void iterators_frame_that_does_not_fit_undoes_the_whole_map(suite_t *suite)
{
    seL4_CPtr good = new_frame(suite, 12), other = new_frame(suite, 12);
    seL4_CPtr large = new_frame(suite, 21), in_use = new_frame(suite, 12);
    const struct {
        vm_frame_t second;
        guestmem_error_code_t code;
    } rows[] = {
        {frame_at(seL4_CapNull, GPA + PAGE, 12), GUESTMEM_NO_FRAME},
        {frame_at(other, GPA + PAGE, 13), GUESTMEM_BAD_FRAME}, /* no such size */
        {frame_at(other, GPA + PAGE, 0), GUESTMEM_BAD_FRAME},
        {frame_at(other, GPA + PAGE, 64), GUESTMEM_BAD_FRAME},
        {frame_at(other, GPA + PAGE + 8, 12), GUESTMEM_BAD_FRAME}, /* misaligned */
        {frame_at(other, GPA, 12), GUESTMEM_BAD_FRAME},            /* does not cover the address */
        {frame_at(other, GPA + 2 * PAGE, 12), GUESTMEM_BAD_FRAME},
        {frame_at(large, GPA, 21), GUESTMEM_BAD_FRAME},                /* beyond the reservation */
        {frame_at(good, GPA + PAGE, 12), GUESTMEM_KERNEL},             /* handed in already */
        {frame_at(in_use, GPA + PAGE, 12), GUESTMEM_KERNEL},           /* mapped elsewhere */
        {frame_at(new_table(suite), GPA + PAGE, 12), GUESTMEM_KERNEL}, /* no frame */
    };
    vm_memory_reservation_t *elsewhere = reserve(suite, 2 * GPA, PAGE);
    EXPECT(vm_map_reservation_frames(&suite->vm, elsewhere, &in_use, 1, 12) == 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect_second_refused(suite, frame_at(good, GPA, 12), rows[i].second, rows[i].code);
        expect_unmapped(suite, good);
    }
    handout_t handout = {.frames = {frame_at(good, GPA, 12), frame_at(other, GPA + PAGE, 12)}};
    EXPECT(vm_map_reservation(&suite->vm, reserve(suite, GPA, 2 * PAGE), hand_out, &handout) == 0);
}

static void kernel_is_not_asked_to_replace_a_mapping(suite_t *suite)
{
    /* Two frames that overlap in one hand-out, and a frame over a neighbour. */
    seL4_CPtr first = new_frame(suite, 12), second = new_frame(suite, 21);
    vm_memory_reservation_t *r = reserve(suite, GPA, 2 * MEGABYTE);
    handout_t handout = {.frames = {frame_at(first, GPA, 12), frame_at(second, GPA, 21)}};
    uint64_t maps = statistics_of(suite).page_maps;
    EXPECT_REFUSED(vm_map_reservation(&suite->vm, r, hand_out, &handout) == -1, GUESTMEM_BAD_FRAME);
    EXPECT(statistics_of(suite).page_maps <= maps + 1);
    EXPECT(!has_frame(suite, GPA));
    expect_unmapped(suite, first);
}

static void array_maps_frames_in_order_and_at_once(suite_t *suite)
{
    seL4_CPtr frames[3] = {new_frame(suite, 12), new_frame(suite, 12), new_frame(suite, 12)};
    vm_t *vm = &suite->vm;
    vm_memory_reservation_t *r = reserve(suite, GPA + 0x10, 3 * PAGE - 0x10);
    EXPECT_REFUSED(vm_map_reservation_frames(vm, r, frames, 2, 12) == -1, GUESTMEM_NO_FRAME);
    EXPECT_REFUSED(vm_map_reservation_frames(vm, r, frames, 0, 12) == -1, GUESTMEM_NO_FRAME);
    EXPECT_REFUSED(vm_map_reservation_frames(vm, r, NULL, 3, 12) == -1, GUESTMEM_BAD_ARGUMENT);
    EXPECT_REFUSED(vm_map_reservation_frames(vm, r, frames, 3, 13) == -1, GUESTMEM_BAD_ARGUMENT);
    EXPECT_REFUSED(vm_map_reservation_frames(vm, r, frames, 3, 21) == -1, GUESTMEM_BAD_FRAME);
    EXPECT(!has_frame(suite, GPA));
    EXPECT(guestmem_set_map_time(vm, GUESTMEM_MAP_ON_FAULT) == 0);
    EXPECT(vm_map_reservation_frames(vm, r, frames, 3, 12) == 0);
    for (uintptr_t i = 0; i < 3; i++) {
        EXPECT_EQUAL(vspace_get_cap(&vm->mem.vm_vspace, (void *)(GPA + i * PAGE)), frames[i]);
        EXPECT_EQUAL(vspace_get_cookie(&vm->mem.vm_vspace, (void *)(GPA + i * PAGE)), 12);
    }
}

/* In no header: upstream's runtime declares and calls it by itself. */
int map_vm_memory_reservation(vm_t *vm, vm_memory_reservation_t *vm_reservation,
                              memory_map_iterator_fn map_iterator, void *map_cookie);

static void the_runtimes_own_map_is_never_deferred(suite_t *suite)
{
    handout_t handout = {.frames = {frame_at(new_frame(suite, 12), GPA, 12)}};
    EXPECT(guestmem_set_map_time(&suite->vm, GUESTMEM_MAP_ON_FAULT) == 0);
    EXPECT(map_vm_memory_reservation(&suite->vm, reserve(suite, GPA, PAGE), hand_out, &handout) ==
           0);
    EXPECT(has_frame(suite, GPA));
}

static void base_paddr_must_agree_modulo_4_KiB(suite_t *suite)
{
    uintptr_t paddr = free_paddr(suite, 4 * PAGE);
    vm_memory_reservation_t *r = reserve(suite, GPA + 0x123, 2 * PAGE);
    holdings_t before = suite->counting.held;
    EXPECT_REFUSED(map_ut_alloc_reservation_with_base_paddr(&suite->vm, paddr + 0x124, r) == -1,
                   GUESTMEM_MISALIGNED);
    EXPECT_HELD(&before);
    EXPECT(map_ut_alloc_reservation_with_base_paddr(&suite->vm, paddr + 0x123, r) == 0);
    for (uintptr_t i = 0; i < 3; i++) {
        seL4_CPtr cap = vspace_get_cap(&suite->vm.mem.vm_vspace, (void *)(GPA + i * PAGE));
        EXPECT_EQUAL(frame_paddr(suite, cap), paddr + i * PAGE);
    }
}

static void ut_alloc_maps_the_same_physical_addresses(suite_t *suite)
{
    uintptr_t paddr = free_paddr(suite, 2 * PAGE);
    vm_memory_reservation_t *r = reserve(suite, paddr, 2 * PAGE);
    EXPECT(map_ut_alloc_reservation(&suite->vm, r) == 0);
    EXPECT(info_of(suite, r).backing == GUESTMEM_UNTYPED);
    EXPECT(info_of(suite, r).cacheable);
    for (uintptr_t i = 0; i < 2; i++) {
        seL4_CPtr cap = vspace_get_cap(&suite->vm.mem.vm_vspace, (void *)(paddr + i * PAGE));
        EXPECT_EQUAL(frame_paddr(suite, cap), paddr + i * PAGE);
    }
}

/* An iterator that calls the library for the VM that it maps for, and then gives a frame. */
typedef struct meddler {
    suite_t *suite;
    seL4_CPtr frame;
    vm_memory_reservation_t *mapping; /* the reservation that is being mapped */
    vm_memory_reservation_t *mapped;  /* and two others */
    vm_memory_reservation_t *emulated;
    vm_t *other;
} meddler_t;

/* Each of these calls is refused, for its own reason. */
static void meddle(meddler_t *m)
{
    suite_t *suite = m->suite;
    vm_t *vm = &suite->vm;
    uintptr_t addr = 1;
    guestmem_statistics_t statistics;
    handout_t handout = {0};
    EXPECT_REFUSED(vm_free_reserved_memory(vm, m->mapping) == -1, GUESTMEM_IN_ITERATOR);
    EXPECT_REFUSED(vm_free_reserved_memory(vm, m->emulated) == -1, GUESTMEM_IN_ITERATOR);
    EXPECT_REFUSED(vm_map_reservation(vm, m->mapping, hand_out, &handout) == -1,
                   GUESTMEM_IN_ITERATOR);
    EXPECT_REFUSED(map_frame_alloc_reservation(vm, m->emulated) == -1, GUESTMEM_IN_ITERATOR);
    EXPECT_REFUSED(vm_reserve_memory_at(vm, 4 * GPA, PAGE, record_fault, suite) == NULL,
                   GUESTMEM_IN_ITERATOR);
    EXPECT_REFUSED(vm_memory_make_anon(vm, 4 * GPA, PAGE) == -1, GUESTMEM_IN_ITERATOR);
    EXPECT_REFUSED(vm_ram_register_at(vm, 4 * GPA, PAGE, false) == -1, GUESTMEM_IN_ITERATOR);
    EXPECT_REFUSED(vm_ram_touch(vm, 2 * GPA, 1, vm_guest_ram_read_callback, &addr) == -1,
                   GUESTMEM_IN_ITERATOR);
    EXPECT_REFUSED(guestmem_fill(vm, 2 * GPA, 7, PAGE) == -1, GUESTMEM_IN_ITERATOR);
    EXPECT_REFUSED(guestmem_pointer(vm, 2 * GPA, 1) == NULL, GUESTMEM_IN_ITERATOR);
    EXPECT_REFUSED(vm_ram_allocate(vm, PAGE) == 0, GUESTMEM_IN_ITERATOR);
    EXPECT_REFUSED(create_allocated_reservation_frame(vm, 4 * GPA, seL4_AllRights, record_fault,
                                                      suite) == NULL,
                   GUESTMEM_IN_ITERATOR);
    EXPECT_REFUSED(guestmem_name_reservation(vm, m->mapped, "meddled") == -1, GUESTMEM_IN_ITERATOR);
    EXPECT_REFUSED(guestmem_set_largest_frame(vm, 12) == -1, GUESTMEM_IN_ITERATOR);
    EXPECT_REFUSED(guestmem_get_statistics(vm, &statistics) == -1, GUESTMEM_IN_ITERATOR);
    EXPECT_REFUSED(guestmem_find_reservation(vm, GPA) == NULL, GUESTMEM_IN_ITERATOR);
    EXPECT_REFUSED(vm_memory_handle_fault(vm, NULL, 2 * GPA, 4) == FAULT_ERROR,
                   GUESTMEM_IN_ITERATOR);
    EXPECT_REFUSED(vm_memory_handle_fault(vm, NULL, 5 * GPA, 4) == FAULT_ERROR,
                   GUESTMEM_IN_ITERATOR);
    vm_memory_destroy(vm);
    EXPECT_EQUAL(addr, 1);
}

static vm_frame_t frame_of_meddler(uintptr_t addr, void *cookie)
{
    meddler_t *m = cookie;
    suite_t *suite = m->suite;
    meddle(m);
    vm_memory_reservation_t *r =
        vm_reserve_memory_at(m->other, addr, PAGE, record_fault, m); /* this it may do */
    EXPECT(r != NULL);
    EXPECT(map_frame_alloc_reservation(m->other, r) == 0);
    EXPECT(vm_free_reserved_memory(m->other, r) == 0);
    return frame_at(m->frame, addr, 12);
}

static void iterator_may_call_the_library_for_other_vms_only(suite_t *suite)
{
    static vm_t other;
    REQUIRE(memory_make(suite, &other));
    for (int on_fault = 0; on_fault < 2; on_fault++) {
        meddler_t m = {.suite = suite, .frame = new_frame(suite, 12), .other = &other};
        EXPECT(vm_ram_register_at(&suite->vm, 2 * GPA, PAGE, false) == 0);
        m.mapped = guestmem_find_reservation(&suite->vm, 2 * GPA);
        m.emulated = reserve(suite, 3 * GPA, PAGE);
        m.mapping = reserve(suite, GPA, PAGE);
        guestmem_statistics_t before = statistics_of(suite);
        holdings_t held = suite->counting.held;
        EXPECT(guestmem_set_map_time(&suite->vm,
                                     on_fault ? GUESTMEM_MAP_ON_FAULT : GUESTMEM_MAP_NOW) == 0);
        EXPECT(vm_map_reservation(&suite->vm, m.mapping, frame_of_meddler, &m) == 0);
        EXPECT(!on_fault || vm_memory_handle_fault(&suite->vm, NULL, GPA, 4) == FAULT_RESTART);
        EXPECT(guestmem_set_map_time(&suite->vm, GUESTMEM_MAP_NOW) == 0);
        EXPECT_EQUAL(vspace_get_cap(&suite->vm.mem.vm_vspace, (void *)GPA), m.frame);
        EXPECT_EQUAL(statistics_of(suite).reservations, before.reservations);
        EXPECT_EQUAL(statistics_of(suite).anonymous_regions, 0);
        EXPECT_EQUAL(statistics_of(suite).frames[GUESTMEM_FRAME_4K],
                     before.frames[GUESTMEM_FRAME_4K] + 1);
        EXPECT_EQUAL(statistics_of(suite).window_frames, 0);
        EXPECT(!info_of(suite, m.emulated).mapped);
        EXPECT_EQUAL(info_of(suite, m.mapped).name[0], '\0');
        EXPECT_EQUAL(suite->vm.mem.ram_regions[0].allocated, 0);
        EXPECT(vm_free_reserved_memory(&suite->vm, m.mapping) == 0);
        m.mapping = reserve(suite, GPA, PAGE);
        EXPECT_HELD(&held);
        EXPECT(vm_free_reserved_memory(&suite->vm, m.mapping) == 0);
        EXPECT(vm_free_reserved_memory(&suite->vm, m.emulated) == 0);
        EXPECT(vm_free_reserved_memory(&suite->vm, m.mapped) == 0);
    }
    vm_memory_destroy(&other);
}

static const check_t checks[] = {
    CHECK(mapping_twice_fails_and_changes_nothing),
    CHECK(iterator_is_asked_for_the_first_address_and_after_each_frame),
    CHECK(iterators_frame_that_does_not_fit_undoes_the_whole_map),
    CHECK(iterator_may_call_the_library_for_other_vms_only),
    CHECK(kernel_is_not_asked_to_replace_a_mapping),
    CHECK(array_maps_frames_in_order_and_at_once),
    CHECK(the_runtimes_own_map_is_never_deferred),
    CHECK(base_paddr_must_agree_modulo_4_KiB),
    CHECK(ut_alloc_maps_the_same_physical_addresses),
};

const area_t area_mapping = AREA("mapping", FIXTURE_MEMORY, checks);
