/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A sorted array of chunks, each with up to CHUNK_RANGES ranges in sorted arrays. Finding is a
 * search among the chunks' first addresses, which lie side by side, and one in a chunk; both are
 * free of branches that depend on the data, so that the processor need not guess. A full chunk
 * gives a range to a neighbour with room, and is split in halves if neither has any. bench/
 * measures this against other maps.
 *
 * Invariants: no chunk is empty; two neighbours together hold more than CHUNK_RANGES ranges, or
 * exactly that many of which one holds a single one. A removal that would break this merges them.
 * So removing a range right after its insert ends the chunk that the insert made, if it made one:
 * a split is of a chunk between full ones, and its halves fit in one again; giving a range away
 * leaves at least 1 and CHUNK_RANGES - 1.
 */

#include <string.h>
#include "range_map.h"

#define GROUP        ((size_t)8) /* keys that are compared at once: a cache line of 64-bit ones */
#define CHUNK_RANGES (GROUP * GROUP)

struct range_map_chunk {
    uintptr_t pivot[GROUP - 1]; /* the last key of each group but the last, on lines of their own */
    uintptr_t base[CHUNK_RANGES]; /* UINTPTR_MAX behind the last */
    void *value[CHUNK_RANGES];
    uintptr_t last[CHUNK_RANGES];
};

struct range_map_slot {
    range_map_chunk_t *chunk;
    size_t count;
    uintptr_t gap; /* no gap behind a range of the chunk is larger; may be more than there is */
};

void range_map_init(range_map_t *map, heap_t *heap)
{
    *map = (range_map_t){.heap = heap};
}

static size_t index_bytes(size_t capacity)
{
    return capacity * (sizeof(range_map_slot_t) + sizeof(uintptr_t));
}

static bool index_alloc(range_map_t *map, range_map_index_t *index, size_t capacity)
{
    range_map_slot_t *block = heap_alloc(map->heap, index_bytes(capacity));
    if (block == NULL) {
        return false;
    }
    *index = (range_map_index_t){(uintptr_t *)(block + capacity), block, capacity};
    return true;
}

/* Put an index with the same entries and room for all in the place of the map's. */
static void index_replace(range_map_t *map, const range_map_index_t *index)
{
    if (map->num_chunks > 0) {
        memcpy(index->first, map->index.first, map->num_chunks * sizeof(index->first[0]));
        memcpy(index->slots, map->index.slots, map->num_chunks * sizeof(index->slots[0]));
    }
    heap_free(map->heap, map->index.slots, index_bytes(map->index.capacity));
    map->index = *index;
}

/* It depends on the number of chunks alone, and is less than half too large. */
static size_t capacity_for(size_t num_chunks)
{
    size_t capacity = 1;
    while (capacity < num_chunks) {
        capacity += (capacity + 1) / 2;
    }
    return capacity;
}

void range_map_destroy(range_map_t *map)
{
    range_map_cancel(map);
    for (size_t i = 0; i < map->num_chunks; i++) {
        heap_free(map->heap, map->index.slots[i].chunk, sizeof(range_map_chunk_t));
    }
    heap_free(map->heap, map->index.slots, index_bytes(map->index.capacity));
    range_map_init(map, map->heap);
}

/* How many of the ascending keys are at or below `address`. Each step cuts them in eight parts by
 * seven compares that do not wait for each other; how many steps depends on `count` alone. */
static inline size_t count_up_to(const uintptr_t *keys, size_t count, uintptr_t address)
{
    const uintptr_t *low = keys;
    while (count > GROUP) {
        size_t part = count / GROUP;
        size_t parts = 0;
        for (size_t i = 1; i < GROUP; i++) {
            parts += low[i * part] <= address;
        }
        low += parts * part;
        count -= (GROUP - 1) * part;
    }
    size_t found = (size_t)(low - keys);
    for (size_t i = 0; i < count; i++) {
        found += low[i] <= address;
    }
    return found;
}

/* The same for a chunk, in two steps whatever its count: behind its keys are largest ones. */
static inline size_t count_in(const range_map_slot_t *slot, uintptr_t address)
{
    const range_map_chunk_t *chunk = slot->chunk;
    size_t found = 0;
    for (size_t i = 0; i < GROUP - 1; i++) {
        found += chunk->pivot[i] <= address;
    }
    found *= GROUP;
    __builtin_prefetch(&chunk->value[found]);
    const uintptr_t *group = &chunk->base[found];
    for (size_t i = 0; i < GROUP; i++) {
        found += group[i] <= address;
    }
    return found < slot->count ? found : slot->count;
}

