/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * See memory.h. A part is named by its split and its index. Splitting takes few invocations: a
 * piece is cut at once into parts of a page size, 512 at most, and halved only where no page size
 * is in between.
 */

#include "memory.h"

#include <stdlib.h>
#include <string.h>
#include <utils/zf_log.h>

static memory_split_t *split_of(tree_node_t *node)
{
    return (memory_split_t *)node; /* its first member */
}

static uint64_t part_address(const memory_split_t *split, unsigned index)
{
    return split->node.key + ((uint64_t)index << split->part_bits);
}

static bool is_free(const memory_split_t *split, unsigned index)
{
    return split->free[index / 64] >> index % 64 & 1;
}

static memory_split_t *child_of(const memory_split_t *split, unsigned index)
{
    return split->children ? split->children[index] : NULL;
}

static tree_node_t **available(memory_t *memory, const memory_split_t *split)
{
    return &memory->available[split->kind][split->part_bits];
}

static void mark_taken(memory_t *memory, memory_split_t *split, unsigned index)
{
    split->free[index / 64] &= ~(1ul << index % 64);
    if (--split->num_free == 0) {
        tree_remove(available(memory, split), &split->node);
    }
}

static void mark_free(memory_t *memory, memory_split_t *split, unsigned index)
{
    split->free[index / 64] |= 1ul << index % 64;
    if (split->num_free++ == 0) {
        tree_insert(available(memory, split), &split->node);
    }
}

static unsigned lowest_free(const memory_split_t *split)
{
    unsigned word = 0;
    while (!split->free[word]) {
        word++;
    }
    return word * 64 + (unsigned)__builtin_ctzl(split->free[word]);
}

/* Log2 bytes of the parts that a piece of 2^bits bytes is cut into, on the way to 2^wanted. */
static unsigned part_bits_below(unsigned bits, unsigned wanted)
{
    static const unsigned page_bits[] = {seL4_HugePageBits, seL4_LargePageBits, seL4_PageBits};
    for (size_t i = 0; i < 3; i++) {
        if (page_bits[i] >= wanted && page_bits[i] < bits) {
            return bits - page_bits[i] <= SLOTS_MAX_ORDER ? page_bits[i] : bits - 1;
        }
    }
    return bits - 1;
}

/* A revoke fails only when a test asks for that; the next one does not. */
static bool revoke(seL4_CPtr slot)
{
    seL4_Error error = seL4_NotEnoughMemory;
    for (int tries = 0; tries < 2 && error; tries++) {
        error = seL4_CNode_Revoke(seL4_CapInitThreadCNode, slot, seL4_WordBits);
    }
    return error == seL4_NoError;
}

static bool retype_parts(seL4_CPtr untyped, const memory_split_t *split)
{
    unsigned count = 1u << split->order;
    for (unsigned done = 0; done < count;) {
        unsigned now =
            count - done < CONFIG_RETYPE_FAN_OUT_LIMIT ? count - done : CONFIG_RETYPE_FAN_OUT_LIMIT;
        if (seL4_Untyped_Retype(untyped, seL4_UntypedObject, split->part_bits,
                                seL4_CapInitThreadCNode, 0, 0, split->first_slot + done, now)) {
            if (done) {
                revoke(untyped);
            }
            return false;
        }
        done += now;
    }
    return true;
}

/* Split a taken part. All parts of it are free then. NULL if it cannot be. */
static memory_split_t *split_part(memory_t *memory, memory_split_t *parent, unsigned index,
                                  unsigned part_bits)
{
    unsigned order = parent->part_bits - part_bits;
    if (!parent->children) {
        parent->children = calloc((size_t)1 << parent->order, sizeof(memory_split_t *));
    }
    memory_split_t *split = parent->children ? calloc(1, sizeof(*split)) : NULL;
    uint64_t slot = split ? slots_take_run(memory->slots, order) : 0;
    if (!slot) {
        free(split);
        return NULL;
    }
    split->node.key = part_address(parent, index);
    split->parent = parent;
    split->first_slot = slot;
    split->index = (uint16_t)index;
    split->order = (uint8_t)order;
    split->part_bits = (uint8_t)part_bits;
    split->kind = parent->kind;
    if (!retype_parts(parent->first_slot + index, split)) {
        slots_give_run(memory->slots, slot, order);
        free(split);
        return NULL;
    }
    parent->children[index] = split;
    for (unsigned i = 0; i < 1u << order; i++) {
        mark_free(memory, split, i);
    }
    return split;
}

/* Let a part be free, and join what is then free as a whole. */
static void release(memory_t *memory, memory_split_t *split, unsigned index)
{
    mark_free(memory, split, index);
    while (split->parent && split->num_free == 1u << split->order) {
        memory_split_t *parent = split->parent;
        index = split->index;
        if (!revoke(parent->first_slot + index)) {
            return;
        }
        tree_remove(available(memory, split), &split->node);
        slots_give_run(memory->slots, split->first_slot, split->order);
        parent->children[index] = NULL;
        free(split->children);
        free(split);
        split = parent;
        mark_free(memory, split, index);
    }
}

