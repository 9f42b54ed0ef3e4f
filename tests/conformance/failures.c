/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The contract: a call that fails leaves all as it was. Each operation that a call asks of the
 * allocator, the heap and the VMM's address space is failed in turn, until the call succeeds
 * without one that fails; after each failure the same is held, the guest has nothing, and the range
 * is free.
 */

#include <guestmem/change.h>
#include "objects.h"
#include "vm_memory.h"
#include <stdio.h>

static faults_t faults;

/* @return 0; -1 for a failure that must have changed nothing */
typedef int (*call_fn)(suite_t *suite);

/* Fail each operation of `call` in turn. */
static void fail_each(suite_t *suite, call_fn call, call_fn undo, uintptr_t gpa, unsigned at_least)
{
    holdings_t before = suite->counting.held;
    guestmem_statistics_t library = statistics_of(suite);
    unsigned failures = 0;
    for (uint64_t k = 1; k < 100000 && !suite->broken; k++) {
        counting_fail_at(&suite->counting, k);
        int result = call(suite);
        bool injected = suite->counting.failed;
        counting_fail_at(&suite->counting, 0);
        if (result == 0) {
            EXPECT(undo(suite) == 0);
            EXPECT_HELD(&before);
            if (!injected) {
                break;
            }
            continue; /* it did without what failed: a smaller frame, say */
        }
        EXPECT(injected);
        failures++;
        EXPECT_HELD(&before);
        EXPECT(!has_frame(suite, gpa));
        EXPECT_EQUAL(statistics_of(suite).page_tables, library.page_tables);
        EXPECT_EQUAL(statistics_of(suite).reservations, library.reservations);
    }
    EXPECT(failures >= at_least);
}

static int free_at_gpa(suite_t *suite)
{
    return vm_free_reserved_memory(&suite->vm, guestmem_find_reservation(&suite->vm, GPA));
}

/* Undo a map alone: the reservation is made anew. */
static int unmap_at_gpa(suite_t *suite)
{
    size_t size = info_of(suite, guestmem_find_reservation(&suite->vm, GPA)).last - GPA + 1;
    return free_at_gpa(suite) == 0 && reserve(suite, GPA, size) != NULL ? 0 : -1;
}

static int call_map_frames(suite_t *suite)
{
    return map_frame_alloc_reservation(&suite->vm, guestmem_find_reservation(&suite->vm, GPA));
}

static uintptr_t chosen_paddr;

static int call_map_untyped(suite_t *suite)
{
    return map_ut_alloc_reservation_with_base_paddr(&suite->vm, chosen_paddr,
                                                    guestmem_find_reservation(&suite->vm, GPA));
}

static int call_map_maybe_device(suite_t *suite)
{
    return map_maybe_device_reservation(&suite->vm, guestmem_find_reservation(&suite->vm, GPA));
}

static void half_failed_map_changes_nothing(suite_t *suite)
{
    static const struct {
        size_t largest_bits, size;
        call_fn map;
        unsigned at_least;
    } rows[] = {{21, 2 * MEGABYTE + 3 * PAGE, call_map_frames, 10},
                {12, 8 * PAGE, call_map_frames, 18},
                {21, 4 * PAGE, call_map_untyped, 10},
                {21, 3 * PAGE, call_map_maybe_device, 4}};
    chosen_paddr = free_paddr(suite, 4 * PAGE);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        EXPECT(guestmem_set_largest_frame(&suite->vm, rows[i].largest_bits) == 0);
        reserve(suite, GPA, rows[i].size);
        fail_each(suite, rows[i].map, unmap_at_gpa, GPA, rows[i].at_least);
        EXPECT(free_at_gpa(suite) == 0);
    }
}

static seL4_CPtr callers[4];

static int call_map_callers(suite_t *suite)
{
    return vm_map_reservation_frames(&suite->vm, guestmem_find_reservation(&suite->vm, GPA),
                                     callers, 4, seL4_PageBits);
}

static void half_failed_map_of_the_callers_frames_leaves_them_unmapped(suite_t *suite)
{
    seL4_CPtr space = new_space(suite);
    make_tables(suite, space, 0, 12);
    for (int i = 0; i < 4; i++) {
        callers[i] = new_frame(suite, 12);
    }
    reserve(suite, GPA, 4 * PAGE);
    fail_each(suite, call_map_callers, unmap_at_gpa, GPA, 4);
    for (int i = 0; i < 4; i++) {
        EXPECT_ERROR(map(callers[i], space, (seL4_Word)i * PAGE), seL4_NoError);
    }
}

static int call_reserve(suite_t *suite)
{
    return vm_reserve_memory_at(&suite->vm, GPA, PAGE, record_fault, &faults) != NULL ? 0 : -1;
}

static int call_allocated_page(suite_t *suite)
{
    return create_allocated_reservation_frame(&suite->vm, GPA, seL4_AllRights, record_fault,
                                              &faults) != NULL
               ? 0
               : -1;
}

