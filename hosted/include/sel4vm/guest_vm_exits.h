/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What `vm->run.exit_reason` can say. */

typedef enum vm_exit_codes {
    VM_GUEST_MMIO_EXIT,         /**< an access that stage 2 does not allow */
    VM_GUEST_IO_EXIT,           /**< an access to an I/O port: never on ARM */
    VM_GUEST_NOTIFICATION_EXIT, /**< an event from outside: poweroff, reset, stop request */
    VM_GUEST_UNKNOWN_EXIT       /**< has not run yet, or anything else */
} vm_exit_codes_t;

/** The last exit was an error. */
#define VM_GUEST_ERROR_EXIT (-1)
