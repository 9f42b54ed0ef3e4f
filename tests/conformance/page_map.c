/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* What the kernel answers when a page is mapped. */

#include "objects.h"
#include <vka/object.h>
#include <sel4/sel4_arch/mapping.h>

#define BASE  ((seL4_Word)0x40000000)
#define OTHER (BASE + PAGE)
#define LARGE ((seL4_Word)1 << seL4_LargePageBits)
#define END   ((seL4_Word)1 << 40)

static void mapped_capability_at_another_address_is_InvalidArgument_0(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), frame = new_frame(suite, 12);
    make_tables(suite, space, BASE, 12);
    EXPECT_ERROR(map(frame, space, BASE), seL4_NoError);
    EXPECT_ERROR_0(map(frame, space, OTHER), seL4_InvalidArgument, 0);
}

static void mapped_capability_in_another_space_is_InvalidCapability_1(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), other = new_space(suite), frame = new_frame(suite, 12);
    make_tables(suite, space, BASE, 12);
    make_tables(suite, other, BASE, 12);
    EXPECT_ERROR(map(frame, space, BASE), seL4_NoError);
    EXPECT_ERROR_0(map(frame, other, BASE), seL4_InvalidCapability, 1);
    EXPECT_ERROR_0(map(frame, other, OTHER), seL4_InvalidCapability, 1);
}

static void mapped_capability_at_its_address_again_is_NoError(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), frame = new_frame(suite, 12);
    make_tables(suite, space, BASE, 12);
    EXPECT_ERROR(map(frame, space, BASE), seL4_NoError);
    EXPECT_ERROR(map(frame, space, BASE), seL4_NoError);
    EXPECT_ERROR(seL4_ARM_Page_Map(frame, space, BASE, seL4_CanRead, seL4_ARM_PageCacheable),
                 seL4_NoError);
    EXPECT_ERROR(map(frame, space, BASE), seL4_NoError);
}

static void another_frame_at_an_occupied_address_is_NoError_and_replaces(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), first = new_frame(suite, 12), second = new_frame(suite, 12);
    make_tables(suite, space, BASE, 12);
    EXPECT_ERROR(map(first, space, BASE), seL4_NoError);
    EXPECT_ERROR(map(second, space, BASE), seL4_NoError);
    /* Both capabilities count as mapped there. */
    EXPECT_ERROR_0(map(first, space, OTHER), seL4_InvalidArgument, 0);
    EXPECT_ERROR_0(map(second, space, OTHER), seL4_InvalidArgument, 0);
}

static void another_large_page_replaces_and_outlives_the_displaced_one(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), first = new_frame(suite, 21), second = new_frame(suite, 21);
    make_tables(suite, space, BASE, 21);
    EXPECT(!large_page_at(suite, space, BASE));
    EXPECT_ERROR(map(first, space, BASE), seL4_NoError);
    EXPECT_ERROR(map(second, space, BASE), seL4_NoError);
    EXPECT_ERROR(seL4_ARM_Page_Unmap(first), seL4_NoError);
    EXPECT(large_page_at(suite, space, BASE));
    EXPECT_ERROR(seL4_ARM_Page_Unmap(second), seL4_NoError);
    EXPECT(!large_page_at(suite, space, BASE));
}

static void missing_tables_are_FailedLookup_30_and_21(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), frame = new_frame(suite, 12);
    EXPECT_FAILED_LOOKUP(map(frame, space, BASE), 30);
    EXPECT_EQUAL(seL4_MappingFailedLookupLevel(), 30);
    EXPECT_ERROR(map_table(new_table(suite), space, BASE), seL4_NoError);
    EXPECT_FAILED_LOOKUP(map(frame, space, BASE), 21);
    EXPECT_ERROR(map_table(new_table(suite), space, BASE), seL4_NoError);
    EXPECT_ERROR(map(frame, space, BASE), seL4_NoError);
}

static void large_page_over_tables_is_FailedLookup_12(suite_t *suite)
{
    seL4_CPtr space = new_space(suite);
    make_tables(suite, space, BASE, 12);
    EXPECT_FAILED_LOOKUP(map(new_frame(suite, 21), space, BASE), 12);
}

