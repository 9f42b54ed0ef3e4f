/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A VCPU's registers, and where guest memory lies. While the VCPU is stopped at a fault its
 * registers are looked at directly, as they will be taken over when it goes on; otherwise they are
 * read and written by invocations of its thread.
 */

#include <sel4vm/arch/guest_arm_context.h>
#include <sel4vm/arch/guest_memory_arch.h>
#include <sel4vm/guest_vm_util.h>
#include <utils/util.h>
#include "runtime.h"

#define CONTEXT_WORDS (sizeof(seL4_UserContext) / sizeof(seL4_Word))

int vm_set_thread_context(vm_vcpu_t *vcpu, seL4_UserContext context)
{
    fault_t *fault = vcpu->vcpu_arch.fault;

    if (fault->active) {
        *fault->regs = context;
        return 0;
    }
    if (seL4_TCB_WriteRegisters(vm_get_vcpu_tcb(vcpu), false, 0, CONTEXT_WORDS, &context) !=
        seL4_NoError) {
        ZF_LOGE("vm_set_thread_context: VM %s: the kernel refused", vcpu->vm->vm_name);
        return -1;
    }
    return 0;
}

int vm_get_thread_context(vm_vcpu_t *vcpu, seL4_UserContext *context)
{
    fault_t *fault = vcpu->vcpu_arch.fault;

    if (fault->active) {
        *context = *fault->regs;
        return 0;
    }
    if (seL4_TCB_ReadRegisters(vm_get_vcpu_tcb(vcpu), false, 0, CONTEXT_WORDS, context) !=
        seL4_NoError) {
        ZF_LOGE("vm_get_thread_context: VM %s: the kernel refused", vcpu->vm->vm_name);
        return -1;
    }
    return 0;
}

int vm_set_thread_context_reg(vm_vcpu_t *vcpu, unsigned int reg, uintptr_t value)
{
    seL4_UserContext context;

    if (reg >= CONTEXT_WORDS || vm_get_thread_context(vcpu, &context) != 0) {
        return -1;
    }
    ((seL4_Word *)&context)[reg] = value;
    return vm_set_thread_context(vcpu, context);
}

int vm_get_thread_context_reg(vm_vcpu_t *vcpu, unsigned int reg, uintptr_t *value)
{
    seL4_UserContext context;

    if (reg >= CONTEXT_WORDS || vm_get_thread_context(vcpu, &context) != 0) {
        return -1;
    }
    *value = ((seL4_Word *)&context)[reg];
    return 0;
}

int vm_set_arm_vcpu_reg(vm_vcpu_t *vcpu, seL4_Word reg, uintptr_t value)
{
    if (seL4_ARM_VCPU_WriteRegs(vcpu->vcpu.cptr, reg, value) != seL4_NoError) {
        ZF_LOGE("vm_set_arm_vcpu_reg: VM %s: the kernel refused", vcpu->vm->vm_name);
        return -1;
    }
    return 0;
}

int vm_get_arm_vcpu_reg(vm_vcpu_t *vcpu, seL4_Word reg, uintptr_t *value)
{
    seL4_ARM_VCPU_ReadRegs_t result = seL4_ARM_VCPU_ReadRegs(vcpu->vcpu.cptr, reg);
    if (result.error != seL4_NoError) {
        ZF_LOGE("vm_get_arm_vcpu_reg: VM %s: the kernel refused", vcpu->vm->vm_name);
        return -1;
    }
    *value = result.value;
    return 0;
}

/* The physical address of one guest address, and the size of its frame; 0 if there is none. */
static size_t frame_at(vm_t *vm, uintptr_t gpa, uintptr_t *paddr)
{
    vspace_t *vspace = vm_get_vspace(vm);
    seL4_CPtr cap = vspace_get_cap(vspace, (void *)gpa);

    if (cap == seL4_CapNull) {
        return 0;
    }
    size_t size = (size_t)1 << vspace_get_cookie(vspace, (void *)gpa);
    seL4_ARM_Page_GetAddress_t address = seL4_ARM_Page_GetAddress(cap);
    if (address.error != seL4_NoError) {
        return 0;
    }
    *paddr = address.paddr + (gpa & (size - 1));
    return size;
}

uintptr_t vm_arm_ipa_to_pa(vm_t *vm, uintptr_t ipa_base, size_t size)
{
    uintptr_t first;
    uintptr_t last = ipa_base + (size > 0 ? size - 1 : 0);
    size_t frame = frame_at(vm, ipa_base, &first);

    if (frame == 0 || last < ipa_base) {
        return 0;
    }
    uintptr_t covered = ipa_base | (frame - 1); /* the last address known to be contiguous */
    while (covered < last) {
        uintptr_t paddr;
        uintptr_t next = covered + 1;
        frame = frame_at(vm, next, &paddr);
        if (frame == 0 || paddr - first != next - ipa_base) {
            return 0;
        }
        covered = next | (frame - 1);
    }
    return first;
}
