/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * First fit goes through the gaps that are large enough, which the range map finds without looking
 * at each range. The mark `no_room_below` lets the common case, one allocation after another, start
 * behind all that is taken.
 */

#include "range_alloc.h"

void range_alloc_init(range_alloc_t *span, uintptr_t base, uintptr_t last)
{
    *span = (range_alloc_t){.last = last, .no_room_below = base};
}

/* Round up; false if that wraps. */
static bool align_up(uintptr_t *address, uintptr_t align)
{
    uintptr_t aligned = (*address + (align - 1)) & ~(align - 1);
    if (aligned < *address) {
        return false;
    }
    *address = aligned;
    return true;
}

bool range_alloc_find(const range_alloc_t *span, const range_map_t *taken, uintptr_t size,
                      uintptr_t align, uintptr_t *base)
{
    uintptr_t from = span->no_room_below;
    range_map_entry_t gap;
    while (from <= span->last && range_map_gap(taken, from, size, &gap)) {
        /* What is in front of the gap may have bytes of the gap's first page. */
        uintptr_t candidate = gap.base;
        if (!align_up(&candidate, align) || candidate > span->last ||
            span->last - candidate < size - 1) {
            return false;
        }
        if (candidate <= gap.last && gap.last - candidate >= size - 1) {
            *base = candidate;
            return true;
        }
        /* The range behind the gap is in the way, so this does not wrap. */
        from = gap.last + 1;
    }
    return false;
}

void range_alloc_take(range_alloc_t *span, uintptr_t base, uintptr_t size)
{
    /* Behind the top of the address space the mark stays: first fit then just walks. */
    if (base == span->no_room_below && base + size > base) {
        span->no_room_below = base + size;
    }
}

void range_alloc_free(range_alloc_t *span, uintptr_t base)
{
    if (base < span->no_room_below) {
        span->no_room_below = base;
    }
}
