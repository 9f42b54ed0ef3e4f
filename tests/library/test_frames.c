/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Which memory a guest gets, with which attributes and rights, and what its records cost: seen in
 * its page tables, in physical memory, and in an allocator that the tests stand in for. */

#include "world.h"
#include <sel4vm/guest_iospace.h>
#include <vka/capops.h>

#define GPA           ((uintptr_t)0x80000000)
#define RESERVED      ((uintptr_t)0x48000000) /* the board's memory that the kernel does not clear */
#define RESERVED_SIZE (16 * MEGABYTE)

static void device_memory_is_uncached_and_keeps_its_content(void **state)
{
    world_t *w = *state;
    unsigned char *registers = hosted_physical_memory(w->system, UART, PAGE);
    assert_non_null(registers);
    registers[0x18] = 0x90;
    unsigned char *page =
        create_device_reservation_frame(&w->vm, UART, seL4_AllRights, record_fault, w);
    assert_non_null(page);
    assert_int_equal(page[0x18], 0x90);
    page[3] = 9;
    assert_int_equal(registers[3], 9);
    assert_false(guest_mapping_at(w, UART).cacheable);
    assert_false(guest_mapping_at(w, UART).execute);
    assert_int_equal(guest_mapping_at(w, UART).paddr, UART);
}

static void free_memory_is_cached_and_zeroed_each_time(void **state)
{
    world_t *w = *state;
    uintptr_t paddr = 0;
    for (int round = 0; round < 2; round++) {
        vm_memory_reservation_t *r = world_reserve(w, GPA, 2 * PAGE);
        assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
        assert_true(guest_mapping_at(w, GPA).cacheable);
        assert_true(round == 0 || guest_mapping_at(w, GPA).paddr == paddr);
        paddr = guest_mapping_at(w, GPA).paddr;
        for (size_t i = 0; i < PAGE; i++) {
            assert_int_equal(guest_bytes(w, GPA)[i], 0);
        }
        memset(guest_bytes(w, GPA), 0xa5, PAGE);
        assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    }
}

static void ram_of_reserved_memory_is_cached_and_other_uses_are_not(void **state)
{
    world_t *w = *state;
    memset(hosted_physical_memory(w->system, RESERVED, 3 * PAGE), 0xee, 3 * PAGE);
    assert_int_equal(vm_ram_register_at(&w->vm, RESERVED, PAGE, true), 0);
    assert_int_equal(guest_bytes(w, RESERVED)[100], 0xee); /* what a boot loader left */
    assert_true(guest_mapping_at(w, RESERVED).cacheable);
    assert_int_equal(guestmem_set_fixed_ram(&w->vm, GUESTMEM_FIXED_RAM_CLEARED), 0);
    assert_int_equal(vm_ram_register_at(&w->vm, RESERVED + 2 * PAGE, PAGE, true), 0);
    assert_int_equal(guest_bytes(w, RESERVED + 2 * PAGE)[100], 0);
    assert_true(guest_mapping_at(w, RESERVED + 2 * PAGE).cacheable);
    vm_memory_reservation_t *r = world_reserve(w, RESERVED + PAGE, PAGE);
    assert_int_equal(map_ut_alloc_reservation(&w->vm, r), 0);
    assert_int_equal(guest_bytes(w, RESERVED + PAGE)[100], 0xee);
    assert_false(guest_mapping_at(w, RESERVED + PAGE).cacheable);
}

/* Device memory first: what a VMM with little regular memory of its own relies on. */

static void take_ram_at(world_t *w, size_t size)
{
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, size, false), 0);
}

static void take_ram(world_t *w, size_t size)
{
    assert_int_equal(vm_memory_make_anon(&w->vm, GPA, size), 0);
    assert_int_equal(vm_ram_register(&w->vm, size), GPA);
}

static void take_any(world_t *w, size_t size)
{
    vm_memory_reservation_t *r = world_reserve(w, GPA, size);
    assert_int_equal(map_maybe_device_reservation(&w->vm, r), 0);
}

static bool is_reserved(world_t *w, uintptr_t gpa)
{
    return guest_mapping_at(w, gpa).paddr - RESERVED < RESERVED_SIZE;
}

/* Check that the guest's `[GPA, GPA + size)` is of reserved memory: zeroed, and cached if it is
 * RAM. */
static void expect_reserved(world_t *w, size_t size, bool ram)
{
    for (uintptr_t gpa = GPA; gpa < GPA + size; gpa += PAGE) {
        assert_true(is_reserved(w, gpa));
        assert_int_equal(guest_mapping_at(w, gpa).cacheable, ram);
        assert_int_equal(guest_bytes(w, gpa)[0], 0);
        assert_int_equal(guest_bytes(w, gpa)[PAGE - 1], 0);
    }
}

