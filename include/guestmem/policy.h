/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Choices that a VMM can make for a VM's memory. They hold for later calls.
 */

#include <stddef.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/** When vm_map_reservation() and the map_ functions map. */
typedef enum guestmem_map_time {
    GUESTMEM_MAP_NOW,      /**< in the call (the default, unless the configuration of the libraries
                                sets CONFIG_LIB_SEL4VM_DEFER_MEMORY_MAP) */
    GUESTMEM_MAP_ON_FAULT, /**< a frame at a time, at the guest's first access to it. RAM, single
                                frames, and frame arrays are always mapped in the call. */
} guestmem_map_time_t;

/**
 * Choose when memory is mapped.
 *
 * @param vm        the VM
 * @param map_time  for reservations that are mapped from now on
 * @return 0; -1 if an argument is bad
 */
int guestmem_set_map_time(vm_t *vm, guestmem_map_time_t map_time);

/**
 * The largest frames that the library acquires. The default is what the code of the runtime can
 * take that looks up a guest's frames: 21 on ARM (libsel4vm's vm_arm_ipa_to_pa()), 12 on x86_64
 * (libsel4vmmplatsupport's image loader). A VMM that does not use such code can have larger ones.
 *
 * @param vm         the VM
 * @param size_bits  12, 21 or 30 on aarch64; 12, 16, 21 or 25 on arm_hyp; 12 or 21 on x86_64
 * @return 0; -1 if the architecture has no such frame
 */
int guestmem_set_largest_frame(vm_t *vm, size_t size_bits);

/**
 * The same for one reservation, when it is mapped later; it goes before the VM's.
 *
 * @param vm           the VM
 * @param reservation  one of its reservations
 * @param size_bits    as for guestmem_set_largest_frame()
 * @return 0; -1 if the reservation is none of this VM's, or there is no such frame
 */
int guestmem_set_reservation_largest_frame(vm_t *vm, vm_memory_reservation_t *reservation,
                                           size_t size_bits);

/** How the VMM gets at guest RAM. */
typedef enum guestmem_windows {
    GUESTMEM_WINDOWS_KEPT, /**< a reservation gets a window in the VMM's address space at the first
                                access, whose frames are mapped as they are accessed and stay until
                                it is freed (the default). Where the VMM has no room for a window,
                                accesses are as with GUESTMEM_WINDOWS_NONE; it is asked again when
                                another window was closed. */
    GUESTMEM_WINDOWS_NONE, /**< an access maps the frames that it touches, one at a time; the last
                                one stays mapped until another is needed. For VMMs with little
                                address space. An access can then fail half-way, if the VMM's
                                address space or slots run out. */
} guestmem_windows_t;

/**
 * Choose for later accesses. Windows that are open stay open, and are used, but guestmem_pointer()
 * gives none.
 *
 * @param vm       the VM
 * @param windows  for accesses from now on
 * @return 0; -1 if an argument is bad
 */
int guestmem_set_windows(vm_t *vm, guestmem_windows_t windows);

/** What becomes of the content of RAM at chosen physical addresses (1:1 RAM). */
typedef enum guestmem_fixed_ram {
    GUESTMEM_FIXED_RAM_KEPT,   /**< what a boot loader put there stays, where the kernel has not
                                    cleared it: it clears memory that is no device's (the default) */
    GUESTMEM_FIXED_RAM_CLEARED /**< the guest finds zeros */
} guestmem_fixed_ram_t;

/**
 * Choose what vm_ram_register_at() with `untyped` true does to the memory.
 *
 * @param vm         the VM
 * @param fixed_ram  for RAM that is registered from now on
 * @return 0; -1 if an argument is bad
 */
int guestmem_set_fixed_ram(vm_t *vm, guestmem_fixed_ram_t fixed_ram);

/** What an access finds where guestmem_discard() has given a frame back. */
typedef enum guestmem_discarded {
    GUESTMEM_DISCARDED_REFILLED, /**< zeroed memory: the access gets a frame, be it the guest's or
                                      the VMM's (the default) */
    GUESTMEM_DISCARDED_LEFT      /**< nothing, until guestmem_populate(): the guest's access faults
                                      into the reservation's callback, the VMM's fails */
} guestmem_discarded_t;

/**
 * Choose for later calls of guestmem_discard(). A reservation of which something was discarded to
 * be refilled is refilled wherever frames are missing.
 *
 * @param vm         the VM
 * @param discarded  for what is discarded from now on
 * @return 0; -1 if an argument is bad
 */
int guestmem_set_discarded(vm_t *vm, guestmem_discarded_t discarded);

#ifdef __cplusplus
}
#endif
