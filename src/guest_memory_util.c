/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The six functions of <sel4vmmplatsupport/guest_memory_util.h>: a reservation and a frame source.
 */

#include <inttypes.h>
#include <sel4vmmplatsupport/guest_memory_util.h>
#include "reservations.h"

/* Make a page that the guest and the VMM share. @return where the VMM sees it, or NULL */
static void *make_shared_page(vm_memory_t *memory, uintptr_t addr, const frame_source_t *source,
                              const reservation_request_t *request)
{
    if ((addr & (ARCH_PAGE_SIZE - 1)) != 0) {
        memory_blame(memory, GUESTMEM_MISALIGNED, "0x%" PRIxPTR " is no multiple of 4 KiB", addr);
        return NULL;
    }
    vm_memory_reservation_t *reservation = reservations_make(memory, addr, ARCH_PAGE_SIZE, request);
    if (reservation == NULL) {
        return NULL;
    }
    if (reservations_map(memory, reservation, source, GUESTMEM_MAP_NOW) != 0 ||
        vmm_window_open(memory, &reservation->mapping->window, reservation->base,
                        reservation->last) != 0) {
        reservations_free(memory, reservation);
        return NULL;
    }
    return reservation->mapping->window.base;
}

/* Make a shared page for the public function of that name. */
static void *create_frame(vm_t *vm, uintptr_t addr, guestmem_backing_t backing,
                          seL4_CapRights_t rights, const reservation_request_t *request,
                          const char *function)
{
    vm_memory_t *memory = memory_of(vm, function);
    if (memory == NULL) {
        return NULL;
    }
    frame_source_t source = reservations_source(memory, backing);
    source.rights = rights;
    void *page = make_shared_page(memory, addr, &source, request);
    if (page == NULL) {
        memory_report(memory, function, addr, addr | (ARCH_PAGE_SIZE - 1));
    }
    return page;
}

void *create_allocated_reservation_frame(vm_t *vm, uintptr_t addr, seL4_CapRights_t rights,
                                         memory_fault_callback_fn alloc_fault_callback,
                                         void *alloc_fault_cookie)
{
    reservation_request_t request = {alloc_fault_callback, alloc_fault_cookie};
    return create_frame(vm, addr, GUESTMEM_FREE_FRAMES, rights, &request, __func__);
}

void *create_device_reservation_frame(vm_t *vm, uintptr_t addr, seL4_CapRights_t rights,
                                      memory_fault_callback_fn fault_callback, void *fault_cookie)
{
    reservation_request_t request = {fault_callback, fault_cookie};
    return create_frame(vm, addr, GUESTMEM_UNTYPED, rights, &request, __func__);
}

/* Map a reservation for the public function of that name. */
static int map_backing(vm_t *vm, vm_memory_reservation_t *reservation, guestmem_backing_t backing,
                       const uintptr_t *paddr, const char *function)
{
    vm_memory_t *memory = memory_of(vm, function);
    if (memory == NULL) {
        return -1;
    }
    if (!memory_check_reservation(memory, reservation)) {
        return memory_report(memory, function, 0, 0);
    }
    frame_source_t source = reservations_source(memory, backing);
    if (paddr != NULL) {
        uintptr_t size = reservation->last - reservation->base;
        source.paddr_offset = *paddr - reservation->base;
        if ((source.paddr_offset & (ARCH_PAGE_SIZE - 1)) != 0) {
            memory_blame(memory, GUESTMEM_MISALIGNED,
                         "paddr 0x%" PRIxPTR " and the reservation differ modulo 4 KiB", *paddr);
            return memory_report(memory, function, reservation->base, reservation->last);
        }
        if (*paddr + size < *paddr) {
            memory_blame(memory, GUESTMEM_BAD_RANGE, "the physical range from 0x%" PRIxPTR " wraps",
                         *paddr);
            return memory_report(memory, function, reservation->base, reservation->last);
        }
    }
    if (reservations_map(memory, reservation, &source, memory->map_time) != 0) {
        return memory_report(memory, function, reservation->base, reservation->last);
    }
    return 0;
}

int map_ut_alloc_reservation_with_base_paddr(vm_t *vm, uintptr_t paddr,
                                             vm_memory_reservation_t *reservation)
{
    return map_backing(vm, reservation, GUESTMEM_UNTYPED, &paddr, __func__);
}

int map_ut_alloc_reservation(vm_t *vm, vm_memory_reservation_t *reservation)
{
    return map_backing(vm, reservation, GUESTMEM_UNTYPED, NULL, __func__);
}

int map_frame_alloc_reservation(vm_t *vm, vm_memory_reservation_t *reservation)
{
    return map_backing(vm, reservation, GUESTMEM_FREE_FRAMES, NULL, __func__);
}

int map_maybe_device_reservation(vm_t *vm, vm_memory_reservation_t *reservation)
{
    return map_backing(vm, reservation, GUESTMEM_MAYBE_DEVICE, NULL, __func__);
}
