/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Capability spaces: trees of CNodes with guards, the lookup of a slot in them, and the CNode
 * invocations. Slots of a CNode are allocated when they are first touched, so a large root CNode
 * costs what is used of it.
 */

#include "kernel.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* From this size on a CNode's slots are mapped, not allocated, and so touched when used. */
enum { MAPPED_RADIX = 12 };

slot_t *cspace_allocate_slots(unsigned radix)
{
    if (radix < MAPPED_RADIX) {
        return calloc((size_t)1 << radix, sizeof(slot_t));
    }
    if (radix > 40) {
        return NULL;
    }
    void *slots = mmap(NULL, sizeof(slot_t) << radix, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return slots == MAP_FAILED ? NULL : slots;
}

void cspace_free_slots(slot_t *slots, unsigned radix)
{
    if (radix < MAPPED_RADIX) {
        free(slots);
    } else {
        munmap(slots, sizeof(slot_t) << radix);
    }
}

typedef struct lookup {
    slot_t *slot;
    seL4_LookupFailureType failure;
    seL4_Word bits_left, bits_found, guard_found;
} lookup_t;

/* Go down from `root` until the bits are used up or what is found is no CNode. */
static lookup_t resolve(const cap_t *root, seL4_Word cptr, seL4_Word bits)
{
    const cap_t *cap = root;
    lookup_t result = {.bits_left = bits};
    if (cap->type != CAP_CNODE) {
        result.failure = seL4_InvalidRoot;
        return result;
    }
    for (;;) {
        unsigned level_bits = cap->bits + cap->guard_bits;
        seL4_Word guard_mask = cap->guard_bits ? ~0ul >> (64 - cap->guard_bits) : 0;
        if (cap->guard_bits > bits ||
            (guard_mask && (cptr >> (bits - cap->guard_bits) & guard_mask) != cap->guard)) {
            result.failure = seL4_GuardMismatch;
            result.guard_found = cap->guard;
            result.bits_found = cap->guard_bits;
            result.bits_left = bits;
            return result;
        }
        if (level_bits > bits) {
            result.failure = seL4_DepthMismatch;
            result.bits_found = level_bits;
            result.bits_left = bits;
            return result;
        }
        bits -= level_bits;
        seL4_Word index = cptr >> bits & ((1ul << cap->bits) - 1);
        result.slot = &((cnode_t *)cap->object)->slots[index];
        result.bits_left = bits;
        if (bits == 0 || result.slot->cap.type != CAP_CNODE) {
            return result;
        }
        cap = &result.slot->cap;
    }
}

static seL4_Error lookup_error(const lookup_t *lookup, bool source)
{
    seL4_SetMR(0, source);
    seL4_SetMR(1, lookup->failure);
    if (lookup->failure == seL4_DepthMismatch) {
        seL4_SetMR(2, lookup->bits_left);
        seL4_SetMR(3, lookup->bits_found);
    } else if (lookup->failure == seL4_GuardMismatch) {
        seL4_SetMR(2, lookup->bits_left);
        seL4_SetMR(3, lookup->guard_found);
        seL4_SetMR(4, lookup->bits_found);
    }
    return seL4_FailedLookup;
}

seL4_Error cspace_lookup(const cap_t *root, seL4_Word index, seL4_Word depth, bool source,
                         slot_t **slot)
{
    if (root->type != CAP_CNODE) {
        return error_invalid_root(source);
    }
    if (depth < 1 || depth > seL4_WordBits) {
        return error_range(1, seL4_WordBits);
    }
    lookup_t lookup = resolve(root, index, depth);
    if (lookup.failure == seL4_NoFailure && lookup.bits_left != 0) {
        lookup.failure = seL4_DepthMismatch;
    }
    if (lookup.failure != seL4_NoFailure) {
        return lookup_error(&lookup, source);
    }
    *slot = lookup.slot;
    return seL4_NoError;
}

seL4_Error cspace_lookup_empty(const cap_t *root, seL4_Word index, seL4_Word depth, slot_t **slot)
{
    seL4_Error error = cspace_lookup(root, index, depth, false, slot);
    return !error && (*slot)->cap.type != CAP_NULL ? seL4_DeleteFirst : error;
}

slot_t *cspace_slot(const cap_t *root, seL4_CPtr cptr)
{
    /* On the kernel an address without a slot is a fault of the caller; here it is as empty. */
    static _Thread_local slot_t none;
    lookup_t lookup = resolve(root, cptr, seL4_WordBits);
    if (lookup.failure == seL4_NoFailure) {
        return lookup.slot;
    }
    memset(&none, 0, sizeof(none));
    return &none;
}

slot_t *cspace_caller_slot(kernel_t *kernel, seL4_CPtr cptr)
{
    cap_t root = {.type = CAP_CNODE,
                  .bits = (uint8_t)kernel->root->radix,
                  .guard_bits = (uint16_t)(seL4_WordBits - kernel->root->radix),
                  .object = &kernel->root->object};
    return cspace_slot(&root, cptr);
}

/* The CNode capability that is invoked, and the slot of it that the invocation is about. */
static seL4_Error target(kernel_t *kernel, seL4_CNode service, seL4_Word index, seL4_Word depth,
                         slot_t **slot)
{
    seL4_Error error;
    *slot = NULL; /* no CNode: there is nothing more to do, with or without an error */
    const slot_t *cnode = invocation_target(kernel, service, CAP_CNODE, &error);
    return cnode ? cspace_lookup(&cnode->cap, index, depth, false, slot) : error;
}

/* Look up both slots of a copy or move: the target is empty, the source is not. */
static seL4_Error slots(kernel_t *kernel, seL4_CNode service, seL4_Word dest_index,
                        seL4_Word dest_depth, seL4_CNode src_root, seL4_Word src_index,
                        seL4_Word src_depth, slot_t **dest, slot_t **src)
{
    seL4_Error error = target(kernel, service, dest_index, dest_depth, dest);
    if (error || !*dest) {
        return error;
    }
    if ((*dest)->cap.type != CAP_NULL) {
        return seL4_DeleteFirst;
    }
    const cap_t root = cspace_caller_slot(kernel, src_root)->cap;
    error = cspace_lookup(&root, src_index, src_depth, true, src);
    if (error) {
        return error;
    }
    if ((*src)->cap.type == CAP_NULL) {
        return error_missing_capability(true, (unsigned)src_depth);
    }
    return seL4_NoError;
}

static seL4_Error copy(kernel_t *kernel, slot_t *dest, slot_t *src, seL4_CapRights_t rights,
                       const seL4_Word *data)
{
    cap_t cap = cap_mask_rights(src->cap, rights.words[0]);
    if (data) {
        cap = cap_update_data(cap, *data, false);
    }
    cap_t derived;
    seL4_Error error = derivation_derive(kernel, src, &cap, &derived);
    if (error) {
        return error;
    }
    if (derived.type == CAP_NULL) {
        return seL4_IllegalOperation;
    }
    derivation_insert(kernel, src, dest, &derived);
    return seL4_NoError;
}

seL4_Error seL4_CNode_Copy(seL4_CNode service, seL4_Word dest_index, seL4_Uint8 dest_depth,
                           seL4_CNode src_root, seL4_Word src_index, seL4_Uint8 src_depth,
                           seL4_CapRights_t rights)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_CNODE_COPY, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    slot_t *dest, *src;
    error =
        slots(kernel, service, dest_index, dest_depth, src_root, src_index, src_depth, &dest, &src);
    if (!error && dest) {
        error = copy(kernel, dest, src, rights, NULL);
    }
    return invocation_end(kernel, HOSTED_CNODE_COPY, error);
}

