/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * See point.h. Two promises are checked. When what fails can fail on the kernel, a call that fails
 * has changed nothing, says why in one line, and does the same as ever when it is called again.
 * When a step of undo fails too, which the kernel never lets it, something must stay behind; but
 * the records are as before, nothing is given back twice, the guest reaches no memory that was
 * given back, and the end of the VM ends its reach.
 */

#include "point.h"
#include <stdio.h>
#include "state.h"

static bool complain(const scene_t *scene, const row_t *row, const plan_t *plan, const char *what)
{
    fprintf(stderr, "unclean: %s (%s), %s, operation %llu%s", row->entry, row->what,
            scene_name(scene->kind), (unsigned long long)plan->k,
            plan->lasting ? " and all behind it" : "");
    if (plan->then_k != 0) {
        fprintf(stderr, ", then %llu", (unsigned long long)plan->then_k);
    }
    fprintf(stderr, ": %s\n", what);
    return true;
}

static bool compare(const scene_t *scene, const row_t *row, const plan_t *plan, const char *before,
                    const char *after, const char *what)
{
    if (strcmp(before, after) == 0) {
        return false;
    }
    complain(scene, row, plan, what);
    state_print_difference(before, after);
    return true;
}

static bool check_reason(const scene_t *scene, const row_t *row, const plan_t *plan)
{
    const world_t *w = &scene->world;
    const guestmem_error_t *error = guestmem_last_error(&w->vm);
    bool more = (row->traits & ROW_MORE_LINES) != 0;
    if (scene->misuse > 0) {
        return complain(scene, row, plan, "something is given back twice");
    }
    if (w->log_lines < 1 || (w->log_lines > 1 && !more) ||
        strstr(w->log_line, row->entry) == NULL) {
        complain(scene, row, plan, "not one log line with its name");
        fprintf(stderr, "    %d lines, the last: %s\n", w->log_lines, w->log_line);
        return true;
    }
    if ((row->traits & ROW_NO_REASON) == 0 &&
        (error->code == GUESTMEM_OK || strcmp(error->function, row->entry) != 0 ||
         strstr(w->log_line, error->message) == NULL)) {
        return complain(scene, row, plan, "the reason is not told");
    }
    return false;
}

static void arm(const scene_t *scene, const plan_t *plan)
{
    hosted_system_t *system = scene->world.system;
    if (plan->lasting) {
        hosted_inject_fail_from(system, plan->operations, plan->k);
    } else {
        hosted_inject_fail(system, plan->operations, plan->k);
    }
    if (plan->then_k != 0) {
        hosted_inject_then_fail(system, plan->then_operations, plan->then_k);
    }
}

static bool undo_fails(const plan_t *plan)
{
    return plan->then_k != 0 && (plan->then_operations & HOSTED_OPERATION_UNDO) != 0;
}

/* Undo needs no heap, but it makes arrays smaller where there is some for the smaller one. */
static unsigned detail_of(const row_t *row, const plan_t *plan)
{
    unsigned detail =
        (row->traits & (ROW_NOT_REPEATED | ROW_REMAPS)) != 0 ? STATE_NO_FAULTS : STATE_ALL;
    bool short_of_heap =
        plan->then_k != 0 || (plan->lasting && (plan->operations & HOSTED_OPERATION_HEAP) != 0);
    return detail | (short_of_heap ? STATE_NO_HEAP_BYTES : 0) |
           (undo_fails(plan) ||
                    (plan->then_k != 0 && (row->traits & (ROW_ENDS_HALF_WAY | ROW_REMAPS)) != 0)
                ? STATE_RECORDS
                : 0);
}

/* After a failure that can be on the kernel. */
static bool check_nothing_changed(scene_t *scene, const row_t *row, const plan_t *plan,
                                  const char *before, const char *success)
{
    char *after = state_take(scene, detail_of(row, plan));
    bool unclean = compare(scene, row, plan, before, after, "it changed something") ||
                   check_reason(scene, row, plan);
    free(after);
    scene->world.log_lines = 0;
    if (unclean) {
        return true;
    }
    bool again = row->call(scene) == 0;
    if ((row->traits & ROW_NOT_REPEATED) != 0) {
        return again && complain(scene, row, plan, "it is tried again");
    }
    if (!again) {
        return complain(scene, row, plan, "it fails when it is called again");
    }
    after = state_take(scene, detail_of(row, plan) | STATE_NO_DERIVATION);
    unclean = (detail_of(row, plan) & STATE_NO_HEAP_BYTES) == 0 &&
              compare(scene, row, plan, success, after, "called again it does something else");
    free(after);
    return unclean;
}

