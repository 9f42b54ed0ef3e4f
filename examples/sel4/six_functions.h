/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Memory of a VM by each of the six functions, and emulated pages. */

#include <sel4vm/guest_vm.h>

/** What the VMM holds of the guest's memory. */
typedef struct guest_memory {
    volatile uint32_t *shared;    /* the VMM's pointer to SHARED_PAGE */
    volatile uint32_t *read_only; /* and to READ_ONLY_PAGE */
    uint64_t stores;              /* to EMULATED_PAGE */
    uint64_t first_store;         /* when, in ticks of the counter */
    uint64_t last_store;
    uint64_t trapped_stores; /* to READ_ONLY_PAGE */
    seL4_CPtr end;           /* a notification that END_PAGE signals */
} guest_memory_t;

/** Back the guest's memory, see layout.h. @return 0; -1 if some call failed, and the log says why
 */
int guest_memory_make(vm_t *vm, guest_memory_t *memory);
