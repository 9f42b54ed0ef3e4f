/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What <guestmem/plan.h> promises to a VMM's author: ranges that are planned take exactly that when
 * they are made. Random ranges are planned and made side by side, and both must agree on which can
 * be made at all.
 */

#include "../library/world.h"

#include <guestmem/plan.h>
#include <hosted/memory_plan.h>
#include <stdio.h>

enum { ROUNDS = 60, RANGES = 24 };

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint64_t below(uint64_t *state, uint64_t limit)
{
    return next_random(state) % limit;
}

/* A range in 2 GiB of guest addresses, with a bias to the edges of frames. */
static guestmem_plan_range_t random_range(uint64_t *state, uintptr_t paddr_offset)
{
    static const uint64_t sizes[] = {1, PAGE, 3 * PAGE, MEGABYTE, 2 * MEGABYTE, 5 * MEGABYTE};
    static const size_t bits[] = {0, 12, 21, 30};
    guestmem_plan_range_t range = {
        .base = 0x40000000 + (below(state, 1000) * 2 * MEGABYTE) + (below(state, 3) - 1) * PAGE,
        .size = sizes[below(state, 6)] + below(state, 2) * below(state, 3) * PAGE,
        .backing = (guestmem_backing_t)below(state, GUESTMEM_CALLER),
        .largest_bits = bits[below(state, 4)],
        .named = below(state, 2),
    };
    range.ram = range.backing == GUESTMEM_MAYBE_DEVICE && below(state, 2);
    range.anonymous = below(state, 4) == 0 && range.backing != GUESTMEM_UNTYPED && !range.ram;
    range.on_fault = below(state, 4) == 0 && range.backing != GUESTMEM_EMULATED && !range.ram;
    if (range.backing == GUESTMEM_UNTYPED) {
        range.paddr = range.base + paddr_offset;
    }
    return range;
}

static int map_range(world_t *world, const guestmem_plan_range_t *range,
                     vm_memory_reservation_t *reservation)
{
    switch (range->backing) {
    case GUESTMEM_FREE_FRAMES:
        return map_frame_alloc_reservation(&world->vm, reservation);
    case GUESTMEM_MAYBE_DEVICE:
        return map_maybe_device_reservation(&world->vm, reservation);
    case GUESTMEM_UNTYPED:
        return map_ut_alloc_reservation_with_base_paddr(&world->vm, range->paddr, reservation);
    default:
        return 0;
    }
}

/* Make what was planned. @return 0, or -1 with nothing made */
static int make_range(world_t *world, const guestmem_plan_range_t *range, uintptr_t *base)
{
    vm_memory_reservation_t *reservation;
    *base = range->base;
    assert_int_equal(
        guestmem_set_largest_frame(&world->vm, range->largest_bits ? range->largest_bits : 30), 0);
    assert_int_equal(guestmem_set_map_time(&world->vm, range->on_fault ? GUESTMEM_MAP_ON_FAULT
                                                                       : GUESTMEM_MAP_NOW),
                     0);
    if (range->ram) {
        if (vm_ram_register_at(&world->vm, range->base, range->size, false) != 0) {
            return -1;
        }
        reservation = guestmem_find_reservation(&world->vm, range->base);
    } else {
        reservation =
            range->anonymous
                ? vm_reserve_anon_memory(&world->vm, range->size, 1, record_fault, world, base)
                : vm_reserve_memory_at(&world->vm, range->base, range->size, record_fault, world);
        if (reservation != NULL && map_range(world, range, reservation) != 0) {
            vm_free_reserved_memory(&world->vm, reservation);
            reservation = NULL;
        }
    }
    if (reservation != NULL && range->named) {
        assert_int_equal(guestmem_name_reservation(&world->vm, reservation, "named"), 0);
    }
    return reservation != NULL ? 0 : -1;
}

static void expect_equal(const char *what, uint64_t seed, uint64_t planned, uint64_t taken)
{
    if (planned != taken) {
        fail_msg("seed %lu: %s: planned %lu, taken %lu", (unsigned long)seed, what,
                 (unsigned long)planned, (unsigned long)taken);
    }
}

static void expect_planned(world_t *world, const guestmem_plan_t *plan,
                           const hosted_census_t *before, uint64_t maps_before, uint64_t seed)
{
    guestmem_needs_t needs = guestmem_plan_needs(plan);
    guestmem_statistics_t taken;
    hosted_census_t now;
    hosted_census_take(world->system, &now);
    assert_int_equal(guestmem_get_statistics(&world->vm, &taken), 0);
    expect_equal("reservations", seed, needs.reservations, taken.reservations);
    for (int size = 0; size < GUESTMEM_NUM_FRAME_SIZES; size++) {
        expect_equal("frames", seed, needs.frames[size], taken.frames[size]);
    }
    expect_equal("tables", seed, needs.page_tables[0] + needs.page_tables[1], taken.page_tables);
    expect_equal("table maps", seed, needs.table_maps, taken.table_maps);
    expect_equal("slots", seed, needs.slots, now.slots - before->slots);
    expect_equal("untyped", seed, needs.untyped_bytes, now.untyped_bytes - before->untyped_bytes);
    expect_equal("windows", seed, needs.windows, now.vmm_reservations - before->vmm_reservations);
    expect_equal("window bytes", seed, needs.window_bytes, now.vmm_bytes - before->vmm_bytes);
    expect_equal("window frames", seed, needs.window_frames, taken.window_frames);
    expect_equal("heap blocks", seed, needs.heap_blocks, taken.heap_blocks);
    expect_equal("heap bytes", seed, needs.heap_bytes, taken.heap_bytes);
    expect_equal("copies", seed, needs.cap_copies, taken.cap_copies);
    expect_equal("page maps", seed, needs.page_maps,
                 hosted_invocation_count(world->system, HOSTED_PAGE_MAP) - maps_before);
}

