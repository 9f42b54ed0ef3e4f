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
 *
 * It is written for its proof (docs/proof.md): each step is a function of its own, so that it has a
 * contract, and structures are copied member by member.
 */

#include "range_map.h"

#define SLOTS_STEP 8 /* capacities are its multiples */

/* Only these four touch the heap. Their contracts are assumed: what is allocated is new, and any
 * call may fail. */
/*@ requires \valid(map->heap);
    assigns map->heap->blocks, map->heap->bytes;
    ensures \result == \null ==> gm_heap_same{Pre, Post}(map->heap);
    ensures \result != \null ==> gm_range_chunk_new(map, \result) &&
        map->heap->blocks == \old(map->heap->blocks) + 1 &&
        map->heap->bytes == \old(map->heap->bytes) + sizeof(gm_range_chunk_t);
 */
static gm_range_chunk_t *alloc_chunk(gm_range_map_t *map)
{
    return gm_heap_alloc(map->heap, sizeof(gm_range_chunk_t));
}

/*@ requires \valid(map->heap) && (chunk == \null || \valid(chunk));
    requires chunk != \null ==>
        map->heap->blocks >= 1 && map->heap->bytes >= sizeof(gm_range_chunk_t);
    assigns map->heap->blocks, map->heap->bytes;
    ensures chunk == \null ==> gm_heap_same{Pre, Post}(map->heap);
    ensures chunk != \null ==>
        map->heap->blocks == \old(map->heap->blocks) - 1 &&
        map->heap->bytes == \old(map->heap->bytes) - sizeof(gm_range_chunk_t);
 */
static void free_chunk(gm_range_map_t *map, gm_range_chunk_t *chunk)
{
    gm_heap_free(map->heap, chunk, sizeof(*chunk));
}

/*@ requires \valid(map->heap) && capacity <= SIZE_MAX / sizeof(gm_range_slot_t);
    assigns map->heap->blocks, map->heap->bytes;
    ensures \result == \null ==> gm_heap_same{Pre, Post}(map->heap);
    ensures \result != \null ==> gm_range_slots_new(map, \result, capacity) &&
        map->heap->blocks == \old(map->heap->blocks) + 1 &&
        map->heap->bytes == \old(map->heap->bytes) + capacity * sizeof(gm_range_slot_t);
 */
static gm_range_slot_t *alloc_slots(gm_range_map_t *map, size_t capacity)
{
    return gm_heap_alloc(map->heap, capacity * sizeof(gm_range_slot_t));
}

/*@ requires \valid(map->heap) && capacity <= SIZE_MAX / sizeof(gm_range_slot_t);
    requires slots != \null ==>
        map->heap->blocks >= 1 && map->heap->bytes >= capacity * sizeof(gm_range_slot_t);
    assigns map->heap->blocks, map->heap->bytes;
    exits \false;
    ensures slots == \null ==> gm_heap_same{Pre, Post}(map->heap);
    ensures slots != \null ==>
        map->heap->blocks == \old(map->heap->blocks) - 1 &&
        map->heap->bytes == \old(map->heap->bytes) - capacity * sizeof(gm_range_slot_t);
 */
static void free_slots(gm_range_map_t *map, gm_range_slot_t *slots, size_t capacity)
{
    gm_heap_free(map->heap, slots, capacity * sizeof(*slots));
}

/* Move a[k..n) up by one. */
/*@ requires k <= n && \valid(a + (k .. n));
    assigns a[k + 1 .. n];
    ensures \forall integer i; k < i <= n ==> a[i] == \old(a[i - 1]);
 */
static void shift_keys(uintptr_t *a, size_t k, size_t n)
{
    /*@ loop invariant k <= i <= n;
        loop invariant \forall integer j; i < j <= n ==> a[j] == \at(a[j - 1], Pre);
        loop invariant \forall integer j; k <= j <= i ==> a[j] == \at(a[j], Pre);
        loop assigns i, a[k + 1 .. n];
        loop variant i;
     */
    for (size_t i = n; i > k; i--) {
        a[i] = a[i - 1];
    }
}

/*@ requires k <= n && \valid(a + (k .. n));
    assigns a[k + 1 .. n];
    ensures \forall integer i; k < i <= n ==>
        a[i].last == \old(a[i - 1].last) &&
        a[i].value == \old(a[i - 1].value);
 */
static void shift_rests(gm_range_rest_t *a, size_t k, size_t n)
{
    /*@ loop invariant k <= i <= n;
        loop invariant \forall integer j; i < j <= n ==>
            a[j].last == \at(a[j - 1].last, Pre) &&
            a[j].value == \at(a[j - 1].value, Pre);
        loop invariant \forall integer j; k <= j <= i ==>
            a[j].last == \at(a[j].last, Pre) &&
            a[j].value == \at(a[j].value, Pre);
        loop assigns i, a[k + 1 .. n];
        loop variant i;
     */
    for (size_t i = n; i > k; i--) {
        a[i].last = a[i - 1].last;
        a[i].value = a[i - 1].value;
    }
}

/*@ requires k <= n && \valid(a + (k .. n));
    assigns a[k + 1 .. n];
    ensures \forall integer i; k < i <= n ==>
        a[i].first == \old(a[i - 1].first) &&
        a[i].chunk == \old(a[i - 1].chunk) &&
        a[i].count == \old(a[i - 1].count);
 */
static void shift_slots(gm_range_slot_t *a, size_t k, size_t n)
{
    /*@ loop invariant k <= i <= n;
        loop invariant \forall integer j; i < j <= n ==>
            a[j].first == \at(a[j - 1].first, Pre) &&
            a[j].chunk == \at(a[j - 1].chunk, Pre) &&
            a[j].count == \at(a[j - 1].count, Pre);
        loop invariant \forall integer j; k <= j <= i ==>
            a[j].first == \at(a[j].first, Pre) &&
            a[j].chunk == \at(a[j].chunk, Pre) &&
            a[j].count == \at(a[j].count, Pre);
        loop assigns i, a[k + 1 .. n];
        loop variant i;
     */
    for (size_t i = n; i > k; i--) {
        a[i].first = a[i - 1].first;
        a[i].chunk = a[i - 1].chunk;
        a[i].count = a[i - 1].count;
    }
}

/* Copy from[f..f + n) to to[t..t + n), which may begin below it in the same array. */
/*@ requires t + n <= SIZE_MAX && f + n <= SIZE_MAX;
    requires \valid(to + (t .. t + n - 1)) && \valid_read(from + (f .. f + n - 1));
    requires \separated(to + (t .. t + n - 1), from + (f .. f + n - 1)) || (to == from && t <= f);
    assigns to[t .. t + n - 1];
    ensures \forall integer j; t <= j < t + n ==> to[j] == \old(from[j - t + f]);
 */
static void copy_keys(uintptr_t *to, size_t t, const uintptr_t *from, size_t f, size_t n)
{
    /*@ loop invariant 0 <= i <= n;
        loop invariant \forall integer j; t <= j < t + i ==> to[j] == \at(from[j - t + f], Pre);
        loop invariant \forall integer j; f + i <= j < f + n ==> from[j] == \at(from[j], Pre);
        loop assigns i, to[t .. t + n - 1];
        loop variant n - i;
     */
    for (size_t i = 0; i < n; i++) {
        to[t + i] = from[f + i];
    }
}

/*@ requires t + n <= SIZE_MAX && f + n <= SIZE_MAX;
    requires \valid(to + (t .. t + n - 1)) && \valid_read(from + (f .. f + n - 1));
    requires \separated(to + (t .. t + n - 1), from + (f .. f + n - 1)) || (to == from && t <= f);
    assigns to[t .. t + n - 1];
    ensures \forall integer j; t <= j < t + n ==>
        to[j].last == \old(from[j - t + f].last) &&
        to[j].value == \old(from[j - t + f].value);
 */
