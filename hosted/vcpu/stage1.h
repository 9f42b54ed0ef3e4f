/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The guest's own translation (stage 1) of EL1 and EL0, from virtual to guest-physical addresses,
 * as the architecture's table walk does it. Needed because a fault is reported by its virtual
 * address.
 */

#include <stdbool.h>
#include <stdint.h>

/** The registers that decide a walk. */
typedef struct stage1_regime {
    uint64_t sctlr;
    uint64_t tcr;
    uint64_t ttbr0;
    uint64_t ttbr1;
} stage1_regime_t;

typedef enum stage1_result {
    STAGE1_OK,    /* `gpa` is the translation */
    STAGE1_NONE,  /* the guest's tables have none: the guest's own fault */
    STAGE1_TABLE, /* the table entry at `gpa` cannot be read: a stage-2 fault of the walk */
} stage1_result_t;

/** Read 8 bytes of guest-physical memory as the guest may. @return false if it may not */
typedef bool (*stage1_read_fn)(void *cookie, uint64_t gpa, uint64_t *value);

/** Translate. Permissions of stage 1 are not checked. With the MMU off it is the identity. */
stage1_result_t stage1_translate(const stage1_regime_t *regime, uint64_t address,
                                 stage1_read_fn read, void *cookie, uint64_t *gpa);
