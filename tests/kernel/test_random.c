/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Random invocations with random arguments, sensible or not: whatever they were, one revoke of the
 * untyped that everything came from brings the system back to where it started.
 */

#include "world.h"

#include <stdlib.h>

enum { SLOTS = (seL4_ObjectTypeCount + 1) * 16, STEPS = 20000, RUNS = 8, CNODE_BITS = 3 };

static seL4_CPtr untyped, slots[SLOTS];
static char *range; /* of the VMM */

/* Each type has slots where its objects mostly are. */
enum { GROUP = 16, NUM_TYPES = seL4_ObjectTypeCount, ANY = NUM_TYPES };

static seL4_CPtr slot_of(seL4_Word type)
{
    if (type == ANY || rand() % 8 == 0) {
        return slots[rand() % SLOTS];
    }
    return slots[type * GROUP + (seL4_Word)(rand() % GROUP)];
}

static seL4_CPtr any_slot(void)
{
    return slot_of(ANY);
}

static seL4_CPtr frame_slot(void)
{
    return slot_of(rand() % 4 ? seL4_ARM_SmallPageObject : seL4_ARM_LargePageObject);
}

/* A CNode and the depth of a slot in it: mostly the root, sometimes whatever is in a slot. */
static seL4_CPtr any_cnode(seL4_Word *index, seL4_Uint8 *depth)
{
    if (rand() % 4) {
        *index = any_slot();
        *depth = seL4_WordBits;
        return seL4_CapInitThreadCNode;
    }
    *index = (seL4_Word)rand() % (1u << CNODE_BITS);
    *depth = rand() % 8 ? CNODE_BITS : (seL4_Uint8)(rand() % 70);
    return slot_of(seL4_CapTableObject);
}

static seL4_Word any_address(void)
{
    static const seL4_Word steps[] = {0x1000, 1ul << 21, 1ul << 30, 0x800};
    return (seL4_Word)(rand() % 4) * steps[rand() % 4];
}

static seL4_CapRights_t any_rights(void)
{
    unsigned bits = (unsigned)rand();
    return seL4_CapRights_new(bits & 1, bits >> 1 & 1, bits >> 2 & 1, bits >> 3 & 1);
}

static void retype_something(void)
{
    seL4_Word type = (seL4_Word)(rand() % NUM_TYPES);
    type = type == seL4_ARM_HugePageObject ? (seL4_Word)seL4_ARM_SmallPageObject : type;
    seL4_Word bits = type == seL4_CapTableObject ? CNODE_BITS : 12 + (seL4_Word)(rand() % 8);
    seL4_CPtr from = rand() % 4 ? untyped : slot_of(seL4_UntypedObject);
    if (rand() % 8) {
        retype(from, type, bits, slot_of(type), rand() % 8 ? 1 : 1 + (seL4_Word)(rand() % 3));
    } else {
        seL4_Untyped_Retype(from, type, bits, slot_of(seL4_CapTableObject), 0, 0,
                            (seL4_Word)(rand() % 8), 1);
    }
}

static void move_something(int what)
{
    seL4_Word to, from;
    seL4_Uint8 to_depth, from_depth;
    seL4_CPtr to_root = any_cnode(&to, &to_depth), from_root = any_cnode(&from, &from_depth);
    seL4_Word data = rand() % 2 ? (seL4_Word)rand() % 4
                                : seL4_CNode_CapData_new(0, seL4_WordBits - CNODE_BITS).words[0];
    switch (what) {
    case 0:
        seL4_CNode_Copy(to_root, to, to_depth, from_root, from, from_depth, any_rights());
        break;
    case 1:
        seL4_CNode_Mint(to_root, to, to_depth, from_root, from, from_depth, any_rights(), data);
        break;
    case 2:
        seL4_CNode_Move(to_root, to, to_depth, from_root, from, from_depth);
        break;
    case 3:
        seL4_CNode_Mutate(to_root, to, to_depth, from_root, from, from_depth, data);
        break;
    case 4:
        seL4_CNode_Delete(to_root, to, to_depth);
        break;
    default:
        if (rand() % 2 == 0) {
            seL4_CNode_Revoke(to_root, to, to_depth);
        }
        break;
    }
}

static void do_something(void)
{
    seL4_CPtr space = slot_of(seL4_ARM_VSpaceObject);
    seL4_CPtr tcb = slot_of(seL4_TCBObject);
    switch (rand() % 20) {
    case 0 ... 4:
        retype_something();
        break;
    case 5 ... 9:
        move_something(rand() % 6);
        break;
    case 10:
        seL4_ARM_ASIDPool_Assign(seL4_CapInitThreadASIDPool, space);
        break;
    case 11 ... 12:
        map_table(slot_of(seL4_ARM_PageTableObject), space, any_address());
        break;
    case 13 ... 14:
        seL4_ARM_Page_Map(frame_slot(), space, any_address(), any_rights(), DEFAULT_ATTRIBUTES);
        break;
    case 15:
        seL4_ARM_Page_Map(frame_slot(), seL4_CapInitThreadVSpace,
                          (seL4_Word)range + any_address() % (1ul << 23), any_rights(), 0);
        break;
    case 16:
        seL4_ARM_Page_Unmap(frame_slot());
        break;
    case 17:
        seL4_ARM_PageTable_Unmap(slot_of(seL4_ARM_PageTableObject));
        break;
    case 18:
        seL4_TCB_Configure(tcb, 0, slot_of(seL4_CapTableObject), 0, space, 0,
                           (seL4_Word)(rand() % 2) * 1024, frame_slot());
        seL4_TCB_BindNotification(tcb, slot_of(seL4_NotificationObject));
        break;
    default:
        seL4_ARM_VCPU_SetTCB(slot_of(seL4_ARM_VCPUObject), tcb);
        break;
    }
}

static void random_invocations_end_with_one_revoke(void **state)
{
    untyped = new_untyped(29);
    for (int i = 0; i < SLOTS; i++) {
        slots[i] = new_slot();
    }
    void *base = NULL;
    assert_non_null(vspace_reserve_range_aligned(vmm, 1ul << 23, 21, seL4_AllRights, 1, &base).res);
    range = base;
    hosted_census_t before = census();
    for (unsigned run = 0; run < RUNS; run++) {
        srand(run);
        for (int step = 0; step < STEPS; step++) {
            do_something();
        }
        assert_true(census().objects > before.objects);
        assert_error(revoke(untyped), seL4_NoError);
        assert_census(&before);
    }
}

WORLD_MAIN(WORLD_TEST(random_invocations_end_with_one_revoke))
