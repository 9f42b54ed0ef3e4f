/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * An ordered map of disjoint address ranges, each with a value. Pure C11: no seL4 types.
 *
 * Ranges are `(base, last)`, both inclusive, so one may end at the top of the address space.
 * Inserting is in two steps, so that a caller can do everything that may fail first:
 * range_map_prepare() gets the memory, range_map_insert() cannot fail. Removing a range right after
 * its insert gives back all memory that the insert took.
 *
 * The map keeps an item for each range, and can keep more of the owner's in it: what is read with
 * the range then costs no access to memory elsewhere.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "heap.h"

typedef struct range_map_leaf range_map_leaf_t;
typedef struct range_map_branch range_map_branch_t;
typedef struct range_map_slot range_map_slot_t;

/** What the map knows of its branches, by ascending address; one block of the heap. */
typedef struct range_map_index {
    uintptr_t *first;        /* address of each branch's first range */
    range_map_slot_t *slots; /* the branches; also the address of the block */
    uint32_t *guide;         /* for each part of the address space, a branch to begin at */
    size_t capacity;         /* branches that there is room for */
    uintptr_t origin;        /* where the guide's parts begin */
    unsigned part_bits;      /* each has 2^part_bits bytes */
} range_map_index_t;

/** Where in a map an address belongs, until the next change; made by range_map_place(). */
typedef struct range_map_place {
    size_t branch;
    size_t leaf;
} range_map_place_t;

typedef struct range_map {
    heap_t *heap;
    range_map_index_t index;
    size_t num_branches; /* none is empty */
    size_t num_ranges;
    size_t item_bytes;
    range_map_place_t prepared; /* these from range_map_prepare() until the insert */
    range_map_leaf_t *spare_leaf;
    range_map_branch_t *spare_branch;
    range_map_index_t spare_index;
} range_map_t;

/** What is kept of a range; range_map_init_items() says how much of the owner's follows. */
typedef struct range_map_item {
    uintptr_t last; /* as it was inserted: not to be written */
    void *value;
} range_map_item_t;

typedef struct range_map_entry {
    uintptr_t base;
    uintptr_t last;
    void *value;
} range_map_entry_t;

/** Make an empty map; it holds no memory. `heap` must outlive it. */
void range_map_init(range_map_t *map, heap_t *heap);

/** The same, with items of `item_bytes`: a multiple of 8 that begins with a range_map_item_t. */
void range_map_init_items(range_map_t *map, heap_t *heap, size_t item_bytes);

/** Free all memory of the map and empty it. The values are the caller's. */
void range_map_destroy(range_map_t *map);

/**
 * Get the memory that range_map_insert() of a range that starts at `base` will need.
 *
 * @return 0; -1 if the heap is exhausted, and nothing has changed
 * @see range_map_cancel
 */
int range_map_prepare(range_map_t *map, uintptr_t base);

/** Look an address up once, for the functions that take its place; asks for the memory that they
 *  will read, so the sooner the better. */
range_map_place_t range_map_place(const range_map_t *map, uintptr_t address);

/** range_map_prepare() for a base whose place is known. */
int range_map_prepare_at(range_map_t *map, range_map_place_t place);

/** range_map_next() from an address whose place is known. */
bool range_map_next_from(const range_map_t *map, range_map_place_t place, uintptr_t address,
                         range_map_entry_t *entry);

/** range_map_remove() of a base whose place is known. */
bool range_map_remove_at(range_map_t *map, range_map_place_t place, uintptr_t base);

/** Give back what range_map_prepare() got, if the insert is not to be. */
void range_map_cancel(range_map_t *map);

/**
 * Insert a range that overlaps none; range_map_prepare() for the same base came before, with no
 * other change of the map between.
 *
 * @return its item, whose owner's part is to be filled; it stays there until the next change
 */
range_map_item_t *range_map_insert(range_map_t *map, uintptr_t base, uintptr_t last, void *value);

/** Remove the range that starts at `base`; needs no memory. @return whether there was one */
bool range_map_remove(range_map_t *map, uintptr_t base);

/**
 * The item of the highest range that starts at or below `address`, or NULL; it stays there until
 * the next change of the map. The cheapest look-up.
 */
range_map_item_t *range_map_item(const range_map_t *map, uintptr_t address);

/** Find the lowest range that ends at or above `address`. @return whether there is one */
bool range_map_next(const range_map_t *map, uintptr_t address, range_map_entry_t *entry);

/** Find the highest range that starts at or below `address`. @return whether there is one */
bool range_map_previous(const range_map_t *map, uintptr_t address, range_map_entry_t *entry);

/** Find the range that holds `address`. @return whether there is one */
static inline bool range_map_find(const range_map_t *map, uintptr_t address,
                                  range_map_entry_t *entry)
{
    return range_map_previous(map, address, entry) && entry->last >= address;
}

/** Find the lowest range that overlaps `[base, last]`. @return whether there is one */
static inline bool range_map_overlap(const range_map_t *map, uintptr_t base, uintptr_t last,
                                     range_map_entry_t *entry)
{
    return range_map_next(map, base, entry) && entry->base <= last;
}

/**
 * Find the lowest `size` bytes or more at or above `from` that are in no range. Branches that were
 * searched in vain are remembered, which is all that the call changes.
 *
 * @param size  at least 1
 * @param gap   receives the first and last address of all that is free there; no value
 * @return whether there are so many
 */
bool range_map_gap(const range_map_t *map, uintptr_t from, uintptr_t size, range_map_entry_t *gap);
