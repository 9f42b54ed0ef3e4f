/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Access to RAM and to other guest memory from the VMM: touch, read, write, fill, copy, pointers.
 */

#include "world.h"

#define GPA ((uintptr_t)0x80000000)

/* What a touch callback was called with. */
typedef struct touched {
    int calls;
    uintptr_t addr[8];
    size_t size[8];
    size_t offset[8];
    int answer;
} touched_t;

static int record_touch(vm_t *vm, uintptr_t guest_addr, void *vmm_vaddr, size_t size, size_t offset,
                        void *cookie)
{
    (void)vm;
    (void)vmm_vaddr;
    touched_t *touched = cookie;
    touched->addr[touched->calls] = guest_addr;
    touched->size[touched->calls] = size;
    touched->offset[touched->calls] = offset;
    touched->calls++;
    return touched->calls == 3 ? touched->answer : 0;
}

static void a_touch_calls_back_once_a_page_across_frames_and_regions(void **state)
{
    world_t *w = *state;
    touched_t touched = {0};
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 2 * MEGABYTE, false), 0);
    assert_int_equal(vm_ram_register_at(&w->vm, GPA + 2 * MEGABYTE, PAGE + 8, false), 0);
    vm_ram_mark_allocated(&w->vm, GPA + 2 * MEGABYTE - PAGE, PAGE + 16);
    uintptr_t start = GPA + 2 * MEGABYTE - PAGE - 5;
    assert_int_equal(vm_ram_touch(&w->vm, start, 2 * PAGE + 5 + 8, record_touch, &touched), 0);
    assert_int_equal(touched.calls, 4);
    const size_t sizes[] = {5, PAGE, PAGE, 8};
    uintptr_t at = start;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(touched.addr[i], at);
        assert_int_equal(touched.size[i], sizes[i]);
        assert_int_equal(touched.offset[i], at - start);
        at += sizes[i];
    }
    touched = (touched_t){.answer = 77};
    assert_int_equal(vm_ram_touch(&w->vm, start, 2 * PAGE, record_touch, &touched), 77);
    assert_int_equal(touched.calls, 3);
}

static void the_stock_callbacks_honour_the_offset(void **state)
{
    world_t *w = *state;
    static unsigned char out[3 * MEGABYTE];
    static unsigned char in[3 * MEGABYTE];
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 4 * MEGABYTE, false), 0);
    for (size_t i = 0; i < sizeof(out); i++) {
        out[i] = (unsigned char)(i * 31 + (i >> 12));
    }
    uintptr_t at = GPA + 12345;
    assert_int_equal(vm_ram_touch(&w->vm, at, sizeof(out), vm_guest_ram_write_callback, out), 0);
    assert_int_equal(vm_ram_touch(&w->vm, at, sizeof(in), vm_guest_ram_read_callback, in), 0);
    assert_memory_equal(in, out, sizeof(in));
    assert_memory_equal(guest_bytes(w, at), out, PAGE);
    assert_int_equal(guest_bytes(w, at - 1)[0], 0);
    assert_int_equal(guest_bytes(w, at + sizeof(out))[0], 0);
}

