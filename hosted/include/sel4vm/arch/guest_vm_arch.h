/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What an ARM VM and VCPU consist of beyond <sel4vm/guest_vm.h>, and their callbacks. */

#include <stdint.h>
#include <sel4/sel4.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fault fault_t;
typedef struct vm vm_t;
typedef struct vm_vcpu vm_vcpu_t;

/**
 * Called for a hypercall (SMC, and HVC in the hosted system).
 *
 * @param regs  the guest's registers; what it changes is written back
 * @return 0; anything else stops the guest with an error
 */
typedef int (*smc_handler_callback_fn)(vm_vcpu_t *vcpu, seL4_UserContext *regs);

/**
 * Called for a trapped instruction that the runtime does not know.
 *
 * @param hsr     syndrome, see <sel4vm/arch/processor.h>
 * @param cookie  as registered
 * @return 0 if it was handled and advanced; anything else stops the guest with an error
 */
typedef int (*unhandled_vcpu_fault_callback_fn)(vm_vcpu_t *vcpu, uint32_t hsr, void *cookie);

/** Size of the VM's capability space, and the slots of it. */
#define VM_CSPACE_SIZE_BITS 4
#define VM_FAULT_EP_SLOT    1
#define VM_CSPACE_SLOT      (VM_FAULT_EP_SLOT + CONFIG_MAX_NUM_NODES)

struct vm_arch {
    smc_handler_callback_fn vm_smc_handler; /**< NULL: the runtime's own PSCI */
    struct hosted_vm *hosted;               /**< the hosted runtime's own state */
};

struct vm_vcpu_arch {
    fault_t *fault; /**< what the VCPU is stopped at */
    unhandled_vcpu_fault_callback_fn unhandled_vcpu_callback;
    void *unhandled_vcpu_callback_cookie;
};

/**
 * Register who is asked about trapped instructions that the runtime does not know.
 *
 * @param vcpu_fault_callback  replaces the one before; not NULL
 * @param cookie               passed on to it; stays the caller's
 * @return 0; -1 if an argument is bad
 */
int vm_register_unhandled_vcpu_fault_callback(vm_vcpu_t *vcpu,
                                              unhandled_vcpu_fault_callback_fn vcpu_fault_callback,
                                              void *cookie);

/**
 * Register who handles hypercalls instead of the runtime's own PSCI.
 *
 * @param vm_smc_handler  replaces the one before; not NULL
 * @return 0; -1 if an argument is bad
 */
int vm_register_smc_handler_callback(vm_t *vm, smc_handler_callback_fn vm_smc_handler);

#ifdef __cplusplus
}
#endif

/* Last, because it needs the complete structures above. */
#include <sel4vm/guest_vm.h>
