/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Mapped reservations: the six functions, iterators and arrays, ownership, rights, attributes. */

#include "world.h"
#include <vka/capops.h>
#include <vka/object.h>

#define GPA ((uintptr_t)0x80000000)

static void free_frames_are_zeroed_writable_and_cached(void **state)
{
    world_t *w = *state;
    vm_memory_reservation_t *r = world_reserve(w, GPA, 3 * PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    for (uintptr_t gpa = GPA; gpa < GPA + 3 * PAGE; gpa += PAGE) {
        hosted_stage2_mapping_t m = guest_mapping_at(w, gpa);
        assert_true(m.read && m.write && m.cacheable);
        assert_int_equal(m.size_bits, 12);
        unsigned char *bytes = guest_bytes(w, gpa);
        for (size_t i = 0; i < PAGE; i++) {
            assert_int_equal(bytes[i], 0);
        }
        memset(bytes, 0xa5, PAGE);
    }
    assert_false(guest_has(w, GPA - 1));
    assert_false(guest_has(w, GPA + 3 * PAGE));

    /* The same memory, given out again, is zeroed again. */
    uintptr_t paddr = guest_mapping_at(w, GPA).paddr;
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    assert_false(guest_has(w, GPA));
    r = world_reserve(w, GPA, 3 * PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    assert_int_equal(guest_mapping_at(w, GPA).paddr, paddr);
    assert_int_equal(guest_bytes(w, GPA)[0], 0);
}

static void the_largest_frames_that_fit_are_used(void **state)
{
    world_t *w = *state;
    guestmem_reservation_info_t info;
    vm_memory_reservation_t *r =
        world_reserve(w, GPA + 2 * MEGABYTE - PAGE, 4 * MEGABYTE + 2 * PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    assert_int_equal(guestmem_reservation_info(&w->vm, r, &info), 0);
    assert_int_equal(info.frames[GUESTMEM_FRAME_4K], 2);
    assert_int_equal(info.frames[GUESTMEM_FRAME_2M], 2);
    assert_int_equal(guest_mapping_at(w, GPA + 2 * MEGABYTE).size_bits, 21);

    assert_int_equal(guestmem_set_largest_frame(&w->vm, 12), 0);
    vm_memory_reservation_t *small = world_reserve(w, GPA + 16 * MEGABYTE, 2 * MEGABYTE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, small), 0);
    assert_int_equal(guestmem_reservation_info(&w->vm, small, &info), 0);
    assert_int_equal(info.frames[GUESTMEM_FRAME_4K], 512);
    assert_int_equal(guestmem_set_largest_frame(&w->vm, 16), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);

    vm_memory_reservation_t *large = world_reserve(w, GPA + 32 * MEGABYTE, 2 * MEGABYTE);
    assert_int_equal(guestmem_set_reservation_largest_frame(&w->vm, large, 21), 0);
    assert_int_equal(guestmem_set_reservation_largest_frame(&w->vm, large, 11), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(guestmem_set_reservation_largest_frame(&w->vm, NULL, 12), -1);
    expect_failure(w, GUESTMEM_NO_RESERVATION);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, large), 0);
    assert_int_equal(guestmem_reservation_info(&w->vm, large, &info), 0);
    assert_int_equal(info.frames[GUESTMEM_FRAME_2M], 1);
}

static void a_gigabyte_is_one_frame_where_there_is_one(void **state)
{
    world_t *w = *state;
    guestmem_reservation_info_t info;
    vm_memory_reservation_t *r = world_reserve(w, GPA, 1024 * MEGABYTE);
    uint64_t before = hosted_invocation_total(w->system);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    assert_true(hosted_invocation_total(w->system) - before <= 8);
    assert_int_equal(guestmem_reservation_info(&w->vm, r, &info), 0);
    assert_int_equal(info.frames[GUESTMEM_FRAME_1G], 1);
}

static void untyped_memory_is_mapped_one_to_one(void **state)
{
    world_t *w = *state;
    vm_memory_reservation_t *r = world_reserve(w, RAM_PADDR, 2 * PAGE);
    assert_int_equal(map_ut_alloc_reservation(&w->vm, r), 0);
    assert_int_equal(guest_mapping_at(w, RAM_PADDR).paddr, RAM_PADDR);
    assert_int_equal(guest_mapping_at(w, RAM_PADDR + PAGE).paddr, RAM_PADDR + PAGE);
    assert_true(guest_mapping_at(w, RAM_PADDR).cacheable);
}

static void untyped_memory_is_mapped_at_a_base_paddr(void **state)
{
    world_t *w = *state;
    vm_memory_reservation_t *r = world_reserve(w, GPA + 0x123, 2 * PAGE);
    assert_int_equal(map_ut_alloc_reservation_with_base_paddr(&w->vm, RAM_PADDR + 0x124, r), -1);
    expect_failure(w, GUESTMEM_MISALIGNED);
    assert_int_equal(map_ut_alloc_reservation_with_base_paddr(&w->vm, RAM_PADDR + 0x123, r), 0);
    for (uintptr_t i = 0; i < 3; i++) {
        assert_int_equal(guest_mapping_at(w, GPA + i * PAGE).paddr, RAM_PADDR + i * PAGE);
    }
    assert_false(guest_has(w, GPA + 3 * PAGE));
    vm_memory_reservation_t *wraps = world_reserve(w, GPA + 16 * PAGE, 2 * PAGE);
    assert_int_equal(map_ut_alloc_reservation_with_base_paddr(&w->vm, UINTPTR_MAX - 0xfff, wraps),
                     -1);
    expect_failure(w, GUESTMEM_BAD_RANGE);
}

static void a_paddr_that_large_frames_do_not_fit_takes_small_ones_at_once(void **state)
{
    world_t *w = *state;
    guestmem_statistics_t s;
    vm_memory_reservation_t *r = world_reserve(w, GPA, 2 * MEGABYTE);
    assert_int_equal(map_ut_alloc_reservation_with_base_paddr(&w->vm, RAM_PADDR + PAGE, r), 0);
    assert_int_equal(guest_mapping_at(w, GPA + 2 * MEGABYTE - 1).paddr, RAM_PADDR + 2 * MEGABYTE);
    assert_int_equal(guestmem_get_statistics(&w->vm, &s), 0);
    assert_int_equal(s.frames[GUESTMEM_FRAME_4K], 512);
    assert_int_equal(s.object_allocations, 512 + 2);
}

static void memory_that_no_untyped_has_is_refused_whole(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    vm_memory_reservation_t *r =
        world_reserve(w, UART, 64 * MEGABYTE); /* the UART and what follows */
    hosted_census_take(w->system, &before);
    assert_int_equal(map_ut_alloc_reservation(&w->vm, r), -1);
    expect_failure(w, GUESTMEM_NO_FRAME);
    expect_census(w, &before);
    assert_false(guest_has(w, UART));
}

static void device_memory_is_uncached_and_keeps_its_content(void **state)
{
    world_t *w = *state;
    unsigned char *registers = hosted_physical_memory(w->system, UART, PAGE);
    assert_non_null(registers);
    registers[0x18] = 0x90;
    vm_memory_reservation_t *r = world_reserve(w, UART, PAGE);
    assert_int_equal(map_ut_alloc_reservation(&w->vm, r), 0);
    assert_false(guest_mapping_at(w, UART).cacheable);
    assert_int_equal(guest_mapping_at(w, UART).paddr, UART);
    assert_int_equal(registers[0x18], 0x90);
}

static void maybe_device_memory_comes_from_anywhere(void **state)
{
    world_t *w = *state;
    vm_memory_reservation_t *r = world_reserve(w, GPA, 3 * MEGABYTE);
    assert_int_equal(map_maybe_device_reservation(&w->vm, r), 0);
    assert_true(guest_mapping_at(w, GPA).write);
    assert_true(guest_mapping_at(w, GPA + 3 * MEGABYTE - 1).write);
}

static void an_allocated_frame_is_shared_with_the_vmm(void **state)
{
    world_t *w = *state;
    unsigned char *page =
        create_allocated_reservation_frame(&w->vm, GPA, seL4_AllRights, record_fault, w);
    assert_non_null(page);
    page[7] = 42;
    assert_int_equal(guest_bytes(w, GPA)[7], 42);
    guest_bytes(w, GPA)[8] = 43;
    assert_int_equal(page[8], 43);
    assert_true(guest_mapping_at(w, GPA).cacheable);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, GPA + 8, 4), FAULT_HANDLED);
    assert_int_equal(w->faults, 1);
}

