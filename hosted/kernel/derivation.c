/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The capability derivation tree. It is the list of all capabilities in which each is followed by
 * its descendants; where the descendants stop is found from the capabilities: memory that lies
 * inside the other's, or the same object with a badge. This is the kernel's own representation
 * (manual, "Deletion, Revocation, and Recycling"), so that what is a child here is one there.
 *
 * Capabilities to the same object are neighbours in the list: a capability is the last one if
 * neither neighbour names the same object.
 */

#include "kernel.h"

#include <string.h>

static bool same_region(const cap_t *a, const cap_t *b)
{
    uint64_t a_base, a_last, b_base, b_last;
    switch (a->type) {
    case CAP_UNTYPED:
    case CAP_FRAME:
        if (a->type == CAP_FRAME && b->type != CAP_FRAME) {
            return false;
        }
        return object_region(a, &a_base, &a_last) && object_region(b, &b_base, &b_last) &&
               a_base <= b_base && b_last <= a_last;
    case CAP_ASID_CONTROL:
    case CAP_DOMAIN:
        return a->type == b->type;
    case CAP_IRQ_CONTROL:
        return b->type == CAP_IRQ_CONTROL || b->type == CAP_IRQ_HANDLER;
    case CAP_IRQ_HANDLER:
        return b->type == CAP_IRQ_HANDLER && a->irq == b->irq;
    case CAP_NULL:
    case CAP_ZOMBIE:
        return false;
    default:
        return a->type == b->type && a->object == b->object;
    }
}

bool derivation_same_object(const cap_t *a, const cap_t *b)
{
    if (a->type == CAP_UNTYPED || a->type == CAP_IRQ_CONTROL) {
        return false;
    }
    if (a->type == CAP_FRAME) {
        return b->type == CAP_FRAME && a->paddr == b->paddr && a->bits == b->bits;
    }
    return same_region(a, b);
}

bool derivation_is_parent(const slot_t *parent, const slot_t *child)
{
    if (!(parent->cap.flags & CAP_REVOCABLE) || !same_region(&parent->cap, &child->cap)) {
        return false;
    }
    if (parent->cap.type == CAP_ENDPOINT || parent->cap.type == CAP_NOTIFICATION) {
        return parent->cap.badge == 0 ||
               (parent->cap.badge == child->cap.badge && !(child->cap.flags & CAP_FIRST_BADGED));
    }
    return true;
}

bool derivation_has_children(const kernel_t *kernel, const slot_t *slot)
{
    return slot->next != &kernel->caps && derivation_is_parent(slot, slot->next);
}

bool derivation_is_final(const kernel_t *kernel, const slot_t *slot)
{
    return (slot->previous == &kernel->caps ||
            !derivation_same_object(&slot->previous->cap, &slot->cap)) &&
           (slot->next == &kernel->caps || !derivation_same_object(&slot->cap, &slot->next->cap));
}

cap_t cap_mask_rights(cap_t cap, seL4_Word rights)
{
    switch (cap.type) {
    case CAP_FRAME:
        cap.rights &= rights & (RIGHT_READ | RIGHT_WRITE);
        if (!(cap.rights & RIGHT_READ)) {
            cap.rights = 0; /* there is no write-only memory */
        }
        break;
    case CAP_ENDPOINT:
    case CAP_NOTIFICATION:
        cap.rights &= rights;
        break;
    default:
        break;
    }
    return cap;
}

cap_t cap_update_data(cap_t cap, seL4_Word data, bool preserve)
{
    const cap_t null = {.type = CAP_NULL};
    switch (cap.type) {
    case CAP_ENDPOINT:
    case CAP_NOTIFICATION:
        if (preserve || cap.badge != 0) {
            return null;
        }
        cap.badge = data;
        return cap;
    case CAP_CNODE: {
        unsigned guard_bits = data & 63;
        if (guard_bits + cap.bits > seL4_WordBits) {
            return null;
        }
        cap.guard_bits = (uint16_t)guard_bits;
        cap.guard = data >> 6 & (guard_bits ? ~0ul >> (64 - guard_bits) : 0);
        return cap;
    }
    default:
        return cap;
    }
}

seL4_Error derivation_derive(const kernel_t *kernel, const slot_t *slot, const cap_t *cap,
                             cap_t *derived)
{
    *derived = *cap;
    switch (cap->type) {
    case CAP_FRAME:
        derived->asid = 0;
        derived->vaddr = 0;
        return seL4_NoError;
    case CAP_PAGE_TABLE:
    case CAP_VSPACE:
        return cap->asid ? seL4_NoError : seL4_IllegalOperation;
    case CAP_UNTYPED:
        return derivation_has_children(kernel, slot) ? seL4_RevokeFirst : seL4_NoError;
    case CAP_IRQ_CONTROL: /* there is one; it cannot be copied */
    case CAP_REPLY:
    case CAP_ZOMBIE:
        *derived = (cap_t){.type = CAP_NULL};
        return seL4_NoError;
    default:
        return seL4_NoError;
    }
}

static void link_after(kernel_t *kernel, slot_t *before, slot_t *slot)
{
    slot->previous = before;
    slot->next = before->next;
    before->next->previous = slot;
    before->next = slot;
    kernel->counts.caps++;
    kernel->counts.untypeds += slot->cap.type == CAP_UNTYPED;
}

