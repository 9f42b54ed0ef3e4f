/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Mapping single pages without a vspace_t, as tasks do that manage an address space themselves.
 */

#include <sel4utils/mapping.h>
#include <vka/capops.h>
#include <vspace/mapping.h>

/* The attributes are a word in one type and an enumeration in the other. */
static seL4_Error map_table(seL4_CPtr cap, seL4_CPtr vspace, seL4_Word vaddr, seL4_Word attr)
{
    return seL4_ARM_PageTable_Map(cap, vspace, vaddr, (seL4_ARM_VMAttributes)attr);
}

int vspace_get_map_obj(seL4_Word failed_bits, vspace_map_obj_t *obj)
{
    if (obj == NULL ||
        (failed_bits != SEL4_MAPPING_LOOKUP_NO_PT && failed_bits != SEL4_MAPPING_LOOKUP_NO_PD)) {
        return EINVAL;
    }
    *obj = (vspace_map_obj_t){seL4_ARM_PageTableObject, seL4_PageTableBits, map_table};
    return 0;
}

int sel4utils_map_page(vka_t *vka, seL4_CPtr pd, seL4_CPtr frame, void *vaddr,
                       seL4_CapRights_t rights, int cacheable, vka_object_t *objects,
                       int *num_objects)
{
    seL4_ARM_VMAttributes attributes =
        cacheable ? seL4_ARM_Default_VMAttributes : (seL4_ARM_VMAttributes)0;
    int room = *num_objects;
    seL4_Error error = seL4_ARM_Page_Map(frame, pd, (seL4_Word)vaddr, rights, attributes);

    *num_objects = 0;
    while (error == seL4_FailedLookup) {
        vspace_map_obj_t wanted;
        vka_object_t *table = &objects[*num_objects];
        if (vspace_get_map_obj(seL4_MappingFailedLookupLevel(), &wanted) != 0) {
            return error;
        }
        if (*num_objects == room ||
            vka_alloc_object(vka, wanted.type, wanted.size_bits, table) != 0) {
            return -1;
        }
        error = vspace_map_obj(&wanted, table->cptr, pd, (seL4_Word)vaddr,
                               seL4_ARM_Default_VMAttributes);
        if (error != seL4_NoError) {
            vka_free_object(vka, table);
            return error;
        }
        ++*num_objects;
        error = seL4_ARM_Page_Map(frame, pd, (seL4_Word)vaddr, rights, attributes);
    }
    return error;
}

void *sel4utils_dup_and_map(vka_t *vka, vspace_t *vspace, seL4_CPtr page, size_t size_bits)
{
    cspacepath_t from;
    cspacepath_t copy;

    if (vka_cspace_alloc_path(vka, &copy) != 0) {
        return NULL;
    }
    vka_cspace_make_path(vka, page, &from);
    if (vka_cnode_copy(&copy, &from, seL4_AllRights) == seL4_NoError) {
        void *vaddr = vspace_map_pages(vspace, &copy.capPtr, NULL, seL4_AllRights, 1, size_bits, 1);
        if (vaddr != NULL) {
            return vaddr;
        }
        vka_cnode_delete(&copy);
    }
    vka_cspace_free_path(vka, copy);
    return NULL;
}

void sel4utils_unmap_dup(vka_t *vka, vspace_t *vspace, void *mapping, size_t size_bits)
{
    cspacepath_t copy;

    vka_cspace_make_path(vka, vspace_get_cap(vspace, mapping), &copy);
    vspace_unmap_pages(vspace, mapping, 1, size_bits, VSPACE_PRESERVE);
    vka_cnode_delete(&copy);
    vka_cspace_free_path(vka, copy);
}
