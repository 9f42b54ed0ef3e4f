/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* What the kernel answers when untyped memory is retyped. */

#include "objects.h"
#include <string.h>
#include <vka/object.h>

#define BASE ((seL4_Word)0x40000000)

static seL4_Error retype_page(suite_t *suite, seL4_CPtr untyped, seL4_CPtr slot)
{
    return retype(suite, untyped, seL4_ARM_SmallPageObject, seL4_PageBits, slot);
}

/* Retype endpoints into the CNode `cnode` itself. */
static seL4_Error retype_endpoints(seL4_CPtr untyped, seL4_CPtr cnode, seL4_Word offset,
                                   seL4_Word count)
{
    return (seL4_Error)seL4_Untyped_Retype(untyped, seL4_EndpointObject, 0, cnode, 0, 0, offset,
                                           count);
}

static void too_big_or_full_is_NotEnoughMemory_with_what_is_left(suite_t *suite)
{
    seL4_CPtr untyped = new_untyped(suite, 13), slot = new_slot(suite);
    EXPECT_ERROR_0(retype(suite, untyped, seL4_UntypedObject, 14, slot), seL4_NotEnoughMemory,
                   0x2000);
    EXPECT_ERROR(retype_page(suite, untyped, slot), seL4_NoError);
    EXPECT_ERROR_0(retype(suite, untyped, seL4_UntypedObject, 13, new_slot(suite)),
                   seL4_NotEnoughMemory, 0x1000);
    EXPECT_ERROR(retype_page(suite, untyped, new_slot(suite)), seL4_NoError);
    EXPECT_ERROR_0(retype(suite, untyped, seL4_EndpointObject, 0, new_slot(suite)),
                   seL4_NotEnoughMemory, 0);
}

static void objects_are_placed_at_the_watermark_and_gaps_are_lost(suite_t *suite)
{
    seL4_CPtr untyped = new_untyped(suite, 13), endpoint = new_slot(suite), page = new_slot(suite);
    EXPECT_ERROR(retype(suite, untyped, seL4_EndpointObject, 0, endpoint), seL4_NoError);
    EXPECT_ERROR(retype_page(suite, untyped, page), seL4_NoError);
    EXPECT_EQUAL(frame_paddr(suite, page) & 0x1fff, 0x1000);
    /* 4080 bytes lie free between them, and no use can be made of them. */
    EXPECT_ERROR_0(retype(suite, untyped, seL4_EndpointObject, 0, new_slot(suite)),
                   seL4_NotEnoughMemory, 0);
}

static void memory_comes_back_when_all_children_are_deleted_not_before(suite_t *suite)
{
    seL4_CPtr untyped = new_untyped(suite, 13), first = new_slot(suite), second = new_slot(suite);
    EXPECT_ERROR(retype_page(suite, untyped, first), seL4_NoError);
    EXPECT_ERROR(retype_page(suite, untyped, second), seL4_NoError);
    seL4_Word paddr = frame_paddr(suite, first);
    EXPECT_EQUAL(frame_paddr(suite, second), paddr + PAGE);
    EXPECT_ERROR(delete_cap(suite, first), seL4_NoError);
    EXPECT_ERROR_0(retype_page(suite, untyped, first), seL4_NotEnoughMemory, 0);
    EXPECT_ERROR(delete_cap(suite, second), seL4_NoError);
    EXPECT_ERROR(retype_page(suite, untyped, first), seL4_NoError);
    EXPECT_EQUAL(frame_paddr(suite, first), paddr);
}

static void revoke_takes_children_copies_and_mappings_and_starts_at_0(suite_t *suite)
{
    seL4_CPtr space = new_space(suite), untyped = new_untyped(suite, 21);
    seL4_CPtr frame = new_slot(suite), copy = new_slot(suite);
    make_tables(suite, space, BASE, 21);
    EXPECT_ERROR(retype(suite, untyped, seL4_ARM_LargePageObject, 21, frame), seL4_NoError);
    EXPECT_ERROR(copy_cap(suite, copy, frame, seL4_AllRights), seL4_NoError);
    EXPECT_ERROR(map(copy, space, BASE), seL4_NoError);
    seL4_Word paddr = frame_paddr(suite, frame);
    EXPECT_ERROR(revoke_cap(suite, untyped), seL4_NoError);
    EXPECT_ERROR_0(seL4_ARM_Page_Unmap(frame), seL4_InvalidCapability, 0);
    EXPECT_ERROR_0(seL4_ARM_Page_Unmap(copy), seL4_InvalidCapability, 0);
    EXPECT(!large_page_at(suite, space, BASE));
    EXPECT_ERROR(retype(suite, untyped, seL4_ARM_LargePageObject, 21, frame), seL4_NoError);
    EXPECT_EQUAL(frame_paddr(suite, frame), paddr);
}

