/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The range map against the simplest model there is: an array that is searched from end to end. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "range_alloc.h"
#include "range_map.h"
#include "test_heap.h"

#define SLOTS 1000 /* each of SLOT bytes of address space, with at most one range */
#define SLOT  16

typedef struct model {
    bool present[SLOTS];
    uintptr_t base[SLOTS];
    uintptr_t last[SLOTS];
} model_t;

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)random_state * n) >> 32);
}

static void insert(range_map_t *map, uintptr_t base, uintptr_t last, void *value)
{
    assert_int_equal(range_map_prepare(map, base), 0);
    range_map_insert(map, base, last, value);
}

static void check_against_model(const range_map_t *map, const model_t *model, uintptr_t address)
{
    range_map_entry_t entry;
    int holder = -1;
    int next = -1;
    int previous = -1;
    for (int i = 0; i < SLOTS; i++) {
        if (model->present[i] && model->base[i] <= address) {
            previous = i;
        }
        if (model->present[i] && model->base[i] <= address && address <= model->last[i]) {
            holder = i;
        }
        if (model->present[i] && model->last[i] >= address && next < 0) {
            next = i;
        }
    }
    assert_int_equal(range_map_find(map, address, &entry), holder >= 0);
    if (holder >= 0) {
        assert_int_equal(entry.base, model->base[holder]);
        assert_int_equal(entry.last, model->last[holder]);
        assert_ptr_equal(entry.value, &model->base[holder]);
    }
    assert_int_equal(range_map_next(map, address, &entry), next >= 0);
    if (next >= 0) {
        assert_int_equal(entry.base, model->base[next]);
    }
    assert_int_equal(range_map_previous(map, address, &entry), previous >= 0);
    if (previous >= 0) {
        assert_int_equal(entry.base, model->base[previous]);
    }
    assert_ptr_equal(range_map_value_below(map, address),
                     previous >= 0 ? &model->base[previous] : NULL);
}

/* The lowest gap of `size` bytes or more, by looking at each range. */
static bool gap_of_model(const model_t *model, uintptr_t from, uintptr_t size, uintptr_t *base)
{
    uintptr_t candidate = from;
    for (int i = 0; i < SLOTS; i++) {
        if (model->present[i] && model->last[i] >= candidate) {
            if (model->base[i] > candidate && model->base[i] - candidate >= size) {
                break;
            }
            candidate = model->last[i] + 1;
        }
    }
    *base = candidate;
    return UINTPTR_MAX - candidate >= size - 1;
}

static void check_gap(const range_map_t *map, const model_t *model, uintptr_t from, uintptr_t size)
{
    uintptr_t base;
    range_map_entry_t gap;
    assert_int_equal(range_map_gap(map, from, size, &gap), gap_of_model(model, from, size, &base));
    assert_int_equal(gap.base, base);
    assert_true(gap.last - gap.base >= size - 1);
    range_map_entry_t next;
    if (range_map_next(map, gap.base, &next)) {
        assert_int_equal(gap.last, next.base - 1);
    } else {
        assert_int_equal(gap.last, UINTPTR_MAX);
    }
}

static void random_changes_agree_with_a_flat_list(void **state)
{
    (void)state;
    test_heap_t test_heap = {0};
    heap_t heap = test_heap_make(&test_heap);
    model_t *model = calloc(1, sizeof(*model));
    range_map_t map;
    range_map_init(&map, &heap);
    for (int step = 0; step < 60000; step++) {
        uint32_t i = random_below(SLOTS);
        if (!model->present[i]) {
            model->base[i] = (uintptr_t)i * SLOT + random_below(SLOT / 2);
            model->last[i] = model->base[i] + random_below(SLOT / 2);
            insert(&map, model->base[i], model->last[i], &model->base[i]);
            model->present[i] = true;
        } else if (step % 20000 < 12000 ? random_below(4) == 0 : true) {
            assert_true(range_map_remove(&map, model->base[i]));
            model->present[i] = false;
        }
        check_against_model(&map, model, random_below(SLOTS * SLOT));
        check_gap(&map, model, random_below(SLOTS * SLOT), 1 + random_below(6 * SLOT));
    }
    for (int i = 0; i < SLOTS; i++) {
        assert_int_equal(range_map_remove(&map, model->base[i]), model->present[i]);
    }
    assert_int_equal(heap.blocks, 0);
    assert_int_equal(heap.bytes, 0);
    free(model);
}

