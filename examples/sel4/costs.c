/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Invocations are those that the library counts: its own, and a call of the allocator for each
 * object (which is one retype, and now and then some more to split larger memory). Times are of the
 * counter; each figure is of one run, since under QEMU's -icount they repeat exactly.
 */

#include "costs.h"
#include <guestmem/inspect.h>
#include <inttypes.h>
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vka/object.h>
#include "counter.h"
#include "layout.h"

#define RANGES_BASE ((uintptr_t)0x10000000)
#define MIB         ((size_t)1 << 20)
#define BLOCK_BITS  21 /* a frame of 2 MiB */

/* Both at some time: what lies between two of them is a cost. */
typedef struct reading {
    guestmem_statistics_t counts;
    uint64_t ticks;
} reading_t;

static reading_t read_now(vm_t *vm)
{
    reading_t reading = {.ticks = 0};
    guestmem_get_statistics(vm, &reading.counts);
    reading.ticks = counter_now();
    return reading;
}

static void print_head(void)
{
    printf("  %-30s %8s %8s %8s %8s %8s %8s %14s %14s\n", "what", "objects", "maps", "unmaps",
           "tables", "copies", "deletes", "ticks", "ns each");
}

/* Print what `each` operations cost since `before`. */
static void print_cost(vm_t *vm, const char *what, size_t n, const reading_t *before, size_t each)
{
    uint64_t ticks = counter_now() - before->ticks;
    reading_t after = read_now(vm);
    const guestmem_statistics_t *a = &after.counts;
    const guestmem_statistics_t *b = &before->counts;
    char name[40];
    snprintf(name, sizeof(name), what, n);
    printf("  %-30s %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64
           " %14" PRIu64 " %14" PRIu64 "\n",
           name, a->object_allocations - b->object_allocations, a->page_maps - b->page_maps,
           a->page_unmaps - b->page_unmaps, a->table_maps - b->table_maps,
           a->cap_copies - b->cap_copies, a->cap_deletes - b->cap_deletes, ticks,
           counter_nanoseconds(ticks) / each);
}

static int free_at(vm_t *vm, uintptr_t addr)
{
    return vm_free_reserved_memory(vm, guestmem_find_reservation(vm, addr));
}

/* The untyped memory of the boot information is cleared by the kernel when its first object is
 * made, all of it at once. Have that done, and keep the objects, so that it stays so. */
static size_t clear_memory(vm_t *vm, vka_object_t kept[])
{
    size_t count = 0;
    for (int i = 0; i < simple_get_untyped_count(vm->simple); i++) {
        size_t size_bits;
        uintptr_t paddr;
        bool device;
        simple_get_nth_untyped(vm->simple, i, &size_bits, &paddr, &device);
        if (!device && size_bits >= BLOCK_BITS &&
            vka_alloc_frame_at(vm->vka, seL4_PageBits, paddr, &kept[count]) == 0) {
            count++;
        }
    }
    return count;
}

/* A gigabyte for each size; where addresses have 32 bits, a quarter of that. */
static uintptr_t ram_base(size_t i)
{
    return RAM_BASE + ((uintptr_t)i << (sizeof(uintptr_t) == 4 ? 28 : 30));
}

static int cost_of_registering(vm_t *vm, const char *what, uintptr_t base, size_t mib)
{
    reading_t before = read_now(vm);
    if (vm_ram_register_at(vm, base, mib * MIB, false) != 0) {
        return 1;
    }
    print_cost(vm, what, mib, &before, 1);
    return 0;
}

static int cost_of_freeing(vm_t *vm, uintptr_t base, size_t mib)
{
    reading_t before = read_now(vm);
    int error = free_at(vm, base);
    print_cost(vm, "free %zu MiB of RAM", mib, &before, 1);
    return error != 0;
}

/* All sizes side by side, so that none gets memory which another has used: the kernel clears that
 * before it makes an object there again, as the last row says. */
