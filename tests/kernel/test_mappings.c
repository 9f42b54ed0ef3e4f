/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Mappings and memory, as they are inside the kernel model; its answers to invocations are those of
 * the conformance suite. */

#include "world.h"

enum { BASE = 0x40000000 };

typedef struct rights_case {
    seL4_CapRights_t capability, mapping;
    bool read, write;
} rights_case_t;

static void rights_are_read_or_read_and_write_or_none(void **state)
{
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

static void cache_operations_check_their_range(void **state)
{
    seL4_CPtr space = new_space(), frame = new_frame(12);
    make_tables(space, BASE, 12);
    assert_error(seL4_ARM_Page_Clean_Data(frame, 0, 0x1000), seL4_IllegalOperation);
    assert_error(map(frame, space, BASE), seL4_NoError);
    assert_error(seL4_ARM_Page_Clean_Data(frame, 0, 0x1000), seL4_NoError);
    assert_error_0(seL4_ARM_Page_Invalidate_Data(frame, 8, 8), seL4_InvalidArgument, 1);
    assert_error_0(seL4_ARM_Page_CleanInvalidate_Data(frame, 0, 0x1001), seL4_InvalidArgument, 0);
    assert_error(seL4_ARM_Page_Unify_Instruction(frame, 16, 32), seL4_NoError);
}

static void remaps_are_refused_where_the_kernel_is_told_to(void **state)
{
    void *vaddr = NULL;
    seL4_CPtr space = new_space(), first = new_frame(21), second = new_frame(21);
    hosted_stage2_mapping_t mapping;
    make_tables(space, BASE, 21);
    assert_error(map(first, space, BASE), seL4_NoError);
    hosted_system_refuse_remaps(world);
    assert_error(map(first, space, BASE), seL4_DeleteFirst);
    assert_error(map(second, space, BASE), seL4_DeleteFirst);
    assert_true(mapped_at(space, BASE, &mapping));
    assert_int_equal(mapping.paddr, frame_address(first));
    assert_error(seL4_ARM_Page_Unmap(first), seL4_NoError);
    assert_error(map(second, space, BASE), seL4_NoError);
    /* The VMM's own space is no other. */
    assert_non_null(
        vspace_reserve_range_aligned(vmm, 2ul << 21, 21, seL4_AllRights, 1, &vaddr).res);
    assert_error(map(first, seL4_CapInitThreadVSpace, (seL4_Word)vaddr), seL4_NoError);
    assert_error(map(first, seL4_CapInitThreadVSpace, (seL4_Word)vaddr), seL4_DeleteFirst);
}

static void cut_off_table_leaves_those_below_unreachable(void **state)
{
    seL4_CPtr space = new_space(), upper = new_table(), lower = new_table(), frame = new_frame(12);
    assert_error(map_table(upper, space, BASE), seL4_NoError);
    assert_error(map_table(lower, space, BASE), seL4_NoError);
    assert_error(map(frame, space, BASE), seL4_NoError);
    assert_error(seL4_ARM_PageTable_Unmap(upper), seL4_NoError);
    assert_int_equal(census().guest_mappings, 0);
    assert_error_0(map_table(lower, space, BASE), seL4_InvalidCapability, 0);
    assert_error(seL4_ARM_Page_Unmap(frame), seL4_NoError);
    assert_error(seL4_ARM_PageTable_Unmap(lower), seL4_NoError);
    assert_int_equal(census().guest_mappings, 0);
}

static void deleting_a_table_unmaps_it(void **state)
{
    seL4_CPtr space = new_space(), table = new_table();
    make_tables(space, BASE, 21);
    assert_error(map_table(table, space, BASE), seL4_NoError);
    assert_error(map(new_frame(12), space, BASE), seL4_NoError);
    assert_error(delete_cap(table), seL4_NoError);
    assert_failed_lookup(map(new_frame(12), space, BASE), 21);
    assert_int_equal(census().guest_mappings, 0);
}

typedef struct told {
    int mapped, unmapped;
    hosted_stage2_mapping_t last;
} told_t;

static void on_mapped(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    told_t *told = cookie;
    told->mapped++;
    told->last = *mapping;
}

static void on_unmapped(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    told_t *told = cookie;
    told->unmapped++;
    told->last = *mapping;
}

static void listener_hears_of_every_change(void **state)
{
    told_t told = {0};
    const hosted_stage2_listener_t listener = {on_mapped, on_unmapped, &told};
    seL4_CPtr space = new_space(), first = new_frame(12), second = new_frame(12);
    make_tables(space, BASE, 12);
    assert_int_equal(hosted_stage2_listen(world, first, &listener), -1);
    assert_int_equal(hosted_stage2_listen(world, space, &listener), 0);
    assert_error(map(first, space, BASE), seL4_NoError);
    assert_int_equal(told.mapped, 1);
    assert_int_equal(told.last.gpa, BASE);
    assert_int_equal(told.last.paddr, frame_address(first));
    assert_error(map(first, space, BASE), seL4_NoError); /* nothing leaves */
    assert_int_equal(told.mapped, 2);
    assert_int_equal(told.unmapped, 0);
    assert_error(map(second, space, BASE), seL4_NoError);
    assert_int_equal(told.mapped, 3);
    assert_int_equal(told.unmapped, 1);
    assert_error(delete_cap(second), seL4_NoError);
    assert_int_equal(told.unmapped, 2);
    assert_error(map(first, space, BASE), seL4_NoError);
    assert_error(delete_cap(space), seL4_NoError);
    assert_int_equal(told.unmapped, 3);
    assert_int_equal(told.mapped, 4);
}

static bool collect(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    seL4_Word **next = cookie;
    *(*next)++ = mapping->gpa;
    return true;
}

static void all_mappings_are_visited_in_order(void **state)
{
    seL4_Word seen[8] = {0}, *next = seen;
    seL4_CPtr space = new_space();
    make_tables(space, BASE, 12);
    assert_error(map(new_frame(30), space, 3ul << 30), seL4_NoError);
    assert_error(map_table(new_table(), space, BASE + (2ul << 20)), seL4_NoError);
    assert_error(map(new_frame(12), space, BASE + (2ul << 20)), seL4_NoError);
    assert_error(map(new_frame(21), space, BASE + (4ul << 20)), seL4_NoError);
    assert_error(map(new_frame(12), space, BASE + 0x5000), seL4_NoError);
    hosted_stage2_for_each(world, space, collect, &next);
    assert_int_equal(next - seen, 4);
    assert_int_equal(seen[0], BASE + 0x5000);
    assert_int_equal(seen[1], BASE + (2ul << 20));
    assert_int_equal(seen[2], BASE + (4ul << 20));
    assert_int_equal(seen[3], 3ul << 30);
    assert_int_equal(census().guest_bytes, 0x2000 + (1ul << 21) + (1ul << 30));
}

static void large_memory_is_cleared_without_being_touched(void **state)
{
    vka_object_t frame = new_object(seL4_ARM_HugePageObject, 30);
    seL4_Word paddr = frame_address(frame.cptr);
    char *bytes = hosted_physical_memory(world, paddr, 1ul << 30);
    bytes[(1ul << 30) - 1] = 1;
    vka_free_object(vka, &frame);
    frame = new_object(seL4_ARM_HugePageObject, 30);
    assert_int_equal(frame_address(frame.cptr), paddr);
    assert_int_equal(bytes[(1ul << 30) - 1], 0);
}

static void without_a_system_invocations_are_refused(void **state)
{
    hosted_system_enter(NULL);
    assert_null(hosted_system_current());
    assert_error_0(delete_cap(1), seL4_InvalidCapability, 0);
    hosted_system_enter(world);
    assert_ptr_equal(hosted_system_current(), world);
}

static void objects_in_several_slots_are_made_together(void **state)
{
    seL4_CPtr untyped = new_untyped(14), taken = new_frame(12);
    seL4_CPtr cnode = new_object(seL4_CapTableObject, 3).cptr;
    hosted_census_t before = census();
    assert_error(retype(untyped, seL4_ARM_SmallPageObject, 0, taken - 1, 2), seL4_DeleteFirst);
    assert_range_error(retype(untyped, seL4_EndpointObject, 0, taken, 257), 1, 256);
    assert_range_error(seL4_Untyped_Retype(untyped, seL4_EndpointObject, 0, cnode, 0, 0, 6, 3), 1,
                       2);
    assert_census(&before);
    assert_error(seL4_Untyped_Retype(untyped, seL4_EndpointObject, 0, seL4_CapInitThreadCNode,
                                     cnode, seL4_WordBits, 5, 2),
                 seL4_NoError);
}

WORLD_MAIN(WORLD_TEST(rights_are_read_or_read_and_write_or_none),
           WORLD_TEST(cache_operations_check_their_range),
           WORLD_TEST(remaps_are_refused_where_the_kernel_is_told_to),
           WORLD_TEST(cut_off_table_leaves_those_below_unreachable),
           WORLD_TEST(deleting_a_table_unmaps_it), WORLD_TEST(listener_hears_of_every_change),
           WORLD_TEST(all_mappings_are_visited_in_order),
           WORLD_TEST(large_memory_is_cleared_without_being_touched),
           WORLD_TEST(without_a_system_invocations_are_refused),
           WORLD_TEST(objects_in_several_slots_are_made_together))
