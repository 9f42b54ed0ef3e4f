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
 * took; but if the array of chunks has grown and there is no memory for a smaller one, it stays
 * until a later removal takes a chunk away.
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

/*@ // A chunk's n ranges are disjoint and in order.
    predicate gm_range_sorted(gm_range_chunk_t *chunk, integer n) =
        (\forall integer i; 0 <= i < n ==> chunk->base[i] <= chunk->rest[i].last) &&
        (\forall integer i, j; 0 <= i < j < n ==> chunk->base[i] < chunk->base[j]) &&
        (\forall integer i, j; 0 <= i < j < n ==> chunk->rest[i].last < chunk->base[j]);

    // A chunk of a map has ranges; the first one's key is in the slot.
    predicate gm_range_chunk_ok(gm_range_slot_t *slot) =
        1 <= slot->count <= GM_RANGE_CHUNK && slot->first == slot->chunk->base[0] &&
        gm_range_sorted(slot->chunk, slot->count);

    // A map's chunks are in order too.
    predicate gm_range_map_ordered(gm_range_map_t *map) =
        (\forall integer c; 0 <= c < map->num_chunks ==> gm_range_chunk_ok(map->slots + c)) &&
        (\forall integer c, d; 0 <= c < d < map->num_chunks ==>
            map->slots[c].first < map->slots[d].first) &&
        (\forall integer c, d, i; 0 <= c < d < map->num_chunks && 0 <= i < map->slots[c].count ==>
            map->slots[c].chunk->rest[i].last < map->slots[d].first);

    // A map's memory is there.
    predicate gm_range_map_valid(gm_range_map_t *map) =
        \valid_read(map) && \valid(map->slots + (0 .. map->capacity - 1)) &&
        map->num_chunks <= map->capacity < SIZE_MAX / 64 &&
        (map->capacity == 0 ==> map->slots == \null) &&
        (\forall integer c; 0 <= c < map->num_chunks ==> \valid(map->slots[c].chunk));

    predicate gm_range_map_ok(gm_range_map_t *map) =
        gm_range_map_valid(map) && gm_range_map_ordered(map);

    // The i-th of chunk c's ranges is one of the map's.
    predicate gm_range_is(gm_range_map_t *map, integer c, integer i) =
        0 <= c < map->num_chunks && 0 <= i < map->slots[c].count;

    logic uintptr_t gm_range_base(gm_range_map_t *map, integer c, integer i) =
        map->slots[c].chunk->base[i];

    logic uintptr_t gm_range_last(gm_range_map_t *map, integer c, integer i) =
        map->slots[c].chunk->rest[i].last;

    // Nothing of a map overlaps anything else of it.
    predicate gm_range_map_apart(gm_range_map_t *map) =
        \valid(map) && \valid(map->heap) && \separated(map, map->heap) &&
        \separated(map, map->slots + (0 .. map->capacity - 1)) &&
        \separated(map->heap, map->slots + (0 .. map->capacity - 1)) &&
        (\forall integer c; 0 <= c < map->num_chunks ==>
            \separated(map->slots[c].chunk, map) &&
            \separated(map->slots[c].chunk, map->heap) &&
            \separated(map->slots[c].chunk, map->slots + (0 .. map->capacity - 1))) &&
        (\forall integer c, d; 0 <= c < d < map->num_chunks ==>
            \separated(map->slots[c].chunk, map->slots[d].chunk));

    // At `Now` a map has the chunks of `Then`.
    predicate gm_range_same_chunks{Then, Now}(gm_range_map_t *map) =
        \at(map->slots, Now) == \at(map->slots, Then) &&
        \at(map->num_chunks, Now) == \at(map->num_chunks, Then) &&
        \at(map->capacity, Now) == \at(map->capacity, Then) &&
        \at(map->heap, Now) == \at(map->heap, Then) &&
        (\forall integer c; 0 <= c < \at(map->num_chunks, Then) ==>
            \at(map->slots[c].chunk, Now) == \at(map->slots[c].chunk, Then) &&
            \at(map->slots[c].count, Now) == \at(map->slots[c].count, Then) &&
            \at(map->slots[c].first, Now) == \at(map->slots[c].first, Then));

    // At `Now` a map's ranges are those of `Then`.
    predicate gm_range_same_ranges{Then, Now}(gm_range_map_t *map) =
        \forall integer c, i; 0 <= c < \at(map->num_chunks, Then) && 0 <= i < GM_RANGE_CHUNK ==>
            \at(map->slots[c].chunk->base[i], Now) == \at(map->slots[c].chunk->base[i], Then) &&
            \at(map->slots[c].chunk->rest[i].last, Now) ==
                \at(map->slots[c].chunk->rest[i].last, Then) &&
            \at(map->slots[c].chunk->rest[i].value, Now) ==
                \at(map->slots[c].chunk->rest[i].value, Then);

    // A chunk is no part of a map.
    predicate gm_range_chunk_new(gm_range_map_t *map, gm_range_chunk_t *chunk) =
        \valid(chunk) && \separated(chunk, map) && \separated(chunk, map->heap) &&
        \separated(chunk, map->slots + (0 .. map->capacity - 1)) &&
        (\forall integer c; 0 <= c < map->num_chunks ==>
            \separated(chunk, map->slots[c].chunk));

    // An array of slots is no part of a map. None is as large as a third of all memory.
    predicate gm_range_slots_new(gm_range_map_t *map, gm_range_slot_t *slots, integer n) =
        n < SIZE_MAX / 64 && \valid(slots + (0 .. n - 1)) &&
        \separated(slots + (0 .. n - 1), map) &&
        \separated(slots + (0 .. n - 1), map->heap) &&
        (map->spare_chunk != \null ==> \separated(slots + (0 .. n - 1), map->spare_chunk)) &&
        \separated(slots + (0 .. n - 1), map->slots + (0 .. map->capacity - 1)) &&
        (\forall integer c; 0 <= c < map->num_chunks ==>
            \separated(slots + (0 .. n - 1), map->slots[c].chunk));

    // At `at` a range fits in that starts at `base`, with what a map has in reserve.
    predicate gm_range_map_ready(gm_range_map_t *map, integer base) =
        (map->num_chunks > 0 ? map->at < map->num_chunks : map->at == 0) &&
        (0 < map->at < map->num_chunks ==> map->slots[map->at].first <= base) &&
        (\forall integer c; map->at < c < map->num_chunks ==> base < map->slots[c].first) &&
        (map->spare_chunk == \null ==> map->spare_slots == \null &&
            map->num_chunks > 0 && map->slots[map->at].count < GM_RANGE_CHUNK) &&
        (map->spare_chunk != \null ==> gm_range_chunk_new(map, map->spare_chunk) &&
            (map->num_chunks > 0 ==> map->slots[map->at].count == GM_RANGE_CHUNK) &&
            (map->spare_slots == \null ==> map->num_chunks < map->capacity) &&
            (map->spare_slots != \null ==>
                gm_range_slots_new(map, map->spare_slots, map->capacity + 8)));

    // What a map has of the heap.
    logic integer gm_range_blocks(gm_range_map_t *map) =
        map->num_chunks + (map->slots != \null ? 1 : 0) +
        (map->spare_chunk != \null ? 1 : 0) + (map->spare_slots != \null ? 1 : 0);

    logic integer gm_range_bytes(gm_range_map_t *map) =
        sizeof(gm_range_chunk_t) * (map->num_chunks + (map->spare_chunk != \null ? 1 : 0)) +
        sizeof(gm_range_slot_t) *
            (map->capacity + (map->spare_slots != \null ? map->capacity + 8 : 0));

    predicate gm_range_heap_ok(gm_range_map_t *map) =
        map->heap->blocks >= gm_range_blocks(map) && map->heap->bytes >= gm_range_bytes(map);

    // From `Then` to `Now` the heap counted what the map got and gave back, exactly.
    predicate gm_range_counted{Then, Now}(gm_range_map_t *map) =
        \at(map->heap->blocks - gm_range_blocks(map), Now) ==
            \at(map->heap->blocks - gm_range_blocks(map), Then) &&
        \at(map->heap->bytes - gm_range_bytes(map), Now) ==
            \at(map->heap->bytes - gm_range_bytes(map), Then);

    // At `Now` slot c + by is what slot c was at `Then`, for from <= c < to.
    predicate gm_range_slots_moved{Then, Now}(gm_range_map_t *map, integer from, integer to,
                                              integer by) =
        \forall integer c; from <= c < to ==>
            \at(map->slots[c + by].chunk, Now) == \at(map->slots[c].chunk, Then) &&
            \at(map->slots[c + by].count, Now) == \at(map->slots[c].count, Then) &&
            \at(map->slots[c + by].first, Now) == \at(map->slots[c].first, Then);

    // What the chunks of `Then` hold has not changed, but for chunk `but` (-1: for none).
    predicate gm_range_untouched{Then, Now}(gm_range_map_t *map, integer but) =
        \forall integer c, i; 0 <= c < \at(map->num_chunks, Then) && c != but &&
            0 <= i < GM_RANGE_CHUNK ==>
            \at(\at(map->slots[c].chunk, Then)->base[i], Now) ==
                \at(map->slots[c].chunk->base[i], Then) &&
            \at(\at(map->slots[c].chunk, Then)->rest[i].last, Now) ==
                \at(map->slots[c].chunk->rest[i].last, Then) &&
            \at(\at(map->slots[c].chunk, Then)->rest[i].value, Now) ==
                \at(map->slots[c].chunk->rest[i].value, Then);

    // At `Now` ranges [t, t + n) of a chunk are what [f, f + n) of a chunk were at `Then`.
    predicate gm_ranges_moved{Then, Now}(gm_range_chunk_t *to, integer t, gm_range_chunk_t *from,
                                         integer f, integer n) =
        \forall integer j; t <= j < t + n ==>
            \at(to->base[j], Now) == \at(from->base[j - t + f], Then) &&
            \at(to->rest[j].last, Now) == \at(from->rest[j - t + f].last, Then) &&
            \at(to->rest[j].value, Now) == \at(from->rest[j - t + f].value, Then);

    // No range of a map overlaps [base, last].
    predicate gm_range_is_free(gm_range_map_t *map, integer base, integer last) =
        \forall integer c, i; gm_range_is(map, c, i) ==>
            gm_range_last(map, c, i) < base || last < gm_range_base(map, c, i);

    // At `Now` a heap has the blocks of `Then`.
    predicate gm_heap_same{Then, Now}(gm_heap_t *heap) =
        \at(heap->blocks, Now) == \at(heap->blocks, Then) &&
        \at(heap->bytes, Now) == \at(heap->bytes, Then);

    // At `Now` *range is what the i-th of chunk c was at `Then`.
    predicate gm_range_copied{Then, Now}(gm_range_map_t *map, integer c, integer i,
                                         gm_range_t *range) =
        \at(range->base, Now) == \at(map->slots[c].chunk->base[i], Then) &&
        \at(range->last, Now) == \at(map->slots[c].chunk->rest[i].last, Then) &&
        \at(range->value, Now) == \at(map->slots[c].chunk->rest[i].value, Then);
 */

