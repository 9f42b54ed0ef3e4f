/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See objects.h. */

#include "objects.h"
#include <vka/capops.h>
#include <vka/object.h>

#ifdef CONFIG_ARCH_AARCH64
#define SPACE_OBJECT    seL4_ARM_VSpaceObject
#define BLOCK_OBJECT    seL4_ARM_LargePageObject
#define OUTERMOST_TABLE seL4_HugePageBits
#else
#define SPACE_OBJECT    seL4_ARM_PageDirectoryObject
#define BLOCK_OBJECT    seL4_ARM_SectionObject
#define OUTERMOST_TABLE seL4_SectionBits
#endif

static bool open_objects(suite_t *suite)
{
    objects_t *objects = &suite->objects;
    if (!objects->open) {
        objects->num_slots = 0;
        objects->open = vka_alloc_untyped(suite->env->vka, OBJECTS_BITS, &objects->untyped) == 0;
    }
    return EXPECT(objects->open);
}

cspacepath_t path_of(suite_t *suite, seL4_CPtr slot)
{
    cspacepath_t path;
    vka_cspace_make_path(suite->env->vka, slot, &path);
    return path;
}

seL4_CPtr new_slot(suite_t *suite)
{
    objects_t *objects = &suite->objects;
    seL4_CPtr slot = seL4_CapNull;
    if (!open_objects(suite) ||
        !EXPECT(objects->num_slots < sizeof(objects->slots) / sizeof(objects->slots[0])) ||
        !EXPECT(vka_cspace_alloc(suite->env->vka, &slot) == 0)) {
        return seL4_CapNull;
    }
    objects->slots[objects->num_slots++] = slot;
    return slot;
}

seL4_Error retype(suite_t *suite, seL4_CPtr untyped, seL4_Word type, seL4_Word size_bits,
                  seL4_CPtr slot)
{
    cspacepath_t path = path_of(suite, slot);
    return (seL4_Error)seL4_Untyped_Retype(untyped, type, size_bits, path.root, path.dest,
                                           path.destDepth, path.offset, 1);
}

seL4_CPtr new_object(suite_t *suite, seL4_Word type, seL4_Word size_bits)
{
    seL4_CPtr slot = new_slot(suite);
    if (slot == seL4_CapNull) {
        return seL4_CapNull;
    }
    EXPECT_ERROR(retype(suite, suite->objects.untyped.cptr, type, size_bits, slot), seL4_NoError);
    return slot;
}

seL4_CPtr new_frame(suite_t *suite, unsigned size_bits)
{
    return new_object(suite, size_bits == seL4_PageBits ? seL4_ARM_SmallPageObject : BLOCK_OBJECT,
                      size_bits);
}

seL4_CPtr new_table(suite_t *suite)
{
    return new_object(suite, seL4_ARM_PageTableObject, seL4_PageTableBits);
}

seL4_CPtr new_untyped(suite_t *suite, unsigned size_bits)
{
    return new_object(suite, seL4_UntypedObject, size_bits);
}

seL4_CPtr new_space(suite_t *suite)
{
    seL4_CPtr space = new_object(suite, SPACE_OBJECT, seL4_VSpaceBits);
    EXPECT_ERROR(simple_ASIDPool_assign(suite->env->simple, space), seL4_NoError);
    return space;
}

void make_tables(suite_t *suite, seL4_CPtr space, seL4_Word vaddr, unsigned bits)
{
    for (unsigned level = OUTERMOST_TABLE; level > bits; level -= seL4_PageTableIndexBits) {
        EXPECT_ERROR(map_table(new_table(suite), space, vaddr), seL4_NoError);
    }
}

void objects_close(suite_t *suite)
{
    objects_t *objects = &suite->objects;
    if (!objects->open) {
        return;
    }
    EXPECT_ERROR(revoke_cap(suite, objects->untyped.cptr), seL4_NoError);
    while (objects->num_slots > 0) {
        seL4_CPtr slot = objects->slots[--objects->num_slots];
        EXPECT_ERROR(delete_cap(suite, slot), seL4_NoError);
        vka_cspace_free(suite->env->vka, slot);
    }
    vka_free_object(suite->env->vka, &objects->untyped);
    objects->open = false;
}

