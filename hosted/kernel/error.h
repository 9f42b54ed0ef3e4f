/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Errors of invocations, with their details in the message registers. */

#include <stdbool.h>
#include <stdint.h>
#include <sel4/sel4.h>

static inline seL4_Error error_argument(unsigned index)
{
    seL4_SetMR(0, index);
    return seL4_InvalidArgument;
}

static inline seL4_Error error_capability(unsigned index)
{
    seL4_SetMR(0, index);
    return seL4_InvalidCapability;
}

static inline seL4_Error error_range(uint64_t min, uint64_t max)
{
    seL4_SetMR(0, min);
    seL4_SetMR(1, max);
    return seL4_RangeError;
}

static inline seL4_Error error_memory(uint64_t left)
{
    seL4_SetMR(0, left);
    return seL4_NotEnoughMemory;
}

static inline seL4_Error error_missing_capability(bool source, unsigned bits)
{
    seL4_SetMR(0, source);
    seL4_SetMR(1, seL4_MissingCapability);
    seL4_SetMR(2, bits);
    return seL4_FailedLookup;
}

static inline seL4_Error error_invalid_root(bool source)
{
    seL4_SetMR(0, source);
    seL4_SetMR(1, seL4_InvalidRoot);
    return seL4_FailedLookup;
}