static void the_top_of_the_address_space_is_an_address_like_others(void **state)
{
    (void)state;
    test_heap_t test_heap = {0};
    heap_t heap = test_heap_make(&test_heap);
    range_map_t map;
    range_map_entry_t entry;
    range_map_init(&map, &heap);
    insert(&map, UINTPTR_MAX, UINTPTR_MAX, &map);
    insert(&map, 0, 0, &heap);
    assert_true(range_map_find(&map, UINTPTR_MAX, &entry));
    assert_ptr_equal(entry.value, &map);
    assert_false(range_map_find(&map, UINTPTR_MAX - 1, &entry));
    assert_true(range_map_overlap(&map, 1, UINTPTR_MAX, &entry));
    assert_int_equal(entry.base, UINTPTR_MAX);
    assert_false(range_map_overlap(&map, 1, UINTPTR_MAX - 1, &entry));
    range_map_destroy(&map);
    assert_int_equal(heap.blocks, 0);
}

/* In each state of a random life: growing, shrinking, and with holes that leave chunks small. */
static void insert_then_remove_gives_back_the_same_memory(void **state)
{
    (void)state;
    test_heap_t test_heap = {0};
    heap_t heap = test_heap_make(&test_heap);
    bool *present = calloc(2 * SLOTS, sizeof(*present));
    range_map_t map;
    range_map_init(&map, &heap);
    for (uintptr_t step = 0; step < 40000; step++) {
        size_t bytes = heap.bytes;
        size_t blocks = heap.blocks;
        uintptr_t odd = 2 * random_below(2 * SLOTS) + 1;
        insert(&map, odd, odd, NULL);
        assert_true(range_map_remove(&map, odd));
        assert_int_equal(heap.bytes, bytes);
        assert_int_equal(heap.blocks, blocks);

        /* Runs of changes at neighbouring addresses fill and empty whole chunks. */
        uintptr_t i = (random_below(2 * SLOTS) + step % 64) % (2 * SLOTS);
        bool grow = step % 10000 < 6000;
        for (uintptr_t end = i + random_below(80); i < end && i < 2 * SLOTS; i++) {
            if (present[i] != grow) {
                present[i] = grow;
                if (grow) {
                    insert(&map, 2 * i, 2 * i, NULL);
                } else {
                    assert_true(range_map_remove(&map, 2 * i));
                }
            }
        }
    }
    range_map_destroy(&map);
    assert_int_equal(heap.blocks, 0);
    free(present);
}

/* Two full chunks, of which one loses all but one: the smallest that neighbours may be. */
static void a_chunk_of_one_range_beside_a_full_one_is_stable(void **state)
{
    (void)state;
    test_heap_t test_heap = {0};
    heap_t heap = test_heap_make(&test_heap);
    range_map_t map;
    range_map_init(&map, &heap);
    for (uintptr_t i = 0; i < 192; i++) {
        insert(&map, 4 * i, 4 * i, NULL);
    }
    for (uintptr_t i = 1; i < 64; i++) {
        assert_true(range_map_remove(&map, 4 * i));
        assert_true(range_map_remove(&map, 4 * (192 - i)));
    }
    for (uintptr_t i = 0; i < 192; i++) {
        size_t bytes = heap.bytes;
        insert(&map, 4 * i + 1, 4 * i + 1, NULL);
        assert_true(range_map_remove(&map, 4 * i + 1));
        assert_int_equal(heap.bytes, bytes);
    }
    range_map_destroy(&map);
    assert_int_equal(heap.blocks, 0);
}

static void half_of_the_memory_of_a_map_holds_ranges_at_least(void **state)
{
    (void)state;
    test_heap_t test_heap = {0};
    heap_t heap = test_heap_make(&test_heap);
    range_map_t map;
    range_map_init(&map, &heap);
    for (uintptr_t i = 0; i < 10007; i++) {
        insert(&map, 2 * ((i * 5003) % 10007), 2 * ((i * 5003) % 10007), NULL);
        if (i > 1000) {
            assert_true(heap.bytes <= 2 * map.num_ranges * 3 * sizeof(uintptr_t));
        }
    }
    range_map_destroy(&map);
}

static void a_prepare_that_fails_changes_nothing(void **state)
{
    (void)state;
    test_heap_t test_heap = {0};
    heap_t heap = test_heap_make(&test_heap);
    range_map_t map;
    range_map_init(&map, &heap);
    int failures = 0;
    for (uintptr_t i = 0; i < 500; i++) {
        size_t bytes = heap.bytes;
        for (int k = 1; k <= 2; k++) {
            test_heap.fail_at = k;
            if (range_map_prepare(&map, i) != 0) {
                failures++;
                assert_int_equal(heap.bytes, bytes);
            } else {
                range_map_cancel(&map);
                assert_int_equal(heap.bytes, bytes);
            }
            test_heap.fail_at = 0;
        }
        insert(&map, i, i, NULL);
    }
    assert_true(failures > 10);
    range_map_destroy(&map);
    assert_int_equal(heap.blocks, 0);
}

