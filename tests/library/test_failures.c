/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Each call is made to fail at its first, second, ... operation (kernel invocation, allocator call
 * or heap allocation) until it succeeds. After each failure the world must be as it was before the
 * call, and afterwards the call must succeed.
 */

#include "world.h"
#include <vka/object.h>

#define GPA ((uintptr_t)0x80000000)

/* A call under test, with what must be there before; 0 for success. */
typedef struct row {
    const char *name;
    void (*before)(world_t *w);
    int (*call)(world_t *w);
} row_t;

static void nothing(world_t *w)
{
    (void)w;
}

static void make_region(world_t *w)
{
    assert_int_equal(vm_memory_make_anon(&w->vm, GPA + 0x10000000, 0x10000000), 0);
}

static void small_frames(world_t *w)
{
    assert_int_equal(guestmem_set_largest_frame(&w->vm, 12), 0);
}

static void reserve_mixed(world_t *w)
{
    world_reserve(w, GPA + 2 * MEGABYTE - 2 * PAGE, 4 * MEGABYTE + 4 * PAGE);
}

static void reserve_small(world_t *w)
{
    small_frames(w);
    world_reserve(w, GPA + 2 * MEGABYTE - 3 * PAGE, 6 * PAGE);
}

static void reserve_one_to_one(world_t *w)
{
    world_reserve(w, RAM_PADDR + 2 * MEGABYTE - 2 * PAGE, 2 * MEGABYTE + 4 * PAGE);
}

static void reserve_on_fault(world_t *w)
{
    assert_int_equal(guestmem_set_map_time(&w->vm, GUESTMEM_MAP_ON_FAULT), 0);
    reserve_mixed(w);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, guestmem_next_reservation(&w->vm, NULL)),
                     0);
}

static void register_ram(world_t *w)
{
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 2 * MEGABYTE, false), 0);
    /* One window with a run of large frames and one of small ones. */
    assert_int_equal(vm_ram_register_at(&w->vm, GPA + 2 * MEGABYTE, 2 * MEGABYTE + 3 * PAGE, false),
                     0);
}

static vm_memory_reservation_t *only_reservation(world_t *w)
{
    return guestmem_next_reservation(&w->vm, NULL);
}

static int call_reserve(world_t *w)
{
    return vm_reserve_memory_at(&w->vm, GPA, PAGE, record_fault, w) != NULL ? 0 : -1;
}

static int call_reserve_anon(world_t *w)
{
    uintptr_t addr;
    return vm_reserve_anon_memory(&w->vm, PAGE, PAGE, record_fault, w, &addr) != NULL ? 0 : -1;
}

static int call_make_anon(world_t *w)
{
    return vm_memory_make_anon(&w->vm, GPA, MEGABYTE);
}

static int call_frame_alloc(world_t *w)
{
    return map_frame_alloc_reservation(&w->vm, only_reservation(w));
}

static int call_maybe_device(world_t *w)
{
    return map_maybe_device_reservation(&w->vm, only_reservation(w));
}

static int call_ut_alloc(world_t *w)
{
    return map_ut_alloc_reservation(&w->vm, only_reservation(w));
}

static int call_ut_alloc_paddr(world_t *w)
{
    return map_ut_alloc_reservation_with_base_paddr(&w->vm, RAM_PADDR + 2 * MEGABYTE - 2 * PAGE,
                                                    only_reservation(w));
}

static int call_allocated_frame(world_t *w)
{
    return create_allocated_reservation_frame(&w->vm, GPA, seL4_CanRead, record_fault, w) != NULL
               ? 0
               : -1;
}

static int call_device_frame(world_t *w)
{
    return create_device_reservation_frame(&w->vm, UART, seL4_AllRights, record_fault, w) != NULL
               ? 0
               : -1;
}

static int call_fault(world_t *w)
{
    return vm_memory_handle_fault(&w->vm, NULL, GPA + 2 * MEGABYTE - PAGE, 4) == FAULT_RESTART ? 0
                                                                                               : -1;
}

static int call_ram_register(world_t *w)
{
    return vm_ram_register(&w->vm, 2 * MEGABYTE + PAGE) != 0 ? 0 : -1;
}

static int call_ram_register_at(world_t *w)
{
    return vm_ram_register_at(&w->vm, GPA + 6 * MEGABYTE, 2 * MEGABYTE + PAGE, false);
}

static int call_ram_register_untyped(world_t *w)
{
    return vm_ram_register_at(&w->vm, RAM_PADDR, 2 * MEGABYTE + PAGE, true);
}

static int call_touch(world_t *w)
{
    char bytes[16];
    return vm_ram_touch(&w->vm, GPA + 2 * MEGABYTE - 8, 16, vm_guest_ram_read_callback, bytes);
}

