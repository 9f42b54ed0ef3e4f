/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Reservations of all kinds are in one map, so that one look-up serves every fault. Anonymous
 * regions are in a second one, which only reserving looks at. Each step checks everything, gets its
 * memory, and then cannot fail.
 */

#include <inttypes.h>
#include <sel4vm/guest_memory_helpers.h>
#include "reservation.h"
#include "tracking.h"

int gm_check_range(gm_memory_t *memory, uintptr_t addr, size_t size, uintptr_t *last)
{
    *last = gm_last_of(addr, size);
    if (size == 0) {
        return gm_fail(memory, GUESTMEM_BAD_RANGE, "the size is 0; give at least one byte");
    }
    if (gm_wraps(addr, size)) {
        return gm_fail(memory, GUESTMEM_BAD_RANGE,
                       "0x%zx bytes from there wrap at the top of the address space", size);
    }
    return 0;
}

int gm_reservation_check(gm_memory_t *memory, const vm_memory_reservation_t *reservation)
{
    return reservation != NULL && reservation->memory == memory
               ? 0
               : gm_fail(memory, GUESTMEM_NO_RESERVATION,
                         "%p is no reservation of this VM (NULL, or another VM's)",
                         (const void *)reservation);
}

/*@ requires \valid(memory) && \valid_read(other);
    assigns memory->failure;
    ensures \result == -1;
 */
static int fail_reservation(gm_memory_t *memory, guestmem_error_code_t code,
                            const vm_memory_reservation_t *other, const char *text,
                            const char *advice)
{
    return gm_fail_range(memory, code, other->base, other->last, other->name, text, advice);
}

/* Check that nothing has bytes of the range, and no mapped reservation pages of it. */
/*@ requires gm_reservations_ok(memory) && base <= last;
    assigns memory->failure;
    ensures \result == 0 || \result == -1;
    ensures \result == 0 <==> \old(gm_reservations_free(memory, base, last) &&
        gm_mappings_free(memory, base - base % ARCH_PAGE_SIZE,
            last - last % ARCH_PAGE_SIZE + (ARCH_PAGE_SIZE - 1)));
 */
static int check_free(gm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    uintptr_t from = gm_page_of(base);
    uintptr_t to = gm_page_last(last);
    const vm_memory_reservation_t *other = gm_reservation_next(memory, base, last);
    if (other != NULL) {
        return fail_reservation(memory, GUESTMEM_OVERLAP, other, "overlaps the reservation",
                                "free it or choose another range");
    }
    /*@ loop invariant base - base % ARCH_PAGE_SIZE <= from <= to;
        loop invariant gm_mappings_free(memory, base - base % ARCH_PAGE_SIZE, from - 1);
        loop assigns from, other;
        loop variant to - from;
     */
    while ((other = gm_reservation_next(memory, from, to)) != NULL) {
        if (other->mapping != NULL) {
            return fail_reservation(memory, GUESTMEM_PAGE_SHARED, other,
                                    "touches a page of the mapped reservation",
                                    "free it or choose another page");
        }
        if (other->last >= to) {
            break;
        }
        from = other->last + 1;
    }
    return 0;
}

static int check_no_region(gm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    gm_range_t range;
    return gm_range_map_overlap(&memory->regions, base, last, &range)
               ? gm_fail_range(memory, GUESTMEM_OVERLAP, range.base, range.last, NULL,
                               "overlaps the anonymous region",
                               "use vm_reserve_anon_memory() there")
               : 0;
}

static int check_callback(gm_memory_t *memory, gm_request_t request)
{
    return request.fault_callback != NULL ? 0
                                          : gm_fail(memory, GUESTMEM_BAD_ARGUMENT,
                                                    "the fault callback is NULL; give one, e.g. "
                                                    "default_error_fault_callback()");
}

/* Record a reservation of a range that is free. */
static vm_memory_reservation_t *record(gm_memory_t *memory, uintptr_t base, uintptr_t last,
                                       gm_request_t request)
{
    vm_memory_reservation_t *reservation = gm_heap_alloc(&memory->heap, sizeof(*reservation));
    if (reservation == NULL || gm_range_map_prepare(&memory->reservations, base) != 0) {
        gm_heap_free(&memory->heap, reservation, sizeof(*reservation));
        gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for a reservation's record");
        return NULL;
    }
    *reservation = (vm_memory_reservation_t){
        .base = base,
        .last = last,
        .memory = memory,
        .request = request,
    };
    gm_range_map_insert(&memory->reservations, base, last, reservation);
    return reservation;
}