static void copy_rests(gm_range_rest_t *to, size_t t, const gm_range_rest_t *from, size_t f,
                       size_t n)
{
    /*@ loop invariant 0 <= i <= n;
        loop invariant \forall integer j; t <= j < t + i ==>
            to[j].last == \at(from[j - t + f].last, Pre) &&
            to[j].value == \at(from[j - t + f].value, Pre);
        loop invariant \forall integer j; f + i <= j < f + n ==>
            from[j].last == \at(from[j].last, Pre) &&
            from[j].value == \at(from[j].value, Pre);
        loop assigns i, to[t .. t + n - 1];
        loop variant n - i;
     */
    for (size_t i = 0; i < n; i++) {
        to[t + i].last = from[f + i].last;
        to[t + i].value = from[f + i].value;
    }
}

/*@ requires t + n <= SIZE_MAX && f + n <= SIZE_MAX;
    requires \valid(to + (t .. t + n - 1)) && \valid_read(from + (f .. f + n - 1));
    requires \separated(to + (t .. t + n - 1), from + (f .. f + n - 1)) || (to == from && t <= f);
    assigns to[t .. t + n - 1];
    exits \false;
    ensures \forall integer j; t <= j < t + n ==>
        to[j].first == \old(from[j - t + f].first) &&
        to[j].chunk == \old(from[j - t + f].chunk) &&
        to[j].count == \old(from[j - t + f].count);
 */
static void copy_slots(gm_range_slot_t *to, size_t t, const gm_range_slot_t *from, size_t f,
                       size_t n)
{
    /*@ loop invariant 0 <= i <= n;
        loop invariant \forall integer j; t <= j < t + i ==>
            to[j].first == \at(from[j - t + f].first, Pre) &&
            to[j].chunk == \at(from[j - t + f].chunk, Pre) &&
            to[j].count == \at(from[j - t + f].count, Pre);
        loop invariant \forall integer j; f + i <= j < f + n ==>
            from[j].first == \at(from[j].first, Pre) &&
            from[j].chunk == \at(from[j].chunk, Pre) &&
            from[j].count == \at(from[j].count, Pre);
        loop assigns i, to[t .. t + n - 1];
        loop variant n - i;
     */
    for (size_t i = 0; i < n; i++) {
        to[t + i].first = from[f + i].first;
        to[t + i].chunk = from[f + i].chunk;
        to[t + i].count = from[f + i].count;
    }
}

/* Copy ranges [from, from + n) of a chunk to [to, to + n) of another one, or down in the same. */
/*@ requires to + n <= GM_RANGE_CHUNK && from + n <= GM_RANGE_CHUNK;
    requires \valid(target) && \valid_read(source);
    requires \separated(target, source) || (target == source && to <= from);
    assigns target->base[to .. to + n - 1], target->rest[to .. to + n - 1];
    ensures \forall integer j; to <= j < to + n ==>
        target->base[j] == \old(source->base[j - to + from]) &&
        target->rest[j].last == \old(source->rest[j - to + from].last) &&
        target->rest[j].value == \old(source->rest[j - to + from].value);
 */
static void copy_ranges(gm_range_chunk_t *target, size_t to, const gm_range_chunk_t *source,
                        size_t from, size_t n)
{
    copy_keys(target->base, to, source->base, from, n);
    copy_rests(target->rest, to, source->rest, from, n);
}

/* Move the slots to another array. */
/*@ requires gm_range_map_valid(map) && gm_range_map_apart(map) && gm_range_heap_ok(map);
    requires gm_range_slots_new(map, slots, capacity);
    requires map->num_chunks <= capacity && 0 < capacity < SIZE_MAX / 64;
    assigns slots[0 .. map->num_chunks - 1];
    assigns map->slots, map->capacity, map->heap->blocks, map->heap->bytes;
    exits \false;
    ensures gm_range_map_valid(map) && gm_range_map_apart(map);
    ensures map->slots == slots && map->capacity == capacity;
    ensures gm_range_slots_moved{Pre, Post}(map, 0, map->num_chunks, 0);
    ensures gm_range_untouched{Pre, Post}(map, -1);
    ensures map->heap->blocks == \old(map->heap->blocks - (map->slots != \null ? 1 : 0));
    ensures map->heap->bytes ==
        \old(map->heap->bytes - map->capacity * sizeof(gm_range_slot_t));
 */
static void replace_slots(gm_range_map_t *map, gm_range_slot_t *slots, size_t capacity)
{
    copy_slots(slots, 0, map->slots, 0, map->num_chunks);
    free_slots(map, map->slots, map->capacity);
    map->slots = slots;
    map->capacity = capacity;
}

/* Put a chunk of n ranges at `at`, where the array has room. */
/*@ requires gm_range_map_valid(map) && gm_range_map_apart(map);
    requires gm_range_chunk_new(map, chunk) && at <= map->num_chunks < map->capacity;
    assigns map->slots[at .. map->num_chunks], map->num_chunks;
    ensures gm_range_map_valid(map) && gm_range_map_apart(map);
    ensures map->num_chunks == \old(map->num_chunks) + 1;
    ensures map->heap == \old(map->heap) && gm_heap_same{Pre, Post}(map->heap);
    ensures map->slots[at].chunk == chunk && map->slots[at].count == n &&
        map->slots[at].first == chunk->base[0];
    ensures gm_range_slots_moved{Pre, Post}(map, 0, at, 0);
    ensures gm_range_slots_moved{Pre, Post}(map, at, \old(map->num_chunks), 1);
    ensures gm_range_untouched{Pre, Post}(map, -1);
 */
static void put_chunk(gm_range_map_t *map, size_t at, gm_range_chunk_t *chunk, size_t n)
{
    gm_range_slot_t *slots = map->slots;
    shift_slots(slots, at, map->num_chunks);
    slots[at].first = chunk->base[0];
    slots[at].chunk = chunk;
    slots[at].count = n;
    map->num_chunks++;
    //@ assert gm_range_slots_moved{Here, Pre}(map, 0, at, 0);
    //@ assert gm_range_slots_moved{Here, Pre}(map, at + 1, map->num_chunks, -1);
    //@ assert gm_range_untouched{Pre, Here}(map, -1);
    /*@ assert \forall integer c; 0 <= c < map->num_chunks && c != at ==>
            \separated(slots[c].chunk, chunk);
     */
    /*@ assert \forall integer c, d; 0 <= c < d < map->num_chunks && c != at && d != at ==>
            \separated(slots[c].chunk, slots[d].chunk);
     */
}

/* Move the slots to the spare array, if there is one. @return the spare chunk, now the caller's */
/*@ requires gm_range_map_valid(map) && gm_range_map_apart(map) && gm_range_heap_ok(map);
    requires gm_range_chunk_new(map, map->spare_chunk);
    requires map->spare_slots == \null ==> map->num_chunks < map->capacity;
    requires map->spare_slots != \null ==>
        gm_range_slots_new(map, map->spare_slots, map->capacity + 8);
    assigns map->slots, map->capacity, map->spare_chunk, map->spare_slots, map->heap->blocks,
        map->heap->bytes, map->spare_slots[0 .. map->num_chunks - 1];
    exits \false;
    ensures gm_range_map_valid(map) && gm_range_map_apart(map);
    ensures \result == \old(map->spare_chunk) && gm_range_chunk_new(map, \result);
    ensures \result->base[0] == \old(map->spare_chunk->base[0]);
    ensures map->heap == \old(map->heap) && map->num_chunks == \old(map->num_chunks);
    ensures map->heap->blocks - gm_range_blocks(map) - 1 ==
        \old(map->heap->blocks - gm_range_blocks(map));
    ensures map->heap->bytes - gm_range_bytes(map) - sizeof(gm_range_chunk_t) ==
        \old(map->heap->bytes - gm_range_bytes(map));
    ensures map->spare_chunk == \null && map->spare_slots == \null;
    ensures map->num_chunks < map->capacity;
    ensures map->slots == (\old(map->spare_slots) != \null ? \old(map->spare_slots) :
        \old(map->slots));
    ensures map->capacity == \old(map->capacity) + (\old(map->spare_slots) != \null ? 8 : 0);
    ensures gm_range_slots_moved{Pre, Post}(map, 0, map->num_chunks, 0);
    ensures gm_range_untouched{Pre, Post}(map, -1);
 */
