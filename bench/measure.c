/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See measure.h. */

#define _GNU_SOURCE
#include "measure.h"
#include <limits.h>
#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t measure_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int measure_pin(void)
{
    int cpu = sched_getcpu();
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu < 0) {
        return -1;
    }
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof(set), &set) == 0 ? cpu : -1;
}

void measure_keep_heap(void)
{
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    mallopt(M_MMAP_THRESHOLD, INT_MAX);
}

void measure_add(measure_t *measure, double value)
{
    if (measure->count < MEASURE_ROUNDS) {
        measure->rounds[measure->count++] = value;
    }
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

spread_t measure_spread(const measure_t *measure)
{
    measure_t sorted = *measure;
    size_t n = sorted.count;
    if (n == 0) {
        return (spread_t){0};
    }
    qsort(sorted.rounds, n, sizeof(sorted.rounds[0]), ascending);
    return (spread_t){sorted.rounds[n / 2], sorted.rounds[n / 4], sorted.rounds[n - 1 - n / 4]};
}

spread_t measure_ratio(const measure_t *contender, const measure_t *baseline)
{
    measure_t ratios = {.count = contender->count};
    for (size_t i = 0; i < contender->count; i++) {
        ratios.rounds[i] = contender->rounds[i] / baseline->rounds[i];
    }
    return measure_spread(&ratios);
}

uint32_t *measure_permutation(size_t n, uint64_t seed)
{
    uint32_t *order = malloc(n * sizeof(*order));
    if (order == NULL) {
        fprintf(stderr, "bench: no memory for %zu numbers\n", n);
        exit(1);
    }
    for (size_t i = 0; i < n; i++) {
        size_t j = measure_below(&seed, i + 1);
        order[i] = order[j];
        order[j] = (uint32_t)i;
    }
    return order;
}