vm_memory_reservation_t *gm_reservation_make(gm_memory_t *memory, uintptr_t addr, size_t size,
                                             gm_request_t request)
{
    uintptr_t last;
    if (gm_check_range(memory, addr, size, &last) != 0 || check_callback(memory, request) != 0 ||
        check_free(memory, addr, last) != 0 || check_no_region(memory, addr, last) != 0) {
        return NULL;
    }
    return record(memory, addr, last, request);
}

/* Anonymous regions. Reservations in them take whole pages. */

/* Find the lowest free address of a region, a multiple of `align`, which is one of 4 KiB, for
 * `extent` bytes and one more. */
/*@ requires gm_reservations_ok(memory) && \valid_read(region) && \valid(addr) && align > 0;
    assigns *addr;
    ensures \result ==> \old(region->no_room_below) <= *addr && lowest <= *addr &&
        *addr % align == 0 && *addr + extent <= \old(region->last);
    ensures \result ==> \old(gm_reservations_free(memory, \at(*addr, Post),
        \at(*addr, Post) + extent));
 */
static bool find_in_region(const gm_memory_t *memory, const gm_region_t *region, uintptr_t lowest,
                           uintptr_t extent, uintptr_t align, uintptr_t *addr)
{
    uintptr_t from = region->no_room_below > lowest ? region->no_room_below : lowest;
    /*@ loop invariant region->no_room_below <= from && lowest <= from;
        loop assigns from;
        loop variant UINTPTR_MAX - from;
     */
    for (;;) {
        uintptr_t skipped = from % align > 0 ? align - from % align : 0;
        if (from > region->last || skipped > region->last - from ||
            extent > region->last - from - skipped) {
            return false;
        }
        uintptr_t first = from + skipped;
        //@ assert first == (from / align + (skipped > 0 ? 1 : 0)) * align;
        const vm_memory_reservation_t *other = gm_reservation_next(memory, first, first + extent);
        if (other == NULL) {
            *addr = first;
            return true;
        }
        if (gm_page_last(other->last) == UINTPTR_MAX) {
            return false;
        }
        from = gm_page_last(other->last) + 1;
    }
}

vm_memory_reservation_t *gm_reservation_make_anonymous(gm_memory_t *memory, size_t size,
                                                       size_t align, size_t offset,
                                                       uintptr_t lowest, gm_request_t request)
{
    uintptr_t last;
    uintptr_t page;
    if (gm_check_range(memory, offset, size, &last) != 0 || check_callback(memory, request) != 0) {
        return NULL;
    }
    if (align == 0 || (align & (align - 1)) != 0) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "the alignment 0x%zx is no power of two", align);
        return NULL;
    }
    uintptr_t extent = gm_page_last(last); /* of whole pages, from the first to their last byte */
    align = align < ARCH_PAGE_SIZE ? ARCH_PAGE_SIZE : align;
    gm_region_t *region = memory->oldest_region;
    while (region != NULL && !find_in_region(memory, region, lowest, extent, align, &page)) {
        region = region->next;
    }
    if (region == NULL) {
        gm_fail(memory, GUESTMEM_NO_ADDRESS,
                "no anonymous region has room for 0x%zx bytes aligned to 0x%zx; make one with "
                "vm_memory_make_anon()",
                size, align);
        return NULL;
    }
    uintptr_t addr = page + offset;
    vm_memory_reservation_t *reservation = record(memory, addr, addr + (size - 1), request);
    /* One reservation after another is found at once; at the top of the address space it takes a
     * walk. */
    if (reservation != NULL && page == region->no_room_below && page < UINTPTR_MAX - extent) {
        region->no_room_below = page + extent + 1;
    }
    return reservation;
}

int gm_region_make(gm_memory_t *memory, uintptr_t addr, size_t size)
{
    uintptr_t last;
    if (gm_check_range(memory, addr, size, &last) != 0 ||
        check_no_region(memory, addr, last) != 0) {
        return -1;
    }
    const vm_memory_reservation_t *other = gm_reservation_next(memory, addr, last);
    if (other != NULL) {
        return fail_reservation(memory, GUESTMEM_OVERLAP, other, "overlaps the reservation",
                                "free it or choose another range");
    }
    gm_region_t *region = gm_heap_alloc(&memory->heap, sizeof(*region));
    if (region == NULL || gm_range_map_prepare(&memory->regions, addr) != 0) {
        gm_heap_free(&memory->heap, region, sizeof(*region));
        return gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for a region's record");
    }
    *region = (gm_region_t){.last = last, .no_room_below = gm_page_from(addr)};
    gm_range_map_insert(&memory->regions, addr, last, region);
    gm_region_t **link = &memory->oldest_region;
    while (*link != NULL) {
        link = &(*link)->next;
    }
    *link = region;
    return 0;
}

