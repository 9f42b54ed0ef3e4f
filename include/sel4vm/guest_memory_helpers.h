/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Ready-made parts for users of <sel4vm/guest_memory.h>.
 */

#include <sel4vm/guest_vm.h>
#include <sel4vm/guest_memory.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A fault callback for memory that the guest should never fault on: logs the access and the
 * reservation, and stops the VM.
 *
 * @param vm            the VM
 * @param vcpu          the VCPU whose access it is
 * @param fault_addr    GPA of the access
 * @param fault_length  its width in bytes
 * @param cookie        not used
 * @return FAULT_ERROR
 */
memory_fault_result_t default_error_fault_callback(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t fault_addr,
                                                   size_t fault_length, void *cookie);

#ifdef __cplusplus
}
#endif