/* Whether the page has `byte` in it everywhere. */
static bool page_is(const unsigned char *page, unsigned char byte)
{
    for (size_t i = 0; i < PAGE; i++) {
        if (page[i] != byte) {
            return false;
        }
    }
    return true;
}

static void reused_memory_is_zeroed(suite_t *suite)
{
    seL4_CPtr untyped = new_untyped(suite, 12), slot = new_slot(suite);
    for (int round = 0; round < 2; round++) {
        EXPECT_ERROR(retype_page(suite, untyped, slot), seL4_NoError);
        unsigned char *page = show_frame(suite, slot);
        REQUIRE(page != NULL);
        EXPECT(page_is(page, 0));
        memset(page, 0xa5, PAGE);
        EXPECT(page_is(page, 0xa5));
        hide_frame(suite, page);
        EXPECT_ERROR(delete_cap(suite, slot), seL4_NoError);
    }
}

static void reused_device_memory_is_not_zeroed(suite_t *suite)
{
    if (suite->env->scratch_device_paddr == 0) {
        suite_skip(suite, "the board has no device memory that may be written");
        return;
    }
    vka_object_t untyped;
    REQUIRE(vka_alloc_untyped_at(suite->env->vka, 12, suite->env->scratch_device_paddr, &untyped) ==
            0);
    seL4_CPtr slot = new_slot(suite);
    for (int round = 0; round < 2; round++) {
        EXPECT_ERROR(retype_page(suite, untyped.cptr, slot), seL4_NoError);
        unsigned char *page = show_frame(suite, slot);
        if (EXPECT(page != NULL)) {
            EXPECT(round == 0 || page_is(page, 0xa5));
            memset(page, round == 0 ? 0xa5 : 0, PAGE);
            hide_frame(suite, page);
        }
        EXPECT_ERROR(delete_cap(suite, slot), seL4_NoError);
    }
    vka_free_object(suite->env->vka, &untyped);
}

static void occupied_destination_slot_is_DeleteFirst(suite_t *suite)
{
    seL4_CPtr untyped = new_untyped(suite, 13), taken = new_frame(suite, 12);
    EXPECT_ERROR(retype_page(suite, untyped, taken), seL4_DeleteFirst);
}

static void device_untyped_becomes_frames_and_untypeds_only(suite_t *suite)
{
    vka_object_t untyped;
    REQUIRE(vka_alloc_untyped_at(suite->env->vka, 12, suite->env->device_paddr, &untyped) == 0);
    seL4_CPtr device = untyped.cptr, slot = new_slot(suite);
    EXPECT_ERROR_0(retype(suite, device, seL4_EndpointObject, 0, slot), seL4_InvalidArgument, 1);
    EXPECT_ERROR_0(retype(suite, device, seL4_ARM_PageTableObject, 0, slot), seL4_InvalidArgument,
                   1);
    EXPECT_ERROR(retype(suite, device, seL4_UntypedObject, 12, slot), seL4_NoError);
    EXPECT_ERROR(delete_cap(suite, slot), seL4_NoError);
    EXPECT_ERROR(retype_page(suite, device, slot), seL4_NoError);
    EXPECT_EQUAL(frame_paddr(suite, slot), suite->env->device_paddr);
    EXPECT_ERROR(delete_cap(suite, slot), seL4_NoError);
    vka_free_object(suite->env->vka, &untyped);
}

static void impossible_objects_are_InvalidArgument(suite_t *suite)
{
    seL4_CPtr untyped = new_untyped(suite, 13), slot = new_slot(suite);
    EXPECT_ERROR_0(retype(suite, untyped, 99, 0, slot), seL4_InvalidArgument, 0);
    EXPECT_ERROR_0(retype(suite, untyped, seL4_UntypedObject, 3, slot), seL4_InvalidArgument, 1);
    EXPECT_ERROR_0(retype(suite, untyped, seL4_CapTableObject, 0, slot), seL4_InvalidArgument, 1);
}

static void untyped_of_48_or_64_bits_is_RangeError_0_to_47(suite_t *suite)
{
    seL4_CPtr untyped = new_untyped(suite, 13), slot = new_slot(suite);
    EXPECT_RANGE_ERROR(retype(suite, untyped, seL4_UntypedObject, 48, slot), 0, 47);
    EXPECT_RANGE_ERROR(retype(suite, untyped, seL4_UntypedObject, 64, slot), 0, 47);
}

static void count_0_is_RangeError_1_to_256(suite_t *suite)
{
    seL4_CPtr cnode = new_object(suite, seL4_CapTableObject, 4);
    EXPECT_RANGE_ERROR(retype_endpoints(new_untyped(suite, 13), cnode, 0, 0), 1, 256);
}

