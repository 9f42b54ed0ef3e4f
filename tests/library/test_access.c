/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Access of the VMM to guest memory, beside what is physically there. */

#include "world.h"
#include <guestmem/change.h>

#define GPA ((uintptr_t)0x80000000)
#define RAM (GPA + 16 * PAGE) /* RAM of its own, apart from that at GPA */

static int count_touch(vm_t *vm, uintptr_t guest_addr, void *vmm_vaddr, size_t size, size_t offset,
                       void *cookie)
{
    ++*(int *)cookie;
    return 0;
}

/* Pages that a caller hands in, in ascending order. */
typedef struct handed {
    vka_object_t objects[8];
    vm_frame_t pages[8];
    size_t count;
} handed_t;

static void make_handed(world_t *w, handed_t *handed, size_t count)
{
    handed->count = count;
    for (size_t i = 0; i < count; i++) {
        handed->objects[i] = world_frame(w, 12);
        handed->pages[i] =
            (vm_frame_t){handed->objects[i].cptr, seL4_AllRights, GPA + i * PAGE, 12};
    }
}

static vm_frame_t hand_in(uintptr_t addr, void *cookie)
{
    const handed_t *handed = cookie;
    return handed->pages[(addr - GPA) / PAGE];
}

/* Register RAM of those from the first on. */
static void register_handed(world_t *w, handed_t *handed, size_t first, size_t count)
{
    assert_int_equal(vm_ram_register_at_custom_iterator(&w->vm, GPA + first * PAGE, count * PAGE,
                                                        hand_in, handed),
                     0);
}

/* End the VM, and free them. */
static void end_with(world_t *w, handed_t *handed)
{
    vm_memory_destroy(&w->vm);
    for (size_t i = 0; i < handed->count; i++) {
        vka_free_object(hosted_vka(w->system), &handed->objects[i]);
    }
}

/* RAM of two reservations side by side, the second of several frame sizes. */
static void register_two(world_t *w)
{
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 2 * MEGABYTE, false), 0);
    assert_int_equal(vm_ram_register_at(&w->vm, GPA + 2 * MEGABYTE, 2 * MEGABYTE + 3 * PAGE, false),
                     0);
}

/* Read, write, fill and copy over the seam of reservations and of frames, against a plain buffer.
 */
static void move_bytes(world_t *w)
{
    enum { SIZE = 5 * 4096 };
    const uintptr_t at[] = {GPA + 2 * MEGABYTE - 7000, GPA + 4 * MEGABYTE - 5001};
    static uint8_t expected[SIZE];
    static uint8_t seen[SIZE];
    for (int i = 0; i < 2; i++) {
        for (size_t j = 0; j < SIZE; j++) {
            expected[j] = (uint8_t)(j * 13 + (size_t)i);
        }
        size_t size = i == 0 ? SIZE : 4 * 4096;
        assert_int_equal(guestmem_write(&w->vm, at[i], expected, size), 0);
        assert_int_equal(guestmem_fill(&w->vm, at[i] + 100, 0x5a, 7000), 0);
        memset(expected + 100, 0x5a, 7000);
        assert_int_equal(guestmem_copy(&w->vm, at[i] + 3000, at[i], 9000), 0);
        memmove(expected + 3000, expected, 9000);
        assert_int_equal(guestmem_copy(&w->vm, at[i] + 10, at[i] + 2000, 9000), 0);
        memmove(expected + 10, expected + 2000, 9000);
        assert_int_equal(guestmem_copy(&w->vm, GPA + PAGE + 3, at[i], size), 0);
        assert_int_equal(guestmem_read(&w->vm, at[i], seen, size), 0);
        assert_memory_equal(seen, expected, size);
        assert_int_equal(guestmem_read(&w->vm, GPA + PAGE + 3, seen, size), 0);
        assert_memory_equal(seen, expected, size);
    }
    assert_memory_equal(guest_bytes(w, at[1]), expected, 4096);
}

