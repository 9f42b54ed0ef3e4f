/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The list of RAM in `vm->mem.ram_regions`: disjoint, by ascending address, neighbours of
 * the same state merged. */

#include "vm_memory.h"

/*@ // The list of RAM is sorted, and its entries are not empty and do not overlap.
    predicate ram_ok(vm_mem_t *mem) =
        \valid_read(mem) && 0 <= mem->num_ram_regions &&
        \valid_read(mem->ram_regions + (0 .. mem->num_ram_regions - 1)) &&
        (\forall integer i; 0 <= i < mem->num_ram_regions ==> mem->ram_regions[i].size > 0 &&
            mem->ram_regions[i].start + mem->ram_regions[i].size <= UINTPTR_MAX) &&
        (\forall integer i, j; 0 <= i < j < mem->num_ram_regions ==>
            mem->ram_regions[i].start + mem->ram_regions[i].size <= mem->ram_regions[j].start);

    predicate gm_ram_ok(gm_memory_t *memory) =
        \valid_read(memory) && \valid_read(memory->vm) && ram_ok(&memory->vm->mem);
 */

/** Get room for a list of that many entries in place of the present one, for gm_ram_put_back().
 *  @return 0; -1 after gm_fail(), and nothing has changed. @see gm_ram_give_room_back */
int gm_ram_prepare_put_back(gm_memory_t *memory, size_t count);
void gm_ram_give_room_back(gm_memory_t *memory);

/** Make the list what it once was. The RAM reservations are those of then. */
void gm_ram_put_back(gm_memory_t *memory, const vm_ram_region_t *regions, size_t count);

/** Remove a RAM reservation's range from the list. Cannot fail. */
void gm_ram_forget(gm_memory_t *memory, uintptr_t base, uintptr_t last);

/** Whether all of a range is RAM, allocated or not. */
/*@ requires gm_ram_ok(memory) && base <= last;
    assigns \nothing;
 */
bool gm_ram_covers(const gm_memory_t *memory, uintptr_t base, uintptr_t last);

/** Free the list. */
void gm_ram_destroy(gm_memory_t *memory);
