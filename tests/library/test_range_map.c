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
#include "range_model.h"
#include "test_heap.h"

#define SLOTS MODEL_SLOTS
#define SLOT  MODEL_SLOT_SIZE

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)random_state * n) >> 32);
}

static void insert(gm_range_map_t *map, uintptr_t base, uintptr_t last, void *value)
{
    assert_int_equal(gm_range_map_prepare(map, base), 0);
    gm_range_map_insert(map, base, last, value);
}

static void check_against_model(const gm_range_map_t *map, const model_t *model, uintptr_t address)
{
    gm_range_t entry;
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
    assert_ptr_equal(gm_range_map_get(map, address), holder >= 0 ? &model->base[holder] : NULL);
    assert_int_equal(gm_range_map_next(map, address, &entry), next >= 0);
    if (next >= 0) {
        assert_int_equal(entry.base, model->base[next]);
    }
    assert_int_equal(gm_range_map_previous(map, address, &entry), previous >= 0);
    if (previous >= 0) {
        assert_int_equal(entry.base, model->base[previous]);
        assert_int_equal(entry.last, model->last[previous]);
    }
}

static void random_changes_agree_with_a_flat_list(void **state)
{
    test_heap_t test_heap = {0};
    gm_heap_t heap = test_heap_make(&test_heap);
    model_t *model = calloc(1, sizeof(*model));
    gm_range_map_t map;
    gm_range_map_init(&map, &heap);
    for (int step = 0; step < 60000; step++) {
        uint32_t i = random_below(SLOTS);
        if (!model->present[i]) {
            model->base[i] = (uintptr_t)i * SLOT + random_below(SLOT / 2);
            model->last[i] = model->base[i] + random_below(SLOT / 2);
            insert(&map, model->base[i], model->last[i], &model->base[i]);
            model->present[i] = true;
        } else if (step % 20000 < 12000 ? random_below(4) == 0 : true) {
            assert_true(gm_range_map_remove(&map, model->base[i]));
            model->present[i] = false;
        }
        check_against_model(&map, model, random_below(SLOTS * SLOT));
        assert_true(step % 16 != 0 || model_agrees(model, &map));
    }
    for (int i = 0; i < SLOTS; i++) {
        assert_int_equal(gm_range_map_remove(&map, model->base[i]), model->present[i]);
    }
    assert_int_equal(heap.blocks, 0);
    assert_int_equal(heap.bytes, 0);
    free(model);
}

static void the_top_of_the_address_space_is_an_address_like_others(void **state)
{
    test_heap_t test_heap = {0};
    gm_heap_t heap = test_heap_make(&test_heap);
    gm_range_map_t map;
    gm_range_t entry;
    gm_range_map_init(&map, &heap);
    insert(&map, UINTPTR_MAX, UINTPTR_MAX, &map);
    insert(&map, 0, 0, &heap);
    assert_ptr_equal(gm_range_map_get(&map, UINTPTR_MAX), &map);
    assert_null(gm_range_map_get(&map, UINTPTR_MAX - 1));
    assert_true(gm_range_map_previous(&map, UINTPTR_MAX - 1, &entry));
    assert_ptr_equal(entry.value, &heap);
    assert_true(gm_range_map_overlap(&map, 1, UINTPTR_MAX, &entry));
    assert_int_equal(entry.base, UINTPTR_MAX);
    assert_false(gm_range_map_overlap(&map, 1, UINTPTR_MAX - 1, &entry));
    gm_range_map_destroy(&map);
    assert_int_equal(heap.blocks, 0);
}

