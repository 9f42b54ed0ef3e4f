/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* First fit over the range map. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "range_alloc.h"
#include "test_heap.h"

static void insert(range_map_t *map, uintptr_t base, uintptr_t last, void *value)
{
    assert_int_equal(range_map_prepare(map, base), 0);
    range_map_insert(map, base, last, value);
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
        cmocka_unit_test(first_fit_takes_the_lowest_aligned_gap),
        cmocka_unit_test(first_fit_finds_the_one_gap_among_many_that_are_too_small),
        cmocka_unit_test(first_fit_passes_gaps_that_alignment_makes_too_small),
        cmocka_unit_test(first_fit_ends_at_the_top_of_the_address_space),
    };
    return cmocka_run_group_tests_name("range_alloc", tests, NULL, NULL);
}
