/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What a range map must be after any insertion and removal, of which docs/proof.md says what
 * is proved: it has the ranges of a plain array, in order, and counts what it has of the heap. */

#include <stdbool.h>
#include "range_map.h"

#define MODEL_SLOTS     1000 /* each of some bytes of address space, with at most one range */
#define MODEL_SLOT_SIZE 16

typedef struct model {
    bool present[MODEL_SLOTS];
    uintptr_t base[MODEL_SLOTS]; /* a range's value is its address here */
    uintptr_t last[MODEL_SLOTS];
} model_t;

/* The next range of the model from slot *i on. @return whether there is one */
static inline bool model_next(const model_t *model, size_t *i)
{
    while (*i < MODEL_SLOTS && !model->present[*i]) {
        ++*i;
    }
    return *i < MODEL_SLOTS;
}

static inline bool model_agrees(const model_t *model, const gm_range_map_t *map)
{
    size_t next = 0;
    size_t num_ranges = 0;
    for (size_t c = 0; c < map->num_chunks; c++) {
        const gm_range_slot_t *slot = &map->slots[c];
        if (slot->count < 1 || slot->count > GM_RANGE_CHUNK ||
            slot->first != slot->chunk->base[0]) {
            return false;
        }
        for (size_t i = 0; i < slot->count; i++, next++, num_ranges++) {
            if (!model_next(model, &next) || slot->chunk->base[i] != model->base[next] ||
                slot->chunk->rest[i].last != model->last[next] ||
                slot->chunk->rest[i].value != &model->base[next]) {
                return false;
            }
        }
    }
    return !model_next(model, &next) && num_ranges == map->num_ranges &&
           map->num_chunks <= map->capacity && map->spare_chunk == NULL &&
           map->spare_slots == NULL &&
           map->heap->blocks == map->num_chunks + (map->slots != NULL) &&
           map->heap->bytes ==
               map->num_chunks * sizeof(gm_range_chunk_t) + map->capacity * sizeof(gm_range_slot_t);
}
