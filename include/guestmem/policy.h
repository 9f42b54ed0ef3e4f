/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Choices that a VMM can make for a VM's memory. They hold for later calls. */

#include <stddef.h>
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

/** @return 0; -1 if an argument is bad */
int guestmem_set_map_time(vm_t *vm, guestmem_map_time_t map_time);

/**
 * The largest frames that the library acquires. Dirty tracking or sharing may want 4 KiB.
 *
 * @param size_bits  12, 21 or 30 on aarch64; the default is the largest
 * @return 0; -1 if the architecture has no such frame
 */
int guestmem_set_largest_frame(vm_t *vm, size_t size_bits);

#ifdef __cplusplus
}
#endif