static void bytes_are_moved_through_windows(void **state)
{
    world_t *w = *state;
    guestmem_statistics_t s;
    register_two(w);
    move_bytes(w);
    uint64_t before = hosted_invocation_total(w->system);
    move_bytes(w);
    assert_true(w->vm.mem.clean_cache || hosted_invocation_total(w->system) == before);
    assert_int_equal(guestmem_get_statistics(&w->vm, &s), 0);
    assert_int_equal(s.window_frames, 2 + 3);
}

static void bytes_are_moved_without_windows(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    char text[] = "by page";
    register_two(w);
    assert_int_equal(guestmem_set_windows(&w->vm, GUESTMEM_WINDOWS_NONE), 0);
    assert_int_equal(guestmem_fill(&w->vm, GPA, 0, 1), 0); /* the frame stays mapped */
    hosted_census_take(w->system, &before);
    move_bytes(w);
    int touched = 0;
    assert_int_equal(vm_ram_touch(&w->vm, GPA + 2 * MEGABYTE - 8, 16, count_touch, &touched), 0);
    assert_int_equal(touched, 2);
    assert_int_equal(guestmem_access(&w->vm, GPA, 8, vm_guest_ram_write_callback, text), 0);
    hosted_census_t now;
    hosted_census_take(w->system, &now);
    now.derivation = before.derivation; /* the slots of its capability differ */
    expect_same_census(&before, &now);
    hosted_census_take(w->system, &before);
    assert_null(guestmem_pointer(&w->vm, GPA, 1));
    expect_failure(w, GUESTMEM_NO_ADDRESS);
    expect_census(w, &before);
    assert_int_equal(guestmem_set_windows(&w->vm, GUESTMEM_WINDOWS_KEPT), 0);
    assert_non_null(guestmem_pointer(&w->vm, GPA, 1));
    assert_int_equal(guestmem_set_windows(&w->vm, GUESTMEM_WINDOWS_NONE), 0);
    /* A frame that is missing is seen before the first call back. */
    assert_int_equal(guestmem_set_map_time(&w->vm, GUESTMEM_MAP_ON_FAULT), 0);
    vm_memory_reservation_t *late = world_reserve(w, GPA + 8 * MEGABYTE, 2 * PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, late), 0);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, GPA + 8 * MEGABYTE, 1), FAULT_RESTART);
    touched = 0;
    assert_int_equal(guestmem_access(&w->vm, GPA + 8 * MEGABYTE, 2 * PAGE, count_touch, &touched),
                     -1);
    expect_failure(w, GUESTMEM_NOT_MAPPED);
    assert_int_equal(touched, 0);
}

/* RAM of two reservations side by side, and of a third one apart. */
static void register_three(world_t *w)
{
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, PAGE, false), 0);
    assert_int_equal(vm_ram_register_at(&w->vm, GPA + PAGE, 2 * PAGE, false), 0);
    assert_int_equal(vm_ram_register_at(&w->vm, RAM, 2 * PAGE, false), 0);
}

static int copy_apart(world_t *w)
{
    return guestmem_copy(&w->vm, RAM, GPA + PAGE - 8, PAGE);
}

static void a_copy_that_fails_has_moved_nothing(void **state)
{
    world_t *w = *state;
    char byte;
    register_three(w);
    /* The source's first window is open; its second can not be opened, nor mapped otherwise. */
    memset(guest_bytes(w, GPA), 0xaa, PAGE);
    assert_int_equal(guestmem_read(&w->vm, GPA, &byte, 1), 0);
    assert_int_equal(guestmem_read(&w->vm, RAM, &byte, 1), 0);
    hosted_inject_fail_from(w->system, HOSTED_OPERATION_FORWARD, 1);
    assert_int_equal(copy_apart(w), -1);
    hosted_inject_stop(w->system);
    assert_int_equal(guest_bytes(w, RAM)[0], 0);
    w->log_lines = 0;
    assert_int_equal(copy_apart(w), 0);
    assert_int_equal(guest_bytes(w, RAM)[0], 0xaa);
    assert_int_equal(guestmem_copy(&w->vm, GPA, RAM, PAGE), 0);
}

