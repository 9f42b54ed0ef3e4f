/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* What the kernel answers when capabilities are copied, moved, deleted and revoked. */

#include "objects.h"

#define BASE  ((seL4_Word)0x40000000)
#define OTHER (BASE + PAGE)
#define LARGE ((seL4_Word)1 << seL4_LargePageBits)

static void copy_of_a_mapped_frame_has_no_mapping(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), frame = new_frame(suite, 12), copy = new_slot(suite);
    make_tables(suite, space, BASE, 12);
    EXPECT_ERROR(map(frame, space, BASE), seL4_NoError);
    EXPECT_ERROR(copy_cap(suite, copy, frame, seL4_AllRights), seL4_NoError);
    EXPECT_ERROR(map(copy, space, OTHER), seL4_NoError);
    EXPECT_ERROR_0(map(frame, space, OTHER), seL4_InvalidArgument, 0);
}

static void move_of_a_mapped_frame_keeps_the_mapping(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), frame = new_frame(suite, 21), moved = new_slot(suite);
    make_tables(suite, space, BASE, 21);
    EXPECT_ERROR(map(frame, space, BASE), seL4_NoError);
    EXPECT_ERROR(move_cap(suite, moved, frame), seL4_NoError);
    EXPECT(large_page_at(suite, space, BASE));
    EXPECT_ERROR_0(map(moved, space, BASE + LARGE), seL4_InvalidArgument, 0);
    EXPECT_ERROR(map(moved, space, BASE), seL4_NoError);
    EXPECT_ERROR_0(seL4_ARM_Page_Unmap(frame), seL4_InvalidCapability, 0);
    EXPECT_ERROR(seL4_ARM_Page_Unmap(moved), seL4_NoError);
    EXPECT(!large_page_at(suite, space, BASE));
}

static void occupied_destination_is_DeleteFirst(suite_t *suite)
{
    seL4_CPtr frame = new_frame(suite, 12), taken = new_frame(suite, 12);
    EXPECT_ERROR(copy_cap(suite, taken, frame, seL4_AllRights), seL4_DeleteFirst);
    EXPECT_ERROR(mint_cap(suite, taken, frame, 0), seL4_DeleteFirst);
    EXPECT_ERROR(move_cap(suite, taken, frame), seL4_DeleteFirst);
}

static void copy_or_move_from_an_empty_slot_is_FailedLookup_1_2_64(suite_t *suite)
{
    seL4_CPtr empty = new_slot(suite), to = new_slot(suite);
    EXPECT_ERROR_WITH(copy_cap(suite, to, empty, seL4_AllRights), seL4_FailedLookup, 1,
                      seL4_MissingCapability, 64);
    EXPECT_ERROR_WITH(move_cap(suite, to, empty), seL4_FailedLookup, 1, seL4_MissingCapability, 64);
}

static void delete_or_revoke_of_an_empty_slot_is_NoError(suite_t *suite)
{
    seL4_CPtr empty = new_slot(suite);
    EXPECT_ERROR(delete_cap(suite, empty), seL4_NoError);
    EXPECT_ERROR(revoke_cap(suite, empty), seL4_NoError);
}

static void copy_of_a_table_is_IllegalOperation_until_it_is_mapped(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), table = new_table(suite), copy = new_slot(suite);
    EXPECT_ERROR(copy_cap(suite, copy, table, seL4_AllRights), seL4_IllegalOperation);
    EXPECT_ERROR(map_table(table, space, BASE), seL4_NoError);
    EXPECT_ERROR(copy_cap(suite, copy, table, seL4_AllRights), seL4_NoError);
}

static void copy_of_a_space_is_IllegalOperation_until_it_has_an_asid(suite_t *suite)
{
    seL4_CPtr space = new_object(suite, seL4_ARM_VSpaceObject, seL4_VSpaceBits);
    seL4_CPtr copy = new_slot(suite);
    EXPECT_ERROR(copy_cap(suite, copy, space, seL4_AllRights), seL4_IllegalOperation);
    EXPECT_ERROR(simple_ASIDPool_assign(suite->env->simple, space), seL4_NoError);
    EXPECT_ERROR(copy_cap(suite, copy, space, seL4_AllRights), seL4_NoError);
}

