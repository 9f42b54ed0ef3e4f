/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * See <hosted/memory_plan.h>. What is free is a list of runs, by ascending address: neighbouring
 * parts of one size. Taking one and cutting it up follows memory.c, so the counts are its.
 */

#include <hosted/memory_plan.h>

#include <stdlib.h>
#include <string.h>
#include "system.h"

typedef struct run {
    uint64_t base;
    uint64_t count; /* free parts */
    uint8_t bits;   /* log2 bytes of one */
    uint8_t kind;   /* memory_kind_t */
} run_t;

struct hosted_memory_plan {
    run_t *runs;
    size_t count;
    size_t room;
    uint64_t split_retypes;
};

hosted_memory_plan_t *hosted_memory_plan_create(hosted_system_t *system)
{
    const memory_t *memory = &system->memory;
    hosted_memory_plan_t *plan = calloc(1, sizeof(*plan));
    if (!plan) {
        return NULL;
    }
    plan->room = memory->num_roots + 64;
    plan->runs = calloc(plan->room, sizeof(*plan->runs));
    if (!plan->runs) {
        free(plan);
        return NULL;
    }
    plan->count = memory->num_roots;
    for (size_t i = 0; i < memory->num_roots; i++) {
        const memory_split_t *root = &memory->roots[i];
        plan->runs[i] = (run_t){root->node.key, 1, root->part_bits, root->kind};
    }
    return plan;
}

void hosted_memory_plan_destroy(hosted_memory_plan_t *plan)
{
    if (plan) {
        free(plan->runs);
        free(plan);
    }
}

static uint64_t run_bytes(const run_t *run)
{
    return run->count << run->bits;
}

/* Replace the run at `index` by `count` others that are not empty. @return false without memory */
static bool replace(hosted_memory_plan_t *plan, size_t index, const run_t *runs, size_t count)
{
    if (plan->count + count > plan->room) {
        run_t *larger = realloc(plan->runs, 2 * plan->room * sizeof(*larger));
        if (!larger) {
            return false;
        }
        plan->runs = larger;
        plan->room *= 2;
    }
    memmove(&plan->runs[index + count], &plan->runs[index + 1],
            (plan->count - index - 1) * sizeof(run_t));
    if (count) {
        memcpy(&plan->runs[index], runs, count * sizeof(run_t));
    }
    plan->count += count - 1;
    return true;
}

/* Cut the part at `base` down to 2^bits bytes at `paddr`: the pieces in front of that and behind.
 */
static size_t carve(hosted_memory_plan_t *plan, const run_t *run, uint64_t paddr, unsigned bits,
                    run_t *front, size_t *num_front, run_t *back)
{
    uint64_t base = run->base + ((paddr - run->base) >> run->bits << run->bits);
    unsigned part_bits = run->bits;
    size_t num_back = 0;
    while (part_bits > bits) {
        unsigned next_bits = memory_part_bits(part_bits, bits);
        uint64_t parts = 1ul << (part_bits - next_bits);
        uint64_t index = (paddr - base) >> next_bits;
        plan->split_retypes +=
            (parts + CONFIG_RETYPE_FAN_OUT_LIMIT - 1) / CONFIG_RETYPE_FAN_OUT_LIMIT;
        if (index > 0) {
            front[(*num_front)++] = (run_t){base, index, (uint8_t)next_bits, run->kind};
        }
        base += index << next_bits;
        if (index + 1 < parts) {
            back[num_back++] = (run_t){base + (1ul << next_bits), parts - index - 1,
                                       (uint8_t)next_bits, run->kind};
        }
        part_bits = next_bits;
    }
    return num_back;
}

/* Take 2^bits bytes at `paddr`, which lie in one part of the run. */
static bool take_of_run(hosted_memory_plan_t *plan, size_t index, uint64_t paddr, unsigned bits)
{
    run_t run = plan->runs[index];
    uint64_t part = (paddr - run.base) >> run.bits;
    run_t pieces[2 * MEMORY_BITS + 2];
    run_t back[MEMORY_BITS];
    size_t count = 0;
    if (part > 0) {
        pieces[count++] = (run_t){run.base, part, run.bits, run.kind};
    }
    size_t num_back = carve(plan, &run, paddr, bits, pieces, &count, back);
    while (num_back > 0) {
        pieces[count++] = back[--num_back];
    }
    if (part + 1 < run.count) {
        pieces[count++] =
            (run_t){run.base + ((part + 1) << run.bits), run.count - part - 1, run.bits, run.kind};
    }
    return replace(plan, index, pieces, count);
}

/* The best fitting run at the lowest address. */
static bool take(hosted_memory_plan_t *plan, memory_kind_t kind, size_t bits)
{
    size_t best = plan->count;
    for (size_t i = 0; i < plan->count; i++) {
        const run_t *run = &plan->runs[i];
        if (run->kind == kind && run->bits >= bits &&
            (best == plan->count || run->bits < plan->runs[best].bits)) {
            best = i;
        }
    }
    return best < plan->count && take_of_run(plan, best, plan->runs[best].base, (unsigned)bits);
}

bool hosted_memory_plan_take(hosted_memory_plan_t *plan, size_t bits)
{
    return take(plan, MEMORY_REGULAR, bits);
}

bool hosted_memory_plan_take_reserved(hosted_memory_plan_t *plan, size_t bits)
{
    return take(plan, MEMORY_RESERVED, bits) || take(plan, MEMORY_REGULAR, bits);
}

bool hosted_memory_plan_take_at(hosted_memory_plan_t *plan, uint64_t paddr, size_t bits)
{
    for (size_t i = 0; i < plan->count && !(paddr & ((1ul << bits) - 1)); i++) {
        const run_t *run = &plan->runs[i];
        if (paddr >= run->base && paddr - run->base < run_bytes(run)) {
            return run->bits >= bits && take_of_run(plan, i, paddr, (unsigned)bits);
        }
    }
    return false;
}

hosted_memory_counts_t hosted_memory_plan_counts(const hosted_memory_plan_t *plan)
{
    hosted_memory_counts_t counts = {.split_retypes = plan->split_retypes};
    for (size_t i = 0; i < plan->count; i++) {
        const run_t *run = &plan->runs[i];
        counts.regular_bytes += run->kind == MEMORY_REGULAR ? run_bytes(run) : 0;
        counts.reserved_bytes += run->kind == MEMORY_RESERVED ? run_bytes(run) : 0;
    }
    return counts;
}
