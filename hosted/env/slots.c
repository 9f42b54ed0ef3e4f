/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See slots.h: a buddy allocator whose free lists are ordered sets. */

#include "slots.h"

#include <string.h>

int slots_init(slots_t *slots, uint64_t first, uint64_t end)
{
    memset(slots, 0, sizeof(*slots));
    if (bitmap_init(&slots->taken, end)) {
        return -1;
    }
    for (unsigned order = 0; order <= SLOTS_MAX_ORDER; order++) {
        if (bitmap_init(&slots->free[order], (end >> order) + 1)) {
            slots_free(slots);
            return -1;
        }
    }
    while (first < end) {
        unsigned order = 0;
        while (order < SLOTS_MAX_ORDER && !(first >> order & 1) && first + (2ul << order) <= end) {
            order++;
        }
        bitmap_add(&slots->free[order], first >> order);
        first += 1ul << order;
    }
    return 0;
}

void slots_free(slots_t *slots)
{
    bitmap_free(&slots->taken);
    for (unsigned order = 0; order <= SLOTS_MAX_ORDER; order++) {
        bitmap_free(&slots->free[order]);
    }
}

uint64_t slots_take_run(slots_t *slots, unsigned order)
{
    size_t run;
    unsigned from = order;
    while (from <= SLOTS_MAX_ORDER && !bitmap_first(&slots->free[from], &run)) {
        from++;
    }
    if (from > SLOTS_MAX_ORDER) {
        return 0;
    }
    bitmap_remove(&slots->free[from], run);
    while (from > order) {
        from--;
        run *= 2;
        bitmap_add(&slots->free[from], run + 1);
    }
    return (uint64_t)run << order;
}

void slots_give_run(slots_t *slots, uint64_t first, unsigned order)
{
    uint64_t run = first >> order;
    while (order < SLOTS_MAX_ORDER && bitmap_has(&slots->free[order], run ^ 1)) {
        bitmap_remove(&slots->free[order], run ^ 1);
        run /= 2;
        order++;
    }
    bitmap_add(&slots->free[order], run);
}

uint64_t slots_take(slots_t *slots)
{
    uint64_t slot = slots_take_run(slots, 0);
    if (slot) {
        bitmap_add(&slots->taken, slot);
        slots->num_taken++;
    }
    return slot;
}

bool slots_give(slots_t *slots, uint64_t slot)
{
    if (!bitmap_has(&slots->taken, slot)) {
        return false;
    }
    bitmap_remove(&slots->taken, slot);
    slots->num_taken--;
    slots_give_run(slots, slot, 0);
    return true;
}
