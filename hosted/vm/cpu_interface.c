/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The board's virtual CPU interface, which hardware serves without a VMM: a page that a VMM maps
 * into the guest. The engine gets that mapping without rights, so that each access stops it, and is
 * made here by gicv.h.
 */

#include <sel4vm/guest_vcpu_fault.h>
#include "runtime.h"

bool cpu_interface_access(vm_vcpu_t *vcpu)
{
    fault_t *fault = vcpu->vcpu_arch.fault;
    hosted_vm_t *runtime = runtime_of(vcpu->vm);
    gicv_t *gicv = &runtime->cpu_interface;
    hosted_stage2_mapping_t mapping;
    uint64_t address = fault->exit.fault.address;
    int ended = -1;

    if (!fault->completable ||
        !hosted_stage2_translate(runtime->system, vcpu->vm->mem.vm_vspace_root.cptr, address,
                                 &mapping) ||
        !gicv_is(&mapping) || !(fault->exit.fault.write ? mapping.write : mapping.read)) {
        return false;
    }
    gicv->list = hosted_vcpu_list_registers(runtime->system, vcpu->vcpu.cptr);
    if (fault->exit.fault.write) {
        ended = gicv_write(gicv, address - mapping.gpa, (uint32_t)get_vcpu_fault_data(vcpu));
    } else {
        set_vcpu_fault_data(vcpu, gicv_read(gicv, address - mapping.gpa));
    }
    advance_vcpu_fault(vcpu);
    if (ended >= 0) {
        gic_maintenance(vcpu, (seL4_Word)ended);
    }
    return true;
}