static void any_memory_is_device_memory_as_long_as_there_is_some(void **state)
{
    world_t *w = *state;
    void (*const takes[])(world_t *, size_t) = {take_ram_at, take_ram, take_any};
    const size_t bits[] = {12, 21, 30};
    for (size_t i = 0; i < 9; i++) {
        bool ram = takes[i / 3] != take_any;
        size_t size = bits[i % 3] == 12 ? MEGABYTE : RESERVED_SIZE;
        hosted_census_t before;
        hosted_census_t after;
        memset(hosted_physical_memory(w->system, RESERVED, RESERVED_SIZE), 0xee, RESERVED_SIZE);
        assert_int_equal(guestmem_set_largest_frame(&w->vm, bits[i % 3]), 0);
        hosted_census_take(w->system, &before);
        takes[i / 3](w, size);
        hosted_census_take(w->system, &after);
        expect_reserved(w, size, ram);
        assert_int_equal(before.free_bytes - after.free_bytes,
                         PAGE * (after.page_tables - before.page_tables));
        world_renew(w);
    }
}

static void regular_memory_is_taken_once_there_is_no_device_memory(void **state)
{
    world_t *w = *state;
    take_ram_at(w, RESERVED_SIZE + 4 * MEGABYTE);
    assert_true(is_reserved(w, GPA + RESERVED_SIZE - 1));
    assert_false(is_reserved(w, GPA + RESERVED_SIZE));
    assert_false(is_reserved(w, GPA + RESERVED_SIZE + 4 * MEGABYTE - 1));
    assert_true(guest_mapping_at(w, GPA + RESERVED_SIZE).cacheable);
}

static void free_frames_are_never_of_device_memory(void **state)
{
    world_t *w = *state;
    vm_memory_reservation_t *r = world_reserve(w, GPA, 4 * MEGABYTE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    assert_false(is_reserved(w, GPA) || is_reserved(w, GPA + 2 * MEGABYTE));
}

/* The kernel refuses to clean: at once, as one whose window does not reach that memory, so that the
 * page is cleared uncached; or after the page was cleared. */
static void ram_that_cannot_be_cleaned_from_the_caches_is_given_back(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    hosted_census_take(w->system, &before);
    bool fired = true;
    int refused = 0;
    int uncached = 0;
    assert_int_equal(guestmem_set_fixed_ram(&w->vm, GUESTMEM_FIXED_RAM_CLEARED), 0);
    for (uint64_t k = 1; fired; k++) {
        memset(hosted_physical_memory(w->system, RESERVED, 2 * PAGE), 0xee, 2 * PAGE);
        hosted_inject_fail(w->system, HOSTED_OPERATION_INVOCATION, k);
        int result = vm_ram_register_at(&w->vm, RESERVED, 2 * PAGE, true);
        fired = hosted_inject_fired(w->system);
        hosted_inject_stop(w->system);
        if (result == 0) {
            uncached += fired;
            assert_int_equal(guest_bytes(w, RESERVED)[PAGE - 1], 0);
            assert_int_equal(guest_bytes(w, RESERVED + PAGE)[0], 0);
            assert_int_equal(
                vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, RESERVED)), 0);
        } else {
            const guestmem_error_t *error = guestmem_last_error(&w->vm);
            assert_true(fired);
            refused += error->code == GUESTMEM_KERNEL && strstr(error->message, "clean") != NULL;
        }
        expect_census(w, &before);
    }
    assert_int_equal(refused, 2); /* a page each */
    assert_int_equal(uncached, 2);
}

/* An iterator of many frames, of sizes and rights that it alternates. */
typedef struct alternating {
    vka_object_t *frames;
    size_t count;
    size_t next;
    const seL4_CapRights_t *rights; /* two, in turn */
} alternating_t;

static vm_frame_t alternate(uintptr_t addr, void *cookie)
{
    alternating_t *a = cookie;
    assert_true(a->next < a->count);
    const vka_object_t *frame = &a->frames[a->next];
    return (vm_frame_t){frame->cptr, a->rights[a->next++ % 2], addr, frame->size_bits};
}

/* Map frames of sizes in turn, `small` of 4 KiB for each of 2 MiB, at GPA. @return an array of
 * them, see free_alternating() */
