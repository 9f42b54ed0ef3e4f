/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What a root task makes of its boot information, for a VMM to stand on. */

#include <platsupport/io.h>
#include <simple/simple.h>
#include <vka/vka.h>
#include <vspace/vspace.h>

typedef struct root_task {
    simple_t simple;
    vka_t vka;
    vspace_t vspace;
    ps_io_ops_t io_ops;
    seL4_CPtr endpoint; /* where the VMM receives its guests' faults */
} root_task_t;

/**
 * Start up: allocator, address space, console, io_ops. Stops the program if that fails.
 *
 * @param takes_uart  whether the console is the board's serial port by its registers; else it is
 * the kernel's, which prints by KernelPrinting, and the port is left for a guest
 */
void root_task_start(root_task_t *task, bool takes_uart);

/** End of the program: there is nothing to return to. */
_Noreturn void root_task_stop(void);
