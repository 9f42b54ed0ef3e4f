/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A sorted array of chunks, each with up to 64 ranges in sorted arrays. A search halves the chunks'
 * first keys, then one chunk's keys, without branches that depend on them. A full chunk is split
 * in halves; two neighbours that fit into one are merged. What holds between the calls:
 *   - the ranges are disjoint and sorted: base[i] <= last[i] < base[i + 1], within a chunk and from
 *     each chunk to the next;
 *   - each chunk has 1 to GM_RANGE_CHUNK ranges, and slots[i].first == slots[i].chunk->base[0];
 *   - num_ranges is the sum of the counts, and num_chunks <= capacity;
 *   - spare_chunk and spare_slots are NULL, but for between prepare and insert or cancel.
 */

#include "range_map.h"

#define SLOTS_STEP 8 /* capacities are its multiples */

/* Only these four touch the heap. */
static gm_range_chunk_t *alloc_chunk(gm_heap_t *heap)
{
    return gm_heap_alloc(heap, sizeof(gm_range_chunk_t));
}

static void free_chunk(gm_heap_t *heap, gm_range_chunk_t *chunk)
{
    gm_heap_free(heap, chunk, sizeof(*chunk));
}

static gm_range_slot_t *alloc_slots(gm_heap_t *heap, size_t capacity)
{
    return gm_heap_alloc(heap, capacity * sizeof(gm_range_slot_t));
}

static void free_slots(gm_heap_t *heap, gm_range_slot_t *slots, size_t capacity)
{
    gm_heap_free(heap, slots, capacity * sizeof(*slots));
}

/* Move a[k..n) up by one. */
static void shift_keys(uintptr_t *a, size_t k, size_t n)
{
    for (size_t i = n; i > k; i--) {
        a[i] = a[i - 1];
    }
}

static void shift_rests(gm_range_rest_t *a, size_t k, size_t n)
{
    for (size_t i = n; i > k; i--) {
        a[i] = a[i - 1];
    }
}

static void shift_slots(gm_range_slot_t *a, size_t k, size_t n)
{
    for (size_t i = n; i > k; i--) {
        a[i] = a[i - 1];
    }
}

/* Copy from[0..n) to to[0..n), which may begin below `from` in the same array. */
static void copy_keys(uintptr_t *to, const uintptr_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = from[i];
    }
}

static void copy_rests(gm_range_rest_t *to, const gm_range_rest_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = from[i];
    }
}

static void copy_slots(gm_range_slot_t *to, const gm_range_slot_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = from[i];
    }
}

/* Copy ranges [from, from + n) of a chunk to [to, to + n) of another one, or down in the same. */
static void copy_ranges(gm_range_chunk_t *target, size_t to, const gm_range_chunk_t *source,
                        size_t from, size_t n)
{
    copy_keys(&target->base[to], &source->base[from], n);
    copy_rests(&target->rest[to], &source->rest[from], n);
}

static void replace_slots(gm_range_map_t *map, gm_range_slot_t *slots, size_t capacity)
{
    copy_slots(slots, map->slots, map->num_chunks);
    free_slots(map->heap, map->slots, map->capacity);
    map->slots = slots;
    map->capacity = capacity;
}

/* Put the spare chunk, empty, at `at`. */
static void add_chunk(gm_range_map_t *map, size_t at)
{
    if (map->spare_slots != NULL) {
        replace_slots(map, map->spare_slots, map->capacity + SLOTS_STEP);
        map->spare_slots = NULL;
    }
    shift_slots(map->slots, at, map->num_chunks);
    map->num_chunks++;
    map->slots[at] = (gm_range_slot_t){.chunk = map->spare_chunk};
    map->spare_chunk = NULL;
}

static void remove_chunk(gm_range_map_t *map, size_t at)
{
    free_chunk(map->heap, map->slots[at].chunk);
    map->num_chunks--;
    copy_slots(&map->slots[at], &map->slots[at + 1], map->num_chunks - at);
    size_t capacity = (map->num_chunks + SLOTS_STEP - 1) / SLOTS_STEP * SLOTS_STEP;
    bool smaller = map->num_chunks > 0 && capacity < map->capacity;
    gm_range_slot_t *slots = smaller ? alloc_slots(map->heap, capacity) : NULL;
    if (slots != NULL) { /* else the larger array serves as well */
        replace_slots(map, slots, capacity);
    } else if (map->num_chunks == 0) {
        free_slots(map->heap, map->slots, map->capacity);
        map->slots = NULL;
        map->capacity = 0;
    }
}

/* Merge a chunk with the next, if there is one and they fit into one. */
static void merge_with_next(gm_range_map_t *map, size_t at)
{
    gm_range_slot_t *slot = &map->slots[at];
    if (at + 1 < map->num_chunks && slot[0].count + slot[1].count <= GM_RANGE_CHUNK) {
        copy_ranges(slot[0].chunk, slot[0].count, slot[1].chunk, 0, slot[1].count);
        slot[0].count += slot[1].count;
        remove_chunk(map, at + 1);
    }
}

/* How many ranges of a chunk start at or below `address`. */
static size_t count_up_to(const gm_range_slot_t *slot, uintptr_t address)
{
    size_t i = gm_range_floor(slot->chunk->base, slot->count, address);
    return i < slot->count && slot->chunk->base[i] <= address ? i + 1 : i;
}