static gm_range_chunk_t *use_spares(gm_range_map_t *map)
{
    gm_range_chunk_t *chunk = map->spare_chunk;
    gm_range_slot_t *slots = map->spare_slots;
    map->spare_chunk = NULL;
    map->spare_slots = NULL;
    if (slots != NULL) {
        replace_slots(map, slots, map->capacity + SLOTS_STEP);
    }
    return chunk;
}

/* Put the spare chunk, which has n ranges, at `at`. */
/*@ requires gm_range_map_valid(map) && gm_range_map_apart(map) && gm_range_heap_ok(map);
    requires gm_range_chunk_new(map, map->spare_chunk) && at <= map->num_chunks;
    requires map->spare_slots == \null ==> map->num_chunks < map->capacity;
    requires map->spare_slots != \null ==>
        gm_range_slots_new(map, map->spare_slots, map->capacity + 8);
    assigns map->slots, map->num_chunks, map->capacity, map->spare_chunk, map->spare_slots,
        map->heap->blocks, map->heap->bytes, map->slots[at .. map->capacity - 1],
        map->spare_slots[0 .. map->num_chunks];
    ensures gm_range_map_valid(map) && gm_range_map_apart(map);
    ensures gm_range_counted{Pre, Post}(map);
    ensures gm_range_heap_ok(map);
    ensures map->spare_chunk == \null && map->spare_slots == \null;
    ensures map->slots ==
        (\old(map->spare_slots) != \null ? \old(map->spare_slots) : \old(map->slots));
    ensures map->num_chunks == \old(map->num_chunks) + 1 && map->heap == \old(map->heap);
    ensures map->slots[at].chunk == \old(map->spare_chunk) && map->slots[at].count == n &&
        map->slots[at].first == \old(map->spare_chunk->base[0]);
    ensures gm_range_slots_moved{Pre, Post}(map, 0, at, 0);
    ensures gm_range_slots_moved{Pre, Post}(map, at, \old(map->num_chunks), 1);
    ensures gm_range_untouched{Pre, Post}(map, -1);
 */
static void add_chunk(gm_range_map_t *map, size_t at, size_t n)
{
    gm_range_chunk_t *chunk = use_spares(map);
    /*@ assert \forall integer c; 0 <= c < map->num_chunks ==>
            \at(map->slots[c].chunk, Pre) == map->slots[c].chunk;
     */
    //@ ghost Grown: ;
    put_chunk(map, at, chunk, n);
    //@ assert map->heap == \at(map->heap, Pre);
    //@ assert gm_range_counted{Pre, Here}(map);
    /*@ assert \forall integer c, i; 0 <= c < \at(map->num_chunks, Grown) &&
            0 <= i < GM_RANGE_CHUNK ==>
            \at(\at(map->slots[c].chunk, Grown)->base[i], Here) ==
                \at(\at(map->slots[c].chunk, Pre)->base[i], Grown);
     */
    /*@ assert \forall integer c, i; 0 <= c < \at(map->num_chunks, Pre) &&
            0 <= i < GM_RANGE_CHUNK ==>
            \at(\at(map->slots[c].chunk, Pre)->base[i], Here) ==
                \at(\at(map->slots[c].chunk, Grown)->base[i], Here);
     */
}

/* Use a smaller array if there is memory for one; the larger serves as well. */
/*@ requires gm_range_map_valid(map) && gm_range_map_apart(map) && gm_range_heap_ok(map);
    requires map->spare_chunk == \null && map->spare_slots == \null;
    assigns map->slots, map->capacity, map->heap->blocks, map->heap->bytes,
        \at(map->slots, Post)[0 .. \at(map->capacity, Post) - 1];
    ensures gm_range_map_valid(map) && gm_range_map_apart(map);
    ensures map->num_chunks == \old(map->num_chunks) && map->heap == \old(map->heap);
    ensures map->spare_chunk == \null && map->spare_slots == \null;
    ensures gm_range_heap_ok(map) && gm_range_counted{Pre, Post}(map);
    ensures gm_range_slots_moved{Pre, Post}(map, 0, map->num_chunks, 0);
    ensures gm_range_untouched{Pre, Post}(map, -1);
    ensures map->num_chunks == 0 ==> map->capacity == 0;
 */
static void shrink_slots(gm_range_map_t *map)
{
    size_t capacity = (map->num_chunks + SLOTS_STEP - 1) / SLOTS_STEP * SLOTS_STEP;
    if (map->num_chunks == 0) {
        free_slots(map, map->slots, map->capacity);
        map->slots = NULL;
        map->capacity = 0;
    } else if (capacity < map->capacity) {
        gm_range_slot_t *slots = alloc_slots(map, capacity);
        if (slots != NULL) {
            replace_slots(map, slots, capacity);
        }
    }
}

/* Take a chunk away, with its ranges. */
/*@ requires gm_range_map_valid(map) && gm_range_map_apart(map) && gm_range_heap_ok(map);
    requires at < map->num_chunks;
    assigns map->num_chunks, map->heap->blocks, map->heap->bytes,
        map->slots[at .. map->num_chunks - 2];
    ensures gm_range_map_valid(map) && gm_range_map_apart(map);
    ensures gm_range_heap_ok(map) && gm_range_counted{Pre, Post}(map);
    ensures map->num_chunks == \old(map->num_chunks) - 1;
    ensures gm_range_slots_moved{Pre, Post}(map, 0, at, 0);
    ensures gm_range_slots_moved{Pre, Post}(map, at + 1, \old(map->num_chunks), -1);
    ensures gm_range_untouched{Pre, Post}(map, -1);
 */
static void remove_chunk(gm_range_map_t *map, size_t at)
{
    gm_range_slot_t *slots = map->slots;
    free_chunk(map, slots[at].chunk);
    map->num_chunks--;
    copy_slots(slots, at, slots, at + 1, map->num_chunks - at);
    //@ assert gm_range_slots_moved{Here, Pre}(map, 0, at, 0);
    //@ assert gm_range_slots_moved{Here, Pre}(map, at, map->num_chunks, 1);
    //@ assert gm_range_untouched{Pre, Here}(map, -1);
    /*@ assert \forall integer c, d; 0 <= c < d < map->num_chunks ==>
            \separated(slots[c].chunk, slots[d].chunk);
     */
    //@ assert gm_range_map_valid(map);
    //@ assert gm_range_map_apart(map);
}

/* Merge a chunk with the next, with which it fits into one. */
/*@ requires gm_range_map_valid(map) && gm_range_map_apart(map) && gm_range_heap_ok(map);
    requires at + 1 < map->num_chunks;
    requires map->slots[at].count + map->slots[at + 1].count <= GM_RANGE_CHUNK;
    assigns map->num_chunks, map->heap->blocks, map->heap->bytes,
        *map->slots[at].chunk, map->slots[at .. map->num_chunks - 1];
    ensures gm_range_map_valid(map) && gm_range_map_apart(map);
    ensures gm_range_heap_ok(map) && gm_range_counted{Pre, Post}(map);
    ensures map->num_chunks == \old(map->num_chunks) - 1;
    ensures map->slots[at].chunk == \old(map->slots[at].chunk) &&
        map->slots[at].first == \old(map->slots[at].first) &&
        map->slots[at].count == \old(map->slots[at].count + map->slots[at + 1].count);
    ensures gm_range_slots_moved{Pre, Post}(map, 0, at, 0);
    ensures gm_range_slots_moved{Pre, Post}(map, at + 2, \old(map->num_chunks), -1);
    ensures gm_range_untouched{Pre, Post}(map, at);
    ensures gm_ranges_moved{Pre, Post}(\old(map->slots[at].chunk), 0,
        \old(map->slots[at].chunk), 0, \old(map->slots[at].count));
    ensures gm_ranges_moved{Pre, Post}(\old(map->slots[at].chunk), \old(map->slots[at].count),
        \old(map->slots[at + 1].chunk), 0, \old(map->slots[at + 1].count));
 */
