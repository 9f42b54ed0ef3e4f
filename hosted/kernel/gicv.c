/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See gicv.h. A list register holds number, priority, group and state of one interrupt. */

#include "gicv.h"
#include <stddef.h>

enum { NONE = 1023, NUMBER = 0x3ff, IDLE = 0xff, ID = 0x0002043b };

/* Registers, by their offset. */
enum {
    CONTROL = 0x00,
    PRIORITY_MASK = 0x04,
    BINARY_POINT = 0x08,
    ACKNOWLEDGE = 0x0c,
    END = 0x10,
    RUNNING_PRIORITY = 0x14,
    HIGHEST_PENDING = 0x18,
    IDENTIFICATION = 0xfc,
};

/* Fields of a list register. */
#define LIST_MAINTENANCE ((uint64_t)1 << 19)
#define LIST_PENDING     ((uint64_t)1 << 28)
#define LIST_ACTIVE      ((uint64_t)1 << 29)

/* Of 8 bits, of which an interrupt of the kernel's has the upper 5; 0 is the most urgent. */
static uint32_t priority_of(uint64_t entry)
{
    return (uint32_t)(entry >> 23 & 31) << 3;
}

static uint32_t running_priority(const gicv_t *gicv)
{
    return gicv->active ? (uint32_t)__builtin_ctz(gicv->active) << 3 : IDLE;
}

static uint32_t group_enabled(const gicv_t *gicv, uint64_t entry)
{
    return gicv->control >> (entry >> 30 & 1) & 1;
}

/* The most urgent interrupt that is pending and not masked; NULL if there is none. */
static uint64_t *highest_pending(const gicv_t *gicv)
{
    uint64_t *best = NULL;
    for (int i = 0; i < GICV_LIST_REGISTERS; i++) {
        uint64_t *entry = &gicv->list[i];
        if ((*entry & (LIST_PENDING | LIST_ACTIVE)) == LIST_PENDING &&
            group_enabled(gicv, *entry) && priority_of(*entry) < gicv->priority_mask &&
            (!best || priority_of(*entry) < priority_of(*best))) {
            best = entry;
        }
    }
    return best;
}

bool gicv_pending(const gicv_t *gicv)
{
    const uint64_t *entry = highest_pending(gicv);
    return entry && priority_of(*entry) < running_priority(gicv);
}

bool gicv_is_active(uint64_t entry)
{
    return entry & LIST_ACTIVE;
}

static uint32_t acknowledge(gicv_t *gicv)
{
    if (!gicv_pending(gicv)) {
        return NONE;
    }
    uint64_t *entry = highest_pending(gicv);
    *entry ^= LIST_PENDING | LIST_ACTIVE;
    gicv->active |= 1u << (priority_of(*entry) >> 3);
    return (uint32_t)(*entry & NUMBER);
}

static int end(gicv_t *gicv, uint32_t number)
{
    gicv->active &= gicv->active - 1; /* the most urgent one ends */
    for (int i = 0; i < GICV_LIST_REGISTERS; i++) {
        uint64_t *entry = &gicv->list[i];
        if ((*entry & NUMBER) == number && *entry & LIST_ACTIVE) {
            *entry &= ~LIST_ACTIVE;
            return *entry & LIST_PENDING || !(*entry & LIST_MAINTENANCE) ? -1 : i;
        }
    }
    return -1;
}

uint32_t gicv_read(gicv_t *gicv, uint64_t offset)
{
    const uint64_t *pending;
    switch (offset) {
    case CONTROL:
        return gicv->control;
    case PRIORITY_MASK:
        return gicv->priority_mask;
    case BINARY_POINT:
        return gicv->binary_point;
    case ACKNOWLEDGE:
        return acknowledge(gicv);
    case RUNNING_PRIORITY:
        return running_priority(gicv);
    case HIGHEST_PENDING:
        pending = highest_pending(gicv);
        return pending ? (uint32_t)(*pending & NUMBER) : NONE;
    case IDENTIFICATION:
        return ID;
    default:
        return 0;
    }
}

int gicv_write(gicv_t *gicv, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case CONTROL:
        gicv->control = value & 3;
        break;
    case PRIORITY_MASK:
        gicv->priority_mask = value & 0xf8;
        break;
    case BINARY_POINT:
        gicv->binary_point = value & 7;
        break;
    case END:
        return end(gicv, value & NUMBER);
    default:
        break;
    }
    return -1;
}
