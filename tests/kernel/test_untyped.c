/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Untyped memory: placement, reuse, clearing, devices, and the errors of a retype. */

#include "world.h"

#include <string.h>

static seL4_CPtr device_untyped(unsigned bits)
{
    vka_object_t object;
    assert_int_equal(
        vka_alloc_object_at_maybe_dev(vka, seL4_UntypedObject, bits, VKA_NO_PADDR, true, &object),
        0);
    return object.cptr;
}

static void too_much_is_not_enough_memory_with_what_is_left(void **state)
{
    (void)state;
    seL4_CPtr untyped = new_untyped(14);
    assert_error_0(retype(untyped, seL4_ARM_LargePageObject, 0, new_slot(), 1),
                   seL4_NotEnoughMemory, 1 << 14);
    for (int i = 0; i < 4; i++) {
        assert_error(retype(untyped, seL4_ARM_SmallPageObject, 0, new_slot(), 1), seL4_NoError);
    }
    assert_error_0(retype(untyped, seL4_ARM_SmallPageObject, 0, new_slot(), 1),
                   seL4_NotEnoughMemory, 0);
}

static void objects_are_placed_at_the_watermark_and_gaps_are_lost(void **state)
{
    (void)state;
    seL4_CPtr untyped = new_untyped(14), first = new_slot(), second = new_slot();
    seL4_CPtr endpoint = new_slot();
    assert_error(retype(untyped, seL4_ARM_SmallPageObject, 0, first, 1), seL4_NoError);
    assert_error(retype(untyped, seL4_EndpointObject, 0, endpoint, 1), seL4_NoError);
    assert_error(retype(untyped, seL4_ARM_SmallPageObject, 0, second, 1), seL4_NoError);
    assert_int_equal(frame_address(second), frame_address(first) + 0x2000);
    assert_error_0(retype(untyped, seL4_ARM_SmallPageObject, 0, new_slot(), 2),
                   seL4_NotEnoughMemory, 0x1000);
}

static void memory_comes_back_only_when_all_children_are_gone(void **state)
{
    (void)state;
    seL4_CPtr untyped = new_untyped(13), first = new_slot(), second = new_slot();
    assert_error(retype(untyped, seL4_ARM_SmallPageObject, 0, first, 1), seL4_NoError);
    assert_error(retype(untyped, seL4_ARM_SmallPageObject, 0, second, 1), seL4_NoError);
    seL4_Word base = frame_address(first);
    assert_error(delete_cap(first), seL4_NoError);
    assert_error(retype(untyped, seL4_ARM_SmallPageObject, 0, first, 1), seL4_NotEnoughMemory);
    assert_error(delete_cap(second), seL4_NoError);
    assert_error(retype(untyped, seL4_ARM_SmallPageObject, 0, first, 1), seL4_NoError);
    assert_int_equal(frame_address(first), base);
}

static void revoke_takes_children_copies_and_mappings(void **state)
{
    (void)state;
    seL4_CPtr untyped = new_untyped(13), frame = new_slot(), twin = new_slot();
    seL4_CPtr space = new_space(), inner = new_slot();
    make_tables(space, 0, 12);
    assert_error(retype(untyped, seL4_UntypedObject, 12, inner, 1), seL4_NoError);
    assert_error(retype(inner, seL4_ARM_SmallPageObject, 0, frame, 1), seL4_NoError);
    assert_error(copy(twin, frame, seL4_AllRights), seL4_NoError);
    assert_error(map(twin, space, 0), seL4_NoError);
    assert_error(revoke(untyped), seL4_NoError);
    assert_false(mapped_at(space, 0, NULL));
    for (size_t i = 0; i < 3; i++) {
        seL4_CPtr gone = i == 0 ? inner : i == 1 ? frame : twin;
        assert_error_0(seL4_ARM_Page_Unmap(gone), seL4_InvalidCapability, 0);
    }
    assert_error(retype(untyped, seL4_ARM_SmallPageObject, 0, new_slot(), 2), seL4_NoError);
}

static void reused_memory_is_cleared_but_device_memory_is_not(void **state)
{
    (void)state;
    for (int device = 0; device < 2; device++) {
        seL4_CPtr untyped = device ? device_untyped(13) : new_untyped(13);
        seL4_CPtr frame = new_slot();
        assert_error(retype(untyped, seL4_ARM_SmallPageObject, 0, frame, 1), seL4_NoError);
        char *bytes = hosted_physical_memory(world, frame_address(frame), 0x1000);
        assert_non_null(bytes);
        assert_int_equal(bytes[100], 0);
        memcpy(bytes + 100, "left over", 10);
        assert_error(delete_cap(frame), seL4_NoError);
        assert_string_equal(bytes + 100, "left over");
        assert_error(retype(untyped, seL4_ARM_SmallPageObject, 0, frame, 1), seL4_NoError);
        assert_string_equal(bytes + 100, device ? "left over" : "");
    }
}

static void large_memory_is_cleared_without_being_touched(void **state)
{
    (void)state;
    vka_object_t frame = new_object(seL4_ARM_HugePageObject, 30);
    seL4_Word paddr = frame_address(frame.cptr);
    char *bytes = hosted_physical_memory(world, paddr, 1ul << 30);
    bytes[(1ul << 30) - 1] = 1;
    vka_free_object(vka, &frame);
    frame = new_object(seL4_ARM_HugePageObject, 30);
    assert_int_equal(frame_address(frame.cptr), paddr);
    assert_int_equal(bytes[(1ul << 30) - 1], 0);
}

