/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A sorted array of chunks, each a sorted array of up to CHUNK_RANGES ranges. Finding is a binary
 * search among the chunks' first addresses and one within a chunk. Inserting moves at most one
 * chunk's ranges; a full chunk is split in halves.
 *
 * Invariants: no chunk is empty; two neighbours together hold more than CHUNK_RANGES ranges (a
 * removal that would break this merges them). So insert followed by remove gives back all memory
 * that the insert took, and an empty map holds none.
 */

#include <string.h>
#include "range_map.h"

#define CHUNK_RANGES 64

struct range_map_chunk {
    size_t count;
    uintptr_t base[CHUNK_RANGES];
    uintptr_t last[CHUNK_RANGES];
    void *value[CHUNK_RANGES];
};

void range_map_init(range_map_t *map, heap_t *heap)
{
    *map = (range_map_t){.heap = heap};
}

static void free_chunks(range_map_t *map, range_map_chunk_t **chunks, size_t capacity)
{
    heap_free(map->heap, chunks, capacity * sizeof(chunks[0]));
}

void range_map_destroy(range_map_t *map)
{
    range_map_cancel(map);
    for (size_t i = 0; i < map->num_chunks; i++) {
        heap_free(map->heap, map->chunks[i], sizeof(*map->chunks[i]));
    }
    free_chunks(map, map->chunks, map->capacity);
    range_map_init(map, map->heap);
}