static void node_offset_too_big_is_RangeError_0_to_its_last_slot(suite_t *suite)
{
    seL4_CPtr untyped = new_untyped(suite, 13), cnode = new_object(suite, seL4_CapTableObject, 4);
    EXPECT_RANGE_ERROR(retype_endpoints(untyped, cnode, 16, 1), 0, 15);
    EXPECT_ERROR(retype_endpoints(untyped, cnode, 0, 16), seL4_NoError);
}

static void root_that_is_no_CNode_is_FailedLookup_0(suite_t *suite)
{
    EXPECT_FAILED_LOOKUP(retype_endpoints(new_untyped(suite, 13), new_frame(suite, 12), 0, 1), 0);
}

static void retype_invoked_on_a_frame_is_IllegalOperation(suite_t *suite)
{
    EXPECT_ERROR(retype(suite, new_frame(suite, 12), seL4_EndpointObject, 0, new_slot(suite)),
                 seL4_IllegalOperation);
}

static void size_bits_of_a_small_page_are_ignored(suite_t *suite)
{
    seL4_CPtr untyped = new_untyped(suite, 14);
    static const seL4_Word bits[] = {0, 13, 21, 40};
    for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
        EXPECT_ERROR(retype(suite, untyped, seL4_ARM_SmallPageObject, bits[i], new_slot(suite)),
                     seL4_NoError);
    }
}

static void constants_are_the_kernels(suite_t *suite)
{
    EXPECT_EQUAL(seL4_VSpaceBits, 13);
    EXPECT_EQUAL(seL4_PageTableBits, 12);
    EXPECT_EQUAL(seL4_MinUntypedBits, 4);
    EXPECT_EQUAL(seL4_MaxUntypedBits, 47);
    EXPECT_EQUAL(seL4_UserTop, 0xffffffffff);
    EXPECT_EQUAL(seL4_ARM_HugePageObject, 5);
    EXPECT_EQUAL(seL4_ARM_VSpaceObject, 6);
    EXPECT_EQUAL(seL4_ARM_SmallPageObject, 7);
    EXPECT_EQUAL(seL4_ARM_LargePageObject, 8);
    EXPECT_EQUAL(seL4_ARM_PageTableObject, 9);
    EXPECT_EQUAL(seL4_ARM_VCPUObject, 10);
}

static void objects_take_the_memory_that_the_constants_say(suite_t *suite)
{
    static const struct {
        seL4_Word type;
        seL4_Word bits;
    } rows[] = {{seL4_ARM_VSpaceObject, seL4_VSpaceBits},
                {seL4_ARM_PageTableObject, seL4_PageTableBits},
                {seL4_ARM_VCPUObject, seL4_VCPUBits},
                {seL4_ARM_LargePageObject, seL4_LargePageBits}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        seL4_CPtr fits = new_untyped(suite, (unsigned)rows[i].bits);
        seL4_CPtr small = new_untyped(suite, (unsigned)rows[i].bits - 1);
        EXPECT_ERROR(retype(suite, small, rows[i].type, 0, new_slot(suite)), seL4_NotEnoughMemory);
        EXPECT_ERROR(retype(suite, fits, rows[i].type, 0, new_slot(suite)), seL4_NoError);
    }
}

static const check_t checks[] = {
    CHECK(too_big_or_full_is_NotEnoughMemory_with_what_is_left),
    CHECK(objects_are_placed_at_the_watermark_and_gaps_are_lost),
    CHECK(memory_comes_back_when_all_children_are_deleted_not_before),
    CHECK(revoke_takes_children_copies_and_mappings_and_starts_at_0),
    CHECK(reused_memory_is_zeroed),
    CHECK(reused_device_memory_is_not_zeroed),
    CHECK(occupied_destination_slot_is_DeleteFirst),
    CHECK(device_untyped_becomes_frames_and_untypeds_only),
    CHECK(impossible_objects_are_InvalidArgument),
    CHECK(untyped_of_48_or_64_bits_is_RangeError_0_to_47),
    CHECK(count_0_is_RangeError_1_to_256),
    CHECK(node_offset_too_big_is_RangeError_0_to_its_last_slot),
    CHECK(root_that_is_no_CNode_is_FailedLookup_0),
    CHECK(retype_invoked_on_a_frame_is_IllegalOperation),
    CHECK(size_bits_of_a_small_page_are_ignored),
    CHECK(constants_are_the_kernels),
    CHECK(objects_take_the_memory_that_the_constants_say),
};

const area_t area_untyped = AREA("kernel untyped", FIXTURE_OBJECTS, checks);
