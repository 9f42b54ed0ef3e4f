/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The ranges double, so that a few of them lead round any place where the VMM once had small pages.
 */

#include "vmm_detour.h"
#include "arch_paging.h"

bool vmm_detour_take(vspace_t *vmm, vmm_detour_t *detour, size_t size, size_t size_bits)
{
    if (size_bits == ARCH_PAGE_BITS || detour->count == VMM_DETOUR_RANGES ||
        size > SIZE_MAX >> detour->count) {
        return false;
    }
    void *vaddr = NULL;
    reservation_t range = vspace_reserve_range_aligned(vmm, size << detour->count, size_bits,
                                                       seL4_AllRights, 1, &vaddr);
    if (range.res == NULL) {
        return false;
    }
    detour->ranges[detour->count++] = range;
    return true;
}

void vmm_detour_end(vspace_t *vmm, vmm_detour_t *detour)
{
    while (detour->count > 0) {
        vspace_free_reservation(vmm, detour->ranges[--detour->count]);
    }
}
