/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What memory costs, in counts that do not depend on the machine: kernel invocations, and the heap
 * that is held for each frame and each reservation.
 */

#include "world.h"

#include <stdio.h>
#include <utils/util.h>

#define GIGABYTE ((uintptr_t)1 << 30)
#define RAM      ((uintptr_t)0x40000000) /* GPA, aligned to every frame size */

/* A world on a board with 128 GiB of RAM. */
static int setup(void **state)
{
    char error[256];
    world_t *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->system = hosted_system_create_from_file(LARGE_BOARD_DTB, error, sizeof(error));
    if (world->system == NULL) {
        fail_msg("%s", error);
    }
    hosted_census_take(world->system, &world->before);
    world_make_vm(world, &world->vm);
    *state = world;
    return 0;
}

#define large_test(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)

static uint64_t count(world_t *world, hosted_invocation_t kind)
{
    return hosted_invocation_count(world->system, kind);
}

static guestmem_statistics_t statistics(world_t *world)
{
    guestmem_statistics_t now;
    assert_int_equal(guestmem_get_statistics(&world->vm, &now), 0);
    return now;
}

/* Register RAM. @return all invocations that it took, of which none failed */
static uint64_t register_ram(world_t *world, size_t size, size_t largest_bits)
{
    uint64_t before = hosted_invocation_total(world->system);
    assert_int_equal(guestmem_set_largest_frame(&world->vm, largest_bits), 0);
    assert_int_equal(vm_ram_register_at(&world->vm, RAM, size, false), 0);
    for (int kind = 0; kind < HOSTED_NUM_INVOCATIONS; kind++) {
        assert_int_equal(hosted_invocation_failures(world->system, (hosted_invocation_t)kind), 0);
    }
    return hosted_invocation_total(world->system) - before;
}

static void a_gibibyte_of_2_mib_frames_takes_a_retype_and_a_map_a_frame(void **state)
{
    world_t *world = *state;
    uint64_t retypes = count(world, HOSTED_UNTYPED_RETYPE);
    uint64_t total = register_ram(world, GIGABYTE, 21);
    retypes = count(world, HOSTED_UNTYPED_RETYPE) - retypes;
    assert_int_equal(statistics(world).frames[GUESTMEM_FRAME_2M], 512);
    assert_int_equal(count(world, HOSTED_PAGE_MAP), 512);
    assert_int_equal(count(world, HOSTED_PAGE_TABLE_MAP), 1);
    assert_int_equal(total, retypes + 512 + 1);
    assert_in_range(retypes, 512 + 1, 512 + 1 + 16); /* and some to cut the board's untypeds up */
    assert_in_range(total, 1, 1040);
}

static void a_gibibyte_frame_takes_a_handful(void **state)
{
    world_t *world = *state;
    uint64_t total = register_ram(world, GIGABYTE, 30);
    assert_int_equal(statistics(world).frames[GUESTMEM_FRAME_1G], 1);
    assert_int_equal(count(world, HOSTED_PAGE_MAP), 1);
    assert_int_equal(count(world, HOSTED_PAGE_TABLE_MAP), 0);
    assert_in_range(total, 2, 8);
}

static void small_frames_take_a_retype_and_a_map_each(void **state)
{
    world_t *world = *state;
    uint64_t total = register_ram(world, 64 * MEGABYTE, 12);
    size_t frames = 64 * MEGABYTE / PAGE;
    assert_int_equal(statistics(world).frames[GUESTMEM_FRAME_4K], frames);
    assert_int_equal(count(world, HOSTED_PAGE_MAP), frames);
    assert_int_equal(count(world, HOSTED_PAGE_TABLE_MAP), 1 + 32);
    /* Two for each frame and each table, and at most three cuts for 2 MiB of the allocator. */
    assert_in_range(total, 2 * (frames + 33), 2 * (frames + 33) + 3 * 34);
}

static void an_access_maps_what_it_touches(void **state)
{
    world_t *world = *state;
    char byte = 1;
    register_ram(world, GIGABYTE, 21);
    uint64_t before = hosted_invocation_total(world->system);
    assert_int_equal(guestmem_write(&world->vm, RAM + GIGABYTE / 2, &byte, 1), 0);
    assert_int_equal(statistics(world).window_frames, 1);
    assert_in_range(hosted_invocation_total(world->system) - before, 2, 4);
    assert_int_equal(guestmem_write(&world->vm, RAM + 2 * MEGABYTE - 1, &byte, 1), 0);
    assert_int_equal(statistics(world).window_frames, 2);
    assert_int_equal(guestmem_fill(&world->vm, RAM + 2 * MEGABYTE - 1, 0, 2), 0);
    assert_int_equal(statistics(world).window_frames, 3);
}

