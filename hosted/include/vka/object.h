/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Kernel objects together with the slot that holds their capability. */

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <utils/util.h>
#include <vka/kobject_t.h>
#include <vka/vka.h>

typedef struct vka_object {
    seL4_CPtr cptr;      /* the object's capability */
    seL4_Word ut;        /* the allocator's cookie for its memory */
    seL4_Word type;      /* its kernel type */
    seL4_Word size_bits; /* as it was asked for */
} vka_object_t;

/**
 * Allocate a slot and an object in it. `*result` is all zero after a failure.
 *
 * @param paddr        physical address, or VKA_NO_PADDR for any
 * @param can_use_dev  with VKA_NO_PADDR: whether memory other than regular one will do
 */
static inline int vka_alloc_object_at_maybe_dev(vka_t *vka, seL4_Word type, seL4_Word size_bits,
                                                uintptr_t paddr, bool can_use_dev,
                                                vka_object_t *result)
{
    memset(result, 0, sizeof(*result));
    if (type >= seL4_ObjectTypeCount) {
        ZF_LOGE("unknown object type %ld", (long)type);
        return -1;
    }
    cspacepath_t path;
    int error = vka_cspace_alloc_path(vka, &path);
    if (error) {
        ZF_LOGE("no capability slot for an object of type %ld: error %d", (long)type, error);
        return error;
    }
    seL4_Word cookie = 0;
    if (paddr == VKA_NO_PADDR) {
        error = vka_utspace_alloc_maybe_device(vka, &path, type, size_bits, can_use_dev, &cookie);
    } else {
        error = vka_utspace_alloc_at(vka, &path, type, size_bits, paddr, &cookie);
    }
    if (error) {
        ZF_LOGE("no memory for an object of type %ld and %ld bits: error %d", (long)type,
                (long)size_bits, error);
        vka_cspace_free_path(vka, path);
        return error;
    }
    *result =
        (vka_object_t){.cptr = path.capPtr, .ut = cookie, .type = type, .size_bits = size_bits};
    return 0;
}

static inline int vka_alloc_object_at(vka_t *vka, seL4_Word type, seL4_Word size_bits,
                                      uintptr_t paddr, vka_object_t *result)
{
    return vka_alloc_object_at_maybe_dev(vka, type, size_bits, paddr, false, result);
}

static inline int vka_alloc_object(vka_t *vka, seL4_Word type, seL4_Word size_bits,
                                   vka_object_t *result)
{
    return vka_alloc_object_at(vka, type, size_bits, VKA_NO_PADDR, result);
}

/** Allocate an object that will never be freed. @return its capability, or 0 */
static inline seL4_CPtr vka_alloc_object_leaky(vka_t *vka, seL4_Word type, seL4_Word size_bits)
{
    vka_object_t result;
    return vka_alloc_object(vka, type, size_bits, &result) ? 0 : result.cptr;
}

/* vka_alloc_..._leaky(): as the function without that ending, for an object that will never be
 * freed. Each returns the capability, or 0. */
#define LEAKY(name)                                                                                \
    static inline seL4_CPtr vka_alloc_##name##_leaky(vka_t *vka)                                   \
    {                                                                                              \
        vka_object_t object;                                                                       \
        return vka_alloc_##name(vka, &object) ? 0 : object.cptr;                                   \
    }
#define LEAKY_SIZE_BITS(name)                                                                      \
    static inline seL4_CPtr vka_alloc_##name##_leaky(vka_t *vka, uint32_t size_bits)               \
    {                                                                                              \
        vka_object_t object;                                                                       \
        return vka_alloc_##name(vka, size_bits, &object) ? 0 : object.cptr;                        \
    }

/** Delete an object's capability, and give back its slot and memory. */
static inline void vka_free_object(vka_t *vka, vka_object_t *object)
{
    cspacepath_t path;
    vka_cspace_make_path(vka, object->cptr, &path);
    if (path.capPtr == 0) {
        ZF_LOGE("the object has no capability");
        return;
    }
    seL4_CNode_Delete(path.root, path.capPtr, path.capDepth);
    vka_cspace_free(vka, object->cptr);
    vka_utspace_free(vka, object->type, object->size_bits, object->ut);
}

/** An object's physical address, or VKA_NO_PADDR. */
static inline uintptr_t vka_object_paddr(vka_t *vka, vka_object_t *object)
{
    return vka_utspace_paddr(vka, object->ut, object->type, object->size_bits);
}

static inline int vka_alloc_untyped(vka_t *vka, uint32_t size_bits, vka_object_t *result)
{
    return vka_alloc_object(vka, seL4_UntypedObject, size_bits, result);
}

