/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A caller's map iterator: it hands out frames of the model's pool, and spoils one answer if it was
 * told to. It notes what the library must make of its answers.
 */

#include "model.h"
#include <stdlib.h>
#include <string.h>

void supply_begin(supply_t *supply, uintptr_t gpa)
{
    gpa &= ~(PAGE - 1);
    supply->expected = gpa < supply->from ? supply->from : gpa;
    supply->codes = 0;
    memset(supply->handed, 0, sizeof(supply->handed));
}

/* A frame of the pool that is free, from `from` on; POOL_SIZE if there is none. */
static unsigned free_frame(const supply_t *supply, unsigned from, unsigned to)
{
    while (from < to && (supply->model->used[from] || supply->handed[from])) {
        from++;
    }
    return from < to ? from : POOL_SIZE;
}

/* A frame that is mapped somewhere, or will be in this call. */
static unsigned used_frame(const supply_t *supply)
{
    unsigned i = 0;
    while (i < POOL_SIZE && !supply->model->used[i] && !supply->handed[i]) {
        i++;
    }
    return i;
}

static vm_frame_t frame_at(const supply_t *supply, unsigned index, uintptr_t addr)
{
    size_t bits = index < POOL_SMALL ? 12 : 21;
    return (vm_frame_t){
        .cptr = supply->model->pool[index].cptr,
        .rights = supply->rights,
        .vaddr = addr & ~(((uintptr_t)1 << bits) - 1),
        .size_bits = bits,
    };
}

static vm_frame_t none(supply_t *supply)
{
    supply->codes = CODE(NO_FRAME);
    return (vm_frame_t){.cptr = seL4_CapNull};
}

/* What the library refuses of itself. */
static vm_frame_t spoil(supply_t *supply, vm_frame_t frame)
{
    supply->codes = CODE(BAD_FRAME);
    switch (supply->fault) {
    case SUPPLY_NULL:
        return none(supply);
    case SUPPLY_NO_SUCH_SIZE:
        frame.size_bits = 13;
        break;
    case SUPPLY_MISALIGNED:
        frame.vaddr += 8;
        break;
    default:
        frame.vaddr -= PAGE;
        break;
    }
    return frame;
}

vm_frame_t supply_next(uintptr_t addr, void *cookie)
{
    supply_t *supply = cookie;
    must(addr == supply->expected, "the iterator is asked for 0x%lx, not 0x%lx",
         (unsigned long)addr, (unsigned long)supply->expected);
    must((supply->codes & ~CODE(KERNEL)) == 0, "the iterator is asked again after a bad answer");
    uintptr_t large_mask = 2 * MEGABYTE - 1;
    unsigned index = POOL_SIZE;
    bool spoiled = supply->fault != SUPPLY_GOOD && supply->answers == supply->spoil;
    supply->answers++;
    if (supply->large && (addr & ~large_mask) >= supply->first && (addr & large_mask) == 0 &&
        (addr | large_mask) <= supply->last) {
        index = free_frame(supply, POOL_SMALL, POOL_SIZE);
    }
    if (index == POOL_SIZE) {
        index = free_frame(supply, 0, POOL_SMALL);
    }
    if (index == POOL_SIZE) {
        return none(supply);
    }
    if (spoiled && supply->fault == SUPPLY_USED && used_frame(supply) < POOL_SMALL) {
        index = used_frame(supply);
        supply->codes = CODE(KERNEL);
        spoiled = false;
    }
    vm_frame_t frame = frame_at(supply, index, addr);
    if (spoiled && supply->fault != SUPPLY_USED) {
        return spoil(supply, frame);
    }
    supply->handed[index] = true;
    supply->expected = frame.vaddr + ((uintptr_t)1 << frame.size_bits);
    return frame;
}

void supply_end(supply_t *supply, bool mapped)
{
    for (unsigned i = 0; i < POOL_SIZE; i++) {
        if (mapped && supply->handed[i]) {
            supply->owned[i] = true;
            supply->model->used[i] = true;
        }
    }
    memset(supply->handed, 0, sizeof(supply->handed));
}

void supply_free(supply_t *supply)
{
    for (unsigned i = 0; i < POOL_SIZE; i++) {
        if (supply->owned[i]) {
            supply->model->used[i] = false;
        }
    }
    free(supply);
}