static void accesses_after_the_first_do_not_enter_the_kernel(void **state)
{
    world_t *world = *state;
    static char bytes[3 * 4096];
    register_ram(world, GIGABYTE, 21);
    assert_non_null(guestmem_pointer(&world->vm, RAM, GIGABYTE));
    uint64_t before = hosted_invocation_total(world->system);
    for (uintptr_t at = 0; at < GIGABYTE; at += 7 * MEGABYTE + 0xff8) {
        assert_int_equal(guestmem_write(&world->vm, RAM + at, bytes, 16), 0);
        assert_int_equal(guestmem_read(&world->vm, RAM + at, bytes, 16), 0);
    }
    assert_int_equal(guestmem_fill(&world->vm, RAM + 100, 7, sizeof(bytes)), 0);
    assert_int_equal(guestmem_copy(&world->vm, RAM + GIGABYTE / 2, RAM, sizeof(bytes)), 0);
    assert_int_equal(
        vm_ram_touch(&world->vm, RAM + 0xfff, sizeof(bytes), vm_guest_ram_write_callback, bytes),
        0);
    assert_int_equal(
        vm_ram_touch(&world->vm, RAM + 0xfff, sizeof(bytes), vm_guest_ram_read_callback, bytes), 0);
    assert_non_null(guestmem_pointer(&world->vm, RAM + 12345, GIGABYTE - 12345));
    assert_int_equal(hosted_invocation_total(world->system), before);
}

/* Register RAM, and look at the heap that it takes, before and after the VMM sees it all. */
static void expect_heap_a_frame(world_t *world, size_t size, size_t bits, size_t seen_from_vmm)
{
    size_t frames = size >> bits;
    size_t before = statistics(world).heap_bytes;
    register_ram(world, size, bits);
    size_t held = statistics(world).heap_bytes - before;
    printf("%zu frames of 2^%zu bytes: %.2f bytes of heap a frame", frames, bits,
           (double)held / (double)frames);
    assert_in_range(held, 1, 24 * frames);
    if (seen_from_vmm > 0) {
        assert_non_null(guestmem_pointer(&world->vm, RAM, size));
        held = statistics(world).heap_bytes - before;
        printf(", %.2f with a window", (double)held / (double)frames);
        assert_int_equal(statistics(world).window_frames, frames);
        assert_in_range(held, 1, 24 * frames);
    }
    printf("\n");
}