static void merge_chunks(gm_range_map_t *map, size_t at)
{
    gm_range_slot_t *slots = map->slots;
    const size_t count = slots[at].count;
    const size_t more = slots[at + 1].count;
    gm_range_chunk_t *const chunk = slots[at].chunk;
    gm_range_chunk_t *const next = slots[at + 1].chunk;
    /*@ assert \forall integer c; 0 <= c < map->num_chunks && c != at ==>
            \separated(slots[c].chunk, chunk);
     */
    copy_ranges(chunk, count, next, 0, more);
    //@ assert gm_range_same_chunks{Pre, Here}(map);
    //@ assert gm_range_untouched{Pre, Here}(map, at);
    //@ assert gm_ranges_moved{Pre, Here}(chunk, 0, chunk, 0, count);
    slots[at].count = count + more;
    //@ assert gm_range_slots_moved{Pre, Here}(map, 0, at, 0);
    //@ assert gm_range_slots_moved{Pre, Here}(map, at + 1, map->num_chunks, 0);
    //@ assert gm_range_untouched{Pre, Here}(map, at);
    //@ assert gm_ranges_moved{Pre, Here}(chunk, 0, chunk, 0, count);
    //@ assert gm_ranges_moved{Pre, Here}(chunk, count, next, 0, more);
    remove_chunk(map, at + 1);
}

/* Merge a chunk with the next, if there is one and they fit into one. */
/*@ requires gm_range_map_valid(map) && gm_range_map_apart(map) && gm_range_heap_ok(map);
    requires at < map->num_chunks;
    requires \forall integer c; 0 <= c < map->num_chunks ==>
        map->slots[c].count <= GM_RANGE_CHUNK;
    assigns map->num_chunks, map->heap->blocks, map->heap->bytes,
        *map->slots[at].chunk, map->slots[at .. map->num_chunks - 1];
    ensures gm_range_map_valid(map) && gm_range_map_apart(map);
    ensures gm_range_heap_ok(map) && gm_range_counted{Pre, Post}(map);
    ensures at < map->num_chunks;
    ensures map->num_chunks == \old(map->num_chunks) ||
        map->num_chunks == \old(map->num_chunks) - 1;
    ensures gm_range_slots_moved{Pre, Post}(map, 0, at, 0);
    ensures gm_range_untouched{Pre, Post}(map, at);
    ensures map->num_chunks == \old(map->num_chunks) ==> gm_range_same_chunks{Pre, Post}(map) &&
        gm_range_same_ranges{Pre, Post}(map);
    ensures map->num_chunks < \old(map->num_chunks) ==>
        map->slots[at].chunk == \old(map->slots[at].chunk) &&
        map->slots[at].first == \old(map->slots[at].first) &&
        map->slots[at].count == \old(map->slots[at].count + map->slots[at + 1].count);
    ensures map->num_chunks < \old(map->num_chunks) ==>
        gm_range_slots_moved{Pre, Post}(map, at + 2, \old(map->num_chunks), -1);
    ensures map->num_chunks < \old(map->num_chunks) ==>
        gm_ranges_moved{Pre, Post}(\old(map->slots[at].chunk), 0, \old(map->slots[at].chunk), 0,
            \old(map->slots[at].count)) &&
        gm_ranges_moved{Pre, Post}(\old(map->slots[at].chunk), \old(map->slots[at].count),
            \old(map->slots[at + 1].chunk), 0, \old(map->slots[at + 1].count));
    ensures \forall integer c; 0 <= c < map->num_chunks ==>
        map->slots[c].count <= GM_RANGE_CHUNK;
 */
static void merge_with_next(gm_range_map_t *map, size_t at)
{
    if (at + 1 < map->num_chunks &&
        map->slots[at].count + map->slots[at + 1].count <= GM_RANGE_CHUNK) {
        merge_chunks(map, at);
        //@ assert gm_range_slots_moved{Here, Pre}(map, 0, at, 0);
        //@ assert gm_range_slots_moved{Here, Pre}(map, at + 1, map->num_chunks, 1);
    }
}

/* How many ranges of a chunk start at or below `address`. */
/*@ requires \valid_read(slot) && \valid_read(slot->chunk) && gm_range_chunk_ok(slot);
    assigns \nothing;
    ensures \result <= slot->count;
    ensures \forall integer i; 0 <= i < \result ==> slot->chunk->base[i] <= address;
    ensures \forall integer i; \result <= i < slot->count ==> slot->chunk->base[i] > address;
 */
static size_t count_up_to(const gm_range_slot_t *slot, uintptr_t address)
{
    size_t i = gm_range_floor(slot->chunk->base, slot->count, address);
    return slot->chunk->base[i] <= address ? i + 1 : i;
}

/* Move ranges [k, n) of a chunk up by one. */
/*@ requires \valid(chunk) && k <= n < GM_RANGE_CHUNK;
    assigns chunk->base[k + 1 .. n], chunk->rest[k + 1 .. n];
    ensures \forall integer j; 0 <= j < k ==>
        chunk->base[j] == \old(chunk->base[j]) &&
        chunk->rest[j].last == \old(chunk->rest[j].last) &&
        chunk->rest[j].value == \old(chunk->rest[j].value);
    ensures \forall integer j; k < j <= n ==>
        chunk->base[j] == \old(chunk->base[j - 1]) &&
        chunk->rest[j].last == \old(chunk->rest[j - 1].last) &&
        chunk->rest[j].value == \old(chunk->rest[j - 1].value);
 */
static void shift_ranges(gm_range_chunk_t *chunk, size_t k, size_t n)
{
    shift_keys(chunk->base, k, n);
    shift_rests(chunk->rest, k, n);
}

/* Put a range among a chunk's n, as its i-th. */
/*@ requires \valid(chunk) && gm_range_sorted(chunk, n) && i <= n < GM_RANGE_CHUNK;
    requires base <= last && (i > 0 ==> chunk->rest[i - 1].last < base);
    requires i < n ==> last < chunk->base[i];
    assigns *chunk;
    ensures gm_range_sorted(chunk, n + 1);
    ensures chunk->base[i] == base && chunk->rest[i].last == last && chunk->rest[i].value == value;
    ensures \forall integer j; 0 <= j < i ==>
        chunk->base[j] == \old(chunk->base[j]) &&
        chunk->rest[j].last == \old(chunk->rest[j].last) &&
        chunk->rest[j].value == \old(chunk->rest[j].value);
    ensures \forall integer j; i < j <= n ==>
        chunk->base[j] == \old(chunk->base[j - 1]) &&
        chunk->rest[j].last == \old(chunk->rest[j - 1].last) &&
        chunk->rest[j].value == \old(chunk->rest[j - 1].value);
 */
