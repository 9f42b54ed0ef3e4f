/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Address space identifiers. They come in pools of 512; a pool is made of untyped memory, and takes
 * the first place that is free in the kernel's table. Capabilities remember the identifier of the
 * space that they are mapped in, and can outlive both that space and its pool.
 */

#include "kernel.h"

vspace_object_t *asid_find(const kernel_t *kernel, uint16_t asid)
{
    const asid_pool_t *pool = kernel->asid_pools[asid >> seL4_ASIDPoolIndexBits];
    return pool && asid != 0 ? pool->spaces[asid & (ASID_POOL_SIZE - 1)] : NULL;
}

void asid_delete(kernel_t *kernel, const cap_t *vspace)
{
    if (asid_find(kernel, vspace->asid) == (vspace_object_t *)vspace->object) {
        asid_pool_t *pool = kernel->asid_pools[vspace->asid >> seL4_ASIDPoolIndexBits];
        pool->spaces[vspace->asid & (ASID_POOL_SIZE - 1)] = NULL;
    }
}

void asid_delete_pool(kernel_t *kernel, asid_pool_t *pool)
{
    for (unsigned i = 0; i < ASID_POOL_SIZE; i++) {
        if (pool->spaces[i]) {
            /* No capability can reach what is mapped there, now or later: these say that their
               space has an identifier, so it gets no other. */
            mapping_drop_all(kernel, pool->spaces[i]);
        }
    }
    kernel->asid_pools[pool->base >> seL4_ASIDPoolIndexBits] = NULL;
}

static seL4_Error check_pool(kernel_t *kernel, slot_t *untyped, const cap_t *root, seL4_Word index,
                             seL4_Word depth, unsigned *number, slot_t **slot)
{
    *number = 0;
    while (*number < NUM_ASID_POOLS && kernel->asid_pools[*number]) {
        (*number)++;
    }
    if (*number == NUM_ASID_POOLS) {
        return seL4_DeleteFirst;
    }
    if (untyped->cap.type != CAP_UNTYPED || untyped->cap.bits != seL4_ASIDPoolBits ||
        untyped->cap.flags & CAP_DEVICE) {
        return error_capability(1);
    }
    if (derivation_has_children(kernel, untyped)) {
        return seL4_RevokeFirst;
    }
    return cspace_lookup_empty(root, index, depth, slot);
}

static seL4_Error make_pool(kernel_t *kernel, slot_t *untyped, unsigned number, slot_t *slot)
{
    asid_pool_t *pool =
        (asid_pool_t *)object_allocate(CAP_ASID_POOL, sizeof(*pool), untyped->cap.paddr);
    if (!pool) {
        return error_memory(0);
    }
    pool->base = (uint16_t)(number << seL4_ASIDPoolIndexBits);
    kernel->asid_pools[number] = pool;
    kernel->counts.objects++;
    untyped->cap.used = 1ul << untyped->cap.bits;
    const cap_t cap = {.type = CAP_ASID_POOL, .object = &pool->object};
    derivation_insert(kernel, untyped, slot, &cap);
    return seL4_NoError;
}

seL4_Error seL4_ARM_ASIDControl_MakePool(seL4_ARM_ASIDControl service, seL4_Untyped untyped,
                                         seL4_CNode root, seL4_Word index, seL4_Uint8 depth)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_ASID_CONTROL, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    if (invocation_target(kernel, service, CAP_ASID_CONTROL, &error)) {
        slot_t *memory = cspace_caller_slot(kernel, untyped), *slot;
        const cap_t cnode = cspace_caller_slot(kernel, root)->cap;
        unsigned number;
        error = check_pool(kernel, memory, &cnode, index, depth, &number, &slot);
        if (!error) {
            error = make_pool(kernel, memory, number, slot);
        }
    }
    return invocation_end(kernel, HOSTED_ASID_CONTROL, error);
}

static seL4_Error assign(asid_pool_t *pool, cap_t *vspace)
{
    if (vspace->type != CAP_VSPACE || vspace->asid != 0) {
        return error_capability(1);
    }
    unsigned i = pool->base == 0; /* identifier 0 stands for none */
    while (i < ASID_POOL_SIZE && pool->spaces[i]) {
        i++;
    }
    if (i == ASID_POOL_SIZE) {
        return seL4_DeleteFirst;
    }
    pool->spaces[i] = (vspace_object_t *)vspace->object;
    vspace->asid = pool->spaces[i]->asid = (uint16_t)(pool->base + i);
    return seL4_NoError;
}

seL4_Error seL4_ARM_ASIDPool_Assign(seL4_ARM_ASIDPool service, seL4_CPtr vspace)
{
    seL4_Error error;
    kernel_t *kernel =
        invocation_begin(HOSTED_ASID_POOL_ASSIGN, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    const slot_t *slot = invocation_target(kernel, service, CAP_ASID_POOL, &error);
    if (slot) {
        error = assign((asid_pool_t *)slot->cap.object, &cspace_caller_slot(kernel, vspace)->cap);
    }
    return invocation_end(kernel, HOSTED_ASID_POOL_ASSIGN, error);
}
