/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Access to guest memory that fails, or whose memory goes away meanwhile. */

#include "world.h"

#define GPA ((uintptr_t)0x80000000)
#define RAM (GPA + 16 * PAGE) /* RAM of its own, apart from that at GPA */

/* RAM of two reservations side by side, and of a third one apart. */
static void register_ram(world_t *w)
{
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, PAGE, false), 0);
    assert_int_equal(vm_ram_register_at(&w->vm, GPA + PAGE, 2 * PAGE, false), 0);
    assert_int_equal(vm_ram_register_at(&w->vm, RAM, 2 * PAGE, false), 0);
}

static char buffer[2 * 4096];

static int call_read(world_t *w)
{
    return guestmem_read(&w->vm, GPA + 1, buffer, sizeof(buffer));
}

static int call_write(world_t *w)
{
    return guestmem_write(&w->vm, GPA + 1, buffer, sizeof(buffer));
}

static int call_copy_apart(world_t *w)
{
    return guestmem_copy(&w->vm, RAM, GPA + PAGE - 8, PAGE);
}

static int call_copy_overlapping(world_t *w)
{
    return guestmem_copy(&w->vm, GPA + 100, GPA, PAGE);
}

static int call_touch(world_t *w)
{
    return vm_ram_touch(&w->vm, GPA, sizeof(buffer), vm_guest_ram_read_callback, buffer);
}

static int call_pointer(world_t *w)
{
    size_t length;
    return guestmem_pointer(&w->vm, GPA, &length) != NULL ? 0 : -1;
}

/* Fail each operation of the call in turn, until it succeeds. @return how many there were */
static int fail_each(world_t *w, int (*call)(world_t *w))
{
    hosted_census_t before;
    int failures = 0;
    hosted_census_take(w->system, &before);
    for (uint64_t k = 1;; k++) {
        hosted_inject_fail(w->system, HOSTED_OPERATION_FORWARD, k);
        int result = call(w);
        hosted_inject_stop(w->system);
        if (result == 0) {
            return failures;
        }
        assert_int_equal(w->log_lines, 1);
        w->log_lines = 0;
        expect_census(w, &before);
        failures++;
    }
}

static void an_access_that_fails_leaves_no_window_open(void **state)
{
    world_t *w = *state;
    int (*const calls[])(world_t *) = {
        call_read, call_write, call_touch, call_copy_apart, call_copy_overlapping, call_pointer};
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        register_ram(w);
        assert_true(fail_each(w, calls[i]) > 2);
        vm_memory_destroy(&w->vm);
        expect_census(w, &w->before);
        world_make_vm(w, &w->vm);
    }
}

static void an_access_without_windows_that_fails_gives_its_frame_back(void **state)
{
    world_t *w = *state;
    int (*const calls[])(world_t *) = {call_read, call_write, call_touch, call_copy_apart,
                                       call_copy_overlapping};
    register_ram(w);
    assert_int_equal(guestmem_set_windows(&w->vm, GUESTMEM_WINDOWS_NONE), 0);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        assert_true(fail_each(w, calls[i]) > 2);
    }
}

static void a_copy_that_fails_has_moved_nothing(void **state)
{
    world_t *w = *state;
    register_ram(w);
    /* The source's first window is open; its second cannot be opened. */
    memset(guest_bytes(w, GPA), 0xaa, PAGE);
    assert_int_equal(guestmem_read(&w->vm, GPA, buffer, 1), 0);
    assert_int_equal(guestmem_read(&w->vm, RAM, buffer, 1), 0);
    hosted_inject_fail(w->system, HOSTED_OPERATION_FORWARD, 1);
    assert_int_equal(call_copy_apart(w), -1);
    hosted_inject_stop(w->system);
    assert_int_equal(guest_bytes(w, RAM)[0], 0);
    w->log_lines = 0;
    assert_int_equal(call_copy_apart(w), 0);
    assert_int_equal(guest_bytes(w, RAM)[0], 0xaa);
    assert_int_equal(guestmem_copy(&w->vm, GPA, RAM, PAGE), 0);
}

static void the_last_window_takes_buffers_only(void **state)
{
    world_t *w = *state;
    register_ram(w);
    assert_int_equal(guestmem_write(&w->vm, RAM, "12", 2), 0);
    assert_int_equal(guestmem_write(&w->vm, RAM + 1, "34", 2), 0);
    assert_int_equal(guestmem_read(&w->vm, RAM, buffer, 3), 0);
    assert_memory_equal(buffer, "134", 3);
    assert_int_equal(guestmem_read(&w->vm, RAM, NULL, 3), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(guestmem_write(&w->vm, RAM, NULL, 3), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
}

/* Free the RAM behind the first page; cookie: the world. */
static int free_second(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size, size_t offset,
                       void *cookie)
{
    (void)guest_addr, (void)vaddr, (void)size, (void)offset, (void)cookie;
    return vm_free_reserved_memory(vm, guestmem_find_reservation(vm, GPA + PAGE));
}

/* Free the RAM behind the first page, and have memory there that comes with the first fault. */
static int replace_second(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size, size_t offset,
                          void *cookie)
{
    free_second(vm, guest_addr, vaddr, size, offset, cookie);
    vm_memory_reservation_t *r = vm_reserve_memory_at(vm, GPA + PAGE, PAGE, record_fault, cookie);
    guestmem_set_map_time(vm, GUESTMEM_MAP_ON_FAULT);
    return map_frame_alloc_reservation(vm, r);
}

static void a_touch_ends_where_its_callback_has_freed_the_ram(void **state)
{
    world_t *w = *state;
    const ram_touch_callback_fn callbacks[] = {free_second, replace_second};
    for (size_t i = 0; i < 2; i++) {
        register_ram(w);
        assert_int_equal(vm_ram_touch(&w->vm, GPA, 2 * PAGE, callbacks[i], w), -1);
        expect_failure(w, GUESTMEM_NOT_MAPPED);
        vm_memory_destroy(&w->vm);
        expect_census(w, &w->before);
        world_make_vm(w, &w->vm);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(an_access_that_fails_leaves_no_window_open),
        world_test(an_access_without_windows_that_fails_gives_its_frame_back),
        world_test(a_copy_that_fails_has_moved_nothing),
        world_test(the_last_window_takes_buffers_only),
        world_test(a_touch_ends_where_its_callback_has_freed_the_ram),
    };
    return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