static void put_range(gm_range_chunk_t *chunk, size_t n, size_t i, uintptr_t base, uintptr_t last,
                      void *value)
{
    /*@ assert (\forall integer j; 0 <= j < i ==> chunk->rest[j].last < base) &&
            (\forall integer j; i <= j < n ==> last < chunk->base[j]);
     */
    shift_ranges(chunk, i, n);
    chunk->base[i] = base;
    chunk->rest[i].last = last;
    chunk->rest[i].value = value;
    /*@ assert (\forall integer j; 0 <= j < i ==> chunk->rest[j].last < chunk->base[i]) &&
            (\forall integer j; i < j <= n ==> chunk->rest[i].last < chunk->base[j]);
     */
    //@ assert \forall integer j, k; 0 <= j < k <= i ==> chunk->rest[j].last < chunk->base[k];
    //@ assert \forall integer j, k; 0 <= j < i < k <= n ==> chunk->rest[j].last < chunk->base[k];
    //@ assert \forall integer j, k; i < j < k <= n ==> chunk->rest[j].last < chunk->base[k];
    //@ assert \forall integer j, k; i <= j < k <= n ==> chunk->rest[j].last < chunk->base[k];
    //@ assert \forall integer j, k; 0 <= j < k <= n ==> chunk->rest[j].last < chunk->base[k];
    //@ assert \forall integer j; 0 <= j <= n ==> chunk->base[j] <= chunk->rest[j].last;
    //@ assert \forall integer j, k; 0 <= j < k <= n ==> chunk->base[j] < chunk->base[k];
}

/* Let the i-th of a chunk's ranges have another end and value. */
/*@ requires \valid_read(slot) && \valid(slot->chunk) && \separated(slot, slot->chunk);
    requires gm_range_chunk_ok(slot) && i < slot->count && slot->chunk->base[i] <= last;
    requires \forall integer k; i < k < slot->count ==> last < slot->chunk->base[k];
    assigns slot->chunk->rest[i];
    ensures gm_range_chunk_ok(slot);
    ensures slot->chunk->rest[i].last == last && slot->chunk->rest[i].value == value;
    ensures \forall integer j; 0 <= j < GM_RANGE_CHUNK && j != i ==>
        slot->chunk->rest[j].last == \old(slot->chunk->rest[j].last) &&
        slot->chunk->rest[j].value == \old(slot->chunk->rest[j].value);
 */
static void change_range(const gm_range_slot_t *slot, size_t i, uintptr_t last, void *value)
{
    gm_range_chunk_t *chunk = slot->chunk;
    chunk->rest[i].last = last;
    chunk->rest[i].value = value;
    //@ assert gm_range_sorted(chunk, slot->count);
}

/* Take the i-th of a chunk's n ranges away. */
/*@ requires \valid(chunk) && gm_range_sorted(chunk, n) && i < n <= GM_RANGE_CHUNK;
    assigns *chunk;
    ensures gm_range_sorted(chunk, n - 1);
    ensures \forall integer j; 0 <= j < i ==>
        chunk->base[j] == \old(chunk->base[j]) &&
        chunk->rest[j].last == \old(chunk->rest[j].last) &&
        chunk->rest[j].value == \old(chunk->rest[j].value);
    ensures \forall integer j; i <= j < n - 1 ==>
        chunk->base[j] == \old(chunk->base[j + 1]) &&
        chunk->rest[j].last == \old(chunk->rest[j + 1].last) &&
        chunk->rest[j].value == \old(chunk->rest[j + 1].value);
 */
static void remove_range(gm_range_chunk_t *chunk, size_t n, size_t i)
{
    /*@ assert \forall integer j, k; i <= j < k < n - 1 ==>
            chunk->rest[j + 1].last < chunk->base[k + 1];
     */
    /*@ assert \forall integer j, k; 0 <= j < i <= k < n - 1 ==>
            chunk->rest[j].last < chunk->base[k + 1];
     */
    copy_ranges(chunk, i, chunk, i + 1, n - 1 - i);
    /*@ assert \forall integer j; i <= j < n - 1 ==>
            chunk->base[j] == \at(chunk->base[j + 1], Pre) &&
            chunk->rest[j].last == \at(chunk->rest[j + 1].last, Pre);
     */
    //@ assert \forall integer j, k; 0 <= j < k < i ==> chunk->rest[j].last < chunk->base[k];
    /*@ assert \forall integer j, k; 0 <= j < i <= k < n - 1 ==>
            chunk->rest[j].last < chunk->base[k];
     */
    //@ assert \forall integer j, k; i <= j < k < n - 1 ==> chunk->rest[j].last < chunk->base[k];
    //@ assert \forall integer j, k; 0 <= j < k < n - 1 ==> chunk->rest[j].last < chunk->base[k];
    //@ assert \forall integer j; 0 <= j < n - 1 ==> chunk->base[j] <= chunk->rest[j].last;
    //@ assert \forall integer j, k; 0 <= j < k < n - 1 ==> chunk->base[j] < chunk->base[k];
}

void gm_range_map_init(gm_range_map_t *map, gm_heap_t *heap)
{
    map->heap = heap;
    map->slots = NULL;
    map->num_chunks = 0;
    map->capacity = 0;
    map->num_ranges = 0;
    map->at = 0;
    map->spare_chunk = NULL;
    map->spare_slots = NULL;
}

void gm_range_map_destroy(gm_range_map_t *map)
{
    gm_range_map_cancel(map);
    /*@ loop invariant gm_range_map_valid(map) && gm_range_map_apart(map);
        loop invariant gm_range_heap_ok(map) && gm_range_counted{Pre, Here}(map);
        loop assigns map->num_chunks, map->heap->blocks, map->heap->bytes;
        loop variant map->num_chunks;
     */
    while (map->num_chunks > 0) {
        map->num_chunks--;
        free_chunk(map, map->slots[map->num_chunks].chunk);
    }
    free_slots(map, map->slots, map->capacity);
    map->slots = NULL;
    map->capacity = 0;
    map->num_ranges = 0;
}

int gm_range_map_prepare(gm_range_map_t *map, uintptr_t base)
{
    size_t at = gm_range_chunk_at(map, base);
    if (map->num_chunks == 0 || map->slots[at].count == GM_RANGE_CHUNK) {
        bool full = map->num_chunks == map->capacity;
        map->spare_chunk = alloc_chunk(map);
        map->spare_slots = full ? alloc_slots(map, map->capacity + SLOTS_STEP) : NULL;
        //@ assert gm_range_same_chunks{Pre, Here}(map);
        //@ assert gm_range_same_ranges{Pre, Here}(map);
        //@ assert gm_range_heap_ok(map) && gm_range_counted{Pre, Here}(map);
        if (map->spare_chunk == NULL || (full && map->spare_slots == NULL)) {
            gm_range_map_cancel(map);
            return -1;
        }
    }
    map->at = at;
    //@ assert gm_range_same_chunks{Pre, Here}(map);
    //@ assert gm_range_same_ranges{Pre, Here}(map);
    //@ assert map->spare_chunk != \null ==> gm_range_chunk_new(map, map->spare_chunk);
    /*@ assert map->spare_slots != \null ==>
            gm_range_slots_new(map, map->spare_slots, map->capacity + 8);
     */
    //@ assert gm_range_heap_ok(map) && gm_range_counted{Pre, Here}(map);
    return 0;
}

void gm_range_map_cancel(gm_range_map_t *map)
{
    free_chunk(map, map->spare_chunk);
    free_slots(map, map->spare_slots, map->capacity + SLOTS_STEP);
    map->spare_chunk = NULL;
    map->spare_slots = NULL;
}

