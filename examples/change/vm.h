/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What the examples have in common: a hosted system, and a VM with RAM, a device and a
 * guest. */

#include <hosted/system.h>
#include <hosted/vm.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>
#include <stdint.h>

#define RAM      ((uintptr_t)0x40000000)
#define DEVICE   ((uintptr_t)0x09000000)
#define PAGE     ((size_t)4096)
#define MEBIBYTE ((size_t)1 << 20)

/** Make the system of a board. Ends the program if that is not possible, as all of these do. */
hosted_system_t *example_open(void);

/**
 * Make a VM with RAM and a guest at the beginning of it.
 *
 * @param image   name of the file with the guest's instructions
 * @param device  called for accesses to the page at DEVICE, whose address the guest gets in x0
 */
void example_make(hosted_system_t *sel4, vm_t *vm, size_t ram_size, const char *image,
                  memory_fault_callback_fn device);

/** Run the guest until it powers itself off. */
void example_run(vm_t *vm);

/** End the program with a line that says what failed, if anything has. */
void example_must(int error, const char *what);
