/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The way round addresses of the VMM at which large frames cannot be mapped. seL4's own vspace_t
 * never gives up a page table: where a small page was, a large one finds the table in its place and
 * fails, and the next look for a free range may end at the same place.
 */

#include <stdbool.h>
#include <stddef.h>
#include <vspace/vspace.h>

#define VMM_DETOUR_RANGES 12 /* each twice as large as the one before */

/** Ranges that are held while another place is looked for. */
typedef struct vmm_detour {
    reservation_t ranges[VMM_DETOUR_RANGES];
    size_t count;
} vmm_detour_t;

/**
 * Hold the next free range, of a multiple of `size` bytes, so that the one behind it is found.
 *
 * @param size_bits  of the frames that could not be mapped
 * @return false if that is no use: the frames are small, it was done often, or nothing is free
 * @see vmm_detour_end
 */
bool vmm_detour_take(vspace_t *vmm, vmm_detour_t *detour, size_t size, size_t size_bits);

/** Give up what is held. */
void vmm_detour_end(vspace_t *vmm, vmm_detour_t *detour);
