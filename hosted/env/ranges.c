/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See ranges.h. Room doubles: it is full when the count is a power of two. */

#include "ranges.h"

#include <stdlib.h>

int ranges_add(ranges_t *ranges, uint64_t base, uint64_t last, memory_kind_t kind)
{
    board_range_t *items = ranges->items;
    if ((ranges->count & (ranges->count - 1)) == 0) {
        items = realloc(items, (ranges->count ? ranges->count * 2 : 1) * sizeof(*items));
    }
    if (!items) {
        return -1;
    }
    items[ranges->count++] = (board_range_t){base, last, kind, NULL};
    ranges->items = items;
    return 0;
}

int ranges_subtract(ranges_t *ranges, uint64_t base, uint64_t last)
{
    for (size_t i = 0; i < ranges->count; i++) {
        board_range_t item = ranges->items[i];
        if (item.last < base || item.base > last) {
            continue;
        }
        if (item.base < base && item.last > last) {
            ranges->items[i].last = base - 1;
            if (ranges_add(ranges, last + 1, item.last, item.kind)) {
                return -1;
            }
            ranges->items[ranges->count - 1].name = item.name;
        } else if (item.base < base) {
            ranges->items[i].last = base - 1;
        } else if (item.last > last) {
            ranges->items[i].base = last + 1;
        } else {
            ranges->items[i--] = ranges->items[--ranges->count];
        }
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    uint64_t left = ((const board_range_t *)a)->base, right = ((const board_range_t *)b)->base;
    return left < right ? -1 : left > right;
}

void ranges_sort(ranges_t *ranges)
{
    if (ranges->count) {
        qsort(ranges->items, ranges->count, sizeof(*ranges->items), compare);
    }
}

void ranges_join(ranges_t *ranges)
{
    size_t kept = 0;
    for (size_t i = 0; i < ranges->count; i++) {
        board_range_t item = ranges->items[i];
        if (kept && ranges->items[kept - 1].last + 1 == item.base &&
            ranges->items[kept - 1].kind == item.kind &&
            ranges->items[kept - 1].name == item.name) {
            ranges->items[kept - 1].last = item.last;
        } else {
            ranges->items[kept++] = item;
        }
    }
    ranges->count = kept;
}

void ranges_free(ranges_t *ranges)
{
    free(ranges->items);
    *ranges = (ranges_t){0};
}