/* Mapping. */

gm_frame_source_t gm_reservation_source(const gm_memory_t *memory, guestmem_backing_t backing)
{
    return (gm_frame_source_t){
        .backing = backing,
        .rights = seL4_AllRights,
        .largest_bits = memory->largest_frame_bits,
    };
}

/* Check that a reservation can be mapped: not mapped yet, reachable, and alone on its pages. */
/*@ requires gm_reservations_ok(memory) && \valid_read(reservation);
    requires reservation->base <= reservation->last;
    assigns memory->failure;
    ensures \result == 0 || \result == -1;
    ensures \result == 0 <==> \old(\let base = reservation->base; \let last = reservation->last;
        reservation->mapping == \null && memory->root != 0 && last <= gm_arch_guest_last &&
        gm_reservations_free(memory, base - base % ARCH_PAGE_SIZE, base - 1) &&
        gm_reservations_free(memory, last + 1,
            last - last % ARCH_PAGE_SIZE + (ARCH_PAGE_SIZE - 1)));
 */
static int check_mappable(gm_memory_t *memory, const vm_memory_reservation_t *reservation)
{
    if (reservation->mapping != NULL) {
        return gm_fail(memory, GUESTMEM_ALREADY_MAPPED,
                       "the reservation is mapped already; free it first");
    }
    if (memory->root == seL4_CapNull) {
        return gm_fail(memory, GUESTMEM_NOT_INITIALISED,
                       "the VM has no address space yet; call vm_init_guest_vspace() first");
    }
    if (reservation->last > gm_arch_guest_last) {
        return gm_fail(memory, GUESTMEM_BAD_RANGE, "the guest's address space ends at 0x%" PRIxPTR,
                       gm_arch_guest_last);
    }
    uintptr_t first = gm_page_of(reservation->base);
    uintptr_t last = gm_page_last(reservation->last);
    const vm_memory_reservation_t *other = NULL;
    if (reservation->base > first) {
        other = gm_reservation_next(memory, first, reservation->base - 1);
    }
    if (other == NULL && reservation->last < last) {
        other = gm_reservation_next(memory, reservation->last + 1, last);
    }
    if (other != NULL) {
        return fail_reservation(memory, GUESTMEM_PAGE_SHARED, other,
                                "cannot be mapped, as it shares a page with the reservation",
                                "free that or move one of them");
    }
    return 0;
}

/* Make the mapping of a reservation. @return NULL after gm_fail() */
/*@ requires gm_can_map(memory, reservation) && \valid_read(source);
    requires reservation->last <= gm_arch_guest_last;
    requires own: source->backing == GUESTMEM_FREE_FRAMES && source->use == GM_USE_ANY &&
        memory->iospaces == \null;
    assigns GM_RUNS, GM_SPACE(memory), memory->untyped, gm_list, gm_first;
    ensures memory->vm == \old(memory->vm) && memory->vm->vka == \old(memory->vm->vka);
    ensures gm_space_ok(memory) && gm_refused >= \old(gm_refused);
    ensures \result == \null ? gm_nothing_more{Pre, Post} : gm_mapping_more{Pre, Post};
    ensures \result != \null ==>
        gm_is_of(\result, \old(reservation->base), \old(reservation->last));
    ensures \result != \null ==> (map_time == GUESTMEM_MAP_ON_FAULT ?
        gm_none_mapped{Pre, Post} : gm_mapped > \old(gm_mapped));
 */
static gm_mapping_t *make_mapping(gm_memory_t *memory, const vm_memory_reservation_t *reservation,
                                  const gm_frame_source_t *source, guestmem_map_time_t map_time)
{
    gm_frame_source_t from = *source;
    from.iterator_from = reservation->base;
    if (reservation->largest_frame_bits != 0) {
        from.largest_bits = reservation->largest_frame_bits;
    }
    return gm_mapping_make(memory, &from, gm_page_of(reservation->base),
                           gm_page_last(reservation->last), map_time == GUESTMEM_MAP_ON_FAULT);
}

