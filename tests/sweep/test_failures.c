/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The failure sweep: each call, in each scene, with its first, second, ... operation (kernel
 * invocation, allocator call, heap allocation) made to fail until it succeeds; then with each of
 * the three exhausted from some point on; then with a second failure behind the first, of another
 * step or of undo. Prints a table with a line for each entry point.
 *
 *     sweep_failures [--single]
 *
 * With --single there are no second failures.
 */

#include <stdio.h>
#include "point.h"

/* The figures of an entry point. */
typedef struct tally {
    size_t situations;
    size_t once;     /* points where one operation failed */
    size_t lasting;  /* points from which on a resource was exhausted */
    size_t twice;    /* points with a second failure */
    size_t undo;     /* points where undo failed, too */
    size_t absorbed; /* of all of them: the call found another way */
    size_t unclean;
} tally_t;

/* What a row is being swept with. */
typedef struct sweep {
    scene_t scene;
    scene_kind_t kind;
    const row_t *row;
    const char *success;
    bool single; /* no second failures */
    tally_t tally;
} sweep_t;

/* Run a point and count it. @return whether all that was to fail was reached */
static bool run(sweep_t *sweep, const plan_t *plan, size_t *points)
{
    outcome_t outcome = point_run(&sweep->scene, sweep->kind, sweep->row, plan, sweep->success);
    bool reached = plan->then_k != 0 ? outcome.fired_twice : outcome.fired;
    *points += reached;
    sweep->tally.absorbed += reached && !outcome.failed;
    sweep->tally.unclean += outcome.unclean;
    /* Where undo failed, capabilities and memory stay behind. */
    if (outcome.unclean ||
        (outcome.fired_twice && plan->then_operations == HOSTED_OPERATION_UNDO)) {
        scene_close(&sweep->scene);
        scene_open(&sweep->scene);
    }
    return reached;
}

/* @return how many points there are */
static uint64_t fail_once(sweep_t *sweep)
{
    plan_t plan = {.operations = HOSTED_OPERATION_FORWARD, .k = 1};
    while (run(sweep, &plan, &sweep->tally.once)) {
        plan.k++;
    }
    return plan.k - 1;
}

static void exhaust(sweep_t *sweep)
{
    static const unsigned classes[] = {HOSTED_OPERATION_INVOCATION, HOSTED_OPERATION_ALLOCATOR,
                                       HOSTED_OPERATION_HEAP};
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        plan_t plan = {.operations = classes[i], .k = 1, .lasting = true};
        bool possible =
            classes[i] != HOSTED_OPERATION_INVOCATION || (sweep->row->traits & ROW_REMAPS) == 0;
        while (possible && run(sweep, &plan, &sweep->tally.lasting)) {
            plan.k++;
        }
    }
}

/* Fail behind the k-th operation, too. */
static void fail_behind(sweep_t *sweep, uint64_t k, unsigned operations, size_t *points)
{
    plan_t plan = {HOSTED_OPERATION_FORWARD, k, false, operations, 1};
    while (run(sweep, &plan, points)) {
        /* Small frames in place of a large one are many, and alike: fewer of the far ones. */
        plan.then_k += 1 + plan.then_k / 8;
    }
}

static void fail_twice(sweep_t *sweep, uint64_t points)
{
    bool slow = (sweep->row->traits & ROW_SLOW) != 0 && !scene_is_small(&sweep->scene);
    for (uint64_t k = 1; k <= points && !slow; k++) {
        if (sweep->kind != SCENE_CROWDED) {
            fail_behind(sweep, k, HOSTED_OPERATION_FORWARD, &sweep->tally.twice);
        }
        fail_behind(sweep, k, HOSTED_OPERATION_UNDO, &sweep->tally.undo);
    }
}

static void sweep_scene(sweep_t *sweep, scene_kind_t kind)
{
    scene_open(&sweep->scene);
    sweep->kind = kind;
    char *success = point_success(&sweep->scene, kind, sweep->row);
    sweep->success = success;
    uint64_t points = fail_once(sweep);
    exhaust(sweep);
    /* The other scenes change how many records there are, not what is undone. */
    if (!sweep->single &&
        (kind == SCENE_ALONE || kind == SCENE_CROWDED || kind == SCENE_CROWDED_SMALL)) {
        fail_twice(sweep, points);
    }
    free(success);
    scene_close(&sweep->scene);
    sweep->tally.situations++;
}

static void print_tally(const char *entry, const tally_t *tally)
{
    print_message("%-41s %4zu %7zu %8zu %7zu %7zu %8zu %7zu\n", entry, tally->situations,
                  tally->once, tally->lasting, tally->twice, tally->undo, tally->absorbed,
                  tally->unclean);
}

static void add(tally_t *sum, const tally_t *tally)
{
    sum->situations += tally->situations;
    sum->once += tally->once;
    sum->lasting += tally->lasting;
    sum->twice += tally->twice;
    sum->undo += tally->undo;
    sum->absorbed += tally->absorbed;
    sum->unclean += tally->unclean;
}

/* Sweep the rows of a list; those of one entry point follow each other, and share a line. */
static void sweep_rows(const row_list_t *list, bool single, tally_t *total)
{
    sweep_t sweep = {.single = single};
    for (size_t i = 0; i < list->count; i++) {
        sweep.row = &list->rows[i];
        for (scene_kind_t kind = 0; kind < SCENE_NUM_KINDS; kind++) {
            sweep_scene(&sweep, kind);
        }
        if (i + 1 == list->count || strcmp(list->rows[i + 1].entry, sweep.row->entry) != 0) {
            print_tally(sweep.row->entry, &sweep.tally);
            /* A call that never met a failure proves nothing. */
            assert_true(sweep.tally.once > 0);
            add(total, &sweep.tally);
            sweep.tally = (tally_t){0};
        }
    }
}

static void a_failed_call_changes_nothing_and_can_be_repeated(void **state)
{
    static const row_list_t *const lists[] = {&rows_of_reservations, &rows_of_mapping, &rows_of_ram,
                                              &rows_of_changes, &rows_of_runtime};
    bool single = *(const bool *)*state;
    tally_t total = {0};
    print_message("%-41s %4s %7s %8s %7s %7s %8s %7s\n", "entry point", "sit.", "one", "lasting",
                  "two", "undo", "absorbed", "unclean");
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        sweep_rows(lists[i], single, &total);
    }
    print_tally("total", &total);
    assert_int_equal(total.unclean, 0);
    assert_true(total.absorbed > 0);
    assert_true(single || (total.undo > 0 && total.twice > 0));
}

int main(int argc, char **argv)
{
    bool single = argc > 1 && strcmp(argv[1], "--single") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(a_failed_call_changes_nothing_and_can_be_repeated, &single),
    };
    return cmocka_run_group_tests_name("failures", tests, NULL, NULL);
}
