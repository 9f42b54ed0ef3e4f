/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What sources that use libsel4utils include first. */

#include <assert.h>
#include <autoconf.h>
#include <sel4utils/gen_config.h>
#include <sel4utils/sel4_zf_logif.h>
#include <sel4utils/strerror.h>
#include <stdint.h>
#include <utils/util.h>
#include <vspace/page.h>

/** Words in 64 bits. */
#define SEL4UTILS_64_WORDS (sizeof(uint64_t) / sizeof(seL4_Word))

static inline uint64_t sel4utils_64_get_mr(seL4_Word offset)
{
    return seL4_GetMR((int)offset);
}

static inline void sel4utils_64_set_mr(seL4_Word offset, uint64_t value)
{
    seL4_SetMR((int)offset, value);
}