/* Follow a change of the ranges of the chunk at `index`, which has lost the last `lost` keys. */
static void refresh(range_map_t *map, size_t index, size_t lost)
{
    const range_map_slot_t *slot = &map->index.slots[index];
    range_map_chunk_t *chunk = slot->chunk;
    for (size_t i = slot->count; i < slot->count + lost; i++) {
        chunk->base[i] = UINTPTR_MAX;
    }
    for (size_t i = 0; i < GROUP - 1; i++) {
        chunk->pivot[i] = chunk->base[GROUP * (i + 1) - 1];
    }
    map->index.first[index] = chunk->base[0];
}

/* The chunk whose ranges `address` is among or behind: the last that starts at or below it, or the
 * first. There is one. */
static inline size_t chunk_of(const range_map_t *map, uintptr_t address)
{
    size_t count = count_up_to(map->index.first, map->num_chunks, address);
    return count - (count > 0);
}

/* Where a full chunk finds room for one of its ranges. */
static const range_map_slot_t *neighbour_with_room(const range_map_t *map, size_t index)
{
    const range_map_slot_t *slot = &map->index.slots[index];
    if (index + 1 < map->num_chunks && slot[1].count < CHUNK_RANGES) {
        return slot + 1;
    }
    return index > 0 && slot[-1].count < CHUNK_RANGES ? slot - 1 : NULL;
}

int range_map_prepare(range_map_t *map, uintptr_t base)
{
    if (map->num_chunks > 0) {
        size_t index = chunk_of(map, base);
        if (map->index.slots[index].count < CHUNK_RANGES || neighbour_with_room(map, index)) {
            return 0;
        }
    }
    map->spare_chunk = heap_alloc(map->heap, sizeof(*map->spare_chunk));
    if (map->spare_chunk == NULL) {
        return -1;
    }
    if (map->num_chunks == map->index.capacity &&
        !index_alloc(map, &map->spare_index, capacity_for(map->num_chunks + 1))) {
        range_map_cancel(map);
        return -1;
    }
    return 0;
}

void range_map_cancel(range_map_t *map)
{
    heap_free(map->heap, map->spare_chunk, sizeof(*map->spare_chunk));
    heap_free(map->heap, map->spare_index.slots, index_bytes(map->spare_index.capacity));
    map->spare_chunk = NULL;
    map->spare_index = (range_map_index_t){0};
}

/* Put the spare chunk at `at` of the index. */
static void add_chunk(range_map_t *map, size_t at)
{
    if (map->spare_index.slots != NULL) {
        index_replace(map, &map->spare_index);
        map->spare_index = (range_map_index_t){0};
    }
    size_t behind = map->num_chunks++ - at;
    uintptr_t *first = &map->index.first[at];
    range_map_slot_t *slot = &map->index.slots[at];
    memmove(first + 1, first, behind * sizeof(*first));
    memmove(slot + 1, slot, behind * sizeof(*slot));
    *slot = (range_map_slot_t){.chunk = map->spare_chunk};
    map->spare_chunk = NULL;
    refresh(map, at, CHUNK_RANGES);
}

static inline uintptr_t larger(uintptr_t a, uintptr_t b)
{
    return a > b ? a : b;
}

/* Move `count` ranges from `source` of one chunk to `target` of the same or another one. */
static void move_ranges(range_map_chunk_t *to, size_t target, range_map_chunk_t *from,
                        size_t source, size_t count)
{
    memmove(&to->base[target], &from->base[source], count * sizeof(to->base[0]));
    memmove(&to->value[target], &from->value[source], count * sizeof(to->value[0]));
    memmove(&to->last[target], &from->last[source], count * sizeof(to->last[0]));
}

/* Move the last `count` ranges of a chunk to the front of the next. */
static void move_up(range_map_t *map, size_t index, size_t count)
{
    range_map_slot_t *from = &map->index.slots[index];
    range_map_slot_t *to = from + 1;
    move_ranges(to->chunk, count, to->chunk, 0, to->count);
    from->count -= count;
    move_ranges(to->chunk, 0, from->chunk, from->count, count);
    to->count += count;
    to->gap = larger(to->gap, from->gap);
    refresh(map, index, count);
    refresh(map, index + 1, 0);
}

/* Move the first `count` ranges of a chunk to the end of the previous. */
static void move_down(range_map_t *map, size_t index, size_t count)
{
    range_map_slot_t *from = &map->index.slots[index];
    range_map_slot_t *to = from - 1;
    move_ranges(to->chunk, to->count, from->chunk, 0, count);
    to->count += count;
    from->count -= count;
    move_ranges(from->chunk, 0, from->chunk, count, from->count);
    to->gap = larger(to->gap, from->gap);
    refresh(map, index, count);
    refresh(map, index - 1, 0);
}