static int free_what_is_touched(vm_t *vm, uintptr_t guest_addr, void *vmm_vaddr, size_t size,
                                size_t offset, void *cookie)
{
    return vm_free_reserved_memory(vm, guestmem_find_reservation(vm, guest_addr));
}

/* Access another frame from within each page of one; what was handed out must stay. */
static int touch_elsewhere(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size, size_t offset,
                           void *cookie)
{
    char byte = 0;
    volatile char *bytes = vaddr;
    bytes[0] = 0x33;
    int result = guestmem_write(vm, GPA + 2 * MEGABYTE + offset, &byte, 1);
    bytes[size - 1] = 0x44;
    return result;
}

static void a_callback_may_access_other_memory(void **state)
{
    world_t *w = *state;
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 4 * MEGABYTE, false), 0);
    assert_int_equal(guestmem_set_windows(&w->vm, GUESTMEM_WINDOWS_NONE), 0);
    assert_int_equal(vm_ram_touch(&w->vm, GPA, 4 * PAGE, touch_elsewhere, NULL), 0);
    for (uintptr_t at = GPA; at < GPA + 4 * PAGE; at += PAGE) {
        assert_int_equal(guest_bytes(w, at)[0], 0x33);
        assert_int_equal(guest_bytes(w, at)[PAGE - 1], 0x44);
    }
}

/* A pointer that was given out stays valid, whatever fails later. */
static void a_pointer_outlives_failed_calls(void **state)
{
    world_t *w = *state;
    assert_int_equal(guestmem_set_largest_frame(&w->vm, 12), 0);
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 16 * PAGE, false), 0);
    assert_int_equal(guestmem_copy(&w->vm, GPA, GPA + 8 * PAGE, 16), 0);
    volatile char *pointer = guestmem_pointer(&w->vm, GPA, PAGE);
    assert_non_null(pointer);
    hosted_inject_fail_from(w->system, HOSTED_OPERATION_FORWARD, 5);
    assert_null(guestmem_pointer(&w->vm, GPA, 8 * PAGE));
    hosted_inject_stop(w->system);
    expect_failure(w, GUESTMEM_NO_SLOT);
    pointer[0] = 0x77;
    pointer[PAGE - 1] = 0x78;
    char bytes[2];
    assert_int_equal(guestmem_read(&w->vm, GPA, &bytes[0], 1), 0);
    assert_int_equal(guestmem_read(&w->vm, GPA + PAGE - 1, &bytes[1], 1), 0);
    assert_memory_equal(bytes, "\x77\x78", 2);
}

/* What an access finds at once is what the last one used, and no more than that. */
static void an_access_does_not_follow_the_last_one_too_far(void **state)
{
    world_t *w = *state;
    char byte = 0x11;
    char other = 0x22;
    assert_int_equal(guestmem_set_largest_frame(&w->vm, 12), 0);
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 4 * PAGE - 0x800, false), 0);
    vm_memory_reservation_t *r = world_reserve(w, GPA + MEGABYTE, PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(guestmem_write(&w->vm, GPA + 3 * PAGE, &byte, 1), 0);
        assert_int_equal(guestmem_read(&w->vm, GPA + 4 * PAGE - 0x800, &byte, 1), -1);
        expect_failure(w, GUESTMEM_NOT_RAM);
        assert_int_equal(
            guestmem_access(&w->vm, GPA + MEGABYTE, 1, vm_guest_ram_write_callback, &other), 0);
        assert_int_equal(guestmem_read(&w->vm, GPA + MEGABYTE, &byte, 1), -1);
        expect_failure(w, GUESTMEM_NOT_RAM);
        byte = 0;
        assert_int_equal(guestmem_read(&w->vm, GPA + 3 * PAGE, &byte, 1), 0);
        assert_int_equal(byte, 0x11);
        /* The second time without windows, but for one page that has one. */
        assert_non_null(round == 0 ? guestmem_pointer(&w->vm, GPA, 1) : &byte);
        assert_int_equal(guestmem_set_windows(&w->vm, GUESTMEM_WINDOWS_NONE), 0);
        assert_int_equal(guestmem_read(&w->vm, GPA + 2 * PAGE, &other, 1), 0);
        assert_int_equal(other, 0);
        other = 0x22;
    }
}

