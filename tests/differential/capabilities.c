/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Invocations that make, copy, move and delete capabilities. */

#include "machine.h"

static const kind_t all_kinds[] = {
    KIND_UNTYPED,  KIND_FRAME,        KIND_FRAME, KIND_PAGE_TABLE,   KIND_SPACE,
    KIND_CNODE,    KIND_CNODE,        KIND_TCB,   KIND_VCPU,         KIND_ENDPOINT,
    KIND_ENDPOINT, KIND_NOTIFICATION, KIND_POOL,  KIND_ASID_CONTROL, KIND_IRQ_CONTROL,
    KIND_HANDLER,  KIND_DOMAIN,
};

static kind_t random_kind(machine_t *machine)
{
    return machine_once_in(machine, 3) ? machine->favourite : MACHINE_CHOOSE(machine, all_kinds);
}

static kind_t kind_of_type(seL4_Word type)
{
    switch (type) {
    case seL4_UntypedObject:
        return KIND_UNTYPED;
    case seL4_TCBObject:
        return KIND_TCB;
    case seL4_EndpointObject:
        return KIND_ENDPOINT;
    case seL4_NotificationObject:
        return KIND_NOTIFICATION;
    case seL4_CapTableObject:
        return KIND_CNODE;
    case seL4_ARM_VSpaceObject:
        return KIND_SPACE;
    case seL4_ARM_PageTableObject:
        return KIND_PAGE_TABLE;
    case seL4_ARM_VCPUObject:
        return KIND_VCPU;
    default:
        return KIND_FRAME;
    }
}

static void put_new(machine_t *machine, seL4_CPtr untyped, int slot, seL4_Word count, kind_t kind)
{
    for (seL4_Word i = 0; i < count; i++) {
        const place_t place = {.slot = slot == NO_SLOT ? NO_SLOT : slot + (int)i};
        machine_put(machine, untyped, &place, kind);
    }
}

void step_retype_as(machine_t *machine, int untyped, seL4_Word type, seL4_Word bits, int slot)
{
    machine_write(machine, "Retype s%d type=%lu bits=%lu to=s%d", untyped, (unsigned long)type,
                  (unsigned long)bits, slot);
    if (machine_write_error(machine, seL4_Untyped_Retype(machine_cptr(machine, untyped), type, bits,
                                                         seL4_CapInitThreadCNode, 0, 0,
                                                         machine_cptr(machine, slot), 1)) ==
        seL4_NoError) {
        put_new(machine, machine_cptr(machine, untyped), slot, 1, kind_of_type(type));
    }
}

static seL4_Word random_count(machine_t *machine)
{
    static const seL4_Word counts[] = {0, 2, 2, 3, 4, 8, 100, 256, 257};
    return machine_once_in(machine, 4) ? MACHINE_CHOOSE(machine, counts) : 1;
}

void step_retype(machine_t *machine)
{
    static const seL4_Word types[] = {
        seL4_UntypedObject,       seL4_UntypedObject,       seL4_TCBObject,
        seL4_EndpointObject,      seL4_NotificationObject,  seL4_CapTableObject,
        seL4_CapTableObject,      seL4_ARM_HugePageObject,  seL4_ARM_VSpaceObject,
        seL4_ARM_SmallPageObject, seL4_ARM_SmallPageObject, seL4_ARM_LargePageObject,
        seL4_ARM_PageTableObject, seL4_ARM_PageTableObject, seL4_ARM_VCPUObject,
    };
    static const seL4_Word sizes[] = {0, 1, 2, 3, 4, 5, 8, 10, 11, 12, 12, 12, 12, 13, 14, 16, 21};
    static const seL4_Word wrong[] = {43, 47, 48, 63, 64, ~0ul};
    seL4_CPtr untyped = machine_service(machine, KIND_UNTYPED);
    seL4_Word type = machine_once_in(machine, 40) ? 11 + machine_below(machine, 90)
                                                  : MACHINE_CHOOSE(machine, types);
    seL4_Word bits = machine_once_in(machine, 20)  ? MACHINE_CHOOSE(machine, wrong)
                     : type == seL4_CapTableObject ? 1 + machine_below(machine, 4)
                                                   : MACHINE_CHOOSE(machine, sizes);
    seL4_Word count = random_count(machine);
    place_t node = machine_destination(machine);
    seL4_CPtr root = seL4_CapInitThreadCNode;
    seL4_Word index = 0, depth = 0, offset = node.index;
    int slot = node.slot;
    if (slot == NO_SLOT) {
        /* A CNode that is looked up, or is the root of the lookup itself. */
        offset = machine_below(machine, 10);
        if (machine_once_in(machine, 2)) {
            root = node.root;
            depth = machine_once_in(machine, 2) ? 0 : node.depth;
            index = depth ? node.index : 0;
        } else {
            index = node.root;
            depth = seL4_WordBits;
        }
        if (machine_once_in(machine, 20)) {
            offset = 1000;
        }
        if (index == seL4_CapNull && root == seL4_CapInitThreadCNode) {
            return;
        }
    }
    machine_write(machine, "Retype");
    machine_write_cptr(machine, "untyped", untyped);
    machine_write(machine, " type=%lu bits=%lu count=%lu", (unsigned long)type, (unsigned long)bits,
                  (unsigned long)count);
    machine_write_cptr(machine, "root", root);
    machine_write_cptr(machine, "index", index);
    machine_write(machine, " depth=%lu", (unsigned long)depth);
    machine_write_cptr(machine, "offset", offset);
    seL4_Error error = machine_write_error(
        machine, seL4_Untyped_Retype(untyped, type, bits, root, index, depth, offset, count));
    if (!error) {
        put_new(machine, untyped, slot, count, kind_of_type(type));
    }
}

