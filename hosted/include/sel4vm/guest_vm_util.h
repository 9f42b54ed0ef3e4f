/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Short questions about a VM. */

#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The capability of a VCPU's thread. */
static inline seL4_CPtr vm_get_vcpu_tcb(vm_vcpu_t *vcpu)
{
    return vcpu->tcb.tcb.cptr;
}

/** The capability of the VCPU with that index; seL4_CapNull if there is none. */
static inline seL4_CPtr vm_get_vcpu(vm_t *vm, int vcpu_id)
{
    if (vcpu_id < 0 || (unsigned int)vcpu_id >= vm->num_vcpus) {
        return seL4_CapNull;
    }
    return vm->vcpus[vcpu_id]->vcpu.cptr;
}

/** The VCPU that plays that logical CPU of the guest; NULL if none does. */
static inline vm_vcpu_t *vm_vcpu_for_target_cpu(vm_t *vm, int target_cpu)
{
    for (unsigned int i = 0; i < vm->num_vcpus; i++) {
        if (vm->vcpus[i]->target_cpu == target_cpu) {
            return vm->vcpus[i];
        }
    }
    return NULL;
}

/** The first VCPU that plays no CPU yet; NULL if all do. */
static inline vm_vcpu_t *vm_find_free_unassigned_vcpu(vm_t *vm)
{
    return vm_vcpu_for_target_cpu(vm, -1);
}

/** Whether a VCPU was started. */
static inline bool is_vcpu_online(vm_vcpu_t *vcpu)
{
    return vcpu->vcpu_online;
}

/** The guest's address space. */
static inline vspace_t *vm_get_vspace(vm_t *vm)
{
    return &vm->mem.vm_vspace;
}

/** The VMM's address space. */
static inline vspace_t *vm_get_vmm_vspace(vm_t *vm)
{
    return &vm->mem.vmm_vspace;
}

#ifdef __cplusplus
}
#endif
