/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * What guestmem adds to a VM's memory: destroying it, and access to any mapped memory.
 */

#include <sel4vm/guest_vm.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_ram.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Destroy a VM's memory management: reservations, regions, frames, page tables, VMM mappings, RAM
 * records, and the guest's address space object (`vm->mem.vm_vspace_root`).
 *
 * The guest must not run any more. Does nothing where vm_memory_init() has not succeeded.
 *
 * @param vm  the VM; NULL is allowed
 * @see vm_memory_init
 */
void vm_memory_destroy(vm_t *vm);

/**
 * Access `[addr, addr + size)` of mapped guest memory of any kind, as vm_ram_touch() does for RAM.
 *
 * What the guest may do with the memory does not matter; the VMM reads and writes. Parts of several
 * adjacent mapped reservations may be accessed in one call.
 *
 * @param vm              the VM
 * @param addr            GPA
 * @param size            bytes, at least 1
 * @param touch_callback  called for each page; not NULL. It must not free this memory.
 * @param cookie          passed on to it; stays the caller's
 * @return as vm_ram_touch(); -1 also if part of the range is not mapped
 */
int guestmem_access(vm_t *vm, uintptr_t addr, size_t size, ram_touch_callback_fn touch_callback,
                    void *cookie);

/**
 * Read guest RAM: copy `[addr, addr + size)` to `buffer`.
 *
 * This and the next three calls take RAM only, of any reservations, so a guest's descriptors may be
 * given to them unchecked. They fail before the first byte is moved unless the policy is
 * GUESTMEM_WINDOWS_NONE.
 *
 * @param vm      the VM
 * @param addr    GPA
 * @param buffer  receives `size` bytes; not NULL
 * @param size    bytes, at least 1
 * @return 0; -1 if an argument is bad, or part of the range is no RAM
 */
int guestmem_read(vm_t *vm, uintptr_t addr, void *buffer, size_t size);

/**
 * Write guest RAM: copy `buffer` to `[addr, addr + size)`.
 *
 * @param vm      the VM
 * @param addr    GPA
 * @param buffer  holds `size` bytes; not NULL
 * @param size    bytes, at least 1
 * @return as guestmem_read()
 */
int guestmem_write(vm_t *vm, uintptr_t addr, const void *buffer, size_t size);

/**
 * Set each byte of `[addr, addr + size)` of guest RAM.
 *
 * @param vm    the VM
 * @param addr  GPA
 * @param byte  the value
 * @param size  bytes, at least 1
 * @return as guestmem_read()
 */
int guestmem_fill(vm_t *vm, uintptr_t addr, uint8_t byte, size_t size);

/**
 * Copy guest RAM from `from` to `to`; the ranges may overlap.
 *
 * @param vm    the VM
 * @param to    GPA of the destination
 * @param from  GPA of the source
 * @param size  bytes, at least 1
 * @return as guestmem_read()
 */
int guestmem_copy(vm_t *vm, uintptr_t to, uintptr_t from, size_t size);

/**
 * A pointer to guest RAM, for rings and queues that are used in place.
 *
 * @param vm      the VM
 * @param addr    GPA
 * @param length  receives how many bytes from `addr` on are contiguous there: to the end of the RAM
 *                reservation
 * @return valid until that RAM is freed; NULL if an argument is bad, `addr` is no RAM, or the
 * policy is GUESTMEM_WINDOWS_NONE
 */
void *guestmem_pointer(vm_t *vm, uintptr_t addr, size_t *length);

#ifdef __cplusplus
}
#endif
