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
 * What a map iterator may add to the `size_bits` of a vm_frame_t, to say that the guest and the VMM
 * are to cache the frame. Where it adds neither this nor GUESTMEM_FRAME_UNCACHED, a frame of a
 * device untyped, as far as `vm->simple` knows, is uncached and not executable, unless it becomes
 * RAM, and all others are cached.
 */
#define GUESTMEM_FRAME_CACHED ((size_t)0x100)

/** Likewise, that the frame is device memory: uncached, and not executable; goes before
 *  GUESTMEM_FRAME_CACHED. */
#define GUESTMEM_FRAME_UNCACHED ((size_t)0x200)

/**
 * As vm_reserve_anon_memory(), at an address that lies `offset` bytes into its first page: for
 * registers in the middle of a page, which are mapped with
 * map_ut_alloc_reservation_with_base_paddr() (a small PCI BAR, for example).
 *
 * @param vm              the VM
 * @param size            bytes, at least 1
 * @param align           power of two, for the first page; less than 4 KiB counts as 4 KiB
 * @param offset          below 4 KiB
 * @param fault_callback  called on faults in the range; not NULL
 * @param cookie          passed on to it; stays the caller's
 * @param addr            receives the GPA; not NULL, written only on success
 * @return as vm_reserve_anon_memory()
 */
vm_memory_reservation_t *guestmem_reserve_anon_at_offset(vm_t *vm, size_t size, size_t align,
                                                         size_t offset,
                                                         memory_fault_callback_fn fault_callback,
                                                         void *cookie, uintptr_t *addr);

/**
 * Access `[addr, addr + size)` of mapped guest memory of any kind, as vm_ram_touch() does for RAM.
 *
 * What the guest may do with memory of the library's does not matter; the VMM reads and writes. Of
 * a frame that a caller handed in, the VMM does what its rights allow. Parts of several adjacent
 * mapped reservations may be accessed in one call.
 *
 * @param vm              the VM
 * @param addr            GPA
 * @param size            bytes; of 0, nothing is done
 * @param touch_callback  called for each page; not NULL. It must not free this memory, nor write
 *                        where a caller's frame was handed in without that right.
 * @param cookie          passed on to it; stays the caller's
 * @return as vm_ram_touch(); -1 also if part of the range is not mapped
 */
int guestmem_access(vm_t *vm, uintptr_t addr, size_t size, ram_touch_callback_fn touch_callback,
                    void *cookie);

/**
 * Read guest RAM: copy `[addr, addr + size)` to `buffer`.
 *
 * This and the next three calls take RAM only, of any reservations, so a guest's descriptors may be
 * given to them unchecked. They check the whole range before the first byte is moved. 1, 2, 4 or 8
 * bytes at a multiple of their number are one load or store, as rings need it that the guest reads
 * at the same time. If `vm->mem.clean_cache` is set, what they write is cleaned from the caches; if
 * that fails, it is written nevertheless.
 *
 * @param vm      the VM
 * @param addr    GPA
 * @param buffer  receives `size` bytes; not NULL
 * @param size    bytes; of 0, nothing is done
 * @return 0; -1 if an argument is bad, part of the range is no RAM, a caller's frame was handed in
 *         without the right, or the VMM cannot map the memory
 */
int guestmem_read(vm_t *vm, uintptr_t addr, void *buffer, size_t size);

/**
 * Write guest RAM: copy `buffer` to `[addr, addr + size)`.
 *
 * @param vm      the VM
 * @param addr    GPA
 * @param buffer  holds `size` bytes; not NULL
 * @param size    bytes; of 0, nothing is done
 * @return as guestmem_read()
 */
int guestmem_write(vm_t *vm, uintptr_t addr, const void *buffer, size_t size);

/**
 * Set each byte of `[addr, addr + size)` of guest RAM.
 *
 * @param vm    the VM
 * @param addr  GPA
 * @param byte  the value
 * @param size  bytes; of 0, nothing is done
 * @return as guestmem_read()
 */
int guestmem_fill(vm_t *vm, uintptr_t addr, uint8_t byte, size_t size);

/**
 * Copy guest RAM from `from` to `to`; the ranges may overlap.
 *
 * @param vm    the VM
 * @param to    GPA of the destination
 * @param from  GPA of the source
 * @param size  bytes; of 0, nothing is done
 * @return as guestmem_read()
 */
int guestmem_copy(vm_t *vm, uintptr_t to, uintptr_t from, size_t size);

/**
 * A pointer to guest RAM, for rings and queues that are used in place.
 *
 * It is readable and writable; of a caller's frames, as far as their rights go. What is written
 * through it is not cleaned from the caches: see guestmem_clean().
 *
 * @param vm    the VM
 * @param addr  GPA
 * @param size  bytes that are mapped, at least 1; within one RAM reservation
 * @return valid until that RAM is freed; NULL if an argument is bad, the range is not all RAM, it
 *         cannot be mapped in the VMM, or the policy is GUESTMEM_WINDOWS_NONE
 */
void *guestmem_pointer(vm_t *vm, uintptr_t addr, size_t size);

/**
 * Clean `[addr, addr + size)` of mapped guest memory from the caches: a guest that runs with its
 * caches off sees what the VMM wrote before, and the VMM what such a guest writes afterwards. For
 * pointers into guest memory; where `vm->mem.clean_cache` is set, the functions that write RAM do
 * it, and vm_ram_touch() and guestmem_access() after their last callback.
 *
 * @param vm    the VM
 * @param addr  GPA
 * @param size  bytes; of 0, nothing is done
 * @return 0; -1 if part of the range is not mapped or may not be read, or the kernel refuses (a
 *         32-bit kernel does for memory outside of its own window)
 */
int guestmem_clean(vm_t *vm, uintptr_t addr, size_t size);

#ifdef __cplusplus
}
#endif
