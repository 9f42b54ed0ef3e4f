/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Stage-2 tables for a software processor: the guest's mappings as an AArch64 processor walks them
 * (4 KiB granule, 40-bit addresses, start at level 1). They live in one arena of host memory that
 * the processor sees at a physical address of its own.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHADOW_GPA_BITS 40

typedef struct shadow shadow_t;

typedef struct shadow_entry {
    uint64_t target;    /* the processor's physical address of the block or page */
    unsigned size_bits; /* 12, 21 or 30 */
    bool read;
    bool write;
    bool execute;
    bool cacheable;
} shadow_entry_t;

/**
 * Make empty tables.
 *
 * @param arena_address  where the processor will see the arena; aligned to 8 KiB
 * @return NULL if the host has no memory; to be freed with shadow_destroy()
 */
shadow_t *shadow_create(uint64_t arena_address);
void shadow_destroy(shadow_t *shadow);

/** The arena in host memory, and its size in bytes. The root table is at its start. */
void *shadow_arena(shadow_t *shadow, size_t *size);

/**
 * Enter a mapping at `gpa`; it replaces all that is there.
 *
 * @return 0; -1 if the address is out of range or misaligned, or the arena is full
 */
int shadow_map(shadow_t *shadow, uint64_t gpa, const shadow_entry_t *entry);

/**
 * Let the page at `gpa` have an entry of its own, of 4 KiB, where a larger block has it.
 *
 * @return 0, also if there is no mapping; -1 if the arena is full
 */
int shadow_split(shadow_t *shadow, uint64_t gpa);

/** Remove the mapping of that size at `gpa`; a mapping that is not there is no error. */
void shadow_unmap(shadow_t *shadow, uint64_t gpa, unsigned size_bits);

/** The entry that translates `gpa`. @return false if there is none */
bool shadow_lookup(const shadow_t *shadow, uint64_t gpa, shadow_entry_t *entry);
