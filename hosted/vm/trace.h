/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Events for the trace of a VM, each to be sent only if traces() says so. */

#include "runtime.h"

/** Whether somebody wants events of a kind. */
static inline bool traces(const hosted_vm_t *runtime, hosted_event_kind_t kind)
{
    return (runtime->trace.kinds & kind) != 0;
}

/** A fault that its callback has answered.
 *  @param invocations_before  hosted_invocation_total() when it came */
void trace_fault(vm_vcpu_t *vcpu, memory_fault_result_t result, uint64_t invocations_before);

/** An interrupt went to the guest, or was ended by it. */
void trace_irq(vm_t *vm, int irq, bool ended);

/** A hypercall that was handled. @param function  x0 when it was made */
void trace_hypercall(vm_vcpu_t *vcpu, uint64_t function);
