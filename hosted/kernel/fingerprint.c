/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A hash of the derivation tree: every slot with its parent, its capability's rights and mapping.
 * It does not depend on the order of siblings, nor on where the host put anything, so equal trees
 * have equal hashes within one system and across runs.
 */

#include "kernel.h"

#include <stdlib.h>

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash ^= value + 0x9e3779b97f4a7c15ul + (hash << 6) + (hash >> 2);
    hash *= 0xff51afd7ed558ccdul;
    return hash ^ hash >> 32;
}

/* A name for a slot that does not depend on the host: the CNode's address and the index in it. */
static uint64_t slot_name(const kernel_t *kernel, const slot_t *slot)
{
    for (const cnode_t *cnode = kernel->cnodes; cnode; cnode = cnode->next_cnode) {
        if (slot >= cnode->slots && slot < cnode->slots + ((size_t)1 << cnode->radix)) {
            return mix(cnode->object.paddr, (uint64_t)(slot - cnode->slots));
        }
    }
    return 1; /* in a thread, of which there is no list; its capability still counts */
}

static uint64_t cap_hash(const cap_t *cap)
{
    uint64_t base = 0, last = 0;
    object_region(cap, &base, &last);
    uint64_t hash = mix(cap->type, cap->rights);
    hash = mix(hash, cap->bits);
    hash = mix(hash, (uint64_t)cap->flags << 32 | (uint64_t)cap->asid << 16 | cap->guard_bits);
    hash = mix(hash, base);
    /* The watermark is left out: it is at rest wherever an untyped has no children. */
    return mix(hash, cap->type == CAP_UNTYPED ? 0 : cap->vaddr);
}

uint64_t kernel_fingerprint(const kernel_t *kernel)
{
    size_t depth = 0, room = 64;
    const slot_t **ancestors = malloc(room * sizeof(*ancestors));
    uint64_t sum = 0;
    if (!ancestors) {
        return 0;
    }
    for (const slot_t *slot = kernel->caps.next; slot != &kernel->caps; slot = slot->next) {
        while (depth && !derivation_is_parent(ancestors[depth - 1], slot)) {
            depth--;
        }
        uint64_t parent = depth ? slot_name(kernel, ancestors[depth - 1]) : 0;
        sum += mix(mix(slot_name(kernel, slot), parent), cap_hash(&slot->cap));
        if (depth == room) {
            room *= 2;
            const slot_t **grown = realloc(ancestors, room * sizeof(*ancestors));
            if (!grown) {
                break;
            }
            ancestors = grown;
        }
        ancestors[depth++] = slot;
    }
    free(ancestors);
    return sum;
}