/* The chunk whose ranges `address` is among or behind: the last that starts at or below it. */
static size_t chunk_of(const range_map_t *map, uintptr_t address)
{
    size_t low = 0;
    size_t high = map->num_chunks;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (map->chunks[middle]->base[0] <= address) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The number of ranges of the chunk that start at or below `address`. */
static size_t count_up_to(const range_map_chunk_t *chunk, uintptr_t address)
{
    size_t low = 0;
    size_t high = chunk->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (chunk->base[middle] <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static size_t capacity_for(size_t num_chunks)
{
    size_t capacity = 1;
    while (capacity < num_chunks) {
        capacity *= 2;
    }
    return capacity;
}

int range_map_prepare(range_map_t *map, uintptr_t base)
{
    if (map->num_chunks > 0 && map->chunks[chunk_of(map, base)]->count < CHUNK_RANGES) {
        return 0;
    }
    map->spare_chunk = heap_alloc(map->heap, sizeof(*map->spare_chunk));
    if (map->spare_chunk == NULL) {
        return -1;
    }
    if (map->num_chunks == map->capacity) {
        map->spare_capacity = capacity_for(map->num_chunks + 1);
        map->spare_chunks =
            heap_alloc(map->heap, map->spare_capacity * sizeof(map->spare_chunks[0]));
        if (map->spare_chunks == NULL) {
            range_map_cancel(map);
            return -1;
        }
    }
    return 0;
}

void range_map_cancel(range_map_t *map)
{
    heap_free(map->heap, map->spare_chunk, sizeof(*map->spare_chunk));
    free_chunks(map, map->spare_chunks, map->spare_capacity);
    map->spare_chunk = NULL;
    map->spare_chunks = NULL;
    map->spare_capacity = 0;
}

/* Put the spare chunk at `index` of the chunks. */
static range_map_chunk_t *add_chunk(range_map_t *map, size_t index)
{
    range_map_chunk_t *chunk = map->spare_chunk;
    map->spare_chunk = NULL;
    if (map->spare_chunks != NULL) {
        if (map->num_chunks > 0) {
            memcpy(map->spare_chunks, map->chunks, map->num_chunks * sizeof(map->chunks[0]));
        }
        free_chunks(map, map->chunks, map->capacity);
        map->chunks = map->spare_chunks;
        map->capacity = map->spare_capacity;
        map->spare_chunks = NULL;
        map->spare_capacity = 0;
    }
    memmove(&map->chunks[index + 1], &map->chunks[index],
            (map->num_chunks - index) * sizeof(map->chunks[0]));
    map->chunks[index] = chunk;
    map->num_chunks++;
    return chunk;
}

/* Move `count` ranges from `from` at `source` to `to` at `target`; the chunks may be the same. */
static void move_ranges(range_map_chunk_t *to, size_t target, range_map_chunk_t *from,
                        size_t source, size_t count)
{
    memmove(&to->base[target], &from->base[source], count * sizeof(to->base[0]));
    memmove(&to->last[target], &from->last[source], count * sizeof(to->last[0]));
    memmove(&to->value[target], &from->value[source], count * sizeof(to->value[0]));
}

void range_map_insert(range_map_t *map, uintptr_t base, uintptr_t last, void *value)
{
    size_t index = map->num_chunks > 0 ? chunk_of(map, base) : 0;
    range_map_chunk_t *chunk = map->num_chunks > 0 ? map->chunks[index] : add_chunk(map, 0);

    if (chunk->count == CHUNK_RANGES) {
        range_map_chunk_t *upper = add_chunk(map, index + 1);
        size_t half = CHUNK_RANGES / 2;
        upper->count = CHUNK_RANGES - half;
        move_ranges(upper, 0, chunk, half, upper->count);
        chunk->count = half;
        if (upper->base[0] <= base) {
            chunk = upper;
        }
    }
    size_t at = count_up_to(chunk, base);
    move_ranges(chunk, at + 1, chunk, at, chunk->count - at);
    chunk->base[at] = base;
    chunk->last[at] = last;
    chunk->value[at] = value;
    chunk->count++;
    map->num_ranges++;
}

/* Remove a chunk that is not the only one. */
static void remove_chunk(range_map_t *map, size_t index)
{
    heap_free(map->heap, map->chunks[index], sizeof(*map->chunks[index]));
    map->num_chunks--;
    memmove(&map->chunks[index], &map->chunks[index + 1],
            (map->num_chunks - index) * sizeof(map->chunks[0]));

    size_t capacity = capacity_for(map->num_chunks);
    if (capacity == map->capacity) {
        return;
    }
    range_map_chunk_t **smaller = heap_alloc(map->heap, capacity * sizeof(smaller[0]));
    if (smaller == NULL) {
        return; /* the larger array serves as well */
    }
    memcpy(smaller, map->chunks, map->num_chunks * sizeof(smaller[0]));
    free_chunks(map, map->chunks, map->capacity);
    map->chunks = smaller;
    map->capacity = capacity;
}

/* Merge a chunk with the one behind it if both fit in one. */
static void merge_with_next(range_map_t *map, size_t index)
{
    if (index + 1 >= map->num_chunks) {
        return;
    }
    range_map_chunk_t *chunk = map->chunks[index];
    range_map_chunk_t *next = map->chunks[index + 1];
    if (chunk->count + next->count <= CHUNK_RANGES) {
        move_ranges(chunk, chunk->count, next, 0, next->count);
        chunk->count += next->count;
        remove_chunk(map, index + 1);
    }
}

/* Find the range that starts at `base`. */
static bool locate(const range_map_t *map, uintptr_t base, size_t *index, size_t *at)
{
    if (map->num_chunks == 0) {
        return false;
    }
    *index = chunk_of(map, base);
    size_t count = count_up_to(map->chunks[*index], base);
    *at = count - 1;
    return count > 0 && map->chunks[*index]->base[*at] == base;
}

bool range_map_remove(range_map_t *map, uintptr_t base)
{
    size_t index;
    size_t at;
    if (!locate(map, base, &index, &at)) {
        return false;
    }
    range_map_chunk_t *chunk = map->chunks[index];
    chunk->count--;
    map->num_ranges--;
    move_ranges(chunk, at, chunk, at + 1, chunk->count - at);
    if (map->num_ranges == 0) {
        range_map_destroy(map);
    } else {
        /* A chunk that has become empty fits into either neighbour, so it ends here, too. */
        merge_with_next(map, index);
        if (index > 0) {
            merge_with_next(map, index - 1);
        }
    }
    return true;
}

static void read_entry(const range_map_chunk_t *chunk, size_t at, range_map_entry_t *entry)
{
    *entry = (range_map_entry_t){chunk->base[at], chunk->last[at], chunk->value[at]};
}

bool range_map_previous(const range_map_t *map, uintptr_t address, range_map_entry_t *entry)
{
    if (map->num_chunks == 0) {
        return false;
    }
    const range_map_chunk_t *chunk = map->chunks[chunk_of(map, address)];
    size_t count = count_up_to(chunk, address);
    if (count == 0) {
        return false;
    }
    read_entry(chunk, count - 1, entry);
    return true;
}

bool range_map_find(const range_map_t *map, uintptr_t address, range_map_entry_t *entry)
{
    return range_map_previous(map, address, entry) && entry->last >= address;
}

bool range_map_next(const range_map_t *map, uintptr_t address, range_map_entry_t *entry)
{
    if (map->num_chunks == 0) {
        return false;
    }
    size_t index = chunk_of(map, address);
    const range_map_chunk_t *chunk = map->chunks[index];
    size_t count = count_up_to(chunk, address);
    if (count > 0 && chunk->last[count - 1] >= address) {
        count--;
    }
    if (count == chunk->count) {
        if (index + 1 == map->num_chunks) {
            return false;
        }
        chunk = map->chunks[index + 1];
        count = 0;
    }
    read_entry(chunk, count, entry);
    return true;
}

bool range_map_overlap(const range_map_t *map, uintptr_t base, uintptr_t last,
                       range_map_entry_t *entry)
{
    return range_map_next(map, base, entry) && entry->base <= last;
}
