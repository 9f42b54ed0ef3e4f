/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Make a VM and its VCPUs. */

#include <simple/simple.h>
#include <vka/vka.h>
#include <vspace/vspace.h>
#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The VCPU that starts first. */
#define BOOT_VCPU 0

/**
 * Make a VM without VCPUs and without memory.
 *
 * @param vm             receives the VM; its content before does not matter
 * @param vka            allocator of kernel objects and slots; must live as long as the VM
 * @param host_simple    the VMM's environment; must live as long as the VM
 * @param host_vspace    the VMM's address space; copied
 * @param io_ops         its `malloc_ops` are the VM's heap; must live as long as the VM
 * @param host_endpoint  endpoint capability at which the VMM waits for faults
 * @param name           copied
 * @return 0; -1 with nothing allocated if an argument is bad or the kernel or an allocator refuses
 * @see vm_destroy in <hosted/vm.h>
 */
int vm_init(vm_t *vm, vka_t *vka, simple_t *host_simple, vspace_t host_vspace, ps_io_ops_t *io_ops,
            seL4_CPtr host_endpoint, const char *name);

/**
 * Give a VM one more VCPU.
 *
 * @param priority  of its thread
 * @return the VCPU, owned by the VM; NULL with nothing allocated if the VM has CONFIG_MAX_NUM_NODES
 *         of them, or the kernel or an allocator refuses
 */
vm_vcpu_t *vm_create_vcpu(vm_t *vm, int priority);

/**
 * Say which of the guest's logical CPUs a VCPU plays.
 *
 * @return 0; -1 if the VCPU is NULL or the VM has another VCPU for that CPU
 */
int vm_assign_vcpu_target(vm_vcpu_t *vcpu, int target_cpu);

#ifdef __cplusplus
}
#endif
