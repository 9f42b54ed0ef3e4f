/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A sorted array of chunks, each with up to 64 ranges in sorted arrays. Finding is a search among
 * the chunks' first keys, which lie side by side, and one in a chunk: both compare eight keys at a
 * time, without branches that depend on the data. A full chunk gives a range to a neighbour with
 * room, and is split in halves if neither has any; two that fit in one are merged.
 */

#include "candidate.h"
#include <stdlib.h>
#include <string.h>

#define GROUP ((size_t)8)
#define CHUNK (GROUP * GROUP)

typedef struct chunk {
    uintptr_t pivot[GROUP - 1]; /* the last key of each group but the last */
    uintptr_t base[CHUNK];      /* UINTPTR_MAX behind the last */
    void *value[CHUNK];
    uintptr_t last[CHUNK];
} chunk_t;

typedef struct slot {
    chunk_t *chunk;
    size_t count;
} slot_t;

typedef struct array {
    uintptr_t *first; /* of each chunk */
    slot_t *slots;
    size_t num_chunks, capacity;
} array_t;

static void *create(void)
{
    array_t *array = candidate_alloc(sizeof(*array));
    *array = (array_t){.capacity = 16};
    array->first = candidate_alloc(array->capacity * sizeof(array->first[0]));
    array->slots = candidate_alloc(array->capacity * sizeof(array->slots[0]));
    return array;
}

static void destroy(void *map)
{
    array_t *array = map;
    free(array->first);
    free(array->slots);
    free(array);
}

static size_t chunk_of(const array_t *array, uintptr_t address)
{
    const uintptr_t *low = array->first;
    size_t count = array->num_chunks;
    while (count > GROUP) {
        size_t part = count / GROUP;
        size_t parts = 0;
        for (size_t i = 1; i < GROUP; i++) {
            parts += low[i * part] <= address;
        }
        low += parts * part;
        count -= (GROUP - 1) * part;
    }
    size_t found = (size_t)(low - array->first);
    for (size_t i = 0; i < count; i++) {
        found += low[i] <= address;
    }
    return found - (found > 0);
}

/* How many ranges of a chunk start at or below `address`; no range starts at UINTPTR_MAX. */
static inline size_t count_in(const chunk_t *chunk, uintptr_t address)
{
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
    return found;
}

/* Follow a change of a chunk's ranges, of which there are `count` now. */
static void follow(array_t *array, size_t at, size_t count)
{
    slot_t *slot = &array->slots[at];
    for (size_t i = count; i < slot->count; i++) {
        slot->chunk->base[i] = UINTPTR_MAX;
    }
    slot->count = count;
    for (size_t i = 0; i < GROUP - 1; i++) {
        slot->chunk->pivot[i] = slot->chunk->base[GROUP * (i + 1) - 1];
    }
    array->first[at] = slot->chunk->base[0];
}

static void move(chunk_t *to, size_t target, const chunk_t *from, size_t source, size_t count)
{
    memmove(&to->base[target], &from->base[source], count * sizeof(to->base[0]));
    memmove(&to->value[target], &from->value[source], count * sizeof(to->value[0]));
    memmove(&to->last[target], &from->last[source], count * sizeof(to->last[0]));
}

/* Move the last `count` ranges of a chunk to the front of the next. */
static void move_up(array_t *array, size_t at, size_t count)
{
    slot_t *slot = &array->slots[at];
    move(slot[1].chunk, count, slot[1].chunk, 0, slot[1].count);
    move(slot[1].chunk, 0, slot[0].chunk, slot[0].count - count, count);
    follow(array, at + 1, slot[1].count + count);
    follow(array, at, slot[0].count - count);
}

/* Move the first `count` ranges of a chunk to the end of the previous. */
static void move_down(array_t *array, size_t at, size_t count)
{
    slot_t *slot = &array->slots[at];
    move(slot[-1].chunk, slot[-1].count, slot[0].chunk, 0, count);
    move(slot[0].chunk, 0, slot[0].chunk, count, slot[0].count - count);
    follow(array, at - 1, slot[-1].count + count);
    follow(array, at, slot[0].count - count);
}