static void large_page_without_a_table_is_FailedLookup_30(suite_t *suite)
{
    seL4_CPtr space = new_space(suite);
    EXPECT_FAILED_LOOKUP(map(new_frame(suite, 21), space, BASE), 30);
}

static void small_page_inside_a_large_one_is_FailedLookup_21(suite_t *suite)
{
    seL4_CPtr space = new_space(suite);
    make_tables(suite, space, BASE, 21);
    EXPECT_ERROR(map(new_frame(suite, 21), space, BASE), seL4_NoError);
    EXPECT_FAILED_LOOKUP(map(new_frame(suite, 12), space, BASE), 21);
    EXPECT_FAILED_LOOKUP(map(new_frame(suite, 12), space, OTHER), 21);
}

static void misaligned_address_is_AlignmentError(suite_t *suite)
{
    seL4_CPtr space = new_space(suite);
    make_tables(suite, space, BASE, 12);
    EXPECT_ERROR(map(new_frame(suite, 12), space, BASE + 0x800), seL4_AlignmentError);
    EXPECT_ERROR(map(new_frame(suite, 21), space, BASE + LARGE / 2), seL4_AlignmentError);
    EXPECT_ERROR(map(new_frame(suite, 21), space, BASE + PAGE), seL4_AlignmentError);
}

static void address_at_40_bits_is_InvalidArgument_0(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), frame = new_frame(suite, 12);
    EXPECT_ERROR_0(map(frame, space, END), seL4_InvalidArgument, 0);
    EXPECT_FAILED_LOOKUP(map(frame, space, END - PAGE), 30);
}

static void what_is_no_assigned_space_is_InvalidCapability_1(suite_t *suite)
{
    seL4_CPtr frame = new_frame(suite, 12);
    seL4_CPtr unassigned = new_object(suite, seL4_ARM_VSpaceObject, seL4_VSpaceBits);
    EXPECT_ERROR_0(map(frame, unassigned, BASE), seL4_InvalidCapability, 1);
    EXPECT_ERROR_0(map(frame, seL4_CapNull, BASE), seL4_InvalidCapability, 1);
    EXPECT_ERROR_0(map(frame, new_frame(suite, 12), BASE), seL4_InvalidCapability, 1);
}

static void no_capability_as_frame_is_InvalidCapability_0(suite_t *suite)
{
    seL4_CPtr space = new_space(suite);
    EXPECT_ERROR_0(map(seL4_CapNull, space, BASE), seL4_InvalidCapability, 0);
    EXPECT_ERROR_0(map(new_slot(suite), space, BASE), seL4_InvalidCapability, 0);
}

static void untyped_as_frame_is_IllegalOperation(suite_t *suite)
{
    seL4_CPtr space = new_space(suite);
    EXPECT_ERROR(map(new_untyped(suite, 12), space, BASE), seL4_IllegalOperation);
}

static void no_rights_and_write_without_read_are_NoError(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), frame = new_frame(suite, 12);
    make_tables(suite, space, BASE, 12);
    EXPECT_ERROR(
        seL4_ARM_Page_Map(frame, space, BASE, seL4_NoRights, seL4_ARM_Default_VMAttributes),
        seL4_NoError);
    EXPECT_ERROR(
        seL4_ARM_Page_Map(frame, space, BASE, seL4_CanWrite, seL4_ARM_Default_VMAttributes),
        seL4_NoError);
}

/* Pages of 1 GiB, where the board has an untyped of that size: a device's, preferably, since the
 * kernel clears other memory. */

/* A frame of 1 GiB at the start of an untyped. */
static bool frame_of_untyped(suite_t *suite, int n, bool from_device, vka_object_t *frame)
{
    size_t bits;
    uintptr_t paddr;
    bool device;
    return simple_get_nth_untyped(suite->env->simple, n, &bits, &paddr, &device) != seL4_CapNull &&
           bits >= seL4_HugePageBits && device == from_device &&
           (from_device ? vka_alloc_frame_at(suite->env->vka, seL4_HugePageBits, paddr, frame)
                        : vka_alloc_frame(suite->env->vka, seL4_HugePageBits, frame)) == 0;
}