static int call_device_page(suite_t *suite)
{
    return create_device_reservation_frame(&suite->vm, suite->env->device_paddr, seL4_AllRights,
                                           record_fault, &faults) != NULL
               ? 0
               : -1;
}

static int free_device_page(suite_t *suite)
{
    return vm_free_reserved_memory(&suite->vm,
                                   guestmem_find_reservation(&suite->vm, suite->env->device_paddr));
}

static int call_ram(suite_t *suite)
{
    return vm_ram_register_at(&suite->vm, GPA, 2 * MEGABYTE + PAGE, false);
}

static void failed_reservation_page_or_ram_takes_nothing(suite_t *suite)
{
    fail_each(suite, call_reserve, free_at_gpa, GPA, 1);
    fail_each(suite, call_allocated_page, free_at_gpa, GPA, 8);
    fail_each(suite, call_device_page, free_device_page, suite->env->device_paddr, 8);
    fail_each(suite, call_ram, free_at_gpa, GPA, 5);
    EXPECT_EQUAL(suite->vm.mem.num_ram_regions, 0);
    EXPECT(guestmem_find_reservation(&suite->vm, GPA) == NULL);
}

static int call_touch(suite_t *suite)
{
    return guestmem_fill(&suite->vm, GPA, 1, 3 * PAGE);
}

static int register_anew(suite_t *suite)
{
    return free_at_gpa(suite) == 0 ? vm_ram_register_at(&suite->vm, GPA, 3 * PAGE, false) : -1;
}

static void failed_access_to_ram_leaves_no_window(suite_t *suite)
{
    holdings_t before;
    EXPECT(guestmem_set_largest_frame(&suite->vm, 12) == 0);
    EXPECT(vm_ram_register_at(&suite->vm, GPA, 3 * PAGE, false) == 0);
    before = suite->counting.held;
    unsigned failures = 0;
    for (uint64_t k = 1; k < 1000 && !suite->broken; k++) {
        counting_fail_at(&suite->counting, k);
        suite->counting.fail_from = true; /* or it would find another way */
        int result = call_touch(suite);
        counting_fail_at(&suite->counting, 0);
        if (result == 0) {
            break;
        }
        failures++;
        EXPECT_HELD(&before);
    }
    EXPECT(failures >= 7); /* a range, and a slot and a mapping a page */
    EXPECT(register_anew(suite) == 0);
    EXPECT_HELD(&before);
}

static int call_populate(suite_t *suite)
{
    return guestmem_populate(&suite->vm, GPA, 4 * PAGE);
}

static int undo_populate(suite_t *suite)
{
    return guestmem_discard(&suite->vm, GPA, 4 * PAGE, NULL);
}

static void failed_populating_changes_nothing(suite_t *suite)
{
    EXPECT(guestmem_set_largest_frame(&suite->vm, 12) == 0);
    EXPECT(vm_ram_register_at(&suite->vm, GPA, 4 * PAGE, false) == 0);
    EXPECT(undo_populate(suite) == 0);
    fail_each(suite, call_populate, undo_populate, GPA, 8);
}

static int call_init(suite_t *suite)
{
    static vm_t other;
    other = (vm_t){.vka = &suite->counting.vka,
                   .simple = suite->env->simple,
                   .io_ops = &suite->counting.io_ops};
    other.mem.vmm_vspace = suite->counting.vspace;
    int result = vm_memory_init(&other);
    vm_memory_destroy(&other);
    return result;
}

static int nothing(suite_t *suite)
{
    (void)suite;
    return 0;
}

static void failed_initialisation_takes_nothing(suite_t *suite)
{
    fail_each(suite, call_init, nothing, GPA, 1);
}

static void map_succeeds_after_it_failed(suite_t *suite)
{
    vm_memory_reservation_t *r = reserve(suite, GPA, 3 * PAGE);
    counting_fail_at(&suite->counting, 4);
    EXPECT(map_frame_alloc_reservation(&suite->vm, r) == -1);
    EXPECT(guestmem_last_error(&suite->vm)->code >= GUESTMEM_NO_HEAP);
    counting_fail_at(&suite->counting, 0);
    EXPECT(map_frame_alloc_reservation(&suite->vm, r) == 0);
}

static const check_t checks[] = {
    CHECK(half_failed_map_changes_nothing),
    CHECK(half_failed_map_of_the_callers_frames_leaves_them_unmapped),
    CHECK(failed_reservation_page_or_ram_takes_nothing),
    CHECK(failed_access_to_ram_leaves_no_window),
    CHECK(failed_populating_changes_nothing),
    CHECK(failed_initialisation_takes_nothing),
    CHECK(map_succeeds_after_it_failed),
};

const area_t area_failures = AREA("failures", FIXTURE_MEMORY, checks);