/* Split a full chunk in halves: the upper one goes to the spare chunk, after it. */
/*@ requires gm_range_map_valid(map) && gm_range_map_apart(map) && gm_range_heap_ok(map);
    requires gm_range_chunk_new(map, map->spare_chunk) && at < map->num_chunks;
    requires map->spare_slots == \null ==> map->num_chunks < map->capacity;
    requires map->spare_slots != \null ==>
        gm_range_slots_new(map, map->spare_slots, map->capacity + 8);
    assigns map->slots, map->num_chunks, map->capacity, map->spare_chunk, map->spare_slots,
        map->heap->blocks, map->heap->bytes, map->slots[at .. map->capacity - 1],
        map->spare_slots[0 .. map->num_chunks], *map->spare_chunk;
    ensures gm_range_map_valid(map) && gm_range_map_apart(map);
    ensures gm_range_heap_ok(map) && gm_range_counted{Pre, Post}(map);
    ensures map->spare_chunk == \null && map->spare_slots == \null;
    ensures map->slots ==
        (\old(map->spare_slots) != \null ? \old(map->spare_slots) : \old(map->slots));
    ensures map->heap == \old(map->heap) && map->num_chunks == \old(map->num_chunks) + 1;
    ensures map->slots[at].chunk == \old(map->slots[at].chunk) &&
        map->slots[at].count == GM_RANGE_CHUNK / 2 &&
        map->slots[at].first == \old(map->slots[at].first);
    ensures map->slots[at + 1].chunk == \old(map->spare_chunk) &&
        map->slots[at + 1].count == GM_RANGE_CHUNK / 2 &&
        map->slots[at + 1].first == \old(map->slots[at].chunk->base[GM_RANGE_CHUNK / 2]);
    ensures gm_range_slots_moved{Pre, Post}(map, 0, at, 0);
    ensures gm_range_slots_moved{Pre, Post}(map, at + 1, \old(map->num_chunks), 1);
    ensures gm_range_untouched{Pre, Post}(map, -1);
    ensures gm_ranges_moved{Pre, Post}(\old(map->spare_chunk), 0, \old(map->slots[at].chunk),
        GM_RANGE_CHUNK / 2, GM_RANGE_CHUNK / 2);
 */
static void split_chunk(gm_range_map_t *map, size_t at)
{
    const size_t half = GM_RANGE_CHUNK / 2;
    gm_range_chunk_t *const lower = map->slots[at].chunk;
    gm_range_chunk_t *const upper = map->spare_chunk;
    copy_ranges(upper, 0, lower, half, half);
    //@ assert gm_range_same_chunks{Pre, Here}(map);
    //@ assert gm_range_untouched{Pre, Here}(map, -1);
    map->slots[at].count = half;
    //@ assert gm_range_slots_moved{Pre, Here}(map, 0, at, 0);
    //@ assert gm_range_slots_moved{Pre, Here}(map, at + 1, map->num_chunks, 0);
    //@ assert gm_range_untouched{Pre, Here}(map, -1);
    //@ assert gm_ranges_moved{Pre, Here}(upper, 0, lower, half, half);
    //@ assert \separated(upper, map->slots + (0 .. map->capacity - 1));
    //@ assert \separated(upper, map->spare_slots + (0 .. map->num_chunks));
    //@ ghost Copied: ;
    add_chunk(map, at + 1, half);
    /*@ assert \forall integer j; 0 <= j < half ==>
            upper->rest[j].last == \at(upper->rest[j].last, Copied);
     */
    /*@ assert \forall integer j; 0 <= j < half ==>
            upper->rest[j].value == \at(upper->rest[j].value, Copied);
     */
    //@ assert \forall integer j; 0 <= j < half ==> upper->base[j] == \at(upper->base[j], Copied);
}

/* Put a range in a chunk that has room. */
/*@ requires \valid(slot) && \valid(slot->chunk) && \separated(slot, slot->chunk);
    requires gm_range_chunk_ok(slot) && slot->count < GM_RANGE_CHUNK && base <= last;
    requires \forall integer i; 0 <= i < slot->count ==>
        slot->chunk->rest[i].last < base || last < slot->chunk->base[i];
    assigns slot->first, slot->count, *slot->chunk;
    ensures gm_range_chunk_ok(slot) && slot->count == \old(slot->count) + 1;
    ensures \exists integer i; 0 <= i < slot->count && slot->chunk->base[i] == base &&
        slot->chunk->rest[i].last == last && slot->chunk->rest[i].value == value;
    ensures \forall integer i; 0 <= i < \old(slot->count) && \old(slot->chunk->base[i]) < base ==>
        slot->chunk->base[i] == \old(slot->chunk->base[i]) &&
        slot->chunk->rest[i].last == \old(slot->chunk->rest[i].last) &&
        slot->chunk->rest[i].value == \old(slot->chunk->rest[i].value);
    ensures \forall integer i; 0 < i < slot->count && \old(slot->chunk->base[i - 1]) > base ==>
        slot->chunk->base[i] == \old(slot->chunk->base[i - 1]) &&
        slot->chunk->rest[i].last == \old(slot->chunk->rest[i - 1].last) &&
        slot->chunk->rest[i].value == \old(slot->chunk->rest[i - 1].value);
 */
static void put_in_slot(gm_range_slot_t *slot, uintptr_t base, uintptr_t last, void *value)
{
    gm_range_chunk_t *chunk = slot->chunk;
    size_t count = slot->count;
    size_t i = count_up_to(slot, base);
    //@ assert i > 0 ==> chunk->rest[i - 1].last < base;
    //@ assert i < count ==> last < chunk->base[i];
    put_range(chunk, count, i, base, last, value);
    slot->first = chunk->base[0];
    slot->count = count + 1;
    //@ assert gm_range_sorted(slot->chunk, slot->count);
}

/* Put a range in chunk `at`, which has room. */
/*@ requires gm_range_map_valid(map) && gm_range_map_apart(map) && gm_range_heap_ok(map);
    requires at < map->num_chunks && base <= last;
    requires gm_range_chunk_ok(map->slots + at) && map->slots[at].count < GM_RANGE_CHUNK;
    requires \forall integer i; 0 <= i < map->slots[at].count ==>
        map->slots[at].chunk->rest[i].last < base || last < map->slots[at].chunk->base[i];
    assigns map->slots[at].first, map->slots[at].count, *map->slots[at].chunk;
    ensures gm_range_map_valid(map) && gm_range_map_apart(map);
    ensures gm_range_heap_ok(map) && gm_range_counted{Pre, Post}(map);
    ensures map->heap == \old(map->heap) && map->num_chunks == \old(map->num_chunks);
    ensures map->spare_chunk == \old(map->spare_chunk) &&
        map->spare_slots == \old(map->spare_slots);
    ensures gm_range_chunk_ok(map->slots + at);
 */
static void put_in_chunk(gm_range_map_t *map, size_t at, uintptr_t base, uintptr_t last,
                         void *value)
{
    put_in_slot(&map->slots[at], base, last, value);
    //@ assert map->heap == \at(map->heap, Pre) && gm_heap_same{Pre, Here}(map->heap);
    //@ assert map->slots == \at(map->slots, Pre) && map->capacity == \at(map->capacity, Pre);
    /*@ assert \forall integer c; 0 <= c < map->num_chunks ==>
            map->slots[c].chunk == \at(map->slots[c].chunk, Pre);
     */
}

/* Put a range in the spare chunk, after all others. */
/*@ requires gm_range_map_valid(map) && gm_range_map_apart(map) && gm_range_heap_ok(map);
    requires gm_range_chunk_new(map, map->spare_chunk) && base <= last;
    requires map->spare_slots == \null ==> map->num_chunks < map->capacity;
    requires map->spare_slots != \null ==>
        gm_range_slots_new(map, map->spare_slots, map->capacity + 8);
    assigns map->slots, map->num_chunks, map->capacity, map->spare_chunk, map->spare_slots,
        map->heap->blocks, map->heap->bytes,
        map->slots[map->num_chunks .. map->capacity - 1],
        map->spare_slots[0 .. map->num_chunks], *map->spare_chunk;
    ensures gm_range_map_valid(map) && gm_range_map_apart(map);
    ensures gm_range_heap_ok(map) && gm_range_counted{Pre, Post}(map);
    ensures map->spare_chunk == \null && map->spare_slots == \null;
    ensures map->heap == \old(map->heap) && map->num_chunks == \old(map->num_chunks) + 1;
    ensures gm_range_slots_moved{Pre, Post}(map, 0, \old(map->num_chunks), 0);
    ensures gm_range_untouched{Pre, Post}(map, -1);
    ensures map->slots[\old(map->num_chunks)].chunk == \old(map->spare_chunk) &&
        map->slots[\old(map->num_chunks)].count == 1 &&
        map->slots[\old(map->num_chunks)].first == base;
    ensures \old(map->spare_chunk)->base[0] == base &&
        \old(map->spare_chunk)->rest[0].last == last &&
        \old(map->spare_chunk)->rest[0].value == value;
 */
