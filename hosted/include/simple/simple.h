/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What a task knows of the system that it was started in. */

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sel4/sel4.h>
#include <simple/arch/simple.h>
#include <utils/util.h>
#include <vka/cspacepath_t.h>

typedef seL4_Error (*simple_get_frame_cap_fn)(void *data, void *paddr, int size_bits,
                                              cspacepath_t *path);
typedef void *(*simple_get_frame_mapping_fn)(void *data, void *paddr, int size_bits);
typedef void *(*simple_get_frame_info_fn)(void *data, void *paddr, int size_bits, seL4_CPtr *cap,
                                          seL4_Word *ut_offset);
typedef seL4_Error (*simple_ASIDPool_assign_fn)(void *data, seL4_CPtr vspace);
typedef int (*simple_get_cap_count_fn)(void *data);
typedef seL4_CPtr (*simple_get_nth_cap_fn)(void *data, int n);
typedef seL4_CPtr (*simple_get_init_cap_fn)(void *data, seL4_CPtr cap);
typedef uint8_t (*simple_get_cnode_size_fn)(void *data);
typedef int (*simple_get_untyped_count_fn)(void *data);
typedef seL4_CPtr (*simple_get_nth_untyped_fn)(void *data, int n, size_t *size_bits,
                                               uintptr_t *paddr, bool *device);
typedef int (*simple_get_userimage_count_fn)(void *data);
typedef seL4_CPtr (*simple_get_nth_userimage_fn)(void *data, int n);
typedef int (*simple_get_core_count_fn)(void *data);
typedef void (*simple_print_fn)(void *data);
typedef seL4_CPtr (*simple_get_sched_ctrl_fn)(void *data, int core);
typedef ssize_t (*simple_get_extended_bootinfo_len_fn)(void *data, seL4_Word type);
typedef ssize_t (*simple_get_extended_bootinfo_fn)(void *data, seL4_Word type, void *dest,
                                                   ssize_t max_len);

typedef struct simple_t {
    void *data;
    simple_get_frame_cap_fn frame_cap;
    simple_get_frame_mapping_fn frame_mapping;
    simple_get_frame_info_fn frame_info;
    simple_ASIDPool_assign_fn ASID_assign;
    simple_get_cap_count_fn cap_count;
    simple_get_nth_cap_fn nth_cap;
    simple_get_init_cap_fn init_cap;
    simple_get_cnode_size_fn cnode_size;
    simple_get_untyped_count_fn untyped_count;
    simple_get_nth_untyped_fn nth_untyped;
    simple_get_userimage_count_fn userimage_count;
    simple_get_nth_userimage_fn nth_userimage;
    simple_get_core_count_fn core_count;
    simple_print_fn print;
    simple_get_sched_ctrl_fn sched_ctrl;
    simple_get_extended_bootinfo_len_fn extended_bootinfo_len;
    simple_get_extended_bootinfo_fn extended_bootinfo;
    arch_simple_t arch_simple;
} simple_t;

/** Put the capability of the frame at `paddr` into the slot `path`; seL4_FailedLookup if none. */
static inline seL4_Error simple_get_frame_cap(simple_t *simple, void *paddr, int size_bits,
                                              cspacepath_t *path)
{
    if (!simple || !simple->frame_cap) {
        ZF_LOGE("simple and its frame_cap must not be NULL");
        return seL4_InvalidArgument;
    }
    return simple->frame_cap(simple->data, paddr, size_bits, path);
}

/** Where the frame at `paddr` is mapped already, or NULL. */
static inline void *simple_get_frame_vaddr(simple_t *simple, void *paddr, int size_bits)
{
    if (!simple || !simple->frame_mapping) {
        ZF_LOGE("simple and its frame_mapping must not be NULL");
        return NULL;
    }
    return simple->frame_mapping(simple->data, paddr, size_bits);
}

/** The untyped that holds `paddr`, and the offset in it; where it is mapped, or NULL. */
static inline void *simple_get_frame_info(simple_t *simple, void *paddr, int size_bits,
                                          seL4_CPtr *frame_cap, seL4_Word *ut_offset)
{
    if (!simple || !simple->frame_info) {
        ZF_LOGE("simple and its frame_info must not be NULL");
        return NULL;
    }
    return simple->frame_info(simple->data, paddr, size_bits, frame_cap, ut_offset);
}

/** Give an address space an identifier from the task's pool. */
static inline seL4_Error simple_ASIDPool_assign(simple_t *simple, seL4_CPtr vspace)
{
    if (!simple || !simple->ASID_assign) {
        ZF_LOGE("simple and its ASID_assign must not be NULL");
        return seL4_InvalidArgument;
    }
    return simple->ASID_assign(simple->data, vspace);
}

/** Capabilities that simple_get_nth_cap() knows. */
static inline int simple_get_cap_count(simple_t *simple)
{
    if (!simple || !simple->cap_count) {
        ZF_LOGE("simple and its cap_count must not be NULL");
        return -1;
    }
    return simple->cap_count(simple->data);
}

