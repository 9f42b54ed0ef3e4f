/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * A count of everything that is alive in a hosted system, to prove that nothing was lost: two equal
 * censuses mean the same capabilities, objects, memory, mappings and heap.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <hosted/system.h>

typedef struct hosted_census {
    size_t slots;     /* capability slots handed out by the vka and not returned */
    size_t caps;      /* capabilities in all slots */
    size_t objects;   /* kernel objects of any type but untyped and frames */
    size_t untypeds;  /* untypeds, the allocator's own parts included */
    size_t frames_4k; /* frame objects by size */
    size_t frames_2m;
    size_t frames_1g;
    size_t page_tables;      /* page table objects */
    uint64_t untyped_bytes;  /* bytes of untyped memory handed out by the vka and not returned */
    uint64_t free_bytes;     /* bytes of memory that the kernel clears, which nobody has */
    size_t guest_mappings;   /* frames mapped in guest address spaces */
    uint64_t guest_bytes;    /* bytes of them */
    size_t vmm_mappings;     /* frames mapped in the VMM's address space */
    size_t vmm_reservations; /* reserved ranges of the VMM's address space */
    uint64_t vmm_bytes;      /* bytes of the VMM's address space in those ranges */
    size_t heap_blocks;      /* blocks of the malloc_ops of io_ops */
    uint64_t heap_bytes;     /* bytes of them */
    uint64_t derivation;     /* hash of the shape of the capability derivation tree: which slot is
                                whose child, and every capability's rights and mapping; and of the
                                allocator's free lists */
} hosted_census_t;

/** Count what is alive now. */
void hosted_census_take(hosted_system_t *system, hosted_census_t *census);

bool hosted_census_equal(const hosted_census_t *a, const hosted_census_t *b);

/** Print the rows that differ, `before -> after`, one a line; prints nothing when equal. */
void hosted_census_print_difference(FILE *out, const hosted_census_t *before,
                                    const hosted_census_t *after);
