/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The memory of a VMM that knows libsel4vm's documentation, and nothing of guestmem. */

#include <stdint.h>
#include <sel4vm/guest_vm.h>

/** Where the machine has what the VMM gives its guest. */
typedef struct vmm_memory_layout {
    uintptr_t memory; /* 2 MiB of free memory, at a multiple of 2 MiB: its physical address */
    uintptr_t device; /* a page of a device that nobody uses: its physical address */
    uintptr_t other_device;
} vmm_memory_layout_t;

/**
 * Use each function of the documentation, in a VM that has no memory yet.
 *
 * @return NULL if all did what the documentation says; else the expectation that was not met
 */
const char *vmm_memory_use(vm_t *vm, const vmm_memory_layout_t *layout);