/** The n-th capability from 0, or seL4_CapNull. */
static inline seL4_CPtr simple_get_nth_cap(simple_t *simple, int n)
{
    if (!simple || !simple->nth_cap) {
        ZF_LOGE("simple and its nth_cap must not be NULL");
        return seL4_CapNull;
    }
    return simple->nth_cap(simple->data, n);
}

/** Log2 of the slots of the task's root CNode. */
static inline int simple_get_cnode_size_bits(simple_t *simple)
{
    if (!simple || !simple->cnode_size) {
        ZF_LOGE("simple and its cnode_size must not be NULL");
        return -1;
    }
    return simple->cnode_size(simple->data);
}

/** The capability of that number in seL4_RootCNodeCapSlots. */
static inline seL4_CPtr simple_init_cap(simple_t *simple, seL4_CPtr cap)
{
    if (!simple || !simple->init_cap) {
        ZF_LOGE("simple and its init_cap must not be NULL");
        return seL4_CapNull;
    }
    return simple->init_cap(simple->data, cap);
}

static inline seL4_CPtr simple_get_init_cap(simple_t *simple, seL4_CPtr cap)
{
    return simple_init_cap(simple, cap);
}

static inline seL4_CPtr simple_get_cnode(simple_t *simple)
{
    return simple_init_cap(simple, seL4_CapInitThreadCNode);
}

static inline seL4_CPtr simple_get_tcb(simple_t *simple)
{
    return simple_init_cap(simple, seL4_CapInitThreadTCB);
}

static inline seL4_CPtr simple_get_pd(simple_t *simple)
{
    return simple_init_cap(simple, seL4_CapInitThreadVSpace);
}

static inline seL4_CPtr simple_get_irq_ctrl(simple_t *simple)
{
    return simple_init_cap(simple, seL4_CapIRQControl);
}

/** Scheduling contexts exist on MCS kernels only. */
static inline seL4_CPtr simple_get_sc(UNUSED simple_t *simple)
{
    return seL4_CapNull;
}

/** Untypeds that the task was started with. */
static inline int simple_get_untyped_count(simple_t *simple)
{
    if (!simple || !simple->untyped_count) {
        ZF_LOGE("simple and its untyped_count must not be NULL");
        return -1;
    }
    return simple->untyped_count(simple->data);
}

/** The n-th untyped from 0; the pointers may be NULL. */
static inline seL4_CPtr simple_get_nth_untyped(simple_t *simple, int n, size_t *size_bits,
                                               uintptr_t *paddr, bool *device)
{
    if (!simple || !simple->nth_untyped) {
        ZF_LOGE("simple and its nth_untyped must not be NULL");
        return seL4_CapNull;
    }
    return simple->nth_untyped(simple->data, n, size_bits, paddr, device);
}

/** Frames of the task's own image. */
static inline int simple_get_userimage_count(simple_t *simple)
{
    if (!simple || !simple->userimage_count) {
        ZF_LOGE("simple and its userimage_count must not be NULL");
        return -1;
    }
    return simple->userimage_count(simple->data);
}

/** The n-th frame of the task's own image. */
static inline seL4_CPtr simple_get_nth_userimage(simple_t *simple, int n)
{
    if (!simple || !simple->nth_userimage) {
        ZF_LOGE("simple and its nth_userimage must not be NULL");
        return seL4_CapNull;
    }
    return simple->nth_userimage(simple->data, n);
}

/** Nodes of the system. */
static inline int simple_get_core_count(simple_t *simple)
{
    if (!simple || !simple->core_count) {
        ZF_LOGE("simple and its core_count must not be NULL");
        return -1;
    }
    return simple->core_count(simple->data);
}

/** Bytes of that piece of boot information with its header, or -1. */
static inline ssize_t simple_get_extended_bootinfo_length(simple_t *simple, seL4_Word type)
{
    if (!simple || !simple->extended_bootinfo_len) {
        ZF_LOGE("simple and its extended_bootinfo_len must not be NULL");
        return -1;
    }
    return simple->extended_bootinfo_len(simple->data, type);
}

/** Copy that piece of boot information with its header. @return bytes copied, or -1 */
static inline ssize_t simple_get_extended_bootinfo(simple_t *simple, seL4_Word type, void *dest,
                                                   ssize_t max_len)
{
    if (!simple || !simple->extended_bootinfo) {
        ZF_LOGE("simple and its extended_bootinfo must not be NULL");
        return -1;
    }
    return simple->extended_bootinfo(simple->data, type, dest, max_len);
}

/** Print what is known, on stdout. */
static inline void simple_print(simple_t *simple)
{
    if (!simple || !simple->print) {
        ZF_LOGE("simple and its print must not be NULL");
        return;
    }
    simple->print(simple->data);
}

/** Get the handler of interrupt `irq` into the slot `path`. */
static inline seL4_Error simple_get_IRQ_handler(simple_t *simple, int irq, cspacepath_t path)
{
    if (!simple || !simple->arch_simple.irq) {
        ZF_LOGE("simple and its irq must not be NULL");
        return seL4_InvalidArgument;
    }
    return simple->arch_simple.irq(simple->data, irq, path.root, path.capPtr,
                                   (uint8_t)path.capDepth);
}
