/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Copies between a buffer and guest RAM, against memcpy() between the same buffer and the same
 * memory; and accesses of 16 bytes at random addresses, against memcpy() inlined. The window is
 * open before: what follows makes no kernel invocation, which is counted.
 */

#include <stdlib.h>
#include <string.h>
#include "bench.h"
#include "world.h"

#define RAM      ((uintptr_t)0x40000000)
#define MEBIBYTE ((size_t)1 << 20)
#define LARGE    (64 * MEBIBYTE)
#define PAGE     4096
#define ACCESSES 20000
#define ROUNDS   21

typedef enum way { TOUCH, READ, WRITE, MEMCPY, NUM_WAYS } way_t;

static const char *const names[NUM_WAYS] = {"vm_ram_touch", "guestmem_read", "guestmem_write",
                                            "memcpy"};

static void move(world_t *world, way_t way, char *buffer, char *ram, size_t size)
{
    int error = 0;
    switch (way) {
    case TOUCH:
        error = vm_ram_touch(&world->vm, RAM, size, vm_guest_ram_read_callback, buffer);
        break;
    case READ:
        error = guestmem_read(&world->vm, RAM, buffer, size);
        break;
    case WRITE:
        error = guestmem_write(&world->vm, RAM, buffer, size);
        break;
    default:
        memcpy(buffer, ram, size);
    }
    if (error != 0) {
        world_fail("an access to RAM");
    }
    measure_use((uintptr_t)buffer);
}

static void copies(report_t *report, world_t *world, char *buffer, char *ram)
{
    static measure_t measures[2][NUM_WAYS];
    static const size_t sizes[] = {MEBIBYTE, LARGE};
    for (int size = 0; size < 2; size++) {
        size_t repeats = size == 0 ? 16 : 1;
        for (int round = 0; round <= ROUNDS; round++) {
            for (int turn = 0; turn < NUM_WAYS; turn++) {
                int way = (round + turn) % NUM_WAYS; /* nobody always comes after the same */
                uint64_t start = measure_now();
                for (size_t i = 0; i < repeats; i++) {
                    move(world, (way_t)way, buffer, ram, sizes[size]);
                }
                if (round > 0) {
                    measure_add(&measures[size][way],
                                (double)(measure_now() - start) / (double)repeats);
                }
            }
        }
    }
    for (int way = 0; way < NUM_WAYS; way++) {
        for (int size = 0; size < 2; size++) {
            report_measure(report, "RAM copy", names[way], (double)sizes[size],
                           &measures[size][way]);
        }
    }
    static const char *const promises[2][2] = {
        {"RAM copy of 1 MiB by vm_ram_touch: speed / memcpy's",
         "RAM copy of 1 MiB by guestmem_read: speed / memcpy's"},
        {"RAM copy of 64 MiB by vm_ram_touch: speed / memcpy's",
         "RAM copy of 64 MiB by guestmem_read: speed / memcpy's"},
    };
    for (int size = 0; size < 2; size++) {
        for (int way = TOUCH; way <= READ; way++) {
            report_at_least(report, promises[size][way],
                            measure_ratio(&measures[size][MEMCPY], &measures[size][way]),
                            size == 0 ? 0.8 : 0.9);
        }
    }
}

/* Random addresses in the first MiB, so that it is the access that costs and not the cache. */
static double time_small(world_t *world, way_t way, char *ram, uint64_t seed)
{
    char bytes[16];
    int error = 0;
    uint64_t start = measure_now();
    for (int i = 0; i < ACCESSES; i++) {
        uintptr_t at = measure_random(&seed) & (MEBIBYTE - 64);
        if (way == TOUCH) {
            error |= vm_ram_touch(&world->vm, RAM + at, 16, vm_guest_ram_read_callback, bytes);
        } else if (way == READ) {
            error |= guestmem_read(&world->vm, RAM + at, bytes, 16);
        } else {
            memcpy(bytes, ram + at, 16);
        }
        measure_use((uintptr_t)bytes);
    }
    if (error != 0) {
        world_fail("a small access to RAM");
    }
    return (double)(measure_now() - start) / ACCESSES;
}

static void small_accesses(report_t *report, world_t *world, char *ram)
{
    static measure_t measures[NUM_WAYS];
    static const way_t ways[] = {TOUCH, READ, MEMCPY};
    for (int round = 0; round <= ROUNDS; round++) {
        for (int i = 0; i < 3; i++) {
            double time = time_small(world, ways[i], ram, (uint64_t)round + 1);
            if (round > 0) {
                measure_add(&measures[ways[i]], time);
            }
        }
    }
    for (int i = 0; i < 3; i++) {
        report_measure(report, "RAM access of 16 bytes", names[ways[i]], 16, &measures[ways[i]]);
    }
    report_at_most(report, "RAM access of 16 bytes: guestmem_read / memcpy",
                   measure_ratio(&measures[READ], &measures[MEMCPY]), 10);
}

/* What it costs to map, copy and unmap each page, as without windows. */
static void without_windows(report_t *report, char *buffer)
{
    world_t world;
    measure_t measure = {.count = 0};
    world_begin(&world, 2);
    if (guestmem_set_largest_frame(&world.vm, 12) != 0 ||
        guestmem_set_windows(&world.vm, GUESTMEM_WINDOWS_NONE) != 0 ||
        vm_ram_register_at(&world.vm, RAM, MEBIBYTE, false) != 0) {
        world_fail("RAM without windows");
    }
    for (int round = 0; round < 7; round++) {
        uint64_t start = measure_now();
        move(&world, READ, buffer, NULL, MEBIBYTE);
        measure_add(&measure, (double)(measure_now() - start));
    }
    report_measure(report, "RAM copy without windows", "map, copy, unmap 4 KiB", MEBIBYTE,
                   &measure);
    world_end(&world);
}

void bench_ram(report_t *report)
{
    world_t world;
    world_begin(&world, 2);
    /* At the page offset of the RAM, for all alike: a few bytes more, and each load of a copy has
     * the address of a store just before it modulo 4 KiB, which the processor waits for. */
    char *buffer = aligned_alloc(PAGE, LARGE);
    if (buffer == NULL || vm_ram_register_at(&world.vm, RAM, LARGE, false) != 0) {
        world_fail("registering RAM");
    }
    memset(buffer, 1, LARGE);
    move(&world, WRITE, buffer, NULL, LARGE);
    char *ram = guestmem_pointer(&world.vm, RAM, LARGE);
    if (ram == NULL) {
        world_fail("guestmem_pointer");
    }
    uint64_t before = hosted_invocation_total(world.system);
    copies(report, &world, buffer, ram);
    small_accesses(report, &world, ram);
    report_at_most(report, "kernel invocations of all accesses after the first",
                   report_exact((double)(hosted_invocation_total(world.system) - before)), 0);
    world_end(&world);
    without_windows(report, buffer);
    free(buffer);
}