/* The stock callbacks are functions that a VMM may call itself, and a pointer has its limits. */
static void callbacks_and_pointers_at_their_limits(void **state)
{
    world_t *w = *state;
    char text[8] = "by hand";
    char bytes[8] = "";
    assert_int_equal(vm_guest_ram_write_callback(NULL, 0, bytes, 8, 0, text), 0);
    assert_int_equal(vm_guest_ram_read_callback(&w->vm, GPA, bytes, 8, 0, text), 0);
    assert_string_equal(bytes, "by hand");
    register_three(w);
    assert_null(guestmem_pointer(&w->vm, GPA, PAGE + 1)); /* the end of a reservation */
    expect_failure(w, GUESTMEM_NO_ADDRESS);
    assert_non_null(guestmem_pointer(&w->vm, GPA + PAGE, 2 * PAGE));
    /* Through what was used last: no callback, and more than a page. */
    int touched = 0;
    assert_int_equal(guestmem_fill(&w->vm, GPA + PAGE, 7, 1), 0);
    assert_int_equal(vm_ram_touch(&w->vm, GPA + PAGE, 1, NULL, NULL), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(vm_ram_touch(&w->vm, GPA + PAGE, PAGE + 1, count_touch, &touched), 0);
    assert_int_equal(touched, 2);
    assert_int_equal(vm_ram_touch(&w->vm, GPA + PAGE, PAGE, count_touch, &touched), 0);
    assert_int_equal(touched, 3);
}

/* Of one byte as well, whose last address is the first that is not in the window. */
static void a_pointer_to_what_does_not_suit_the_window_is_refused_for_that(void **state)
{
    world_t *w = *state;
    handed_t handed;
    char byte;
    make_handed(w, &handed, 2);
    handed.pages[0].size_bits |= GUESTMEM_FRAME_UNCACHED;
    register_handed(w, &handed, 0, 2);
    assert_non_null(guestmem_pointer(&w->vm, GPA, 8));
    for (size_t size = 1; size <= PAGE; size *= 8) {
        assert_int_equal(guestmem_read(&w->vm, 0x1000, &byte, 1), -1); /* for another reason */
        expect_failure(w, GUESTMEM_NOT_RAM);
        assert_null(guestmem_pointer(&w->vm, GPA + PAGE, size));
        assert_non_null(strstr(w->log_line, "do not suit the window"));
        expect_failure(w, GUESTMEM_NO_ADDRESS);
    }
    end_with(w, &handed);
}

/* Each of two reservations has such a frame: so nothing is written, or at least all up to the end
 * of the first one. */
static void
the_first_frame_that_does_not_suit_its_window_is_tried_before_a_byte_is_written(void **state)
{
    world_t *w = *state;
    handed_t handed;
    static char bytes[4 * 4096];
    char first;
    bool failed = true;
    make_handed(w, &handed, 4);
    handed.pages[1].size_bits |= GUESTMEM_FRAME_UNCACHED;
    handed.pages[3].size_bits |= GUESTMEM_FRAME_UNCACHED;
    register_handed(w, &handed, 0, 2);
    register_handed(w, &handed, 2, 2);
    uint64_t k;
    for (k = 1; failed; k++) {
        memset(bytes, (int)k, sizeof(bytes));
        hosted_inject_fail_from(w->system, HOSTED_OPERATION_FORWARD, k);
        failed = guestmem_write(&w->vm, GPA, bytes, sizeof(bytes)) != 0;
        hosted_inject_stop(w->system);
        assert_int_equal(guestmem_read(&w->vm, GPA, &first, 1), 0);
        assert_int_equal(first, (char)guest_bytes(w, GPA + PAGE)[0]);
    }
    assert_true(k > 3); /* some have failed */
    w->log_lines = 0;
    end_with(w, &handed);
}

/* Of frames in one run: neither those before a range nor those after it count. */
static void the_rights_to_the_frames_of_a_range_decide_and_no_others(void **state)
{
    world_t *w = *state;
    handed_t handed;
    static char bytes[8 * 4096];
    const struct {
        uintptr_t addr;
        size_t size;
        bool allowed;
    } writes[] = {
        {GPA, 2 * PAGE, true},
        {GPA + 3 * PAGE, 2 * PAGE, true},
        {GPA + 3 * PAGE, 1, true},
        {GPA, 8 * PAGE, false},
        {GPA, 2 * PAGE + 1, false},
        {GPA + 2 * PAGE, PAGE, false},
        {GPA + 3 * PAGE - 1, 2 * PAGE, false},
    };
    make_handed(w, &handed, 8);
    handed.pages[2].rights = seL4_CanRead;
    register_handed(w, &handed, 0, 8);
    for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
        memset(bytes, writes[i].allowed ? 1 : 2, sizeof(bytes));
        assert_int_equal(guestmem_write(&w->vm, writes[i].addr, bytes, writes[i].size),
                         writes[i].allowed ? 0 : -1);
        if (!writes[i].allowed) {
            expect_failure(w, GUESTMEM_NO_RIGHT);
        }
    }
    assert_int_equal(guestmem_read(&w->vm, GPA, bytes, sizeof(bytes)), 0);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        size_t page = i / PAGE;
        assert_int_equal(bytes[i], page < 5 && page != 2);
    }
    end_with(w, &handed);
}

