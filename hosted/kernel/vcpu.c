/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The invocations of virtual processors. What runs one (processor.c) may have newer values of its
 * registers than are here; vcpu_fetch() gets them.
 */

#include "kernel.h"

enum { VIRTUAL_TIMER_INTERRUPT = 27 };

static kernel_t *begin(seL4_ARM_VCPU service, vcpu_object_t **vcpu, seL4_Error *error)
{
    kernel_t *kernel = invocation_begin(HOSTED_VCPU, HOSTED_OPERATION_INVOCATION, error);
    if (!kernel) {
        return NULL;
    }
    const slot_t *slot = invocation_target(kernel, service, CAP_VCPU, error);
    if (!slot) {
        invocation_end(kernel, HOSTED_VCPU, *error);
        return NULL;
    }
    *vcpu = (vcpu_object_t *)slot->cap.object;
    return kernel;
}

/* A thread without a VCPU runs in user mode. */
static void unbind(kernel_t *kernel, tcb_object_t *tcb)
{
    if (tcb && tcb->vcpu) {
        processor_detach(kernel, tcb->vcpu);
        tcb->vcpu->tcb = NULL;
        tcb->vcpu = NULL;
        tcb->registers.spsr = tcb_allowed_spsr(tcb, tcb->registers.spsr);
    }
}

void vcpu_bind(kernel_t *kernel, vcpu_object_t *vcpu, tcb_object_t *tcb)
{
    unbind(kernel, tcb);
    unbind(kernel, vcpu->tcb);
    if (tcb) {
        tcb->vcpu = vcpu;
        vcpu->tcb = tcb;
    }
}

seL4_Error seL4_ARM_VCPU_SetTCB(seL4_ARM_VCPU service, seL4_TCB tcb)
{
    vcpu_object_t *vcpu;
    seL4_Error error;
    kernel_t *kernel = begin(service, &vcpu, &error);
    if (!kernel) {
        return error;
    }
    const cap_t *cap = &cspace_caller_slot(kernel, tcb)->cap;
    if (cap->type != CAP_TCB) {
        return invocation_end(kernel, HOSTED_VCPU, seL4_IllegalOperation);
    }
    vcpu_bind(kernel, vcpu, (tcb_object_t *)cap->object);
    return invocation_end(kernel, HOSTED_VCPU, seL4_NoError);
}

seL4_ARM_VCPU_ReadRegs_t seL4_ARM_VCPU_ReadRegs(seL4_ARM_VCPU service, seL4_VCPUReg field)
{
    seL4_ARM_VCPU_ReadRegs_t result = {0};
    vcpu_object_t *vcpu;
    seL4_Error error;
    kernel_t *kernel = begin(service, &vcpu, &error);
    if (!kernel) {
        result.error = (int)error;
        return result;
    }
    if ((seL4_Word)field >= seL4_VCPUReg_Num) {
        error = error_argument(1);
    } else {
        vcpu_fetch(kernel, vcpu);
        result.value = vcpu->registers[field];
    }
    result.error = (int)invocation_end(kernel, HOSTED_VCPU, error);
    return result;
}

seL4_Error seL4_ARM_VCPU_WriteRegs(seL4_ARM_VCPU service, seL4_VCPUReg field, seL4_Word value)
{
    vcpu_object_t *vcpu;
    seL4_Error error;
    kernel_t *kernel = begin(service, &vcpu, &error);
    if (!kernel) {
        return error;
    }
    if ((seL4_Word)field >= seL4_VCPUReg_Num) {
        error = error_argument(1);
    } else {
        vcpu_fetch(kernel, vcpu);
        vcpu->registers[field] = value;
    }
    return invocation_end(kernel, HOSTED_VCPU, error);
}

seL4_Error seL4_ARM_VCPU_InjectIRQ(seL4_ARM_VCPU service, seL4_Uint16 virq, seL4_Uint8 priority,
                                   seL4_Uint8 group, seL4_Uint8 index)
{
    vcpu_object_t *vcpu;
    seL4_Error error;
    kernel_t *kernel = begin(service, &vcpu, &error);
    if (!kernel) {
        return error;
    }
    if (virq > 1023) {
        error = error_range(0, 1023);
    } else if (priority > 31) {
        error = error_range(0, 31);
    } else if (group > 1) {
        error = error_range(0, 1);
    } else if (index >= VCPU_LIST_REGISTERS) {
        error = error_range(0, VCPU_LIST_REGISTERS - 1);
    } else if (gicv_is_active(vcpu->list_registers[index])) {
        error = seL4_DeleteFirst; /* the guest has taken what is in it */
    } else {
        /* Pending, with a maintenance interrupt, in the layout of a GICv2 list register. */
        vcpu->list_registers[index] =
            virq | 1u << 19 | (uint64_t)priority << 23 | 1u << 28 | (uint64_t)group << 30;
        processor_kick(vcpu);
    }
    return invocation_end(kernel, HOSTED_VCPU, error);
}

seL4_Error seL4_ARM_VCPU_AckVPPI(seL4_ARM_VCPU service, seL4_Word irq)
{
    vcpu_object_t *vcpu;
    seL4_Error error;
    kernel_t *kernel = begin(service, &vcpu, &error);
    if (!kernel) {
        return error;
    }
    if (irq > LAST_IRQ) {
        error = error_range(0, LAST_IRQ);
    } else if (irq != VIRTUAL_TIMER_INTERRUPT) {
        error = error_argument(0);
    } else {
        vcpu->timer_masked = false;
        processor_kick(vcpu);
    }
    return invocation_end(kernel, HOSTED_VCPU, error);
}

/* No capability here is one to call the firmware with. */
seL4_Error seL4_ARM_SMC_Call(seL4_ARM_SMC service, seL4_ARM_SMCContext *smc_args,
                             seL4_ARM_SMCContext *smc_response)
{
    (void)smc_args, (void)smc_response;
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_VCPU, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    bool empty = cspace_caller_slot(kernel, service)->cap.type == CAP_NULL;
    return invocation_end(kernel, HOSTED_VCPU, empty ? error_capability(0) : seL4_IllegalOperation);
}

seL4_Word *hosted_vcpu_registers(hosted_system_t *system, seL4_CPtr vcpu)
{
    const cap_t *cap = &cspace_caller_slot(hosted_system_kernel(system), vcpu)->cap;
    return cap->type == CAP_VCPU ? ((vcpu_object_t *)cap->object)->registers : NULL;
}
