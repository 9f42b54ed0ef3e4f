/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the way between a VCPU's fault and a device model: byte lanes and widths. sel4vm hands the
 * data of a read over in the lanes of its 32-bit word (shifted by the two low address bits), and
 * the data of a write as the register has it.
 */

#include "fault.h"

#include <sel4vm/guest_vcpu_fault.h>

memory_fault_result_t device_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t fault_addr,
                                   size_t fault_length, void *cookie)
{
    const device_window_t *window = cookie;
    device_t *device = window->device;
    uint64_t offset = fault_addr - window->base;
    uint64_t mask;

    (void)vm;
    if (fault_length != 1 && fault_length != 2 && fault_length != 4 && fault_length != 8) {
        return FAULT_ERROR;
    }
    mask = fault_length == 8 ? UINT64_MAX : (UINT64_C(1) << (fault_length * 8)) - 1;
    if (is_vcpu_read_fault(vcpu)) {
        uint64_t value = device->class->read(device, offset, (unsigned)fault_length) & mask;
        unsigned lane = fault_length == 8 ? 0 : (unsigned)(fault_addr & 3) * 8;
        if (set_vcpu_fault_data(vcpu, value << lane) != 0) {
            return FAULT_ERROR;
        }
    } else {
        uint64_t value = get_vcpu_fault_data(vcpu) & mask;
        device->class->write(device, offset, (unsigned)fault_length, value);
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}
