/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The hosted system that is measured: a board with much sparse memory, and one VM on it. */

#include <guestmem/inspect.h>
#include <guestmem/memory.h>
#include <guestmem/policy.h>
#include <hosted/counters.h>
#include <hosted/system.h>

typedef struct world {
    hosted_system_t *system;
    vm_t vm;
} world_t;

/** Make a system with `gib` GiB of memory, and a VM; exits the program if that is not possible. */
void world_begin(world_t *world, unsigned gib);
void world_end(world_t *world);

/** Heap that the VM's memory management holds, in bytes. */
size_t world_heap(world_t *world);

/** Exit the program with a line that says what failed. */
_Noreturn void world_fail(const char *what);
