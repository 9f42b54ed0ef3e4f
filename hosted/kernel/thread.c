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
    *slot = invocation_target(kernel, service, CAP_TCB, error);
    if (!*slot) {
        invocation_end(kernel, HOSTED_TCB, *error);
        return NULL;
    }
    vcpu_object_t *vcpu = ((tcb_object_t *)(*slot)->cap.object)->vcpu;
    if (vcpu) {
        processor_stop(kernel, vcpu);
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
    seL4_Error error = derivation_derive(kernel, held->source, &held->source->cap, &held->cap);
    if (error) {
        return error;
    }
    if (held->cap.type != CAP_FRAME || held->cap.flags & CAP_DEVICE) {
        return seL4_IllegalOperation;
    }
    return buffer & ((1ul << seL4_IPCBufferSizeBits) - 1) ? seL4_AlignmentError : seL4_NoError;
}

/* What a thread gets was checked against the tree before its slots were emptied: that can have
   taken the source away, or the thread itself. */
static void hold(kernel_t *kernel, const slot_t *service, tcb_object_t *tcb, int index,
                 held_t *held)
{
    derivation_delete(kernel, &tcb->slots[index]);
    if (derivation_same_object(&held->cap, &held->source->cap) && service->cap.type == CAP_TCB &&
        service->cap.object == &tcb->object) {
        derivation_insert(kernel, held->source, &tcb->slots[index], &held->cap);
    }
}

static void set_buffer(kernel_t *kernel, const slot_t *service, tcb_object_t *tcb, seL4_Word buffer,
                       held_t *frame)
{
    tcb->buffer = buffer;
    if (buffer != 0) {
        hold(kernel, service, tcb, TCB_BUFFER, frame);
    } else {
        derivation_delete(kernel, &tcb->slots[TCB_BUFFER]);
    }
}

/* The capability and address spaces of a thread. */
typedef struct spaces {
    held_t cspace, vspace;
} spaces_t;

static seL4_Error derive_spaces(kernel_t *kernel, const tcb_object_t *tcb, seL4_CNode cspace,
                                seL4_Word cspace_data, seL4_CPtr vspace, seL4_Word vspace_data,
                                spaces_t *spaces)
{
    /* Taking the place of what is there must not need many steps. */
    if (derivation_deletes_slots(kernel, &tcb->slots[TCB_CSPACE])) {
        return seL4_IllegalOperation;
    }
    seL4_Error error = derive_root(kernel, cspace, cspace_data, CAP_CNODE, &spaces->cspace);
    if (!error) {
        error = derive_root(kernel, vspace, vspace_data, CAP_VSPACE, &spaces->vspace);
    }
    return error;
}