static void rights_are_the_guests_and_the_vmm_always_writes(void **state)
{
    world_t *w = *state;
    const struct {
        seL4_CapRights_t rights;
        bool read;
        bool write;
    } rows[] = {
        {seL4_AllRights, true, true},  {seL4_ReadWrite, true, true},  {seL4_CanRead, true, false},
        {seL4_CanWrite, false, false}, {seL4_NoRights, false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uintptr_t gpa = GPA + i * PAGE;
        unsigned char *page =
            create_allocated_reservation_frame(&w->vm, gpa, rows[i].rights, record_fault, w);
        assert_non_null(page);
        assert_int_equal(guest_mapping_at(w, gpa).read, rows[i].read);
        assert_int_equal(guest_mapping_at(w, gpa).write, rows[i].write);
        page[1] = (unsigned char)i;
        assert_int_equal(guest_bytes(w, gpa)[1], i);
    }
}

static void a_device_frame_is_shared_uncached(void **state)
{
    world_t *w = *state;
    unsigned char *page =
        create_device_reservation_frame(&w->vm, UART, seL4_AllRights, record_fault, w);
    assert_non_null(page);
    page[3] = 9;
    unsigned char *registers = hosted_physical_memory(w->system, UART, PAGE);
    assert_int_equal(registers[3], 9);
    assert_false(guest_mapping_at(w, UART).cacheable);
    assert_int_equal(guest_mapping_at(w, UART).paddr, UART);

    assert_null(create_device_reservation_frame(&w->vm, UART, seL4_AllRights, record_fault, w));
    expect_failure(w, GUESTMEM_OVERLAP);
}

static void bad_single_frames_are_refused(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    hosted_census_take(w->system, &before);
    assert_null(
        create_allocated_reservation_frame(&w->vm, GPA + 4, seL4_AllRights, record_fault, w));
    expect_failure(w, GUESTMEM_MISALIGNED);
    assert_null(create_allocated_reservation_frame(&w->vm, GPA, seL4_AllRights, NULL, w));
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_null(create_allocated_reservation_frame(&w->vm, (uintptr_t)1 << 40, seL4_AllRights,
                                                   record_fault, w));
    expect_failure(w, GUESTMEM_BAD_RANGE);
    assert_null(
        create_device_reservation_frame(&w->vm, 0x7000000000, seL4_AllRights, record_fault, w));
    expect_failure(w, GUESTMEM_NO_FRAME);
    expect_census(w, &before);
    assert_null(guestmem_find_reservation(&w->vm, GPA));
}

static void a_freed_frame_leaves_no_pointer_behind(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    hosted_census_take(w->system, &before);
    for (int i = 0; i < 50; i++) {
        assert_non_null(
            create_allocated_reservation_frame(&w->vm, GPA, seL4_CanRead, record_fault, w));
        vm_memory_reservation_t *r = guestmem_find_reservation(&w->vm, GPA);
        assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
        expect_census(w, &before);
    }
}

static void mapping_twice_fails_and_changes_nothing(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    vm_memory_reservation_t *r = world_reserve(w, GPA, PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    hosted_census_take(w->system, &before);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), -1);
    expect_failure(w, GUESTMEM_ALREADY_MAPPED);
    assert_int_equal(map_ut_alloc_reservation(&w->vm, r), -1);
    expect_failure(w, GUESTMEM_ALREADY_MAPPED);
    expect_census(w, &before);
}

