/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Reporting what a guest has written, of 1 GiB of RAM that is tracked in pages of 4 KiB: the right
 * to write them is taken away again, a kernel invocation each. The baseline is these invocations
 * alone.
 */

#include <guestmem/change.h>
#include "bench.h"
#include "world.h"

#define RAM     ((uintptr_t)64 << 30)
#define SIZE    ((size_t)1 << 30)
#define PAGE    ((uintptr_t)4096)
#define WRITTEN 1000
#define ROUNDS  21

static int count(vm_t *vm, uintptr_t addr, size_t size, void *cookie)
{
    (void)vm;
    (void)addr;
    *(size_t *)cookie += size;
    return 0;
}

/* Let the guest write pages, each in a part of RAM of its own. */
static void write_pages(world_t *world, uintptr_t pages[WRITTEN], uint64_t *seed)
{
    uintptr_t part = SIZE / PAGE / WRITTEN;
    for (size_t i = 0; i < WRITTEN; i++) {
        pages[i] = RAM + (i * part + measure_below(seed, part)) * PAGE;
        if (vm_memory_handle_fault(&world->vm, NULL, pages[i], 8) != FAULT_RESTART) {
            world_fail("a write to a tracked page");
        }
    }
}

static double time_report(world_t *world, vm_memory_reservation_t *ram)
{
    size_t written = 0;
    uint64_t start = measure_now();
    int error = guestmem_written(&world->vm, ram, count, &written);
    double time = (double)(measure_now() - start);
    if (error != 0 || written != WRITTEN * PAGE) {
        world_fail("guestmem_written");
    }
    return time;
}

static double time_invocations(world_t *world, const uintptr_t pages[WRITTEN])
{
    static seL4_CPtr caps[WRITTEN];
    guestmem_frame_info_t info;
    for (size_t i = 0; i < WRITTEN; i++) {
        if (guestmem_frame_info(&world->vm, pages[i], &info) != 0) {
            world_fail("guestmem_frame_info");
        }
        caps[i] = info.cap;
    }
    int error = 0;
    uint64_t start = measure_now();
    for (size_t i = 0; i < WRITTEN; i++) {
        error |= seL4_ARM_Page_Map(caps[i], world->vm.mem.vm_vspace_root.cptr, pages[i],
                                   seL4_CanRead, seL4_ARM_Default_VMAttributes);
    }
    double time = (double)(measure_now() - start);
    if (error != 0) {
        world_fail("seL4_ARM_Page_Map");
    }
    return time;
}

void bench_change(report_t *report)
{
    static uintptr_t pages[WRITTEN];
    static measure_t reports, invocations;
    world_t world;
    uint64_t seed = 5;
    world_begin(&world, 128);
    if (guestmem_set_largest_frame(&world.vm, 12) != 0 ||
        vm_ram_register_at(&world.vm, RAM, SIZE, false) != 0) {
        world_fail("vm_ram_register_at");
    }
    vm_memory_reservation_t *ram = guestmem_find_reservation(&world.vm, RAM);
    if (guestmem_track_written(&world.vm, ram, GUESTMEM_TRACK_FRAMES) != 0) {
        world_fail("guestmem_track_written");
    }
    for (int round = 0; round <= ROUNDS; round++) {
        write_pages(&world, pages, &seed);
        double time = time_report(&world, ram);
        double baseline = time_invocations(&world, pages);
        if (round > 0) {
            measure_add(&reports, time);
            measure_add(&invocations, baseline);
        }
    }
    world_end(&world);
    report_measure(report, "report 1,000 written pages of 1 GiB", "guestmem_written", WRITTEN,
                   &reports);
    report_measure(report, "report 1,000 written pages of 1 GiB", "the invocations", WRITTEN,
                   &invocations);
    report_at_most(report, "report of 1,000 written pages: time / the invocations'",
                   measure_ratio(&reports, &invocations), 2);
}
