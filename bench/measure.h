/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Times, and what is made of them. A figure is the median of many rounds; in each round the
 * contender and its baseline run one after the other, so that a drift of the machine hits both.
 */

#include <stddef.h>
#include <stdint.h>

#define MEASURE_ROUNDS 101 /* at most */

/** One figure's rounds, in nanoseconds an operation unless said otherwise. */
typedef struct measure {
    double rounds[MEASURE_ROUNDS];
    size_t count;
} measure_t;

/** What is printed of a figure. */
typedef struct spread {
    double median, low, high; /* quartiles */
} spread_t;

/** Nanoseconds of a clock that never goes back. */
uint64_t measure_now(void);

/** Stay on one processor. @return its number, or -1 if that is not possible */
int measure_pin(void);

/** Let the C library's heap keep what is freed, so that the kernel's page faults are not measured.
 */
void measure_keep_heap(void);

/** Add a round; those beyond MEASURE_ROUNDS are left out. */
void measure_add(measure_t *measure, double value);

spread_t measure_spread(const measure_t *measure);

/** The ratios of two figures that were measured in the same rounds. */
spread_t measure_ratio(const measure_t *contender, const measure_t *baseline);

/** Make the compiler believe that a value is used. */
static inline void measure_use(uintptr_t value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}

/** A cheap random sequence: xorshift. */
static inline uint64_t measure_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

/** A random number below `n`, which fits in 32 bits. */
static inline uint64_t measure_below(uint64_t *state, uint64_t n)
{
    return ((measure_random(state) >> 32) * n) >> 32;
}

/** `0` to `n - 1` in random order. @return to be freed; exits the program if there is no memory */
uint32_t *measure_permutation(size_t n, uint64_t seed);