static alternating_t map_alternating(world_t *w, size_t count, size_t small,
                                     const seL4_CapRights_t *rights)
{
    guestmem_statistics_t before;
    guestmem_statistics_t after;
    alternating_t a = {.count = count, .rights = rights};
    size_t size = 0;
    a.frames = calloc(a.count, sizeof(*a.frames));
    assert_non_null(a.frames);
    for (size_t i = 0; i < a.count; i++) {
        a.frames[i] = world_frame(w, small != 0 && i % (1 + small) == 0 ? 21 : 12);
        size += (size_t)1 << a.frames[i].size_bits;
    }
    vm_memory_reservation_t *r = world_reserve(w, GPA, size);
    assert_int_equal(guestmem_get_statistics(&w->vm, &before), 0);
    assert_int_equal(vm_map_reservation(&w->vm, r, alternate, &a), 0);
    assert_int_equal(a.next, a.count);
    assert_int_equal(guestmem_get_statistics(&w->vm, &after), 0);
    assert_in_range(after.heap_bytes - before.heap_bytes, 1, 48 * a.count);
    return a;
}

static void free_alternating(world_t *w, alternating_t *a)
{
    assert_int_equal(vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, GPA)), 0);
    for (size_t i = 0; i < a->count; i++) {
        vka_free_object(w->vm.vka, &a->frames[i]);
    }
    free(a->frames);
}

static void frames_of_alternating_rights_cost_no_more_heap_and_keep_their_rights(void **state)
{
    world_t *w = *state;
    const seL4_CapRights_t rights[] = {seL4_AllRights, seL4_CanRead};
    alternating_t a = map_alternating(w, 8 * MEGABYTE / PAGE, 0, rights);
    for (size_t i = 0; i < a.count; i++) {
        hosted_stage2_mapping_t mapping = guest_mapping_at(w, GPA + i * PAGE);
        assert_true(mapping.read);
        assert_int_equal(mapping.write, i % 2 == 0);
    }
    free_alternating(w, &a);
}

static void frames_of_alternating_sizes_cost_no_more_heap(void **state)
{
    world_t *w = *state;
    const seL4_CapRights_t rights[] = {seL4_AllRights, seL4_AllRights};
    alternating_t a = map_alternating(w, 8 * 513, 512, rights);
    for (uintptr_t gpa = GPA; gpa < GPA + 32 * MEGABYTE; gpa += 2 * MEGABYTE) {
        assert_int_equal(guest_mapping_at(w, gpa).size_bits, (gpa & 2 * MEGABYTE) == 0 ? 21 : 12);
    }
    free_alternating(w, &a);
}

/* Other sources than the allocator. */

/* What frame_of_pool() hands out; tests run one after another. */
static struct {
    vka_t *vka;
    vka_object_t frames[4];
    unsigned has; /* a bit for each frame that it has */
    int asked;
} pool;

/* A simple_t's frame_cap: a copy of the frame for RAM_PADDR and on. */
static seL4_Error frame_of_pool(void *data, void *paddr, int size_bits, cspacepath_t *path)
{
    cspacepath_t from;
    pool.asked++;
    uintptr_t index = ((uintptr_t)paddr - RAM_PADDR) / PAGE;
    if (size_bits != 12 || index >= 4 || (pool.has & (1u << index)) == 0) {
        return seL4_FailedLookup;
    }
    vka_cspace_make_path(pool.vka, pool.frames[index].cptr, &from);
    return (seL4_Error)vka_cnode_copy(path, &from, seL4_AllRights);
}

/* Two of four pages are simple's alone: they go back to it, and it is asked for no others. */
static void memory_that_the_allocator_lacks_is_asked_of_simple(void **state)
{
    world_t *w = *state;
    simple_t simple = *hosted_simple(w->system);
    hosted_census_t before;
    simple.frame_cap = frame_of_pool;
    pool.vka = w->vm.vka;
    pool.has = 0x5;
    pool.asked = 0;
    for (uintptr_t i = 0; i < 4; i += 2) {
        assert_int_equal(vka_alloc_frame_at(pool.vka, 12, RAM_PADDR + i * PAGE, &pool.frames[i]),
                         0);
    }
    w->vm.simple = &simple;
    hosted_census_take(w->system, &before);
    vm_memory_reservation_t *r = world_reserve(w, RAM_PADDR, 4 * PAGE);
    assert_int_equal(map_ut_alloc_reservation(&w->vm, r), 0);
    for (uintptr_t page = RAM_PADDR; page < RAM_PADDR + 4 * PAGE; page += PAGE) {
        assert_int_equal(guest_mapping_at(w, page).paddr, page);
    }
    assert_int_equal(pool.asked, 2);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    expect_census(w, &before);
    vka_free_object(pool.vka, &pool.frames[0]);
    vka_free_object(pool.vka, &pool.frames[2]);
}