/* The chunk that a range which starts at `base` goes to, with room in it: range_map_prepare() has
 * foreseen what is needed. */
static size_t chunk_for(range_map_t *map, uintptr_t base)
{
    if (map->num_chunks == 0) {
        add_chunk(map, 0);
        return 0;
    }
    size_t index = chunk_of(map, base);
    const range_map_slot_t *slot = &map->index.slots[index];
    if (slot->count < CHUNK_RANGES) {
        return index;
    }
    const range_map_slot_t *neighbour = neighbour_with_room(map, index);
    if (neighbour == NULL) {
        add_chunk(map, index + 1);
        move_up(map, index, CHUNK_RANGES / 2);
        return map->index.first[index + 1] <= base ? index + 1 : index;
    }
    if (neighbour < slot) {
        move_down(map, index, 1);
    } else if (slot->chunk->base[CHUNK_RANGES - 1] < base) {
        return index + 1; /* in front of all that is there */
    } else {
        move_up(map, index, 1);
    }
    return index;
}

/* The last address that is free behind range `at` of a chunk, or that range's own last. */
static uintptr_t gap_last(const range_map_t *map, size_t index, size_t at)
{
    if (at + 1 < map->index.slots[index].count) {
        return map->index.slots[index].chunk->base[at + 1] - 1;
    }
    return index + 1 < map->num_chunks ? map->index.first[index + 1] - 1 : UINTPTR_MAX;
}

/* Note the size of the gap behind range `at` of a chunk. */
static void note_gap(const range_map_t *map, size_t index, size_t at)
{
    range_map_slot_t *slot = &map->index.slots[index];
    slot->gap = larger(slot->gap, gap_last(map, index, at) - slot->chunk->last[at]);
}

void range_map_insert(range_map_t *map, uintptr_t base, uintptr_t last, void *value)
{
    size_t index = chunk_for(map, base);
    range_map_slot_t *slot = &map->index.slots[index];
    range_map_chunk_t *chunk = slot->chunk;
    size_t at = count_in(slot, base);

    move_ranges(chunk, at + 1, chunk, at, slot->count - at);
    chunk->base[at] = base;
    chunk->last[at] = last;
    chunk->value[at] = value;
    slot->count++;
    refresh(map, index, 0);
    map->num_ranges++;
    note_gap(map, index, at);
}

/* Remove a chunk that is empty. */
static void remove_chunk(range_map_t *map, size_t at)
{
    uintptr_t *first = &map->index.first[at];
    range_map_slot_t *slot = &map->index.slots[at];
    heap_free(map->heap, slot->chunk, sizeof(*slot->chunk));
    map->num_chunks--;
    memmove(first, first + 1, (map->num_chunks - at) * sizeof(*first));
    memmove(slot, slot + 1, (map->num_chunks - at) * sizeof(*slot));
    size_t capacity = capacity_for(map->num_chunks);
    range_map_index_t smaller;
    /* If there is no heap for the smaller index, the larger one serves as well. */
    if (capacity != map->index.capacity && index_alloc(map, &smaller, capacity)) {
        index_replace(map, &smaller);
    }
}

/* Merge a chunk with the next, if there is one and the invariant asks for it. */
static bool merge_with_next(range_map_t *map, size_t index)
{
    if (index + 1 >= map->num_chunks) {
        return false;
    }
    range_map_slot_t *slot = &map->index.slots[index];
    size_t sum = slot[0].count + slot[1].count;
    bool one_is_single = slot[0].count == 1 || slot[1].count == 1;
    if (sum > CHUNK_RANGES || (sum == CHUNK_RANGES && one_is_single)) {
        return false;
    }
    move_ranges(slot[0].chunk, slot[0].count, slot[1].chunk, 0, slot[1].count);
    slot[0].count = sum;
    slot[0].gap = larger(slot[0].gap, slot[1].gap);
    refresh(map, index, 0);
    remove_chunk(map, index + 1);
    return true;
}

/* Note the gap that removing the range that was `at` of a chunk has left. */
static void note_removal(range_map_t *map, size_t index, size_t at)
{
    if (at > 0) {
        note_gap(map, index, at - 1);
    } else if (index > 0) {
        note_gap(map, index - 1, map->index.slots[index - 1].count - 1);
    }
}

