/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Page_Map answers what the real kernel answered, case by case. */

#include "world.h"

enum { BASE = 0x40000000 };
#define OTHER (BASE + 0x1000ul)
#define LARGE (1ul << 21)
#define HUGE  (1ul << 30)

static void mapped_capability_at_another_address_is_invalid_argument_0(void **state)
{
    (void)state;
    seL4_CPtr space = new_space(), frame = new_frame(12);
    make_tables(space, BASE, 12);
    assert_error(map(frame, space, BASE), seL4_NoError);
    assert_error_0(map(frame, space, OTHER), seL4_InvalidArgument, 0);
    assert_true(mapped_at(space, BASE, NULL));
    assert_false(mapped_at(space, OTHER, NULL));
}

static void mapped_capability_in_another_space_is_invalid_capability_1(void **state)
{
    (void)state;
    seL4_CPtr space = new_space(), other = new_space(), frame = new_frame(12);
    make_tables(space, BASE, 12);
    make_tables(other, BASE, 12);
    assert_error(map(frame, space, BASE), seL4_NoError);
    assert_error_0(map(frame, other, BASE), seL4_InvalidCapability, 1);
    assert_error_0(map(frame, other, OTHER), seL4_InvalidCapability, 1);
}

static void remap_changes_rights(void **state)
{
    (void)state;
    hosted_stage2_mapping_t mapping;
    seL4_CPtr space = new_space(), frame = new_frame(12);
    make_tables(space, BASE, 12);
    assert_error(map(frame, space, BASE), seL4_NoError);
    assert_error(map(frame, space, BASE), seL4_NoError);
    assert_error(seL4_ARM_Page_Map(frame, space, BASE, seL4_CanRead, 0), seL4_NoError);
    assert_true(mapped_at(space, BASE, &mapping));
    assert_true(mapping.read);
    assert_false(mapping.write);
    assert_false(mapping.cacheable);
}

static void occupied_address_is_silently_replaced(void **state)
{
    (void)state;
    hosted_stage2_mapping_t mapping;
    seL4_CPtr space = new_space(), first = new_frame(12), second = new_frame(12);
    make_tables(space, BASE, 12);
    assert_error(map(first, space, BASE), seL4_NoError);
    assert_error(map(second, space, BASE), seL4_NoError);
    assert_int_equal(census().guest_mappings, 1);
    assert_error(seL4_ARM_Page_Unmap(first), seL4_NoError);
    assert_true(mapped_at(space, BASE, &mapping));
    assert_int_equal(mapping.paddr, frame_address(second));
    assert_error(delete_cap(first), seL4_NoError);
    assert_true(mapped_at(space, BASE, NULL));
}

static void missing_tables_are_named_by_level(void **state)
{
    (void)state;
    seL4_CPtr space = new_space(), frame = new_frame(12);
    assert_failed_lookup(map(frame, space, BASE), 30);
    assert_error(map_table(new_table(), space, BASE), seL4_NoError);
    assert_failed_lookup(map(frame, space, BASE), 21);
    assert_error(map_table(new_table(), space, BASE), seL4_NoError);
    assert_error(map(frame, space, BASE), seL4_NoError);
}

static void large_page_over_tables_is_failed_lookup_12(void **state)
{
    (void)state;
    seL4_CPtr space = new_space();
    make_tables(space, BASE, 12);
    assert_failed_lookup(map(new_frame(21), space, BASE), 12);
    assert_failed_lookup(map(new_frame(30), space, BASE), 12);
}

static void small_page_inside_a_larger_one_is_failed_lookup(void **state)
{
    (void)state;
    seL4_CPtr space = new_space();
    make_tables(space, BASE, 21);
    assert_error(map(new_frame(21), space, BASE), seL4_NoError);
    assert_failed_lookup(map(new_frame(12), space, OTHER), 21);
    assert_error(map(new_frame(30), space, BASE + HUGE), seL4_NoError);
    assert_failed_lookup(map(new_frame(12), space, BASE + HUGE), 30);
    assert_failed_lookup(map(new_frame(21), space, BASE + HUGE), 30);
}

static void large_page_over_a_large_page_replaces_it(void **state)
{
    (void)state;
    hosted_stage2_mapping_t mapping;
    seL4_CPtr space = new_space(), second = new_frame(21);
    make_tables(space, BASE, 21);
    assert_error(map(new_frame(21), space, BASE), seL4_NoError);
    assert_error(map(second, space, BASE), seL4_NoError);
    assert_true(mapped_at(space, BASE, &mapping));
    assert_int_equal(mapping.paddr, frame_address(second));
}

static void large_pages_need_their_tables(void **state)
{
    (void)state;
    seL4_CPtr space = new_space();
    assert_failed_lookup(map(new_frame(21), space, BASE), 30);
    assert_error(map(new_frame(30), space, BASE), seL4_NoError);
}

static void misaligned_address_is_alignment_error(void **state)
{
    (void)state;
    seL4_CPtr space = new_space();
    make_tables(space, BASE, 12);
    assert_error(map(new_frame(12), space, BASE + 0x800), seL4_AlignmentError);
    assert_error(map(new_frame(21), space, BASE + LARGE / 2), seL4_AlignmentError);
    assert_error(map(new_frame(30), space, BASE + HUGE / 2), seL4_AlignmentError);
}

