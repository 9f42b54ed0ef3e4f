/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file A VMM whose guest is Linux: see vmm.c. */

#include <platsupport/io.h>
#include <sel4vm/guest_memory.h>
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
    seL4_CPtr events;   /* a notification that is bound to the thread which runs the VM */
    /* What the runtime does with calls and instructions that end in the VMM; NULL: on its own */
    unhandled_vcpu_fault_callback_fn on_exception;
    void (*done)(const char *step); /* told of each step, to measure it; NULL: nobody */
} vmm_env_t;

/** A guest. Files are opened by name: on seL4 they are in the root task's archive. */
typedef struct vmm_guest {
    const char *kernel, *tree, *initrd; /* initrd: NULL for none */
    uintptr_t ram;                      /* the device tree is at its start */
    size_t ram_size;
    bool one_to_one; /* the RAM is the physical memory at the same address */
    unsigned number; /* of the VM: the first one, 0, has the board's serial port */
} vmm_guest_t;

/** How a guest's run has ended. */
typedef enum vmm_end { VMM_RUNS, VMM_POWERED_OFF, VMM_RESET } vmm_end_t;

/** The VM, and what the VMM knows of it. */
typedef struct vmm {
    vm_t vm;
    vm_vcpu_t *vcpu;
    const vmm_env_t *env;
    const vmm_guest_t *guest;
    vm_memory_reservation_t *ranges[4]; /* of vmm_back(), beside the RAM */
    char *shared;                       /* a page that both read and write */
    vmm_end_t end;
    seL4_CPtr end_event;          /* signalled when the guest has ended */
    seL4_CPtr uart_irq;           /* handler of the board's serial port */
    unsigned uart_mask, uart_raw; /* interrupts of the emulated one */
    char line[160];               /* what that has printed */
    size_t line_size;
} vmm_t;

/**
 * Make the VM, with all that outlives a run of its guest: interrupts, the VCPU, devices, pages that
 * the VMM has mapped.
 *
 * @param env    lives as long as the VM
 * @param guest  lives as long as the VM
 * @return 0, or -1: the log says why
 */
int vmm_make(vmm_t *vmm, const vmm_env_t *env, const vmm_guest_t *guest);

/** Back the VM's RAM and other memory. @return 0, or -1: the log says why */
int vmm_back(vmm_t *vmm);

/** Load the guest's files, and let the VCPU begin. @return 0, or -1: the log says why */
int vmm_start(vmm_t *vmm);

/**
 * Run the guest until it powers off or resets itself.
 *
 * @return how it ended; VMM_RUNS if it cannot go on
 */
vmm_end_t vmm_run(vmm_t *vmm);

/** Whether the guest has left its reply in the shared page. */
bool vmm_has_reply(const vmm_t *vmm);

/**
 * Give back what vmm_back() took, also one that has failed, so that the guest can be started again.
 * Only with guestmem.
 */
void vmm_free(vmm_t *vmm);
