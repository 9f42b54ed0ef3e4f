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
#include "range_map.h"
#include "range_map_parts.h"
#include "test_heap.h"

#define SLOTS 1000 /* each of SLOT bytes of address space, with at most one range */
#define SLOT  16

/* What fills a leaf, and a branch of full leaves; see range_map_parts.h. */
static const uintptr_t full_sizes[] = {RANGE_MAP_LEAF, RANGE_MAP_LEAF *RANGE_MAP_BRANCH};

#define NUM_FULL_SIZES (sizeof(full_sizes) / sizeof(full_sizes[0]))

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
    const range_map_item_t *item = range_map_item(map, address);
    assert_int_equal(item != NULL, previous >= 0);
    if (previous >= 0) {
        assert_ptr_equal(item->value, &model->base[previous]);
        assert_int_equal(item->last, model->last[previous]);
    }
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
    assert_ptr_equal(range_map_item(&map, UINTPTR_MAX)->value, &map);
    assert_false(range_map_find(&map, UINTPTR_MAX - 1, &entry));
    assert_ptr_equal(range_map_item(&map, UINTPTR_MAX - 1)->value, &heap);
    assert_true(range_map_overlap(&map, 1, UINTPTR_MAX, &entry));
    assert_int_equal(entry.base, UINTPTR_MAX);
    assert_false(range_map_overlap(&map, 1, UINTPTR_MAX - 1, &entry));
    range_map_destroy(&map);
    assert_int_equal(heap.blocks, 0);
}

/* In each state of a random life: growing, shrinking, and with holes that leave leaves small. */
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

        /* Runs of changes at neighbouring addresses fill and empty whole leaves. */
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

