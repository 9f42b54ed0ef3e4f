/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The invocations of threads. A hosted thread has registers and capabilities but never runs by
 * itself: it is what a virtual processor is bound to, and an engine runs that.
 */

#include "kernel.h"

#include <string.h>

enum { NUM_REGISTERS = sizeof(seL4_UserContext) / sizeof(seL4_Word) };

static kernel_t *begin(seL4_TCB service, slot_t **slot, seL4_Error *error)
{
    kernel_t *kernel = invocation_begin(HOSTED_TCB, HOSTED_OPERATION_INVOCATION, error);
    if (!kernel) {
        return NULL;
    }
    *slot = cspace_caller_slot(kernel, service);
    *error = (*slot)->cap.type == CAP_TCB    ? seL4_NoError
             : (*slot)->cap.type == CAP_NULL ? error_capability(0)
                                             : seL4_IllegalOperation;
    if (*error) {
        invocation_end(kernel, HOSTED_TCB, *error);
        return NULL;
    }
    return kernel;
}

static tcb_object_t *tcb_of(const slot_t *slot)
{
    return (tcb_object_t *)slot->cap.object;
}

/* A capability that a thread is to hold, and where it derives from. */
typedef struct held {
    slot_t *source;
    cap_t cap;
} held_t;

static seL4_Error derive_root(kernel_t *kernel, seL4_CPtr cptr, seL4_Word data, cap_type_t type,
                              held_t *held)
{
    held->source = cspace_caller_slot(kernel, cptr);
    cap_t cap = held->source->cap;
    if (data != 0) {
        cap = cap_update_data(cap, data, false);
    }
    seL4_Error error = derivation_derive(kernel, held->source, &cap, &held->cap);
    if (!error && held->cap.type != type) {
        error = seL4_IllegalOperation;
    }
    return error;
}

static seL4_Error derive_buffer(kernel_t *kernel, seL4_Word buffer, seL4_CPtr frame, held_t *held)
{
    held->source = cspace_caller_slot(kernel, frame);
    const cap_t *cap = &held->source->cap;
    if (cap->type != CAP_FRAME || cap->flags & CAP_DEVICE) {
        return seL4_IllegalOperation;
    }
    if (buffer & ((1ul << seL4_IPCBufferSizeBits) - 1)) {
        return seL4_AlignmentError;
    }
    return derivation_derive(kernel, held->source, cap, &held->cap);
}

/* `held` was checked against the tree before the slot was emptied; its source is still there
   unless the thread was the last to hold the CNode that it is in. */
static void hold(kernel_t *kernel, slot_t *slot, held_t *held)
{
    derivation_delete(kernel, slot);
    if (held->source->cap.type != CAP_NULL) {
        derivation_insert(kernel, held->source, slot, &held->cap);
    }
}

seL4_Error seL4_TCB_Configure(seL4_TCB service, seL4_Word fault_ep, seL4_CNode cspace_root,
                              seL4_Word cspace_root_data, seL4_CPtr vspace_root,
                              seL4_Word vspace_root_data, seL4_Word buffer, seL4_CPtr bufferFrame)
{
    slot_t *slot;
    seL4_Error error;
    kernel_t *kernel = begin(service, &slot, &error);
    if (!kernel) {
        return error;
    }
    held_t cspace, vspace, frame = {0};
    if (buffer != 0) {
        error = derive_buffer(kernel, buffer, bufferFrame, &frame);
    }
    if (!error) {
        error = derive_root(kernel, cspace_root, cspace_root_data, CAP_CNODE, &cspace);
    }
    if (!error) {
        error = derive_root(kernel, vspace_root, vspace_root_data, CAP_VSPACE, &vspace);
    }
    if (!error) {
        tcb_object_t *tcb = tcb_of(slot);
        tcb->fault_endpoint = fault_ep;
        tcb->buffer = buffer;
        hold(kernel, &tcb->slots[TCB_CSPACE], &cspace);
        hold(kernel, &tcb->slots[TCB_VSPACE], &vspace);
        derivation_delete(kernel, &tcb->slots[TCB_BUFFER]);
        if (buffer != 0) {
            hold(kernel, &tcb->slots[TCB_BUFFER], &frame);
        }
    }
    return invocation_end(kernel, HOSTED_TCB, error);
}

