/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The records of reservations, and the way to tell a valid handle from a stale or foreign one
 * without reading what it points to.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sel4vm/guest_memory.h>
#include "heap.h"
#include "range_map.h"
#include "guest_mapping.h"

/** A reservation: the `vm_memory_reservation_t` of the public interface, which stays where it is.
 *  What a fault reads is not here but in the map of the reservations: reservation_item_t. */
struct vm_memory_reservation {
    uintptr_t base;
    uintptr_t last;
    guest_mapping_t *mapping; /* its frames; NULL while it is emulated */
    char *name;               /* GUESTMEM_NAME_SIZE bytes, or NULL */
};

#define RESERVATION_FRAME_BITS UINT64_C(0x7f) /* largest frame; 0: as the VM's policy has it */
#define RESERVATION_MAPPED     UINT64_C(0x80)
#define RESERVATION_FAULT      UINT64_C(0x100) /* one fault; their number is above this bit */

/** The item of a reservation in the map of reservations: all that a fault reads of it. */
typedef struct reservation_item {
    range_map_item_t range; /* its value is the record */
    memory_fault_callback_fn fault_callback;
    void *fault_cookie;
    uint64_t state; /* of the RESERVATION_ parts above */
} reservation_item_t;

typedef struct reservation_slab reservation_slab_t;

typedef struct reservation_pool {
    heap_t *heap;
    range_map_t slabs;          /* by their addresses in the VMM */
    reservation_slab_t *vacant; /* slabs with a free record */
    reservation_slab_t *recent; /* of the handle that was checked last, while the slab lives */
} reservation_pool_t;

/** Make an empty pool; it holds no memory, and does again when all records are back. */
void reservation_pool_init(reservation_pool_t *pool, heap_t *heap);

/** @return a zeroed record, or NULL if the heap is exhausted */
vm_memory_reservation_t *reservation_pool_get(reservation_pool_t *pool);

/** Give a record back. @see reservation_pool_get */
void reservation_pool_put(reservation_pool_t *pool, vm_memory_reservation_t *reservation);

/** Whether `reservation` is a record of this pool that is in use. It may be any pointer. */
bool reservation_pool_holds(reservation_pool_t *pool, const vm_memory_reservation_t *reservation);