/* Two full ones, of which one loses all but one: the smallest that neighbours may be. */
static void one_range_or_leaf_beside_full_ones_is_stable(void **state)
{
    (void)state;
    for (size_t size = 0; size < NUM_FULL_SIZES; size++) {
        uintptr_t full = full_sizes[size];
        test_heap_t test_heap = {0};
        heap_t heap = test_heap_make(&test_heap);
        range_map_t map;
        range_map_init(&map, &heap);
        for (uintptr_t i = 0; i < 3 * full; i++) {
            insert(&map, 4 * i, 4 * i, NULL);
        }
        for (uintptr_t i = 1; i < full; i++) {
            assert_true(range_map_remove(&map, 4 * i));
            assert_true(range_map_remove(&map, 4 * (3 * full - i)));
        }
        for (uintptr_t i = 0; i < 3 * full; i++) {
            size_t bytes = heap.bytes;
            insert(&map, 4 * i + 1, 4 * i + 1, NULL);
            assert_true(range_map_remove(&map, 4 * i + 1));
            assert_int_equal(heap.bytes, bytes);
        }
        range_map_destroy(&map);
        assert_int_equal(heap.blocks, 0);
    }
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

static void what_is_between_full_ones_may_become_empty(void **state)
{
    (void)state;
    for (size_t size = 0; size < NUM_FULL_SIZES; size++) {
        uintptr_t full = full_sizes[size];
        test_heap_t test_heap = {0};
        heap_t heap = test_heap_make(&test_heap);
        range_map_entry_t entry;
        range_map_t map;
        range_map_init(&map, &heap);
        for (uintptr_t i = 0; i < 3 * full; i++) {
            insert(&map, i, i, NULL);
        }
        for (uintptr_t i = 0; i < 3 * full; i++) {
            uintptr_t at = (i + full) % (3 * full);
            assert_true(range_map_remove(&map, at));
            assert_false(range_map_remove(&map, at));
            assert_false(range_map_find(&map, at, &entry));
            assert_int_equal(map.num_ranges, 3 * full - i - 1);
        }
        assert_int_equal(heap.blocks, 0);
    }
}

/* The bound of a branch's gaps comes along when a gap moves to another branch: first fit, which
 * skips branches by that bound, finds what looking at each range finds. */
static void a_gap_is_found_whatever_branch_it_moved_to(void **state)
{
    (void)state;
    enum { PLACES = 4000 };
    test_heap_t test_heap = {0};
    heap_t heap = test_heap_make(&test_heap);
    range_map_entry_t gap;
    range_map_t map;
    bool *present = calloc(PLACES, sizeof(*present));
    range_map_init(&map, &heap);
    for (uint32_t step = 0; step < 30000; step++) {
        /* Crowds that grow and shrink move ranges over the borders of branches. */
        uint32_t i = (random_below(PLACES / 8) + step / 2000 % 8 * (PLACES / 8)) % PLACES;
        bool grow = step % 7000 < 5000;
        if (present[i] != grow) {
            present[i] = grow;
            if (grow) {
                /* Every 50th leaves a larger gap behind. */
                insert(&map, 4 * (uintptr_t)i, 4 * (uintptr_t)i + (i % 50 == 0 ? 0 : 2), NULL);
            } else {
                assert_true(range_map_remove(&map, 4 * (uintptr_t)i));
            }
        }
        if (step % 4 == 0) {
            uintptr_t size = 2 + random_below(9);
            uintptr_t free_from = 0;
            for (uint32_t at = 0; at < PLACES; at++) {
                if (present[at]) {
                    if (4 * (uintptr_t)at >= free_from + size) {
                        break;
                    }
                    free_from = 4 * (uintptr_t)at + (at % 50 == 0 ? 1 : 3);
                }
            }
            assert_true(range_map_gap(&map, 0, size, &gap));
            assert_int_equal(gap.base, free_from);
        }
    }
    range_map_destroy(&map);
    assert_int_equal(heap.blocks, 0);
    free(present);
}

static void ascending_ranges_fill_the_memory_that_they_take(void **state)
{
    (void)state;
    test_heap_t test_heap = {0};
    heap_t heap = test_heap_make(&test_heap);
    range_map_t map;
    range_map_init(&map, &heap);
    for (uintptr_t i = 0; i < 100000; i++) {
        insert(&map, 2 * i, 2 * i, NULL);
    }
    assert_true(heap.bytes <= map.num_ranges * 3 * sizeof(uintptr_t) * 9 / 8);
    range_map_destroy(&map);
}

/* An item with a part of the owner's. */
typedef struct owned {
    range_map_item_t range;
    uintptr_t twice, thrice, own;
} owned_t;

/* The item of a base, if its range is there. */
static owned_t *item_of(const range_map_t *map, uintptr_t base)
{
    range_map_entry_t entry;
    return range_map_find(map, base, &entry) && entry.base == base
               ? (owned_t *)range_map_item(map, base)
               : NULL;
}

static void an_item_keeps_what_its_owner_wrote_wherever_it_moves(void **state)
{
    (void)state;
    test_heap_t test_heap = {0};
    heap_t heap = test_heap_make(&test_heap);
    range_map_t map;
    range_map_init_items(&map, &heap, sizeof(owned_t));
    bool *present = calloc(SLOTS, sizeof(*present));
    for (int step = 0; step < 20000; step++) {
        uintptr_t i = random_below(SLOTS);
        if (!present[i]) {
            assert_int_equal(range_map_prepare(&map, i), 0);
            owned_t *item = (owned_t *)range_map_insert(&map, i, i, &map);
            item->own = 0;
            item->twice = 2 * i;
            item->thrice = 3 * i;
            present[i] = true;
        } else if (step % 8000 > 4000) {
            assert_true(range_map_remove(&map, i));
            present[i] = false;
        } else {
            item_of(&map, i)->own++;
        }
        uintptr_t other = random_below(SLOTS);
        const owned_t *item = item_of(&map, other);
        assert_int_equal(item != NULL, present[other]);
        assert_true(item == NULL || (item->range.last == other && item->range.value == &map &&
                                     item->twice == 2 * other && item->thrice == 3 * other));
    }
    range_map_destroy(&map);
    assert_int_equal(heap.blocks, 0);
    free(present);
}

/* Most are crowded where the guide has one part for all of them, and that moves on. */
static void crowds_and_lonely_ranges_are_found_alike(void **state)
{
    (void)state;
    enum { CROWD = 3000 };
    static const uintptr_t crowds[] = {UINTPTR_MAX / 2, 3, UINTPTR_MAX - 8 * CROWD, 1u << 20};
    test_heap_t test_heap = {0};
    heap_t heap = test_heap_make(&test_heap);
    range_map_entry_t entry;
    range_map_t map;
    range_map_init(&map, &heap);
    for (size_t c = 0; c < sizeof(crowds) / sizeof(crowds[0]); c++) {
        for (uintptr_t i = 0; i < CROWD; i++) {
            uintptr_t base = crowds[c] + 2 * ((i * 1009) % CROWD);
            insert(&map, base, base, NULL);
        }
        for (size_t seen = 0; seen <= c; seen++) {
            for (uintptr_t i = 0; i < CROWD; i++) {
                uintptr_t base = crowds[seen] + 2 * i;
                assert_true(range_map_find(&map, base, &entry));
                assert_int_equal(entry.base, base);
                assert_false(range_map_find(&map, base + 1, &entry));
            }
            assert_false(range_map_find(&map, crowds[seen] - 1, &entry));
            assert_true(range_map_next(&map, crowds[seen] - 1, &entry));
            assert_int_equal(entry.base, crowds[seen]);
        }
        assert_null(range_map_item(&map, 0));
    }
    for (size_t c = 0; c < sizeof(crowds) / sizeof(crowds[0]); c++) {
        for (uintptr_t i = 0; i < CROWD; i++) {
            assert_true(range_map_remove(&map, crowds[c] + 2 * i));
        }
    }
    assert_int_equal(heap.blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_agree_with_a_flat_list),
        cmocka_unit_test(the_top_of_the_address_space_is_an_address_like_others),
        cmocka_unit_test(insert_then_remove_gives_back_the_same_memory),
        cmocka_unit_test(one_range_or_leaf_beside_full_ones_is_stable),
        cmocka_unit_test(half_of_the_memory_of_a_map_holds_ranges_at_least),
        cmocka_unit_test(a_prepare_that_fails_changes_nothing),
        cmocka_unit_test(removal_works_where_the_heap_has_nothing),
        cmocka_unit_test(what_is_between_full_ones_may_become_empty),
        cmocka_unit_test(a_gap_is_found_whatever_branch_it_moved_to),
        cmocka_unit_test(ascending_ranges_fill_the_memory_that_they_take),
        cmocka_unit_test(an_item_keeps_what_its_owner_wrote_wherever_it_moves),
        cmocka_unit_test(crowds_and_lonely_ranges_are_found_alike),
    };
    return cmocka_run_group_tests_name("range_map", tests, NULL, NULL);
}
