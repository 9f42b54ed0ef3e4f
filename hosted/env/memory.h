/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The allocator of untyped memory. Each untyped of the board is the root of a tree: a piece is
 * free, handed out, or split into equal smaller pieces that are untypeds of their own.
 *
 * - The best fitting piece at the lowest address is taken, so frames that are allocated one after
 *   the other are neighbours in physical memory.
 * - When all parts of a piece are free again they are revoked, and it is one piece as before. What
 *   is free therefore returns exactly to what it was once everything is given back.
 * - A call that fails changes nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <hosted/system.h>
#include <sel4/sel4.h>
#include "slots.h"
#include "tree.h"

/* HOSTED_MEMORY: for anybody; HOSTED_RESERVED: for frames, not cleared; HOSTED_DEVICE: only by
 * address. */
typedef hosted_physical_kind_t memory_kind_t;
enum { MEMORY_NUM_KINDS = HOSTED_KERNEL };

enum { MEMORY_SPLIT_MAX = 512, MEMORY_BITS = seL4_MaxUntypedBits + 1 };

/** A piece that was split, and the state of its parts. The roots are parts of nothing. */
typedef struct memory_split {
    tree_node_t node; /* among the splits with free parts of that size; the key is the address */
    struct memory_split *parent;
    struct memory_split **children; /* by part: how it was split; NULL until one is */
    uint64_t first_slot;            /* of the parts' untypeds, one after the other */
    uint64_t free[MEMORY_SPLIT_MAX / 64];
    uint16_t index; /* which part of the parent it is */
    uint16_t num_free;
    uint8_t order;     /* log2 of the number of parts */
    uint8_t part_bits; /* log2 of their bytes */
    uint8_t kind;      /* memory_kind_t */
} memory_split_t;

typedef struct memory {
    slots_t *slots;
    memory_split_t *roots; /* ascending */
    size_t num_roots;
    tree_node_t *available[MEMORY_NUM_KINDS][MEMORY_BITS]; /* splits with free parts, by size */
    uint64_t taken_bytes;
    uint64_t free_bytes; /* of HOSTED_MEMORY */
} memory_t;

/** A board's untyped. */
typedef struct memory_root {
    uint64_t paddr;
    unsigned bits;
    memory_kind_t kind;
    seL4_CPtr slot;
} memory_root_t;

/** @param roots  ascending by address; copied. @return 0, or -1 without memory */
int memory_init(memory_t *memory, slots_t *slots, const memory_root_t *roots, size_t num_roots);
void memory_free(memory_t *memory);

/**
 * Take a piece of memory of 2^bits bytes.
 *
 * @param paddr    receives its address
 * @param untyped  receives the slot of its untyped
 * @return 0, or -1 if there is none
 */
int memory_take(memory_t *memory, memory_kind_t kind, unsigned bits, uint64_t *paddr,
                seL4_CPtr *untyped);

/** As memory_take(), at that address, of any kind. */
int memory_take_at(memory_t *memory, uint64_t paddr, unsigned bits, seL4_CPtr *untyped);

/** Give a piece back. @return false if it was not taken */
bool memory_give(memory_t *memory, uint64_t paddr, unsigned bits);

/** A hash of what is free. */
uint64_t memory_fingerprint(const memory_t *memory);
