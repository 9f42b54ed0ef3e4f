/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Registering guest RAM: kernel invocations (counted), heap (counted) and time by size, with 2 MiB
 * frames, with the largest that fit, and with 4 KiB frames only as the baseline. The hosted memory
 * is sparse, so 64 GiB of it need no memory of the machine. The least possible number of
 * invocations is one map a frame and one a table, and one retype for 256 objects of one kind.
 */

#include "bench.h"
#include "world.h"

#define GIBIBYTE  ((uintptr_t)1 << 30)
#define RAM       (64 * GIBIBYTE)
#define BOARD_GIB 128

typedef struct cost {
    double invocations, least, time, frames, heap;
} cost_t;

static double retypes(size_t count)
{
    return (double)((count + 255) / 256);
}

static cost_t register_ram(size_t size, size_t largest_bits)
{
    world_t world;
    guestmem_statistics_t after;
    world_begin(&world, BOARD_GIB);
    if (guestmem_set_largest_frame(&world.vm, largest_bits) != 0) {
        world_fail("guestmem_set_largest_frame");
    }
    size_t heap = world_heap(&world);
    uint64_t before = hosted_invocation_total(world.system);
    uint64_t start = measure_now();
    if (vm_ram_register_at(&world.vm, RAM, size, false) != 0) {
        world_fail("vm_ram_register_at");
    }
    cost_t cost = {.time = (double)(measure_now() - start)};
    cost.invocations = (double)(hosted_invocation_total(world.system) - before);
    cost.heap = (double)(world_heap(&world) - heap);
    if (guestmem_get_statistics(&world.vm, &after) != 0) {
        world_fail("guestmem_get_statistics");
    }
    cost.least = (double)after.page_tables + retypes(after.page_tables);
    for (int i = 0; i < GUESTMEM_NUM_FRAME_SIZES; i++) {
        cost.frames += (double)after.frames[i];
        cost.least += (double)after.frames[i] + retypes(after.frames[i]);
    }
    world_end(&world);
    return cost;
}

static void report_cost(report_t *report, const char *series, size_t size, const cost_t *cost)
{
    double mib = (double)(size >> 20);
    report_point(report, "register RAM (n: MiB)", series, mib, "us a frame",
                 report_exact(cost->time / cost->frames / 1000));
    report_point(report, "register RAM (n: MiB)", series, mib, "invocations",
                 report_exact(cost->invocations));
    report_point(report, "register RAM (n: MiB)", series, mib, "least possible",
                 report_exact(cost->least));
    report_point(report, "register RAM (n: MiB)", series, mib, "bytes of heap a frame",
                 report_exact(cost->heap / cost->frames));
}

void bench_registration(report_t *report)
{
    static const size_t sizes[] = {1 << 20, 64 << 20, GIBIBYTE, 8 * GIBIBYTE, 64 * GIBIBYTE};
    enum { NUM_SIZES = sizeof(sizes) / sizeof(sizes[0]), ONE_GIB = 2, MOST = NUM_SIZES - 1 };
    cost_t two_mib[NUM_SIZES] = {{0}};
    cost_t largest[NUM_SIZES] = {{0}};
    for (int i = 0; i < NUM_SIZES; i++) {
        two_mib[i] = register_ram(sizes[i], 21);
        report_cost(report, "2 MiB frames", sizes[i], &two_mib[i]);
    }
    for (int i = 0; i < NUM_SIZES; i++) {
        largest[i] = register_ram(sizes[i], 30);
        report_cost(report, "largest that fit", sizes[i], &largest[i]);
    }
    cost_t small = register_ram(GIBIBYTE, 12);
    report_cost(report, "4 KiB frames", GIBIBYTE, &small);

    report_at_most(report, "invocations for 1 GiB of RAM in 2 MiB frames",
                   report_exact(two_mib[ONE_GIB].invocations), 1040);
    report_at_most(report, "invocations for 1 GiB of RAM in a 1 GiB frame",
                   report_exact(largest[ONE_GIB].invocations), 8);
    report_at_most(report, "heap a 2 MiB frame of 64 GiB, bytes",
                   report_exact(two_mib[MOST].heap / two_mib[MOST].frames), 24);
    report_at_most(report, "heap a 4 KiB frame of 1 GiB, bytes",
                   report_exact(small.heap / small.frames), 24);
    measure_t time[2] = {{.count = 0}, {.count = 0}};
    for (int round = 0; round < 11; round++) {
        cost_t many = register_ram(sizes[MOST], 21);
        cost_t few = register_ram(sizes[ONE_GIB], 21);
        measure_add(&time[0], many.time / many.frames);
        measure_add(&time[1], few.time / few.frames);
    }
    report_at_most(report, "time a frame: 64 GiB / 1 GiB in 2 MiB frames",
                   measure_ratio(&time[0], &time[1]), 2);
}
