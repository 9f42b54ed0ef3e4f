/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Frame sizes by their bits, from what the architecture has. */

#include "arch_paging.h"

int arch_frame_index(size_t size_bits)
{
    for (int i = 0; i < ARCH_NUM_FRAME_SIZES; i++) {
        if (arch_frames[i].bits == size_bits) {
            return i;
        }
    }
    return -1;
}

guestmem_frame_size_t arch_frame_counter(size_t size_bits)
{
    return (guestmem_frame_size_t)arch_frames[arch_frame_index(size_bits)].counter;
}

size_t guestmem_frame_size_bits(guestmem_frame_size_t size)
{
    for (int i = 0; i < ARCH_NUM_FRAME_SIZES; i++) {
        if (arch_frames[i].counter == size) {
            return arch_frames[i].bits;
        }
    }
    return 0;
}