static void a_touch_of_what_is_no_ram_fails_before_the_first_call_back(void **state)
{
    world_t *w = *state;
    touched_t touched = {0};
    hosted_census_t before;
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 2 * PAGE, false), 0);
    assert_int_equal(vm_ram_register_at(&w->vm, GPA + 3 * PAGE, PAGE, false), 0);
    hosted_census_take(w->system, &before);
    const struct {
        uintptr_t addr;
        size_t size;
        guestmem_error_code_t code;
    } rows[] = {
        {GPA - 1, 2, GUESTMEM_NOT_RAM},
        {GPA, 2 * PAGE + 1, GUESTMEM_NOT_RAM},
        {GPA + 2 * PAGE, 1, GUESTMEM_NOT_RAM},
        {GPA, 4 * PAGE, GUESTMEM_NOT_RAM},
        {GPA + 3 * PAGE, PAGE + 1, GUESTMEM_NOT_RAM},
        {GPA, 0, GUESTMEM_BAD_RANGE},
        {GPA, SIZE_MAX, GUESTMEM_BAD_RANGE},
        {GPA, UINTPTR_MAX - GPA, GUESTMEM_NOT_RAM},
        {UINTPTR_MAX, 2, GUESTMEM_BAD_RANGE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(vm_ram_touch(&w->vm, rows[i].addr, rows[i].size, record_touch, &touched),
                         -1);
        expect_failure(w, rows[i].code);
    }
    assert_int_equal(vm_ram_touch(&w->vm, GPA, 1, NULL, NULL), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(touched.calls, 0);
    expect_census(w, &before);
}

static void after_the_first_touch_the_kernel_is_not_asked(void **state)
{
    world_t *w = *state;
    char buffer[64];
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 8 * MEGABYTE, false), 0);
    assert_int_equal(vm_ram_touch(&w->vm, GPA, 1, vm_guest_ram_read_callback, buffer), 0);
    uint64_t before = hosted_invocation_total(w->system);
    for (uintptr_t i = 0; i < 8 * MEGABYTE - sizeof(buffer); i += 100 * PAGE + 4000) {
        assert_int_equal(
            vm_ram_touch(&w->vm, GPA + i, sizeof(buffer), vm_guest_ram_write_callback, buffer), 0);
    }
    assert_int_equal(hosted_invocation_total(w->system), before);
}

static void freeing_ram_closes_its_window(void **state)
{
    world_t *w = *state;
    char byte;
    hosted_census_t before;
    hosted_census_take(w->system, &before);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(vm_ram_register_at(&w->vm, GPA + PAGE, 3 * MEGABYTE, false), 0);
        assert_int_equal(vm_ram_touch(&w->vm, GPA + PAGE, 1, vm_guest_ram_read_callback, &byte), 0);
        assert_int_equal(
            vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, GPA + PAGE)), 0);
        expect_census(w, &before);
    }
}

static void any_mapped_memory_can_be_accessed(void **state)
{
    world_t *w = *state;
    char text[] = "written by the VMM";
    unsigned char *page =
        create_allocated_reservation_frame(&w->vm, GPA + 2 * PAGE, seL4_NoRights, record_fault, w);
    vm_memory_reservation_t *frames = world_reserve(w, GPA, 2 * PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, frames), 0);
    uintptr_t at = GPA + 2 * PAGE - 4;
    assert_int_equal(guestmem_access(&w->vm, at, sizeof(text), vm_guest_ram_write_callback, text),
                     0);
    assert_memory_equal(page, text + 4, sizeof(text) - 4);
    assert_memory_equal(guest_bytes(w, at), text, 4);

    hosted_census_t before;
    world_reserve(w, GPA + 3 * PAGE, PAGE);
    vm_memory_reservation_t *late = world_reserve(w, GPA + 8 * PAGE, 2 * PAGE);
    assert_int_equal(guestmem_set_map_time(&w->vm, GUESTMEM_MAP_ON_FAULT), 0);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, late), 0);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, GPA + 9 * PAGE, 1), FAULT_RESTART);
    vm_memory_reservation_t *fresh = world_reserve(w, GPA + 7 * PAGE, PAGE);
    assert_int_equal(guestmem_set_map_time(&w->vm, GUESTMEM_MAP_NOW), 0);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, fresh), 0);
    hosted_census_take(w->system, &before);
    assert_int_equal(guestmem_access(&w->vm, at, 2 * PAGE, vm_guest_ram_write_callback, text), -1);
    expect_failure(w, GUESTMEM_NOT_MAPPED);
    assert_int_equal(
        guestmem_access(&w->vm, GPA + 7 * PAGE, 2 * PAGE, vm_guest_ram_write_callback, text), -1);
    expect_failure(w, GUESTMEM_NOT_MAPPED);
    expect_census(w, &before);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, GPA + 8 * PAGE, 1), FAULT_RESTART);
    assert_int_equal(
        guestmem_access(&w->vm, GPA + 7 * PAGE, sizeof(text), vm_guest_ram_write_callback, text),
        0);
    assert_int_equal(
        guestmem_access(&w->vm, GPA + 9 * PAGE, sizeof(text), vm_guest_ram_write_callback, text),
        0);
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
    assert_int_equal(hosted_invocation_total(w->system), before);
    assert_int_equal(guestmem_get_statistics(&w->vm, &s), 0);
    assert_int_equal(s.window_frames, 2 + 3);
}

