/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The vspace_t that shows a guest's address space. */

#include "world.h"

#define GPA ((uintptr_t)0x80000000)

static void the_vspace_face_answers_for_mapped_frames_only(void **state)
{
    world_t *w = *state;
    vspace_t *face = &w->vm.mem.vm_vspace;
    vm_memory_reservation_t *r = world_reserve(w, GPA, 2 * MEGABYTE + PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    assert_int_not_equal(vspace_get_cap(face, (void *)GPA), seL4_CapNull);
    assert_int_equal(vspace_get_cap(face, (void *)GPA),
                     vspace_get_cap(face, (void *)(GPA + MEGABYTE)));
    assert_int_equal(vspace_get_cookie(face, (void *)GPA), 21);
    assert_int_equal(vspace_get_cookie(face, (void *)(GPA + 2 * MEGABYTE)), 12);
    assert_int_equal(vspace_get_cap(face, (void *)(GPA + 2 * MEGABYTE + PAGE)), seL4_CapNull);
    assert_int_equal(vspace_get_cookie(face, (void *)(GPA + 2 * MEGABYTE + PAGE)), 0);
    assert_int_equal(vspace_get_root(face), w->vm.mem.vm_vspace_root.cptr);
    seL4_ARM_Page_GetAddress_t address =
        seL4_ARM_Page_GetAddress(vspace_get_cap(face, (void *)GPA));
    assert_int_equal(address.paddr, guest_mapping_at(w, GPA).paddr);
}

static void the_vspace_face_refuses_to_map(void **state)
{
    world_t *w = *state;
    vspace_t *face = &w->vm.mem.vm_vspace;
    hosted_census_t before;
    seL4_CPtr cap = seL4_CapNull;
    void *vaddr = NULL;
    hosted_census_take(w->system, &before);
    assert_null(vspace_new_pages(face, seL4_AllRights, 1, 12));
    assert_null(vspace_map_pages(face, &cap, NULL, seL4_AllRights, 1, 12, 1));
    reservation_t some = {&before};
    reservation_t none = vspace_reserve_range_aligned(face, PAGE, 12, seL4_AllRights, 1, &vaddr);
    assert_null(none.res);
    assert_null(vspace_reserve_range_at(face, (void *)GPA, PAGE, seL4_AllRights, 1).res);
    assert_null(vspace_reserve_deferred_rights_range_at(face, (void *)GPA, PAGE, 1).res);
    assert_int_not_equal(vspace_map_pages_at_vaddr(face, &cap, NULL, (void *)GPA, 1, 12, none), 0);
    assert_int_not_equal(vspace_new_pages_at_vaddr(face, (void *)GPA, 1, 12, some), 0);
    assert_int_not_equal(vspace_deferred_rights_map_pages_at_vaddr(face, &cap, NULL, (void *)GPA, 1,
                                                                   12, seL4_AllRights, none),
                         0);
    vspace_unmap_pages(face, (void *)GPA, 1, 12, VSPACE_PRESERVE);
    vspace_free_reservation(face, none);
    vspace_free_reservation_by_vaddr(face, (void *)GPA);
    assert_int_not_equal(vspace_share_mem_at_vaddr(face, &w->vm.mem.vmm_vspace, (void *)GPA, 1, 12,
                                                   (void *)GPA, none),
                         0);
    vspace_tear_down(face, VSPACE_PRESERVE);
    expect_census(w, &before);
    assert_int_equal(w->log_lines, 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(the_vspace_face_answers_for_mapped_frames_only),
        world_test(the_vspace_face_refuses_to_map),
    };
    return cmocka_run_group_tests_name("vspace", tests, NULL, NULL);
}
