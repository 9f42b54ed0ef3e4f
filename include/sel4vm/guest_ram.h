/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The guest's RAM: reservations that are mapped at once, a record of which parts
 * of it are allocated, and access to it from the VMM.
 *
 * `vm->mem.ram_regions` lists the RAM by ascending address; neighbouring ranges with the same state
 * are one entry. Errors are reported as in <sel4vm/guest_memory.h>.
 */

#include <stdbool.h>
#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Called by vm_ram_touch() for each 4 KiB page of the range, in ascending order.
 *
 * @param vm          the VM
 * @param guest_addr  GPA of the first byte touched in this page
 * @param vmm_vaddr   the same byte in the VMM's address space, valid during the call
 * @param size        bytes of this page that are touched
 * @param offset      bytes of the range that came before
 * @param cookie      as given to vm_ram_touch()
 * @return 0 to go on; anything else stops the touch and is its result
 */
typedef int (*ram_touch_callback_fn)(vm_t *vm, uintptr_t guest_addr, void *vmm_vaddr, size_t size,
                                     size_t offset, void *cookie);

/**
 * A touch callback that copies guest RAM into a buffer. 1, 2, 4 or 8 bytes at a multiple of their
 * number are one load; all loads from memory that is not cached are aligned.
 *
 * @param vm          the VM
 * @param guest_addr  GPA
 * @param vaddr       where the bytes are in the VMM
 * @param size        how many
 * @param offset      bytes of the range that came before
 * @param buf         buffer for the whole range; this page's bytes go to `buf + offset`
 * @return 0
 */
int vm_guest_ram_read_callback(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size,
                               size_t offset, void *buf);

/**
 * A touch callback that copies a buffer into guest RAM, by stores like those loads.
 *
 * @param vm          the VM
 * @param guest_addr  GPA
 * @param vaddr       where the bytes are in the VMM
 * @param size        how many
 * @param offset      bytes of the range that came before
 * @param buf         buffer for the whole range; this page's bytes come from `buf + offset`
 * @return 0
 */
int vm_guest_ram_write_callback(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size,
                                size_t offset, void *buf);

/**
 * Access `[addr, addr + size)` of guest RAM, page by page.
 *
 * The range may cross frames and neighbouring RAM regions, allocated or not. If
 * `vm->mem.clean_cache` is set, it is cleaned from the caches after the last callback, unless that
 * is vm_guest_ram_read_callback().
 *
 * @param vm              the VM
 * @param addr            GPA
 * @param size            bytes; of 0, nothing is done
 * @param touch_callback  called for each page; not NULL. It must not free this RAM, nor write where
 *                        a caller's frame was handed in without that right.
 * @param cookie          passed on to it
 * @return 0; what the callback returned if that was not 0; -1 before the first call back if an
 *         argument is bad, part of the range is no RAM, or a caller's frame was handed in without
 *         the right to read it (to write it, for vm_guest_ram_write_callback()); -1 if the RAM
 *         cannot be mapped in the VMM
 */
int vm_ram_touch(vm_t *vm, uintptr_t addr, size_t size, ram_touch_callback_fn touch_callback,
                 void *cookie);

/**
 * Find the largest range of RAM that is not allocated.
 *
 * @param vm    the VM
 * @param addr  receives its GPA
 * @param size  receives its size in bytes
 * @return 0; -1 if all RAM is allocated
 */
int vm_ram_find_largest_free_region(vm_t *vm, uintptr_t *addr, size_t *size);

/**
 * Add RAM at a free address of an anonymous region (see vm_memory_make_anon()).
 *
 * @param vm     the VM
 * @param bytes  size, at least 1
 * @return its GPA, never 0; 0 on failure
 */
uintptr_t vm_ram_register(vm_t *vm, size_t bytes);

/**
 * Add RAM at `start`.
 *
 * @param vm       the VM
 * @param start    GPA
 * @param bytes    size, at least 1
 * @param untyped  false: any free memory, zeroed; true: the physical memory at the same address
 *                 (1:1), with what a boot loader left there; see guestmem_set_fixed_ram()
 * @return 0; -1 with nothing changed on failure
 */
int vm_ram_register_at(vm_t *vm, uintptr_t start, size_t bytes, bool untyped);

/**
 * Add RAM at `start`, backed by the caller's frames (shared memory, for example), which are not
 * cleared and stay the caller's.
 *
 * @param vm            the VM
 * @param start         GPA
 * @param bytes         size, at least 1
 * @param map_iterator  hands out the frames; see memory_map_iterator_fn
 * @param cookie        passed on to it
 * @return 0; -1 with nothing changed on failure
 */
int vm_ram_register_at_custom_iterator(vm_t *vm, uintptr_t start, size_t bytes,
                                       memory_map_iterator_fn map_iterator, void *cookie);

/**
 * Record that `[start, start + bytes)` of unallocated RAM is in use. If it is not all unallocated
 * RAM, nothing changes and the reason is left with guestmem_last_error(); that it is all allocated
 * already is not logged.
 *
 * @param vm     the VM
 * @param start  GPA
 * @param bytes  size, at least 1
 */
void vm_ram_mark_allocated(vm_t *vm, uintptr_t start, size_t bytes);

/**
 * Allocate RAM: the lowest unallocated range of `bytes`, above the page at 0.
 *
 * @param vm     the VM
 * @param bytes  size, at least 1
 * @return its GPA; 0 if no unallocated range is large enough
 */
uintptr_t vm_ram_allocate(vm_t *vm, size_t bytes);

/**
 * Record that allocated RAM is free again. If the range is not all allocated RAM, nothing changes
 * and the reason is left with guestmem_last_error(); that it is all free already is not logged. The
 * RAM stays mapped; its content stays.
 *
 * @param vm     the VM
 * @param start  GPA
 * @param bytes  size, at least 1
 */
void vm_ram_free(vm_t *vm, uintptr_t start, size_t bytes);

#ifdef __cplusplus
}
#endif