static inline int vka_alloc_untyped_at(vka_t *vka, uint32_t size_bits, uintptr_t paddr,
                                       vka_object_t *result)
{
    return vka_alloc_object_at(vka, seL4_UntypedObject, size_bits, paddr, result);
}

static inline int vka_alloc_tcb(vka_t *vka, vka_object_t *result)
{
    return vka_alloc_object(vka, seL4_TCBObject, seL4_TCBBits, result);
}

static inline int vka_alloc_endpoint(vka_t *vka, vka_object_t *result)
{
    return vka_alloc_object(vka, seL4_EndpointObject, seL4_EndpointBits, result);
}

static inline int vka_alloc_notification(vka_t *vka, vka_object_t *result)
{
    return vka_alloc_object(vka, seL4_NotificationObject, seL4_NotificationBits, result);
}

/** @param slot_bits  log2 of the slots */
static inline int vka_alloc_cnode_object(vka_t *vka, uint32_t slot_bits, vka_object_t *result)
{
    return vka_alloc_object(vka, seL4_CapTableObject, slot_bits, result);
}

/** @param size_bits  12, 21 or 30 */
static inline int vka_alloc_frame(vka_t *vka, uint32_t size_bits, vka_object_t *result)
{
    return vka_alloc_object(vka, kobject_get_type(KOBJECT_FRAME, size_bits), size_bits, result);
}

static inline int vka_alloc_frame_maybe_device(vka_t *vka, uint32_t size_bits, bool can_use_dev,
                                               vka_object_t *result)
{
    return vka_alloc_object_at_maybe_dev(vka, kobject_get_type(KOBJECT_FRAME, size_bits), size_bits,
                                         VKA_NO_PADDR, can_use_dev, result);
}

static inline int vka_alloc_frame_at(vka_t *vka, uint32_t size_bits, uintptr_t paddr,
                                     vka_object_t *result)
{
    return vka_alloc_object_at(vka, kobject_get_type(KOBJECT_FRAME, size_bits), size_bits, paddr,
                               result);
}

static inline int vka_alloc_page_directory(vka_t *vka, vka_object_t *result)
{
    return vka_alloc_object(vka, kobject_get_type(KOBJECT_PAGE_DIRECTORY, 0), seL4_PageDirBits,
                            result);
}

static inline int vka_alloc_page_table(vka_t *vka, vka_object_t *result)
{
    return vka_alloc_object(vka, kobject_get_type(KOBJECT_PAGE_TABLE, 0), seL4_PageTableBits,
                            result);
}

static inline int vka_alloc_vspace_root(vka_t *vka, vka_object_t *result)
{
    return vka_alloc_object(vka, seL4_ARM_VSpaceObject, seL4_VSpaceBits, result);
}

static inline int vka_alloc_vcpu(vka_t *vka, vka_object_t *result)
{
    return vka_alloc_object(vka, seL4_ARM_VCPUObject, seL4_ARM_VCPUBits, result);
}

static inline int vka_alloc_kobject(vka_t *vka, kobject_t type, seL4_Word size_bits,
                                    vka_object_t *result)
{
    return vka_alloc_object(vka, kobject_get_type(type, size_bits), size_bits, result);
}

LEAKY_SIZE_BITS(untyped)
LEAKY_SIZE_BITS(frame)
LEAKY_SIZE_BITS(cnode_object)
LEAKY(tcb)
LEAKY(endpoint)
LEAKY(notification)
LEAKY(page_directory)
LEAKY(page_table)
LEAKY(vcpu)

/** Log2 bytes of untyped memory that an object takes. */
static inline unsigned long vka_get_object_size(seL4_Word type, seL4_Word size_bits)
{
    switch (type) {
    case seL4_UntypedObject:
        return size_bits;
    case seL4_TCBObject:
        return seL4_TCBBits;
    case seL4_EndpointObject:
        return seL4_EndpointBits;
    case seL4_NotificationObject:
        return seL4_NotificationBits;
    case seL4_CapTableObject:
        return seL4_SlotBits + size_bits;
    case seL4_ARM_SmallPageObject:
        return seL4_PageBits;
    case seL4_ARM_LargePageObject:
        return seL4_LargePageBits;
    case seL4_ARM_HugePageObject:
        return seL4_HugePageBits;
    case seL4_ARM_PageTableObject:
        return seL4_PageTableBits;
    case seL4_ARM_VSpaceObject:
        return seL4_VSpaceBits;
    case seL4_ARM_VCPUObject:
        return seL4_ARM_VCPUBits;
    default:
        ZF_LOGE("unknown object type %ld", (long)type);
        return 0;
    }
}
