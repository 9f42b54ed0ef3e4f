/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What guestmem adds to a VM's memory: its end, and access to any mapped memory. */

#include <sel4vm/guest_vm.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_ram.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * End a VM's memory management: all reservations, regions, frames, page tables, VMM mappings, RAM
 * records, and the guest's address space object (`vm->mem.vm_vspace_root`).
 *
 * The guest must not run any more. Does nothing where vm_memory_init() has not succeeded.
 * @see vm_memory_init
 */
void vm_memory_destroy(vm_t *vm);

/**
 * Access `[addr, addr + size)` of mapped guest memory of any kind, as vm_ram_touch() does for RAM.
 *
 * What the guest may do with the memory does not matter; the VMM reads and writes. Parts of

 *
 * @return as vm_ram_touch(); -1 also if part of the range is not mapped
 */
int guestmem_access(vm_t *vm, uintptr_t addr, size_t size, ram_touch_callback_fn touch_callback,
                    void *cookie);

#ifdef __cplusplus
}
#endif
