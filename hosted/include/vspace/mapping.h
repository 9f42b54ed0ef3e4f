/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Which object a failed map asks for, and how it is mapped. */

#include <errno.h>
#include <sel4/sel4.h>
#include <sel4/sel4_arch/mapping.h>
#include <utils/util.h>
#include <vspace/arch/page.h>

typedef seL4_Error (*vspace_map_fn_t)(seL4_CPtr cap, seL4_CPtr vspace_root, seL4_Word vaddr,
                                      seL4_Word attr);
typedef seL4_Error (*vspace_map_page_fn_t)(seL4_CPtr cap, seL4_CPtr vspace_root, seL4_Word vaddr,
                                           seL4_CapRights_t rights, seL4_Word attr);

/** A page table: what to retype, and how to map it. */
typedef struct {
    seL4_Word type;
    seL4_Word size_bits;
    vspace_map_fn_t map_fn;
} vspace_map_obj_t;

typedef int (*vspace_get_map_obj_fn)(seL4_Word failed_bits, vspace_map_obj_t *obj);

/**
 * What seL4_MappingFailedLookupLevel() asks for.
 *
 * @return 0, or EINVAL if no table would help
 */
int vspace_get_map_obj(seL4_Word failed_bits, vspace_map_obj_t *obj);

static inline seL4_Error vspace_map_obj(vspace_map_obj_t *obj, seL4_CPtr cap, seL4_CPtr vspace,
                                        seL4_Word vaddr, seL4_Word attr)
{
    ZF_LOGF_IF(obj == NULL || obj->map_fn == NULL, "obj must be filled in");
    return obj->map_fn(cap, vspace, vaddr, attr);
}
