/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Interrupt lines and their handlers. A line is handed out once, until its last handler capability
 * is gone; it holds a copy of the notification capability that it signals.
 */

#include "kernel.h"

/* Lines of each processor, before those that are shared. */
enum { FIRST_SHARED_IRQ = 32 };

/* Signal what a device asks for, once until it is acknowledged. */
static void raise(kernel_t *kernel, irq_line_t *line)
{
    const cap_t *cap = &line->notification.cap;
    if (!line->high || !line->active || line->masked) {
        return;
    }
    line->masked = true;
    if (cap->type == CAP_NOTIFICATION) {
        notification_signal(kernel, (notification_object_t *)cap->object, cap->badge);
    }
}

void irq_set_line(kernel_t *kernel, uint64_t irq, bool high)
{
    kernel->irqs[irq].high = high;
    raise(kernel, &kernel->irqs[irq]);
}

void irq_deactivate(kernel_t *kernel, uint64_t irq)
{
    derivation_delete(kernel, &kernel->irqs[irq].notification);
    kernel->irqs[irq].active = false;
}

static seL4_Error check_line(const kernel_t *kernel, seL4_Word irq)
{
    if (irq > LAST_IRQ) {
        return error_range(0, LAST_IRQ);
    }
    return kernel->irqs[irq].active ? seL4_RevokeFirst : seL4_NoError;
}

static seL4_Error get(kernel_t *kernel, slot_t *control, seL4_Word irq, seL4_CNode root,
                      seL4_Word index, seL4_Word depth)
{
    slot_t *slot;
    const cap_t cnode = cspace_caller_slot(kernel, root)->cap;
    seL4_Error error = cspace_lookup_empty(&cnode, index, depth, &slot);
    if (!error) {
        const cap_t handler = {.type = CAP_IRQ_HANDLER, .irq = irq};
        kernel->irqs[irq].active = true;
        kernel->irqs[irq].masked = false;
        derivation_insert(kernel, control, slot, &handler);
        raise(kernel, &kernel->irqs[irq]);
    }
    return error;
}

seL4_Error seL4_IRQControl_Get(seL4_IRQControl service, seL4_Word irq, seL4_CNode root,
                               seL4_Word index, seL4_Uint8 depth)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_IRQ, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    slot_t *control = invocation_target(kernel, service, CAP_IRQ_CONTROL, &error);
    if (control) {
        error = check_line(kernel, irq);
        if (!error) {
            error = get(kernel, control, irq, root, index, depth);
        }
    }
    return invocation_end(kernel, HOSTED_IRQ, error);
}

seL4_Error seL4_IRQControl_GetTrigger(seL4_IRQControl service, seL4_Word irq, seL4_Word trigger,
                                      seL4_CNode root, seL4_Word index, seL4_Uint8 depth)
{
    (void)trigger;
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_IRQ, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    slot_t *control = invocation_target(kernel, service, CAP_IRQ_CONTROL, &error);
    if (control) {
        error = irq < FIRST_SHARED_IRQ ? seL4_IllegalOperation : check_line(kernel, irq);
        if (!error) {
            error = get(kernel, control, irq, root, index, depth);
        }
    }
    return invocation_end(kernel, HOSTED_IRQ, error);
}

seL4_Error seL4_IRQControl_GetTriggerCore(seL4_IRQControl service, seL4_Word irq, seL4_Word trigger,
                                          seL4_CNode root, seL4_Word index, seL4_Uint8 depth,
                                          seL4_Word target)
{
    (void)trigger;
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_IRQ, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    slot_t *control = invocation_target(kernel, service, CAP_IRQ_CONTROL, &error);
    if (control) {
        error = irq > LAST_IRQ                   ? error_range(0, LAST_IRQ)
                : target >= CONFIG_MAX_NUM_NODES ? seL4_InvalidArgument
                                                 : check_line(kernel, irq);
        if (!error) {
            error = get(kernel, control, irq, root, index, depth);
        }
    }
    return invocation_end(kernel, HOSTED_IRQ, error);
}

static kernel_t *begin(seL4_IRQHandler service, irq_line_t **line, seL4_Error *error)
{
    kernel_t *kernel = invocation_begin(HOSTED_IRQ, HOSTED_OPERATION_INVOCATION, error);
    if (!kernel) {
        return NULL;
    }
    const slot_t *handler = invocation_target(kernel, service, CAP_IRQ_HANDLER, error);
    if (!handler) {
        invocation_end(kernel, HOSTED_IRQ, *error);
        return NULL;
    }
    *line = &kernel->irqs[handler->cap.irq];
    return kernel;
}

seL4_Error seL4_IRQHandler_Ack(seL4_IRQHandler service)
{
    irq_line_t *line;
    seL4_Error error;
    kernel_t *kernel = begin(service, &line, &error);
    if (!kernel) {
        return error;
    }
    line->masked = false;
    raise(kernel, line);
    return invocation_end(kernel, HOSTED_IRQ, seL4_NoError);
}

seL4_Error seL4_IRQHandler_SetNotification(seL4_IRQHandler service, seL4_CPtr notification)
{
    irq_line_t *line;
    seL4_Error error;
    kernel_t *kernel = begin(service, &line, &error);
    if (!kernel) {
        return error;
    }
    slot_t *source = cspace_caller_slot(kernel, notification);
    const cap_t cap = source->cap;
    if (cap.type != CAP_NOTIFICATION || !(cap.rights & RIGHT_WRITE)) {
        error = error_capability(0);
    } else {
        derivation_delete(kernel, &line->notification);
        derivation_insert(kernel, source, &line->notification, &cap);
    }
    return invocation_end(kernel, HOSTED_IRQ, error);
}

seL4_Error seL4_IRQHandler_Clear(seL4_IRQHandler service)
{
    irq_line_t *line;
    seL4_Error error;
    kernel_t *kernel = begin(service, &line, &error);
    if (!kernel) {
        return error;
    }
    derivation_delete(kernel, &line->notification);
    return invocation_end(kernel, HOSTED_IRQ, seL4_NoError);
}
