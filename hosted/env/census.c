/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See <hosted/census.h>: counts that the kernel and the environment keep anyway. */

#include <hosted/census.h>

#include <inttypes.h>
#include "system.h"

void hosted_census_take(hosted_system_t *system, hosted_census_t *census)
{
    system_lock(system);
    const kernel_counts_t *counts = &system->kernel.counts;
    *census = (hosted_census_t){
        .slots = system->slots.num_taken,
        .caps = counts->caps,
        .objects = counts->objects,
        .untypeds = counts->untypeds,
        .frames_4k = counts->frames[0],
        .frames_2m = counts->frames[1],
        .frames_1g = counts->frames[2],
        .page_tables = counts->page_tables,
        .untyped_bytes = system->memory.taken_bytes,
        .free_bytes = system->memory.free_bytes,
        .guest_mappings = counts->guest_mappings,
        .guest_bytes = counts->guest_bytes,
        .vmm_mappings = counts->vmm_mappings,
        .vmm_reservations = system->vmm.num_reservations,
        .vmm_bytes = system->vmm.bytes,
        .heap_blocks = system->heap.blocks,
        .heap_bytes = system->heap.bytes,
        .derivation = kernel_fingerprint(&system->kernel) ^ memory_fingerprint(&system->memory),
    };
    system_unlock(system);
}

typedef struct row {
    const char *name;
    uint64_t before, after;
} row_t;

enum { NUM_ROWS = 18 };

static void make_rows(const hosted_census_t *a, const hosted_census_t *b, row_t rows[NUM_ROWS])
{
    const row_t all[NUM_ROWS] = {
        {"slots", a->slots, b->slots},
        {"caps", a->caps, b->caps},
        {"objects", a->objects, b->objects},
        {"untypeds", a->untypeds, b->untypeds},
        {"frames_4k", a->frames_4k, b->frames_4k},
        {"frames_2m", a->frames_2m, b->frames_2m},
        {"frames_1g", a->frames_1g, b->frames_1g},
        {"page_tables", a->page_tables, b->page_tables},
        {"untyped_bytes", a->untyped_bytes, b->untyped_bytes},
        {"free_bytes", a->free_bytes, b->free_bytes},
        {"guest_mappings", a->guest_mappings, b->guest_mappings},
        {"guest_bytes", a->guest_bytes, b->guest_bytes},
        {"vmm_mappings", a->vmm_mappings, b->vmm_mappings},
        {"vmm_reservations", a->vmm_reservations, b->vmm_reservations},
        {"vmm_bytes", a->vmm_bytes, b->vmm_bytes},
        {"heap_blocks", a->heap_blocks, b->heap_blocks},
        {"heap_bytes", a->heap_bytes, b->heap_bytes},
        {"derivation", a->derivation, b->derivation},
    };
    for (int i = 0; i < NUM_ROWS; i++) {
        rows[i] = all[i];
    }
}

bool hosted_census_equal(const hosted_census_t *a, const hosted_census_t *b)
{
    row_t rows[NUM_ROWS];
    make_rows(a, b, rows);
    for (int i = 0; i < NUM_ROWS; i++) {
        if (rows[i].before != rows[i].after) {
            return false;
        }
    }
    return true;
}

void hosted_census_print_difference(FILE *out, const hosted_census_t *before,
                                    const hosted_census_t *after)
{
    row_t rows[NUM_ROWS];
    make_rows(before, after, rows);
    for (int i = 0; i < NUM_ROWS; i++) {
        if (rows[i].before != rows[i].after) {
            fprintf(out, "%s: %" PRIu64 " -> %" PRIu64 "\n", rows[i].name, rows[i].before,
                    rows[i].after);
        }
    }
}