/** Make an empty map; it holds no memory. `heap` must outlive it. */
/*@ requires \valid(map);
    assigns *map;
    ensures gm_range_map_ok(map) && map->num_chunks == 0 && map->num_ranges == 0;
    ensures map->heap == heap && map->spare_chunk == \null && map->spare_slots == \null;
 */
void gm_range_map_init(gm_range_map_t *map, gm_heap_t *heap);

/** Free all memory of the map and empty it. The values are the caller's. */
/*@ requires gm_range_map_valid(map) && gm_range_map_apart(map) && gm_range_heap_ok(map);
    requires map->spare_chunk == \null || \valid(map->spare_chunk);
    assigns *map, map->heap->blocks, map->heap->bytes;
    ensures gm_range_map_ok(map) && gm_range_map_apart(map) && map->heap == \old(map->heap);
    ensures map->num_ranges == 0 && gm_range_blocks(map) == 0 && gm_range_bytes(map) == 0;
    ensures gm_range_counted{Pre, Post}(map);
 */
void gm_range_map_destroy(gm_range_map_t *map);

/** Get the memory to insert a range that starts at `base`. @return 0; -1 without heap, unchanged */
/*@ requires gm_range_map_ok(map) && gm_range_map_apart(map) && gm_range_heap_ok(map);
    requires map->spare_chunk == \null && map->spare_slots == \null;
    assigns map->at, map->spare_chunk, map->spare_slots, map->heap->blocks, map->heap->bytes;
    ensures \result == 0 || \result == -1;
    ensures gm_range_same_chunks{Pre, Post}(map);
    ensures gm_range_same_ranges{Pre, Post}(map);
    ensures gm_range_heap_ok(map) && gm_range_counted{Pre, Post}(map);
    ensures \result == 0 ==> gm_range_map_ready(map, base);
    ensures \result == -1 ==> map->at == \old(map->at) && map->spare_chunk == \null &&
        map->spare_slots == \null && gm_heap_same{Pre, Post}(map->heap);
 */
