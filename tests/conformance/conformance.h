/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The conformance suite: the library's contract, the kernel's facts that it stands on, and a guest
 * that runs on its memory, checked with nothing but the interfaces that a hosted system and a real
 * seL4 share. On seL4 a root task calls it with libsel4vm's runtime; on Linux the hosted system's.
 */

#include <platsupport/io.h>
#include <sel4/sel4.h>
#include <sel4vm/guest_vm.h>
#include <simple/simple.h>
#include <stdint.h>
#include <vka/vka.h>
#include <vspace/vspace.h>

/** What the suite is given. All of it stays the caller's, and is as it was when the suite ends. */
typedef struct conformance_env {
    vka_t *vka;          /**< with about 64 MiB of memory and 4,000 slots free */
    simple_t *simple;    /**< its untypeds are those of the board, and it assigns ASIDs */
    vspace_t *vspace;    /**< the caller's own address space */
    ps_io_ops_t *io_ops; /**< its `malloc_ops` are used */
    seL4_CPtr endpoint;  /**< where the runtime waits for the guest's faults; used by nobody else */
    int guest_priority;  /**< of the guest's thread: below the caller's own */
    uintptr_t device_paddr;          /**< a page of a device that may be read at offset 0xfe0, and
                                          that nobody else uses */
    uintptr_t scratch_device_paddr;  /**< a page of a device untyped that may be written, or 0 */
    void (*print)(const char *line); /**< prints a line; adds its end */
    const char *no_guest;            /**< why no guest can run here; NULL: it can */
    void (*end_vm)(vm_t *vm);        /**< ends what vm_init() made; NULL: the runtime cannot, and
                                          the last VM is left as it is */
} conformance_env_t;

/**
 * Run all checks. Prints one line a check,
 *
 *     ok   AREA: PROMISE
 *     FAIL AREA: PROMISE: FILE:LINE: what was expected, what came
 *     skip AREA: PROMISE: why
 *
 * and at the end `N passed, N failed, N skipped`.
 *
 * To be called once: libsel4vm numbers the VCPUs of all VMs of a task together, and only the first
 * of them can run.
 *
 * @return how many failed
 */
int conformance_run(const conformance_env_t *env);
