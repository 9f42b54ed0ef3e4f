/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* What boot.c and vcpu.c make, as numbers. tests/plan compares them with what is made. */

#include <hosted/vm_needs.h>
#include <string.h>
#include <sel4vm/guest_vm.h>
#include "runtime.h"

hosted_vm_needs_t hosted_vm_needs(const char *name)
{
    return (hosted_vm_needs_t){
        .object_bits = {seL4_SlotBits + VM_CSPACE_SIZE_BITS, seL4_VSpaceBits},
        .num_objects = 2,
        .heap_blocks = 2, /* the state and the name */
        .heap_bytes = sizeof(hosted_vm_t) + strlen(name) + 1,
        .mints = 1, /* the capability space's own capability */
        .asid_assigns = 1,
    };
}

hosted_vm_needs_t hosted_vcpu_needs(void)
{
    return (hosted_vm_needs_t){
        .object_bits = {seL4_ARM_VCPUBits, seL4_TCBBits},
        .num_objects = 2,
        .heap_blocks = 2, /* the VCPU and its fault */
        .heap_bytes = sizeof(vm_vcpu_t) + sizeof(fault_t),
        .mints = 1,                                  /* the fault endpoint */
        .tcb_calls = 2 + (CONFIG_MAX_NUM_NODES > 1), /* configure, priority, affinity */
        .vcpu_calls = 1,                             /* the thread */
    };
}
