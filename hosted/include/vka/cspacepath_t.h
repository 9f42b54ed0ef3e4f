/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Where a capability slot is, in the forms that the kernel's invocations ask for. */

#include <inttypes.h>
#include <sel4/sel4.h>

typedef struct _cspacepath_t {
    seL4_CPtr capPtr;   /* the slot, as seen from `root` ... */
    seL4_Word capDepth; /* ... with so many bits */
    seL4_CNode root;
    seL4_Word dest; /* the CNode that holds the slot, as seen from `root` ... */
    seL4_Word destDepth;
    seL4_Word offset; /* ... and the slot's number in it */
    seL4_Word window; /* slots from there that the path stands for */
} cspacepath_t;