bool range_map_remove(range_map_t *map, uintptr_t base)
{
    if (map->num_chunks == 0) {
        return false;
    }
    size_t index = chunk_of(map, base);
    range_map_slot_t *slot = &map->index.slots[index];
    range_map_chunk_t *chunk = slot->chunk;
    size_t count = count_in(slot, base);
    if (count == 0 || chunk->base[count - 1] != base) {
        return false;
    }
    map->num_ranges--;
    slot->count--;
    move_ranges(chunk, count - 1, chunk, count, slot->count - (count - 1));
    refresh(map, index, 1);
    if (map->num_ranges == 0) {
        range_map_destroy(map);
        return true;
    }
    if (slot->count == 0) {
        remove_chunk(map, index); /* its neighbours hold CHUNK_RANGES - 1 or more each */
        note_removal(map, index, 0);
        return true;
    }
    note_removal(map, index, count - 1);
    if (!merge_with_next(map, index) && index > 0) {
        (void)merge_with_next(map, index - 1);
    }
    return true;
}

static void read_entry(const range_map_chunk_t *chunk, size_t at, range_map_entry_t *entry)
{
    *entry = (range_map_entry_t){chunk->base[at], chunk->last[at], chunk->value[at]};
}

/* The chunk with the highest range that starts at or below `address`, and how many of the chunk's
 * do; NULL if there is none. */
static inline const range_map_chunk_t *look_below(const range_map_t *map, uintptr_t address,
                                                  size_t *count)
{
    if (map->num_chunks == 0) {
        return NULL;
    }
    const range_map_slot_t *slot = &map->index.slots[chunk_of(map, address)];
    *count = count_in(slot, address);
    return *count > 0 ? slot->chunk : NULL;
}

void *range_map_value_below(const range_map_t *map, uintptr_t address)
{
    size_t count;
    const range_map_chunk_t *chunk = look_below(map, address, &count);
    return chunk != NULL ? chunk->value[count - 1] : NULL;
}

bool range_map_previous(const range_map_t *map, uintptr_t address, range_map_entry_t *entry)
{
    size_t count;
    const range_map_chunk_t *chunk = look_below(map, address, &count);
    if (chunk == NULL) {
        return false;
    }
    read_entry(chunk, count - 1, entry);
    return true;
}

bool range_map_next(const range_map_t *map, uintptr_t address, range_map_entry_t *entry)
{
    if (map->num_chunks == 0) {
        return false;
    }
    size_t index = chunk_of(map, address);
    const range_map_slot_t *slot = &map->index.slots[index];
    size_t count = count_in(slot, address);
    if (count > 0 && slot->chunk->last[count - 1] >= address) {
        count--;
    }
    if (count == slot->count) {
        if (index + 1 == map->num_chunks) {
            return false;
        }
        slot++;
        count = 0;
    }
    read_entry(slot->chunk, count, entry);
    return true;
}

/* Set `gap` to what `[base, last]` has at or above `from`. @return whether that is large enough */
static bool fits(range_map_entry_t *gap, uintptr_t base, uintptr_t last, uintptr_t from,
                 uintptr_t size)
{
    *gap = (range_map_entry_t){larger(base, from), last, NULL};
    return gap->base <= last && last - gap->base >= size - 1;
}

/* Find a gap behind the ranges of a chunk from `at` on. */
static bool gap_in_chunk(const range_map_t *map, size_t index, size_t at, uintptr_t from,
                         uintptr_t size, range_map_entry_t *gap)
{
    const range_map_slot_t *slot = &map->index.slots[index];
    for (; at < slot->count; at++) {
        uintptr_t range_last = slot->chunk->last[at];
        if (range_last < UINTPTR_MAX &&
            fits(gap, range_last + 1, gap_last(map, index, at), from, size)) {
            return true;
        }
    }
    return false;
}

/* Make the bound of a chunk's gaps what it is; their sizes are all that changes. */
static void tighten(const range_map_t *map, size_t index)
{
    range_map_slot_t *slot = &map->index.slots[index];
    slot->gap = 0;
    for (size_t at = 0; at < slot->count; at++) {
        note_gap(map, index, at);
    }
}

bool range_map_gap(const range_map_t *map, uintptr_t from, uintptr_t size, range_map_entry_t *gap)
{
    if (map->num_chunks == 0) {
        return fits(gap, 0, UINTPTR_MAX, from, size);
    }
    size_t index = chunk_of(map, from);
    const range_map_slot_t *slot = &map->index.slots[index];
    size_t count = count_in(slot, from);
    if ((count == 0 && fits(gap, 0, slot->chunk->base[0] - 1, from, size)) ||
        gap_in_chunk(map, index, count - (count > 0), from, size, gap)) {
        return true;
    }
    for (index++; index < map->num_chunks; index++) {
        if (map->index.slots[index].gap >= size) {
            if (gap_in_chunk(map, index, 0, from, size, gap)) {
                return true;
            }
            tighten(map, index);
        }
    }
    return false;
}