void gm_range_map_init(gm_range_map_t *map, gm_heap_t *heap)
{
    *map = (gm_range_map_t){.heap = heap};
}

void gm_range_map_destroy(gm_range_map_t *map)
{
    gm_range_map_cancel(map);
    while (map->num_chunks > 0) {
        remove_chunk(map, map->num_chunks - 1);
    }
    map->num_ranges = 0;
}

int gm_range_map_prepare(gm_range_map_t *map, uintptr_t base)
{
    map->at = gm_range_chunk_at(map, base);
    if (map->num_chunks > 0 && map->slots[map->at].count < GM_RANGE_CHUNK) {
        return 0;
    }
    bool full = map->num_chunks == map->capacity;
    map->spare_chunk = alloc_chunk(map->heap);
    map->spare_slots = full ? alloc_slots(map->heap, map->capacity + SLOTS_STEP) : NULL;
    if (map->spare_chunk == NULL || (full && map->spare_slots == NULL)) {
        gm_range_map_cancel(map);
        return -1;
    }
    return 0;
}

void gm_range_map_cancel(gm_range_map_t *map)
{
    free_chunk(map->heap, map->spare_chunk);
    free_slots(map->heap, map->spare_slots, map->capacity + SLOTS_STEP);
    map->spare_chunk = NULL;
    map->spare_slots = NULL;
}

/* Use the spare chunk for a range that starts at `base`: split the full chunk there, or after the
 * last range of all give the range a chunk of its own, so that ranges that come in order fill their
 * chunks. @return the chunk that the range goes to */
static size_t split_chunk(gm_range_map_t *map, size_t at, uintptr_t base)
{
    if (at + 1 >= map->num_chunks &&
        (map->num_chunks == 0 || base > map->slots[at].chunk->base[GM_RANGE_CHUNK - 1])) {
        add_chunk(map, map->num_chunks);
        return map->num_chunks - 1;
    }
    add_chunk(map, at + 1);
    gm_range_slot_t *slot = &map->slots[at];
    copy_ranges(slot[1].chunk, 0, slot[0].chunk, GM_RANGE_CHUNK / 2, GM_RANGE_CHUNK / 2);
    slot[0].count = slot[1].count = GM_RANGE_CHUNK / 2;
    slot[1].first = slot[1].chunk->base[0];
    return base < slot[1].first ? at : at + 1;
}

void gm_range_map_insert(gm_range_map_t *map, uintptr_t base, uintptr_t last, void *value)
{
    size_t at = map->spare_chunk != NULL ? split_chunk(map, map->at, base) : map->at;
    gm_range_slot_t *slot = &map->slots[at];
    size_t i = count_up_to(slot, base);
    shift_keys(slot->chunk->base, i, slot->count);
    shift_rests(slot->chunk->rest, i, slot->count);
    slot->chunk->base[i] = base;
    slot->chunk->rest[i] = (gm_range_rest_t){last, value};
    slot->count++;
    slot->first = slot->chunk->base[0];
    map->num_ranges++;
}

void gm_range_map_set(gm_range_map_t *map, uintptr_t base, uintptr_t last, void *value)
{
    const gm_range_slot_t *slot = &map->slots[gm_range_chunk_at(map, base)];
    slot->chunk->rest[gm_range_floor(slot->chunk->base, slot->count, base)] =
        (gm_range_rest_t){last, value};
}

bool gm_range_map_remove(gm_range_map_t *map, uintptr_t base)
{
    size_t at = gm_range_chunk_at(map, base);
    gm_range_slot_t *slot = map->num_chunks > 0 ? &map->slots[at] : NULL;
    size_t i = slot != NULL ? gm_range_floor(slot->chunk->base, slot->count, base) : 0;
    if (slot == NULL || slot->chunk->base[i] != base) {
        return false;
    }
    copy_ranges(slot->chunk, i, slot->chunk, i + 1, slot->count - i - 1);
    slot->count--;
    map->num_ranges--;
    if (slot->count == 0) {
        remove_chunk(map, at);
    } else {
        slot->first = slot->chunk->base[0];
        merge_with_next(map, at);
    }
    if (at > 0) {
        merge_with_next(map, at - 1);
    }
    return true;
}

bool gm_range_map_previous(const gm_range_map_t *map, uintptr_t address, gm_range_t *range)
{
    if (map->num_chunks == 0 || address < map->slots[0].first) {
        return false;
    }
    const gm_range_slot_t *slot = &map->slots[gm_range_chunk_at(map, address)];
    size_t i = gm_range_floor(slot->chunk->base, slot->count, address);
    *range =
        (gm_range_t){slot->chunk->base[i], slot->chunk->rest[i].last, slot->chunk->rest[i].value};
    return true;
}

bool gm_range_map_next(const gm_range_map_t *map, uintptr_t address, gm_range_t *range)
{
    if (map->num_chunks == 0) {
        return false;
    }
    size_t at = gm_range_chunk_at(map, address);
    const gm_range_slot_t *slot = &map->slots[at];
    size_t i = count_up_to(slot, address);
    if (i > 0 && slot->chunk->rest[i - 1].last >= address) {
        i--;
    } else if (i == slot->count) {
        if (at + 1 == map->num_chunks) {
            return false;
        }
        slot++;
        i = 0;
    }
    *range =
        (gm_range_t){slot->chunk->base[i], slot->chunk->rest[i].last, slot->chunk->rest[i].value};
    return true;
}
