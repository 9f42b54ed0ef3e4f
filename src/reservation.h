/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Reservations, their mapping, and anonymous regions: the steps of the public calls, which note why
 * they fail but do not report it.
 */

#include "mapping.h"

/** What a reservation is made of; the address is separate, as an anonymous region may choose it. */
typedef struct gm_request {
    memory_fault_callback_fn fault_callback;
    void *fault_cookie;
} gm_request_t;

/** The `vm_memory_reservation_t` of the public interface. */
struct vm_memory_reservation {
    uintptr_t base;
    uintptr_t last;
    gm_mapping_t *mapping; /* NULL while it is emulated */
    uint64_t faults;
    gm_request_t request;
    gm_memory_t *memory;        /* of its VM */
    char *name;                 /* GUESTMEM_NAME_SIZE bytes, or NULL */
    uint8_t largest_frame_bits; /* 0: as the VM's policy has it */
    bool saved;                 /* it is as it was when the VM's state was saved */
};

/*@ predicate gm_reservation_ok(vm_memory_reservation_t *reservation) =
        \valid_read(reservation) && reservation->base <= reservation->last;

    // The i-th range of chunk c of the reservations.
    logic vm_memory_reservation_t *gm_reservation_at(gm_memory_t *memory, integer c, integer i) =
        (vm_memory_reservation_t *)memory->reservations.slots[c].chunk->rest[i].value;

    // The reservations are recorded with their addresses.
    predicate gm_reservations_ok(gm_memory_t *memory) =
        \valid(memory) && gm_range_map_ok(&memory->reservations) &&
        \forall integer c, i; gm_range_is(&memory->reservations, c, i) ==>
            gm_reservation_ok(gm_reservation_at(memory, c, i)) &&
            gm_reservation_at(memory, c, i)->base ==
                gm_range_base(&memory->reservations, c, i) &&
            gm_reservation_at(memory, c, i)->last ==
                gm_range_last(&memory->reservations, c, i) &&
            \forall integer d, j; gm_range_is(&memory->reservations, d, j) &&
                gm_range_base(&memory->reservations, c, i) <=
                    gm_range_last(&memory->reservations, d, j) &&
                gm_range_base(&memory->reservations, d, j) <=
                    gm_range_last(&memory->reservations, c, i) ==>
                gm_reservation_at(memory, c, i) == gm_reservation_at(memory, d, j);

    // No reservation has bytes of [base, last].
    predicate gm_reservations_free(gm_memory_t *memory, integer base, integer last) =
        base <= last ==> \forall integer c, i; gm_range_is(&memory->reservations, c, i) ==>
            gm_range_last(&memory->reservations, c, i) < base ||
            last < gm_range_base(&memory->reservations, c, i);

    // No mapped reservation has bytes of [base, last].
    predicate gm_mappings_free(gm_memory_t *memory, integer base, integer last) =
        base <= last ==> \forall integer c, i; gm_range_is(&memory->reservations, c, i) &&
            gm_reservation_at(memory, c, i)->mapping != \null ==>
            gm_range_last(&memory->reservations, c, i) < base ||
            last < gm_range_base(&memory->reservations, c, i);

    // The pages of a mapped reservation are those of its mapping.
    predicate gm_mapped_ok(vm_memory_reservation_t *reservation) =
        reservation->mapping != \null ==> \valid(reservation->mapping) &&
            reservation->mapping->first <= reservation->base &&
            reservation->last <= reservation->mapping->last < UINTPTR_MAX &&
            (reservation->mapping->written != \null ==>
                gm_mapping_bits(reservation->mapping, reservation->mapping->written));

    predicate gm_reservations_mapped(gm_memory_t *memory) =
        \forall integer c, i; gm_range_is(&memory->reservations, c, i) ==>
            gm_mapped_ok(gm_reservation_at(memory, c, i));
 */

/*@ ghost
    /@ requires gm_memory_ok(memory);
       assigns \nothing;
       ensures gm_reservations_ok(memory); // nobody has proved that the map stays in order
     @/
    void gm_reservations_are_ok(gm_memory_t *memory);
*/

/*@ ghost
    /@ requires gm_memory_ok(memory);
       assigns \nothing;
       ensures gm_reservations_mapped(memory); // nor that this holds of each reservation in it
     @/
    void gm_reservations_are_mapped(gm_memory_t *memory);
*/

/** A range from which reservations are taken at free addresses. */
typedef struct gm_region {
    struct gm_region *next; /* in order of age */
    uintptr_t last;
    uintptr_t no_room_below; /* each page of the region below this is taken */
} gm_region_t;

/** Check `[addr, addr + size)` and find its last address. @return 0; -1 after gm_fail() */
/*@ requires \valid(memory) && \valid(last) && \separated(memory, last);
    assigns *last, memory->failure;
    ensures \result == (size > 0 && addr + size - 1 <= UINTPTR_MAX ? 0 : -1);
    ensures \result == 0 ==> *last == addr + size - 1 && memory->failure == \old(memory->failure);
 */
