/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Random kernel invocations from a seed, and a hash of all that the kernel answered. The same
 * source runs on seL4 and on the hosted system, where the hashes must be the same.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sel4/sel4.h>
#include <vka/vka.h>

enum { DIFFERENTIAL_SLOTS = 48, DIFFERENTIAL_MEMORIES = 4, DIFFERENTIAL_STEPS = 200 };

/** Log2 bytes of the untypeds that a sequence works on; the last one is of a device. */
#define DIFFERENTIAL_MEMORY_BITS                                                                   \
    {                                                                                              \
        21, 17, 13, 12                                                                             \
    }

typedef struct differential_env {
    seL4_CPtr memory[DIFFERENTIAL_MEMORIES]; /* untypeds without children */
    seL4_Word base[DIFFERENTIAL_MEMORIES];   /* their physical addresses */
    seL4_CPtr first_slot; /* of the last DIFFERENTIAL_SLOTS slots of the root CNode, all empty */
    void (*print)(const char *line);
} differential_env_t;

/**
 * Allocate what sequences work on.
 *
 * @param end_slot      first address after the slots of the root CNode, none of the last of which
 * is in use
 * @param device_paddr  a page of a device that nobody uses
 * @return 0, or what the allocator said
 */
int differential_start(differential_env_t *env, vka_t *vka, seL4_CPtr end_slot,
                       uintptr_t device_paddr, void (*print)(const char *line));

/** Whether a sequence only returns its hash, or prints its transcript as well. */
typedef enum { DIFFERENTIAL_QUIET, DIFFERENTIAL_PRINT } differential_output_t;

/**
 * Make the sequence of `seed`.
 *
 * @return a hash of its transcript: each invocation, its error and details, addresses relative to
 *         the untypeds, and which slots are occupied
 */
uint64_t differential_run(const differential_env_t *env, uint64_t seed,
                          differential_output_t output);
