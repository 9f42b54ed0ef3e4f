/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What <guestmem/plan.h> answers where a plan meets its limits: memory, heap, and bad ranges.
 */

#include "../library/world.h"

#include <guestmem/plan.h>

/* The linker sends every calloc() and free() here, so that a plan can run out of heap. */
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __real_free(void *block);
void __wrap_free(void *block);

static struct {
    bool counting;
    size_t until_failure; /* 0: none */
    long held;
} heap;

void *__wrap_calloc(size_t count, size_t size)
{
    if (heap.counting && heap.until_failure > 0 && --heap.until_failure == 0) {
        return NULL;
    }
    heap.held += heap.counting;
    return __real_calloc(count, size);
}

void __wrap_free(void *block)
{
    heap.held -= heap.counting && block != NULL;
    __real_free(block);
}

/* Pages, as long as there are any. */
static bool take_while_there_is(void *cookie, size_t size_bits)
{
    size_t *pages = cookie;
    return size_bits == 12 && *pages > 0 && (*pages)--;
}

static void a_plan_falls_back_to_what_there_is(void **state)
{
    (void)state;
    size_t pages = 514;
    guestmem_plan_memory_t memory = {.take = take_while_there_is, .cookie = &pages};
    guestmem_plan_t *plan = guestmem_plan_create(&memory);
    guestmem_plan_range_t range = {0x40000000, 2 * MEGABYTE, GUESTMEM_FREE_FRAMES, .ram = true};
    guestmem_plan_range_t more = {
        .base = 0x50000000, .size = PAGE, .backing = GUESTMEM_FREE_FRAMES};
    assert_int_equal(guestmem_plan_range(plan, &range), 0);
    assert_int_equal(guestmem_plan_needs(plan).frames[GUESTMEM_FRAME_4K], 512);
    assert_int_equal(guestmem_plan_needs(plan).page_tables[0], 1);
    assert_int_equal(guestmem_plan_needs(plan).page_tables[1], 1);
    assert_int_equal(pages, 0);
    assert_int_equal(guestmem_plan_range(plan, &more), -1);
    assert_int_equal(guestmem_plan_problem(plan).code, GUESTMEM_NO_FRAME);
    assert_int_equal(guestmem_plan_problem(plan).base, 0x50000000);
    guestmem_plan_destroy(plan);
    guestmem_plan_destroy(NULL);
}

static bool is_device(void *cookie, uintptr_t paddr)
{
    (void)cookie;
    return paddr >= 0x70000000;
}

static void uncleared_memory_that_becomes_ram_is_cleared(void **state)
{
    (void)state;
    guestmem_plan_memory_t memory = {.is_device = is_device};
    guestmem_plan_t *plan = guestmem_plan_create(&memory);
    guestmem_plan_range_t ram = {0x70000000, 2 * PAGE, GUESTMEM_UNTYPED, .ram = true,
                                 .paddr = 0x70000000};
    guestmem_plan_range_t other = {0x71000000, 2 * PAGE, GUESTMEM_UNTYPED, .paddr = 0x71000000};
    assert_int_equal(guestmem_plan_range(plan, &ram), 0);
    assert_int_equal(guestmem_plan_range(plan, &other), 0);
    guestmem_needs_t needs = guestmem_plan_needs(plan);
    assert_int_equal(needs.page_maps, 6);
    assert_int_equal(needs.page_cleans, 2);
    assert_int_equal(needs.page_unmaps, 2);
    guestmem_plan_destroy(plan);
}

static void bad_ranges_are_refused(void **state)
{
    (void)state;
    static const struct {
        guestmem_plan_range_t range;
        guestmem_error_code_t code;
    } bad[] = {
        {{.base = 0x1000, .size = 0}, GUESTMEM_BAD_RANGE},
        {{.base = UINTPTR_MAX, .size = 2}, GUESTMEM_BAD_RANGE},
        {{.base = UINTPTR_MAX, .size = 1, .backing = GUESTMEM_FREE_FRAMES}, GUESTMEM_BAD_RANGE},
        {{.base = 0x1000, .size = 1, .backing = GUESTMEM_CALLER}, GUESTMEM_BAD_ARGUMENT},
        {{0x1000, 1, GUESTMEM_FREE_FRAMES, .largest_bits = 13}, GUESTMEM_BAD_ARGUMENT},
        {{0x1000, 1, GUESTMEM_UNTYPED, .paddr = 0x800}, GUESTMEM_MISALIGNED},
        {{.size = 1, .anonymous = true}, GUESTMEM_NO_ADDRESS},
        {{.base = 0x80001000, .size = 1}, GUESTMEM_OVERLAP},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        guestmem_plan_t *plan = guestmem_plan_create(NULL);
        guestmem_plan_range_t range = bad[i].range;
        if (!range.anonymous) {
            assert_int_equal(guestmem_plan_region(plan, 0x80000000, 0x2000), 0);
            assert_int_equal(guestmem_plan_region(plan, 0x80001000, 0x2000), -1);
        }
        assert_int_equal(guestmem_plan_range(plan, &range), -1);
        assert_int_equal(guestmem_plan_problem(plan).code, bad[i].code);
        assert_int_equal(guestmem_plan_window(plan, 0x1000), -1);
        assert_int_equal(guestmem_plan_problem(plan).code, GUESTMEM_NOT_MAPPED);
        guestmem_plan_destroy(plan);
    }
}