seL4_Error seL4_CNode_Mint(seL4_CNode service, seL4_Word dest_index, seL4_Uint8 dest_depth,
                           seL4_CNode src_root, seL4_Word src_index, seL4_Uint8 src_depth,
                           seL4_CapRights_t rights, seL4_Word badge)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_CNODE_MINT, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    slot_t *dest, *src;
    error =
        slots(kernel, service, dest_index, dest_depth, src_root, src_index, src_depth, &dest, &src);
    if (!error && dest) {
        error = copy(kernel, dest, src, rights, &badge);
    }
    return invocation_end(kernel, HOSTED_CNODE_MINT, error);
}

seL4_Error seL4_CNode_Move(seL4_CNode service, seL4_Word dest_index, seL4_Uint8 dest_depth,
                           seL4_CNode src_root, seL4_Word src_index, seL4_Uint8 src_depth)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_CNODE_MOVE, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    slot_t *dest, *src;
    error =
        slots(kernel, service, dest_index, dest_depth, src_root, src_index, src_depth, &dest, &src);
    if (!error && dest) {
        cap_t cap = src->cap;
        derivation_move(src, dest, &cap);
    }
    return invocation_end(kernel, HOSTED_CNODE_MOVE, error);
}

seL4_Error seL4_CNode_Mutate(seL4_CNode service, seL4_Word dest_index, seL4_Uint8 dest_depth,
                             seL4_CNode src_root, seL4_Word src_index, seL4_Uint8 src_depth,
                             seL4_Word badge)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_CNODE_MOVE, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    slot_t *dest, *src;
    error =
        slots(kernel, service, dest_index, dest_depth, src_root, src_index, src_depth, &dest, &src);
    if (!error && dest) {
        cap_t cap = cap_update_data(src->cap, badge, true);
        if (cap.type == CAP_NULL) {
            error = seL4_IllegalOperation;
        } else {
            derivation_move(src, dest, &cap);
        }
    }
    return invocation_end(kernel, HOSTED_CNODE_MOVE, error);
}

