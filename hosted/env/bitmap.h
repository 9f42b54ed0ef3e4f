/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * A set of small numbers that finds its smallest in a few steps: bits, with summaries of 64 words
 * each above them. Memory is touched only where numbers are.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BITMAP_LEVELS = 6 };

typedef struct bitmap {
    uint64_t *levels[BITMAP_LEVELS]; /* [0] the set; each bit above: a word below is not zero */
    unsigned num_levels;
    size_t size;  /* numbers are below it */
    size_t bytes; /* of all levels */
} bitmap_t;

/** Make an empty set for numbers below `size`. @return 0, or -1 without memory */
int bitmap_init(bitmap_t *bitmap, size_t size);
void bitmap_free(bitmap_t *bitmap);

void bitmap_add(bitmap_t *bitmap, size_t number);
void bitmap_remove(bitmap_t *bitmap, size_t number);
bool bitmap_has(const bitmap_t *bitmap, size_t number);

/** The smallest number into `*number`; false if the set is empty. */
bool bitmap_first(const bitmap_t *bitmap, size_t *number);