/* Something of everything. @return whether all of it could be planned */
static bool plan_everything(guestmem_plan_t *plan)
{
    guestmem_plan_range_t ram = {
        .base = 0x40000000, .size = 3 * MEGABYTE, .backing = GUESTMEM_MAYBE_DEVICE, .ram = true};
    guestmem_plan_range_t more = ram;
    guestmem_plan_range_t between = ram;
    guestmem_plan_range_t late = {.base = 0x80000000,
                                  .size = 2 * MEGABYTE + PAGE,
                                  .backing = GUESTMEM_FREE_FRAMES,
                                  .on_fault = true};
    guestmem_plan_range_t placed = {.size = 1, .anonymous = true, .named = true};
    more.base += 6 * MEGABYTE;
    between.base += 3 * MEGABYTE;
    return guestmem_plan_region(plan, 0x90000000, MEGABYTE) == 0 &&
           guestmem_plan_range(plan, &ram) == 0 && guestmem_plan_range(plan, &more) == 0 &&
           guestmem_plan_range(plan, &between) == 0 && guestmem_plan_range(plan, &placed) == 0 &&
           guestmem_plan_window(plan, ram.base) == 0 && guestmem_plan_window(plan, ram.base) == 0 &&
           guestmem_plan_range(plan, &late) == 0 && guestmem_plan_faults(plan, &late) == 0;
}

static void a_plan_without_heap_fails_and_holds_none(void **state)
{
    (void)state;
    bool done = false;
    size_t failures = 0;
    for (size_t k = 1; !done; k++) {
        heap.held = 0;
        heap.until_failure = k;
        heap.counting = true;
        guestmem_plan_t *plan = guestmem_plan_create(NULL);
        done = plan != NULL && plan_everything(plan);
        heap.counting = false;
        if (plan != NULL && !done) {
            assert_int_equal(guestmem_plan_problem(plan).code, GUESTMEM_NO_HEAP);
        }
        failures += !done;
        heap.counting = true;
        guestmem_plan_destroy(plan);
        heap.counting = false;
        assert_int_equal(heap.held, 0);
    }
    assert_true(failures > 10);
}

static void what_is_not_mapped_has_no_window_and_no_faults(void **state)
{
    (void)state;
    guestmem_plan_t *plan = guestmem_plan_create(NULL);
    guestmem_plan_range_t emulated = {.base = 0x1000, .size = PAGE};
    guestmem_plan_range_t late = {
        .base = 0x4000, .size = PAGE, .backing = GUESTMEM_FREE_FRAMES, .on_fault = true};
    assert_int_equal(guestmem_plan_range(plan, &emulated), 0);
    assert_int_equal(guestmem_plan_range(plan, &late), 0);
    assert_int_equal(guestmem_plan_window(plan, 0x1000), -1);
    assert_int_equal(guestmem_plan_faults(plan, &emulated), -1);
    assert_int_equal(guestmem_plan_window(plan, 0x4000), -1);
    assert_int_equal(guestmem_plan_problem(plan).code, GUESTMEM_NOT_MAPPED);
    assert_int_equal(guestmem_plan_needs(plan).windows, 0);
    assert_int_equal(guestmem_plan_needs(plan).frames[GUESTMEM_FRAME_4K], 0);
    assert_int_equal(guestmem_plan_faults(plan, &late), 0);
    assert_int_equal(guestmem_plan_needs(plan).frames[GUESTMEM_FRAME_4K], 1);
    guestmem_plan_destroy(plan);
}

