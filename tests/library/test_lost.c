/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Where the kernel refuses what undoes, which it does not do: memory is lost and counted, rather
 * than given to another while the guest may still reach it. */

#include "world.h"
#include <guestmem/change.h>

#define GPA ((uintptr_t)0x80000000)

static size_t lost(world_t *w)
{
    guestmem_statistics_t statistics;
    assert_int_equal(guestmem_get_statistics(&w->vm, &statistics), 0);
    return statistics.lost_objects;
}

/* End a world that has lost something, which its usual end would find. */
static void drop_world(world_t *w)
{
    hosted_system_destroy(w->system);
    hosted_log_to(NULL, NULL);
    free(w);
}

/* Let the k-th operation that undoes fail in vm_free_reserved_memory(). @return whether there is
 * one */
static bool free_refused(world_t *w, vm_memory_reservation_t *r, uint64_t k)
{
    hosted_inject_fail(w->system, HOSTED_OPERATION_UNDO, k);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    bool fired = hosted_inject_fired(w->system);
    hosted_inject_stop(w->system);
    return fired;
}

/* Free a mapped page while the k-th undoing operation fails. @return objects that were lost */
static size_t free_page(uint64_t k, bool *fired)
{
    world_t *w = NULL;
    hosted_census_t after;
    assert_int_equal(world_setup((void **)&w), 0);
    vm_memory_reservation_t *r = world_reserve(w, GPA, PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    *fired = free_refused(w, r, k);
    size_t counted = lost(w);
    assert_true(counted > 0 || !guest_has(w, GPA));
    vm_memory_destroy(&w->vm);
    hosted_census_take(w->system, &after);
    assert_int_equal(after.slots - w->before.slots, counted);
    assert_int_equal(after.heap_bytes, w->before.heap_bytes);
    assert_true(after.untyped_bytes >= w->before.untyped_bytes + counted * PAGE);
    drop_world(w);
    return counted;
}

static void what_cannot_be_deleted_is_counted_and_kept_from_others(void **state)
{
    size_t counted = 0;
    bool fired = true;
    for (uint64_t k = 1; fired; k++) {
        size_t now = free_page(k, &fired);
        assert_true(now <= 1);
        counted += now;
    }
    assert_int_equal(counted, 3); /* a frame and two tables; the others are the allocator's */
}

/* What the VMM still has mapped is not given back to the allocator. */
static void a_window_that_cannot_be_unmapped_keeps_its_frame_from_others(void **state)
{
    world_t *w = *state;
    char byte = 1;
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, PAGE, false), 0);
    assert_int_equal(guestmem_write(&w->vm, GPA, &byte, 1), 0);
    hosted_inject_fail(w->system, HOSTED_OPERATION_UNDO, 2); /* after the page was unmapped */
    assert_int_equal(vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, GPA)), 0);
    assert_true(hosted_inject_fired(w->system));
    hosted_inject_stop(w->system);
    assert_int_equal(lost(w), 1);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(vm_ram_register_at(&w->vm, GPA, PAGE, false), 0);
        assert_int_equal(vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, GPA)),
                         0);
    }
    hosted_census_take(w->system, &w->before); /* a page and a slot are gone for good ... */
    vm_memory_destroy(&w->vm);
    hosted_census_take(w->system, &w->before); /* ... when all else is given back */
    world_make_vm(w, &w->vm);
}

static void a_callers_frame_that_stays_mapped_is_counted(void **state)
{
    world_t *w = *state;
    vka_object_t frame = world_frame(w, 12);
    vm_memory_reservation_t *r = world_reserve(w, GPA, PAGE);
    assert_int_equal(vm_map_reservation_frames(&w->vm, r, &frame.cptr, 1, 12), 0);
    assert_true(free_refused(w, r, 1));
    assert_int_equal(lost(w), 1);
    vka_free_object(w->vm.vka, &frame); /* unmaps it; the rest was undone */
}

/* The map of a second frame is refused, and then the unmapping of the first. */
static void a_callers_frame_that_a_failed_map_cannot_unmap_is_counted(void **state)
{
    world_t *w = *state;
    vka_object_t frames[2] = {world_frame(w, 12), world_frame(w, 12)};
    seL4_CPtr caps[2] = {frames[0].cptr, frames[1].cptr};
    vm_memory_reservation_t *neighbour =
        world_reserve(w, GPA + 2 * PAGE, PAGE); /* has the tables */
    assert_int_equal(map_frame_alloc_reservation(&w->vm, neighbour), 0);
    vm_memory_reservation_t *r = world_reserve(w, GPA, 2 * PAGE);
    hosted_inject_fail(w->system, HOSTED_OPERATION_INVOCATION, 4); /* each was asked its paddr */
    hosted_inject_then_fail(w->system, HOSTED_OPERATION_UNDO, 1);
    assert_int_equal(vm_map_reservation_frames(&w->vm, r, caps, 2, 12), -1);
    assert_true(hosted_inject_fired_twice(w->system));
    hosted_inject_stop(w->system);
    expect_failure(w, GUESTMEM_KERNEL);
    assert_true(guest_has(w, GPA));
    assert_int_equal(lost(w), 1);
    vka_free_object(w->vm.vka, &frames[0]); /* unmaps it; the rest was undone */
    vka_free_object(w->vm.vka, &frames[1]);
}

/* A VMM's address space that does not map large frames. */
static int map_nothing_large(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[], void *vaddr,
                             size_t num_pages, size_t size_bits, reservation_t reservation)
{
    return -1;
}

