/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Reserved ranges of the VMM's address space, which is the process's: each is host address space
 * that faults until a frame is mapped in it. A range remembers the capability and cookie of each
 * page, in memory that is touched only where pages are mapped.
 *
 * Ranges of one page are neighbours in one large range, the arena, the lowest address first: where
 * they are of neighbouring frames, as an allocator gives them, the host has one mapping for all of
 * them, and its limit of mappings (vm.max_map_count) is far away.
 *
 * A range that is freed while pages are mapped in it stays until the last of them is unmapped, so
 * that the host never puts anything else under a mapping.
 */

#include "system.h"

typedef struct vmm_page {
    uint64_t cookie;
    uint32_t cap; /* 0: nothing begins here */
    uint32_t size_bits;
} vmm_page_t;

typedef struct vmm_reservation {
    tree_node_t node; /* the key is the address */
    uint64_t size;    /* bytes, whole pages */
    seL4_CapRights_t rights;
    bool deferred_rights;
    bool cacheable;
    bool freed; /* goes with its last page */
    size_t num_mapped;
    vmm_page_t *pages;   /* by 4 KiB */
    vmm_page_t own_page; /* `pages` of a range of one */
} vmm_reservation_t;

/** Reserve `bytes` at a multiple of 2^align_bits, or at `*vaddr` if that is not NULL. */
vmm_reservation_t *vmm_reserve(hosted_system_t *system, size_t bytes, size_t align_bits,
                               void **vaddr);

/** Free a reservation, now or with its last page. */
void vmm_release(hosted_system_t *system, vmm_reservation_t *reservation);

/** The reservation that holds `vaddr`, or NULL. */
vmm_reservation_t *vmm_find(hosted_system_t *system, const void *vaddr);

/** The page that is mapped at `vaddr`, or NULL. */
vmm_page_t *vmm_find_page(hosted_system_t *system, const void *vaddr);

/** Map frames inside a reservation: all, or none. @return 0 or -1 */
int vmm_map(hosted_system_t *system, vmm_reservation_t *reservation, uint64_t vaddr,
            const seL4_CPtr *caps, const uintptr_t *cookies, size_t count, size_t size_bits,
            seL4_CapRights_t rights);

/** Unmap the pages there, and free their frames with `vka` if it is not NULL. */
void vmm_unmap(hosted_system_t *system, uint64_t vaddr, size_t count, size_t size_bits, vka_t *vka);

/** Unmap all pages of a reservation, and free it. */
void vmm_clear(hosted_system_t *system, vmm_reservation_t *reservation, vka_t *vka);
