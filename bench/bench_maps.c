/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The range map by itself against its rivals: all in one round, each on its own copy of the same
 * ranges. The ranges are inserted in random order; looking up takes random addresses, all of which
 * are in a range; changing removes a random range and inserts it again.
 */

#include <stdlib.h>
#include "bench.h"
#include "candidates/candidate.h"
#include "heap.h"
#include "range_map.h"

#define STRIDE  ((uintptr_t)0x2000)
#define SIZE    ((uintptr_t)0x1000)
#define LOOKUPS 20000
#define CHANGES 4000
#define ROUNDS  21
#define RIVALS  2

void *candidate_alloc(size_t size)
{
    void *block = malloc(size);
    if (block == NULL) {
        abort();
    }
    return block;
}

/* The library's map with the interface of the candidates. */
typedef struct library_map {
    gm_heap_t heap;
    gm_range_map_t map;
} library_map_t;

static void *allocate(void *cookie, size_t size)
{
    (void)cookie;
    return malloc(size);
}

static void release(void *cookie, void *block, size_t size)
{
    (void)cookie;
    (void)size;
    free(block);
}

static void *library_create(void)
{
    library_map_t *library = candidate_alloc(sizeof(*library));
    library->heap = (gm_heap_t){.allocate = allocate, .release = release};
    gm_range_map_init(&library->map, &library->heap);
    return library;
}

static void library_destroy(void *map)
{
    gm_range_map_destroy(&((library_map_t *)map)->map);
    free(map);
}

static void library_insert(void *map, uintptr_t base, uintptr_t last, void *value)
{
    library_map_t *library = map;
    if (gm_range_map_prepare(&library->map, base) != 0) {
        abort();
    }
    gm_range_map_insert(&library->map, base, last, value);
}

static void library_remove(void *map, uintptr_t base)
{
    (void)gm_range_map_remove(&((library_map_t *)map)->map, base);
}

static void *library_find(const void *map, uintptr_t address)
{
    return gm_range_map_get(&((const library_map_t *)map)->map, address);
}

static const candidate_t chosen = {"range_map (chosen)", 1000000,        library_create,
                                   library_destroy,      library_insert, library_remove,
                                   library_find};

static const candidate_t *const rivals[RIVALS] = {&chosen, &candidate_red_black};

static double time_lookups(const candidate_t *candidate, const void *map, size_t n, uint64_t seed)
{
    uint64_t start = measure_now();
    for (int i = 0; i < LOOKUPS; i++) {
        uintptr_t address = measure_below(&seed, n) * STRIDE + (seed & (SIZE - 1));
        measure_use((uintptr_t)candidate->find(map, address));
    }
    return (double)(measure_now() - start) / LOOKUPS;
}

static double time_changes(const candidate_t *candidate, void *map, size_t n, uint64_t seed)
{
    uint64_t start = measure_now();
    for (int i = 0; i < CHANGES; i++) {
        uintptr_t base = measure_below(&seed, n) * STRIDE;
        candidate->remove(map, base);
        candidate->insert(map, base, base + (SIZE - 1), map);
    }
    return (double)(measure_now() - start) / CHANGES;
}

static void measure_size(size_t n, measure_t *lookups, measure_t *changes)
{
    void *maps[RIVALS] = {NULL};
    uint32_t *order = measure_permutation(n, 7);
    for (size_t r = 0; r < RIVALS; r++) {
        if (n <= rivals[r]->most) {
            maps[r] = rivals[r]->create();
            for (size_t i = 0; i < n; i++) {
                uintptr_t base = order[i] * STRIDE;
                rivals[r]->insert(maps[r], base, base + (SIZE - 1), maps[r]);
            }
        }
    }
    for (uint64_t round = 0; round <= ROUNDS; round++) {
        for (size_t r = 0; r < RIVALS; r++) {
            if (maps[r] != NULL) {
                double lookup = time_lookups(rivals[r], maps[r], n, round + 1);
                double change = time_changes(rivals[r], maps[r], n, round + 1);
                if (round > 0) { /* the first warms up */
                    measure_add(&lookups[r], lookup);
                    measure_add(&changes[r], change);
                }
            }
        }
    }
    for (size_t r = 0; r < RIVALS; r++) {
        if (maps[r] != NULL) {
            for (size_t i = 0; i < n; i++) {
                rivals[r]->remove(maps[r], order[i] * STRIDE);
            }
            rivals[r]->destroy(maps[r]);
        }
    }
    free(order);
}

void bench_maps(report_t *report)
{
    static const size_t sizes[] = {10, 100, 1000, 10000, 100000};
    enum { NUM_SIZES = sizeof(sizes) / sizeof(sizes[0]) };
    static measure_t lookups[NUM_SIZES][RIVALS];
    static measure_t changes[NUM_SIZES][RIVALS];
    for (size_t i = 0; i < NUM_SIZES; i++) {
        measure_size(sizes[i], lookups[i], changes[i]);
    }
    for (size_t r = 0; r < 2 * RIVALS; r++) {
        for (size_t i = 0; i < NUM_SIZES; i++) {
            const measure_t *measure = r < RIVALS ? &lookups[i][r] : &changes[i][r - RIVALS];
            if (measure->count > 0) {
                report_measure(report, r < RIVALS ? "map: find" : "map: remove and insert",
                               rivals[r % RIVALS]->name, (double)sizes[i], measure);
            }
        }
    }
}
