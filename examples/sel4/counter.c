/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The virtual counter of the generic timer: Arm Architecture Reference Manual, CNTVCT_EL0. */

#include "counter.h"
#include <sel4/config.h>

#ifdef CONFIG_EXPORT_VCNT_USER
uint64_t counter_now(void)
{
    uint64_t ticks;
    __asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
    return ticks;
}

uint64_t counter_nanoseconds(uint64_t ticks)
{
    uint64_t frequency; /* ticks a second */
    __asm__("mrs %0, cntfrq_el0" : "=r"(frequency));
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
