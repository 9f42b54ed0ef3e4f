/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See hosted/trace.h. */

#include "trace.h"

#include <guestmem/inspect.h>
#include <hosted/vm.h>
#include <sel4vm/guest_vcpu_fault.h>

static void send(hosted_vm_t *runtime, const vm_t *vm, hosted_event_t *event)
{
    event->time = hosted_vm_time(vm);
    runtime->trace.function(runtime->trace.cookie, event);
}

void trace_fault(vm_vcpu_t *vcpu, memory_fault_result_t result, uint64_t invocations_before)
{
    const fault_t *fault = vcpu->vcpu_arch.fault;
    const engine_fault_t *access = &fault->exit.fault;
    hosted_vm_t *runtime = runtime_of(vcpu->vm);
    guestmem_reservation_info_t info = {0};
    vm_memory_reservation_t *reservation = guestmem_find_reservation(vcpu->vm, access->address);
    unsigned bits = get_vcpu_fault_size(vcpu) * 8;
    uint64_t mask = bits < 64 ? (UINT64_C(1) << bits) - 1 : UINT64_MAX;
    unsigned shift = (unsigned)(access->address & 3) * 8; /* of a load's data, see fault.c */

    if (reservation != NULL) {
        guestmem_reservation_info(vcpu->vm, reservation, &info);
    }
    hosted_event_t event = {
        .kind = HOSTED_EVENT_FAULT,
        .pc = fault->exit.pc,
        .gpa = access->address,
        .width = access->fetch ? 0 : (unsigned)access->width,
        .write = access->write,
        .fetch = access->fetch,
        .has_value = fault->completable && result != FAULT_RESTART &&
                     (access->write || result == FAULT_HANDLED),
        .value = access->write ? get_vcpu_fault_data(vcpu) : fault->data >> shift,
        .name = reservation != NULL ? info.name : NULL,
        .result = result,
        .invocations = hosted_invocation_total(runtime->system) - invocations_before,
    };
    event.value &= mask;
    send(runtime, vcpu->vm, &event);
}

void trace_irq(vm_t *vm, int irq, bool ended)
{
    hosted_event_t event = {.kind = HOSTED_EVENT_IRQ, .irq = irq, .ended = ended};

    send(runtime_of(vm), vm, &event);
}

void trace_hypercall(vm_vcpu_t *vcpu, uint64_t function)
{
    const fault_t *fault = vcpu->vcpu_arch.fault;
    hosted_event_t event = {.kind = HOSTED_EVENT_HYPERCALL,
                            .pc = fault->exit.pc,
                            .function = function,
                            .value = fault->regs->x0};

    send(runtime_of(vcpu->vm), vcpu->vm, &event);
}

static void trace_invocation(void *cookie, hosted_invocation_t invocation, seL4_Error error)
{
    vm_t *vm = cookie;
    hosted_event_t event = {.kind = HOSTED_EVENT_INVOCATION,
                            .name = hosted_invocation_name(invocation),
                            .error = error};

    send(runtime_of(vm), vm, &event);
}

int hosted_vm_trace(vm_t *vm, unsigned kinds, hosted_trace_fn trace, void *cookie)
{
    hosted_vm_t *runtime = vm != NULL ? runtime_of(vm) : NULL;

    if (runtime == NULL || (kinds != 0 && trace == NULL)) {
        return -1;
    }
    if (((runtime->trace.kinds | kinds) & HOSTED_EVENT_INVOCATION) != 0) {
        hosted_observe_invocations(
            runtime->system, (kinds & HOSTED_EVENT_INVOCATION) != 0 ? trace_invocation : NULL, vm);
    }
    runtime->trace = (hosted_vm_trace_t){kinds, trace, cookie};
    return 0;
}
