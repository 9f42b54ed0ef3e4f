/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What fault callbacks see and do: the functions of guest_vcpu_fault.h, on what the engine reported
 * and the thread's registers. `active` is true from fault_begin() until the VCPU is let go on, by
 * advancing or restarting it.
 */

#include <sel4vm/guest_vcpu_fault.h>
#include <sel4vm/guest_vm_util.h>
#include <utils/util.h>
#include "runtime.h"

#define INSTRUCTION_BYTES 4

void fault_begin(vm_vcpu_t *vcpu, const engine_exit_t *exit)
{
    fault_t *fault = vcpu->vcpu_arch.fault;
    const engine_fault_t *access = &exit->fault;
    hosted_vm_t *runtime = runtime_of(vcpu->vm);

    fault->active = true;
    fault->refused = false;
    fault->exit = *exit;
    fault->data = 0;
    fault->regs = hosted_tcb_registers(runtime->system, vm_get_vcpu_tcb(vcpu));
    fault->data_access = exit->reason == ENGINE_FAULT && !access->fetch;
    fault->completable = fault->data_access && processor_can_complete(access);
}

void fault_skip(vm_vcpu_t *vcpu)
{
    fault_t *fault = vcpu->vcpu_arch.fault;

    fault->regs->pc += INSTRUCTION_BYTES;
    fault->active = false;
}

/* Bits of a value of the access's width. */
static seL4_Word width_mask(const fault_t *fault)
{
    unsigned width = fault->completable ? fault->exit.fault.access.width : 0;
    return width >= sizeof(seL4_Word) ? ~(seL4_Word)0 : ((seL4_Word)1 << (width * 8)) - 1;
}

/* Where the data of the access stands in the aligned 32-bit word around it. */
static unsigned lane_shift(const fault_t *fault)
{
    return (unsigned)(fault->exit.fault.address & 3) * 8;
}

seL4_Word get_vcpu_fault_address(vm_vcpu_t *vcpu)
{
    return vcpu->vcpu_arch.fault->exit.fault.address;
}

seL4_Word get_vcpu_fault_ip(vm_vcpu_t *vcpu)
{
    return vcpu->vcpu_arch.fault->exit.pc;
}

seL4_Word get_vcpu_fault_data(vm_vcpu_t *vcpu)
{
    fault_t *fault = vcpu->vcpu_arch.fault;

    if (is_vcpu_read_fault(vcpu)) {
        return fault->data;
    }
    if (!fault->completable) {
        return 0;
    }
    return processor_stored(&fault->exit.fault, fault->regs);
}

seL4_Word get_vcpu_fault_data_mask(vm_vcpu_t *vcpu)
{
    fault_t *fault = vcpu->vcpu_arch.fault;
    return width_mask(fault) << lane_shift(fault);
}

size_t get_vcpu_fault_size(vm_vcpu_t *vcpu)
{
    fault_t *fault = vcpu->vcpu_arch.fault;
    return fault->completable ? fault->exit.fault.access.width : 0;
}

bool is_vcpu_read_fault(vm_vcpu_t *vcpu)
{
    return !vcpu->vcpu_arch.fault->exit.fault.write;
}

int set_vcpu_fault_data(vm_vcpu_t *vcpu, seL4_Word data)
{
    fault_t *fault = vcpu->vcpu_arch.fault;

    if (!fault->active || !fault->data_access) {
        return -1;
    }
    fault->data = data;
    return 0;
}

seL4_Word emulate_vcpu_fault(vm_vcpu_t *vcpu, seL4_Word data)
{
    fault_t *fault = vcpu->vcpu_arch.fault;
    seL4_Word mask = get_vcpu_fault_data_mask(vcpu);
    seL4_Word value = get_vcpu_fault_data(vcpu);
    unsigned shift = lane_shift(fault);

    if (is_vcpu_read_fault(vcpu)) {
        return (data & ~(mask >> shift)) | ((value & mask) >> shift);
    }
    return (data & ~mask) | ((value << shift) & mask);
}

/* Say once a VM that a guest does what works here and not on hardware. */
static void warn_of_write_back(vm_vcpu_t *vcpu)
{
    hosted_vm_t *runtime = runtime_of(vcpu->vm);

    if (!runtime->warned_of_write_back) {
        runtime->warned_of_write_back = true;
        ZF_LOGW(
            "VM %s, pc %#lx: the access at %#lx writes its base register back; that is emulated "
            "here, but on hardware it has no syndrome and a VMM cannot emulate it",
            vcpu->vm->vm_name, get_vcpu_fault_ip(vcpu), get_vcpu_fault_address(vcpu));
    }
}

/* Do what the instruction does to registers, given the data of a load. */
static void complete_access(vm_vcpu_t *vcpu)
{
    fault_t *fault = vcpu->vcpu_arch.fault;
    if (fault->exit.fault.access.kind == A64_WRITE_BACK) {
        warn_of_write_back(vcpu);
    }
    processor_complete(&fault->exit.fault, fault->regs, fault->data >> lane_shift(fault));
}

void advance_vcpu_fault(vm_vcpu_t *vcpu)
{
    fault_t *fault = vcpu->vcpu_arch.fault;

    if (!fault->active) {
        ZF_LOGE("advance_vcpu_fault: VM %s: the VCPU is not stopped at a fault", vcpu->vm->vm_name);
        return;
    }
    if (fault->exit.reason == ENGINE_FAULT && !fault->completable) {
        fault->refused = true;
        return;
    }
    if (fault->data_access) {
        complete_access(vcpu);
    }
    fault_skip(vcpu);
}

void restart_vcpu_fault(vm_vcpu_t *vcpu)
{
    vcpu->vcpu_arch.fault->active = false;
}
