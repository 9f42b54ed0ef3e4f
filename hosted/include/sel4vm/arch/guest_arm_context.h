/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * A VCPU's registers. Inside a fault callback they are those of the stopped instruction, and what
 * is set takes effect when the VCPU goes on.
 */

#include <stdint.h>
#include <sel4/sel4.h>
#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Set all general registers, stack pointer, program counter and processor state.
 *
 * @return 0; -1 if the kernel refuses
 */
int vm_set_thread_context(vm_vcpu_t *vcpu, seL4_UserContext context);

/**
 * Set one of them.
 *
 * @param reg  its index as a word in seL4_UserContext: 0 is `pc`
 * @return 0; -1 if there is no such register or the kernel refuses
 */
int vm_set_thread_context_reg(vm_vcpu_t *vcpu, unsigned int reg, uintptr_t value);

/** Read all of them into `context`. @return 0; -1 if the kernel refuses */
int vm_get_thread_context(vm_vcpu_t *vcpu, seL4_UserContext *context);

/** Read one of them, by index as vm_set_thread_context_reg(). @return 0; -1 as there */
int vm_get_thread_context_reg(vm_vcpu_t *vcpu, unsigned int reg, uintptr_t *value);

/**
 * Set a system register of the VCPU.
 *
 * @param reg  a seL4_VCPUReg
 * @return 0; -1 if the kernel refuses
 */
int vm_set_arm_vcpu_reg(vm_vcpu_t *vcpu, seL4_Word reg, uintptr_t value);

/** Read a system register of the VCPU. @return 0; -1 if the kernel refuses */
int vm_get_arm_vcpu_reg(vm_vcpu_t *vcpu, seL4_Word reg, uintptr_t *value);

#ifdef __cplusplus
}
#endif