static int call_mark_allocated(world_t *w)
{
    vm_ram_mark_allocated(&w->vm, GPA + PAGE, PAGE);
    return w->log_lines == 0 ? 0 : -1;
}

static int call_allocate(world_t *w)
{
    return vm_ram_allocate(&w->vm, PAGE) != 0 ? 0 : -1;
}

static int call_name(world_t *w)
{
    return guestmem_name_reservation(&w->vm, only_reservation(w), "name");
}

static const row_t rows[] = {
    {"vm_reserve_memory_at", nothing, call_reserve},
    {"vm_reserve_anon_memory", make_region, call_reserve_anon},
    {"vm_memory_make_anon", nothing, call_make_anon},
    {"map_frame_alloc_reservation, mixed sizes", reserve_mixed, call_frame_alloc},
    {"map_frame_alloc_reservation, 4 KiB", reserve_small, call_frame_alloc},
    {"map_maybe_device_reservation", reserve_small, call_maybe_device},
    {"map_ut_alloc_reservation", reserve_one_to_one, call_ut_alloc},
    {"map_ut_alloc_reservation_with_base_paddr", reserve_mixed, call_ut_alloc_paddr},
    {"create_allocated_reservation_frame", nothing, call_allocated_frame},
    {"create_device_reservation_frame", nothing, call_device_frame},
    {"vm_memory_handle_fault, mapped on fault", reserve_on_fault, call_fault},
    {"vm_ram_register", make_region, call_ram_register},
    {"vm_ram_register_at", register_ram, call_ram_register_at},
    {"vm_ram_register_at, untyped", nothing, call_ram_register_untyped},
    {"vm_ram_touch", register_ram, call_touch},
    {"vm_ram_mark_allocated", register_ram, call_mark_allocated},
    {"vm_ram_allocate", register_ram, call_allocate},
    {"guestmem_name_reservation", reserve_mixed, call_name},
};

/* Count the reservations and RAM regions, which no census sees. */
static size_t count_records(world_t *w)
{
    size_t count = 1000 * (size_t)w->vm.mem.num_ram_regions;
    vm_memory_reservation_t *r = NULL;
    while ((r = guestmem_next_reservation(&w->vm, r)) != NULL) {
        count++;
    }
    return count;
}

/* Fail the k-th operation of a call on a fresh VM. @return whether the call succeeded nevertheless
 */
static bool fail_kth(world_t *w, const row_t *row, uint64_t k)
{
    hosted_census_t before;
    row->before(w);
    size_t records = count_records(w);
    hosted_census_take(w->system, &before);
    hosted_inject_fail(w->system, HOSTED_OPERATION_FORWARD, k);
    int result = row->call(w);
    bool fired = hosted_inject_fired(w->system);
    hosted_inject_stop(w->system);
    if (result != 0) {
        hosted_census_t after;
        hosted_census_take(w->system, &after);
        if (!hosted_census_equal(&before, &after)) {
            hosted_census_print_difference(stderr, &before, &after);
            fail_msg("%s left something behind when operation %llu failed", row->name,
                     (unsigned long long)k);
        }
        assert_int_equal(count_records(w), records);
        assert_int_equal(w->log_lines, 1);
        w->log_lines = 0;
        /* A deferred map that failed is not tried again; all else succeeds now. */
        if (row->call != call_fault) {
            assert_int_equal(row->call(w), 0);
        }
    }
    return !fired;
}

static void a_failed_call_leaves_nothing_behind_and_can_be_repeated(void **state)
{
    world_t *w = *state;
    size_t points = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool done = false;
        uint64_t k = 0;
        while (!done) {
            k++;
            done = fail_kth(w, &rows[i], k);
            vm_memory_destroy(&w->vm);
            expect_census(w, &w->before);
            world_make_vm(w, &w->vm);
        }
        print_message("%-45s %4llu failure points, 0 unclean\n", rows[i].name,
                      (unsigned long long)(k - 1));
        assert_true(k > 1);
        points += k - 1;
    }
    assert_true(points > 100);
}

static void an_init_that_fails_leaves_nothing_behind(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    vm_t vm = {.vka = w->vm.vka, .simple = w->vm.simple, .io_ops = w->vm.io_ops};
    hosted_census_take(w->system, &before);
    hosted_inject_fail(w->system, HOSTED_OPERATION_HEAP, 1);
    assert_int_equal(vm_memory_init(&vm), -1);
    hosted_inject_stop(w->system);
    assert_null(vm.mem.reservation_cookie);
    vm_memory_destroy(&vm);
    expect_census(w, &before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(a_failed_call_leaves_nothing_behind_and_can_be_repeated),
        world_test(an_init_that_fails_leaves_nothing_behind),
    };
    return cmocka_run_group_tests_name("failures", tests, NULL, NULL);
}