static void bytes_are_moved_without_windows(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    char text[] = "by page";
    register_two(w);
    assert_int_equal(guestmem_set_windows(&w->vm, (guestmem_windows_t)9), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(guestmem_set_windows(&w->vm, GUESTMEM_WINDOWS_NONE), 0);
    hosted_census_take(w->system, &before);
    move_bytes(w);
    touched_t touched = {0};
    assert_int_equal(vm_ram_touch(&w->vm, GPA + 2 * MEGABYTE - 8, 16, record_touch, &touched), 0);
    assert_int_equal(touched.calls, 2);
    assert_int_equal(guestmem_access(&w->vm, GPA, 8, vm_guest_ram_write_callback, text), 0);
    expect_census(w, &before);
    size_t length;
    assert_null(guestmem_pointer(&w->vm, GPA, &length));
    expect_failure(w, GUESTMEM_NO_ADDRESS);
    expect_census(w, &before);

    /* A frame that is missing is seen before the first call back. */
    assert_int_equal(guestmem_set_map_time(&w->vm, GUESTMEM_MAP_ON_FAULT), 0);
    vm_memory_reservation_t *late = world_reserve(w, GPA + 8 * MEGABYTE, 2 * PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, late), 0);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, GPA + 8 * MEGABYTE, 1), FAULT_RESTART);
    touched = (touched_t){0};
    assert_int_equal(guestmem_access(&w->vm, GPA + 8 * MEGABYTE, 2 * PAGE, record_touch, &touched),
                     -1);
    expect_failure(w, GUESTMEM_NOT_MAPPED);
    assert_int_equal(touched.calls, 0);
}

static void a_pointer_reaches_to_the_end_of_its_reservation(void **state)
{
    world_t *w = *state;
    size_t length;
    register_two(w);
    char *pointer = guestmem_pointer(&w->vm, GPA + 16, &length);
    assert_non_null(pointer);
    assert_int_equal(length, 2 * MEGABYTE - 16);
    pointer[length - 1] = 77;
    assert_int_equal(guest_bytes(w, GPA + 2 * MEGABYTE - 1)[0], 77);
    assert_non_null(guestmem_pointer(&w->vm, GPA + 4 * MEGABYTE + PAGE, &length));
    assert_int_equal(length, 2 * PAGE);
    assert_ptr_equal(guestmem_pointer(&w->vm, GPA + 17, &length), pointer + 1);
    assert_null(guestmem_pointer(&w->vm, GPA - 1, &length));
    expect_failure(w, GUESTMEM_NOT_RAM);
    assert_null(guestmem_pointer(&w->vm, GPA, NULL));
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
}

