/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Accesses that stage 2 did not allow: ask the reservation, then the VM's unhandled-fault callback,
 * and do what the result says. What nobody handled stops the VM with a report.
 */

#include <guestmem/inspect.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_vm_exits.h>
#include "trace.h"

static const char *why_not_completable(const engine_fault_t *access)
{
    if (access->table_walk) {
        return "made by the guest's own table walk, it cannot be emulated";
    }
    if (access->fetch) {
        return "an instruction fetch cannot be emulated";
    }
    if (access->crosses_page) {
        return "unaligned and across a page boundary, it cannot be emulated";
    }
    if (!access->aligned) {
        return "unaligned, it cannot be emulated";
    }
    if (!access->decoded) {
        return "its instruction is not known, it cannot be emulated";
    }
    switch (access->access.kind) {
    case A64_WRITE_BACK:
        return "it writes the stack pointer back and cannot be emulated";
    case A64_PAIR:
        return "of a register pair, it cannot be emulated";
    case A64_VECTOR:
        return "of vector registers, it cannot be emulated";
    case A64_EXCLUSIVE:
        return "an exclusive access cannot be emulated";
    case A64_ATOMIC:
        return "an atomic read-modify-write cannot be emulated";
    case A64_ZERO_BLOCK:
        return "zeroing a block (DC ZVA) cannot be emulated";
    default:
        return "it cannot be emulated";
    }
}

static bool crosses_reservation(vm_t *vm, const engine_fault_t *access)
{
    guestmem_reservation_info_t info;
    vm_memory_reservation_t *reservation = guestmem_find_reservation(vm, access->address);

    return reservation != NULL && access->width > 0 &&
           guestmem_reservation_info(vm, reservation, &info) == 0 &&
           access->width - 1 > info.last - access->address;
}

/* Why the access stopped the VM, from what it is and what was returned. */
static const char *problem(vm_vcpu_t *vcpu, memory_fault_result_t result)
{
    const fault_t *fault = vcpu->vcpu_arch.fault;
    const engine_fault_t *access = &fault->exit.fault;
    vm_memory_reservation_t *reservation = guestmem_find_reservation(vcpu->vm, access->address);

    if (reservation == NULL && result != FAULT_ERROR) {
        return "no reservation there";
    }
    if (crosses_reservation(vcpu->vm, access)) {
        return "it crosses the reservation's end";
    }
    if (!fault->completable && (fault->refused || result == FAULT_ERROR)) {
        return why_not_completable(access);
    }
    switch (result) {
    case FAULT_ERROR:
        return "its callback failed";
    case FAULT_HANDLED:
        return "its callback neither advanced nor restarted the VCPU";
    default:
        return "nobody handled it";
    }
}

static memory_fault_result_t ask(vm_vcpu_t *vcpu, const engine_fault_t *access)
{
    vm_t *vm = vcpu->vm;
    memory_fault_result_t result = vm_memory_handle_fault(vm, vcpu, access->address, access->width);

    if (result == FAULT_UNHANDLED && vm->mem.unhandled_mem_fault_handler != NULL) {
        result = vm->mem.unhandled_mem_fault_handler(vm, vcpu, access->address, access->width,
                                                     vm->mem.unhandled_mem_fault_cookie);
    }
    return result;
}

static void count(hosted_vm_t *runtime, const engine_fault_t *access)
{
    if (access->fetch) {
        runtime->counters.fetch_faults++;
    } else if (access->write) {
        runtime->counters.write_faults++;
    } else {
        runtime->counters.read_faults++;
    }
    pages_count(runtime, access->address);
}

int handle_memory_fault(vm_vcpu_t *vcpu)
{
    fault_t *fault = vcpu->vcpu_arch.fault;
    hosted_vm_t *runtime = runtime_of(vcpu->vm);

    vcpu->vm->run.exit_reason = VM_GUEST_MMIO_EXIT;
    count(runtime, &fault->exit.fault);
    bool traced = traces(runtime, HOSTED_EVENT_FAULT);
    uint64_t before = traced ? hosted_invocation_total(runtime->system) : 0;
    memory_fault_result_t result = ask(vcpu, &fault->exit.fault);
    if (traced) {
        trace_fault(vcpu, result, before);
    }
    bool resumed = !fault->active && result == FAULT_HANDLED;
    if (fault->refused) {
        resumed = false;
    } else if (result == FAULT_RESTART) {
        fault->active = false;
        runtime->counters.restarts++;
        resumed = true;
    } else if (result == FAULT_IGNORE) {
        if (fault->active) {
            fault_skip(vcpu);
        }
        resumed = true;
    }
    if (!resumed) {
        report_access(vcpu, problem(vcpu, result));
    }
    return resumed ? 0 : -1;
}