static void a_mapped_reservation_shares_no_page(void **state)
{
    world_t *w = *state;
    vm_memory_reservation_t *low = world_reserve(w, GPA + 0x10, 0x10);
    vm_memory_reservation_t *high = world_reserve(w, GPA + 0x800, PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, high), -1);
    assert_int_equal(guestmem_last_error(&w->vm)->other_base, GPA + 0x10);
    expect_failure(w, GUESTMEM_PAGE_SHARED);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, low), -1);
    expect_failure(w, GUESTMEM_PAGE_SHARED);
    assert_int_equal(vm_free_reserved_memory(&w->vm, low), 0);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, high), 0);
    assert_true(guest_has(w, GPA));
    assert_true(guest_has(w, GPA + 2 * PAGE - 1));
    assert_null(vm_reserve_memory_at(&w->vm, GPA, 0x10, record_fault, w));
    expect_failure(w, GUESTMEM_PAGE_SHARED);
    assert_null(vm_reserve_memory_at(&w->vm, GPA + 2 * PAGE - 1, 1, record_fault, w));
    expect_failure(w, GUESTMEM_PAGE_SHARED);
    world_reserve(w, GPA + 2 * PAGE, 1);
}

static void beyond_the_guests_address_space_nothing_is_mapped(void **state)
{
    world_t *w = *state;
    uintptr_t top = (uintptr_t)1 << 40;
    vm_memory_reservation_t *inside = world_reserve(w, top - PAGE, PAGE);
    vm_memory_reservation_t *outside = world_reserve(w, top, PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, outside), -1);
    expect_failure(w, GUESTMEM_BAD_RANGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, inside), 0);
    assert_true(guest_has(w, top - 1));
}

/* An iterator that hands out what a test has laid out. */
typedef struct handout {
    vm_frame_t frames[8];
    int next;
    uintptr_t asked[8];
} handout_t;