static void address_space_ends_at_40_bits(void **state)
{
    (void)state;
    seL4_CPtr space = new_space(), frame = new_frame(12);
    assert_error_0(map(frame, space, 1ul << 40), seL4_InvalidArgument, 0);
    assert_failed_lookup(map(frame, space, (1ul << 40) - 0x1000), 30);
    assert_error_0(map(frame, space, -0x1000ul), seL4_InvalidArgument, 0);
}

static void what_is_no_assigned_space_is_invalid_capability_1(void **state)
{
    (void)state;
    seL4_CPtr frame = new_frame(12);
    seL4_CPtr unassigned = new_object(seL4_ARM_VSpaceObject, 0).cptr;
    assert_error_0(map(frame, unassigned, BASE), seL4_InvalidCapability, 1);
    assert_error_0(map(frame, seL4_CapNull, BASE), seL4_InvalidCapability, 1);
    assert_error_0(map(frame, new_frame(12), BASE), seL4_InvalidCapability, 1);
}

static void what_is_no_frame_cannot_be_mapped(void **state)
{
    (void)state;
    seL4_CPtr space = new_space();
    assert_error_0(map(seL4_CapNull, space, BASE), seL4_InvalidCapability, 0);
    assert_error_0(map(new_slot(), space, BASE), seL4_InvalidCapability, 0);
    assert_error(map(new_untyped(12), space, BASE), seL4_IllegalOperation);
}

typedef struct rights_case {
    seL4_CapRights_t capability, mapping;
    bool read, write;
} rights_case_t;

static void rights_are_read_or_read_and_write_or_none(void **state)
{
    (void)state;
    const rights_case_t cases[] = {
        {seL4_ReadWrite, seL4_ReadWrite, true, true},
        {seL4_ReadWrite, seL4_CanRead, true, false},
        {seL4_CanRead, seL4_ReadWrite, true, false},
        {seL4_CanRead, seL4_CanRead, true, false},
        {seL4_ReadWrite, seL4_CanWrite, false, false},
        {seL4_ReadWrite, seL4_NoRights, false, false},
        {seL4_CanWrite, seL4_ReadWrite, false, false},
        {seL4_NoRights, seL4_ReadWrite, false, false},
    };
    seL4_CPtr space = new_space(), frame = new_frame(12);
    make_tables(space, BASE, 12);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hosted_stage2_mapping_t mapping;
        seL4_CPtr limited = new_slot();
        assert_error(copy(limited, frame, cases[i].capability), seL4_NoError);
        assert_error(seL4_ARM_Page_Map(limited, space, BASE, cases[i].mapping, DEFAULT_ATTRIBUTES),
                     seL4_NoError);
        assert_true(mapped_at(space, BASE, &mapping));
        assert_int_equal(mapping.read, cases[i].read);
        assert_int_equal(mapping.write, cases[i].write);
        assert_int_equal(mapping.execute, cases[i].read);
        assert_error(delete_cap(limited), seL4_NoError);
    }
}

static void attributes_reach_the_mapping(void **state)
{
    (void)state;
    hosted_stage2_mapping_t mapping;
    seL4_CPtr space = new_space(), frame = new_frame(12);
    make_tables(space, BASE, 12);
    assert_error(seL4_ARM_Page_Map(frame, space, BASE, seL4_AllRights,
                                   seL4_ARM_PageCacheable | seL4_ARM_ExecuteNever),
                 seL4_NoError);
    assert_true(mapped_at(space, BASE, &mapping));
    assert_true(mapping.cacheable);
    assert_false(mapping.execute);
}

static void cache_operations_check_their_range(void **state)
{
    (void)state;
    seL4_CPtr space = new_space(), frame = new_frame(12);
    make_tables(space, BASE, 12);
    assert_error(seL4_ARM_Page_Clean_Data(frame, 0, 0x1000), seL4_IllegalOperation);
    assert_error(map(frame, space, BASE), seL4_NoError);
    assert_error(seL4_ARM_Page_Clean_Data(frame, 0, 0x1000), seL4_NoError);
    assert_error_0(seL4_ARM_Page_Invalidate_Data(frame, 8, 8), seL4_InvalidArgument, 1);
    assert_error_0(seL4_ARM_Page_CleanInvalidate_Data(frame, 0, 0x1001), seL4_InvalidArgument, 0);
    assert_error(seL4_ARM_Page_Unify_Instruction(frame, 16, 32), seL4_NoError);
}

WORLD_MAIN(WORLD_TEST(mapped_capability_at_another_address_is_invalid_argument_0),
           WORLD_TEST(mapped_capability_in_another_space_is_invalid_capability_1),
           WORLD_TEST(remap_changes_rights), WORLD_TEST(occupied_address_is_silently_replaced),
           WORLD_TEST(missing_tables_are_named_by_level),
           WORLD_TEST(large_page_over_tables_is_failed_lookup_12),
           WORLD_TEST(small_page_inside_a_larger_one_is_failed_lookup),
           WORLD_TEST(large_page_over_a_large_page_replaces_it),
           WORLD_TEST(large_pages_need_their_tables),
           WORLD_TEST(misaligned_address_is_alignment_error),
           WORLD_TEST(address_space_ends_at_40_bits),
           WORLD_TEST(what_is_no_assigned_space_is_invalid_capability_1),
           WORLD_TEST(what_is_no_frame_cannot_be_mapped),
           WORLD_TEST(rights_are_read_or_read_and_write_or_none),
           WORLD_TEST(attributes_reach_the_mapping), WORLD_TEST(cache_operations_check_their_range))
