/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The list of RAM in `vm->mem.ram_regions`: disjoint, by ascending address, neighbours of
 * the same state merged. */

#include "vm_memory.h"

/** Remove a RAM reservation's range from the list. Cannot fail. */
void gm_ram_forget(gm_memory_t *memory, uintptr_t base, uintptr_t last);

/** Whether all of a range is RAM, allocated or not. */
bool gm_ram_covers(const gm_memory_t *memory, uintptr_t base, uintptr_t last);

/** Free the list. */
void gm_ram_destroy(gm_memory_t *memory);
