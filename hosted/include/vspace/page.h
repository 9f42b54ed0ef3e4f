/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Which page sizes there are. */

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <utils/arith.h>
#include <vspace/arch/page.h>

#define SEL4_NUM_PAGE_SIZES ((int)ARRAY_SIZE(sel4_page_sizes))

/** Whether pages of 2^size_bits bytes exist. */
static inline bool sel4_valid_size_bits(size_t size_bits)
{
    for (int i = 0; i < SEL4_NUM_PAGE_SIZES; i++) {
        if (sel4_page_sizes[i] == size_bits) {
            return true;
        }
    }
    return false;
}

/** Log2 of the largest page that is no larger than `size_bytes`, or of the smallest page. */
static inline int sel4_page_size_bits_for_memory_region(size_t size_bytes)
{
    int i = SEL4_NUM_PAGE_SIZES - 1;
    while (i > 0 && size_bytes >> sel4_page_sizes[i] == 0) {
        i--;
    }
    return (int)sel4_page_sizes[i];
}