static void what_is_no_ram_is_not_moved(void **state)
{
    world_t *w = *state;
    char bytes[16] = {0};
    register_two(w);
    uintptr_t end = GPA + 4 * MEGABYTE + 3 * PAGE;
    assert_non_null(
        create_allocated_reservation_frame(&w->vm, end, seL4_AllRights, record_fault, w));
    const struct {
        uintptr_t addr;
        size_t size;
        guestmem_error_code_t code;
    } rows[] = {
        {end - 8, 16, GUESTMEM_NOT_RAM},     {end, 1, GUESTMEM_NOT_RAM},
        {GPA - 1, 2, GUESTMEM_NOT_RAM},      {GPA, 0, GUESTMEM_BAD_RANGE},
        {UINTPTR_MAX, 1, GUESTMEM_NOT_RAM},  {UINTPTR_MAX - 3, 16, GUESTMEM_BAD_RANGE},
        {GPA, SIZE_MAX, GUESTMEM_BAD_RANGE},
    };
    for (int warm = 0; warm < 2; warm++) {
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            assert_int_equal(guestmem_read(&w->vm, rows[i].addr, bytes, rows[i].size), -1);
            expect_failure(w, rows[i].code);
            assert_int_equal(guestmem_write(&w->vm, rows[i].addr, bytes, rows[i].size), -1);
            expect_failure(w, rows[i].code);
            assert_int_equal(guestmem_fill(&w->vm, rows[i].addr, 1, rows[i].size), -1);
            expect_failure(w, rows[i].code);
            assert_int_equal(guestmem_copy(&w->vm, GPA, rows[i].addr, rows[i].size), -1);
            expect_failure(w, rows[i].code);
            assert_int_equal(guestmem_copy(&w->vm, rows[i].addr, GPA, rows[i].size), -1);
            expect_failure(w, rows[i].code);
        }
        assert_int_equal(guestmem_read(&w->vm, GPA, NULL, 1), -1);
        expect_failure(w, GUESTMEM_BAD_ARGUMENT);
        assert_int_equal(guestmem_write(&w->vm, GPA, NULL, 1), -1);
        expect_failure(w, GUESTMEM_BAD_ARGUMENT);
        assert_int_equal(guestmem_read(&w->vm, end - 16, bytes, 16), 0);
    }
    assert_int_equal(guestmem_read(NULL, GPA, bytes, 1), -1);
}

static void a_freed_window_is_not_used_again(void **state)
{
    world_t *w = *state;
    char byte;
    register_two(w);
    assert_int_equal(guestmem_read(&w->vm, GPA, &byte, 1), 0);
    assert_int_equal(vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, GPA)), 0);
    assert_int_equal(guestmem_read(&w->vm, GPA, &byte, 1), -1);
    expect_failure(w, GUESTMEM_NOT_RAM);
}

static int free_what_is_touched(vm_t *vm, uintptr_t guest_addr, void *vmm_vaddr, size_t size,
                                size_t offset, void *cookie)
{
    (void)vmm_vaddr;
    (void)size;
    (void)offset;
    (void)cookie;
    return vm_free_reserved_memory(vm, guestmem_find_reservation(vm, guest_addr));
}

static void a_touch_notices_that_its_memory_was_freed(void **state)
{
    world_t *w = *state;
    register_two(w);
    assert_int_equal(vm_ram_touch(&w->vm, GPA, 2 * PAGE, free_what_is_touched, NULL), -1);
    expect_failure(w, GUESTMEM_NOT_MAPPED);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(a_touch_calls_back_once_a_page_across_frames_and_regions),
        world_test(the_stock_callbacks_honour_the_offset),
        world_test(a_touch_of_what_is_no_ram_fails_before_the_first_call_back),
        world_test(after_the_first_touch_the_kernel_is_not_asked),
        world_test(freeing_ram_closes_its_window),
        world_test(any_mapped_memory_can_be_accessed),
        world_test(bytes_are_moved_through_windows),
        world_test(bytes_are_moved_without_windows),
        world_test(a_pointer_reaches_to_the_end_of_its_reservation),
        world_test(what_is_no_ram_is_not_moved),
        world_test(a_freed_window_is_not_used_again),
        world_test(a_touch_notices_that_its_memory_was_freed),
    };
    return cmocka_run_group_tests_name("touch", tests, NULL, NULL);
}
