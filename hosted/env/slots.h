/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Which slots of the root CNode are free. Runs of 2^order slots are aligned, the lowest fitting run
 * is taken first, and free neighbours become one again: what is free depends only on what is
 * taken, never on the order in which it happened.
 */

#include <stdbool.h>
#include <stdint.h>
#include "bitmap.h"

enum { SLOTS_MAX_ORDER = 9 };

typedef struct slots {
    bitmap_t free[SLOTS_MAX_ORDER + 1]; /* by order: numbers of free runs */
    bitmap_t taken;                     /* single slots */
    size_t num_taken;                   /* of them */
} slots_t;

/** Let all slots from `first` up to, not including, `end` be free. @return 0, or -1 without memory
 */
int slots_init(slots_t *slots, uint64_t first, uint64_t end);
void slots_free(slots_t *slots);

/** Take 2^order slots; 0 if there are no such. */
uint64_t slots_take_run(slots_t *slots, unsigned order);
void slots_give_run(slots_t *slots, uint64_t first, unsigned order);

/** Take one slot for a user of the allocator; 0 if there is none. */
uint64_t slots_take(slots_t *slots);
/** Give it back. @return false if it was not taken */
bool slots_give(slots_t *slots, uint64_t slot);
