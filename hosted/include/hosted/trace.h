/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * A trace of what a guest does that its VMM has to do with: faults, interrupts, hypercalls, and the
 * kernel invocations that are made meanwhile. Without a trace, it costs a test of a flag at each.
 */

#include <hosted/counters.h>
#include <sel4vm/guest_vm.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What an event is, and a bit of a set of such. */
typedef enum hosted_event_kind {
    HOSTED_EVENT_FAULT = 1 << 0,      /**< an access that stage 2 did not allow */
    HOSTED_EVENT_IRQ = 1 << 1,        /**< an interrupt went to the guest, or was ended by it */
    HOSTED_EVENT_HYPERCALL = 1 << 2,  /**< HVC or SMC */
    HOSTED_EVENT_INVOCATION = 1 << 3, /**< a kernel invocation in the VM's system */
} hosted_event_kind_t;

/** An event. Members that its kind does not name are 0. */
typedef struct hosted_event {
    hosted_event_kind_t kind;
    uint64_t time;    /**< hosted_vm_time() */
    uintptr_t pc;     /**< fault, hypercall: of the instruction */
    uintptr_t gpa;    /**< fault */
    unsigned width;   /**< fault: bytes; 0 for an instruction fetch, or where it is not known */
    bool write;       /**< fault: a store */
    bool fetch;       /**< fault: an instruction fetch */
    bool has_value;   /**< fault: `value` is known */
    uint64_t value;   /**< fault: what was stored, or what the load found; hypercall: x0 after it */
    const char *name; /**< fault: the reservation's name; invocation: the manual's name */
    memory_fault_result_t result; /**< fault: what its callback returned */
    uint64_t invocations;         /**< fault: kernel invocations that were made for it */
    uint64_t function;            /**< hypercall: x0 */
    int irq;                      /**< interrupt: its number */
    bool ended;                   /**< interrupt: by the guest; else it went to the guest */
    seL4_Error error;             /**< invocation: what the kernel returned */
} hosted_event_t;

/**
 * Receives an event, on the thread that causes it.
 *
 * @param cookie  the one of hosted_vm_trace()
 * @param event   valid during the call
 */
typedef void (*hosted_trace_fn)(void *cookie, const hosted_event_t *event);

/**
 * Trace a VM from now on, or no longer. Ends with the VM. Invocations are traced for one VM of a
 * system at a time.
 *
 * @param vm      initialised with vm_init()
 * @param kinds   a set of hosted_event_kind_t; 0 ends the trace
 * @param trace   called for each event; not NULL, unless `kinds` is 0
 * @param cookie  passed on to it; stays the caller's
 * @return 0; -1 if the VM is not initialised, or an argument is bad
 */
int hosted_vm_trace(vm_t *vm, unsigned kinds, hosted_trace_fn trace, void *cookie);

#ifdef __cplusplus
}
#endif
