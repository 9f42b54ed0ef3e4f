/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Each public function with each of its arguments at its bad values: the call is refused, logs one
 * line that names it, leaves the reason, and changes nothing. So is each call of a VM that is NULL
 * or not initialised.
 */

#include "bad.h"
#include <stdio.h>
#include "state.h"

static vm_memory_reservation_t *reserve(bad_scene_t *b, handle_t handle, uintptr_t addr,
                                        size_t size)
{
    b->handles[handle] = world_reserve(&b->scene.world, addr, size);
    return b->handles[handle];
}

static void setup(bad_scene_t *b)
{
    scene_t *s = &b->scene;
    vm_t *vm = &s->world.vm;
    memset(b, 0, sizeof(*b));
    scene_open(s);
    scene_make(s, SCENE_CROWDED_SMALL);
    reserve(b, HANDLE_FREE, BAD_FREE, 6 * PAGE);
    reserve(b, HANDLE_MAPPED, BAD_MAPPED, 3 * PAGE - 8);
    assert_int_equal(map_frame_alloc_reservation(vm, b->handles[HANDLE_MAPPED]), 0);
    reserve(b, HANDLE_SHARED, BAD_FREE + 8 * PAGE + 16, 16);
    world_reserve(&s->world, BAD_FREE + 8 * PAGE, 16);
    reserve(b, HANDLE_ABOVE, BAD_ABOVE, PAGE);
    reserve(b, HANDLE_HIGH, BAD_HIGH, PAGE);
    b->handles[HANDLE_FOREIGN] = guestmem_next_reservation(&s->others[0], NULL);
    /* Six frames that are free, and one that is mapped elsewhere. */
    scene_take_frames(s, 7, 12, BAD_FREE);
    vm_memory_reservation_t *other = world_reserve(&s->world, BAD_EMPTY + 64 * PAGE, PAGE);
    assert_int_equal(vm_map_reservation_frames(vm, other, &s->frames[6].cptr, 1, 12), 0);
    /* Another VM uses the UART's page. */
    assert_non_null(create_device_reservation_frame(&s->others[1], UART, seL4_AllRights,
                                                    record_fault, &s->world));
    /* Last, as the record would be used again. */
    s->world.log_lines = 0;
}

static void teardown(bad_scene_t *b)
{
    scene_unmake(&b->scene);
    expect_census(&b->scene.world, &b->scene.before);
    scene_close(&b->scene);
}

/* Check a call that was made. @return whether a promise was broken */
static bool is_unclean(bad_scene_t *b, const bad_entry_t *entry, const bad_row_t *row, int result,
                       const char *before)
{
    const world_t *w = &b->scene.world;
    const guestmem_error_t *error = guestmem_last_error(&w->vm);
    const char *problem = result == 0                                ? "it was accepted"
                          : w->log_lines != 1                        ? "not one log line"
                          : strstr(w->log_line, entry->name) == NULL ? "the line does not name it"
                          : row->code != GUESTMEM_OK && error->code != row->code
                              ? "another reason is left"
                          : row->code != GUESTMEM_OK && strcmp(error->function, entry->name) != 0
                              ? "the reason is another function's"
                          : row->code != GUESTMEM_OK && strstr(w->log_line, error->message) == NULL
                              ? "the line does not tell the reason"
                              : NULL;
    /* A fault is counted whatever comes of it. */
    char *after = state_take(&b->scene, STATE_NO_FAULTS);
    if (problem == NULL && strcmp(before, after) != 0) {
        problem = "it changed something";
    }
    if (problem != NULL) {
        fprintf(stderr, "unclean: %s, %s: %s (%d lines, '%s', reason '%s')\n", entry->name,
                row->what, problem, w->log_lines, w->log_line, guestmem_error_name(error->code));
        state_print_difference(before, after);
    }
    free(after);
    return problem != NULL;
}

/* Call with each row. @return how many were unclean */
static size_t call_rows(const bad_entry_t *entry)
{
    bad_scene_t b;
    size_t unclean = 0;
    setup(&b);
    char *before = state_take(&b.scene, STATE_NO_FAULTS);
    for (size_t i = 0; i < entry->num_rows; i++) {
        b.scene.world.log_lines = 0;
        b.scene.world.log_line[0] = '\0';
        int result = entry->call(&b, &b.scene.world.vm, &entry->rows[i]);
        if (is_unclean(&b, entry, &entry->rows[i], result, before)) {
            unclean++;
            break; /* what follows would only repeat it */
        }
    }
    free(before);
    if (unclean == 0) {
        teardown(&b);
    } else {
        scene_close(&b.scene);
    }
    print_message("%-43s %3zu bad calls, %zu unclean\n", entry->name, entry->num_rows, unclean);
    return unclean;
}

static void bad_arguments_are_refused_and_change_nothing(void **state)
{
    static const bad_list_t *const lists[] = {&bad_reservations, &bad_mapping, &bad_ram,
                                              &bad_runtime};
    size_t calls = 0;
    size_t unclean = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (size_t j = 0; j < lists[i]->count; j++) {
            unclean += call_rows(&lists[i]->entries[j]);
            calls += lists[i]->entries[j].num_rows;
        }
    }
    print_message("%-43s %3zu bad calls, %zu unclean\n", "total", calls, unclean);
    assert_int_equal(unclean, 0);
}

/* Each function that takes a VM, with a VM that has no memory management. */
static void a_vm_that_is_not_initialised_is_refused(void **state)
{
    static const bad_list_t *const lists[] = {&bad_reservations, &bad_mapping, &bad_ram};
    static const bad_row_t good = {.addr = BAD_EMPTY, .size = PAGE, .extra = 1};
    (void)state;
    bad_scene_t b;
    vm_t zeroed = {0};
    vm_t *const vms[] = {NULL, &zeroed};
    world_t *w = &b.scene.world;
    setup(&b);
    char *before = state_take(&b.scene, STATE_ALL);
    for (size_t i = 0; i < 2 * sizeof(lists) / sizeof(lists[0]); i++) {
        const bad_list_t *list = lists[i / 2];
        vm_t *vm = vms[i % 2];
        for (size_t j = 0; j < list->count; j++) {
            w->log_lines = 0;
            assert_int_not_equal(list->entries[j].call(&b, vm, &good), 0);
            assert_int_equal(w->log_lines, 1);
            assert_non_null(strstr(w->log_line, list->entries[j].name));
            assert_int_equal(guestmem_last_error(vm)->code, GUESTMEM_NOT_INITIALISED);
        }
        assert_null(guestmem_find_reservation(vm, BAD_FREE));
        vm_memory_destroy(vm);
    }
    assert_memory_equal(&zeroed, &(vm_t){0}, sizeof(zeroed));
    char *after = state_take(&b.scene, STATE_ALL);
    assert_string_equal(before, after);
    free(before);
    free(after);
    w->log_lines = 0;
    teardown(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_arguments_are_refused_and_change_nothing),
        cmocka_unit_test(a_vm_that_is_not_initialised_is_refused),
    };
    return cmocka_run_group_tests_name("bad calls", tests, NULL, NULL);
}
