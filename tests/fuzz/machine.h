/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * What the fuzz targets, the model test and the soak run on: a hosted system on the default board
 * that counts its log lines, and VMs with their memory and nothing else. A step that must work and
 * does not ends the program, as a fuzzer wants it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <hosted/census.h>
#include <hosted/system.h>
#include <sel4vm/guest_vm.h>

#define PAGE     ((uintptr_t)0x1000)
#define MEGABYTE ((uintptr_t)0x100000)

typedef struct machine {
    hosted_system_t *system;
    unsigned log_lines; /* errors logged since somebody set it to 0 */
    char log_line[512]; /* the last of them */
} machine_t;

/** End the program with a message, where `condition` does not hold. */
#define must(condition, ...) ((condition) ? (void)0 : machine_fail(#condition, __VA_ARGS__))

/** Print a message, and abort. */
_Noreturn void machine_fail(const char *condition, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Make the system, and take the calling thread's log. @see machine_end */
void machine_begin(machine_t *machine);
void machine_end(machine_t *machine);

/** Set a VM's memory up as vm_init() does. Its end is vm_memory_destroy(). */
void machine_make_vm(machine_t *machine, vm_t *vm);

hosted_census_t machine_census(const machine_t *machine);

/** Require that the census equals `before`. */
void machine_require_census(const machine_t *machine, const hosted_census_t *before,
                            const char *what);
