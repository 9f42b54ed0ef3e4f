/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Page tables, unmapping, ASIDs, and what listeners are told. */

#include "world.h"

enum { BASE = 0x40000000 };

static void table_address_need_not_be_aligned(void **state)
{
    (void)state;
    seL4_CPtr space = new_space();
    assert_error(map_table(new_table(), space, BASE + 0x12345), seL4_NoError);
    assert_error(map_table(new_table(), space, BASE + 0x12345), seL4_NoError);
    assert_error(map(new_frame(12), space, BASE), seL4_NoError);
}

static void table_where_all_levels_are_is_delete_first(void **state)
{
    (void)state;
    seL4_CPtr space = new_space();
    make_tables(space, BASE, 12);
    assert_error(map_table(new_table(), space, BASE), seL4_DeleteFirst);
    assert_error(map(new_frame(30), space, BASE + (1ul << 30)), seL4_NoError);
    assert_error(map_table(new_table(), space, BASE + (1ul << 30)), seL4_DeleteFirst);
}

static void table_map_errors_are_the_kernels(void **state)
{
    (void)state;
    seL4_CPtr space = new_space(), table = new_table();
    seL4_CPtr unassigned = new_object(seL4_ARM_VSpaceObject, 0).cptr;
    assert_error_0(map_table(table, space, 1ul << 40), seL4_InvalidArgument, 0);
    assert_error_0(map_table(table, unassigned, BASE), seL4_InvalidCapability, 1);
    assert_error(map_table(table, space, BASE), seL4_NoError);
    assert_error_0(map_table(table, space, BASE), seL4_InvalidCapability, 0);
    assert_error_0(map_table(table, space, BASE + (1ul << 30)), seL4_InvalidCapability, 0);
}

static void table_unmap_takes_its_pages_along(void **state)
{
    (void)state;
    seL4_CPtr space = new_space(), upper = new_table(), lower = new_table(), frame = new_frame(12);
    assert_error(map_table(upper, space, BASE), seL4_NoError);
    assert_error(map_table(lower, space, BASE), seL4_NoError);
    assert_error(map(frame, space, BASE), seL4_NoError);
    assert_error(seL4_ARM_PageTable_Unmap(lower), seL4_NoError);
    assert_false(mapped_at(space, BASE, NULL));
    assert_int_equal(census().guest_mappings, 0);
    assert_failed_lookup(map(frame, space, BASE), 21);
    assert_error(map_table(lower, space, BASE), seL4_NoError);
    assert_false(mapped_at(space, BASE, NULL));
    assert_error(map(frame, space, BASE), seL4_NoError);
    assert_int_equal(census().guest_mappings, 1);
}

static void cut_off_table_leaves_those_below_unreachable(void **state)
{
    (void)state;
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

static void table_with_a_copy_is_revoke_first(void **state)
{
    (void)state;
    seL4_CPtr space = new_space(), table = new_table(), other = new_slot();
    assert_error(map_table(table, space, BASE), seL4_NoError);
    assert_error(copy(other, table, seL4_AllRights), seL4_NoError);
    assert_error(seL4_ARM_PageTable_Unmap(table), seL4_RevokeFirst);
    assert_error(delete_cap(other), seL4_NoError);
    assert_error(seL4_ARM_PageTable_Unmap(table), seL4_NoError);
}

static void deleting_a_table_unmaps_it(void **state)
{
    (void)state;
    seL4_CPtr space = new_space(), table = new_table();
    make_tables(space, BASE, 21);
    assert_error(map_table(table, space, BASE), seL4_NoError);
    assert_error(map(new_frame(12), space, BASE), seL4_NoError);
    assert_error(delete_cap(table), seL4_NoError);
    assert_failed_lookup(map(new_frame(12), space, BASE), 21);
    assert_int_equal(census().guest_mappings, 0);
}

static void unmap_of_an_unmapped_frame_is_no_error(void **state)
{
    (void)state;
    assert_error(seL4_ARM_Page_Unmap(new_frame(12)), seL4_NoError);
    assert_error(seL4_ARM_PageTable_Unmap(new_table()), seL4_NoError);
}

static void space_gets_one_asid(void **state)
{
    (void)state;
    seL4_CPtr space = new_space();
    seL4_CPtr pool = seL4_CapInitThreadASIDPool;
    assert_error_0(seL4_ARM_ASIDPool_Assign(pool, space), seL4_InvalidCapability, 1);
    assert_error_0(seL4_ARM_ASIDPool_Assign(pool, new_frame(12)), seL4_InvalidCapability, 1);
    assert_error_0(seL4_ARM_ASIDPool_Assign(pool, new_table()), seL4_InvalidCapability, 1);
}

static void asids_of_deleted_spaces_are_used_again(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        vka_object_t space = new_object(seL4_ARM_VSpaceObject, 0);
        assert_error(simple_ASIDPool_assign(hosted_simple(world), space.cptr), seL4_NoError);
        vka_free_object(vka, &space);
    }
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
    (void)state;
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
    assert_error(map(second, space, BASE), seL4_NoError);
    assert_int_equal(told.mapped, 2);
    assert_int_equal(told.unmapped, 1);
    assert_error(delete_cap(second), seL4_NoError);
    assert_int_equal(told.unmapped, 2);
    assert_error(map(first, space, BASE), seL4_NoError);
    assert_error(delete_cap(space), seL4_NoError);
    assert_int_equal(told.unmapped, 3);
    assert_int_equal(told.mapped, 3);
}

static bool collect(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    seL4_Word **next = cookie;
    *(*next)++ = mapping->gpa;
    return true;
}

static void all_mappings_are_visited_in_order(void **state)
{
    (void)state;
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

WORLD_MAIN(WORLD_TEST(table_address_need_not_be_aligned),
           WORLD_TEST(table_where_all_levels_are_is_delete_first),
           WORLD_TEST(table_map_errors_are_the_kernels),
           WORLD_TEST(table_unmap_takes_its_pages_along),
           WORLD_TEST(cut_off_table_leaves_those_below_unreachable),
           WORLD_TEST(table_with_a_copy_is_revoke_first), WORLD_TEST(deleting_a_table_unmaps_it),
           WORLD_TEST(unmap_of_an_unmapped_frame_is_no_error), WORLD_TEST(space_gets_one_asid),
           WORLD_TEST(asids_of_deleted_spaces_are_used_again),
           WORLD_TEST(listener_hears_of_every_change),
           WORLD_TEST(all_mappings_are_visited_in_order))