static void heap_a_frame_is_bounded(void **state)
{
    world_t *world = *state;
    static const struct {
        size_t size, bits, seen_from_vmm;
    } rows[] = {{64 * GIGABYTE, 21, 1}, {GIGABYTE / 2, 12, 0}, {64 * MEGABYTE, 12, 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect_heap_a_frame(world, rows[i].size, rows[i].bits, rows[i].seen_from_vmm);
        world_renew(world);
    }
}

enum { RESERVATIONS = 100000 };

/* The i-th of a permutation of all reservations: by a step that has no factor of their number. */
static uintptr_t shuffled(size_t i)
{
    return (uintptr_t)((uint64_t)i * 61803 % RESERVATIONS);
}

static void expect_heap_a_reservation(world_t *world, const char *order, size_t before)
{
    size_t held = statistics(world).heap_bytes - before;
    printf("%d reservations, %s: %.2f bytes of heap each\n", RESERVATIONS, order,
           (double)held / RESERVATIONS);
    assert_int_equal(statistics(world).reservations, RESERVATIONS);
    assert_in_range(held, 1, 128 * (size_t)RESERVATIONS);
}

static void heap_a_reservation_is_bounded_in_any_order(void **state)
{
    world_t *world = *state;
    static const char *const orders[] = {"random", "ascending", "descending", "anonymous"};
    uintptr_t addr;
    for (int order = 0; order < 4; order++) {
        size_t before = statistics(world).heap_bytes;
        assert_int_equal(vm_memory_make_anon(&world->vm, GIGABYTE, GIGABYTE), 0);
        for (size_t i = 0; i < RESERVATIONS; i++) {
            if (order == 3) {
                assert_non_null(
                    vm_reserve_anon_memory(&world->vm, PAGE, PAGE, record_fault, world, &addr));
                continue;
            }
            uintptr_t at = order == 0 ? shuffled(i) : order == 1 ? i : RESERVATIONS - i;
            world_reserve(world, at * PAGE, PAGE);
        }
        expect_heap_a_reservation(world, orders[order], before);
        world_renew(world);
    }
}

enum {
    FULL = 512,     /* ranges that fill an array of chunks, and all of its chunks */
    LARGER = 8 * 24 /* bytes that the next larger array takes more: 8 slots */
};

/* Memory of a small frame and a large one: two more ranges, of which the second can fail. */
static vm_memory_reservation_t *reserve_two_sizes(world_t *world)
{
    return world_reserve(world, RAM + 32 * MEGABYTE - PAGE, PAGE + 2 * MEGABYTE);
}

/* Map while all allocations of heap from the k-th on fail. @return whether that failed */
static bool map_without_heap(world_t *world, vm_memory_reservation_t *reservation, uint64_t k)
{
    hosted_inject_fail_from(world->system, HOSTED_OPERATION_HEAP, k);
    int error = map_frame_alloc_reservation(&world->vm, reservation);
    hosted_inject_stop(world->system);
    if (error != 0) {
        expect_failure(world, GUESTMEM_NO_HEAP);
    }
    return error != 0;
}

/* An array that grew for the map shrinks when there is heap for the smaller one. */
static void a_map_that_fails_for_want_of_heap_leaves_at_most_one_larger_array(void **state)
{
    world_t *world = *state;
    hosted_census_t without;
    hosted_census_t before;
    hosted_census_t now;
    uint64_t larger = 0; /* the first allocation whose failure leaves one */
    for (uintptr_t i = 0; i < FULL; i++) {
        vm_memory_reservation_t *page = world_reserve(world, RAM + 2 * i * PAGE, PAGE);
        assert_int_equal(map_frame_alloc_reservation(&world->vm, page), 0);
    }
    hosted_census_take(world->system, &without);
    vm_memory_reservation_t *two = reserve_two_sizes(world);
    hosted_census_take(world->system, &before);
    for (uint64_t k = 1; map_without_heap(world, two, k); k++) {
        hosted_census_take(world->system, &now);
        assert_in_range(now.heap_bytes - before.heap_bytes, 0, LARGER);
        larger = larger == 0 && now.heap_bytes > before.heap_bytes ? k : larger;
        now.heap_bytes = before.heap_bytes;
        expect_same_census(&before, &now);
    }
    assert_true(larger > 0);
    assert_int_equal(vm_free_reserved_memory(&world->vm, two), 0);
    expect_census(world, &without);
    /* Nor is it left when all is freed, whether it shrank before or not. */
    assert_true(map_without_heap(world, reserve_two_sizes(world), larger));
    hosted_census_take(world->system, &now);
    assert_int_equal(now.heap_bytes, before.heap_bytes + LARGER);
    vm_memory_destroy(&world->vm);
    expect_census(world, &world->before);
}

static void many_shared_pages_are_the_guests_and_the_vmms(void **state)
{
    world_t *world = *state;
    for (size_t i = 0; i < RESERVATIONS; i++) {
        uintptr_t at = RAM + 2 * i * PAGE;
        uint32_t *page =
            create_allocated_reservation_frame(&world->vm, at, seL4_AllRights, record_fault, world);
        assert_non_null(page);
        *page = (uint32_t)i;
    }
    for (size_t i = 0; i < RESERVATIONS; i += 997) {
        assert_int_equal(*(uint32_t *)(void *)guest_bytes(world, RAM + 2 * i * PAGE), i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        large_test(a_gibibyte_of_2_mib_frames_takes_a_retype_and_a_map_a_frame),
        large_test(a_gibibyte_frame_takes_a_handful),
        large_test(small_frames_take_a_retype_and_a_map_each),
        large_test(an_access_maps_what_it_touches),
        world_test(an_access_maps_what_it_touches),
        world_test(accesses_after_the_first_do_not_enter_the_kernel),
        large_test(heap_a_frame_is_bounded),
        large_test(heap_a_reservation_is_bounded_in_any_order),
        world_test(a_map_that_fails_for_want_of_heap_leaves_at_most_one_larger_array),
        large_test(many_shared_pages_are_the_guests_and_the_vmms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