static void without_simple_memory_at_an_address_counts_as_a_devices(void **state)
{
    world_t *w = *state;
    w->vm.simple = NULL;
    vm_memory_reservation_t *r = world_reserve(w, RAM_PADDR, PAGE);
    assert_int_equal(map_ut_alloc_reservation(&w->vm, r), 0);
    assert_int_equal(guest_mapping_at(w, RAM_PADDR).paddr, RAM_PADDR);
    assert_false(guest_mapping_at(w, RAM_PADDR).cacheable);
}

/* An allocator as camkes-vm's: memory at an address comes without a cookie, and is not returned. */
static struct {
    vka_t vka;
    vka_t *inner;
    seL4_Word cookie; /* the inner allocator's */
    int freed;        /* without a cookie */
} hooked;

static int alloc_at_without_cookie(void *data, const cspacepath_t *dest, seL4_Word type,
                                   seL4_Word size_bits, uintptr_t paddr, seL4_Word *cookie)
{
    *cookie = 0;
    return hooked.inner->utspace_alloc_at(data, dest, type, size_bits, paddr, &hooked.cookie);
}

static void free_with_cookie(void *data, seL4_Word type, seL4_Word size_bits, seL4_Word cookie)
{
    hooked.freed += cookie == 0;
    if (cookie != 0) {
        hooked.inner->utspace_free(data, type, size_bits, cookie);
    }
}

static void memory_without_a_cookie_is_not_returned_but_its_capability_goes(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    hooked.inner = w->vm.vka;
    hooked.vka = *hooked.inner;
    hooked.vka.utspace_alloc_at = alloc_at_without_cookie;
    hooked.vka.utspace_free = free_with_cookie;
    hooked.freed = 0;
    w->vm.vka = &hooked.vka;
    hosted_census_take(w->system, &before);
    vm_memory_reservation_t *r = world_reserve(w, RAM_PADDR, PAGE);
    assert_int_equal(map_ut_alloc_reservation(&w->vm, r), 0);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    assert_int_equal(hooked.freed, 0);
    hooked.inner->utspace_free(hooked.inner->data, seL4_ARM_SmallPageObject, 12, hooked.cookie);
    expect_census(w, &before); /* so its slot is free, and the capability is gone */
    w->vm.vka = hooked.inner;
}

static void a_range_of_two_kinds_of_memory_is_accessed_as_each_is_cached(void **state)
{
    world_t *w = *state;
    char bytes[16] = "0123456789abcde";
    vm_memory_reservation_t *r = world_reserve(w, RESERVED - PAGE, 2 * PAGE);
    assert_int_equal(map_ut_alloc_reservation(&w->vm, r), 0);
    assert_true(guest_mapping_at(w, RESERVED - PAGE).cacheable);
    assert_false(guest_mapping_at(w, RESERVED).cacheable);
    assert_int_equal(guestmem_access(&w->vm, RESERVED - 8, 16, vm_guest_ram_write_callback, bytes),
                     0);
    assert_memory_equal(guest_bytes(w, RESERVED - 8), bytes, 8);
    assert_memory_equal(guest_bytes(w, RESERVED), bytes + 8, 8);
}

static void an_io_space_is_refused_where_the_kernel_has_none(void **state)
{
    world_t *w = *state;
    assert_int_equal(vm_guest_add_iospace(&w->vm, &w->vm.mem.vmm_vspace, 0x42), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(vm_guest_add_iospace(NULL, NULL, 0x42), -1);
    assert_int_equal(w->log_lines, 1);
    vm_memory_reservation_t *r = world_reserve(w, 2 * MEGABYTE, 2 * MEGABYTE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    assert_int_equal(guest_mapping_at(w, 2 * MEGABYTE).size_bits, 21); /* nothing has changed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(device_memory_is_uncached_and_keeps_its_content),
        world_test(free_memory_is_cached_and_zeroed_each_time),
        world_test(ram_of_reserved_memory_is_cached_and_other_uses_are_not),
        world_test(any_memory_is_device_memory_as_long_as_there_is_some),
        world_test(regular_memory_is_taken_once_there_is_no_device_memory),
        world_test(free_frames_are_never_of_device_memory),
        world_test(ram_that_cannot_be_cleaned_from_the_caches_is_given_back),
        world_test(frames_of_alternating_rights_cost_no_more_heap_and_keep_their_rights),
        world_test(frames_of_alternating_sizes_cost_no_more_heap),
        world_test(memory_that_the_allocator_lacks_is_asked_of_simple),
        world_test(without_simple_memory_at_an_address_counts_as_a_devices),
        world_test(memory_without_a_cookie_is_not_returned_but_its_capability_goes),
        world_test(a_range_of_two_kinds_of_memory_is_accessed_as_each_is_cached),
        world_test(an_io_space_is_refused_where_the_kernel_has_none),
    };
    return cmocka_run_group_tests_name("frames", tests, NULL, NULL);
}
