/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* What <vspace/vspace.h> offers for every address space, in terms of its functions. */

#include <vspace/vspace.h>

void *vspace_share_mem(vspace_t *from, vspace_t *to, void *start, int num_pages, size_t size_bits,
                       seL4_CapRights_t rights, int cacheable)
{
    void *vaddr = NULL;
    if (num_pages <= 0 || !sel4_valid_size_bits(size_bits)) {
        ZF_LOGE("cannot share %d pages of %zu bits", num_pages, size_bits);
        return NULL;
    }
    reservation_t reservation = vspace_reserve_range_aligned(to, (size_t)num_pages << size_bits,
                                                             size_bits, rights, cacheable, &vaddr);
    if (!reservation.res) {
        return NULL;
    }
    if (vspace_share_mem_at_vaddr(from, to, start, num_pages, size_bits, vaddr, reservation)) {
        vaddr = NULL;
    }
    /* The pages keep their addresses. */
    vspace_free_reservation(to, reservation);
    return vaddr;
}

void *vspace_new_pages_with_config(vspace_t *vspace, vspace_new_pages_config_t *config,
                                   seL4_CapRights_t rights)
{
    void *vaddr = config->vaddr;
    size_t bytes = config->num_pages << config->size_bits;
    reservation_t reservation =
        vaddr ? vspace_reserve_range_at(vspace, vaddr, bytes, rights, 1)
              : vspace_reserve_range_aligned(vspace, bytes, config->size_bits, rights, 1, &vaddr);
    if (!reservation.res) {
        return NULL;
    }
    vspace_new_pages_config_t at = *config;
    at.vaddr = vaddr;
    if (vspace_new_pages_at_vaddr_with_config(vspace, &at, reservation)) {
        vaddr = NULL;
    }
    vspace_free_reservation(vspace, reservation);
    return vaddr;
}

int vspace_access_page_with_callback(vspace_t *from, vspace_t *to, void *access_addr,
                                     size_t size_bits, seL4_CapRights_t rights, int cacheable,
                                     vspace_access_callback_fn callback, void *cookie)
{
    uintptr_t offset = (uintptr_t)access_addr & (BIT(size_bits) - 1);
    void *page =
        vspace_share_mem(from, to, (char *)access_addr - offset, 1, size_bits, rights, cacheable);
    if (!page) {
        return -1;
    }
    int result = callback(access_addr, (char *)page + offset, cookie);
    vspace_unmap_pages(to, page, 1, size_bits, VSPACE_FREE);
    return result;
}
