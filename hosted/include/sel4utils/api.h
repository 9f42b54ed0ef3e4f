/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Guards of CNode capabilities, as words. */

#include <sel4/sel4.h>
#include <sel4utils/sel4_zf_logif.h>

static inline seL4_Word api_make_guard_word(seL4_Word guard, seL4_Word guard_size)
{
    return seL4_CNode_CapData_new(guard, guard_size).words[0];
}

/** A guard of zeros, which lets an address have `guard_size` more bits than the CNode. */
static inline seL4_Word api_make_guard_skip_word(seL4_Word guard_size)
{
    return api_make_guard_word(0, guard_size);
}
