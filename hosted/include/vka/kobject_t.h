/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Object types that do not depend on the architecture, and what they are here. */

#include <sel4/types.h>
#include <utils/util.h>

typedef int kobject_t;

enum _kobject_type {
    KOBJECT_FRAME = 0,
    KOBJECT_PAGE_GLOBAL_DIRECTORY,
    KOBJECT_PAGE_UPPER_DIRECTORY,
    KOBJECT_MODE_NUM_TYPES,
    KOBJECT_PAGE_DIRECTORY = KOBJECT_MODE_NUM_TYPES,
    KOBJECT_PAGE_TABLE,
    KOBJECT_ARCH_NUM_TYPES,
    KOBJECT_TCB = KOBJECT_ARCH_NUM_TYPES,
    KOBJECT_CNODE,
    KOBJECT_CSLOT,
    KOBJECT_UNTYPED,
    KOBJECT_ENDPOINT,
    KOBJECT_NOTIFICATION,
    KOBJECT_REPLY,
    KOBJECT_SCHED_CONTEXT,
    NUM_KOBJECT_TYPES
};

/** Log2 bytes of an object; `size_bits` matters for frames, untypeds and CNodes (slots). */
static inline seL4_Word kobject_get_size(kobject_t type, seL4_Word size_bits)
{
    switch (type) {
    case KOBJECT_TCB:
        return seL4_TCBBits;
    case KOBJECT_CNODE:
        return seL4_SlotBits + size_bits;
    case KOBJECT_CSLOT:
        return 0;
    case KOBJECT_UNTYPED:
        return size_bits;
    case KOBJECT_ENDPOINT:
        return seL4_EndpointBits;
    case KOBJECT_NOTIFICATION:
        return seL4_NotificationBits;
    case KOBJECT_PAGE_UPPER_DIRECTORY:
    case KOBJECT_PAGE_DIRECTORY:
    case KOBJECT_PAGE_TABLE:
        return seL4_PageTableBits;
    case KOBJECT_FRAME:
        return size_bits == seL4_PageBits || size_bits == seL4_LargePageBits ||
                       size_bits == seL4_HugePageBits
                   ? size_bits
                   : 0;
    default:
        ZF_LOGE("unknown object type %d", type);
        return 0;
    }
}

/** The kernel's object type, -1 if it has none of that type and size. */
static inline seL4_Word kobject_get_type(kobject_t type, seL4_Word size_bits)
{
    switch (type) {
    case KOBJECT_TCB:
        return seL4_TCBObject;
    case KOBJECT_CNODE:
        return seL4_CapTableObject;
    case KOBJECT_UNTYPED:
        return seL4_UntypedObject;
    case KOBJECT_ENDPOINT:
        return seL4_EndpointObject;
    case KOBJECT_NOTIFICATION:
        return seL4_NotificationObject;
    case KOBJECT_PAGE_UPPER_DIRECTORY:
    case KOBJECT_PAGE_DIRECTORY:
    case KOBJECT_PAGE_TABLE:
        return seL4_ARM_PageTableObject;
    case KOBJECT_FRAME:
        return size_bits == seL4_PageBits        ? (seL4_Word)seL4_ARM_SmallPageObject
               : size_bits == seL4_LargePageBits ? (seL4_Word)seL4_ARM_LargePageObject
               : size_bits == seL4_HugePageBits  ? (seL4_Word)seL4_ARM_HugePageObject
                                                 : (seL4_Word)-1;
    default:
        ZF_LOGE("unknown object type %d", type);
        return (seL4_Word)-1;
    }
}
