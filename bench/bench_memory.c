/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What a random access to memory costs here: counting up in a random line of an array, as a fault
 * counts in one of many reservations. The array's sizes are those of 1,000 to 1,000,000 lines. No
 * look-up among as many can cost less than this, and its own instructions.
 */

#include <stdlib.h>
#include "bench.h"
#include "world.h"

#define LINE     64
#define ACCESSES 20000
#define ROUNDS   41

/* `wait` is 0, or all ones for accesses that wait for the one before. */
static double time_accesses(char *array, size_t lines, uint64_t seed, uint64_t wait)
{
    uint64_t answer = 0;
    uint64_t start = measure_now();
    for (int i = 0; i < ACCESSES; i++) {
        seed += answer & wait;
        uint64_t *counter = (uint64_t *)(void *)&array[measure_below(&seed, lines) * LINE];
        answer = ++*counter >> 63;
    }
    measure_use(answer);
    return (double)(measure_now() - start) / ACCESSES;
}

void bench_memory(report_t *report)
{
    static const size_t sizes[] = {1000, 10000, 100000, 1000000};
    enum { NUM_SIZES = sizeof(sizes) / sizeof(sizes[0]) };
    static measure_t overlapping[NUM_SIZES], waiting[NUM_SIZES];
    const char *figure = "one line of memory";
    for (size_t i = 0; i < NUM_SIZES; i++) {
        char *array = aligned_alloc(LINE, sizes[i] * LINE);
        if (array == NULL) {
            world_fail("aligned_alloc");
        }
        for (size_t line = 0; line < sizes[i]; line++) {
            *(uint64_t *)(void *)&array[line * LINE] = 0;
        }
        for (uint64_t round = 0; round < ROUNDS; round++) {
            measure_add(&overlapping[i], time_accesses(array, sizes[i], 2 * round + 1, 0));
            measure_add(&waiting[i], time_accesses(array, sizes[i], 2 * round + 2, ~0ull));
        }
        free(array);
    }
    for (size_t i = 0; i < NUM_SIZES; i++) {
        report_measure(report, figure, "overlapping", (double)sizes[i], &overlapping[i]);
    }
    for (size_t i = 0; i < NUM_SIZES; i++) {
        report_measure(report, figure, "one after another", (double)sizes[i], &waiting[i]);
    }
}