seL4_Error seL4_CNode_Delete(seL4_CNode service, seL4_Word index, seL4_Uint8 depth)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_CNODE_DELETE, HOSTED_OPERATION_UNDO, &error);
    if (!kernel) {
        return error;
    }
    slot_t *slot;
    error = target(kernel, service, index, depth, &slot);
    if (!error && slot) {
        derivation_delete(kernel, slot);
    }
    return invocation_end(kernel, HOSTED_CNODE_DELETE, error);
}

seL4_Error seL4_CNode_Revoke(seL4_CNode service, seL4_Word index, seL4_Uint8 depth)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_CNODE_REVOKE, HOSTED_OPERATION_UNDO, &error);
    if (!kernel) {
        return error;
    }
    slot_t *slot;
    error = target(kernel, service, index, depth, &slot);
    if (!error && slot) {
        derivation_revoke(kernel, slot);
    }
    return invocation_end(kernel, HOSTED_CNODE_REVOKE, error);
}

seL4_Error seL4_CNode_SaveCaller(seL4_CNode service, seL4_Word index, seL4_Uint8 depth)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_CNODE_MOVE, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    slot_t *slot;
    error = target(kernel, service, index, depth, &slot);
    if (!error && slot && slot->cap.type != CAP_NULL) {
        error = seL4_DeleteFirst;
    } else if (!error && slot) {
        message_save_caller(kernel, slot);
    }
    return invocation_end(kernel, HOSTED_CNODE_MOVE, error);
}

seL4_Error seL4_CNode_CancelBadgedSends(seL4_CNode service, seL4_Word index, seL4_Uint8 depth)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_CNODE_REVOKE, HOSTED_OPERATION_UNDO, &error);
    if (!kernel) {
        return error;
    }
    slot_t *slot;
    error = target(kernel, service, index, depth, &slot);
    if (!error && slot && (slot->cap.type != CAP_ENDPOINT || slot->cap.rights != RIGHTS_ALL)) {
        error = seL4_IllegalOperation;
    }
    return invocation_end(kernel, HOSTED_CNODE_REVOKE, error);
}

/* The three slots of a rotation, and what goes into two of them. */
typedef struct rotation {
    slot_t *dest, *pivot, *src;
    cap_t new_pivot, new_dest;
} rotation_t;

static seL4_Error check_rotation(rotation_t *rotation, seL4_Word src_depth, seL4_Word pivot_depth)
{
    if (rotation->pivot == rotation->src || rotation->pivot == rotation->dest) {
        return seL4_IllegalOperation;
    }
    if (rotation->src != rotation->dest && rotation->dest->cap.type != CAP_NULL) {
        return seL4_DeleteFirst;
    }
    if (rotation->src->cap.type == CAP_NULL) {
        return error_missing_capability(true, (unsigned)src_depth);
    }
    if (rotation->pivot->cap.type == CAP_NULL) {
        return error_missing_capability(false, (unsigned)pivot_depth);
    }
    return seL4_NoError;
}

static seL4_Error rotate(rotation_t *rotation, seL4_Word dest_badge, seL4_Word pivot_badge)
{
    cap_t to_dest = cap_update_data(rotation->pivot->cap, dest_badge, true);
    cap_t to_pivot = cap_update_data(rotation->src->cap, pivot_badge, true);
    if (to_dest.type == CAP_NULL || to_pivot.type == CAP_NULL) {
        return seL4_IllegalOperation;
    }
    if (rotation->src == rotation->dest) {
        derivation_swap(rotation->src, &to_dest, rotation->pivot, &to_pivot);
    } else {
        derivation_move(rotation->pivot, rotation->dest, &to_dest);
        derivation_move(rotation->src, rotation->pivot, &to_pivot);
    }
    return seL4_NoError;
}

seL4_Error seL4_CNode_Rotate(seL4_CNode service, seL4_Word dest_index, seL4_Uint8 dest_depth,
                             seL4_Word dest_badge, seL4_CNode pivot_root, seL4_Word pivot_index,
                             seL4_Uint8 pivot_depth, seL4_Word pivot_badge, seL4_CNode src_root,
                             seL4_Word src_index, seL4_Uint8 src_depth)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_CNODE_MOVE, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    rotation_t rotation;
    error = target(kernel, service, dest_index, dest_depth, &rotation.dest);
    if (error || !rotation.dest) {
        return invocation_end(kernel, HOSTED_CNODE_MOVE, error);
    }
    const cap_t pivot = cspace_caller_slot(kernel, pivot_root)->cap;
    const cap_t src = cspace_caller_slot(kernel, src_root)->cap;
    error = cspace_lookup(&src, src_index, src_depth, true, &rotation.src);
    if (!error) {
        error = cspace_lookup(&pivot, pivot_index, pivot_depth, true, &rotation.pivot);
    }
    if (!error) {
        error = check_rotation(&rotation, src_depth, pivot_depth);
    }
    if (!error) {
        error = rotate(&rotation, dest_badge, pivot_badge);
    }
    return invocation_end(kernel, HOSTED_CNODE_MOVE, error);
}
