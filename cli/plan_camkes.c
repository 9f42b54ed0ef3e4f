/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns `guestmem plan --camkes`: what a VM of camkes-vm wants of its component's attributes. The
 * hosted system counts the VM's objects. On seL4 the VMM's libraries take more, which is added
 * here: libsel4utils' records of the VMM's address space, libsel4allocman's records of untyped
 * memory, and an allowance for what camkes-vm itself makes. docs/vm-description.md says what was
 * measured.
 */

#include "plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PAGE       ((uint64_t)0x1000)
#define LARGE_PAGE ((uint64_t)0x200000)
#define GIBIBYTE   ((uint64_t)0x40000000)

enum {
    POOL_BITS = 24, /* memory for much comes in pieces that any board has */
    PAGE_BITS = 12,

    /* Of camkes-vm: the thread of its interrupt server with its stack, endpoints, notifications,
     * and the capabilities that it is started with. */
    CAMKES_OBJECTS = 32, /* of up to a page */
    CAMKES_SLOTS = 128,
    CAMKES_HEAP = 0x100000,
    DEFAULT_HEAP = 0x300000, /* that VM_CONFIGURATION_DEF() sets */

    /* Of libsel4utils, for each 2 MiB of the VMM's address space that it maps: two pages of
     * records, and a page table where small pages are mapped. And at its start. */
    PAGES_PER_LARGE_PAGE = 2,
    START_PAGES = 12,

    /* Of libsel4allocman: it halves untyped memory. Each half has a record and a slot, for good. */
    RECORD_BYTES = 128,
    START_RECORDS = 0x2000, /* bytes */
    START_SLOTS = 32,
    HALVES_LEFT = 12, /* that nothing is made in */

    HEAP_BLOCK = 32 /* bytes of malloc() itself for a block */
};

/** A range of physical memory whose capability the component gets. */
typedef struct mmio {
    uint64_t paddr;
    uint64_t size;
} mmio_t;

