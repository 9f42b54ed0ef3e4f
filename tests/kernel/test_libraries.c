/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The small functions of the libraries around the kernel that VMMs call. */

#include <platsupport/io.h>
#include <sel4utils/mapping.h>
#include <sel4utils/util.h>
#include <simple/simple_helpers.h>
#include <vspace/mapping.h>
#include "world.h"

static void a_page_is_mapped_with_the_tables_it_needs(void **state)
{
    hosted_census_t before = census();
    hosted_stage2_mapping_t mapping;
    vka_object_t tables[3];
    vka_object_t frame = new_object(seL4_ARM_SmallPageObject, 0);
    vka_object_t space = new_object(seL4_ARM_VSpaceObject, 0);
    int num = 1; /* too few */

    assert_int_equal(simple_ASIDPool_assign(hosted_simple(world), space.cptr), 0);
    assert_int_equal(sel4utils_map_page(vka, space.cptr, frame.cptr, (void *)0x40001000,
                                        seL4_CanRead, 0, tables, &num),
                     -1);
    assert_int_equal(num, 1);
    vka_free_object(vka, &tables[0]);
    num = 3;
    assert_int_equal(sel4utils_map_page(vka, space.cptr, frame.cptr, (void *)0x40001000,
                                        seL4_CanRead, 0, tables, &num),
                     seL4_NoError);
    assert_int_equal(num, 2);
    assert_true(mapped_at(space.cptr, 0x40001000, &mapping));
    assert_true(mapping.read && !mapping.write && !mapping.cacheable);
    vka_free_object(vka, &tables[1]);
    vka_free_object(vka, &tables[0]);
    vka_free_object(vka, &space);
    vka_free_object(vka, &frame);
    assert_census(&before);
}

static void only_missing_tables_are_asked_for(void **state)
{
    vspace_map_obj_t wanted;
    assert_int_equal(vspace_get_map_obj(SEL4_MAPPING_LOOKUP_NO_PT, &wanted), 0);
    assert_int_equal(wanted.type, seL4_ARM_PageTableObject);
    assert_int_equal(wanted.size_bits, seL4_PageTableBits);
    assert_int_equal(vspace_get_map_obj(12, &wanted), EINVAL);
    assert_int_equal(vspace_get_map_obj(SEL4_MAPPING_LOOKUP_NO_PD, NULL), EINVAL);
}

static void a_copy_of_a_page_is_mapped_and_goes_whole(void **state)
{
    vka_object_t frame = new_object(seL4_ARM_SmallPageObject, 0);
    hosted_census_t before = census();
    int *page = sel4utils_dup_and_map(vka, vmm, frame.cptr, seL4_PageBits);
    int *again = sel4utils_dup_and_map(vka, vmm, frame.cptr, seL4_PageBits);
    assert_non_null(page);
    assert_non_null(again);
    *page = 42;
    assert_int_equal(*again, 42);
    sel4utils_unmap_dup(vka, vmm, page, seL4_PageBits);
    sel4utils_unmap_dup(vka, vmm, again, seL4_PageBits);
    assert_census(&before);
    assert_null(sel4utils_dup_and_map(vka, vmm, new_slot(), seL4_PageBits));
}

static void leaky_allocations_are_capabilities(void **state)
{
    hosted_census_t before = census();
    seL4_CPtr frame = vka_alloc_frame_leaky(vka, seL4_LargePageBits);
    assert_int_not_equal(frame_address(frame), 0);
    assert_int_not_equal(vka_alloc_endpoint_leaky(vka), 0);
    assert_int_equal(vka_alloc_untyped_leaky(vka, 46), 0);
    hosted_census_t after = census();
    assert_int_equal(after.frames_2m, before.frames_2m + 1);
    assert_int_equal(after.objects, before.objects + 1);
    assert_int_equal(after.slots, before.slots + 2);
}

static void the_last_capability_is_an_untyped(void **state)
{
    simple_t *simple = hosted_simple(world);
    seL4_CPtr last = simple_last_valid_cap(simple);
    assert_int_equal(last + 1, hosted_bootinfo(world)->untyped.end);
    assert_true(simple_is_untyped_cap(simple, simple_get_nth_untyped(simple, 1, NULL, NULL, NULL)));
    assert_false(simple_is_untyped_cap(simple, seL4_CapInitThreadCNode));
}

static void heap_of_the_c_library(void **state)
{
    ps_malloc_ops_t ops;
    char *block = NULL;
    assert_int_equal(ps_new_stdlib_malloc_ops(NULL), EINVAL);
    assert_int_equal(ps_new_stdlib_malloc_ops(&ops), 0);
    assert_int_equal(ps_calloc(&ops, 16, 4, (void **)&block), 0);
    assert_int_equal(block[63], 0);
    assert_int_equal(ps_free(&ops, 64, block), 0);
}

static void names_of_errors_and_faults(void **state)
{
    assert_string_equal(sel4_strerror(seL4_DeleteFirst), "seL4_DeleteFirst");
    assert_string_equal(sel4_strerror(seL4_NumErrors), sel4_strerror(-1));
    assert_string_equal(sel4_strfault(seL4_Fault_VPPIEvent), "seL4_Fault_VPPIEvent");
    assert_string_equal(sel4_strfault(4), sel4_strfault(1000));
}

WORLD_MAIN(WORLD_TEST(a_page_is_mapped_with_the_tables_it_needs),
           WORLD_TEST(only_missing_tables_are_asked_for),
           WORLD_TEST(a_copy_of_a_page_is_mapped_and_goes_whole),
           WORLD_TEST(leaky_allocations_are_capabilities),
           WORLD_TEST(the_last_capability_is_an_untyped), WORLD_TEST(heap_of_the_c_library),
           WORLD_TEST(names_of_errors_and_faults))