static int costs_of_registering(vm_t *vm)
{
    static vka_object_t kept[CONFIG_MAX_NUM_BOOTINFO_UNTYPED_CAPS];
    static const size_t sizes[] = {16, 64, 256};
    int failed = 0;
    reading_t before = read_now(vm);
    size_t count = clear_memory(vm, kept);
    print_cost(vm, "(%zu untypeds cleared)", count, &before, 1);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        failed += cost_of_registering(vm, "register %zu MiB of RAM", ram_base(i), sizes[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        failed += cost_of_freeing(vm, ram_base(i), sizes[i]);
    }
    failed += cost_of_registering(vm, "register %zu MiB, used before", RAM_BASE, 256);
    failed += free_at(vm, RAM_BASE) != 0;
    while (count > 0) {
        vka_free_object(vm->vka, &kept[--count]);
    }
    return failed;
}

static int cost_of_touching(vm_t *vm, size_t mib)
{
    static char buffer[16 * MIB];
    if (vm_ram_register_at(vm, RAM_BASE, mib * MIB, false) != 0) {
        return 1;
    }
    reading_t before = read_now(vm);
    int error = vm_ram_touch(vm, RAM_BASE, 1, vm_guest_ram_read_callback, buffer);
    print_cost(vm, "first touch of %zu MiB", mib, &before, 1);
    before = read_now(vm);
    error |= vm_ram_touch(vm, RAM_BASE, mib * MIB, vm_guest_ram_read_callback, buffer);
    print_cost(vm, "touch and copy %zu MiB", mib, &before, 1);
    before = read_now(vm);
    error |= vm_ram_touch(vm, RAM_BASE, mib * MIB, vm_guest_ram_read_callback, buffer);
    print_cost(vm, "the same again", mib, &before, 1);
    before = read_now(vm);
    memmove(buffer, buffer + mib * MIB / 2, mib * MIB / 2);
    print_cost(vm, "(half of it by memmove)", mib, &before, 1);
    error |= free_at(vm, RAM_BASE);
    return error != 0;
}

/* 0 to n - 1 in random order, always the same. */
static void shuffle(uint32_t *order, size_t n)
{
    uint64_t x = 88172645463325252;
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17; /* xorshift */
        size_t j = x % (i + 1);
        order[i] = order[j];
        order[j] = (uint32_t)i;
    }
}

static int cost_of_reserving(vm_t *vm, size_t n)
{
    vm_memory_reservation_t **made = calloc(n, sizeof(*made));
    uint32_t *order = calloc(n, sizeof(*order));
    int error = made == NULL || order == NULL ? -1 : 0;
    if (error == 0) {
        shuffle(order, n);
        reading_t before = read_now(vm);
        for (size_t i = 0; i < n; i++) {
            made[i] = vm_reserve_memory_at(vm, RANGES_BASE + 2 * order[i] * (uintptr_t)PAGE_BYTES,
                                           PAGE_BYTES, default_error_fault_callback, NULL);
            error |= made[i] == NULL;
        }
        print_cost(vm, "reserve %zu ranges", n, &before, n);
        before = read_now(vm);
        for (size_t i = 0; i < n && error == 0; i++) {
            error = vm_free_reserved_memory(vm, made[order[i]]);
        }
        print_cost(vm, "free them", n, &before, n);
    }
    free(made);
    free(order);
    return error != 0;
}

int costs_print(vm_t *vm)
{
    static const size_t touched[] = {1, 16};
    static const size_t reserved[] = {100, 1000, 5000};
    print_head();
    int failed = costs_of_registering(vm);
    for (size_t i = 0; i < ARRAY_SIZE(touched); i++) {
        failed += cost_of_touching(vm, touched[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
        failed += cost_of_reserving(vm, reserved[i]);
    }
    return failed;
}

void costs_print_stores(uint64_t ticks, size_t stores)
{
    printf("  %-30s %67" PRIu64 " %14" PRIu64 "\n", "a guest's store, and back", ticks / stores,
           counter_nanoseconds(ticks) / stores);
}
