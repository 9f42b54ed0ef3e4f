/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The list of RAM in `vm->mem.ram_regions`: disjoint, by ascending address, neighbours of the same
 * state merged.
 */

#include <stdbool.h>
#include "memory.h"

/** Whether RAM is in use; the values of vm_ram_region's `allocated`. */
typedef enum ram_state { RAM_FREE, RAM_ALLOCATED } ram_state_t;

/**
 * Get the room that the next ram_list_register() or ram_list_set() needs.
 *
 * @return 0; -1 with the cause blamed, and nothing has changed
 */
int ram_list_prepare(vm_memory_t *memory);

/** Add a RAM reservation's range, free. ram_list_prepare() came before; cannot fail. */
void ram_list_register(vm_memory_t *memory, uintptr_t base, uintptr_t last);

/** Set the state of a range that is all RAM. ram_list_prepare() came before; cannot fail. */
void ram_list_set(vm_memory_t *memory, uintptr_t base, uintptr_t last, ram_state_t state);

/** Remove a RAM reservation's range. Cannot fail. */
void ram_list_forget(vm_memory_t *memory, uintptr_t base, uintptr_t last);

/** Whether all of a range is RAM of any state. */
bool ram_list_is_ram(const vm_memory_t *memory, uintptr_t base, uintptr_t last);

/** Whether all of a range is RAM of that state. */
bool ram_list_is(const vm_memory_t *memory, uintptr_t base, uintptr_t last, ram_state_t state);

/** Empty the list and free it. */
void ram_list_destroy(vm_memory_t *memory);
