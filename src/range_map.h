/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * An ordered map of disjoint address ranges, each with a value. Pure C11: no seL4 types. Ranges are
 * `(base, last)`, both inclusive. Insertion is in two steps: gm_range_map_prepare() gets the
 * memory, gm_range_map_insert() cannot fail. Removing a range right after that frees all that it
 * took.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "heap.h"

#define GM_RANGE_CHUNK 64 /* ranges in a chunk at most */

typedef struct gm_range_rest {
    uintptr_t last;
    void *value;
} gm_range_rest_t;

/** Ranges that follow one another. The keys lie side by side, for the search. */
typedef struct gm_range_chunk {
    uintptr_t base[GM_RANGE_CHUNK];
    gm_range_rest_t rest[GM_RANGE_CHUNK];
} gm_range_chunk_t;

typedef struct gm_range_slot {
    uintptr_t first; /* the chunk's first key */
    gm_range_chunk_t *chunk;
    size_t count; /* ranges in it */
} gm_range_slot_t;

typedef struct gm_range_map {
    gm_heap_t *heap;
    gm_range_slot_t *slots; /* the chunks in order */
    size_t num_chunks;
    size_t capacity; /* of `slots` */
    size_t num_ranges;
    size_t at; /* these from gm_range_map_prepare() until the insertion: the chunk that it is for */
    gm_range_chunk_t *spare_chunk;
    gm_range_slot_t *spare_slots;
} gm_range_map_t;

typedef struct gm_range {
    uintptr_t base;
    uintptr_t last;
    void *value;
} gm_range_t;

/** Make an empty map; it holds no memory. `heap` must outlive it. */
void gm_range_map_init(gm_range_map_t *map, gm_heap_t *heap);

/** Free all memory of the map and empty it. The values are the caller's. */
void gm_range_map_destroy(gm_range_map_t *map);

/** Get the memory to insert a range that starts at `base`. @return 0; -1 without heap, unchanged */
int gm_range_map_prepare(gm_range_map_t *map, uintptr_t base);

/** Free what gm_range_map_prepare() got, if the insertion will not be done. */
void gm_range_map_cancel(gm_range_map_t *map);

/** Insert a range that overlaps none, right after gm_range_map_prepare() of its base. */
void gm_range_map_insert(gm_range_map_t *map, uintptr_t base, uintptr_t last, void *value);

/** Let the range that starts at `base` end at `last`, where it overlaps no other, with that value.
 */
void gm_range_map_set(gm_range_map_t *map, uintptr_t base, uintptr_t last, void *value);

/** Remove the range that starts at `base`; needs no memory. @return whether there was one */
bool gm_range_map_remove(gm_range_map_t *map, uintptr_t base);

/** Find the highest range that starts at or below `address`. @return whether there is one */
bool gm_range_map_previous(const gm_range_map_t *map, uintptr_t address, gm_range_t *range);

/* The last of `n` sorted keys that is at or below `address`; 0 if none is. None from low + n on is.
 */
static inline size_t gm_range_floor(const uintptr_t *keys, size_t n, uintptr_t address)
{
    size_t low = 0;
    for (size_t half = n / 2; half > 0; half = n / 2) {
        low += keys[low + half] <= address ? half : 0;
        n -= half;
    }
    return low;
}

/* The same for the chunks' first keys. */
static inline size_t gm_range_chunk_at(const gm_range_map_t *map, uintptr_t address)
{
    size_t low = 0;
    size_t n = map->num_chunks;
    for (size_t half = n / 2; half > 0; half = n / 2) {
        low += map->slots[low + half].first <= address ? half : 0;
        n -= half;
    }
    return low;
}

/** As gm_range_map_previous(), else the lowest range; its value. The map must not be empty. */
static inline void *gm_range_map_nearest(const gm_range_map_t *map, uintptr_t address)
{
    const gm_range_slot_t *slot = &map->slots[gm_range_chunk_at(map, address)];
    return slot->chunk->rest[gm_range_floor(slot->chunk->base, slot->count, address)].value;
}

/** The value of the range that holds `address`, or NULL. */
static inline void *gm_range_map_get(const gm_range_map_t *map, uintptr_t address)
{
    gm_range_t range;
    return gm_range_map_previous(map, address, &range) && range.last >= address ? range.value
                                                                                : NULL;
}

/** Find the lowest range that ends at or above `address`. @return whether there is one */
bool gm_range_map_next(const gm_range_map_t *map, uintptr_t address, gm_range_t *range);

/** Find the lowest range that overlaps `[base, last]`. @return whether there is one */
static inline bool gm_range_map_overlap(const gm_range_map_t *map, uintptr_t base, uintptr_t last,
                                        gm_range_t *range)
{
    return gm_range_map_next(map, base, range) && range->base <= last;
}
