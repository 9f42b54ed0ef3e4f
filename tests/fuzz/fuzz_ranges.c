/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Any insertions and removals of a range map, of many neighbours at once, with allocations that
 * fail: the map is what range_model.h says. Each five bytes are a step: where it begins (2 bytes),
 * how many slots it changes, the ranges' sizes, and which allocation fails in which slots.
 */

#include <string.h>
#include "machine.h"
#include "range_model.h"
#include "test_heap.h"

static model_t model;

/* Insert a range at a slot, or remove that which is there. Allocation n in it fails; 0: none. */
static void change(gm_range_map_t *map, size_t slot, unsigned shape, int n)
{
    test_heap_t *heap = map->heap->cookie;
    heap->fail_at = n;
    if (model.present[slot]) {
        must(gm_range_map_remove(map, model.base[slot]), "range %ld is not found", (long)slot);
        model.present[slot] = false;
    } else {
        model.base[slot] = slot * MODEL_SLOT_SIZE + shape % MODEL_SLOT_SIZE;
        model.last[slot] = model.base[slot] +
                           shape / MODEL_SLOT_SIZE % (MODEL_SLOT_SIZE - shape % MODEL_SLOT_SIZE);
        if (gm_range_map_prepare(map, model.base[slot]) == 0) {
            gm_range_map_insert(map, model.base[slot], model.last[slot], &model.base[slot]);
            model.present[slot] = true;
        }
    }
    heap->fail_at = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    test_heap_t test_heap = {0};
    gm_heap_t heap = test_heap_make(&test_heap);
    gm_range_map_t map;
    memset(&model, 0, sizeof(model));
    gm_range_map_init(&map, &heap);
    for (; size >= 5; data += 5, size -= 5) {
        size_t first = (data[0] | (size_t)data[1] << 8) % MODEL_SLOTS;
        for (size_t i = first; i < MODEL_SLOTS && i <= first + data[2]; i++) {
            change(&map, i, data[3], i % 16 == data[4] / 16 ? data[4] % 4 : 0);
        }
        must(model_agrees(&model, &map), "the map has other ranges than it should");
    }
    gm_range_map_destroy(&map);
    must(heap.blocks == 0 && heap.bytes == 0, "an empty map has memory");
    return 0;
}
