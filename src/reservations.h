/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Reservations as the modules of the library use them: the steps of the public calls, which blame
 * but do not report.
 */

#include "memory.h"

/** What a reservation is made of; the address is separate, since an anonymous region may choose it.
 */
typedef struct reservation_request {
    memory_fault_callback_fn fault_callback;
    void *fault_cookie;
} reservation_request_t;

/** Reserve `[addr, addr + size)`. @return NULL with the cause blamed. @see reservations_free */
vm_memory_reservation_t *reservations_make(vm_memory_t *memory, uintptr_t addr, size_t size,
                                           const reservation_request_t *request);

/** Reserve at a free address of an anonymous region. @return NULL with the cause blamed */
vm_memory_reservation_t *reservations_make_anonymous(vm_memory_t *memory, size_t size, size_t align,
                                                     const reservation_request_t *request);

/** Make an anonymous region. @return 0; -1 with the cause blamed */
int reservations_make_region(vm_memory_t *memory, uintptr_t addr, size_t size);

/** Describe a region: its whole pages can be given out; with none of them, nothing fits. */
void reservations_init_region(anon_region_t *region, uintptr_t base, uintptr_t last);

/** Put a region behind the youngest of a list. */
void reservations_link_region(anon_region_t **oldest, anon_region_t *region);

/** Map a reservation from a source. @return 0; -1 with the cause blamed, and nothing has changed */
int reservations_map(vm_memory_t *memory, vm_memory_reservation_t *reservation,
                     const frame_source_t *source, guestmem_map_time_t map_time);

/** Free a reservation with its frames, window and name. Cannot fail. */
void reservations_free(vm_memory_t *memory, vm_memory_reservation_t *reservation);

/** Free all reservations and regions. */
void reservations_free_all(vm_memory_t *memory);

/** The reservation that holds `addr`, or NULL. */
vm_memory_reservation_t *reservations_find(const vm_memory_t *memory, uintptr_t addr);

/** What a fault reads of a reservation; it stays there until the next change of the reservations.
 */
reservation_item_t *reservations_item(const vm_memory_t *memory,
                                      const vm_memory_reservation_t *reservation);

/** The anonymous region that a reservation was taken from, or NULL: regions hold no others. */
anon_region_t *reservations_region(const vm_memory_t *memory,
                                   const vm_memory_reservation_t *reservation);

/** The source for frames of that backing with all rights, as the VM's policy has it. */
frame_source_t reservations_source(const vm_memory_t *memory, guestmem_backing_t backing);

/** The first and last byte of the pages that a reservation touches. */
static inline uintptr_t reservations_first_page(const vm_memory_reservation_t *reservation)
{
    return reservation->base & ~(ARCH_PAGE_SIZE - 1);
}

static inline uintptr_t reservations_last_page(const vm_memory_reservation_t *reservation)
{
    return reservation->last | (ARCH_PAGE_SIZE - 1);
}