/* Look at a mapped range in the VMM, in both worlds. */
static void open_window(world_t *world, guestmem_plan_t *plan, const guestmem_plan_range_t *range,
                        uintptr_t base)
{
    char byte;
    if (range->backing != GUESTMEM_EMULATED && !range->on_fault) {
        assert_int_equal(guestmem_plan_window(plan, base + (range->size - 1)), 0);
        assert_int_equal(guestmem_access(&world->vm, base, 1, vm_guest_ram_read_callback, &byte),
                         0);
    }
}

static void fault_all(world_t *world, const guestmem_plan_range_t *range, uintptr_t base)
{
    uintptr_t last = base + (range->size - 1);
    for (uintptr_t gpa = base;; gpa = (gpa | (PAGE - 1)) + 1) {
        if (!guest_has(world, gpa) &&
            vm_memory_handle_fault(&world->vm, NULL, gpa, 1) != FAULT_RESTART) {
            fail_msg("%s", guestmem_last_error(&world->vm)->message);
        }
        if ((gpa | (PAGE - 1)) >= last) {
            return;
        }
    }
}

/* The allocator of the hosted system, which may give away what lies beside an untyped's frames. */
static bool take(void *cookie, size_t size_bits)
{
    return hosted_memory_plan_take(cookie, size_bits);
}

static bool take_device(void *cookie, size_t size_bits)
{
    return hosted_memory_plan_take_reserved(cookie, size_bits);
}

static bool take_at(void *cookie, uintptr_t paddr, size_t size_bits)
{
    return hosted_memory_plan_take_at(cookie, paddr, size_bits);
}

static void plan_and_make(world_t *world, uint64_t seed)
{
    uint64_t state = seed;
    guestmem_plan_range_t made[RANGES];
    size_t num_made = 0;
    /* Behind what the allocator gives away first; every other time nothing large fits there. */
    uintptr_t paddr_offset = 0x80000000 + below(&state, 2) * PAGE;
    hosted_memory_plan_t *free_memory = hosted_memory_plan_create(world->system);
    guestmem_plan_memory_t memory = {take, take_device, take_at, NULL, free_memory};
    guestmem_plan_t *plan = guestmem_plan_create(&memory);
    hosted_census_t before;
    uint64_t maps = hosted_invocation_count(world->system, HOSTED_PAGE_MAP);
    uint64_t retypes = hosted_invocation_count(world->system, HOSTED_UNTYPED_RETYPE);
    assert_non_null(plan);
    assert_non_null(free_memory);
    assert_true(hosted_memory_plan_take(free_memory, seL4_VSpaceBits)); /* the VM's root */
    uint64_t splits = hosted_memory_plan_counts(free_memory).split_retypes;
    hosted_census_take(world->system, &before);
    assert_int_equal(guestmem_plan_region(plan, 0x200000800, 16 * MEGABYTE), 0);
    assert_int_equal(vm_memory_make_anon(&world->vm, 0x200000800, 16 * MEGABYTE), 0);
    for (int i = 0; i < RANGES; i++) {
        guestmem_plan_range_t range = random_range(&state, paddr_offset);
        uintptr_t base = 0;
        int planned = guestmem_plan_range(plan, &range);
        if (planned != 0 && range.anonymous) {
            break; /* its region is full */
        }
        world->log_lines = 0;
        assert_int_equal(make_range(world, &range, &base), planned);
        if (planned != 0) {
            if (guestmem_plan_problem(plan).code != guestmem_last_error(&world->vm)->code) {
                fail_msg("seed %lu: planned %s, but: %s", (unsigned long)seed,
                         guestmem_error_name(guestmem_plan_problem(plan).code),
                         guestmem_last_error(&world->vm)->message);
            }
            assert_int_not_equal(guestmem_plan_problem(plan).code, GUESTMEM_NO_FRAME);
            continue;
        }
        assert_int_equal(base, range.base);
        if (below(&state, 3) == 0) {
            open_window(world, plan, &range, base);
        }
        made[num_made++] = range;
    }
    expect_planned(world, plan, &before, maps, seed);
    for (size_t i = 0; i < num_made; i++) {
        if (made[i].on_fault && guestmem_plan_faults(plan, &made[i]) == 0) {
            fault_all(world, &made[i], made[i].base);
        } else if (made[i].on_fault) {
            guestmem_plan_destroy(plan);
            hosted_memory_plan_destroy(free_memory);
            return; /* given away in the meantime */
        }
    }
    expect_planned(world, plan, &before, maps, seed);
    expect_equal("retypes", seed,
                 guestmem_plan_needs(plan).retypes +
                     hosted_memory_plan_counts(free_memory).split_retypes - splits,
                 hosted_invocation_count(world->system, HOSTED_UNTYPED_RETYPE) - retypes);
    guestmem_plan_destroy(plan);
    hosted_memory_plan_destroy(free_memory);
}

static void random_ranges_take_what_their_plan_says(void **state)
{
    world_t *world = *state;
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        plan_and_make(world, round * 0x9e3779b97f4a7c15ul);
        vm_memory_destroy(&world->vm);
        expect_census(world, &world->before);
        world_make_vm(world, &world->vm);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(random_ranges_take_what_their_plan_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
