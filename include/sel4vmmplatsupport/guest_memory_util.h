/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The common ways to back a reservation with memory, one function each.
 *
 * All are all-or-nothing. Frames that they acquire belong to the reservation: they go back to where
 * they came from when it is freed. The largest frames that fit are used (see <guestmem/policy.h>).
 * Errors are reported as in <sel4vm/guest_memory.h>.
 */

#include <sel4vm/guest_vm.h>
#include <sel4vm/guest_memory.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Reserve a page of guest memory, back it with a free 4 KiB frame (zeroed), and map that in both
 * the guest and the VMM, so that both see the same bytes.
 *
 * @param vm                    the VM
 * @param addr                  GPA, a multiple of 4 KiB
 * @param rights                what the guest may do; the rest faults into the callback. The VMM
 *                              always reads and writes.
 * @param alloc_fault_callback  called on faults in the page; not NULL
 * @param alloc_fault_cookie    passed on to it
 * @return the page in the VMM's address space, valid until the reservation is freed (find it with
 *         guestmem_find_reservation()); NULL on failure
 */
void *create_allocated_reservation_frame(vm_t *vm, uintptr_t addr, seL4_CapRights_t rights,
                                         memory_fault_callback_fn alloc_fault_callback,
                                         void *alloc_fault_cookie);

/**
 * Reserve a page of guest memory, back it with the device page at the same physical address, and
 * map that, uncached, in both the guest and the VMM.
 *
 * @param vm              the VM
 * @param addr            GPA and physical address, a multiple of 4 KiB
 * @param rights          what the guest may do; the rest faults into the callback
 * @param fault_callback  called on faults in the page; not NULL
 * @param fault_cookie    passed on to it
 * @return the page in the VMM's address space, valid until the reservation is freed; NULL on
 * failure
 */
void *create_device_reservation_frame(vm_t *vm, uintptr_t addr, seL4_CapRights_t rights,
                                      memory_fault_callback_fn fault_callback, void *fault_cookie);

/**
 * Map a reservation with the physical memory from `paddr` on.
 *
 * Memory of a device untyped is mapped uncached and not cleared; other memory cached, and zeroed.
 *
 * @param vm           the VM
 * @param paddr        physical address of the reservation's first byte; modulo 4 KiB it must be the
 *                     reservation's address
 * @param reservation  one of its reservations
 * @return 0; -1 on failure, also if no free untyped holds one of the frames
 */
int map_ut_alloc_reservation_with_base_paddr(vm_t *vm, uintptr_t paddr,
                                             vm_memory_reservation_t *reservation);

/**
 * Map a reservation with the physical memory at the same addresses (1:1).
 *
 * @param vm           the VM
 * @param reservation  one of its reservations
 * @return 0; -1 on failure, also if no free untyped holds one of the frames
 */
int map_ut_alloc_reservation(vm_t *vm, vm_memory_reservation_t *reservation);

/**
 * Map a reservation with free memory, zeroed.
 *
 * @param vm           the VM
 * @param reservation  one of its reservations
 * @return 0; -1 on failure
 */
int map_frame_alloc_reservation(vm_t *vm, vm_memory_reservation_t *reservation);

/**
 * Map a reservation with free memory, where the allocator may also give memory of device untypeds
 * (memory that the kernel cannot use itself); which it prefers is its policy. That of device
 * untypeds is zeroed, as the rest is, and mapped uncached.
 *
 * @param vm           the VM
 * @param reservation  one of its reservations
 * @return 0; -1 on failure
 */
int map_maybe_device_reservation(vm_t *vm, vm_memory_reservation_t *reservation);

#ifdef __cplusplus
}
#endif