static void an_access_whose_trial_cannot_be_unmapped_fails_whole(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 4 * MEGABYTE, false), 0);
    hosted_census_take(w->system, &before);
    w->vm.mem.vmm_vspace.map_pages_at_vaddr = map_nothing_large;
    hosted_inject_fail(w->system, HOSTED_OPERATION_UNDO, 1);
    assert_int_equal(guestmem_fill(&w->vm, GPA, 1, PAGE), -1);
    assert_true(hosted_inject_fired(w->system));
    hosted_inject_stop(w->system);
    expect_failure(w, GUESTMEM_NO_ADDRESS); /* of the frame by itself, which is tried next */
    expect_census(w, &before);
    assert_int_equal(lost(w), 0);
}

/* Rights that can be neither given back nor taken with the frame. @return objects that were lost */
static size_t protect_two(unsigned operations, bool *has)
{
    world_t *w = NULL;
    assert_int_equal(world_setup((void **)&w), 0);
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 4 * MEGABYTE, false), 0);
    hosted_inject_fail_from(w->system, operations, 2); /* the second frame, and what undoes that */
    assert_int_equal(guestmem_protect(&w->vm, GPA, 4 * MEGABYTE, seL4_CanRead), -1);
    hosted_inject_stop(w->system);
    *has = guest_has(w, GPA);
    assert_true(guest_has(w, GPA + 2 * MEGABYTE));
    size_t counted = lost(w);
    vm_memory_destroy(&w->vm);
    drop_world(w);
    return counted;
}

static void a_frame_with_rights_that_it_should_not_have_is_counted(void **state)
{
    bool has = true;
    assert_int_equal(protect_two(HOSTED_OPERATION_INVOCATION, &has), 1);
    assert_false(has);
    assert_int_equal(protect_two(HOSTED_OPERATION_INVOCATION | HOSTED_OPERATION_UNDO, &has), 2);
    assert_true(has);
}

/* RAM in two pieces whose frames are broken into pages while the k-th operation fails, and then the
 * l-th of those of the kind `then`: it is as it was, but for what is lost.
 * @return whether both have failed */
static bool break_frames(uint64_t k, unsigned then, uint64_t l, bool *fired)
{
    world_t *w = NULL;
    hosted_census_t after;
    uint64_t word = 5;
    assert_int_equal(world_setup((void **)&w), 0);
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 6 * MEGABYTE, false), 0);
    vm_memory_reservation_t *ram = guestmem_find_reservation(&w->vm, GPA);
    assert_int_equal(guestmem_write(&w->vm, GPA, &word, 8), 0);
    assert_int_equal(guestmem_discard(&w->vm, GPA + 2 * MEGABYTE, 2 * MEGABYTE, NULL), 0);
    hosted_inject_fail(w->system, HOSTED_OPERATION_FORWARD, k);
    hosted_inject_then_fail(w->system, then, l);
    int error = guestmem_track_written(&w->vm, ram, GUESTMEM_TRACK_PAGES);
    *fired = hosted_inject_fired(w->system);
    bool twice = hosted_inject_fired_twice(w->system);
    hosted_inject_stop(w->system);
    assert_true(*fired || error == 0); /* a trial that fails is made elsewhere */
    guestmem_frame_info_t info;
    for (uintptr_t gpa = GPA; gpa < GPA + 6 * MEGABYTE; gpa += 4 * MEGABYTE) {
        assert_int_equal(guestmem_frame_info(&w->vm, gpa, &info), 0);
        assert_int_equal(info.size_bits, error != 0 ? 21 : 12);
        assert_true(guest_has(w, gpa) || lost(w) > 0);
    }
    word = 0;
    assert_int_equal(guestmem_read(&w->vm, GPA, &word, 8), 0);
    assert_int_equal(word, 5);
    size_t counted = lost(w);
    vm_memory_destroy(&w->vm);
    hosted_census_take(w->system, &after);
    assert_true(after.slots == w->before.slots || counted > 0);
    assert_int_equal(after.heap_bytes, w->before.heap_bytes);
    drop_world(w);
    return twice;
}

/* Undoing maps the large frames again, which the kernel may refuse as well. */
static void breaking_frames_is_undone_as_far_as_the_kernel_does_it(void **state)
{
    static const unsigned kinds[] = {HOSTED_OPERATION_INVOCATION, HOSTED_OPERATION_UNDO};
    unsigned both = 0;
    for (uint64_t k = 1, fired = true; fired; k += 197) { /* far operations are alike */
        for (int i = 0; i < 2; i++) {
            bool again = true;
            for (uint64_t l = 1; again && l < 5; l++) {
                bool now;
                again = break_frames(k, kinds[i], l, &now);
                fired = now;
                both += again;
            }
        }
    }
    assert_true(both > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_deleted_is_counted_and_kept_from_others),
        world_test(a_window_that_cannot_be_unmapped_keeps_its_frame_from_others),
        world_test(a_callers_frame_that_stays_mapped_is_counted),
        world_test(a_callers_frame_that_a_failed_map_cannot_unmap_is_counted),
        world_test(an_access_whose_trial_cannot_be_unmapped_fails_whole),
        cmocka_unit_test(a_frame_with_rights_that_it_should_not_have_is_counted),
        cmocka_unit_test(breaking_frames_is_undone_as_far_as_the_kernel_does_it),
    };
    return cmocka_run_group_tests_name("lost", tests, NULL, NULL);
}