int gm_range_map_prepare(gm_range_map_t *map, uintptr_t base);

/** Free what gm_range_map_prepare() got, if the insertion will not be done. */
/*@ requires \valid(map) && \valid(map->heap) && \separated(map, map->heap);
    requires map->num_chunks <= map->capacity < SIZE_MAX / 64 && gm_range_heap_ok(map);
    requires map->spare_chunk == \null || \valid(map->spare_chunk);
    assigns map->spare_chunk, map->spare_slots, map->heap->blocks, map->heap->bytes;
    ensures map->spare_chunk == \null && map->spare_slots == \null;
    ensures gm_range_heap_ok(map) && gm_range_counted{Pre, Post}(map);
 */
void gm_range_map_cancel(gm_range_map_t *map);

/** Insert a range that overlaps none, right after gm_range_map_prepare() of its base. */
/*@ requires gm_range_map_ok(map) && gm_range_map_apart(map) && gm_range_heap_ok(map);
    requires gm_range_map_ready(map, base) && base <= last && gm_range_is_free(map, base, last);
    assigns map->slots, map->num_chunks, map->capacity, map->num_ranges, map->spare_chunk,
        map->spare_slots, map->heap->blocks, map->heap->bytes, map->slots[0 .. map->capacity - 1],
        *map->slots[0 .. map->num_chunks - 1].chunk, map->spare_slots[0 .. map->num_chunks],
        *map->spare_chunk;
    ensures gm_range_map_valid(map) && gm_range_map_apart(map) && map->heap == \old(map->heap);
    ensures gm_range_heap_ok(map) && gm_range_counted{Pre, Post}(map);
    ensures map->spare_chunk == \null && map->spare_slots == \null;
 */
