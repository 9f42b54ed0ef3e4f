/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The public calls of <guestmem/policy.h>. */

#include <guestmem/policy.h>
#include "arch_paging.h"
#include "reservations.h"

int guestmem_set_map_time(vm_t *vm, guestmem_map_time_t map_time)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (map_time != GUESTMEM_MAP_NOW && map_time != GUESTMEM_MAP_ON_FAULT) {
        memory_blame(memory, GUESTMEM_BAD_ARGUMENT, "%d is no guestmem_map_time_t", (int)map_time);
        return memory_report(memory, __func__, 0, 0);
    }
    memory->map_time = map_time;
    return 0;
}

static int check_frame_size(vm_memory_t *memory, size_t size_bits)
{
    return arch_frame_index(size_bits) >= 0
               ? 0
               : memory_blame(memory, GUESTMEM_BAD_ARGUMENT,
                              "the architecture has no frames of 2^%zu bytes", size_bits);
}

int guestmem_set_largest_frame(vm_t *vm, size_t size_bits)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (check_frame_size(memory, size_bits) != 0) {
        return memory_report(memory, __func__, 0, 0);
    }
    memory->largest_frame_bits = size_bits;
    return 0;
}

int guestmem_set_reservation_largest_frame(vm_t *vm, vm_memory_reservation_t *reservation,
                                           size_t size_bits)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (!memory_check_reservation(memory, reservation) ||
        check_frame_size(memory, size_bits) != 0) {
        return memory_report(memory, __func__, 0, 0);
    }
    reservation_item_t *item = reservations_item(memory, reservation);
    item->state = (item->state & ~RESERVATION_FRAME_BITS) | size_bits;
    return 0;
}

int guestmem_set_windows(vm_t *vm, guestmem_windows_t windows)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (windows != GUESTMEM_WINDOWS_KEPT && windows != GUESTMEM_WINDOWS_NONE) {
        memory_blame(memory, GUESTMEM_BAD_ARGUMENT, "%d is no guestmem_windows_t", (int)windows);
        return memory_report(memory, __func__, 0, 0);
    }
    memory->windows = windows;
    return 0;
}
