/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The contract: RAM, its records, and access to it from the VMM. */

#include "vm_memory.h"
#include <string.h>

static unsigned char buffer[3 * PAGE];

/* A pattern that differs from page to page and byte to byte. */
static unsigned char pattern(size_t i)
{
    return (unsigned char)(i * 7 + i / PAGE + 1);
}

static void fill_buffer(size_t size)
{
    for (size_t i = 0; i < size; i++) {
        buffer[i] = pattern(i);
    }
}

static bool buffer_has_pattern(size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (buffer[i] != pattern(i)) {
            return false;
        }
    }
    return true;
}

/* Write a pattern through the stock callback at `gpa`, and read it back. */
static void write_and_read(suite_t *suite, uintptr_t gpa, size_t size)
{
    fill_buffer(size);
    EXPECT(vm_ram_touch(&suite->vm, gpa, size, vm_guest_ram_write_callback, buffer) == 0);
    memset(buffer, 0, size);
    EXPECT(vm_ram_touch(&suite->vm, gpa, size, vm_guest_ram_read_callback, buffer) == 0);
    EXPECT(buffer_has_pattern(size));
}

static void access_may_cross_frames(suite_t *suite)
{
    EXPECT(guestmem_set_largest_frame(&suite->vm, 12) == 0);
    EXPECT(vm_ram_register_at(&suite->vm, GPA, 4 * PAGE, false) == 0);
    write_and_read(suite, GPA + 100, 3 * PAGE);
}

static void access_may_cross_frames_of_different_sizes(suite_t *suite)
{
    EXPECT(vm_ram_register_at(&suite->vm, GPA - PAGE, 2 * MEGABYTE + 2 * PAGE, false) == 0);
    write_and_read(suite, GPA - PAGE + 8, 2 * PAGE);
    write_and_read(suite, GPA + 2 * MEGABYTE - PAGE, 2 * PAGE);
}

static void access_may_cross_neighbouring_regions_allocated_or_not(suite_t *suite)
{
    EXPECT(vm_ram_register_at(&suite->vm, GPA, PAGE, false) == 0);
    EXPECT(vm_ram_register_at(&suite->vm, GPA + PAGE, PAGE, false) == 0);
    EXPECT(vm_ram_register_at(&suite->vm, GPA + 2 * PAGE, PAGE, false) == 0);
    vm_ram_mark_allocated(&suite->vm, GPA + PAGE, PAGE);
    write_and_read(suite, GPA + 10, 3 * PAGE - 20);
}

/* What vm_ram_touch() promises of each call back. */
typedef struct touched {
    suite_t *suite;
    uintptr_t next;
    size_t before;
    int calls;
} touched_t;

static int check_touch(vm_t *vm, uintptr_t addr, void *vaddr, size_t size, size_t offset,
                       void *cookie)
{
    touched_t *touched = cookie;
    suite_t *suite = touched->suite;
    EXPECT(vm == &suite->vm);
    EXPECT(vaddr != NULL);
    EXPECT_EQUAL(addr, touched->next);
    EXPECT_EQUAL(offset, touched->before);
    EXPECT_EQUAL((uintptr_t)vaddr & (PAGE - 1), addr & (PAGE - 1));
    EXPECT((addr & (PAGE - 1)) + size <= PAGE);
    touched->next += size;
    touched->before += size;
    touched->calls++;
    return 0;
}

static void touch_calls_back_once_a_4_KiB_page(suite_t *suite)
{
    touched_t touched = {.suite = suite, .next = GPA + 0x800};
    EXPECT(vm_ram_register_at(&suite->vm, GPA, 2 * MEGABYTE, false) == 0); /* one large frame */
    EXPECT(vm_ram_touch(&suite->vm, GPA + 0x800, 4 * PAGE, check_touch, &touched) == 0);
    EXPECT_EQUAL(touched.calls, 5);
    EXPECT_EQUAL(touched.before, 4 * PAGE);
}

static int stop_at_second(vm_t *vm, uintptr_t addr, void *vaddr, size_t size, size_t offset,
                          void *cookie)
{
    (void)vm, (void)addr, (void)vaddr, (void)size, (void)offset;
    return ++*(int *)cookie == 2 ? 77 : 0;
}

static void touch_ends_with_the_callbacks_answer(suite_t *suite)
{
    int calls = 0;
    EXPECT(vm_ram_register_at(&suite->vm, GPA, 4 * PAGE, false) == 0);
    EXPECT_EQUAL(vm_ram_touch(&suite->vm, GPA, 4 * PAGE, stop_at_second, &calls), 77);
    EXPECT_EQUAL(calls, 2);
}

static void expect_ram(suite_t *suite, const vm_ram_region_t *expected, int count)
{
    const vm_mem_t *mem = &suite->vm.mem;
    EXPECT_EQUAL(mem->num_ram_regions, count);
    for (int i = 0; i < count && !suite->broken; i++) {
        EXPECT_EQUAL(mem->ram_regions[i].start, expected[i].start);
        EXPECT_EQUAL(mem->ram_regions[i].size, expected[i].size);
        EXPECT_EQUAL(mem->ram_regions[i].allocated, expected[i].allocated);
    }
}

