/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file A short list of address ranges, and the difference of one. */

#include <stddef.h>
#include <stdint.h>
#include "board.h"

typedef struct ranges {
    board_range_t *items;
    size_t count;
} ranges_t;

/** Add [base, last]. @return 0, or -1 without memory */
int ranges_add(ranges_t *ranges, uint64_t base, uint64_t last, memory_kind_t kind);

/** Take [base, last] out of all that are there. @return 0, or -1 without memory */
int ranges_subtract(ranges_t *ranges, uint64_t base, uint64_t last);

/** Order by address. */
void ranges_sort(ranges_t *ranges);

/** Let those of a kind that touch be one; they must be in order. */
void ranges_join(ranges_t *ranges);

void ranges_free(ranges_t *ranges);
