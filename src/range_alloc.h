/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Aligned first-fit allocation inside a span of addresses. Pure C11: no seL4 types.
 *
 * What is taken is read from the range map that the caller keeps anyway, so there is no second
 * record that could disagree, and freeing needs no memory.
 */

#include <stdbool.h>
#include <stdint.h>
#include "range_map.h"

typedef struct range_alloc {
    uintptr_t last;          /* of the span */
    uintptr_t no_room_below; /* each page of the span below this is taken */
} range_alloc_t;

/** A span with nothing taken. */
void range_alloc_init(range_alloc_t *span, uintptr_t base, uintptr_t last);

/**
 * Find the lowest free range of the span.
 *
 * @param taken  the ranges that are not free, inside the span and outside
 * @param size   bytes, a multiple of the page size
 * @param align  power of two, at least the page size
 * @param base   receives the lowest address of the range
 * @return whether there is one
 */
bool range_alloc_find(const range_alloc_t *span, const range_map_t *taken, uintptr_t size,
                      uintptr_t align, uintptr_t *base);

/** Tell the span that the range was taken or freed; the map may be changed before or after. */
void range_alloc_take(range_alloc_t *span, uintptr_t base, uintptr_t size);
void range_alloc_free(range_alloc_t *span, uintptr_t base);
