/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Copies of capabilities into slots of an allocator. */

#include <vka/capops.h>

/** Copy `src` into a slot of `vka`. @param result  receives the copy, without memory of its own */
static inline int vka_mint_object(vka_t *vka, vka_object_t *src, cspacepath_t *result,
                                  seL4_CapRights_t rights, seL4_Word badge)
{
    cspacepath_t from;
    vka_cspace_make_path(vka, src->cptr, &from);
    int error = vka_cspace_alloc_path(vka, result);
    if (error) {
        return error;
    }
    error = vka_cnode_mint(result, &from, rights, badge);
    if (error) {
        vka_cspace_free_path(vka, *result);
    }
    return error;
}