int gm_check_range(gm_memory_t *memory, uintptr_t addr, size_t size, uintptr_t *last);

/** Reserve `[addr, addr + size)`. @return NULL after gm_fail(). @see gm_reservation_free */
vm_memory_reservation_t *gm_reservation_make(gm_memory_t *memory, uintptr_t addr, size_t size,
                                             gm_request_t request);

/**
 * Reserve at a free address of an anonymous region, in pages of its own.
 *
 * @param align   the first of these pages is a multiple of it, and of 4 KiB
 * @param offset  the address is that far into the first page, below 4 KiB
 * @param lowest  the first page is not below this multiple of 4 KiB
 * @return NULL after gm_fail()
 */
vm_memory_reservation_t *gm_reservation_make_anonymous(gm_memory_t *memory, size_t size,
                                                       size_t align, size_t offset,
                                                       uintptr_t lowest, gm_request_t request);

/** Make an anonymous region. @return 0; -1 after gm_fail() */
int gm_region_make(gm_memory_t *memory, uintptr_t addr, size_t size);

/** The anonymous region that a reservation was taken from, or NULL: regions hold no others. */
static inline gm_region_t *gm_region_of(const vm_memory_reservation_t *reservation)
{
    return gm_range_map_get(&reservation->memory->regions, reservation->base);
}

/** The source for frames of that backing with all rights, as the VM's policy has it. */
/*@ requires \valid_read(memory);
    assigns \nothing;
    ensures \result.backing == backing && \result.use == GM_USE_ANY;
 */
gm_frame_source_t gm_reservation_source(const gm_memory_t *memory, guestmem_backing_t backing);

/*@ // What mapping a reservation needs.
    predicate gm_can_map(gm_memory_t *memory, vm_memory_reservation_t *reservation) =
        gm_space_ok(memory) && \valid(reservation) &&
        reservation->base <= reservation->last && !gm_is_run(\base_addr(reservation)) &&
        \base_addr(reservation) != \base_addr(memory) &&
        \base_addr(reservation) != \base_addr(memory->vm) &&
        \base_addr(reservation) != \base_addr(memory->vm->vka);
 */

/*@ // A mapping is of the pages of [base, last].
    predicate gm_is_of(gm_mapping_t *mapping, integer base, integer last) =
        gm_mapping_ok(mapping) && mapping->first % ARCH_PAGE_SIZE == 0 &&
        mapping->last % ARCH_PAGE_SIZE == ARCH_PAGE_SIZE - 1 &&
        mapping->first <= base < mapping->first + ARCH_PAGE_SIZE &&
        last <= mapping->last < last + ARCH_PAGE_SIZE;

    // After a call that maps a reservation: it is mapped, or nothing has changed.
    predicate gm_map_done{Then, Now}(int error, vm_memory_reservation_t *reservation) =
        error == 0 ? gm_mapping_more{Then, Now} &&
            \at(reservation->mapping, Then) == \null &&
            gm_is_of{Now}(\at(reservation->mapping, Now), \at(reservation->base, Then),
                          \at(reservation->last, Then)) :
        error == -1 && gm_nothing_more{Then, Now} &&
            \at(reservation->mapping, Now) == \at(reservation->mapping, Then) &&
            \at(reservation->saved, Now) == \at(reservation->saved, Then);
 */

/** Map a reservation from a source. @return 0; -1 after gm_fail(), and nothing has changed */
/*@ requires gm_can_map(memory, reservation) && \valid_read(source);
    requires \base_addr(source) != \base_addr(memory) &&
        \base_addr(source) != \base_addr(reservation);
    requires own: source->backing == GUESTMEM_FREE_FRAMES && source->use == GM_USE_ANY &&
        memory->iospaces == \null;
    assigns GM_RUNS, GM_SPACE(memory), memory->untyped, gm_list, gm_first, reservation->mapping,
        reservation->saved;
    ensures gm_space_ok(memory) && gm_refused >= \old(gm_refused);
    ensures gm_map_done{Pre, Post}(\result, reservation);
    ensures \result == 0 ==> (map_time == GUESTMEM_MAP_ON_FAULT ? gm_none_mapped{Pre, Post} :
        gm_mapped > \old(gm_mapped));
 */
int gm_reservation_map(gm_memory_t *memory, vm_memory_reservation_t *reservation,
                       const gm_frame_source_t *source, guestmem_map_time_t map_time);

/** What gm_reservation_fault() found. */
typedef enum gm_fault {
    GM_FAULT_NONE,   /* nothing to map: the frame's rights forbid the access, an earlier map failed,
                        or the reservation is emulated */
    GM_FAULT_MAPPED, /* the frame was mapped now, or is written now, or was when the fault was on
                        its way */
    GM_FAULT_FAILED, /* it could not be mapped, see gm_fail(); it is not tried again */
} gm_fault_t;