void derivation_add(kernel_t *kernel, slot_t *parent, slot_t *slot, const cap_t *cap)
{
    slot->cap = *cap;
    slot->cap.flags |= CAP_REVOCABLE | CAP_FIRST_BADGED;
    link_after(kernel, parent ? parent : kernel->caps.previous, slot);
}

void derivation_insert(kernel_t *kernel, slot_t *source, slot_t *slot, const cap_t *cap)
{
    bool revocable = cap->type == CAP_UNTYPED || source->cap.type == CAP_IRQ_CONTROL;
    if (cap->type == CAP_ENDPOINT || cap->type == CAP_NOTIFICATION) {
        revocable = cap->badge != source->cap.badge;
    }
    if (cap->type == CAP_UNTYPED) {
        /* Two capabilities must not hand out the same memory: only the copy can. */
        source->cap.used = 1ul << source->cap.bits;
    }
    slot->cap = *cap;
    slot->cap.flags &= (uint8_t) ~(CAP_REVOCABLE | CAP_FIRST_BADGED);
    if (revocable) {
        slot->cap.flags |= CAP_REVOCABLE | CAP_FIRST_BADGED;
    }
    link_after(kernel, source, slot);
}

/* A thread knows where the capability to reply to it is. */
static void note_reply(slot_t *slot)
{
    if (slot->cap.type == CAP_REPLY) {
        ((tcb_object_t *)slot->cap.object)->reply = slot;
    }
}

void derivation_move(slot_t *source, slot_t *slot, const cap_t *cap)
{
    slot->previous = source->previous;
    slot->next = source->next;
    slot->previous->next = slot;
    slot->next->previous = slot;
    slot->cap = *cap;
    memset(source, 0, sizeof(*source));
    note_reply(slot);
}

static void relink(slot_t *slot)
{
    if (slot->previous) {
        slot->previous->next = slot;
        slot->next->previous = slot;
    }
}

void derivation_swap(slot_t *a, const cap_t *new_a, slot_t *b, const cap_t *new_b)
{
    slot_t old_a = *a, old_b = *b;
    a->cap = *new_a;
    b->cap = *new_b;
    a->previous = old_b.previous == a ? b : old_b.previous;
    a->next = old_b.next == a ? b : old_b.next;
    b->previous = old_a.previous == b ? a : old_a.previous;
    b->next = old_a.next == b ? a : old_a.next;
    relink(a);
    relink(b);
    note_reply(a);
    note_reply(b);
}

static void empty(kernel_t *kernel, slot_t *slot)
{
    slot->next->cap.flags |= slot->cap.flags & CAP_FIRST_BADGED;
    slot->previous->next = slot->next;
    slot->next->previous = slot->previous;
    kernel->counts.caps--;
    kernel->counts.untypeds -= slot->cap.type == CAP_UNTYPED;
    if (slot->cap.type == CAP_REPLY) {
        ((tcb_object_t *)slot->cap.object)->reply = NULL;
    }
    memset(slot, 0, sizeof(*slot));
}

static bool is_zombie_in_itself(const slot_t *slot)
{
    return slot->cap.type == CAP_ZOMBIE && object_slots(&slot->cap) == slot;
}

static void delete (kernel_t *kernel, slot_t *slot, bool outermost);

/*
 * One step of emptying the object of a zombie in `slot`. The outermost deletion takes the object's
 * slots from the last to the first. One that it meets on the way is turned inside out: it moves
 * into the first slot of its own object, and what was there is deleted next in its place. So no
 * deletion nests more than once, and such an object stays, with its other slots, until the memory
 * it was made of is revoked.
 */
static void reduce(kernel_t *kernel, slot_t *slot, bool outermost)
{
    cap_t zombie = slot->cap;
    slot_t *slots = object_slots(&zombie);
    if (!outermost) {
        cap_t first = slots->cap;
        derivation_swap(slots, &zombie, slot, &first);
        return;
    }
    delete (kernel, &slots[zombie.left - 1], false);
    if (slot->cap.type == CAP_ZOMBIE && slot->cap.object == zombie.object &&
        slot->cap.left == zombie.left) {
        slot->cap.left--;
    }
}

static void delete (kernel_t *kernel, slot_t *slot, bool outermost)
{
    while (slot->cap.type != CAP_NULL) {
        cap_t rest = object_finalise(kernel, &slot->cap, derivation_is_final(kernel, slot));
        if (rest.type == CAP_NULL) {
            empty(kernel, slot);
            return;
        }
        rest.flags = slot->cap.flags;
        slot->cap = rest;
        if (rest.left == 0 || (rest.left == 1 && is_zombie_in_itself(slot))) {
            object_free(kernel, &rest);
            empty(kernel, slot);
            return;
        }
        if (!outermost && is_zombie_in_itself(slot)) {
            return;
        }
        reduce(kernel, slot, outermost);
    }
}

void derivation_delete(kernel_t *kernel, slot_t *slot)
{
    delete (kernel, slot, true);
}

bool derivation_deletes_slots(const kernel_t *kernel, const slot_t *slot)
{
    return (slot->cap.type == CAP_CNODE || slot->cap.type == CAP_TCB ||
            slot->cap.type == CAP_ZOMBIE) &&
           derivation_is_final(kernel, slot);
}

void derivation_revoke(kernel_t *kernel, slot_t *slot)
{
    /* Deleting a CNode can delete `slot` itself; its memory stays until the invocation returns. */
    while (slot->cap.type != CAP_NULL && derivation_has_children(kernel, slot)) {
        derivation_delete(kernel, slot->next);
    }
}