static void append_chunk(gm_range_map_t *map, uintptr_t base, uintptr_t last, void *value)
{
    gm_range_chunk_t *const chunk = map->spare_chunk;
    put_range(chunk, 0, 0, base, last, value);
    //@ assert gm_range_same_chunks{Pre, Here}(map);
    //@ assert gm_range_untouched{Pre, Here}(map, -1);
    //@ assert gm_range_slots_moved{Pre, Here}(map, 0, map->num_chunks, 0);
    //@ assert \separated(chunk, map->slots + (0 .. map->capacity - 1));
    //@ assert \separated(chunk, map->spare_slots + (0 .. map->num_chunks));
    //@ ghost Filled: ;
    add_chunk(map, map->num_chunks, 1);
    /*@ assert chunk->base[0] == \at(chunk->base[0], Filled) &&
            chunk->rest[0].last == \at(chunk->rest[0].last, Filled) &&
            chunk->rest[0].value == \at(chunk->rest[0].value, Filled);
     */
}

/* Put a range in chunk `at`, which is full and is split first. */
/*@ requires gm_range_map_valid(map) && gm_range_map_apart(map) && gm_range_heap_ok(map);
    requires gm_range_chunk_new(map, map->spare_chunk) && base <= last;
    requires map->spare_slots == \null ==> map->num_chunks < map->capacity;
    requires map->spare_slots != \null ==>
        gm_range_slots_new(map, map->spare_slots, map->capacity + 8);
    requires at < map->num_chunks && map->slots[at].count == GM_RANGE_CHUNK;
    requires gm_range_chunk_ok(map->slots + at);
    requires \forall integer i; 0 <= i < GM_RANGE_CHUNK ==>
        map->slots[at].chunk->rest[i].last < base || last < map->slots[at].chunk->base[i];
    assigns map->slots, map->num_chunks, map->capacity, map->spare_chunk, map->spare_slots,
        map->heap->blocks, map->heap->bytes, map->slots[at .. map->capacity - 1],
        map->spare_slots[0 .. map->num_chunks], *map->spare_chunk, *map->slots[at].chunk;
    ensures gm_range_map_valid(map) && gm_range_map_apart(map);
    ensures gm_range_heap_ok(map) && gm_range_counted{Pre, Post}(map);
    ensures map->spare_chunk == \null && map->spare_slots == \null;
    ensures map->heap == \old(map->heap) && map->num_chunks == \old(map->num_chunks) + 1;
 */
static void split_and_put(gm_range_map_t *map, size_t at, uintptr_t base, uintptr_t last,
                          void *value)
{
    //@ ghost gm_range_chunk_t *lower = map->slots[at].chunk;
    //@ ghost gm_range_chunk_t *upper = map->spare_chunk;
    split_chunk(map, at);
    /*@ assert at + 1 < map->num_chunks && map->num_chunks <= map->capacity &&
            \valid(map->slots + (0 .. map->capacity - 1));
     */
    //@ assert map->slots[at].chunk == lower && map->slots[at + 1].chunk == upper;
    /*@ assert \at(map->spare_slots, Pre) == \null ==>
            map->slots == \at(map->slots, Pre) && at + 1 < \at(map->capacity, Pre);
     */
    /*@ assert \at(map->spare_slots, Pre) != \null ==>
            map->slots == \at(map->spare_slots, Pre) && at + 1 <= \at(map->num_chunks, Pre);
     */
    /*@ assert \forall integer i; 0 <= i < GM_RANGE_CHUNK ==>
            lower->base[i] == \at(map->slots[at].chunk->base[i], Pre) &&
            lower->rest[i].last == \at(map->slots[at].chunk->rest[i].last, Pre);
     */
    /*@ assert \forall integer i; 0 <= i < GM_RANGE_CHUNK / 2 ==>
            upper->base[i] == lower->base[i + GM_RANGE_CHUNK / 2] &&
            upper->rest[i].last == lower->rest[i + GM_RANGE_CHUNK / 2].last;
     */
    /*@ assert \forall integer i; 0 <= i < GM_RANGE_CHUNK ==> lower->base[i] <= lower->rest[i].last;
     */
    /*@ assert \forall integer i, j; 0 <= i < j < GM_RANGE_CHUNK ==>
            lower->base[i] < lower->base[j];
     */
    /*@ assert \forall integer i, j; 0 <= i < j < GM_RANGE_CHUNK ==>
            lower->rest[i].last < lower->base[j];
     */
    /*@ assert \forall integer i; 0 <= i < GM_RANGE_CHUNK / 2 ==>
            lower->base[i] <= lower->rest[i].last;
     */
    /*@ assert \forall integer i, j; 0 <= i < j < GM_RANGE_CHUNK / 2 ==>
            lower->base[i] < lower->base[j];
     */
    /*@ assert \forall integer i, j; 0 <= i < j < GM_RANGE_CHUNK / 2 ==>
            lower->rest[i].last < lower->base[j];
     */
    /*@ assert \forall integer i; 0 <= i < GM_RANGE_CHUNK / 2 ==>
            upper->base[i] <= upper->rest[i].last;
     */
    /*@ assert \forall integer i, j; 0 <= i < j < GM_RANGE_CHUNK / 2 ==>
            upper->base[i] < upper->base[j];
     */
    /*@ assert \forall integer i, j; 0 <= i < j < GM_RANGE_CHUNK / 2 ==>
            upper->rest[i].last < upper->base[j];
     */
    //@ assert gm_range_sorted(upper, GM_RANGE_CHUNK / 2);
    //@ assert gm_range_chunk_ok(map->slots + at);
    //@ assert gm_range_chunk_ok(map->slots + (at + 1));
    if (base < map->slots[at + 1].first) {
        put_in_chunk(map, at, base, last, value);
    } else {
        put_in_chunk(map, at + 1, base, last, value);
    }
}

void gm_range_map_insert(gm_range_map_t *map, uintptr_t base, uintptr_t last, void *value)
{
    size_t at = map->at;
    map->num_ranges++;
    //@ assert gm_range_map_valid(map) && gm_range_map_apart(map) && gm_range_heap_ok(map);
    //@ assert gm_range_counted{Pre, Here}(map);
    if (map->spare_chunk == NULL) {
        put_in_chunk(map, at, base, last, value);
        //@ assert gm_range_counted{Pre, Here}(map);
    } else if (at + 1 >= map->num_chunks &&
               (map->num_chunks == 0 || base > map->slots[at].chunk->base[GM_RANGE_CHUNK - 1])) {
        /* after the last range of all it gets a chunk of its own, so that ranges that come in order
         * fill their chunks */
        append_chunk(map, base, last, value);
        //@ assert gm_range_counted{Pre, Here}(map);
    } else {
        split_and_put(map, at, base, last, value);
        //@ assert gm_range_counted{Pre, Here}(map);
    }
}