seL4_Error seL4_TCB_SetSpace(seL4_TCB service, seL4_Word fault_ep, seL4_CNode cspace_root,
                             seL4_Word cspace_root_data, seL4_CPtr vspace_root,
                             seL4_Word vspace_root_data)
{
    slot_t *slot;
    seL4_Error error;
    kernel_t *kernel = begin(service, &slot, &error);
    if (!kernel) {
        return error;
    }
    held_t cspace, vspace;
    error = derive_root(kernel, cspace_root, cspace_root_data, CAP_CNODE, &cspace);
    if (!error) {
        error = derive_root(kernel, vspace_root, vspace_root_data, CAP_VSPACE, &vspace);
    }
    if (!error) {
        tcb_object_t *tcb = tcb_of(slot);
        tcb->fault_endpoint = fault_ep;
        hold(kernel, &tcb->slots[TCB_CSPACE], &cspace);
        hold(kernel, &tcb->slots[TCB_VSPACE], &vspace);
    }
    return invocation_end(kernel, HOSTED_TCB, error);
}

seL4_Error seL4_TCB_SetIPCBuffer(seL4_TCB service, seL4_Word buffer, seL4_CPtr bufferFrame)
{
    slot_t *slot;
    seL4_Error error;
    kernel_t *kernel = begin(service, &slot, &error);
    if (!kernel) {
        return error;
    }
    held_t frame = {0};
    if (buffer != 0) {
        error = derive_buffer(kernel, buffer, bufferFrame, &frame);
    }
    if (!error) {
        tcb_object_t *tcb = tcb_of(slot);
        tcb->buffer = buffer;
        derivation_delete(kernel, &tcb->slots[TCB_BUFFER]);
        if (buffer != 0) {
            hold(kernel, &tcb->slots[TCB_BUFFER], &frame);
        }
    }
    return invocation_end(kernel, HOSTED_TCB, error);
}

enum { SET_PRIORITY = 1, SET_MAX_PRIORITY = 2 };

static seL4_Error set_priorities(seL4_TCB service, seL4_TCB authority, seL4_Word max,
                                 seL4_Word priority, unsigned what)
{
    slot_t *slot;
    seL4_Error error;
    kernel_t *kernel = begin(service, &slot, &error);
    if (!kernel) {
        return error;
    }
    const slot_t *allowed = cspace_caller_slot(kernel, authority);
    if (allowed->cap.type != CAP_TCB) {
        error = error_capability(1);
    } else if ((what & SET_MAX_PRIORITY && max > tcb_of(allowed)->max_priority) ||
               (what & SET_PRIORITY && priority > tcb_of(allowed)->max_priority)) {
        error = error_range(seL4_MinPrio, tcb_of(allowed)->max_priority);
    } else {
        tcb_of(slot)->max_priority = what & SET_MAX_PRIORITY ? max : tcb_of(slot)->max_priority;
        tcb_of(slot)->priority = what & SET_PRIORITY ? priority : tcb_of(slot)->priority;
    }
    return invocation_end(kernel, HOSTED_TCB, error);
}

seL4_Error seL4_TCB_SetPriority(seL4_TCB service, seL4_TCB authority, seL4_Word priority)
{
    return set_priorities(service, authority, 0, priority, SET_PRIORITY);
}

seL4_Error seL4_TCB_SetMCPriority(seL4_TCB service, seL4_TCB authority, seL4_Word mcp)
{
    return set_priorities(service, authority, mcp, 0, SET_MAX_PRIORITY);
}

seL4_Error seL4_TCB_SetSchedParams(seL4_TCB service, seL4_TCB authority, seL4_Word mcp,
                                   seL4_Word priority)
{
    return set_priorities(service, authority, mcp, priority, SET_MAX_PRIORITY | SET_PRIORITY);
}

seL4_Error seL4_TCB_SetAffinity(seL4_TCB service, seL4_Word affinity)
{
    slot_t *slot;
    seL4_Error error;
    kernel_t *kernel = begin(service, &slot, &error);
    if (!kernel) {
        return error;
    }
    if (affinity >= CONFIG_MAX_NUM_NODES) {
        error = seL4_IllegalOperation;
    } else {
        tcb_of(slot)->affinity = (uint16_t)affinity;
    }
    return invocation_end(kernel, HOSTED_TCB, error);
}