static void ram_is_listed_allocated_at_the_lowest_fit_and_freed(suite_t *suite)
{
    uintptr_t addr = 0;
    size_t size = 0;
    vm_t *vm = &suite->vm;
    EXPECT_REFUSED(vm_ram_find_largest_free_region(vm, &addr, &size) == -1, GUESTMEM_NO_ADDRESS);
    EXPECT(vm_ram_register_at(vm, GPA, 8 * PAGE, false) == 0);
    EXPECT(info_of(suite, guestmem_find_reservation(vm, GPA)).ram);
    EXPECT(vm_ram_register_at(vm, GPA + 16 * PAGE, 4 * PAGE, false) == 0);
    EXPECT_EQUAL(vm_ram_allocate(vm, 0x1800), GPA);
    EXPECT_EQUAL(vm_ram_allocate(vm, 0x800), GPA + 0x1800);
    vm_ram_mark_allocated(vm, GPA + 4 * PAGE, PAGE);
    expect_ram(suite,
               (vm_ram_region_t[]){{GPA, 2 * PAGE, 1},
                                   {GPA + 2 * PAGE, 2 * PAGE, 0},
                                   {GPA + 4 * PAGE, PAGE, 1},
                                   {GPA + 5 * PAGE, 3 * PAGE, 0},
                                   {GPA + 16 * PAGE, 4 * PAGE, 0}},
               5);
    EXPECT(vm_ram_find_largest_free_region(vm, &addr, &size) == 0);
    EXPECT_EQUAL(addr, GPA + 16 * PAGE);
    EXPECT_EQUAL(size, 4 * PAGE);
    EXPECT_EQUAL(vm_ram_allocate(vm, 4 * PAGE), GPA + 16 * PAGE);
    EXPECT_EQUAL(vm_ram_allocate(vm, 4 * PAGE), 0);
    vm_ram_free(vm, GPA, 2 * PAGE);
    vm_ram_free(vm, GPA + 4 * PAGE, PAGE);
    vm_ram_free(vm, GPA + 16 * PAGE, 4 * PAGE);
    expect_ram(suite, (vm_ram_region_t[]){{GPA, 8 * PAGE, 0}, {GPA + 16 * PAGE, 4 * PAGE, 0}}, 2);
    EXPECT(vm_ram_find_largest_free_region(vm, &addr, &size) == 0);
    EXPECT_EQUAL(addr, GPA);
    EXPECT_EQUAL(vm_ram_allocate(vm, 8 * PAGE), GPA);
    EXPECT_EQUAL(vm_ram_allocate(vm, 4 * PAGE), GPA + 16 * PAGE);
    EXPECT(vm_ram_find_largest_free_region(vm, &addr, &size) == -1);
}

static void ram_takes_addresses_from_anonymous_regions(suite_t *suite)
{
    vm_t *vm = &suite->vm;
    EXPECT_REFUSED(vm_ram_register(vm, PAGE) == 0, GUESTMEM_NO_ADDRESS);
    EXPECT(vm_memory_make_anon(vm, GPA, 64 * PAGE) == 0);
    EXPECT_EQUAL(vm_ram_register(vm, 3 * PAGE), GPA);
    EXPECT_EQUAL(vm_ram_register(vm, 3 * PAGE), GPA + 3 * PAGE);
    write_and_read(suite, GPA + PAGE, 3 * PAGE);
    expect_ram(suite, (vm_ram_region_t[]){{GPA, 6 * PAGE, 0}}, 1);
    EXPECT(vm_free_reserved_memory(vm, guestmem_find_reservation(vm, GPA)) == 0);
    expect_ram(suite, (vm_ram_region_t[]){{GPA + 3 * PAGE, 3 * PAGE, 0}}, 1);
    EXPECT_EQUAL(vm_ram_register(vm, 3 * PAGE), GPA);
}

static void freed_ram_is_no_ram(suite_t *suite)
{
    EXPECT(vm_ram_register_at(&suite->vm, GPA, 2 * PAGE, false) == 0);
    EXPECT(guestmem_fill(&suite->vm, GPA, 1, PAGE) == 0);
    EXPECT(vm_free_reserved_memory(&suite->vm, guestmem_find_reservation(&suite->vm, GPA)) == 0);
    EXPECT_REFUSED(guestmem_read(&suite->vm, GPA, buffer, 1) == -1, GUESTMEM_NOT_RAM);
    EXPECT_EQUAL(suite->vm.mem.num_ram_regions, 0);
}

