/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See world.h. */

#include "world.h"

hosted_system_t *world;
vka_t *vka;
vspace_t *vmm;

static void no_log(void *cookie, int level, const char *line)
{
}

int world_setup(void **state)
{
    char error[256] = "";
    hosted_log_to(no_log, NULL);
    world = hosted_system_create_from_file(BOARD_DTB, error, sizeof(error));
    if (!world) {
        print_error("%s\n", error);
        return -1;
    }
    vka = hosted_vka(world);
    vmm = hosted_vmm_vspace(world);
    return 0;
}

int world_teardown(void **state)
{
    hosted_system_destroy(world);
    hosted_log_to(NULL, NULL);
    return 0;
}

seL4_CPtr new_slot(void)
{
    seL4_CPtr slot = 0;
    assert_int_equal(vka_cspace_alloc(vka, &slot), 0);
    return slot;
}

vka_object_t new_object(seL4_Word type, seL4_Word size_bits)
{
    vka_object_t object;
    assert_int_equal(vka_alloc_object(vka, type, size_bits, &object), 0);
    return object;
}

seL4_CPtr new_space(void)
{
    seL4_CPtr space = new_object(seL4_ARM_VSpaceObject, 0).cptr;
    assert_int_equal(simple_ASIDPool_assign(hosted_simple(world), space), seL4_NoError);
    return space;
}

seL4_CPtr new_frame(unsigned size_bits)
{
    return new_object(kobject_get_type(KOBJECT_FRAME, size_bits), size_bits).cptr;
}

seL4_CPtr new_table(void)
{
    return new_object(seL4_ARM_PageTableObject, 0).cptr;
}

seL4_CPtr new_untyped(unsigned size_bits)
{
    return new_object(seL4_UntypedObject, size_bits).cptr;
}

seL4_Error copy(seL4_CPtr dest, seL4_CPtr src, seL4_CapRights_t rights)
{
    return seL4_CNode_Copy(seL4_CapInitThreadCNode, dest, seL4_WordBits, seL4_CapInitThreadCNode,
                           src, seL4_WordBits, rights);
}

seL4_Error mint(seL4_CPtr dest, seL4_CPtr src, seL4_CapRights_t rights, seL4_Word badge)
{
    return seL4_CNode_Mint(seL4_CapInitThreadCNode, dest, seL4_WordBits, seL4_CapInitThreadCNode,
                           src, seL4_WordBits, rights, badge);
}

seL4_Error move(seL4_CPtr dest, seL4_CPtr src)
{
    return seL4_CNode_Move(seL4_CapInitThreadCNode, dest, seL4_WordBits, seL4_CapInitThreadCNode,
                           src, seL4_WordBits);
}

seL4_Error delete_cap(seL4_CPtr slot)
{
    return seL4_CNode_Delete(seL4_CapInitThreadCNode, slot, seL4_WordBits);
}

seL4_Error revoke(seL4_CPtr slot)
{
    return seL4_CNode_Revoke(seL4_CapInitThreadCNode, slot, seL4_WordBits);
}

seL4_Error map(seL4_CPtr frame, seL4_CPtr space, seL4_Word vaddr)
{
    return seL4_ARM_Page_Map(frame, space, vaddr, seL4_AllRights, DEFAULT_ATTRIBUTES);
}

seL4_Error map_table(seL4_CPtr table, seL4_CPtr space, seL4_Word vaddr)
{
    return seL4_ARM_PageTable_Map(table, space, vaddr, DEFAULT_ATTRIBUTES);
}

seL4_Error retype(seL4_CPtr untyped, seL4_Word type, seL4_Word size_bits, seL4_CPtr slot,
                  seL4_Word count)
{
    return seL4_Untyped_Retype(untyped, type, size_bits, seL4_CapInitThreadCNode, 0, 0, slot,
                               count);
}

void make_tables(seL4_CPtr space, seL4_Word vaddr, unsigned bits)
{
    for (unsigned level = seL4_HugePageBits; level > bits; level -= seL4_PageTableIndexBits) {
        assert_int_equal(map_table(new_table(), space, vaddr), seL4_NoError);
    }
}

bool mapped_at(seL4_CPtr space, seL4_Word gpa, hosted_stage2_mapping_t *mapping)
{
    hosted_stage2_mapping_t found;
    return hosted_stage2_translate(world, space, gpa, mapping ? mapping : &found);
}

seL4_Word frame_address(seL4_CPtr frame)
{
    seL4_ARM_Page_GetAddress_t result = seL4_ARM_Page_GetAddress(frame);
    assert_int_equal(result.error, seL4_NoError);
    return result.paddr;
}

hosted_census_t census(void)
{
    hosted_census_t now;
    hosted_census_take(world, &now);
    return now;
}

void assert_census(const hosted_census_t *before)
{
    hosted_census_t after = census();
    hosted_census_print_difference(stderr, before, &after);
    assert_true(hosted_census_equal(before, &after));
}