seL4_Error seL4_TCB_SetTLSBase(seL4_TCB service, seL4_Word tls_base)
{
    slot_t *slot;
    seL4_Error error;
    kernel_t *kernel = begin(service, &slot, &error);
    if (!kernel) {
        return error;
    }
    tcb_of(slot)->tls_base = tls_base;
    return invocation_end(kernel, HOSTED_TCB, seL4_NoError);
}

/* The root task is whoever calls: its own registers are not to be had. */
static seL4_Error check_registers(kernel_t *kernel, const slot_t *slot, seL4_Word count)
{
    if (count < 1 || count > NUM_REGISTERS) {
        return error_range(1, NUM_REGISTERS);
    }
    return slot->cap.object == kernel->root->slots[seL4_CapInitThreadTCB].cap.object
               ? seL4_IllegalOperation
               : seL4_NoError;
}

seL4_Error seL4_TCB_ReadRegisters(seL4_TCB service, seL4_Bool suspend_source, seL4_Uint8 arch_flags,
                                  seL4_Word count, seL4_UserContext *regs)
{
    (void)arch_flags;
    slot_t *slot;
    seL4_Error error;
    kernel_t *kernel = begin(service, &slot, &error);
    if (!kernel) {
        return error;
    }
    error = check_registers(kernel, slot, count);
    if (!error) {
        tcb_object_t *tcb = tcb_of(slot);
        tcb->running = tcb->running && !suspend_source;
        memcpy(regs, &tcb->registers, count * sizeof(seL4_Word));
    }
    return invocation_end(kernel, HOSTED_TCB, error);
}

seL4_Error seL4_TCB_WriteRegisters(seL4_TCB service, seL4_Bool resume_target, seL4_Uint8 arch_flags,
                                   seL4_Word count, seL4_UserContext *regs)
{
    (void)arch_flags;
    slot_t *slot;
    seL4_Error error;
    kernel_t *kernel = begin(service, &slot, &error);
    if (!kernel) {
        return error;
    }
    error = check_registers(kernel, slot, count);
    if (!error) {
        tcb_object_t *tcb = tcb_of(slot);
        memcpy(&tcb->registers, regs, count * sizeof(seL4_Word));
        tcb->running = tcb->running || resume_target;
    }
    return invocation_end(kernel, HOSTED_TCB, error);
}

static seL4_Error set_running(seL4_TCB service, bool running)
{
    slot_t *slot;
    seL4_Error error;
    kernel_t *kernel = begin(service, &slot, &error);
    if (!kernel) {
        return error;
    }
    tcb_of(slot)->running = running;
    return invocation_end(kernel, HOSTED_TCB, seL4_NoError);
}

seL4_Error seL4_TCB_Resume(seL4_TCB service)
{
    return set_running(service, true);
}

seL4_Error seL4_TCB_Suspend(seL4_TCB service)
{
    return set_running(service, false);
}

seL4_Error seL4_TCB_BindNotification(seL4_TCB service, seL4_CPtr notification)
{
    slot_t *slot;
    seL4_Error error;
    kernel_t *kernel = begin(service, &slot, &error);
    if (!kernel) {
        return error;
    }
    tcb_object_t *tcb = tcb_of(slot);
    const cap_t *cap = &cspace_caller_slot(kernel, notification)->cap;
    notification_object_t *target = (notification_object_t *)cap->object;
    if (tcb->notification || cap->type != CAP_NOTIFICATION || !(cap->rights & RIGHT_READ) ||
        target->tcb) {
        error = seL4_IllegalOperation;
    } else {
        tcb->notification = target;
        target->tcb = tcb;
    }
    return invocation_end(kernel, HOSTED_TCB, error);
}

seL4_Error seL4_TCB_UnbindNotification(seL4_TCB service)
{
    slot_t *slot;
    seL4_Error error;
    kernel_t *kernel = begin(service, &slot, &error);
    if (!kernel) {
        return error;
    }
    tcb_object_t *tcb = tcb_of(slot);
    if (!tcb->notification) {
        error = seL4_IllegalOperation;
    } else {
        tcb->notification->tcb = NULL;
        tcb->notification = NULL;
    }
    return invocation_end(kernel, HOSTED_TCB, error);
}

seL4_UserContext *hosted_tcb_registers(hosted_system_t *system, seL4_CPtr tcb)
{
    const cap_t *cap = &cspace_caller_slot(hosted_system_kernel(system), tcb)->cap;
    return cap->type == CAP_TCB ? &((tcb_object_t *)cap->object)->registers : NULL;
}