void gm_range_map_insert(gm_range_map_t *map, uintptr_t base, uintptr_t last, void *value);

/** Let the range that starts at `base` end at `last`, where it overlaps no other, with that value.
 */
/*@ requires gm_range_map_ok(map) && gm_range_map_apart(map) && base <= last;
    requires \exists integer c, i; gm_range_is(map, c, i) && gm_range_base(map, c, i) == base;
    requires \forall integer c, i; gm_range_is(map, c, i) && base < gm_range_base(map, c, i) ==>
        last < gm_range_base(map, c, i);
    assigns map->slots[0 .. map->num_chunks - 1].chunk->rest[0 .. GM_RANGE_CHUNK - 1];
    ensures gm_range_map_ok(map) && gm_range_map_apart(map) && gm_range_same_chunks{Pre, Post}(map);
    ensures \forall integer c, i; gm_range_is(map, c, i) && gm_range_base(map, c, i) == base ==>
        gm_range_last(map, c, i) == last && map->slots[c].chunk->rest[i].value == value;
    ensures \forall integer c, i; gm_range_is(map, c, i) && gm_range_base(map, c, i) != base ==>
        gm_range_last(map, c, i) == \old(gm_range_last(map, c, i)) &&
        map->slots[c].chunk->rest[i].value == \old(map->slots[c].chunk->rest[i].value);
    ensures \forall integer c, i; gm_range_is(map, c, i) ==>
        gm_range_base(map, c, i) == \old(gm_range_base(map, c, i));
 */
void gm_range_map_set(gm_range_map_t *map, uintptr_t base, uintptr_t last, void *value);