static void copy_of_an_untyped_is_RevokeFirst_once_it_has_children(suite_t *suite)
{
    seL4_CPtr untyped = new_untyped(suite, 13), copy = new_slot(suite), child = new_slot(suite);
    EXPECT_ERROR(copy_cap(suite, copy, untyped, seL4_AllRights), seL4_NoError);
    EXPECT_ERROR(delete_cap(suite, copy), seL4_NoError);
    EXPECT_ERROR(retype(suite, untyped, seL4_ARM_SmallPageObject, 12, child), seL4_NoError);
    EXPECT_ERROR(copy_cap(suite, copy, untyped, seL4_AllRights), seL4_RevokeFirst);
}

static void revoke_of_a_frame_deletes_copies_and_keeps_the_original_mapped(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), frame = new_frame(suite, 21);
    seL4_CPtr copy = new_slot(suite), other = new_slot(suite);
    make_tables(suite, space, BASE, 21);
    EXPECT_ERROR(map(frame, space, BASE), seL4_NoError);
    EXPECT_ERROR(copy_cap(suite, copy, frame, seL4_AllRights), seL4_NoError);
    EXPECT_ERROR(copy_cap(suite, other, frame, seL4_CanRead), seL4_NoError);
    EXPECT_ERROR(map(other, space, BASE + LARGE), seL4_NoError);
    EXPECT_ERROR(revoke_cap(suite, frame), seL4_NoError);
    EXPECT_ERROR_0(seL4_ARM_Page_Unmap(copy), seL4_InvalidCapability, 0);
    EXPECT_ERROR_0(seL4_ARM_Page_Unmap(other), seL4_InvalidCapability, 0);
    EXPECT(large_page_at(suite, space, BASE));
    EXPECT(!large_page_at(suite, space, BASE + LARGE));
    EXPECT_ERROR_0(map(frame, space, BASE + LARGE), seL4_InvalidArgument, 0);
}

static void delete_of_the_mapped_capability_ends_the_mapping_not_the_object(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), frame = new_frame(suite, 21), copy = new_slot(suite);
    make_tables(suite, space, BASE, 21);
    EXPECT_ERROR(map(frame, space, BASE), seL4_NoError);
    EXPECT_ERROR(copy_cap(suite, copy, frame, seL4_AllRights), seL4_NoError);
    EXPECT_ERROR(delete_cap(suite, frame), seL4_NoError);
    EXPECT(!large_page_at(suite, space, BASE));
    EXPECT_ERROR(map(copy, space, BASE), seL4_NoError);
    EXPECT_ERROR(delete_cap(suite, copy), seL4_NoError); /* the last one */
    EXPECT(!large_page_at(suite, space, BASE));
}

static void delete_of_an_unmapped_copy_keeps_the_originals_mapping(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), frame = new_frame(suite, 21), copy = new_slot(suite);
    make_tables(suite, space, BASE, 21);
    EXPECT_ERROR(map(frame, space, BASE), seL4_NoError);
    EXPECT_ERROR(copy_cap(suite, copy, frame, seL4_AllRights), seL4_NoError);
    EXPECT_ERROR(delete_cap(suite, copy), seL4_NoError);
    EXPECT(large_page_at(suite, space, BASE));
}

static const check_t checks[] = {
    CHECK(copy_of_a_mapped_frame_has_no_mapping),
    CHECK(move_of_a_mapped_frame_keeps_the_mapping),
    CHECK(occupied_destination_is_DeleteFirst),
    CHECK(copy_or_move_from_an_empty_slot_is_FailedLookup_1_2_64),
    CHECK(delete_or_revoke_of_an_empty_slot_is_NoError),
    CHECK(copy_of_a_table_is_IllegalOperation_until_it_is_mapped),
    CHECK(copy_of_a_space_is_IllegalOperation_until_it_has_an_asid),
    CHECK(copy_of_an_untyped_is_RevokeFirst_once_it_has_children),
    CHECK(revoke_of_a_frame_deletes_copies_and_keeps_the_original_mapped),
    CHECK(delete_of_the_mapped_capability_ends_the_mapping_not_the_object),
    CHECK(delete_of_an_unmapped_copy_keeps_the_originals_mapping),
};

const area_t area_capabilities = AREA("kernel capabilities", FIXTURE_OBJECTS, checks);
