/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The public calls of <sel4vm/guest_ram.h> but for access: RAM is a mapped reservation that is also
 * in the RAM list.
 */

#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>
#include "ram_list.h"
#include "reservations.h"

static const reservation_request_t ram_request = {default_error_fault_callback, NULL};

/* Map a reservation as RAM and record it; on failure it is freed. NULL is passed on. */
static int make_ram(vm_memory_t *memory, vm_memory_reservation_t *reservation,
                    const frame_source_t *source)
{
    if (reservation == NULL) {
        return -1;
    }
    if (reservations_map(memory, reservation, source, GUESTMEM_MAP_NOW) != 0 ||
        ram_list_prepare(memory) != 0) {
        reservations_free(memory, reservation);
        return -1;
    }
    reservation->mapping->ram = true;
    ram_list_register(memory, reservation->base, reservation->last);
    return 0;
}

static frame_source_t ram_source(const vm_memory_t *memory, guestmem_backing_t backing)
{
    frame_source_t source = reservations_source(memory, backing);
    source.use = FRAME_USE_RAM;
    return source;
}

/* The last address of a range for a report. */
static uintptr_t reported_last(uintptr_t start, size_t bytes)
{
    uintptr_t last;
    return __builtin_add_overflow(start, bytes - 1, &last) ? UINTPTR_MAX : last;
}

uintptr_t vm_ram_register(vm_t *vm, size_t bytes)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return 0;
    }
    frame_source_t source = ram_source(memory, GUESTMEM_MAYBE_DEVICE);
    vm_memory_reservation_t *reservation =
        reservations_make_anonymous(memory, bytes, ARCH_PAGE_SIZE, &ram_request);
    if (make_ram(memory, reservation, &source) != 0) {
        memory_report(memory, __func__, 0, reported_last(0, bytes));
        return 0;
    }
    return reservation->base;
}

int vm_ram_register_at(vm_t *vm, uintptr_t start, size_t bytes, bool untyped)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    frame_source_t source = ram_source(memory, untyped ? GUESTMEM_UNTYPED : GUESTMEM_MAYBE_DEVICE);
    if (make_ram(memory, reservations_make(memory, start, bytes, &ram_request), &source) != 0) {
        return memory_report(memory, __func__, start, reported_last(start, bytes));
    }
    return 0;
}

int vm_ram_register_at_custom_iterator(vm_t *vm, uintptr_t start, size_t bytes,
                                       memory_map_iterator_fn map_iterator, void *cookie)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    frame_source_t source = reservations_source(memory, GUESTMEM_CALLER);
    source.iterator = map_iterator;
    source.cookie = cookie;
    if (map_iterator == NULL) {
        memory_blame(memory, GUESTMEM_BAD_ARGUMENT, "the map iterator is NULL; give one");
    } else if (make_ram(memory, reservations_make(memory, start, bytes, &ram_request), &source) ==
               0) {
        return 0;
    }
    return memory_report(memory, __func__, start, reported_last(start, bytes));
}

int vm_ram_find_largest_free_region(vm_t *vm, uintptr_t *addr, size_t *size)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (addr == NULL || size == NULL) {
        memory_blame(memory, GUESTMEM_BAD_ARGUMENT, "addr or size is NULL; they receive the range");
        return memory_report(memory, __func__, 0, 0);
    }
    const vm_ram_region_t *largest = NULL;
    for (int i = 0; i < vm->mem.num_ram_regions; i++) {
        const vm_ram_region_t *region = &vm->mem.ram_regions[i];
        if (!region->allocated && (largest == NULL || region->size > largest->size)) {
            largest = region;
        }
    }
    if (largest == NULL) {
        memory_blame(memory, GUESTMEM_NO_ADDRESS, "the VM has no RAM that is not allocated");
        return memory_report(memory, __func__, 0, 0);
    }
    *addr = largest->start;
    *size = largest->size;
    return 0;
}

/* Change the state of RAM that is all in the other state. */
static int change_state(vm_memory_t *memory, uintptr_t start, size_t bytes, ram_state_t from,
                        ram_state_t to)
{
    uintptr_t last;
    if (!memory_check_range(memory, start, bytes, &last)) {
        return -1;
    }
    if (!ram_list_is(memory, start, last, from)) {
        return memory_blame(memory, GUESTMEM_NOT_RAM, "the range is not all %s RAM",
                            from == RAM_FREE ? "unallocated" : "allocated");
    }
    if (ram_list_prepare(memory) != 0) {
        return -1;
    }
    ram_list_set(memory, start, last, to);
    return 0;
}

void vm_ram_mark_allocated(vm_t *vm, uintptr_t start, size_t bytes)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory != NULL && change_state(memory, start, bytes, RAM_FREE, RAM_ALLOCATED) != 0) {
        memory_report(memory, __func__, start, reported_last(start, bytes));
    }
}

uintptr_t vm_ram_allocate(vm_t *vm, size_t bytes)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return 0;
    }
    for (int i = 0; i < vm->mem.num_ram_regions && bytes > 0; i++) {
        const vm_ram_region_t *region = &vm->mem.ram_regions[i];
        if (!region->allocated && region->size >= bytes) {
            uintptr_t start = region->start;
            if (change_state(memory, start, bytes, RAM_FREE, RAM_ALLOCATED) == 0) {
                return start;
            }
            memory_report(memory, __func__, start, reported_last(start, bytes));
            return 0;
        }
    }
    memory_blame(memory, bytes > 0 ? GUESTMEM_NO_ADDRESS : GUESTMEM_BAD_RANGE,
                 "no unallocated range of RAM has 0x%zx bytes", bytes);
    memory_report(memory, __func__, 0, reported_last(0, bytes));
    return 0;
}

void vm_ram_free(vm_t *vm, uintptr_t start, size_t bytes)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory != NULL && change_state(memory, start, bytes, RAM_ALLOCATED, RAM_FREE) != 0) {
        memory_report(memory, __func__, start, reported_last(start, bytes));
    }
}