/* Take a free part, and cut it down to 2^bits bytes at `paddr`, which lies in it. */
static int carve(memory_t *memory, memory_split_t *split, unsigned index, unsigned bits,
                 uint64_t paddr, seL4_CPtr *untyped)
{
    mark_taken(memory, split, index);
    while (split->part_bits > bits) {
        unsigned part_bits = part_bits_below(split->part_bits, bits);
        memory_split_t *child = split_part(memory, split, index, part_bits);
        if (!child) {
            release(memory, split, index);
            return -1;
        }
        split = child;
        index = (unsigned)((paddr - split->node.key) >> part_bits);
        mark_taken(memory, split, index);
    }
    memory->taken_bytes += 1ul << bits;
    memory->free_bytes -= split->kind == HOSTED_MEMORY ? 1ul << bits : 0;
    *untyped = split->first_slot + index;
    return 0;
}

int memory_take(memory_t *memory, memory_kind_t kind, unsigned bits, uint64_t *paddr,
                seL4_CPtr *untyped)
{
    for (unsigned size = bits; size < MEMORY_BITS; size++) {
        tree_node_t *first = tree_first(memory->available[kind][size]);
        if (first) {
            memory_split_t *split = split_of(first);
            unsigned index = lowest_free(split);
            *paddr = part_address(split, index);
            return carve(memory, split, index, bits, *paddr, untyped);
        }
    }
    return -1;
}

/* The smallest part that holds `paddr`; NULL if no untyped does. */
static memory_split_t *find(const memory_t *memory, uint64_t paddr, unsigned *index)
{
    size_t low = 0, high = memory->num_roots;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const memory_split_t *root = &memory->roots[middle];
        if (paddr - root->node.key < 1ul << root->part_bits && paddr >= root->node.key) {
            low = middle;
            break;
        }
        if (root->node.key <= paddr) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low >= memory->num_roots || paddr < memory->roots[low].node.key ||
        paddr - memory->roots[low].node.key >= 1ul << memory->roots[low].part_bits) {
        return NULL;
    }
    memory_split_t *split = &memory->roots[low];
    *index = 0;
    while (child_of(split, *index)) {
        split = child_of(split, *index);
        *index = (unsigned)((paddr - split->node.key) >> split->part_bits);
    }
    return split;
}

int memory_take_at(memory_t *memory, uint64_t paddr, unsigned bits, seL4_CPtr *untyped)
{
    unsigned index;
    memory_split_t *split = find(memory, paddr, &index);
    if (paddr & ((1ul << bits) - 1) || !split || !is_free(split, index) ||
        split->part_bits < bits) {
        return -1;
    }
    return carve(memory, split, index, bits, paddr, untyped);
}

bool memory_give(memory_t *memory, uint64_t paddr, unsigned bits)
{
    unsigned index;
    memory_split_t *split = find(memory, paddr, &index);
    if (!split || split->part_bits != bits || part_address(split, index) != paddr ||
        is_free(split, index)) {
        return false;
    }
    memory->taken_bytes -= 1ul << bits;
    memory->free_bytes += split->kind == HOSTED_MEMORY ? 1ul << bits : 0;
    release(memory, split, index);
    return true;
}

int memory_init(memory_t *memory, slots_t *slots, const memory_root_t *roots, size_t num_roots)
{
    memset(memory, 0, sizeof(*memory));
    memory->slots = slots;
    memory->roots = calloc(num_roots, sizeof(*memory->roots));
    if (!memory->roots) {
        return -1;
    }
    memory->num_roots = num_roots;
    for (size_t i = 0; i < num_roots; i++) {
        memory_split_t *root = &memory->roots[i];
        root->node.key = roots[i].paddr;
        root->part_bits = (uint8_t)roots[i].bits;
        root->kind = (uint8_t)roots[i].kind;
        root->first_slot = roots[i].slot;
        mark_free(memory, root, 0);
        memory->free_bytes += root->kind == HOSTED_MEMORY ? 1ul << root->part_bits : 0;
    }
    return 0;
}

static void free_below(memory_split_t *split)
{
    for (unsigned i = 0; split->children && i < 1u << split->order; i++) {
        if (split->children[i]) {
            free_below(split->children[i]);
            free(split->children[i]);
        }
    }
    free(split->children);
}

void memory_free(memory_t *memory)
{
    for (size_t i = 0; i < memory->num_roots; i++) {
        free_below(&memory->roots[i]);
    }
    free(memory->roots);
    memset(memory, 0, sizeof(*memory));
}

static uint64_t split_fingerprint(const memory_split_t *split)
{
    uint64_t hash = split->node.key ^ (uint64_t)split->part_bits << 56;
    for (unsigned i = 0; i < 1u << split->order; i++) {
        hash = hash * 0x9e3779b97f4a7c15ul + is_free(split, i);
        hash ^= hash >> 31;
        if (child_of(split, i)) {
            hash += split_fingerprint(child_of(split, i));
        }
    }
    return hash;
}

uint64_t memory_fingerprint(const memory_t *memory)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < memory->num_roots; i++) {
        hash += split_fingerprint(&memory->roots[i]) * (2 * i + 1);
    }
    return hash;
}
