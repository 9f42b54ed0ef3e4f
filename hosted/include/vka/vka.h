/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The allocator interface: capability slots and kernel objects. Unless said otherwise a function
 * returns 0 when it succeeded, and changes nothing when it fails.
 */

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <sel4/sel4.h>
#include <utils/util.h>
#include <vka/cspacepath_t.h>

typedef int (*vka_cspace_alloc_fn)(void *data, seL4_CPtr *res);
typedef void (*vka_cspace_make_path_fn)(void *data, seL4_CPtr slot, cspacepath_t *res);
typedef void (*vka_cspace_free_fn)(void *data, seL4_CPtr slot);
typedef int (*vka_utspace_alloc_fn)(void *data, const cspacepath_t *dest, seL4_Word type,
                                    seL4_Word size_bits, seL4_Word *res);
typedef int (*vka_utspace_alloc_at_fn)(void *data, const cspacepath_t *dest, seL4_Word type,
                                       seL4_Word size_bits, uintptr_t paddr, seL4_Word *cookie);
typedef int (*vka_utspace_alloc_maybe_device_fn)(void *data, const cspacepath_t *dest,
                                                 seL4_Word type, seL4_Word size_bits,
                                                 bool can_use_dev, seL4_Word *res);
typedef void (*vka_utspace_free_fn)(void *data, seL4_Word type, seL4_Word size_bits,
                                    seL4_Word target);
typedef uintptr_t (*vka_utspace_paddr_fn)(void *data, seL4_Word target, seL4_Word type,
                                          seL4_Word size_bits);

/** No physical address: is returned, and asks for any. */
#define VKA_NO_PADDR 1

typedef struct vka {
    void *data;
    vka_cspace_alloc_fn cspace_alloc;
    vka_cspace_make_path_fn cspace_make_path;
    vka_utspace_alloc_fn utspace_alloc;
    vka_utspace_alloc_maybe_device_fn utspace_alloc_maybe_device;
    vka_utspace_alloc_at_fn utspace_alloc_at;
    vka_cspace_free_fn cspace_free;
    vka_utspace_free_fn utspace_free;
    vka_utspace_paddr_fn utspace_paddr;
} vka_t;

/** Take a free capability slot into `*res`. */
static inline int vka_cspace_alloc(vka_t *vka, seL4_CPtr *res)
{
    if (!vka || !res || !vka->cspace_alloc) {
        ZF_LOGE("vka, its cspace_alloc and res must not be NULL");
        return -1;
    }
    return vka->cspace_alloc(vka->data, res);
}

/** Fill in the path of a slot of this allocator. */
static inline void vka_cspace_make_path(vka_t *vka, seL4_CPtr slot, cspacepath_t *res)
{
    if (!vka || !res || !vka->cspace_make_path) {
        ZF_LOGF("vka, its cspace_make_path and res must not be NULL");
    }
    vka->cspace_make_path(vka->data, slot, res);
}

/** vka_cspace_alloc() and vka_cspace_make_path() in one. */
static inline int vka_cspace_alloc_path(vka_t *vka, cspacepath_t *res)
{
    seL4_CPtr slot;
    int error = vka_cspace_alloc(vka, &slot);
    if (error == 0) {
        vka_cspace_make_path(vka, slot, res);
    }
    return error;
}

/** Give a slot back; it must be empty. */
static inline void vka_cspace_free(vka_t *vka, seL4_CPtr slot)
{
    if (!vka || !vka->cspace_free) {
        ZF_LOGE("vka and its cspace_free must not be NULL");
        return;
    }
    vka->cspace_free(vka->data, slot);
}

static inline void vka_cspace_free_path(vka_t *vka, cspacepath_t path)
{
    vka_cspace_free(vka, path.capPtr);
}

/**
 * Make an object in the empty slot `dest`, anywhere in regular memory.
 *
 * @param size_bits  log2 bytes; of a CNode log2 slots
 * @param res        receives the cookie for vka_utspace_free() and vka_utspace_paddr()
 */
static inline int vka_utspace_alloc(vka_t *vka, const cspacepath_t *dest, seL4_Word type,
                                    seL4_Word size_bits, seL4_Word *res)
{
    if (!vka || !res || !vka->utspace_alloc) {
        ZF_LOGE("vka, its utspace_alloc and res must not be NULL");
        return -1;
    }
    return vka->utspace_alloc(vka->data, dest, type, size_bits, res);
}

/** As vka_utspace_alloc(); with `can_use_dev` from memory that is no regular one, too. */
static inline int vka_utspace_alloc_maybe_device(vka_t *vka, const cspacepath_t *dest,
                                                 seL4_Word type, seL4_Word size_bits,
                                                 bool can_use_dev, seL4_Word *res)
{
    if (!vka || !res || !vka->utspace_alloc_maybe_device) {
        ZF_LOGE("vka, its utspace_alloc_maybe_device and res must not be NULL");
        return -1;
    }
    return vka->utspace_alloc_maybe_device(vka->data, dest, type, size_bits, can_use_dev, res);
}

/** As vka_utspace_alloc(), at that physical address, in regular or device memory. */
static inline int vka_utspace_alloc_at(vka_t *vka, const cspacepath_t *dest, seL4_Word type,
                                       seL4_Word size_bits, uintptr_t paddr, seL4_Word *cookie)
{
    if (!vka || !cookie || !vka->utspace_alloc_at) {
        ZF_LOGE("vka, its utspace_alloc_at and cookie must not be NULL");
        return -1;
    }
    return vka->utspace_alloc_at(vka->data, dest, type, size_bits, paddr, cookie);
}

/** Give an object's memory back; all capabilities to the object must be deleted before. */
static inline void vka_utspace_free(vka_t *vka, seL4_Word type, seL4_Word size_bits,
                                    seL4_Word target)
{
    if (!vka || !vka->utspace_free) {
        ZF_LOGF("vka and its utspace_free must not be NULL");
    }
    vka->utspace_free(vka->data, type, size_bits, target);
}

/** The physical address of the object of that cookie, or VKA_NO_PADDR. */
static inline uintptr_t vka_utspace_paddr(vka_t *vka, seL4_Word target, seL4_Word type,
                                          seL4_Word size_bits)
{
    if (!vka || !vka->utspace_paddr) {
        ZF_LOGE("vka and its utspace_paddr must not be NULL");
        return VKA_NO_PADDR;
    }
    return vka->utspace_paddr(vka->data, target, type, size_bits);
}
