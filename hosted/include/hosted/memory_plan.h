/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * What the allocator of a hosted system would do: which memory it would hand out, and how often it
 * would retype an untyped to cut it up. Arithmetic on the board's untypeds; the system's own memory
 * is neither used nor looked at.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <hosted/system.h>

typedef struct hosted_memory_plan hosted_memory_plan_t;

/** What a plan counts. */
typedef struct hosted_memory_counts {
    uint64_t split_retypes;  /* invocations that cut untypeds up */
    uint64_t regular_bytes;  /* free memory that the kernel clears */
    uint64_t reserved_bytes; /* free memory that the board reserved */
} hosted_memory_counts_t;

/**
 * Begin with all untypeds of a system's board whole.
 *
 * @return to be ended with hosted_memory_plan_destroy(); NULL if memory is exhausted
 */
hosted_memory_plan_t *hosted_memory_plan_create(hosted_system_t *system);

/** End a plan. NULL is allowed. */
void hosted_memory_plan_destroy(hosted_memory_plan_t *plan);

/** Take 2^bits bytes of memory that the kernel clears. @return whether there are */
bool hosted_memory_plan_take(hosted_memory_plan_t *plan, size_t bits);

/** As hosted_memory_plan_take(), of memory that the board reserved first. */
bool hosted_memory_plan_take_reserved(hosted_memory_plan_t *plan, size_t bits);

/** Take 2^bits bytes of any memory at an address. @return whether they are free */
bool hosted_memory_plan_take_at(hosted_memory_plan_t *plan, uint64_t paddr, size_t bits);

hosted_memory_counts_t hosted_memory_plan_counts(const hosted_memory_plan_t *plan);