static void set_spaces(kernel_t *kernel, const slot_t *service, tcb_object_t *tcb,
                       seL4_Word fault_ep, spaces_t *spaces)
{
    tcb->fault_endpoint = fault_ep;
    hold(kernel, service, tcb, TCB_CSPACE, &spaces->cspace);
    hold(kernel, service, tcb, TCB_VSPACE, &spaces->vspace);
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
    tcb_object_t *tcb = tcb_of(slot);
    held_t frame = {0};
    spaces_t spaces;
    if (buffer != 0) {
        error = derive_buffer(kernel, buffer, bufferFrame, &frame);
    }
    if (!error) {
        error = derive_spaces(kernel, tcb, cspace_root, cspace_root_data, vspace_root,
                              vspace_root_data, &spaces);
    }
    if (!error) {
        set_spaces(kernel, slot, tcb, fault_ep, &spaces);
        set_buffer(kernel, slot, tcb, buffer, &frame);
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
    tcb_object_t *tcb = tcb_of(slot);
    spaces_t spaces;
    error = derive_spaces(kernel, tcb, cspace_root, cspace_root_data, vspace_root, vspace_root_data,
                          &spaces);
    if (!error) {
        set_spaces(kernel, slot, tcb, fault_ep, &spaces);
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
        set_buffer(kernel, slot, tcb_of(slot), buffer, &frame);
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
    tcb_of(slot)->registers.tpidr_el0 = tls_base;
    return invocation_end(kernel, HOSTED_TCB, seL4_NoError);
}

/* The root task is whoever calls: its own registers are not to be had. */
static bool is_caller(const kernel_t *kernel, const slot_t *slot)
{
    return slot->cap.object == kernel->root->slots[seL4_CapInitThreadTCB].cap.object;
}

uint64_t tcb_allowed_spsr(const tcb_object_t *tcb, uint64_t spsr)
{
    enum { MODE = 0x1f, USER = 0, GUEST = 4, GUEST_OWN_STACK = 5 };
    unsigned mode = spsr & MODE;
    if (tcb->vcpu && (mode == USER || mode == GUEST || mode == GUEST_OWN_STACK)) {
        return spsr;
    }
    return (spsr & 0xf0000000) | SPSR_USER; /* the conditions are all that a thread can choose */
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
    if (count < 1 || count > NUM_REGISTERS) {
        error = error_range(1, NUM_REGISTERS);
    } else if (is_caller(kernel, slot)) {
        error = seL4_IllegalOperation;
    } else {
        tcb_object_t *tcb = tcb_of(slot);
        if (suspend_source) {
            thread_suspend(kernel, tcb);
        }
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
    if (count > NUM_REGISTERS) {
        error = seL4_TruncatedMessage;
    } else if (is_caller(kernel, slot)) {
        error = seL4_IllegalOperation;
    } else {
        tcb_object_t *tcb = tcb_of(slot);
        memcpy(&tcb->registers, regs, count * sizeof(seL4_Word));
        if (count > offsetof(seL4_UserContext, spsr) / sizeof(seL4_Word)) {
            tcb->registers.spsr = tcb_allowed_spsr(tcb, regs->spsr);
        }
        if (resume_target) {
            thread_resume(kernel, tcb);
        }
    }
    return invocation_end(kernel, HOSTED_TCB, error);
}

/* The registers that CopyRegisters calls the frame come first, then those it calls integers. */
enum { FRAME_REGISTERS = 17 };

seL4_Error seL4_TCB_CopyRegisters(seL4_TCB service, seL4_TCB source, seL4_Bool suspend_source,
                                  seL4_Bool resume_target, seL4_Bool transfer_frame,
                                  seL4_Bool transfer_integer, seL4_Uint8 arch_flags)
{
    (void)arch_flags;
    slot_t *slot;
    seL4_Error error;
    kernel_t *kernel = begin(service, &slot, &error);
    if (!kernel) {
        return error;
    }
    const slot_t *from = cspace_caller_slot(kernel, source);
    if (from->cap.type != CAP_TCB) {
        error = error_capability(1);
    } else {
        tcb_object_t *src = tcb_of(from), *dest = tcb_of(slot);
        if (suspend_source) {
            thread_suspend(kernel, src);
        }
        if (resume_target) {
            thread_resume(kernel, dest);
        }
        const seL4_Word *words = (const seL4_Word *)&src->registers;
        seL4_Word *copies = (seL4_Word *)&dest->registers;
        if (transfer_frame) {
            memmove(copies, words, FRAME_REGISTERS * sizeof(*words));
        }
        if (transfer_integer) {
            memmove(copies + FRAME_REGISTERS, words + FRAME_REGISTERS,
                    (NUM_REGISTERS - FRAME_REGISTERS) * sizeof(*words));
        }
    }
    return invocation_end(kernel, HOSTED_TCB, error);
}

seL4_TCB_SetFlags_t seL4_TCB_SetFlags(seL4_TCB service, seL4_Word clear, seL4_Word set)
{
    seL4_TCB_SetFlags_t result = {0};
    slot_t *slot;
    seL4_Error error;
    kernel_t *kernel = begin(service, &slot, &error);
    if (!kernel) {
        result.error = (int)error;
        return result;
    }
    tcb_object_t *tcb = tcb_of(slot);
    tcb->flags = (tcb->flags & ~clear) | (set & seL4_TCBFlag_MASK);
    result.flags = tcb->flags;
    result.error = (int)invocation_end(kernel, HOSTED_TCB, seL4_NoError);
    return result;
}

seL4_Error seL4_TCB_Resume(seL4_TCB service)
{
    slot_t *slot;
    seL4_Error error;
    kernel_t *kernel = begin(service, &slot, &error);
    if (!kernel) {
        return error;
    }
    thread_resume(kernel, tcb_of(slot));
    return invocation_end(kernel, HOSTED_TCB, seL4_NoError);
}

seL4_Error seL4_TCB_Suspend(seL4_TCB service)
{
    slot_t *slot;
    seL4_Error error;
    kernel_t *kernel = begin(service, &slot, &error);
    if (!kernel) {
        return error;
    }
    thread_suspend(kernel, tcb_of(slot));
    return invocation_end(kernel, HOSTED_TCB, seL4_NoError);
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

/* The model's domain schedule has one entry, for the one domain, and its end. */
static seL4_Error set_domain(kernel_t *kernel, seL4_Uint8 domain, seL4_TCB thread)
{
    if (domain >= CONFIG_NUM_DOMAINS) {
        return error_argument(0);
    }
    return cspace_caller_slot(kernel, thread)->cap.type == CAP_TCB ? seL4_NoError
                                                                   : error_argument(1);
}

static seL4_Error configure_schedule(kernel_t *kernel, seL4_Word index, seL4_Uint8 domain,
                                     seL4_Time duration)
{
    if (index > CONFIG_NUM_DOMAIN_SCHEDULES - 2) {
        return error_range(0, CONFIG_NUM_DOMAIN_SCHEDULES - 2);
    }
    if (domain >= CONFIG_NUM_DOMAINS) {
        return error_range(0, CONFIG_NUM_DOMAINS - 1);
    }
    if (duration == 0 || duration >> 56 != 0) {
        return error_argument(2);
    }
    kernel->domain_time = duration;
    return seL4_NoError;
}

static seL4_Error start_schedule(const kernel_t *kernel, seL4_Word index)
{
    if (index > CONFIG_NUM_DOMAIN_SCHEDULES - 1) {
        return error_range(0, CONFIG_NUM_DOMAIN_SCHEDULES - 1);
    }
    return index != 0 || kernel->domain_time == 0 ? error_argument(0) : seL4_NoError;
}

seL4_Error seL4_DomainSet_Set(seL4_DomainSet service, seL4_Uint8 domain, seL4_TCB thread)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_DOMAIN, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    if (invocation_target(kernel, service, CAP_DOMAIN, &error)) {
        error = set_domain(kernel, domain, thread);
    }
    return invocation_end(kernel, HOSTED_DOMAIN, error);
}

seL4_Error seL4_DomainSet_ScheduleConfigure(seL4_DomainSet service, seL4_Word index,
                                            seL4_Uint8 domain, seL4_Time duration)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_DOMAIN, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    if (invocation_target(kernel, service, CAP_DOMAIN, &error)) {
        error = configure_schedule(kernel, index, domain, duration);
    }
    return invocation_end(kernel, HOSTED_DOMAIN, error);
}

seL4_Error seL4_DomainSet_ScheduleSetStart(seL4_DomainSet service, seL4_Word index)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_DOMAIN, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    if (invocation_target(kernel, service, CAP_DOMAIN, &error)) {
        error = start_schedule(kernel, index);
    }
    return invocation_end(kernel, HOSTED_DOMAIN, error);
}

seL4_UserContext *hosted_tcb_registers(hosted_system_t *system, seL4_CPtr tcb)
{
    const cap_t *cap = &cspace_caller_slot(hosted_system_kernel(system), tcb)->cap;
    return cap->type == CAP_TCB ? &((tcb_object_t *)cap->object)->registers : NULL;
}