/** Remove the range that starts at `base`; needs no memory. @return whether there was one */
bool gm_range_map_remove(gm_range_map_t *map, uintptr_t base);

/** Find the highest range that starts at or below `address`. @return whether there is one */
/*@ requires gm_range_map_ok(map) && \valid(range);
    assigns *range;
    behavior none:
        assumes \forall integer c, i; gm_range_is(map, c, i) ==> address < gm_range_base(map, c, i);
        assigns \nothing;
        ensures \result == \false;
    behavior found:
        assumes \exists integer c, i; gm_range_is(map, c, i) && gm_range_base(map, c, i) <= address;
        ensures \result == \true && range->base <= address;
        ensures \exists integer c, i; \old(gm_range_is(map, c, i)) &&
            gm_range_copied{Pre, Post}(map, c, i, range);
        ensures \forall integer c, i;
            \old(gm_range_is(map, c, i) && gm_range_base(map, c, i) <= address) ==>
            \old(gm_range_base(map, c, i)) <= range->base;
        ensures \forall integer c, i;
            \old(gm_range_is(map, c, i)) && \old(gm_range_base(map, c, i)) <= address &&
            address <= \old(gm_range_last(map, c, i)) ==>
            range->last == \old(gm_range_last(map, c, i)) &&
            range->value == \old(map->slots[c].chunk->rest[i].value);
    complete behaviors;
    disjoint behaviors;
 */
bool gm_range_map_previous(const gm_range_map_t *map, uintptr_t address, gm_range_t *range);

/* The last of `n` sorted keys that is at or below `address`; 0 if none is. */
/*@ requires \valid_read(keys + (0 .. n - 1));
    requires \forall integer i, j; 0 <= i < j < n ==> keys[i] < keys[j];
    assigns \nothing;
    ensures n > 0 ? \result < n : \result == 0;
    ensures \result > 0 ==> keys[\result] <= address;
    ensures \forall integer i; \result < i < n ==> keys[i] > address;
 */
static inline size_t gm_range_floor(const uintptr_t *keys, size_t n, uintptr_t address)
{
    size_t low = 0;
    /*@ loop invariant half == n / 2 && low + n <= \at(n, Pre) && (n == 0 ==> \at(n, Pre) == 0);
        loop invariant low > 0 ==> keys[low] <= address;
        loop invariant \forall integer i; low + n <= i < \at(n, Pre) ==> keys[i] > address;
        loop assigns half, low, n;
        loop variant n;
     */
    for (size_t half = n / 2; half > 0; half = n / 2) {
        low += keys[low + half] <= address ? half : 0;
        n -= half;
    }
    return low;
}

/* The same for the chunks' first keys. */
/*@ requires \valid_read(map) && \valid_read(map->slots + (0 .. map->num_chunks - 1));
    requires \forall integer c, d; 0 <= c < d < map->num_chunks ==>
        map->slots[c].first < map->slots[d].first;
    assigns \nothing;
    ensures map->num_chunks > 0 ? \result < map->num_chunks : \result == 0;
    ensures \result > 0 ==> map->slots[\result].first <= address;
    ensures \forall integer c; \result < c < map->num_chunks ==> map->slots[c].first > address;
 */
static inline size_t gm_range_chunk_at(const gm_range_map_t *map, uintptr_t address)
{
    size_t low = 0;
    size_t n = map->num_chunks;
    /*@ loop invariant half == n / 2 && low + n <= map->num_chunks;
        loop invariant n == 0 ==> map->num_chunks == 0;
        loop invariant low > 0 ==> map->slots[low].first <= address;
        loop invariant \forall integer c; low + n <= c < map->num_chunks ==>
            map->slots[c].first > address;
        loop assigns half, low, n;
        loop variant n;
     */
    for (size_t half = n / 2; half > 0; half = n / 2) {
        low += map->slots[low + half].first <= address ? half : 0;
        n -= half;
    }
    return low;
}

