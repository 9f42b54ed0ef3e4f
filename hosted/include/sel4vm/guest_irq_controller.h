/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The guest's interrupt controller: a GICv2 whose distributor is emulated, and whose CPU interface
 * is the virtual one of the processor.
 */

#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Called when the guest has handled an interrupt, and when it enables one that is not pending, so
 * that the device can be acknowledged.
 */
typedef void (*irq_ack_fn_t)(vm_vcpu_t *vcpu, int irq, void *cookie);

/**
 * Make an interrupt pending. One that the guest has disabled stays pending until it is enabled.
 *
 * @param vcpu  who sees it; matters for interrupts below 32, which each VCPU has its own of
 * @param irq   a registered interrupt
 * @return 0; -1 if the interrupt is not registered, or the VM has no controller
 */
int vm_inject_irq(vm_vcpu_t *vcpu, int irq);

/**
 * Set the level of an interrupt's line.
 *
 * @param irq_level  1: as vm_inject_irq(); 0: it is not pending any more, if the guest has not
 *                   seen it yet
 * @return as vm_inject_irq()
 */
int vm_set_irq_level(vm_vcpu_t *vcpu, int irq, int irq_level);

/**
 * Let an interrupt be injected.
 *
 * @param irq     0 to 1019; below 32 for that VCPU alone, and once
 * @param ack_fn  see irq_ack_fn_t; may be NULL. Devices that share an interrupt have that of the
 *                first
 * @param cookie  passed on to it; stays the caller's
 * @return 0; -1 if an argument is bad, or the VM has no controller
 */
int vm_register_irq(vm_vcpu_t *vcpu, int irq, irq_ack_fn_t ack_fn, void *cookie);

/**
 * Give a VM an interrupt controller at the addresses that a board of this kind has it.
 *
 * @return 0; -1 if the VM is not initialised or has one, or its memory is in the way
 */
int vm_create_default_irq_controller(vm_t *vm);

#ifdef __cplusplus
}
#endif