static seL4_CapRights_t random_rights(machine_t *machine, seL4_Word *word)
{
    *word = machine_once_in(machine, 2) ? 15 : machine_below(machine, 16);
    return seL4_CapRights_new(*word >> 3, *word >> 2, *word >> 1, *word);
}

static seL4_Word random_data(machine_t *machine, kind_t kind)
{
    static const seL4_Word badges[] = {0, 1, 1, 2, 3, ~0ul};
    if (kind == KIND_CNODE || machine_once_in(machine, 4)) {
        seL4_Word guard = machine_once_in(machine, 3) ? machine_below(machine, 16) : 0;
        seL4_Word size = machine_below(machine, machine_once_in(machine, 8) ? 64 : 5);
        return seL4_CNode_CapData_new(guard, size).words[0];
    }
    return MACHINE_CHOOSE(machine, badges);
}

static kind_t kind_of_copy(kind_t kind, seL4_Word rights)
{
    return kind == KIND_ENDPOINT && !(rights & 1) ? KIND_MUTE_ENDPOINT : kind;
}

void step_copy(machine_t *machine)
{
    place_t dest = machine_destination(machine);
    place_t src = machine_source(machine, random_kind(machine));
    seL4_Word word;
    seL4_CapRights_t rights = random_rights(machine, &word);
    seL4_Error error;
    if (machine_once_in(machine, 2)) {
        error = seL4_CNode_Copy(dest.root, dest.index, dest.depth, src.root, src.index, src.depth,
                                rights);
        machine_write(machine, "Copy");
    } else {
        seL4_Word badge = random_data(machine, src.kind);
        error = seL4_CNode_Mint(dest.root, dest.index, dest.depth, src.root, src.index, src.depth,
                                rights, badge);
        machine_write(machine, "Mint data=%lx", (unsigned long)badge);
    }
    machine_write_place(machine, "to", &dest);
    machine_write_place(machine, "from", &src);
    machine_write(machine, " rights=%lx", (unsigned long)word);
    if (machine_write_error(machine, error) == seL4_NoError) {
        machine_put(machine, dest.root, &dest, kind_of_copy(src.kind, word));
    }
}

/* The root task's initial capabilities stay where they are. */
static bool is_initial(const place_t *place)
{
    return place->slot == NO_SLOT && place->root == seL4_CapInitThreadCNode;
}

void step_move(machine_t *machine)
{
    place_t dest = machine_destination(machine);
    place_t src = machine_source(machine, random_kind(machine));
    seL4_Error error;
    if (is_initial(&src)) {
        return;
    }
    if (machine_once_in(machine, 4)) {
        seL4_Word badge = random_data(machine, src.kind);
        error = seL4_CNode_Mutate(dest.root, dest.index, dest.depth, src.root, src.index, src.depth,
                                  badge);
        machine_write(machine, "Mutate data=%lx", (unsigned long)badge);
    } else {
        error = seL4_CNode_Move(dest.root, dest.index, dest.depth, src.root, src.index, src.depth);
        machine_write(machine, "Move");
    }
    machine_write_place(machine, "to", &dest);
    machine_write_place(machine, "from", &src);
    if (machine_write_error(machine, error) == seL4_NoError) {
        machine_put(machine, dest.root, &dest, src.kind);
        machine_forget(machine, dest.root, &src);
    }
}