int gm_reservation_map(gm_memory_t *memory, vm_memory_reservation_t *reservation,
                       const gm_frame_source_t *source, guestmem_map_time_t map_time)
{
    //@ ghost gm_reservations_are_ok(memory);
    if (check_mappable(memory, reservation) != 0) {
        return -1;
    }
    gm_mapping_t *mapping = make_mapping(memory, reservation, source, map_time);
    if (mapping == NULL) {
        return -1;
    }
    reservation->mapping = mapping;
    reservation->saved = false;
    //@ assert memory->vm == \at(memory->vm, Pre) && memory->vm->vka == \at(memory->vm->vka, Pre);
    //@ assert gm_memory_ok(memory);
    return 0;
}

/* Whether a fault must be older than the frame that is there now, which another VCPU's fault has
 * brought: nothing that a guest does to memory of the library's with all rights faults. */
static bool is_older(const gm_mapping_t *mapping, const gm_run_t *run)
{
    return mapping->refilled && run->cacheable && seL4_CapRights_get_capAllowRead(run->rights) &&
           seL4_CapRights_get_capAllowWrite(run->rights);
}

gm_fault_t gm_reservation_fault(gm_memory_t *memory, vm_memory_reservation_t *reservation,
                                uintptr_t gpa)
{
    gm_mapping_t *mapping = reservation->mapping;
    size_t index;
    if (mapping == NULL) {
        return GM_FAULT_NONE;
    }
    const gm_run_t *run = gm_guest_space_find(memory, gpa, &index);
    if (run != NULL && gm_tracking_holds(memory, mapping, gpa)) {
        return gm_tracking_give_right(memory, mapping, gpa) == 0 ? GM_FAULT_MAPPED
                                                                 : GM_FAULT_FAILED;
    }
    if (run != NULL) {
        return is_older(mapping, run) ? GM_FAULT_MAPPED : GM_FAULT_NONE;
    }
    if (!mapping->on_fault && !mapping->refilled) {
        return GM_FAULT_NONE;
    }
    if (gm_mapping_fill(memory, mapping, gpa, gpa, mapping->first, mapping->last, NULL) != 0) {
        mapping->on_fault = false;
        mapping->refilled = false;
        return GM_FAULT_FAILED;
    }
    return GM_FAULT_MAPPED;
}

void gm_reservation_free(gm_memory_t *memory, vm_memory_reservation_t *reservation)
{
    if (reservation->mapping != NULL) {
        gm_mapping_destroy(memory, reservation->mapping);
    }
    gm_region_t *region = gm_region_of(reservation);
    if (region != NULL && reservation->base < region->no_room_below) {
        region->no_room_below = gm_page_of(reservation->base);
    }
    memory->counts.faults += reservation->faults;
    gm_range_map_remove(&memory->reservations, reservation->base);
    gm_heap_free(&memory->heap, reservation->name, GUESTMEM_NAME_SIZE);
    reservation->memory = NULL;
    gm_heap_free(&memory->heap, reservation, sizeof(*reservation));
}

void gm_reservation_free_all(gm_memory_t *memory)
{
    gm_range_t range;
    while (gm_range_map_previous(&memory->reservations, UINTPTR_MAX, &range)) {
        gm_reservation_free(memory, range.value);
    }
    while (memory->oldest_region != NULL) {
        gm_region_t *region = memory->oldest_region;
        memory->oldest_region = region->next;
        gm_heap_free(&memory->heap, region, sizeof(*region));
    }
    gm_range_map_destroy(&memory->regions);
    gm_range_map_destroy(&memory->reservations);
}

memory_fault_result_t default_error_fault_callback(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t fault_addr,
                                                   size_t fault_length, void *cookie)
{
    (void)vcpu;
    (void)cookie;
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return FAULT_ERROR;
    }
    const vm_memory_reservation_t *reservation = gm_reservation_find(memory, fault_addr);
    if (reservation != NULL) {
        fail_reservation(memory, GUESTMEM_NO_RIGHT, reservation,
                         "the guest's access is not allowed in the reservation", NULL);
    } else {
        gm_fail(memory, GUESTMEM_NO_RIGHT, "the guest's access is in no reservation");
    }
    gm_report_guest(memory, __func__, fault_addr, gm_last_of(fault_addr, fault_length));
    return FAULT_ERROR;
}
