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

/** A reservation: the `vm_memory_reservation_t` of the public interface. What a fault reads comes
 *  first, and is side by side; the whole is 64 bytes where a pointer has 8. */
struct vm_memory_reservation {
    uintptr_t last;
    memory_fault_callback_fn fault_callback;
    void *fault_cookie;
    guest_mapping_t *mapping; /* its frames; NULL while it is emulated */
    uint64_t faults : 56;
    uint64_t largest_frame_bits : 7; /* to acquire; 0: as the VM's policy has it */
    uint64_t ram : 1;
    uintptr_t base;
    struct anon_region *region; /* the anonymous region that it was taken from, or NULL */
    char *name;                 /* GUESTMEM_NAME_SIZE bytes, or NULL */
};

typedef struct reservation_slab reservation_slab_t;

typedef struct reservation_pool {
    heap_t *heap;
    range_map_t slabs;          /* by their addresses in the VMM */
    reservation_slab_t *vacant; /* slabs with a free record */
} reservation_pool_t;

/** Make an empty pool; it holds no memory, and does again when all records are back. */
void reservation_pool_init(reservation_pool_t *pool, heap_t *heap);

/** @return a zeroed record, or NULL if the heap is exhausted */
vm_memory_reservation_t *reservation_pool_get(reservation_pool_t *pool);

/** Give a record back. @see reservation_pool_get */
void reservation_pool_put(reservation_pool_t *pool, vm_memory_reservation_t *reservation);

/** Whether `reservation` is a record of this pool that is in use. It may be any pointer. */
bool reservation_pool_holds(const reservation_pool_t *pool,
                            const vm_memory_reservation_t *reservation);