void gm_range_map_set(gm_range_map_t *map, uintptr_t base, uintptr_t last, void *value)
{
    size_t at = gm_range_chunk_at(map, base);
    gm_range_chunk_t *chunk = map->slots[at].chunk;
    size_t i = gm_range_floor(chunk->base, map->slots[at].count, base);
    //@ assert gm_range_is(map, at, i) && gm_range_base(map, at, i) == base;
    /*@ assert \forall integer c, j; gm_range_is(map, c, j) && gm_range_base(map, c, j) == base ==>
            c == at && j == i;
     */
    /*@ assert \forall integer c, j; gm_range_is(map, c, j) && c < at ==>
            gm_range_last(map, c, j) < base;
     */
    /*@ assert \forall integer c; 0 <= c < map->num_chunks && c != at ==>
            \separated(map->slots[c].chunk, chunk);
     */
    //@ assert \forall integer k; i < k < map->slots[at].count ==> last < chunk->base[k];
    /*@ assert \forall integer c; at < c < map->num_chunks ==>
            gm_range_is(map, c, 0) && last < map->slots[c].first;
     */
    change_range(&map->slots[at], i, last, value);
    //@ assert gm_range_same_chunks{Pre, Here}(map);
    /*@ assert \forall integer c, j; 0 <= c < map->num_chunks && 0 <= j < GM_RANGE_CHUNK ==>
            map->slots[c].chunk->base[j] == \at(map->slots[c].chunk->base[j], Pre);
     */
    /*@ assert \forall integer c, j; 0 <= c < map->num_chunks && c != at &&
            0 <= j < GM_RANGE_CHUNK ==>
            map->slots[c].chunk->rest[j].last == \at(map->slots[c].chunk->rest[j].last, Pre) &&
            map->slots[c].chunk->rest[j].value == \at(map->slots[c].chunk->rest[j].value, Pre);
     */
    //@ assert gm_range_map_valid(map);
    /*@ assert \forall integer c; 0 <= c < map->num_chunks && c != at ==>
            gm_range_chunk_ok(map->slots + c);
     */
    /*@ assert \forall integer c, d, j; gm_range_is(map, c, j) && c < d < map->num_chunks &&
            c != at ==> gm_range_last(map, c, j) < map->slots[d].first;
     */
    /*@ assert \forall integer d, j; gm_range_is(map, at, j) && at < d < map->num_chunks ==>
            gm_range_last(map, at, j) < map->slots[d].first;
     */
    //@ assert gm_range_map_ordered(map);
}

/* Take the i-th range of a chunk that has more. */
/*@ requires \valid(slot) && \valid(slot->chunk) && \separated(slot, slot->chunk);
    requires gm_range_chunk_ok(slot) && i < slot->count && slot->count > 1;
    assigns slot->first, slot->count, *slot->chunk;
    ensures gm_range_chunk_ok(slot) && slot->count == \old(slot->count) - 1;
    ensures \forall integer j; 0 <= j < i ==>
        slot->chunk->base[j] == \old(slot->chunk->base[j]) &&
        slot->chunk->rest[j].last == \old(slot->chunk->rest[j].last) &&
        slot->chunk->rest[j].value == \old(slot->chunk->rest[j].value);
    ensures \forall integer j; i <= j < slot->count ==>
        slot->chunk->base[j] == \old(slot->chunk->base[j + 1]) &&
        slot->chunk->rest[j].last == \old(slot->chunk->rest[j + 1].last) &&
        slot->chunk->rest[j].value == \old(slot->chunk->rest[j + 1].value);
 */
static void remove_from_slot(gm_range_slot_t *slot, size_t i)
{
    gm_range_chunk_t *chunk = slot->chunk;
    size_t count = slot->count;
    remove_range(chunk, count, i);
    slot->first = chunk->base[0];
    slot->count = count - 1;
    //@ assert gm_range_sorted(slot->chunk, slot->count);
}

bool gm_range_map_remove(gm_range_map_t *map, uintptr_t base)
{
    if (map->num_chunks == 0) {
        return false;
    }
    size_t num_chunks = map->num_chunks;
    size_t at = gm_range_chunk_at(map, base);
    const gm_range_slot_t *slot = &map->slots[at];
    size_t i = gm_range_floor(slot->chunk->base, slot->count, base);
    if (slot->chunk->base[i] != base) {
        return false;
    }
    map->num_ranges--;
    if (slot->count == 1) {
        remove_chunk(map, at);
    } else {
        remove_from_slot(&map->slots[at], i);
        merge_with_next(map, at);
    }
    if (at > 0) {
        merge_with_next(map, at - 1);
    }
    if (map->num_chunks < num_chunks) {
        shrink_slots(map);
    }
    return true;
}

/* Copy a chunk's i-th range. */
/*@ requires \valid_read(chunk) && i < GM_RANGE_CHUNK && \valid(range);
    assigns *range;
    ensures range->base == \old(chunk->base[i]) && range->last == \old(chunk->rest[i].last) &&
        range->value == \old(chunk->rest[i].value);
 */
static void read_range(const gm_range_chunk_t *chunk, size_t i, gm_range_t *range)
{
    uintptr_t base = chunk->base[i];
    uintptr_t last = chunk->rest[i].last;
    void *value = chunk->rest[i].value;
    range->base = base;
    range->last = last;
    range->value = value;
}

bool gm_range_map_previous(const gm_range_map_t *map, uintptr_t address, gm_range_t *range)
{
    if (map->num_chunks == 0 || address < map->slots[0].first) {
        /*@ assert \forall integer c, i; gm_range_is(map, c, i) ==>
                address < gm_range_base(map, c, i);
         */
        return false;
    }
    size_t at = gm_range_chunk_at(map, address);
    const gm_range_slot_t *slot = &map->slots[at];
    size_t i = gm_range_floor(slot->chunk->base, slot->count, address);
    //@ assert gm_range_is(map, at, i) && gm_range_base(map, at, i) <= address;
    /*@ assert \forall integer d, j; gm_range_is(map, d, j) &&
            gm_range_base(map, d, j) <= address ==>
            gm_range_base(map, d, j) <= gm_range_base(map, at, i);
     */
    /*@ assert \forall integer d, j; gm_range_is(map, d, j) &&
            gm_range_base(map, d, j) <= address && address <= gm_range_last(map, d, j) ==>
            d == at && j == i;
     */
    read_range(slot->chunk, i, range);
    //@ assert gm_range_copied{Pre, Here}(map, at, i, range);
    /*@ assert \forall integer d, j; \at(gm_range_is(map, d, j), Pre) &&
            \at(gm_range_base(map, d, j), Pre) <= address &&
            address <= \at(gm_range_last(map, d, j), Pre) ==>
            range->last == \at(gm_range_last(map, d, j), Pre) &&
            range->value == \at(map->slots[d].chunk->rest[j].value, Pre);
     */
    return true;
}

bool gm_range_map_next(const gm_range_map_t *map, uintptr_t address, gm_range_t *range)
{
    if (map->num_chunks == 0) {
        return false;
    }
    size_t at = gm_range_chunk_at(map, address);
    size_t i = count_up_to(&map->slots[at], address);
    if (i > 0 && map->slots[at].chunk->rest[i - 1].last >= address) {
        i--;
    } else if (i == map->slots[at].count) {
        i = 0;
        at++;
        if (at == map->num_chunks) {
            return false;
        }
    }
    const gm_range_slot_t *slot = &map->slots[at];
    //@ assert gm_range_is(map, at, i) && address <= gm_range_last(map, at, i);
    /*@ assert \forall integer d, j; gm_range_is(map, d, j) &&
            address <= gm_range_last(map, d, j) ==>
            gm_range_base(map, at, i) <= gm_range_base(map, d, j);
     */
    read_range(slot->chunk, i, range);
    //@ assert gm_range_copied{Pre, Here}(map, at, i, range);
    /*@ assert \forall integer d, j;
            \at(gm_range_is(map, d, j) && address <= gm_range_last(map, d, j), Pre) ==>
            range->base <= \at(gm_range_base(map, d, j), Pre);
     */
    return true;
}