/* Call `check` with a frame of 1 GiB, or skip. */
static void with_frame(suite_t *suite, void (*check)(suite_t *suite, seL4_CPtr frame))
{
    vka_object_t frame;
    int count = simple_get_untyped_count(suite->env->simple);
    for (int pass = 0; pass < 2; pass++) {
        for (int n = 0; n < count; n++) {
            if (frame_of_untyped(suite, n, pass == 0, &frame)) {
                check(suite, frame.cptr);
                vka_free_object(suite->env->vka, &frame);
                return;
            }
        }
    }
    suite_skip(suite, "the board has no free untyped of 1 GiB");
}

static void alone(suite_t *suite, seL4_CPtr frame)
{
    EXPECT_ERROR(map(frame, new_space(suite), BASE), seL4_NoError);
}

static void huge_page_without_tables_is_NoError(suite_t *suite)
{
    with_frame(suite, alone);
}

static void over_tables(suite_t *suite, seL4_CPtr frame)
{
    seL4_CPtr space = new_space(suite);
    make_tables(suite, space, BASE, 12);
    EXPECT_FAILED_LOOKUP(map(frame, space, BASE), 12);
}

static void huge_page_over_tables_is_FailedLookup_12(suite_t *suite)
{
    with_frame(suite, over_tables);
}

static void with_pages_inside(suite_t *suite, seL4_CPtr frame)
{
    seL4_CPtr space = new_space(suite);
    EXPECT_ERROR(map(frame, space, BASE), seL4_NoError);
    EXPECT_FAILED_LOOKUP(map(new_frame(suite, 12), space, BASE), 30);
    EXPECT_FAILED_LOOKUP(map(new_frame(suite, 21), space, BASE), 30);
    EXPECT_ERROR(map_table(new_table(suite), space, BASE), seL4_DeleteFirst);
}

static void pages_inside_a_huge_one_are_FailedLookup_30(suite_t *suite)
{
    with_frame(suite, with_pages_inside);
}

static void misaligned(suite_t *suite, seL4_CPtr frame)
{
    EXPECT_ERROR(map(frame, new_space(suite), BASE + GIGABYTE / 2), seL4_AlignmentError);
}

static void misaligned_huge_page_is_AlignmentError(suite_t *suite)
{
    with_frame(suite, misaligned);
}

static const check_t checks[] = {
    CHECK(mapped_capability_at_another_address_is_InvalidArgument_0),
    CHECK(mapped_capability_in_another_space_is_InvalidCapability_1),
    CHECK(mapped_capability_at_its_address_again_is_NoError),
    CHECK(another_frame_at_an_occupied_address_is_NoError_and_replaces),
    CHECK(another_large_page_replaces_and_outlives_the_displaced_one),
    CHECK(missing_tables_are_FailedLookup_30_and_21),
    CHECK(large_page_over_tables_is_FailedLookup_12),
    CHECK(large_page_without_a_table_is_FailedLookup_30),
    CHECK(small_page_inside_a_large_one_is_FailedLookup_21),
    CHECK(misaligned_address_is_AlignmentError),
    CHECK(address_at_40_bits_is_InvalidArgument_0),
    CHECK(what_is_no_assigned_space_is_InvalidCapability_1),
    CHECK(no_capability_as_frame_is_InvalidCapability_0),
    CHECK(untyped_as_frame_is_IllegalOperation),
    CHECK(no_rights_and_write_without_read_are_NoError),
    CHECK(huge_page_without_tables_is_NoError),
    CHECK(huge_page_over_tables_is_FailedLookup_12),
    CHECK(pages_inside_a_huge_one_are_FailedLookup_30),
    CHECK(misaligned_huge_page_is_AlignmentError),
};

const area_t area_page_map = AREA("kernel Page_Map", FIXTURE_OBJECTS, checks);