static vm_frame_t hand_out(uintptr_t addr, void *cookie)
{
    handout_t *handout = cookie;
    handout->asked[handout->next] = addr;
    return handout->frames[handout->next++];
}

static void an_iterators_frames_stay_the_callers(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    vka_object_t small = world_frame(w, 12);
    vka_object_t large = world_frame(w, 21);
    hosted_census_take(w->system, &before);
    handout_t handout = {.frames = {
                             {small.cptr, seL4_CanRead, GPA + 2 * MEGABYTE - PAGE, 12},
                             {large.cptr, seL4_AllRights, GPA + 2 * MEGABYTE, 21},
                         }};
    vm_memory_reservation_t *r =
        world_reserve(w, GPA + 2 * MEGABYTE - PAGE + 8, 2 * MEGABYTE + PAGE - 8);
    assert_int_equal(vm_map_reservation(&w->vm, r, NULL, &handout), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(vm_map_reservation(&w->vm, r, hand_out, &handout), 0);
    assert_int_equal(handout.asked[0], GPA + 2 * MEGABYTE - PAGE + 8);
    assert_int_equal(handout.asked[1], GPA + 2 * MEGABYTE);
    assert_int_equal(handout.next, 2);
    assert_false(guest_mapping_at(w, GPA + 2 * MEGABYTE - PAGE).write);
    assert_true(guest_mapping_at(w, GPA + 2 * MEGABYTE).write);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    expect_census(w, &before);

    /* They are unmapped, so they can be used again at once. */
    handout.next = 0;
    r = world_reserve(w, GPA + 2 * MEGABYTE - PAGE, 2 * MEGABYTE + PAGE);
    assert_int_equal(vm_map_reservation(&w->vm, r, hand_out, &handout), 0);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    vka_free_object(w->vm.vka, &small);
    vka_free_object(w->vm.vka, &large);
}

static void an_iterators_frame_that_does_not_fit_undoes_the_map(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    vka_object_t good = world_frame(w, 12);
    vka_object_t other = world_frame(w, 12);
    vm_memory_reservation_t *r = world_reserve(w, GPA, 2 * PAGE);
    hosted_census_take(w->system, &before);
    const struct {
        vm_frame_t second;
        guestmem_error_code_t code;
    } rows[] = {
        {{seL4_CapNull, seL4_AllRights, GPA + PAGE, 12}, GUESTMEM_NO_FRAME},
        {{other.cptr, seL4_AllRights, GPA + PAGE, 13}, GUESTMEM_BAD_FRAME},
        {{other.cptr, seL4_AllRights, GPA + PAGE, 0}, GUESTMEM_BAD_FRAME},
        {{other.cptr, seL4_AllRights, GPA + PAGE, 64}, GUESTMEM_BAD_FRAME},
        {{other.cptr, seL4_AllRights, GPA, 12}, GUESTMEM_BAD_FRAME},
        {{other.cptr, seL4_AllRights, GPA + 2 * PAGE, 12}, GUESTMEM_BAD_FRAME},
        {{other.cptr, seL4_AllRights, GPA + PAGE + 8, 12}, GUESTMEM_BAD_FRAME},
        {{other.cptr, seL4_AllRights, GPA, 21}, GUESTMEM_BAD_FRAME},
        {{good.cptr, seL4_AllRights, GPA + PAGE, 12}, GUESTMEM_KERNEL},
        {{w->vm.mem.vm_vspace_root.cptr, seL4_AllRights, GPA + PAGE, 12}, GUESTMEM_KERNEL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        handout_t handout = {.frames = {{good.cptr, seL4_AllRights, GPA, 12}, rows[i].second}};
        assert_int_equal(vm_map_reservation(&w->vm, r, hand_out, &handout), -1);
        expect_failure(w, rows[i].code);
        assert_false(guest_has(w, GPA));
        expect_census(w, &before);
    }
    handout_t handout = {.frames = {{good.cptr, seL4_AllRights, GPA, 12},
                                    {other.cptr, seL4_AllRights, GPA + PAGE, 12}}};
    assert_int_equal(vm_map_reservation(&w->vm, r, hand_out, &handout), 0);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    vka_free_object(w->vm.vka, &good);
    vka_free_object(w->vm.vka, &other);
}

static void an_array_of_frames_must_cover_the_reservation(void **state)
{
    world_t *w = *state;
    seL4_CPtr caps[3];
    vka_object_t frames[3];
    for (int i = 0; i < 3; i++) {
        frames[i] = world_frame(w, 12);
        caps[i] = frames[i].cptr;
    }
    vm_memory_reservation_t *r = world_reserve(w, GPA + 0x10, 3 * PAGE - 0x10);
    assert_int_equal(vm_map_reservation_frames(&w->vm, r, caps, 2, 12), -1);
    expect_failure(w, GUESTMEM_NO_FRAME);
    assert_int_equal(vm_map_reservation_frames(&w->vm, NULL, caps, 3, 12), -1);
    expect_failure(w, GUESTMEM_NO_RESERVATION);
    assert_int_equal(vm_map_reservation_frames(&w->vm, r, NULL, 3, 12), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(vm_map_reservation_frames(&w->vm, r, caps, 3, 13), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(guestmem_set_map_time(&w->vm, GUESTMEM_MAP_ON_FAULT), 0);
    assert_int_equal(vm_map_reservation_frames(&w->vm, r, caps, 3, 12), 0);
    for (uintptr_t i = 0; i < 3; i++) {
        seL4_CPtr cap = vspace_get_cap(&w->vm.mem.vm_vspace, (void *)(GPA + i * PAGE));
        assert_int_equal(cap, caps[i]);
    }
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    for (int i = 0; i < 3; i++) {
        vka_free_object(w->vm.vka, &frames[i]);
    }
}

static void freeing_ends_tables_with_their_last_frame(void **state)
{
    world_t *w = *state;
    guestmem_statistics_t s;
    assert_int_equal(guestmem_set_largest_frame(&w->vm, 12), 0);
    vm_memory_reservation_t *a = world_reserve(w, GPA, PAGE);
    vm_memory_reservation_t *b = world_reserve(w, GPA + PAGE, PAGE);
    vm_memory_reservation_t *c = world_reserve(w, GPA + 2 * MEGABYTE - PAGE, 2 * PAGE);
    vm_memory_reservation_t *rows[] = {a, b, c};
    const size_t tables_after_map[] = {2, 2, 3};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(map_frame_alloc_reservation(&w->vm, rows[i]), 0);
        assert_int_equal(guestmem_get_statistics(&w->vm, &s), 0);
        assert_int_equal(s.page_tables, tables_after_map[i]);
    }
    const size_t tables_after_free[] = {3, 3, 0};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(vm_free_reserved_memory(&w->vm, rows[i]), 0);
        assert_int_equal(guestmem_get_statistics(&w->vm, &s), 0);
        assert_int_equal(s.page_tables, tables_after_free[i]);
    }
}

static void no_map_has_to_fail_first(void **state)
{
    world_t *w = *state;
    vm_memory_reservation_t *r = world_reserve(w, GPA, 64 * MEGABYTE + 5 * PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    for (int i = 0; i < HOSTED_NUM_INVOCATIONS; i++) {
        assert_int_equal(hosted_invocation_failures(w->system, (hosted_invocation_t)i), 0);
    }
    assert_int_equal(hosted_invocation_count(w->system, HOSTED_PAGE_MAP), 32 + 5);
    assert_int_equal(hosted_invocation_count(w->system, HOSTED_PAGE_TABLE_MAP), 2);
    assert_int_equal(hosted_invocation_count(w->system, HOSTED_CNODE_COPY), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(free_frames_are_zeroed_writable_and_cached),
        world_test(the_largest_frames_that_fit_are_used),
        world_test(a_gigabyte_is_one_frame_where_there_is_one),
        world_test(untyped_memory_is_mapped_one_to_one),
        world_test(untyped_memory_is_mapped_at_a_base_paddr),
        world_test(a_paddr_that_large_frames_do_not_fit_takes_small_ones_at_once),
        world_test(memory_that_no_untyped_has_is_refused_whole),
        world_test(device_memory_is_uncached_and_keeps_its_content),
        world_test(maybe_device_memory_comes_from_anywhere),
        world_test(an_allocated_frame_is_shared_with_the_vmm),
        world_test(rights_are_the_guests_and_the_vmm_always_writes),
        world_test(a_device_frame_is_shared_uncached),
        world_test(bad_single_frames_are_refused),
        world_test(a_freed_frame_leaves_no_pointer_behind),
        world_test(mapping_twice_fails_and_changes_nothing),
        world_test(a_mapped_reservation_shares_no_page),
        world_test(beyond_the_guests_address_space_nothing_is_mapped),
        world_test(an_iterators_frames_stay_the_callers),
        world_test(an_iterators_frame_that_does_not_fit_undoes_the_map),
        world_test(an_array_of_frames_must_cover_the_reservation),
        world_test(freeing_ends_tables_with_their_last_frame),
        world_test(no_map_has_to_fail_first),
    };
    return cmocka_run_group_tests_name("mapping", tests, NULL, NULL);
}
