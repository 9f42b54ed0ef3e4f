/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Plans that cannot be carried on, and what is planned twice. The program is linked so that the
 * plan's calloc() comes by here. */

#include "world.h"
#include <guestmem/plan.h>

#define GPA ((uintptr_t)0x80000000)

static int fail_at; /* which calloc() from now fails; 0: none */

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
    return fail_at > 0 && --fail_at == 0 ? NULL : __real_calloc(count, size);
}

static guestmem_plan_t *make_plan(const guestmem_plan_memory_t *memory)
{
    guestmem_plan_t *plan = guestmem_plan_create(memory);
    assert_non_null(plan);
    return plan;
}

static void expect_problem(const guestmem_plan_t *plan, guestmem_error_code_t code)
{
    assert_string_equal(guestmem_error_name(guestmem_plan_problem(plan).code),
                        guestmem_error_name(code));
}

/* A plan with something of everything. @return 0; -1 if one step failed */
static int plan_all(guestmem_plan_t *plan)
{
    guestmem_plan_range_t anonymous = {.size = PAGE, .anonymous = true};
    guestmem_plan_range_t ram = {
        .base = GPA, .size = 2 * MEGABYTE + PAGE, .backing = GUESTMEM_FREE_FRAMES, .ram = true};
    guestmem_plan_range_t late = {.base = GPA + 8 * MEGABYTE,
                                  .size = PAGE,
                                  .backing = GUESTMEM_FREE_FRAMES,
                                  .on_fault = true,
                                  .named = true};
    return guestmem_plan_region(plan, 0x10000, 0x10000) != 0 ||
                   guestmem_plan_range(plan, &anonymous) != 0 ||
                   guestmem_plan_range(plan, &ram) != 0 ||
                   guestmem_plan_window(plan, ram.base) != 0 ||
                   guestmem_plan_range(plan, &late) != 0 || guestmem_plan_faults(plan, &late) != 0
               ? -1
               : 0;
}

static void a_plan_without_heap_says_so_and_loses_nothing(void **state)
{
    (void)state;
    int failures = 0;
    for (;;) {
        fail_at = failures + 1;
        guestmem_plan_t *plan = guestmem_plan_create(NULL);
        int result = plan != NULL ? plan_all(plan) : -1;
        bool fired = fail_at == 0;
        fail_at = 0;
        if (plan != NULL && result != 0) {
            expect_problem(plan, GUESTMEM_NO_HEAP);
        }
        guestmem_plan_destroy(plan);
        if (result == 0) {
            assert_false(fired);
            break;
        }
        failures++;
    }
    assert_true(failures > 15);
    guestmem_plan_destroy(NULL);
}

static void planned_ranges_share_pages_only_if_emulated(void **state)
{
    (void)state;
    guestmem_plan_t *plan = make_plan(NULL);
    guestmem_plan_range_t low = {.base = 0x1800, .size = 0x1000};
    guestmem_plan_range_t high = {.base = 0x1000, .size = 0x800};
    guestmem_plan_range_t same = {.base = 0x2800, .size = 0x100};
    guestmem_plan_range_t mapped = {.base = 0x2a00, .size = 0x100, .backing = GUESTMEM_FREE_FRAMES};
    guestmem_plan_range_t alone = {.base = 0x5800, .size = 0x100, .backing = GUESTMEM_FREE_FRAMES};
    guestmem_plan_range_t beside = {.base = 0x5900, .size = 0x100};
    assert_int_equal(guestmem_plan_range(plan, &low), 0);
    assert_int_equal(guestmem_plan_range(plan, &high), 0);
    assert_int_equal(guestmem_plan_range(plan, &same), 0);
    assert_int_equal(guestmem_plan_range(plan, &mapped), -1);
    expect_problem(plan, GUESTMEM_PAGE_SHARED);
    assert_int_equal(guestmem_plan_range(plan, &alone), 0);
    assert_int_equal(guestmem_plan_range(plan, &beside), -1);
    expect_problem(plan, GUESTMEM_PAGE_SHARED);
    guestmem_plan_destroy(plan);
}

static void neighbouring_ram_is_one_entry_of_the_planned_list(void **state)
{
    world_t *w = *state;
    const uintptr_t order[] = {0, 2, 1, 4};
    guestmem_plan_t *plan = make_plan(NULL);
    guestmem_statistics_t taken;
    for (size_t i = 0; i < 4; i++) {
        guestmem_plan_range_t ram = {.base = GPA + order[i] * PAGE,
                                     .size = PAGE,
                                     .backing = GUESTMEM_FREE_FRAMES,
                                     .ram = true};
        assert_int_equal(guestmem_plan_range(plan, &ram), 0);
        assert_int_equal(vm_ram_register_at(&w->vm, ram.base, PAGE, false), 0);
        assert_int_equal(guestmem_get_statistics(&w->vm, &taken), 0);
        assert_int_equal(guestmem_plan_needs(plan).heap_bytes, taken.heap_bytes);
        assert_int_equal(guestmem_plan_needs(plan).heap_blocks, taken.heap_blocks);
    }
    guestmem_plan_destroy(plan);
}