/* Put a CNode or a thread into a CNode, so that the one is deleted with the other. */
void step_nest(machine_t *machine)
{
    static const kind_t kinds[] = {KIND_CNODE, KIND_CNODE, KIND_TCB};
    place_t src = machine_source(machine, MACHINE_CHOOSE(machine, kinds));
    /* Sometimes into itself: then nothing can reach it any more, but a revoke of its memory. */
    seL4_CPtr cnode = src.kind == KIND_CNODE && machine_once_in(machine, 5)
                          ? src.index
                          : machine_service(machine, KIND_CNODE);
    seL4_Word index = machine_below(machine, 4);
    seL4_Uint8 depth = machine_once_in(machine, 2) ? 2 : 3;
    machine_write(machine, "Nest");
    machine_write_place(machine, "from", &src);
    machine_write_cptr(machine, "to", cnode);
    machine_write(machine, "[%lu:%u]", (unsigned long)index, depth);
    seL4_Error error = seL4_CNode_Move(cnode, index, depth, src.root, src.index, src.depth);
    if (machine_write_error(machine, error) == seL4_NoError) {
        const place_t dest = {.slot = NO_SLOT};
        machine_put(machine, cnode, &dest, src.kind);
        machine_forget(machine, cnode, &src);
    }
}

void step_rotate(machine_t *machine)
{
    place_t src = machine_source(machine, random_kind(machine));
    place_t dest = machine_once_in(machine, 3) ? src : machine_destination(machine);
    place_t pivot = machine_source(machine, random_kind(machine));
    if (is_initial(&src) || is_initial(&pivot)) {
        return;
    }
    seL4_Word dest_badge = random_data(machine, pivot.kind);
    seL4_Word pivot_badge = random_data(machine, src.kind);
    machine_write(machine, "Rotate data=%lx,%lx", (unsigned long)dest_badge,
                  (unsigned long)pivot_badge);
    machine_write_place(machine, "to", &dest);
    machine_write_place(machine, "pivot", &pivot);
    machine_write_place(machine, "from", &src);
    seL4_Error error =
        seL4_CNode_Rotate(dest.root, dest.index, dest.depth, dest_badge, pivot.root, pivot.index,
                          pivot.depth, pivot_badge, src.root, src.index, src.depth);
    if (machine_write_error(machine, error) == seL4_NoError) {
        machine_forget(machine, dest.root, &src);
        machine_put(machine, dest.root, &dest, pivot.kind);
        machine_put(machine, dest.root, &pivot, src.kind);
    }
}

void step_delete(machine_t *machine)
{
    kind_t kind = machine_once_in(machine, 3) ? KIND_CNODE : random_kind(machine);
    place_t place = machine_source(machine, kind);
    if (is_initial(&place)) {
        return;
    }
    machine_write(machine, "Delete");
    machine_write_place(machine, "slot", &place);
    machine_write_error(machine, seL4_CNode_Delete(place.root, place.index, place.depth));
    machine_write_slots(machine);
}

void step_revoke(machine_t *machine)
{
    kind_t kind = machine_once_in(machine, 3) ? KIND_UNTYPED : random_kind(machine);
    place_t place = machine_source(machine, kind);
    if (is_initial(&place)) {
        return;
    }
    machine_write(machine, "Revoke");
    machine_write_place(machine, "slot", &place);
    machine_write_error(machine, seL4_CNode_Revoke(place.root, place.index, place.depth));
    machine_write_slots(machine);
}

/* Few badges, so that capabilities with the same one meet in the derivation tree. */
void step_badge(machine_t *machine)
{
    kind_t kind = machine->favourite % 2 ? KIND_ENDPOINT : KIND_NOTIFICATION;
    place_t src = machine_source(machine, kind), dest = machine_destination(machine);
    seL4_Word badge = machine_below(machine, 3), which = machine_below(machine, 6);
    seL4_Error error;
    switch (which) {
    case 0:
        error = seL4_CNode_Revoke(src.root, src.index, src.depth);
        break;
    case 1:
        error = seL4_CNode_Delete(src.root, src.index, src.depth);
        break;
    case 2:
        error = seL4_CNode_Copy(dest.root, dest.index, dest.depth, src.root, src.index, src.depth,
                                seL4_AllRights);
        break;
    default:
        error = seL4_CNode_Mint(dest.root, dest.index, dest.depth, src.root, src.index, src.depth,
                                seL4_AllRights, badge);
        break;
    }
    machine_write(machine, "Badge%lu badge=%lu", (unsigned long)which, (unsigned long)badge);
    machine_write_place(machine, "to", &dest);
    machine_write_place(machine, "from", &src);
    if (machine_write_error(machine, error) == seL4_NoError && which > 1) {
        machine_put(machine, dest.root, &dest, src.kind);
    }
    machine_write_slots(machine);
}

void step_other_cnode(machine_t *machine)
{
    place_t place = machine_once_in(machine, 3) ? machine_destination(machine)
                                                : machine_source(machine, KIND_ENDPOINT);
    if (machine_once_in(machine, 3)) {
        machine_write(machine, "SaveCaller");
        machine_write_place(machine, "slot", &place);
        machine_write_error(machine, seL4_CNode_SaveCaller(place.root, place.index, place.depth));
    } else {
        machine_write(machine, "CancelBadgedSends");
        machine_write_place(machine, "slot", &place);
        machine_write_error(machine,
                            seL4_CNode_CancelBadgedSends(place.root, place.index, place.depth));
    }
}
