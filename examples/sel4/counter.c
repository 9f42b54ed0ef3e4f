/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The virtual counter of the generic timer: Arm Architecture Reference Manual, CNTVCT_EL0. */

#include "counter.h"
#include <sel4/config.h>

#ifdef CONFIG_EXPORT_VCNT_USER
#ifdef __aarch64__
#define READ_COUNT     "isb; mrs %0, cntvct_el0"
#define READ_FREQUENCY "mrs %0, cntfrq_el0"
#else
#define READ_COUNT     "isb; mrrc p15, 1, %Q0, %R0, c14"
#define READ_FREQUENCY "mrc p15, 0, %Q0, c14, c0, 0; mov %R0, #0"
#endif

uint64_t counter_now(void)
{
    uint64_t ticks;
    __asm__ volatile(READ_COUNT : "=r"(ticks) : : "memory");
    return ticks;
}

uint64_t counter_nanoseconds(uint64_t ticks)
{
    uint64_t frequency; /* ticks a second */
    __asm__(READ_FREQUENCY : "=r"(frequency));
    return ticks / frequency * 1000000000 + ticks % frequency * 1000000000 / frequency;
}
#else
uint64_t counter_now(void)
{
    return 0;
}

uint64_t counter_nanoseconds(uint64_t ticks)
{
    return ticks;
}
#endif