static void a_window_is_planned_once_and_for_mapped_pages_only(void **state)
{
    (void)state;
    guestmem_plan_t *plan = make_plan(NULL);
    guestmem_plan_range_t frames = {.base = GPA, .size = PAGE, .backing = GUESTMEM_FREE_FRAMES};
    guestmem_plan_range_t late = {
        .base = GPA + PAGE, .size = PAGE, .backing = GUESTMEM_FREE_FRAMES, .on_fault = true};
    guestmem_plan_range_t emulated = {.base = GPA + 2 * PAGE, .size = PAGE};
    assert_int_equal(guestmem_plan_range(plan, &frames), 0);
    assert_int_equal(guestmem_plan_range(plan, &late), 0);
    assert_int_equal(guestmem_plan_range(plan, &emulated), 0);
    assert_int_equal(guestmem_plan_window(plan, frames.base), 0);
    assert_int_equal(guestmem_plan_window(plan, frames.base + 8), 0);
    assert_int_equal(guestmem_plan_needs(plan).windows, 1);
    assert_int_equal(guestmem_plan_window(plan, late.base), -1);
    expect_problem(plan, GUESTMEM_NOT_MAPPED);
    assert_int_equal(guestmem_plan_window(plan, emulated.base), -1);
    expect_problem(plan, GUESTMEM_NOT_MAPPED);
    assert_int_equal(guestmem_plan_faults(plan, &emulated), -1);
    expect_problem(plan, GUESTMEM_NOT_MAPPED);
    guestmem_plan_destroy(plan);
}

/* Memory for so many objects. */
static bool take_some(void *cookie, size_t size_bits)
{
    int *left = cookie;
    return size_bits == 12 && (*left)-- > 0;
}

static void memory_that_ends_is_a_problem_of_frames_or_of_tables(void **state)
{
    (void)state;
    /* A page takes a frame and two tables. */
    const guestmem_error_code_t codes[] = {GUESTMEM_NO_FRAME, GUESTMEM_NO_TABLE, GUESTMEM_NO_TABLE};
    for (int objects = 0; objects < 4; objects++) {
        for (int on_fault = 0; on_fault < 2; on_fault++) {
            int left = objects;
            guestmem_plan_memory_t memory = {.take = take_some, .cookie = &left};
            guestmem_plan_t *plan = make_plan(&memory);
            guestmem_plan_range_t range = {.base = GPA,
                                           .size = PAGE,
                                           .backing = GUESTMEM_MAYBE_DEVICE,
                                           .on_fault = on_fault != 0};
            int result = guestmem_plan_range(plan, &range);
            if (on_fault) {
                assert_int_equal(result, 0);
                result = guestmem_plan_faults(plan, &range);
            }
            assert_int_equal(result, objects < 3 ? -1 : 0);
            if (objects < 3) {
                expect_problem(plan, codes[objects]);
            }
            guestmem_plan_destroy(plan);
        }
    }
}

static void a_gigabyte_in_one_frame_takes_no_table(void **state)
{
    (void)state;
    guestmem_plan_t *plan = make_plan(NULL);
    guestmem_plan_range_t range = {
        .base = GPA, .size = 1024 * MEGABYTE, .backing = GUESTMEM_FREE_FRAMES};
    assert_int_equal(guestmem_plan_range(plan, &range), 0);
    guestmem_needs_t needs = guestmem_plan_needs(plan);
    assert_int_equal(needs.frames[GUESTMEM_FRAME_1G], 1);
    assert_int_equal(needs.page_tables[0] + needs.page_tables[1], 0);
    guestmem_plan_destroy(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_without_heap_says_so_and_loses_nothing),
        cmocka_unit_test(planned_ranges_share_pages_only_if_emulated),
        world_test(neighbouring_ram_is_one_entry_of_the_planned_list),
        cmocka_unit_test(a_window_is_planned_once_and_for_mapped_pages_only),
        cmocka_unit_test(memory_that_ends_is_a_problem_of_frames_or_of_tables),
        cmocka_unit_test(a_gigabyte_in_one_frame_takes_no_table),
    };
    return cmocka_run_group_tests_name("plan_edges", tests, NULL, NULL);
}
