/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Records live in slabs. A slab is freed with its last record, so that freeing all reservations
 * gives all memory back. Slabs with a free record are in a doubly linked list; a full one is not.
 */

#include <assert.h>
#include <stddef.h>
#include "reservation_pool.h"

#define SLAB_RECORDS 64

struct reservation_slab {
    reservation_slab_t *next;
    reservation_slab_t *previous;
    uint64_t used; /* a bit for each record that is in use */
    vm_memory_reservation_t records[SLAB_RECORDS];
};

_Static_assert(sizeof(reservation_slab_t) == offsetof(reservation_slab_t, records) +
                                                 SLAB_RECORDS * sizeof(vm_memory_reservation_t),
               "the records are the last of a slab");
_Static_assert(SLAB_RECORDS == 8 * sizeof(uint64_t), "one bit of `used` for each record");

void reservation_pool_init(reservation_pool_t *pool, heap_t *heap)
{
    *pool = (reservation_pool_t){.heap = heap};
    range_map_init(&pool->slabs, heap);
}

static void link_vacant(reservation_pool_t *pool, reservation_slab_t *slab)
{
    slab->previous = NULL;
    slab->next = pool->vacant;
    if (pool->vacant != NULL) {
        pool->vacant->previous = slab;
    }
    pool->vacant = slab;
}

static void unlink_vacant(reservation_pool_t *pool, reservation_slab_t *slab)
{
    if (slab->previous != NULL) {
        slab->previous->next = slab->next;
    } else {
        pool->vacant = slab->next;
    }
    if (slab->next != NULL) {
        slab->next->previous = slab->previous;
    }
}

static reservation_slab_t *add_slab(reservation_pool_t *pool)
{
    reservation_slab_t *slab = heap_alloc(pool->heap, sizeof(*slab));
    if (slab == NULL) {
        return NULL;
    }
    uintptr_t base = (uintptr_t)slab;
    if (range_map_prepare(&pool->slabs, base) != 0) {
        heap_free(pool->heap, slab, sizeof(*slab));
        return NULL;
    }
    range_map_insert(&pool->slabs, base, base + (sizeof(*slab) - 1), slab);
    link_vacant(pool, slab);
    return slab;
}

vm_memory_reservation_t *reservation_pool_get(reservation_pool_t *pool)
{
    reservation_slab_t *slab = pool->vacant != NULL ? pool->vacant : add_slab(pool);
    if (slab == NULL) {
        return NULL;
    }
    unsigned index = (unsigned)__builtin_ctzll(~slab->used);
    slab->used |= UINT64_C(1) << index;
    if (slab->used == UINT64_MAX) {
        unlink_vacant(pool, slab);
    }
    slab->records[index] = (vm_memory_reservation_t){0};
    return &slab->records[index];
}

/* The slab whose memory a pointer points to, or NULL. A handle is checked before it is freed, so
 * the slab is mostly the one that was found last. */
static reservation_slab_t *slab_of(const reservation_pool_t *pool,
                                   const vm_memory_reservation_t *reservation)
{
    uintptr_t address = (uintptr_t)reservation;
    if (pool->recent != NULL && address - (uintptr_t)pool->recent < sizeof(reservation_slab_t)) {
        return pool->recent;
    }
    const range_map_item_t *item = range_map_item(&pool->slabs, address);
    return item != NULL && item->last >= address ? item->value : NULL;
}

void reservation_pool_put(reservation_pool_t *pool, vm_memory_reservation_t *reservation)
{
    reservation_slab_t *slab = slab_of(pool, reservation);
    assert(slab != NULL);
    if (slab->used == UINT64_MAX) {
        link_vacant(pool, slab);
    }
    slab->used &= ~(UINT64_C(1) << (reservation - slab->records));
    if (slab->used == 0) {
        unlink_vacant(pool, slab);
        pool->recent = NULL;
        range_map_remove(&pool->slabs, (uintptr_t)slab);
        heap_free(pool->heap, slab, sizeof(*slab));
    }
}

bool reservation_pool_holds(reservation_pool_t *pool, const vm_memory_reservation_t *reservation)
{
    __builtin_prefetch(reservation); /* harmless whatever it is, and mostly read next */
    reservation_slab_t *slab = slab_of(pool, reservation);
    if (slab == NULL) {
        return false;
    }
    pool->recent = slab;
    /* The records are the last of a slab, so a pointer that is not below them is among them. */
    uintptr_t first = (uintptr_t)slab->records;
    uintptr_t offset = (uintptr_t)reservation - first;
    return (uintptr_t)reservation >= first && offset % sizeof(slab->records[0]) == 0 &&
           (slab->used >> (offset / sizeof(slab->records[0])) & 1) != 0;
}
