/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Untyped memory. Objects are placed one after the other at a watermark, aligned up; an untyped
 * without children starts at its beginning again, and what was used of it is cleared then, unless
 * it is device memory.
 */

#include "kernel.h"

typedef struct retype {
    slot_t *untyped;
    seL4_Word type, size_bits, count;
    slot_t *slots; /* the first of the destination */
    unsigned object_bits;
    bool reset;
} retype_t;

static seL4_Error check_object(retype_t *retype)
{
    if (retype->type >= seL4_ObjectTypeCount) {
        return error_argument(0);
    }
    if (retype->size_bits < seL4_WordBits) {
        retype->object_bits = object_bits(retype->type, retype->size_bits);
    }
    if (retype->size_bits >= seL4_WordBits || retype->object_bits > seL4_MaxUntypedBits) {
        return error_range(0, seL4_MaxUntypedBits);
    }
    if ((retype->type == seL4_CapTableObject && retype->size_bits == 0) ||
        (retype->type == seL4_UntypedObject && retype->size_bits < seL4_MinUntypedBits)) {
        return error_argument(1);
    }
    return seL4_NoError;
}

static seL4_Error check_destination(kernel_t *kernel, retype_t *retype, seL4_CNode root,
                                    seL4_Word index, seL4_Word depth, seL4_Word offset)
{
    slot_t *slot = cspace_caller_slot(kernel, root);
    if (depth != 0) {
        const cap_t cnode = slot->cap;
        seL4_Error error = cspace_lookup(&cnode, index, depth, false, &slot);
        if (error) {
            return error;
        }
    }
    if (slot->cap.type != CAP_CNODE) {
        return error_missing_capability(false, (unsigned)depth);
    }
    seL4_Word size = 1ul << slot->cap.bits;
    if (offset > size - 1) {
        return error_range(0, size - 1);
    }
    if (retype->count < 1 || retype->count > CONFIG_RETYPE_FAN_OUT_LIMIT) {
        return error_range(1, CONFIG_RETYPE_FAN_OUT_LIMIT);
    }
    if (retype->count > size - offset) {
        return error_range(1, size - offset);
    }
    retype->slots = &((cnode_t *)slot->cap.object)->slots[offset];
    for (seL4_Word i = 0; i < retype->count; i++) {
        if (retype->slots[i].cap.type != CAP_NULL) {
            return seL4_DeleteFirst;
        }
    }
    return seL4_NoError;
}

static bool is_frame(seL4_Word type)
{
    return type == seL4_ARM_SmallPageObject || type == seL4_ARM_LargePageObject ||
           type == seL4_ARM_HugePageObject;
}

static seL4_Error check_memory(kernel_t *kernel, retype_t *retype)
{
    const cap_t *cap = &retype->untyped->cap;
    retype->reset = !derivation_has_children(kernel, retype->untyped);
    uint64_t left = (1ul << cap->bits) - (retype->reset ? 0 : cap->used);
    if (left >> retype->object_bits < retype->count) {
        return error_memory(left);
    }
    if (cap->flags & CAP_DEVICE && !is_frame(retype->type) && retype->type != seL4_UntypedObject) {
        return error_argument(1);
    }
    return seL4_NoError;
}

/* Nothing fails from here on but the host's own memory. */
static seL4_Error commit(kernel_t *kernel, retype_t *retype)
{
    cap_t *cap = &retype->untyped->cap;
    bool device = cap->flags & CAP_DEVICE;
    if (retype->reset && cap->used) {
        if (!device) {
            physical_clear(kernel, cap->paddr, cap->used);
        }
        cap->used = 0;
    }
    uint64_t before = cap->used;
    uint64_t size = 1ul << retype->object_bits;
    uint64_t paddr = (cap->paddr + cap->used + size - 1) & ~(size - 1);
    cap->used = paddr + size * retype->count - cap->paddr;
    for (seL4_Word i = 0; i < retype->count; i++) {
        cap_t object;
        bool backed = !is_frame(retype->type) || physical_open(kernel, paddr + i * size);
        if (!backed || !object_create(kernel, retype->type, retype->size_bits, paddr + i * size,
                                      device, &object)) {
            while (i-- > 0) {
                derivation_delete(kernel, &retype->slots[i]);
            }
            cap->used = before;
            return error_memory((1ul << cap->bits) - before);
        }
        derivation_add(kernel, retype->untyped, &retype->slots[i], &object);
    }
    return seL4_NoError;
}

seL4_Error seL4_Untyped_Retype(seL4_Untyped service, seL4_Word type, seL4_Word size_bits,
                               seL4_CNode root, seL4_Word node_index, seL4_Word node_depth,
                               seL4_Word node_offset, seL4_Word num_objects)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_UNTYPED_RETYPE, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    retype_t retype = {.untyped = invocation_target(kernel, service, CAP_UNTYPED, &error),
                       .type = type,
                       .size_bits = size_bits,
                       .count = num_objects};
    if (!retype.untyped) {
        return invocation_end(kernel, HOSTED_UNTYPED_RETYPE, error);
    }
    error = check_object(&retype);
    if (!error) {
        error = check_destination(kernel, &retype, root, node_index, node_depth, node_offset);
    }
    if (!error) {
        error = check_memory(kernel, &retype);
    }
    if (!error) {
        error = commit(kernel, &retype);
    }
    return invocation_end(kernel, HOSTED_UNTYPED_RETYPE, error);
}
