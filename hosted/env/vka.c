/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The allocator interface of a hosted system: slots.h and memory.h as a vka_t. The cookie of an
 * object is its address and log2 size, so it needs no memory of its own and a wrong one is noticed.
 */

#include <utils/zf_log.h>
#include "system.h"

static seL4_Word make_cookie(uint64_t paddr, unsigned bits)
{
    return paddr | (seL4_Word)bits << 56;
}

static uint64_t cookie_paddr(seL4_Word cookie)
{
    return cookie & ((1ul << 56) - 1);
}

static unsigned cookie_bits(seL4_Word cookie)
{
    return (unsigned)(cookie >> 56);
}

static int cspace_alloc(void *data, seL4_CPtr *res)
{
    hosted_system_t *system = data;
    system_lock(system);
    seL4_CPtr slot = 0;
    if (!inject_fails(&system->kernel, HOSTED_OPERATION_ALLOCATOR)) {
        slot = slots_take(&system->slots);
    }
    system_unlock(system);
    if (!slot) {
        return -1;
    }
    *res = slot;
    return 0;
}

static void cspace_make_path(void *data, seL4_CPtr slot, cspacepath_t *res)
{
    (void)data;
    *res = (cspacepath_t){.capPtr = slot,
                          .capDepth = seL4_WordBits,
                          .root = seL4_CapInitThreadCNode,
                          .offset = slot,
                          .window = 1};
}

static void cspace_free(void *data, seL4_CPtr slot)
{
    hosted_system_t *system = data;
    system_lock(system);
    bool taken = slots_give(&system->slots, slot);
    system_unlock(system);
    if (!taken) {
        ZF_LOGE("slot %lu was freed but is not allocated", slot);
    }
}

static bool can_be_in_device_memory(seL4_Word type)
{
    return type == seL4_UntypedObject || type == seL4_ARM_SmallPageObject ||
           type == seL4_ARM_LargePageObject || type == seL4_ARM_HugePageObject;
}

/* Make the object in a piece that was just taken; give the piece back if that fails. */
static int make_object(hosted_system_t *system, const cspacepath_t *dest, seL4_Word type,
                       seL4_Word size_bits, seL4_CPtr untyped, seL4_Word cookie, seL4_Word *res)
{
    seL4_Error error = seL4_Untyped_Retype(untyped, type, size_bits, dest->root, dest->dest,
                                           dest->destDepth, dest->offset, 1);
    if (error) {
        memory_give(&system->memory, cookie_paddr(cookie), cookie_bits(cookie));
        return (int)error;
    }
    *res = cookie;
    return 0;
}

static bool valid_size(seL4_Word type, seL4_Word size_bits, unsigned *bits)
{
    if (type >= seL4_ObjectTypeCount || size_bits >= seL4_WordBits) {
        return false;
    }
    *bits = object_bits(type, size_bits);
    return *bits >= seL4_MinUntypedBits && *bits <= seL4_MaxUntypedBits;
}

static int utspace_alloc_maybe_device(void *data, const cspacepath_t *dest, seL4_Word type,
                                      seL4_Word size_bits, bool can_use_dev, seL4_Word *res)
{
    hosted_system_t *system = data;
    unsigned bits;
    if (!valid_size(type, size_bits, &bits)) {
        return -1;
    }
    system_lock(system);
    kernel_t *entered = kernel_current();
    kernel_enter(&system->kernel);
    int error = -1;
    if (!inject_fails(&system->kernel, HOSTED_OPERATION_ALLOCATOR)) {
        uint64_t paddr;
        seL4_CPtr untyped;
        if (can_use_dev && can_be_in_device_memory(type)) {
            error = memory_take(&system->memory, HOSTED_RESERVED, bits, &paddr, &untyped);
        }
        if (error) {
            error = memory_take(&system->memory, HOSTED_MEMORY, bits, &paddr, &untyped);
        }
        if (!error) {
            error =
                make_object(system, dest, type, size_bits, untyped, make_cookie(paddr, bits), res);
        }
    }
    kernel_enter(entered);
    system_unlock(system);
    return error;
}

static int utspace_alloc(void *data, const cspacepath_t *dest, seL4_Word type, seL4_Word size_bits,
                         seL4_Word *res)
{
    return utspace_alloc_maybe_device(data, dest, type, size_bits, false, res);
}

static int utspace_alloc_at(void *data, const cspacepath_t *dest, seL4_Word type,
                            seL4_Word size_bits, uintptr_t paddr, seL4_Word *cookie)
{
    hosted_system_t *system = data;
    unsigned bits;
    if (!valid_size(type, size_bits, &bits)) {
        return -1;
    }
    system_lock(system);
    kernel_t *entered = kernel_current();
    kernel_enter(&system->kernel);
    int error = -1;
    if (!inject_fails(&system->kernel, HOSTED_OPERATION_ALLOCATOR)) {
        seL4_CPtr untyped;
        error = memory_take_at(&system->memory, paddr, bits, &untyped);
        if (!error) {
            error = make_object(system, dest, type, size_bits, untyped, make_cookie(paddr, bits),
                                cookie);
        }
    }
    kernel_enter(entered);
    system_unlock(system);
    return error;
}

static void utspace_free(void *data, seL4_Word type, seL4_Word size_bits, seL4_Word target)
{
    (void)type, (void)size_bits;
    hosted_system_t *system = data;
    system_lock(system);
    kernel_t *entered = kernel_current();
    kernel_enter(&system->kernel);
    bool taken = cookie_bits(target) >= seL4_MinUntypedBits &&
                 memory_give(&system->memory, cookie_paddr(target), cookie_bits(target));
    kernel_enter(entered);
    system_unlock(system);
    if (!taken) {
        ZF_LOGE("memory of cookie %#lx was freed but is not allocated", target);
    }
}

static uintptr_t utspace_paddr(void *data, seL4_Word target, seL4_Word type, seL4_Word size_bits)
{
    (void)data, (void)type, (void)size_bits;
    return cookie_bits(target) ? cookie_paddr(target) : VKA_NO_PADDR;
}

void vka_init(hosted_system_t *system)
{
    system->vka = (vka_t){
        .data = system,
        .cspace_alloc = cspace_alloc,
        .cspace_make_path = cspace_make_path,
        .utspace_alloc = utspace_alloc,
        .utspace_alloc_maybe_device = utspace_alloc_maybe_device,
        .utspace_alloc_at = utspace_alloc_at,
        .cspace_free = cspace_free,
        .utspace_free = utspace_free,
        .utspace_paddr = utspace_paddr,
    };
}
