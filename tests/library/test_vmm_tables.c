/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A VMM's address space in which large frames cannot be mapped at some places, as seL4's own cannot
 * where page tables are left over. The library must look elsewhere, and must know when to stop.
 */

#include "world.h"

#define GPA ((uintptr_t)0x80000000)

/* The vspace of the hosted system, behind one that refuses large frames a number of times. */
static struct {
    vspace_t *inner;
    int refusals; /* that are left */
    int asked;    /* maps of large frames */
    int held;     /* ranges that are reserved */
} vmm;

static bool refuses(size_t size_bits)
{
    if (size_bits == seL4_PageBits) {
        return false;
    }
    vmm.asked++;
    return vmm.refusals > 0 && vmm.refusals-- > 0;
}

static int map_pages_at(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[], void *vaddr,
                        size_t num_pages, size_t size_bits, reservation_t reservation)
{
    if (refuses(size_bits)) {
        return -1;
    }
    return vspace_map_pages_at_vaddr(vmm.inner, caps, cookies, vaddr, num_pages, size_bits,
                                     reservation);
}

static void *map_pages(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[],
                       seL4_CapRights_t rights, size_t num_pages, size_t size_bits, int cacheable)
{
    return refuses(size_bits) ? NULL
                              : vspace_map_pages(vmm.inner, caps, cookies, rights, num_pages,
                                                 size_bits, cacheable);
}

static reservation_t reserve_range(vspace_t *vspace, size_t bytes, size_t size_bits,
                                   seL4_CapRights_t rights, int cacheable, void **vaddr)
{
    reservation_t range =
        vspace_reserve_range_aligned(vmm.inner, bytes, size_bits, rights, cacheable, vaddr);
    vmm.held += range.res != NULL;
    return range;
}

static void free_range(vspace_t *vspace, reservation_t reservation)
{
    vmm.held--;
    vspace_free_reservation(vmm.inner, reservation);
}

static void refuse(world_t *w, int times)
{
    vmm.inner = hosted_vmm_vspace(w->system);
    vmm.refusals = times;
    vmm.asked = 0;
    vmm.held = 0;
    w->vm.mem.vmm_vspace = *vmm.inner;
    w->vm.mem.vmm_vspace.map_pages_at_vaddr = map_pages_at;
    w->vm.mem.vmm_vspace.map_pages = map_pages;
    w->vm.mem.vmm_vspace.reserve_range_aligned = reserve_range;
    w->vm.mem.vmm_vspace.free_reservation = free_range;
}

static void a_window_opens_past_the_places_where_large_frames_do_not_go(void **state)
{
    world_t *w = *state;
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 4 * MEGABYTE, false), 0);
    refuse(w, 5);
    assert_int_equal(guestmem_fill(&w->vm, GPA, 0x5a, 4 * MEGABYTE), 0);
    assert_int_equal(vmm.asked, 5 + 2);
    assert_int_equal(vmm.held, 1); /* the window's own */
    assert_int_equal(guest_bytes(w, GPA + 3 * MEGABYTE)[0], 0x5a);
}

static void a_window_that_fits_nowhere_fails_and_leaves_nothing(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 4 * MEGABYTE, false), 0);
    hosted_census_take(w->system, &before);
    refuse(w, 1000);
    assert_int_equal(guestmem_fill(&w->vm, GPA, 0x5a, 1), -1);
    expect_failure(w, GUESTMEM_NO_ADDRESS);
    assert_int_equal(vmm.held, 0);
    assert_true(vmm.asked > 1 && vmm.asked < 500);
    expect_census(w, &before);
}

static void an_access_without_windows_goes_past_such_places_as_well(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 2 * MEGABYTE, false), 0);
    assert_int_equal(guestmem_set_windows(&w->vm, GUESTMEM_WINDOWS_NONE), 0);
    hosted_census_take(w->system, &before);
    refuse(w, 3);
    assert_int_equal(guestmem_fill(&w->vm, GPA, 0x5a, PAGE), 0);
    assert_int_equal(vmm.asked, 3 + 1);
    assert_int_equal(vmm.held, 1); /* the frame's own, which stays */
    assert_int_equal(vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, GPA)), 0);
    assert_int_equal(vmm.held, 0);
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 2 * MEGABYTE, false), 0);
    refuse(w, 1000);
    assert_int_equal(guestmem_fill(&w->vm, GPA, 0x5a, PAGE), -1);
    expect_failure(w, GUESTMEM_NO_ADDRESS);
    expect_census(w, &before);
}

/* libsel4utils loses the addresses of parts in which nothing was ever mapped. */
static void a_window_is_freed_when_each_part_of_it_was_mapped(void **state)
{
    world_t *w = *state;
    char byte = 1;
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 16 * MEGABYTE, false), 0);
    refuse(w, 0);
    assert_int_equal(guestmem_write(&w->vm, GPA + 4 * MEGABYTE, &byte, 1), 0);
    assert_int_equal(vmm.asked, 1);
    assert_int_equal(vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, GPA)), 0);
    assert_int_equal(vmm.asked, 8);
    assert_int_equal(vmm.held, 0);
}

/* The same for windows that begin and end between large frames, of small frames, and where the
 * kernel refuses: freeing cannot fail. */
static void windows_of_all_shapes_are_freed(void **state)
{
    world_t *w = *state;
    char byte = 1;
    hosted_census_t before;
    hosted_census_take(w->system, &before);
    for (uint64_t k = 0; k < 24; k++) {
        refuse(w, 0);
        bool small = k % 2 == 1;
        uintptr_t base = GPA + 4 * MEGABYTE - (k % 4 < 2 ? PAGE : 0);
        assert_int_equal(guestmem_set_largest_frame(&w->vm, small ? 12 : 21), 0);
        assert_int_equal(vm_ram_register_at(&w->vm, base, 8 * MEGABYTE + 2 * PAGE, false), 0);
        assert_int_equal(guestmem_write(&w->vm, GPA + 9 * MEGABYTE, &byte, 1), 0);
        hosted_inject_fail(w->system, HOSTED_OPERATION_FORWARD, k / 4 + 1);
        assert_int_equal(vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, base)),
                         0);
        hosted_inject_stop(w->system);
        assert_int_equal(vmm.held, 0);
        expect_census(w, &before);
    }
    w->log_lines = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(a_window_opens_past_the_places_where_large_frames_do_not_go),
        world_test(a_window_that_fits_nowhere_fails_and_leaves_nothing),
        world_test(an_access_without_windows_goes_past_such_places_as_well),
        world_test(windows_of_all_shapes_are_freed),
        world_test(a_window_is_freed_when_each_part_of_it_was_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