seL4_Error map(seL4_CPtr frame, seL4_CPtr space, seL4_Word vaddr)
{
    return (seL4_Error)seL4_ARM_Page_Map(frame, space, vaddr, seL4_AllRights,
                                         seL4_ARM_Default_VMAttributes);
}

seL4_Error map_table(seL4_CPtr table, seL4_CPtr space, seL4_Word vaddr)
{
    return (seL4_Error)seL4_ARM_PageTable_Map(table, space, vaddr, seL4_ARM_Default_VMAttributes);
}

seL4_Error copy_cap(suite_t *suite, seL4_CPtr dest, seL4_CPtr src, seL4_CapRights_t rights)
{
    cspacepath_t to = path_of(suite, dest), from = path_of(suite, src);
    return (seL4_Error)seL4_CNode_Copy(to.root, to.capPtr, (seL4_Uint8)to.capDepth, from.root,
                                       from.capPtr, (seL4_Uint8)from.capDepth, rights);
}

seL4_Error mint_cap(suite_t *suite, seL4_CPtr dest, seL4_CPtr src, seL4_Word badge)
{
    cspacepath_t to = path_of(suite, dest), from = path_of(suite, src);
    return (seL4_Error)seL4_CNode_Mint(to.root, to.capPtr, (seL4_Uint8)to.capDepth, from.root,
                                       from.capPtr, (seL4_Uint8)from.capDepth, seL4_AllRights,
                                       badge);
}

seL4_Error move_cap(suite_t *suite, seL4_CPtr dest, seL4_CPtr src)
{
    cspacepath_t to = path_of(suite, dest), from = path_of(suite, src);
    return (seL4_Error)seL4_CNode_Move(to.root, to.capPtr, (seL4_Uint8)to.capDepth, from.root,
                                       from.capPtr, (seL4_Uint8)from.capDepth);
}

seL4_Error delete_cap(suite_t *suite, seL4_CPtr slot)
{
    cspacepath_t path = path_of(suite, slot);
    return (seL4_Error)seL4_CNode_Delete(path.root, path.capPtr, (seL4_Uint8)path.capDepth);
}

seL4_Error revoke_cap(suite_t *suite, seL4_CPtr slot)
{
    cspacepath_t path = path_of(suite, slot);
    return (seL4_Error)seL4_CNode_Revoke(path.root, path.capPtr, (seL4_Uint8)path.capDepth);
}

seL4_Word frame_paddr(suite_t *suite, seL4_CPtr frame)
{
    seL4_ARM_Page_GetAddress_t address = seL4_ARM_Page_GetAddress(frame);
    EXPECT_ERROR(address.error, seL4_NoError);
    return address.paddr;
}

bool large_page_at(suite_t *suite, seL4_CPtr space, seL4_Word vaddr)
{
    seL4_CPtr table = new_table(suite);
    seL4_Error error = map_table(table, space, vaddr);
    if (error == seL4_NoError) {
        EXPECT_ERROR(seL4_ARM_PageTable_Unmap(table), seL4_NoError);
        return false;
    }
    return EXPECT_ERROR(error, seL4_DeleteFirst);
}

unsigned char *show_frame(suite_t *suite, seL4_CPtr frame)
{
    return vspace_map_pages(suite->env->vspace, &frame, NULL, seL4_AllRights, 1, seL4_PageBits, 1);
}

void hide_frame(suite_t *suite, unsigned char *page)
{
    seL4_CPtr frame = vspace_get_cap(suite->env->vspace, page);
    EXPECT_ERROR(seL4_ARM_Page_Clean_Data(frame, 0, PAGE), seL4_NoError);
    vspace_unmap_pages(suite->env->vspace, page, 1, seL4_PageBits, VSPACE_PRESERVE);
}
