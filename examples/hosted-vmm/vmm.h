/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file A VMM for one guest: see vmm.c. */

#include <platsupport/io.h>
#include <sel4vm/guest_vm.h>
#include <simple/simple.h>
#include <stdbool.h>
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
} vmm_env_t;

/** A file in the VMM's memory. */
typedef struct vmm_file {
    const void *bytes;
    size_t size;
} vmm_file_t;

/** The VM, and what the VMM knows of it. */
typedef struct vmm {
    vm_t vm;
    char *shared; /* a page that both read and write */
    bool powered_off;
} vmm_t;

/** Make the VM and back its memory. @return 0, or -1: the log says why */
int vmm_make(vmm_t *vmm, const vmm_env_t *env);

/**
 * Load the guest's flat image and its device tree, and run it until it powers off.
 *
 * @return 0 if it did, and has left a reply in the shared page
 */
int vmm_run(vmm_t *vmm, const vmm_file_t *image, const vmm_file_t *tree);