static uint64_t larger_power_of_two(uint64_t value, unsigned *bits)
{
    *bits = PAGE_BITS;
    while ((uint64_t)1 << *bits < value) {
        (*bits)++;
    }
    return (uint64_t)1 << *bits;
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/** The physical memory that a row's frames are, if it has an address. */
static bool passed_through(const memory_map_row_t *row, mmio_t *mmio)
{
    uint64_t paddr;

    if (!memory_map_row_paddr(row, &paddr) || row->rights[0] == '\0' || row->shared != NULL) {
        return false;
    }
    mmio->paddr = paddr & ~(PAGE - 1);
    mmio->size = round_up(memory_map_row_size(row), PAGE); /* from the start of that page on */
    return true;
}

/** Cut a range into naturally aligned powers of two. @return bits of the first, which is cut off */
static unsigned cut(mmio_t *mmio)
{
    unsigned bits = PAGE_BITS;

    while (bits < 46 && mmio->paddr % ((uint64_t)2 << bits) == 0 &&
           (uint64_t)2 << bits <= mmio->size) {
        bits++;
    }
    mmio->paddr += (uint64_t)1 << bits;
    mmio->size -= (uint64_t)1 << bits;
    return bits;
}

static uint64_t count_mmios(const memory_map_t *map)
{
    uint64_t count = 0;

    for (size_t i = 0; i < map->num_rows; i++) {
        mmio_t mmio;
        for (bool more = passed_through(&map->rows[i], &mmio); more; more = mmio.size > 0) {
            cut(&mmio);
            count++;
        }
    }
    return count;
}

static void print_comment(const char *text)
{
    for (; *text != '\0'; text++) {
        putchar((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e || *text == '\\'
                    ? '_'
                    : *text);
    }
}

static void print_mmios(const memory_map_t *map, unsigned vm)
{
    printf("vm%u.untyped_mmios = [\n", vm);
    for (size_t i = 0; i < map->num_rows; i++) {
        mmio_t mmio;
        for (bool more = passed_through(&map->rows[i], &mmio); more; more = mmio.size > 0) {
            uint64_t paddr = mmio.paddr;
            printf("    \"0x%" PRIx64 ":%u\", // ", paddr, cut(&mmio));
            print_comment(map->rows[i].name);
            putchar('\n');
        }
    }
    printf("];\n");
}

/** Pages of objects that libsel4utils makes for the windows. */
static uint64_t vmm_pages(const plan_needs_t *needs)
{
    uint64_t all = needs->window_bytes / LARGE_PAGE + 2 * needs->windows;
    uint64_t mapped = needs->window_frames + 2 * needs->windows; /* at most that many parts */
    uint64_t parts = mapped < all ? mapped : all;
    uint64_t small = needs->window_small_frames < parts ? needs->window_small_frames : parts;
    uint64_t records = PAGES_PER_LARGE_PAGE * parts;

    return records + small + records / 512 + needs->window_bytes / GIBIBYTE + START_PAGES;
}

static unsigned cnode_bits(uint64_t slots)
{
    unsigned bits = 1;

    while ((uint64_t)1 << bits < slots) {
        bits++;
    }
    return bits;
}

/** VM_CONFIGURATION_DEF() sets a heap, and CAmkES takes no attribute twice. */
static void print_heap(const plan_needs_t *needs)
{
    uint64_t heap = needs->heap_bytes + needs->heap_blocks * HEAP_BLOCK;

    if (heap + CAMKES_HEAP <= DEFAULT_HEAP) {
        printf("// vm%u.heap_size: 0x%" PRIx64
               " of it for this, so VM_CONFIGURATION_DEF's 0x%x will do\n",
               needs->vm, round_up(heap, PAGE), DEFAULT_HEAP);
    } else {
        printf("vm%u.heap_size = 0x%" PRIx64 "; // instead of VM_CONFIGURATION_DEF's 0x%x\n",
               needs->vm, round_up(heap + CAMKES_HEAP, PAGE), DEFAULT_HEAP);
    }
}

/** Shared memory is none of a pool's: the application connects VMs with dataports. */
static void print_shared(const memory_map_t *map, unsigned vm)
{
    for (size_t i = 0; i < map->num_rows; i++) {
        const memory_map_row_t *row = &map->rows[i];
        if (row->shared != NULL) {
            printf("// vm%u: 0x%" PRIx64 " bytes at 0x%" PRIx64 " are a dataport, \"", vm,
                   memory_map_row_size(row), row->base);
            print_comment(row->shared);
            printf("\" (%s)\n", row->rights[1] == 'w' ? "read and write" : "read only");
        }
    }
}

void plan_camkes(const memory_map_t *map, const plan_needs_t *needs)
{
    uint64_t pages = vmm_pages(needs) + CAMKES_OBJECTS;
    uint64_t bytes = needs->free_bytes + pages * PAGE;
    uint64_t objects = needs->objects + pages;
    uint64_t pools = bytes >> POOL_BITS;
    uint64_t rest = bytes % ((uint64_t)1 << POOL_BITS);
    uint64_t mmios = count_mmios(map);
    uint64_t records;
    uint64_t slots;
    unsigned rest_bits;

    if (rest > 0 && larger_power_of_two(rest, &rest_bits) == (uint64_t)1 << POOL_BITS) {
        rest = 0;
        pools++;
    }
    records = pools + (rest > 0) + mmios + 2 * (objects + HALVES_LEFT);
    slots = records + objects + needs->window_frames + START_SLOTS + CAMKES_SLOTS;
    printf("// Memory of %s on %s.\n", map->title, map->board);
    if (pools > 0) {
        printf("vm%u.simple_untyped%u_pool = %" PRIu64 ";\n", needs->vm, POOL_BITS, pools);
    }
    if (rest > 0) {
        printf("vm%u.simple_untyped%u_pool = 1;\n", needs->vm, rest_bits);
    }
    printf("vm%u.cnode_size_bits = %u;\n", needs->vm, cnode_bits(slots));
    printf("vm%u.allocator_mempool_size = 0x%" PRIx64 ";\n", needs->vm,
           round_up(((uint64_t)1 << cnode_bits(slots)) / 8 + records * RECORD_BYTES + START_RECORDS,
                    PAGE));
    print_heap(needs);
    if (mmios > 0) {
        print_mmios(map, needs->vm);
    }
    print_shared(map, needs->vm);
}