static void add_chunk(array_t *array, size_t at)
{
    if (array->num_chunks == array->capacity) {
        array->capacity *= 2;
        array->first = realloc(array->first, array->capacity * sizeof(array->first[0]));
        array->slots = realloc(array->slots, array->capacity * sizeof(array->slots[0]));
        if (array->first == NULL || array->slots == NULL) {
            abort();
        }
    }
    size_t behind = array->num_chunks++ - at;
    memmove(&array->first[at + 1], &array->first[at], behind * sizeof(array->first[0]));
    memmove(&array->slots[at + 1], &array->slots[at], behind * sizeof(array->slots[0]));
    array->slots[at] = (slot_t){candidate_alloc(sizeof(chunk_t)), CHUNK};
    follow(array, at, 0);
}

/* The chunk that a new range goes to, with room in it. */
static size_t chunk_for(array_t *array, uintptr_t base)
{
    if (array->num_chunks == 0) {
        add_chunk(array, 0);
    }
    size_t at = chunk_of(array, base);
    const slot_t *slot = &array->slots[at];
    if (slot->count < CHUNK) {
        return at;
    }
    if (at + 1 < array->num_chunks && slot[1].count < CHUNK) {
        if (slot->chunk->base[CHUNK - 1] < base) {
            return at + 1; /* in front of all that is there */
        }
        move_up(array, at, 1);
        return at;
    }
    if (at > 0 && slot[-1].count < CHUNK) {
        move_down(array, at, 1);
        return at;
    }
    add_chunk(array, at + 1);
    move_up(array, at, CHUNK / 2);
    return array->first[at + 1] <= base ? at + 1 : at;
}

static void insert(void *map, uintptr_t base, uintptr_t last, void *value)
{
    size_t at = chunk_for(map, base);
    slot_t *slot = &((array_t *)map)->slots[at];
    chunk_t *chunk = slot->chunk;
    size_t i = count_in(chunk, base);
    move(chunk, i + 1, chunk, i, slot->count - i);
    chunk->base[i] = base;
    chunk->last[i] = last;
    chunk->value[i] = value;
    follow(map, at, slot->count + 1);
}

static void remove_chunk(array_t *array, size_t at)
{
    free(array->slots[at].chunk);
    size_t behind = --array->num_chunks - at;
    memmove(&array->first[at], &array->first[at + 1], behind * sizeof(array->first[0]));
    memmove(&array->slots[at], &array->slots[at + 1], behind * sizeof(array->slots[0]));
}

static bool merge_with_next(array_t *array, size_t at)
{
    const slot_t *slot = &array->slots[at];
    if (at + 1 >= array->num_chunks || slot[0].count + slot[1].count > CHUNK) {
        return false;
    }
    move_down(array, at + 1, slot[1].count);
    remove_chunk(array, at + 1);
    return true;
}

static void remove_range(void *map, uintptr_t base)
{
    array_t *array = map;
    size_t at = chunk_of(array, base);
    slot_t *slot = &array->slots[at];
    size_t count = count_in(slot->chunk, base);
    if (count == 0 || slot->chunk->base[count - 1] != base) {
        return;
    }
    move(slot->chunk, count - 1, slot->chunk, count, slot->count - count);
    follow(array, at, slot->count - 1);
    if (slot->count == 0) {
        remove_chunk(array, at);
    } else if (!merge_with_next(array, at) && at > 0) {
        (void)merge_with_next(array, at - 1);
    }
}

static void *find(const void *map, uintptr_t address)
{
    const array_t *array = map;
    const chunk_t *chunk = array->slots[chunk_of(array, address)].chunk;
    size_t count = count_in(chunk, address);
    return count > 0 && chunk->last[count - 1] >= address ? chunk->value[count - 1] : NULL;
}

const candidate_t candidate_chunks = {"array of chunks", 1000000, create, destroy, insert,
                                      remove_range,      find};
