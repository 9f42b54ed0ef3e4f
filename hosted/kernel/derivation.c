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
    case CAP_NULL:
    case CAP_CONTROL:
        return false;
    default:
        return a->type == b->type && a->object == b->object;
    }
}

static bool same_object(const cap_t *a, const cap_t *b)
{
    if (a->type == CAP_UNTYPED) {
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
    return (slot->previous == &kernel->caps || !same_object(&slot->previous->cap, &slot->cap)) &&
           (slot->next == &kernel->caps || !same_object(&slot->cap, &slot->next->cap));
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
    case CAP_CONTROL:
        return seL4_IllegalOperation;
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
    bool revocable = cap->type == CAP_UNTYPED;
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

void derivation_move(slot_t *source, slot_t *slot, const cap_t *cap)
{
    slot->previous = source->previous;
    slot->next = source->next;
    slot->previous->next = slot;
    slot->next->previous = slot;
    slot->cap = *cap;
    memset(source, 0, sizeof(*source));
}

void derivation_delete(kernel_t *kernel, slot_t *slot)
{
    cap_t cap = slot->cap;
    if (cap.type == CAP_NULL) {
        return;
    }
    bool final = derivation_is_final(kernel, slot);
    slot->previous->next = slot->next;
    slot->next->previous = slot->previous;
    memset(slot, 0, sizeof(*slot));
    kernel->counts.caps--;
    kernel->counts.untypeds -= cap.type == CAP_UNTYPED;
    if (cap.type == CAP_FRAME) {
        mapping_unmap_page(kernel, &cap);
    }
    if (final) {
        object_destroy(kernel, &cap);
    }
}

void derivation_revoke(kernel_t *kernel, slot_t *slot)
{
    /* Deleting a CNode can delete `slot` itself; its memory stays until the invocation returns. */
    while (slot->cap.type != CAP_NULL && derivation_has_children(kernel, slot)) {
        derivation_delete(kernel, slot->next);
    }
}