static void removal_works_where_the_heap_has_nothing(void **state)
{
    (void)state;
    test_heap_t test_heap = {0};
    heap_t heap = test_heap_make(&test_heap);
    range_map_t map;
    range_map_entry_t entry;
    range_map_init(&map, &heap);
    for (uintptr_t i = 0; i < 1000; i++) {
        insert(&map, i, i, NULL);
    }
    test_heap.always_fail = true;
    for (uintptr_t i = 0; i < 1000; i++) {
        assert_true(range_map_remove(&map, i));
        assert_int_equal(range_map_next(&map, 0, &entry), i < 999);
    }
    assert_int_equal(heap.blocks, 0);
}

/* Chunks have room for 64 ranges; see range_map.c. */
static void a_chunk_between_full_ones_may_become_empty(void **state)
{
    (void)state;
    enum { FULL = 64 };
    test_heap_t test_heap = {0};
    heap_t heap = test_heap_make(&test_heap);
    range_map_entry_t entry;
    range_map_t map;
    range_map_init(&map, &heap);
    /* Ascending inserts leave half-full chunks; those between fill them. */
    for (uintptr_t i = 0; i < 3 * FULL; i += 2) {
        insert(&map, i, i, NULL);
    }
    for (uintptr_t i = 1; i < 3 * FULL; i += 2) {
        insert(&map, i, i, NULL);
    }
    for (uintptr_t i = 0; i < 3 * FULL; i++) {
        uintptr_t at = (i + FULL / 2) % (3 * FULL);
        assert_true(range_map_remove(&map, at));
        assert_false(range_map_remove(&map, at));
        assert_false(range_map_find(&map, at, &entry));
        assert_int_equal(map.num_ranges, 3 * FULL - i - 1);
    }
    assert_int_equal(heap.blocks, 0);
}

static void first_fit_takes_the_lowest_aligned_gap(void **state)
{
    (void)state;
    test_heap_t test_heap = {0};
    heap_t heap = test_heap_make(&test_heap);
    range_map_t map;
    range_alloc_t span;
    uintptr_t base;
    range_map_init(&map, &heap);
    range_alloc_init(&span, 0x10000, 0x1ffff);
    assert_true(range_alloc_find(&span, &map, 0x1000, 0x1000, &base));
    assert_int_equal(base, 0x10000);
    insert(&map, 0x10000, 0x10fff, NULL);
    range_alloc_take(&span, 0x10000, 0x1000);
    insert(&map, 0x12000, 0x12001, NULL); /* takes its whole page */
    assert_true(range_alloc_find(&span, &map, 0x1000, 0x1000, &base));
    assert_int_equal(base, 0x11000);
    assert_true(range_alloc_find(&span, &map, 0x2000, 0x1000, &base));
    assert_int_equal(base, 0x13000);
    assert_true(range_alloc_find(&span, &map, 0x2000, 0x4000, &base));
    assert_int_equal(base, 0x14000);
    assert_false(range_alloc_find(&span, &map, 0xe000, 0x1000, &base));
    assert_true(range_alloc_find(&span, &map, 0xd000, 0x1000, &base));
    assert_false(range_alloc_find(&span, &map, 0x1000, 0x100000, &base));
    assert_true(range_map_remove(&map, 0x10000));
    range_alloc_free(&span, 0x10000);
    assert_true(range_alloc_find(&span, &map, 0x2000, 0x1000, &base));
    assert_int_equal(base, 0x10000);
    range_map_destroy(&map);
}