static void occupied_destination_is_delete_first(void **state)
{
    (void)state;
    hosted_census_t before;
    seL4_CPtr untyped = new_untyped(14), taken = new_frame(12);
    before = census();
    assert_error(retype(untyped, seL4_ARM_SmallPageObject, 0, taken, 1), seL4_DeleteFirst);
    assert_error(retype(untyped, seL4_ARM_SmallPageObject, 0, taken - 1, 2), seL4_DeleteFirst);
    assert_census(&before);
}

static void device_memory_becomes_frames_and_untypeds_only(void **state)
{
    (void)state;
    seL4_CPtr untyped = device_untyped(14), slot = new_slot();
    assert_error_0(retype(untyped, seL4_EndpointObject, 0, slot, 1), seL4_InvalidArgument, 1);
    assert_error_0(retype(untyped, seL4_ARM_PageTableObject, 0, slot, 1), seL4_InvalidArgument, 1);
    assert_error(retype(untyped, seL4_UntypedObject, 12, slot, 1), seL4_NoError);
    assert_error_0(retype(slot, seL4_EndpointObject, 0, new_slot(), 1), seL4_InvalidArgument, 1);
    assert_error(retype(untyped, seL4_ARM_SmallPageObject, 0, new_slot(), 1), seL4_NoError);
}

static void impossible_objects_are_named(void **state)
{
    (void)state;
    seL4_CPtr untyped = new_untyped(14), slot = new_slot();
    assert_error_0(retype(untyped, 99, 0, slot, 1), seL4_InvalidArgument, 0);
    assert_error_0(retype(untyped, seL4_UntypedObject, 3, slot, 1), seL4_InvalidArgument, 1);
    assert_error_0(retype(untyped, seL4_CapTableObject, 0, slot, 1), seL4_InvalidArgument, 1);
    assert_range_error(retype(untyped, seL4_UntypedObject, 48, slot, 1), 0, 47);
    assert_range_error(retype(untyped, seL4_UntypedObject, 64, slot, 1), 0, 47);
    assert_range_error(retype(untyped, seL4_EndpointObject, 0, slot, 0), 1, 256);
    assert_range_error(retype(untyped, seL4_EndpointObject, 0, slot, 257), 1, 256);
}

static void impossible_destinations_are_named(void **state)
{
    (void)state;
    seL4_CPtr untyped = new_untyped(14), frame = new_frame(12);
    seL4_CPtr cnode = new_object(seL4_CapTableObject, 3).cptr;
    assert_range_error(seL4_Untyped_Retype(untyped, seL4_EndpointObject, 0, cnode, 0, 0, 8, 1), 0,
                       7);
    assert_range_error(seL4_Untyped_Retype(untyped, seL4_EndpointObject, 0, cnode, 0, 0, 6, 3), 1,
                       2);
    assert_failed_lookup(seL4_Untyped_Retype(untyped, seL4_EndpointObject, 0, frame, 0, 0, 0, 1),
                         0);
    assert_error(retype(frame, seL4_EndpointObject, 0, new_slot(), 1), seL4_IllegalOperation);
    assert_error(seL4_Untyped_Retype(untyped, seL4_EndpointObject, 0, seL4_CapInitThreadCNode,
                                     cnode, seL4_WordBits, 5, 2),
                 seL4_NoError);
}

static void size_of_a_small_page_is_ignored(void **state)
{
    (void)state;
    seL4_CPtr untyped = new_untyped(13);
    assert_error(retype(untyped, seL4_ARM_SmallPageObject, 40, new_slot(), 1), seL4_NoError);
}

static void constants_are_the_kernels(void **state)
{
    (void)state;
    assert_int_equal(seL4_ARM_HugePageObject, 5);
    assert_int_equal(seL4_ARM_VSpaceObject, 6);
    assert_int_equal(seL4_ARM_SmallPageObject, 7);
    assert_int_equal(seL4_ARM_LargePageObject, 8);
    assert_int_equal(seL4_ARM_PageTableObject, 9);
    assert_int_equal(seL4_ARM_VCPUObject, 10);
    assert_int_equal(seL4_VSpaceBits, 13);
    assert_int_equal(seL4_PageTableBits, 12);
    assert_int_equal(seL4_UserTop, 0xffffffffff);
    assert_int_equal(seL4_NotEnoughMemory, 10);
}

static void without_a_system_invocations_are_refused(void **state)
{
    (void)state;
    hosted_system_enter(NULL);
    assert_null(hosted_system_current());
    assert_error_0(delete_cap(1), seL4_InvalidCapability, 0);
    hosted_system_enter(world);
    assert_ptr_equal(hosted_system_current(), world);
}

WORLD_MAIN(WORLD_TEST(too_much_is_not_enough_memory_with_what_is_left),
           WORLD_TEST(objects_are_placed_at_the_watermark_and_gaps_are_lost),
           WORLD_TEST(memory_comes_back_only_when_all_children_are_gone),
           WORLD_TEST(revoke_takes_children_copies_and_mappings),
           WORLD_TEST(reused_memory_is_cleared_but_device_memory_is_not),
           WORLD_TEST(large_memory_is_cleared_without_being_touched),
           WORLD_TEST(occupied_destination_is_delete_first),
           WORLD_TEST(device_memory_becomes_frames_and_untypeds_only),
           WORLD_TEST(impossible_objects_are_named), WORLD_TEST(impossible_destinations_are_named),
           WORLD_TEST(size_of_a_small_page_is_ignored), WORLD_TEST(constants_are_the_kernels),
           WORLD_TEST(without_a_system_invocations_are_refused))