static void a_copy_that_fails_leaves_no_frame_mapped(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    assert_int_equal(guestmem_set_windows(&w->vm, GUESTMEM_WINDOWS_NONE), 0);
    register_three(w);
    hosted_census_take(w->system, &before);
    for (uint64_t k = 1; k <= 4; k++) {
        hosted_inject_fail(w->system, HOSTED_OPERATION_FORWARD, k);
        assert_int_equal(copy_apart(w), -1);
        hosted_inject_stop(w->system);
        expect_census(w, &before);
    }
    w->log_lines = 0;
}

/* Free the RAM after the first page; cookie: the world. */
static int free_second(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size, size_t offset,
                       void *cookie)
{
    return vm_free_reserved_memory(vm, guestmem_find_reservation(vm, GPA + PAGE));
}

/* Free the RAM after the first page, and have memory there that comes with the first fault. */
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
    const uintptr_t starts[] = {GPA + PAGE, GPA, GPA};
    const ram_touch_callback_fn callbacks[] = {free_what_is_touched, free_second, replace_second};
    for (size_t i = 0; i < 3; i++) {
        register_three(w);
        assert_int_equal(vm_ram_touch(&w->vm, starts[i], 2 * PAGE, callbacks[i], w), -1);
        expect_failure(w, GUESTMEM_NOT_MAPPED);
        world_renew(w);
    }
}

/* Free the RAM after the first page, and reserve that page without memory. */
static int reserve_second(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size, size_t offset,
                          void *cookie)
{
    free_second(vm, guest_addr, vaddr, size, offset, cookie);
    assert_non_null(vm_reserve_memory_at(vm, GPA + PAGE, PAGE, record_fault, cookie));
    return 0;
}

