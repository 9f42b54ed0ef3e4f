/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The allocator, the VMM's address space and the heap, behind interfaces that count what is taken
 * from them and not given back, and that can fail the k-th time that something is asked of them.
 */

#include <platsupport/io.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vka/vka.h>
#include <vspace/vspace.h>

/** What is taken and not given back. */
typedef struct holdings {
    long slots;
    long objects;      /* of the allocator's untyped memory */
    long object_bytes; /* their sizes */
    long blocks;       /* of the heap */
    long block_bytes;
    long pages;        /* mappings in the VMM's address space */
    long reservations; /* of the VMM's address space */
} holdings_t;

typedef struct counting {
    /* What the library is given. */
    vka_t vka;
    vspace_t vspace;
    ps_io_ops_t io_ops;

    holdings_t held;
    uint64_t asked;       /* operations that could fail, so far */
    uint64_t fail_at;     /* 0, or which of them fails */
    bool fail_from;       /* and all after it */
    bool failed;          /* whether it came to that */
    int refused;          /* maps that the VMM's address space itself did not do */
    int uncached_windows; /* VMM ranges and mappings that were asked to be uncached */
    int cached_windows;   /* and cached */

    vka_t *inner_vka;
    vspace_t *inner_vspace;
    ps_malloc_ops_t inner_malloc;
} counting_t;

/** Put the counters around what a task has. */
void counting_init(counting_t *counting, vka_t *vka, vspace_t *vspace, const ps_io_ops_t *io_ops);

/** Fail the k-th operation from now on; 0: none. */
void counting_fail_at(counting_t *counting, uint64_t k);

/** Whether the same is held. */
bool holdings_equal(const holdings_t *a, const holdings_t *b);