static void copies_may_overlap_and_cross_regions(suite_t *suite)
{
    EXPECT(vm_ram_register_at(&suite->vm, GPA, PAGE, false) == 0);
    EXPECT(vm_ram_register_at(&suite->vm, GPA + PAGE, 3 * PAGE, false) == 0);
    fill_buffer(2 * PAGE);
    EXPECT(guestmem_write(&suite->vm, GPA + 16, buffer, 2 * PAGE) == 0);
    EXPECT(guestmem_copy(&suite->vm, GPA + 16 + 100, GPA + 16, 2 * PAGE) == 0);
    memset(buffer, 0, 2 * PAGE);
    EXPECT(guestmem_read(&suite->vm, GPA + 16 + 100, buffer, 2 * PAGE) == 0);
    EXPECT(buffer_has_pattern(2 * PAGE));
}

static void pointer_reaches_to_the_end_of_its_ram(suite_t *suite)
{
    const size_t length = 2 * MEGABYTE + PAGE - 8;
    EXPECT(vm_ram_register_at(&suite->vm, GPA, 2 * MEGABYTE + PAGE, false) == 0);
    unsigned char *pointer = guestmem_pointer(&suite->vm, GPA + 8, length);
    REQUIRE(pointer != NULL);
    pointer[length - 1] = 0x77;
    EXPECT(guestmem_read(&suite->vm, GPA + 2 * MEGABYTE + PAGE - 1, buffer, 1) == 0);
    EXPECT_EQUAL(buffer[0], 0x77);
}

/* Use and free RAM of 4 KiB frames, which leaves page tables behind in the VMM. */
static void use_small_frames(suite_t *suite, size_t size)
{
    EXPECT(guestmem_set_largest_frame(&suite->vm, 12) == 0);
    EXPECT(vm_ram_register_at(&suite->vm, GPA, size, false) == 0);
    EXPECT(guestmem_fill(&suite->vm, GPA, 1, size) == 0);
    EXPECT(vm_free_reserved_memory(&suite->vm, guestmem_find_reservation(&suite->vm, GPA)) == 0);
    EXPECT(guestmem_set_largest_frame(&suite->vm, 21) == 0);
}

static void window_of_large_frames_opens_where_one_of_small_frames_was(suite_t *suite)
{
    for (int round = 0; round < 4 && !suite->broken; round++) {
        use_small_frames(suite, 2 * MEGABYTE << round);
        holdings_t before = suite->counting.held;
        EXPECT(vm_ram_register_at(&suite->vm, GPA, 2 * MEGABYTE, false) == 0);
        write_and_read(suite, GPA + PAGE, 3 * PAGE);
        EXPECT(vm_free_reserved_memory(&suite->vm, guestmem_find_reservation(&suite->vm, GPA)) ==
               0);
        EXPECT_HELD(&before);
        EXPECT_EQUAL(suite->counting.refused, 0);
    }
}

static void large_frame_without_window_is_accessed_where_small_ones_were(suite_t *suite)
{
    /* A vspace_t that is asked in vain may end the VMM: so the kernel is asked before. */
    use_small_frames(suite, 4 * MEGABYTE);
    EXPECT(guestmem_set_windows(&suite->vm, GUESTMEM_WINDOWS_NONE) == 0);
    holdings_t before = suite->counting.held;
    EXPECT(vm_ram_register_at(&suite->vm, GPA, 2 * MEGABYTE, false) == 0);
    write_and_read(suite, GPA + PAGE, 3 * PAGE);
    EXPECT(vm_free_reserved_memory(&suite->vm, guestmem_find_reservation(&suite->vm, GPA)) == 0);
    EXPECT_HELD(&before);
    EXPECT_EQUAL(suite->counting.refused, 0);
}

static void without_windows_one_frame_stays_mapped(suite_t *suite)
{
    EXPECT(guestmem_set_windows(&suite->vm, GUESTMEM_WINDOWS_NONE) == 0);
    EXPECT(guestmem_set_largest_frame(&suite->vm, 12) == 0);
    EXPECT(vm_ram_register_at(&suite->vm, GPA, 4 * PAGE, false) == 0);
    holdings_t before = suite->counting.held;
    write_and_read(suite, GPA + 200, 3 * PAGE);
    EXPECT_EQUAL(suite->counting.held.pages, before.pages + 1);
    before = suite->counting.held;
    write_and_read(suite, GPA + 200, 3 * PAGE);
    EXPECT_HELD(&before);
}

static const check_t checks[] = {
    CHECK(access_may_cross_frames),
    CHECK(access_may_cross_frames_of_different_sizes),
    CHECK(access_may_cross_neighbouring_regions_allocated_or_not),
    CHECK(touch_calls_back_once_a_4_KiB_page),
    CHECK(touch_ends_with_the_callbacks_answer),
    CHECK(ram_is_listed_allocated_at_the_lowest_fit_and_freed),
    CHECK(ram_takes_addresses_from_anonymous_regions),
    CHECK(freed_ram_is_no_ram),
    CHECK(copies_may_overlap_and_cross_regions),
    CHECK(pointer_reaches_to_the_end_of_its_ram),
    CHECK(window_of_large_frames_opens_where_one_of_small_frames_was),
    CHECK(large_frame_without_window_is_accessed_where_small_ones_were),
    CHECK(without_windows_one_frame_stays_mapped),
};

const area_t area_ram = AREA("RAM", FIXTURE_MEMORY, checks);