static int add_size(vm_t *vm, uintptr_t addr, size_t size, void *cookie)
{
    *(size_t *)cookie += size;
    return 0;
}

/* Also where it is so only after the first page, with pages that were written to be noted. */
static void a_range_is_refused_where_it_is_reserved_without_memory(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    int touched = 0;
    size_t written = 0;
    register_three(w);
    vm_memory_reservation_t *ram = guestmem_find_reservation(&w->vm, GPA);
    assert_int_equal(guestmem_track_written(&w->vm, ram, GUESTMEM_TRACK_FRAMES), 0);
    assert_int_equal(vm_ram_touch(&w->vm, GPA, 2 * PAGE, reserve_second, w), -1);
    assert_non_null(strstr(w->log_line, "GPA 0x80001000 is in no mapped reservation"));
    expect_failure(w, GUESTMEM_NOT_MAPPED);
    assert_int_equal(guestmem_written(&w->vm, ram, add_size, &written), 0);
    assert_int_equal(written, PAGE);
    hosted_census_take(w->system, &before);
    assert_int_equal(guestmem_access(&w->vm, GPA, 2 * PAGE, count_touch, &touched), -1);
    assert_non_null(strstr(w->log_line, "GPA 0x80001000 is in no mapped reservation"));
    expect_failure(w, GUESTMEM_NOT_MAPPED);
    assert_int_equal(guestmem_fill(&w->vm, GPA, 1, 2 * PAGE), -1);
    expect_failure(w, GUESTMEM_NOT_RAM);
    assert_int_equal(guestmem_clean(&w->vm, GPA, 2 * PAGE), -1);
    expect_failure(w, GUESTMEM_NOT_MAPPED);
    assert_int_equal(touched, 0);
    expect_census(w, &before);
    assert_int_equal(guestmem_written(&w->vm, ram, add_size, &written), 0);
    assert_int_equal(written, PAGE);
}

static void the_default_fault_callback_names_what_it_can(void **state)
{
    world_t *w = *state;
    vm_memory_reservation_t *r = world_reserve(w, 0x1000, 0x1000);
    assert_int_equal(default_error_fault_callback(&w->vm, NULL, 0x1234, 4, NULL), FAULT_ERROR);
    assert_non_null(strstr(w->log_line, "[0x1234..0x1237]"));
    assert_non_null(strstr(w->log_line, "[0x1000..0x1fff]"));
    assert_int_equal(guestmem_name_reservation(&w->vm, r, "rtc"), 0);
    assert_int_equal(default_error_fault_callback(&w->vm, NULL, 0x1234, 4, NULL), FAULT_ERROR);
    assert_non_null(strstr(w->log_line, "[0x1000..0x1fff] rtc"));
    assert_int_equal(default_error_fault_callback(&w->vm, NULL, 0x2000, 4, NULL), FAULT_ERROR);
    assert_non_null(strstr(w->log_line, "in no reservation"));
    assert_int_equal(w->log_lines, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(bytes_are_moved_through_windows),
        world_test(bytes_are_moved_without_windows),
        world_test(a_copy_that_fails_has_moved_nothing),
        world_test(a_pointer_outlives_failed_calls),
        world_test(an_access_does_not_follow_the_last_one_too_far),
        world_test(callbacks_and_pointers_at_their_limits),
        world_test(a_pointer_to_what_does_not_suit_the_window_is_refused_for_that),
        world_test(the_first_frame_that_does_not_suit_its_window_is_tried_before_a_byte_is_written),
        world_test(the_rights_to_the_frames_of_a_range_decide_and_no_others),
        world_test(a_copy_that_fails_leaves_no_frame_mapped),
        world_test(a_callback_may_access_other_memory),
        world_test(a_touch_ends_where_its_callback_has_freed_the_ram),
        world_test(a_range_is_refused_where_it_is_reserved_without_memory),
        world_test(the_default_fault_callback_names_what_it_can),
    };
    return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
