/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Mapping single pages. */

#include <sel4/sel4.h>
#include <sel4utils/gen_config.h>
#include <utils/util.h>
#include <vka/object.h>
#include <vka/vka.h>
#include <vspace/vspace.h>

/**
 * Map a frame, and the page tables that it needs.
 *
 * @param cacheable    0 for device memory
 * @param objects      receives the page tables that were made
 * @param num_objects  entries of `objects`; receives how many were made
 * @return an seL4_Error, or -1 if a page table could not be allocated; tables that were made stay
 */
int sel4utils_map_page(vka_t *vka, seL4_CPtr pd, seL4_CPtr frame, void *vaddr,
                       seL4_CapRights_t rights, int cacheable, vka_object_t *objects,
                       int *num_objects);

/** sel4utils_map_page() with page tables that will never be freed. */
static inline int sel4utils_map_page_leaky(vka_t *vka, seL4_CPtr pd, seL4_CPtr frame, void *vaddr,
                                           seL4_CapRights_t rights, int cacheable)
{
    vka_object_t objects[3];
    int num = 3;
    return sel4utils_map_page(vka, pd, frame, vaddr, rights, cacheable, objects, &num);
}

/** Map a copy of a frame's capability at any address. @return the address, or NULL */
void *sel4utils_dup_and_map(vka_t *vka, vspace_t *vspace, seL4_CPtr page, size_t size_bits);

/** Undo sel4utils_dup_and_map(). */
void sel4utils_unmap_dup(vka_t *vka, vspace_t *vspace, void *mapping, size_t size_bits);
