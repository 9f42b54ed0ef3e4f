/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * An engine as the kernel's processor of a VCPU (<hosted/processor.h>): what an engine stopped for
 * becomes a fault with the syndrome that hardware and the kernel report.
 */

#include <stddef.h>
#include <stdint.h>
#include <hosted/processor.h>
#include "engine.h"

typedef struct processor {
    engine_t *engine;
    engine_exit_t exit; /* what it stopped for last */
    uint64_t stops;     /* how often */
    bool traps_waits;   /* WFI is a fault; else the VCPU rests */
} processor_t;

/**
 * Make one, for processor_attach(). It rests at WFI.
 *
 * @param class  NULL: the default engine
 * @return NULL with one line in `error` on failure
 */
processor_t *processor_create(const engine_class_t *class, char *error, size_t error_size);

/** hosted_vcpu_attach() it; destroys it if that fails. */
int processor_attach(processor_t *processor, hosted_system_t *system, seL4_CPtr vcpu);

/** Register `number` of the thread, below 31; NULL for 31, which is the zero register here. */
seL4_Word *processor_register(seL4_UserContext *regs, unsigned number);

/** Whether the load or store can be completed by its registers and the data of a load. */
bool processor_can_complete(const engine_fault_t *fault);

/** What the store writes, all of its register; 0 for the zero register. */
uint64_t processor_stored(const engine_fault_t *fault, seL4_UserContext *registers);

/** Do what the instruction does to registers, but the program counter. @param data  of a load */
void processor_complete(const engine_fault_t *fault, seL4_UserContext *registers, uint64_t data);
