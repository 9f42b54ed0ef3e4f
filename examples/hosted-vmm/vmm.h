/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file A VMM for one guest: see vmm.c. */

#include <platsupport/io.h>
#include <sel4vm/guest_vm.h>
#include <simple/simple.h>
#include <stddef.h>
#include <vka/vka.h>
#include <vspace/vspace.h>

/** What a root task has to give. */
typedef struct vmm_env {
    vka_t *vka;
    simple_t *simple;
    vspace_t *vspace;
    ps_io_ops_t *io_ops;
    seL4_CPtr endpoint; /* where the VMM receives the guest's faults */
    /* What the runtime does with calls and instructions that end in the VMM; NULL: on its own */
    unhandled_vcpu_fault_callback_fn on_exception;
} vmm_env_t;

/** A file in the VMM's memory. */
typedef struct vmm_file {
    const void *bytes;
    size_t size;
} vmm_file_t;

/** A guest: its RAM, with the device tree at its start, and what is loaded behind that. */
typedef struct vmm_guest {
    uintptr_t ram;
    size_t ram_size;
    uintptr_t image_at, initrd_at; /* offsets in RAM */
    vmm_file_t tree, image, initrd;
} vmm_guest_t;

/** The VM, and what the VMM knows of it. */
typedef struct vmm {
    vm_t vm;
    unhandled_vcpu_fault_callback_fn on_exception;
    char *shared;       /* a page that both read and write */
    seL4_Word ended_by; /* the guest's last call, to power off or reset; 0 while it runs */
    unsigned uart_mask, uart_raw; /* of the serial port's interrupts */
} vmm_t;

/** A small guest of our own: 4 MiB of RAM. The files are left out. */
extern const vmm_guest_t vmm_small_guest;

/** Linux: 512 MiB of RAM, where the rest of the VM's memory leaves room. */
extern const vmm_guest_t vmm_linux_guest;

/** Make the VM and back its memory. @return 0, or -1: the log says why */
int vmm_make(vmm_t *vmm, const vmm_env_t *env, const vmm_guest_t *guest);

/**
 * Load the guest's files, and run it until it powers off.
 *
 * @return 0 if it did, and has left a reply in the shared page
 */
int vmm_run(vmm_t *vmm, const vmm_guest_t *guest);
