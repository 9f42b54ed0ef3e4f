/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Capabilities: copies, moves, deletion and revocation, CNodes with guards, threads' own slots. */

#include "world.h"

enum { BASE = 0x40000000 };

static void copies_have_no_children(void **state)
{
    seL4_CPtr frame = new_frame(12), first = new_slot(), second = new_slot();
    assert_error(copy(first, frame, seL4_AllRights), seL4_NoError);
    assert_error(copy(second, first, seL4_AllRights), seL4_NoError);
    assert_error(revoke(first), seL4_NoError);
    assert_int_equal(frame_address(second), frame_address(frame));
}

/* The capability space of a VM: a CNode that holds a capability to itself, with a guard. */
static void cnode_with_a_guard_resolves_whole_words(void **state)
{
    enum { BITS = 4 };
    vka_object_t cnode = new_object(seL4_CapTableObject, BITS);
    hosted_census_t before = census();
    seL4_Word guard = seL4_CNode_CapData_new(0, seL4_WordBits - BITS).words[0];
    assert_error(seL4_CNode_Mint(cnode.cptr, 3, BITS, seL4_CapInitThreadCNode, cnode.cptr,
                                 seL4_WordBits, seL4_AllRights, guard),
                 seL4_NoError);
    seL4_CPtr guarded = new_slot(), frame = new_frame(12);
    assert_error(mint(guarded, cnode.cptr, seL4_AllRights, guard), seL4_NoError);
    assert_error(seL4_CNode_Copy(guarded, 7, seL4_WordBits, seL4_CapInitThreadCNode, frame,
                                 seL4_WordBits, seL4_AllRights),
                 seL4_NoError);
    assert_error(seL4_CNode_Copy(guarded, 7, seL4_WordBits, seL4_CapInitThreadCNode, frame,
                                 seL4_WordBits, seL4_AllRights),
                 seL4_DeleteFirst);
    assert_error(seL4_CNode_Delete(cnode.cptr, 7, BITS), seL4_NoError);
    /* A guard that does not match, and an address with too few bits. */
    assert_error_0(seL4_CNode_Delete(guarded, 7 | 1ul << 40, seL4_WordBits), seL4_FailedLookup, 0);
    assert_int_equal(seL4_GetMR(1), seL4_GuardMismatch);
    assert_error_0(seL4_CNode_Delete(cnode.cptr, 1, BITS - 1), seL4_FailedLookup, 0);
    assert_int_equal(seL4_GetMR(1), seL4_DepthMismatch);
    assert_range_error(seL4_CNode_Delete(cnode.cptr, 1, 0), 1, 64);
    assert_error(delete_cap(guarded), seL4_NoError);
    vka_cspace_free(vka, guarded);
    assert_error(delete_cap(frame), seL4_NoError);
    /* The inner capability keeps the CNode alive, as on the kernel. */
    assert_error(seL4_CNode_Delete(cnode.cptr, 3, BITS), seL4_NoError);
    assert_int_equal(census().objects, before.objects);
    assert_error(delete_cap(cnode.cptr), seL4_NoError);
    assert_int_equal(census().objects, before.objects - 1);
}

static void last_cnode_capability_takes_its_contents_along(void **state)
{
    vka_object_t cnode = new_object(seL4_CapTableObject, 4);
    seL4_CPtr space = new_space(), frame = new_frame(12);
    make_tables(space, BASE, 12);
    assert_error(map(frame, space, BASE), seL4_NoError);
    assert_error(seL4_CNode_Move(cnode.cptr, 2, 4, seL4_CapInitThreadCNode, frame, seL4_WordBits),
                 seL4_NoError);
    assert_true(mapped_at(space, BASE, NULL));
    assert_error(delete_cap(cnode.cptr), seL4_NoError);
    assert_false(mapped_at(space, BASE, NULL));
}

