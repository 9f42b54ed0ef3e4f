/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Forgetting RAM may split an entry, and it must not fail. So the array always has room for one
 * more entry for each RAM reservation: each can be forgotten once, and splits at most one entry
 * then. Between calls the array has exactly that room, so that its size depends on what it holds
 * and not on what came before.
 */

#include <string.h>
#include "ram_list.h"

/* The most entries that setting the state of a range adds: it splits one in three. */
#define MOST_ADDED 2

static size_t array_bytes(size_t capacity)
{
    return capacity * sizeof(vm_ram_region_t);
}

static uintptr_t region_last(const vm_ram_region_t *region)
{
    return region->start + (region->size - 1);
}

static vm_ram_region_t make_region(uintptr_t base, uintptr_t last, ram_state_t state)
{
    return (vm_ram_region_t){.start = base, .size = last - base + 1, .allocated = (int)state};
}

/* Move the list to an array of that capacity. */
static int resize(vm_memory_t *memory, size_t capacity)
{
    vm_mem_t *mem = &memory->vm->mem;
    vm_ram_region_t *regions = NULL;
    if (capacity > 0) {
        regions = heap_alloc(&memory->heap, array_bytes(capacity));
        if (regions == NULL) {
            return memory_blame(memory, GUESTMEM_NO_HEAP, "the heap has no room for the RAM list");
        }
        if (mem->num_ram_regions > 0) {
            memcpy(regions, mem->ram_regions, array_bytes((size_t)mem->num_ram_regions));
        }
    }
    heap_free(&memory->heap, mem->ram_regions, array_bytes(memory->ram_capacity));
    mem->ram_regions = regions;
    memory->ram_capacity = capacity;
    return 0;
}

int ram_list_prepare(vm_memory_t *memory)
{
    /* One more reservation may come, too. */
    return resize(memory, (size_t)memory->vm->mem.num_ram_regions + MOST_ADDED +
                              memory->ram_reservations + 1);
}

static void fit(vm_memory_t *memory)
{
    size_t capacity = (size_t)memory->vm->mem.num_ram_regions + memory->ram_reservations;
    if (capacity != memory->ram_capacity) {
        /* If there is no heap for the smaller array, the larger one serves as well. */
        (void)resize(memory, capacity);
    }
}

/* The index of the first entry that ends at or above `address`. */
static size_t find_region(const vm_mem_t *mem, uintptr_t address)
{
    size_t low = 0;
    size_t high = (size_t)mem->num_ram_regions;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (region_last(&mem->ram_regions[middle]) < address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Replace entries `[from, to)` by `count` others; there is room. */
static void replace(vm_mem_t *mem, size_t from, size_t to, const vm_ram_region_t *regions,
                    size_t count)
{
    size_t behind = (size_t)mem->num_ram_regions - to;
    if (behind > 0) {
        memmove(&mem->ram_regions[from + count], &mem->ram_regions[to], array_bytes(behind));
    }
    if (count > 0) {
        memcpy(&mem->ram_regions[from], regions, array_bytes(count));
    }
    mem->num_ram_regions = (int)(from + count + behind);
}

/* Merge the entries from `from` to `to` (inclusive) with neighbours of the same state. */
static void merge(vm_mem_t *mem, size_t from, size_t to)
{
    for (size_t i = to; i > from; i--) {
        if (i < (size_t)mem->num_ram_regions) {
            vm_ram_region_t *left = &mem->ram_regions[i - 1];
            vm_ram_region_t *right = &mem->ram_regions[i];
            if (left->allocated == right->allocated && region_last(left) + 1 == right->start) {
                left->size += right->size;
                replace(mem, i, i + 1, NULL, 0);
            }
        }
    }
}

/* Take `[base, last]` out of the list, and put `regions` (0 or 1 of them) there. */
static void rewrite(vm_memory_t *memory, uintptr_t base, uintptr_t last,
                    const vm_ram_region_t *inserted, size_t num_inserted)
{
    vm_mem_t *mem = &memory->vm->mem;
    vm_ram_region_t pieces[1 + MOST_ADDED] = {{0}};
    size_t count = 0;
    size_t from = find_region(mem, base);
    size_t to = from;
    while (to < (size_t)mem->num_ram_regions && mem->ram_regions[to].start <= last) {
        to++;
    }
    if (from < to && mem->ram_regions[from].start < base) {
        const vm_ram_region_t *cut = &mem->ram_regions[from];
        pieces[count++] = make_region(cut->start, base - 1, (ram_state_t)cut->allocated);
    }
    if (num_inserted > 0) {
        pieces[count++] = *inserted;
    }
    if (from < to && region_last(&mem->ram_regions[to - 1]) > last) {
        const vm_ram_region_t *cut = &mem->ram_regions[to - 1];
        pieces[count++] = make_region(last + 1, region_last(cut), (ram_state_t)cut->allocated);
    }
    replace(mem, from, to, pieces, count);
    merge(mem, from > 0 ? from - 1 : 0, from + count);
}

void ram_list_set(vm_memory_t *memory, uintptr_t base, uintptr_t last, ram_state_t state)
{
    vm_ram_region_t region = make_region(base, last, state);
    rewrite(memory, base, last, &region, 1);
    fit(memory);
}

void ram_list_register(vm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    memory->ram_reservations++;
    ram_list_set(memory, base, last, RAM_FREE);
}

void ram_list_forget(vm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    memory->ram_reservations--;
    rewrite(memory, base, last, NULL, 0);
    fit(memory);
}

/* Whether `[base, last]` is covered by neighbouring entries, of one state or of any (-1). */
static bool covered(const vm_memory_t *memory, uintptr_t base, uintptr_t last, int state)
{
    const vm_mem_t *mem = &memory->vm->mem;
    for (size_t i = find_region(mem, base); i < (size_t)mem->num_ram_regions; i++) {
        const vm_ram_region_t *region = &mem->ram_regions[i];
        if (region->start > base || (state >= 0 && region->allocated != state)) {
            return false;
        }
        if (region_last(region) >= last) {
            return true;
        }
        base = region_last(region) + 1;
    }
    return false;
}

bool ram_list_is_ram(const vm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    return covered(memory, base, last, -1);
}

bool ram_list_is(const vm_memory_t *memory, uintptr_t base, uintptr_t last, ram_state_t state)
{
    return covered(memory, base, last, (int)state);
}

void ram_list_destroy(vm_memory_t *memory)
{
    memory->vm->mem.num_ram_regions = 0;
    memory->ram_reservations = 0;
    (void)resize(memory, 0);
}