/** Map the frame for an access to `gpa`, if the reservation is mapped on fault and it is missing,
 *  or with the right to write, if it was taken for tracking. */
gm_fault_t gm_reservation_fault(gm_memory_t *memory, vm_memory_reservation_t *reservation,
                                uintptr_t gpa);

/** Free a reservation with its frames, window and name. Cannot fail. */
void gm_reservation_free(gm_memory_t *memory, vm_memory_reservation_t *reservation);

/** Free all reservations and regions. */
void gm_reservation_free_all(gm_memory_t *memory);

/** The reservation that holds `addr`, or NULL. */
/*@ requires gm_reservations_ok(memory);
    assigns \nothing;
    ensures \result == \null <==> \old(gm_reservations_free(memory, addr, addr));
    ensures \result != \null ==> \old(gm_reservation_ok(\result) &&
        \result->base <= addr <= \result->last);
    ensures \result != \null ==> \old(\exists integer c, i;
        gm_range_is(&memory->reservations, c, i) && \result == gm_reservation_at(memory, c, i));
 */
static inline vm_memory_reservation_t *gm_reservation_find(const gm_memory_t *memory,
                                                           uintptr_t addr)
{
    return gm_range_map_get(&memory->reservations, addr);
}

/** The lowest reservation that has bytes of `[addr, last]`, or NULL. */
/*@ requires gm_reservations_ok(memory) && addr <= last;
    assigns \nothing;
    ensures \result == \null <==> \old(gm_reservations_free(memory, addr, last));
    ensures \result != \null ==> \old(gm_reservation_ok(\result));
    ensures \result != \null ==> \old(addr <= \result->last && \result->base <= last);
    ensures \result != \null ==> \old(\forall integer c, i;
        gm_range_is(&memory->reservations, c, i) &&
        addr <= gm_range_last(&memory->reservations, c, i) &&
        gm_range_base(&memory->reservations, c, i) <= \result->last ==>
        gm_reservation_at(memory, c, i) == \result);
    ensures \result != \null ==> \old(\exists integer c, i;
        gm_range_is(&memory->reservations, c, i) && \result == gm_reservation_at(memory, c, i));
 */
static inline vm_memory_reservation_t *gm_reservation_next(const gm_memory_t *memory,
                                                           uintptr_t addr, uintptr_t last)
{
    gm_range_t range;
    if (!gm_range_map_overlap(&memory->reservations, addr, last, &range)) {
        return NULL;
    }
    vm_memory_reservation_t *reservation = range.value;
    /*@ assert \exists integer c, i; \at(gm_range_is(&memory->reservations, c, i), Pre) &&
            reservation == \at(gm_reservation_at(memory, c, i), Pre) &&
            range.base == \at(gm_range_base(&memory->reservations, c, i), Pre) &&
            range.last == \at(gm_range_last(&memory->reservations, c, i), Pre) &&
            \forall integer d, j; \at(gm_range_is(&memory->reservations, d, j), Pre) &&
                addr <= \at(gm_range_last(&memory->reservations, d, j), Pre) &&
                \at(gm_range_base(&memory->reservations, d, j), Pre) <= range.last ==>
                reservation == \at(gm_reservation_at(memory, d, j), Pre);
     */
    /*@ assert \let r = reservation; \at(gm_reservation_ok(r), Pre) &&
            \at(r->base, Pre) == range.base && \at(r->last, Pre) == range.last;
     */
    return reservation;
}

/** The lowest reservation above another, or the lowest of all for NULL; NULL if there is none. */
/*@ requires gm_reservations_ok(memory);
    requires reservation == \null || gm_reservation_ok(reservation);
    assigns \nothing;
    ensures \result != \null ==> \old(gm_reservation_ok(\result)) &&
        (reservation != \null ==> \old(reservation->last < \result->last));
 */
static inline vm_memory_reservation_t *
gm_reservation_after(const gm_memory_t *memory, const vm_memory_reservation_t *reservation)
{
    uintptr_t from = reservation != NULL ? reservation->last : 0;
    if (from == UINTPTR_MAX) {
        return NULL;
    }
    return gm_reservation_next(memory, reservation != NULL ? from + 1 : 0, UINTPTR_MAX);
}

/** Check a handle that is not freed. @return 0; -1 after gm_fail() if it is NULL or another VM's */
/*@ requires \valid(memory) && (reservation == \null || \valid_read(reservation));
    assigns memory->failure;
    ensures \result == \old(reservation != \null && reservation->memory == memory ? 0 : -1);
 */
int gm_reservation_check(gm_memory_t *memory, const vm_memory_reservation_t *reservation);