static void a_page_is_of_one_mapped_range(void **state)
{
    (void)state;
    guestmem_plan_t *plan = guestmem_plan_create(NULL);
    guestmem_plan_range_t first = {.base = 0x1000, .size = 0x10};
    guestmem_plan_range_t second = {.base = 0x1010, .size = 0x10};
    guestmem_plan_range_t end = {.base = 0x1f00, .size = 0x100};
    guestmem_plan_range_t third = {.base = 0x1030, .size = 0x10};
    guestmem_plan_range_t mapped = {.base = 0x1020, .size = 0x10, .backing = GUESTMEM_FREE_FRAMES};
    assert_int_equal(guestmem_plan_range(plan, &first), 0);
    assert_int_equal(guestmem_plan_range(plan, &second), 0);
    assert_int_equal(guestmem_plan_range(plan, &end), 0);
    assert_int_equal(guestmem_plan_range(plan, &third), 0);
    assert_int_equal(guestmem_plan_range(plan, &mapped), -1);
    assert_int_equal(guestmem_plan_problem(plan).code, GUESTMEM_PAGE_SHARED);
    mapped.base += PAGE;
    first.base += PAGE;
    assert_int_equal(guestmem_plan_range(plan, &mapped), 0);
    assert_int_equal(guestmem_plan_range(plan, &first), -1);
    assert_int_equal(guestmem_plan_problem(plan).code, GUESTMEM_PAGE_SHARED);
    assert_int_equal(guestmem_plan_region(plan, 0x1000, PAGE), -1);
    assert_int_equal(guestmem_plan_problem(plan).code, GUESTMEM_OVERLAP);
    assert_int_equal(guestmem_plan_region(plan, 0x1000, 0), -1);
    assert_int_equal(guestmem_plan_problem(plan).code, GUESTMEM_BAD_RANGE);
    guestmem_plan_destroy(plan);
}

static void a_plan_says_what_memory_is_missing(void **state)
{
    (void)state;
    for (size_t pages = 0; pages < 3; pages++) {
        size_t left = pages;
        guestmem_plan_memory_t memory = {.take = take_while_there_is, .cookie = &left};
        guestmem_plan_t *plan = guestmem_plan_create(&memory);
        guestmem_plan_range_t range = {
            .base = 0x1000, .size = PAGE, .backing = GUESTMEM_MAYBE_DEVICE};
        guestmem_plan_range_t late = range;
        late.base = 0x5000;
        late.on_fault = true;
        assert_int_equal(guestmem_plan_range(plan, &range), -1);
        assert_int_equal(guestmem_plan_problem(plan).code,
                         pages == 0 ? GUESTMEM_NO_FRAME : GUESTMEM_NO_TABLE);
        assert_int_equal(guestmem_plan_range(plan, &late), 0);
        assert_int_equal(guestmem_plan_faults(plan, &late), -1);
        guestmem_plan_destroy(plan);
    }
}

static bool take_any(void *cookie, size_t size_bits)
{
    (void)cookie;
    return size_bits <= 21;
}

static void memory_that_is_not_cleared_comes_last(void **state)
{
    (void)state;
    size_t left = 0;
    guestmem_plan_memory_t memory = {
        .take = take_while_there_is, .take_device = take_any, .cookie = &left};
    guestmem_plan_t *plan = guestmem_plan_create(&memory);
    guestmem_plan_range_t range = {.base = 0x40000000,
                                   .size = 4 * MEGABYTE,
                                   .backing = GUESTMEM_MAYBE_DEVICE,
                                   .ram = true,
                                   .largest_bits = 21};
    assert_int_equal(guestmem_plan_range(plan, &range), -1); /* the tables */
    assert_int_equal(guestmem_plan_problem(plan).code, GUESTMEM_NO_TABLE);
    assert_int_equal(guestmem_plan_needs(plan).frames[GUESTMEM_FRAME_2M], 2);
    assert_int_equal(guestmem_plan_needs(plan).page_cleans, 2);
    guestmem_plan_destroy(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_falls_back_to_what_there_is),
        cmocka_unit_test(uncleared_memory_that_becomes_ram_is_cleared),
        cmocka_unit_test(bad_ranges_are_refused),
        cmocka_unit_test(a_plan_without_heap_fails_and_holds_none),
        cmocka_unit_test(what_is_not_mapped_has_no_window_and_no_faults),
        cmocka_unit_test(a_page_is_of_one_mapped_range),
        cmocka_unit_test(a_plan_says_what_memory_is_missing),
        cmocka_unit_test(memory_that_is_not_cleared_comes_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