static void thread_holds_its_address_space(void **state)
{
    seL4_CPtr tcb = new_object(seL4_TCBObject, 0).cptr, space = new_space();
    size_t objects = census().objects;
    seL4_CPtr unassigned = new_object(seL4_ARM_VSpaceObject, 0).cptr;
    assert_error(seL4_TCB_Configure(tcb, 0, seL4_CapInitThreadCNode, 0, unassigned, 0, 0, 0),
                 seL4_IllegalOperation);
    assert_error(seL4_TCB_Configure(tcb, 0, space, 0, space, 0, 0, 0), seL4_IllegalOperation);
    assert_error(seL4_TCB_Configure(tcb, 0, seL4_CapInitThreadCNode, 0, space, 0, 0, 0),
                 seL4_NoError);
    assert_error(delete_cap(unassigned), seL4_NoError);
    assert_error(delete_cap(space), seL4_NoError);
    assert_int_equal(census().objects, objects);
    assert_error(delete_cap(tcb), seL4_NoError);
    assert_int_equal(census().objects, objects - 2);
}

static void registers_are_what_was_written(void **state)
{
    seL4_CPtr tcb = new_object(seL4_TCBObject, 0).cptr;
    seL4_CPtr vcpu = new_object(seL4_ARM_VCPUObject, 0).cptr;
    seL4_UserContext in = {.pc = 1, .sp = 2, .x30 = 3, .x28 = 4}, out = {0};
    seL4_Word count = sizeof(in) / sizeof(seL4_Word);
    assert_range_error(seL4_TCB_ReadRegisters(tcb, false, 0, 0, &out), 1, count);
    assert_error(seL4_TCB_WriteRegisters(tcb, true, 0, count, &in), seL4_NoError);
    assert_error(seL4_TCB_ReadRegisters(tcb, true, 0, 2, &out), seL4_NoError);
    assert_int_equal(out.sp, 2);
    assert_int_equal(out.x30, 0);
    assert_int_equal(hosted_tcb_registers(world, tcb)->x28, 4);
    assert_null(hosted_tcb_registers(world, vcpu));
    assert_error(seL4_ARM_VCPU_SetTCB(vcpu, tcb), seL4_NoError);
    assert_error(seL4_ARM_VCPU_SetTCB(vcpu, vcpu), seL4_IllegalOperation);
    assert_error(seL4_ARM_VCPU_WriteRegs(vcpu, seL4_VCPUReg_VBAR, 77), seL4_NoError);
    assert_int_equal(seL4_ARM_VCPU_ReadRegs(vcpu, seL4_VCPUReg_VBAR).value, 77);
    assert_error_0(seL4_ARM_VCPU_WriteRegs(vcpu, seL4_VCPUReg_Num, 0), seL4_InvalidArgument, 1);
}

/* One node cannot ask this: tests/differential has the rest of what interrupts do. */
static void interrupts_of_one_processor_are_had_by_node(void **state)
{
    seL4_CPtr root = seL4_CapInitThreadCNode, slot = new_slot();
    assert_error(seL4_IRQControl_GetTrigger(seL4_CapIRQControl, 20, 0, root, slot, seL4_WordBits),
                 seL4_IllegalOperation);
    assert_error(seL4_IRQControl_GetTriggerCore(seL4_CapIRQControl, 20, 0, root, slot,
                                                seL4_WordBits, CONFIG_MAX_NUM_NODES),
                 seL4_InvalidArgument);
    assert_range_error(
        seL4_IRQControl_GetTriggerCore(seL4_CapIRQControl, 160, 0, root, slot, seL4_WordBits, 0), 0,
        159);
    assert_error(
        seL4_IRQControl_GetTriggerCore(seL4_CapIRQControl, 20, 0, root, slot, seL4_WordBits, 0),
        seL4_NoError);
    assert_error(seL4_IRQControl_Get(seL4_CapIRQControl, 20, root, new_slot(), seL4_WordBits),
                 seL4_RevokeFirst);
    assert_error(delete_cap(slot), seL4_NoError);
    assert_error(seL4_IRQControl_Get(seL4_CapIRQControl, 20, root, slot, seL4_WordBits),
                 seL4_NoError);
}

WORLD_MAIN(WORLD_TEST(copies_have_no_children), WORLD_TEST(cnode_with_a_guard_resolves_whole_words),
           WORLD_TEST(last_cnode_capability_takes_its_contents_along),
           WORLD_TEST(thread_holds_its_address_space), WORLD_TEST(registers_are_what_was_written),
           WORLD_TEST(interrupts_of_one_processor_are_had_by_node))