static void first_fit_finds_the_one_gap_among_many_that_are_too_small(void **state)
{
    (void)state;
    test_heap_t test_heap = {0};
    heap_t heap = test_heap_make(&test_heap);
    range_map_t map;
    range_alloc_t span;
    uintptr_t base;
    range_map_init(&map, &heap);
    range_alloc_init(&span, 0, 0x2000 * 1000 - 1);
    for (uintptr_t i = 0; i < 1000; i++) {
        insert(&map, 0x2000 * i, 0x2000 * i + 0xfff, NULL);
    }
    for (int search = 0; search < 2; search++) { /* the second knows where not to look */
        assert_false(range_alloc_find(&span, &map, 0x2000, 0x1000, &base));
        assert_true(range_alloc_find(&span, &map, 0x1000, 0x1000, &base));
        assert_int_equal(base, 0x1000);
    }
    for (uintptr_t i = 7; i < 1000; i += 61) {
        assert_true(range_map_remove(&map, 0x2000 * i));
        range_alloc_free(&span, 0x2000 * i);
        assert_true(range_alloc_find(&span, &map, 0x2000, 0x1000, &base));
        assert_int_equal(base, 0x2000 * i - 0x1000);
        assert_true(range_alloc_find(&span, &map, 0x2000, 0x2000, &base));
        assert_int_equal(base, 0x2000 * i);
        assert_false(range_alloc_find(&span, &map, 0x4000, 0x1000, &base));
        insert(&map, 0x2000 * i, 0x2000 * i + 0xfff, NULL);
    }
    range_map_destroy(&map);
}

static void first_fit_passes_gaps_that_alignment_makes_too_small(void **state)
{
    (void)state;
    test_heap_t test_heap = {0};
    heap_t heap = test_heap_make(&test_heap);
    range_map_t map;
    range_alloc_t span;
    uintptr_t base;
    range_map_init(&map, &heap);
    range_alloc_init(&span, 0x11000, 0x1ffff);
    insert(&map, 0x15000, 0x15fff, NULL);
    assert_true(range_alloc_find(&span, &map, 0x2000, 0x2000, &base));
    assert_int_equal(base, 0x12000);
    /* 0x14000 lies in the first gap, but 0x2000 bytes from there do not. */
    assert_true(range_alloc_find(&span, &map, 0x2000, 0x4000, &base));
    assert_int_equal(base, 0x18000);
    /* Aligned, the first gap is empty. */
    assert_true(range_alloc_find(&span, &map, 0x1000, 0x8000, &base));
    assert_int_equal(base, 0x18000);
    insert(&map, 0x18000, 0x1ffff, NULL);
    assert_false(range_alloc_find(&span, &map, 0x1000, 0x8000, &base));
    assert_false(range_alloc_find(&span, &map, 0x1000, (uintptr_t)1 << 63, &base));
    /* Nothing is so aligned above the middle of the address space. */
    range_alloc_init(&span, ((uintptr_t)1 << 63) + 0x1000, UINTPTR_MAX);
    assert_false(range_alloc_find(&span, &map, 0x1000, (uintptr_t)1 << 63, &base));
    range_map_destroy(&map);
}

static void first_fit_ends_at_the_top_of_the_address_space(void **state)
{
    (void)state;
    test_heap_t test_heap = {0};
    heap_t heap = test_heap_make(&test_heap);
    range_map_t map;
    range_alloc_t span;
    uintptr_t base;
    uintptr_t top_page = UINTPTR_MAX - 0xfff;
    range_map_init(&map, &heap);
    range_alloc_init(&span, top_page, UINTPTR_MAX);
    assert_true(range_alloc_find(&span, &map, 0x1000, 0x1000, &base));
    assert_int_equal(base, top_page);
    assert_false(range_alloc_find(&span, &map, 0x2000, 0x1000, &base));
    insert(&map, top_page, top_page, NULL);
    range_alloc_take(&span, top_page, 0x1000);
    assert_false(range_alloc_find(&span, &map, 0x1000, 0x1000, &base));
    range_map_destroy(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_agree_with_a_flat_list),
        cmocka_unit_test(the_top_of_the_address_space_is_an_address_like_others),
        cmocka_unit_test(insert_then_remove_gives_back_the_same_memory),
        cmocka_unit_test(a_chunk_of_one_range_beside_a_full_one_is_stable),
        cmocka_unit_test(half_of_the_memory_of_a_map_holds_ranges_at_least),
        cmocka_unit_test(a_prepare_that_fails_changes_nothing),
        cmocka_unit_test(removal_works_where_the_heap_has_nothing),
        cmocka_unit_test(a_chunk_between_full_ones_may_become_empty),
        cmocka_unit_test(first_fit_takes_the_lowest_aligned_gap),
        cmocka_unit_test(first_fit_finds_the_one_gap_among_many_that_are_too_small),
        cmocka_unit_test(first_fit_passes_gaps_that_alignment_makes_too_small),
        cmocka_unit_test(first_fit_ends_at_the_top_of_the_address_space),
    };
    return cmocka_run_group_tests_name("range_map", tests, NULL, NULL);
}
