/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Frequencies, and the times that their cycles take. */

#include <stdint.h>
#include <utils/time.h>

#define KHZ (1000)
#define MHZ (1000 * KHZ)
#define GHZ (1000 * MHZ)

/** In Hz. */
typedef uint64_t freq_t;

static inline uint64_t freq_cycles_and_hz_to_ns(uint64_t ncycles, freq_t hz)
{
    return (uint64_t)((unsigned __int128)ncycles * NS_IN_S / hz);
}

static inline freq_t freq_cycles_and_ns_to_hz(uint64_t ncycles, uint64_t ns)
{
    return (uint64_t)((unsigned __int128)ncycles * NS_IN_S / ns);
}

static inline uint64_t freq_ns_and_hz_to_cycles(uint64_t ns, freq_t hz)
{
    return (uint64_t)((unsigned __int128)ns * hz / NS_IN_S);
}
