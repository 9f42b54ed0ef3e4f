/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Devices as fault callbacks of reservations. Written only against seL4's and sel4vm's public
 * headers: the same code serves a virtual machine on seL4.
 */

#include "device.h"
#include <sel4vm/guest_memory.h>

/** The cookie of device_fault(): a device, and where the guest sees it. */
typedef struct device_window {
    device_t *device;
    uintptr_t base; /* GPA of offset 0 */
} device_window_t;

/**
 * A memory_fault_callback_fn that passes the access to a device.
 *
 * @param cookie  a device_window_t that lives as long as the reservation
 * @return FAULT_HANDLED; FAULT_ERROR for an instruction fetch or a width that no device knows
 */
memory_fault_result_t device_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t fault_addr,
                                   size_t fault_length, void *cookie);