/* In each state of a random life: growing, shrinking, and with holes that leave chunks small. */
static void insert_then_remove_frees_what_was_taken(void **state)
{
    test_heap_t test_heap = {0};
    gm_heap_t heap = test_heap_make(&test_heap);
    bool *present = calloc(2 * SLOTS, sizeof(*present));
    gm_range_map_t map;
    gm_range_map_init(&map, &heap);
    for (uintptr_t step = 0; step < 40000; step++) {
        size_t bytes = heap.bytes;
        size_t blocks = heap.blocks;
        uintptr_t odd = 2 * random_below(2 * SLOTS) + 1;
        insert(&map, odd, odd, NULL);
        assert_true(gm_range_map_remove(&map, odd));
        assert_true(heap.bytes <= bytes);
        assert_true(heap.blocks <= blocks);
        /* Runs of changes at neighbouring addresses fill and empty whole chunks. */
        uintptr_t i = (random_below(2 * SLOTS) + step % 64) % (2 * SLOTS);
        bool grow = step % 10000 < 6000;
        for (uintptr_t end = i + random_below(80); i < end && i < 2 * SLOTS; i++) {
            if (present[i] != grow) {
                present[i] = grow;
                if (grow) {
                    insert(&map, 2 * i, 2 * i, NULL);
                } else {
                    assert_true(gm_range_map_remove(&map, 2 * i));
                }
            }
        }
    }
    gm_range_map_destroy(&map);
    assert_int_equal(heap.blocks, 0);
    free(present);
}

static void no_map_takes_more_than_52_bytes_a_range(void **state)
{
    test_heap_t test_heap = {0};
    gm_heap_t heap = test_heap_make(&test_heap);
    gm_range_map_t map;
    gm_range_map_init(&map, &heap);
    for (uintptr_t i = 0; i < 10007; i++) {
        insert(&map, 2 * ((i * 5003) % 10007), 2 * ((i * 5003) % 10007), NULL);
        if (i > 1000) {
            assert_true(heap.bytes <= 52 * map.num_ranges);
        }
    }
    gm_range_map_destroy(&map);
}

static void a_prepare_that_fails_changes_nothing(void **state)
{
    test_heap_t test_heap = {0};
    gm_heap_t heap = test_heap_make(&test_heap);
    gm_range_map_t map;
    gm_range_map_init(&map, &heap);
    int failures = 0;
    for (uintptr_t i = 0; i < 500; i++) {
        size_t bytes = heap.bytes;
        for (int k = 1; k <= 2; k++) {
            test_heap.fail_at = k;
            if (gm_range_map_prepare(&map, i) != 0) {
                failures++;
                assert_int_equal(heap.bytes, bytes);
            } else {
                gm_range_map_cancel(&map);
                assert_int_equal(heap.bytes, bytes);
            }
            test_heap.fail_at = 0;
        }
        insert(&map, i, i, NULL);
    }
    assert_true(failures >= 8);
    gm_range_map_destroy(&map);
    assert_int_equal(heap.blocks, 0);
}

static void removal_works_where_the_heap_has_nothing(void **state)
{
    test_heap_t test_heap = {0};
    gm_heap_t heap = test_heap_make(&test_heap);
    gm_range_map_t map;
    gm_range_t entry;
    gm_range_map_init(&map, &heap);
    for (uintptr_t i = 0; i < 1000; i++) {
        insert(&map, i, i, NULL);
    }
    test_heap.always_fail = true;
    for (uintptr_t i = 0; i < 1000; i++) {
        assert_true(gm_range_map_remove(&map, i));
        assert_int_equal(gm_range_map_next(&map, 0, &entry), i < 999);
    }
    assert_int_equal(heap.blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_agree_with_a_flat_list),
        cmocka_unit_test(the_top_of_the_address_space_is_an_address_like_others),
        cmocka_unit_test(insert_then_remove_frees_what_was_taken),
        cmocka_unit_test(no_map_takes_more_than_52_bytes_a_range),
        cmocka_unit_test(a_prepare_that_fails_changes_nothing),
        cmocka_unit_test(removal_works_where_the_heap_has_nothing),
    };
    return cmocka_run_group_tests_name("range_map", tests, NULL, NULL);
}