/** As gm_range_map_previous(), else the lowest range; its value. The map must not be empty. */
/*@ requires gm_range_map_ok(map) && map->num_chunks > 0;
    assigns \nothing;
    ensures \exists integer c, i; gm_range_is(map, c, i) &&
        \result == map->slots[c].chunk->rest[i].value &&
        (gm_range_base(map, c, i) <= address || (c == 0 && i == 0)) &&
        \forall integer d, j; gm_range_is(map, d, j) &&
            gm_range_base(map, d, j) <= address ==>
            gm_range_base(map, d, j) <= gm_range_base(map, c, i);
 */
static inline void *gm_range_map_nearest(const gm_range_map_t *map, uintptr_t address)
{
    size_t at = gm_range_chunk_at(map, address);
    const gm_range_slot_t *slot = &map->slots[at];
    size_t i = gm_range_floor(slot->chunk->base, slot->count, address);
    //@ assert gm_range_is(map, at, i);
    /*@ assert \forall integer d, j; gm_range_is(map, d, j) &&
            gm_range_base(map, d, j) <= address ==>
            gm_range_base(map, d, j) <= gm_range_base(map, at, i);
     */
    return slot->chunk->rest[i].value;
}

/** The value of the range that holds `address`, or NULL. */
/*@ requires gm_range_map_ok(map);
    assigns \nothing;
    behavior held:
        assumes \exists integer c, i; gm_range_is(map, c, i) &&
            gm_range_base(map, c, i) <= address && address <= gm_range_last(map, c, i);
        ensures \exists integer c, i; \old(gm_range_is(map, c, i)) &&
            \old(gm_range_base(map, c, i)) <= address &&
            address <= \old(gm_range_last(map, c, i)) &&
            \result == \old(map->slots[c].chunk->rest[i].value);
    behavior free:
        assumes \forall integer c, i; gm_range_is(map, c, i) ==>
            address < gm_range_base(map, c, i) || gm_range_last(map, c, i) < address;
        ensures \result == \null;
    complete behaviors;
    disjoint behaviors;
 */
static inline void *gm_range_map_get(const gm_range_map_t *map, uintptr_t address)
{
    gm_range_t range;
    if (!gm_range_map_previous(map, address, &range)) {
        return NULL;
    }
    return range.last >= address ? range.value : NULL;
}

/** Find the lowest range that ends at or above `address`. @return whether there is one */
/*@ requires gm_range_map_ok(map) && \valid(range);
    assigns *range;
    behavior none:
        assumes \forall integer c, i; gm_range_is(map, c, i) ==> gm_range_last(map, c, i) < address;
        assigns \nothing;
        ensures \result == \false;
    behavior found:
        assumes \exists integer c, i; gm_range_is(map, c, i) && address <= gm_range_last(map, c, i);
        ensures \result == \true && address <= range->last;
        ensures \exists integer c, i; \old(gm_range_is(map, c, i)) &&
            gm_range_copied{Pre, Post}(map, c, i, range);
        ensures \forall integer c, i;
            \old(gm_range_is(map, c, i) && address <= gm_range_last(map, c, i)) ==>
            range->base <= \old(gm_range_base(map, c, i));
    complete behaviors;
    disjoint behaviors;
 */
bool gm_range_map_next(const gm_range_map_t *map, uintptr_t address, gm_range_t *range);

/** Find the lowest range that overlaps `[base, last]`. @return whether there is one */
/*@ requires gm_range_map_ok(map) && \valid(range);
    assigns *range;
    ensures \result <==> \exists integer c, i; \old(gm_range_is(map, c, i)) &&
        base <= \old(gm_range_last(map, c, i)) && \old(gm_range_base(map, c, i)) <= last;
    ensures \result ==> base <= range->last && range->base <= last;
    ensures \result ==> \exists integer c, i; \old(gm_range_is(map, c, i)) &&
        gm_range_copied{Pre, Post}(map, c, i, range);
    ensures \result ==> \forall integer c, i;
        \old(gm_range_is(map, c, i) && base <= gm_range_last(map, c, i)) ==>
        range->base <= \old(gm_range_base(map, c, i));
 */
static inline bool gm_range_map_overlap(const gm_range_map_t *map, uintptr_t base, uintptr_t last,
                                        gm_range_t *range)
{
    return gm_range_map_next(map, base, range) && range->base <= last;
}
