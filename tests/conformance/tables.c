/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* What the kernel answers about page tables, unmapping and ASIDs. */

#include "objects.h"

#define BASE ((seL4_Word)0x40000000)
#define END  ((seL4_Word)1 << 40)

static void table_address_need_not_be_aligned_to_its_span(suite_t *suite)
{
    seL4_CPtr space = new_space(suite);
    EXPECT_ERROR(map_table(new_table(suite), space, BASE + 0x12345), seL4_NoError);
    EXPECT_ERROR(map_table(new_table(suite), space, BASE + 0x12345), seL4_NoError);
    EXPECT_ERROR(map(new_frame(suite, 12), space, BASE), seL4_NoError);
}

static void table_where_all_levels_are_is_DeleteFirst(suite_t *suite)
{
    seL4_CPtr space = new_space(suite);
    make_tables(suite, space, BASE, 12);
    EXPECT_ERROR(map_table(new_table(suite), space, BASE), seL4_DeleteFirst);
}

static void table_inside_a_large_page_is_DeleteFirst(suite_t *suite)
{
    seL4_CPtr space = new_space(suite);
    make_tables(suite, space, BASE, 21);
    EXPECT_ERROR(map(new_frame(suite, 21), space, BASE), seL4_NoError);
    EXPECT_ERROR(map_table(new_table(suite), space, BASE + PAGE), seL4_DeleteFirst);
}

static void mapped_table_again_is_InvalidCapability_0(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), table = new_table(suite);
    EXPECT_ERROR(map_table(table, space, BASE), seL4_NoError);
    EXPECT_ERROR_0(map_table(table, space, BASE), seL4_InvalidCapability, 0);
    EXPECT_ERROR_0(map_table(table, space, BASE + GIGABYTE), seL4_InvalidCapability, 0);
}

static void table_address_at_40_bits_is_InvalidArgument_0(suite_t *suite)
{
    EXPECT_ERROR_0(map_table(new_table(suite), new_space(suite), END), seL4_InvalidArgument, 0);
}

static void table_for_a_space_without_asid_is_InvalidCapability_1(suite_t *suite)
{
    seL4_CPtr unassigned = new_object(suite, seL4_ARM_VSpaceObject, seL4_VSpaceBits);
    EXPECT_ERROR_0(map_table(new_table(suite), unassigned, BASE), seL4_InvalidCapability, 1);
}

static void table_unmap_with_pages_below_is_NoError(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), table = new_table(suite), frame = new_frame(suite, 12);
    make_tables(suite, space, BASE, 21);
    EXPECT_ERROR(map_table(table, space, BASE), seL4_NoError);
    EXPECT_ERROR(map(frame, space, BASE), seL4_NoError);
    EXPECT_ERROR(seL4_ARM_PageTable_Unmap(table), seL4_NoError);
    EXPECT_FAILED_LOOKUP(map(frame, space, BASE), 21);
    EXPECT_ERROR(map_table(table, space, BASE), seL4_NoError);
    EXPECT_ERROR(map(frame, space, BASE), seL4_NoError);
}

static void table_that_was_unmapped_is_empty(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), table = new_table(suite), frame = new_frame(suite, 21);
    EXPECT_ERROR(map_table(table, space, BASE), seL4_NoError);
    EXPECT_ERROR(map(frame, space, BASE), seL4_NoError);
    EXPECT(large_page_at(suite, space, BASE));
    EXPECT_ERROR(seL4_ARM_PageTable_Unmap(table), seL4_NoError);
    EXPECT_ERROR(map_table(table, space, BASE), seL4_NoError);
    EXPECT(!large_page_at(suite, space, BASE));
}

static void table_unmap_with_a_copied_capability_is_RevokeFirst(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), table = new_table(suite), copy = new_slot(suite);
    EXPECT_ERROR(map_table(table, space, BASE), seL4_NoError);
    EXPECT_ERROR(copy_cap(suite, copy, table, seL4_AllRights), seL4_NoError);
    EXPECT_ERROR(seL4_ARM_PageTable_Unmap(table), seL4_RevokeFirst);
    EXPECT_ERROR(delete_cap(suite, copy), seL4_NoError);
    EXPECT_ERROR(seL4_ARM_PageTable_Unmap(table), seL4_NoError);
}

static void unmap_of_a_frame_that_is_not_mapped_is_NoError(suite_t *suite)
{
    EXPECT_ERROR(seL4_ARM_Page_Unmap(new_frame(suite, 12)), seL4_NoError);
    EXPECT_ERROR(seL4_ARM_Page_Unmap(new_frame(suite, 21)), seL4_NoError);
}

static void unmapped_frame_can_be_mapped_elsewhere(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), frame = new_frame(suite, 12);
    make_tables(suite, space, BASE, 12);
    EXPECT_ERROR(map(frame, space, BASE), seL4_NoError);
    EXPECT_ERROR(seL4_ARM_Page_Unmap(frame), seL4_NoError);
    EXPECT_ERROR(map(frame, space, BASE + PAGE), seL4_NoError);
}

static void asid_for_a_space_that_has_one_is_InvalidCapability_1(suite_t *suite)
{
    seL4_CPtr space = new_space(suite);
    EXPECT_ERROR_0(simple_ASIDPool_assign(suite->env->simple, space), seL4_InvalidCapability, 1);
}

static void asid_for_what_is_no_space_is_InvalidCapability_1(suite_t *suite)
{
    simple_t *simple = suite->env->simple;
    EXPECT_ERROR_0(simple_ASIDPool_assign(simple, new_frame(suite, 12)), seL4_InvalidCapability, 1);
    EXPECT_ERROR_0(simple_ASIDPool_assign(simple, new_table(suite)), seL4_InvalidCapability, 1);
    EXPECT_ERROR_0(simple_ASIDPool_assign(simple, new_untyped(suite, 12)), seL4_InvalidCapability,
                   1);
}

static void asids_of_deleted_spaces_are_used_again(suite_t *suite)
{
    seL4_CPtr untyped = new_untyped(suite, seL4_VSpaceBits), space = new_slot(suite);
    for (int i = 0; i < 600 && !suite->broken; i++) { /* more than a pool has */
        EXPECT_ERROR(retype(suite, untyped, seL4_ARM_VSpaceObject, 0, space), seL4_NoError);
        EXPECT_ERROR(simple_ASIDPool_assign(suite->env->simple, space), seL4_NoError);
        EXPECT_ERROR(delete_cap(suite, space), seL4_NoError);
    }
}

static const check_t checks[] = {
    CHECK(table_address_need_not_be_aligned_to_its_span),
    CHECK(table_where_all_levels_are_is_DeleteFirst),
    CHECK(table_inside_a_large_page_is_DeleteFirst),
    CHECK(mapped_table_again_is_InvalidCapability_0),
    CHECK(table_address_at_40_bits_is_InvalidArgument_0),
    CHECK(table_for_a_space_without_asid_is_InvalidCapability_1),
    CHECK(table_unmap_with_pages_below_is_NoError),
    CHECK(table_that_was_unmapped_is_empty),
    CHECK(table_unmap_with_a_copied_capability_is_RevokeFirst),
    CHECK(unmap_of_a_frame_that_is_not_mapped_is_NoError),
    CHECK(unmapped_frame_can_be_mapped_elsewhere),
    CHECK(asid_for_a_space_that_has_one_is_InvalidCapability_1),
    CHECK(asid_for_what_is_no_space_is_InvalidCapability_1),
    CHECK(asids_of_deleted_spaces_are_used_again),
};

const area_t area_tables = AREA("kernel tables", FIXTURE_OBJECTS, checks);