/* After a failure of undo: what must hold nevertheless. */
static bool check_records(scene_t *scene, const row_t *row, const plan_t *plan, const char *before,
                          const hosted_census_t *had)
{
    hosted_census_t has;
    char *after = state_take(scene, detail_of(row, plan));
    hosted_census_take(scene->world.system, &has);
    bool unclean = compare(scene, row, plan, before, after, "it changed records") ||
                   check_reason(scene, row, plan);
    free(after);
    if (!unclean && (row->traits & ROW_MOVES_FRAMES) == 0 &&
        has.guest_bytes - had->guest_bytes > has.untyped_bytes - had->untyped_bytes) {
        return complain(scene, row, plan, "the guest reaches memory that was given back");
    }
    return unclean;
}

static bool check_end(const scene_t *scene, const row_t *row, const plan_t *plan, bool undo_failed)
{
    hosted_census_t end;
    const hosted_census_t *before = &scene->before;
    hosted_census_take(scene->world.system, &end);
    if (undo_failed) {
        return (end.guest_mappings != before->guest_mappings ||
                end.heap_bytes != before->heap_bytes || scene->world.log_lines > 0) &&
               complain(scene, row, plan, "the end of the VM did not end its reach");
    }
    if (!hosted_census_equal(before, &end)) {
        complain(scene, row, plan, "the end of the VM left something behind");
        hosted_census_print_difference(stderr, before, &end);
        return true;
    }
    return scene->world.log_lines > 0 && complain(scene, row, plan, "the end of the VM logged");
}

static void build(scene_t *scene, scene_kind_t kind, const row_t *row)
{
    scene_make(scene, kind);
    if (row->build != NULL) {
        row->build(scene);
    }
    scene->world.log_lines = 0;
}

outcome_t point_run(scene_t *scene, scene_kind_t kind, const row_t *row, const plan_t *plan,
                    const char *success)
{
    outcome_t outcome = {0};
    hosted_census_t had;
    hosted_system_t *system = scene->world.system;
    bool undo = undo_fails(plan);
    build(scene, kind, row);
    char *before = state_take(scene, detail_of(row, plan));
    hosted_census_take(system, &had);
    arm(scene, plan);
    outcome.failed = row->call(scene) != 0;
    outcome.fired = hosted_inject_fired(system);
    outcome.fired_twice = hosted_inject_fired_twice(system);
    hosted_inject_stop(system);
    if (outcome.failed && outcome.fired_twice && undo) {
        outcome.unclean = check_records(scene, row, plan, before, &had);
    } else if (outcome.failed && !undo) {
        outcome.unclean = !outcome.fired ? complain(scene, row, plan, "it fails by itself")
                                         : check_nothing_changed(scene, row, plan, before, success);
    } else if (!outcome.failed && scene->world.log_lines > 0) {
        outcome.unclean = complain(scene, row, plan, "it succeeds and logs an error");
    }
    free(before);
    scene->world.log_lines = 0;
    scene_unmake(scene);
    if (!outcome.unclean) {
        outcome.unclean = check_end(scene, row, plan, outcome.fired_twice && undo);
    }
    scene->world.log_lines = 0;
    return outcome;
}

char *point_success(scene_t *scene, scene_kind_t kind, const row_t *row)
{
    static const plan_t nothing_fails;
    build(scene, kind, row);
    if (row->call(scene) != 0) {
        fail_msg("%s (%s), %s, fails: %s", row->entry, row->what, scene_name(kind),
                 scene->world.log_line);
    }
    char *state = state_take(scene, detail_of(row, &nothing_fails) | STATE_NO_DERIVATION);
    scene_unmake(scene);
    return state;
}
