/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * All that a failed call may not change, as text: what is alive in the system, and of each VM its
 * reservations, its RAM list, its statistics, what the guest can reach, and what the VMM sees. Two
 * equal texts mean equal states, and where they differ the lines tell what was left behind.
 */

#include "scene.h"

/** What a text leaves out. */
typedef enum state_detail {
    STATE_ALL = 0,
    STATE_NO_FAULTS = 1 << 0,     /* how many faults reservations have seen: failed ones count */
    STATE_NO_HEAP_BYTES = 1 << 1, /* without heap, an array that should shrink stays as it is */
    STATE_NO_DERIVATION = 1 << 3, /* its hash has addresses of the VMM, which the host chooses anew
                                     for each window */
    STATE_RECORDS = 1 << 2,       /* all but reservations, RAM lists, and heap: where undo fails */
} state_detail_t;

/** Describe the state of a scene. @return to be freed with free() */
char *state_take(scene_t *scene, unsigned detail);

/** Print the lines that two texts do not have in common, at most a dozen. */
void state_print_difference(const char *before, const char *after);
