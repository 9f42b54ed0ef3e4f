/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Where even undoing fails, which the kernel does not do: memory is lost rather than shared. */

#include "world.h"

#define GPA ((uintptr_t)0x80000000)

/* Free a mapped page while the k-th undoing operation fails, and end all.
 * @return slots that were kept; 0 also if there is no k-th operation, and then `*fired` is false */
static size_t free_page(uint64_t k, bool *fired)
{
    world_t *w = NULL;
    hosted_census_t after;
    assert_int_equal(world_setup((void **)&w), 0);
    vm_memory_reservation_t *r = world_reserve(w, GPA, PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    hosted_inject_fail(w->system, HOSTED_OPERATION_UNDO, k);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    *fired = hosted_inject_fired(w->system);
    hosted_inject_stop(w->system);
    vm_memory_destroy(&w->vm);
    hosted_census_take(w->system, &after);
    size_t kept = after.slots - w->before.slots;
    assert_int_equal(after.heap_bytes, w->before.heap_bytes);
    assert_true(after.untyped_bytes >= w->before.untyped_bytes + kept * PAGE);
    hosted_system_destroy(w->system);
    hosted_log_to(NULL, NULL);
    free(w);
    return kept;
}

static void what_cannot_be_deleted_is_kept_from_others(void **state)
{
    (void)state;
    size_t kept = 0;
    bool fired = true;
    for (uint64_t k = 1; fired; k++) {
        size_t now = free_page(k, &fired);
        assert_true(now <= 1);
        kept += now;
    }
    assert_int_equal(kept, 3); /* a frame and two tables; other operations are the allocator's */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_deleted_is_kept_from_others),
    };
    return cmocka_run_group_tests_name("undo", tests, NULL, NULL);
}
