/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Reservations of all kinds are in one map, so that one find serves every fault. Anonymous regions
 * are in a second one, which only reserving looks at. Each step checks everything, gets its memory,
 * and then cannot fail.
 */

#include <inttypes.h>
#include "reservations.h"

vm_memory_reservation_t *reservations_find(const vm_memory_t *memory, uintptr_t addr)
{
    const range_map_item_t *item = range_map_item(&memory->reservations, addr);
    return item != NULL && item->last >= addr ? item->value : NULL;
}

reservation_item_t *reservations_item(const vm_memory_t *memory,
                                      const vm_memory_reservation_t *reservation)
{
    return (reservation_item_t *)range_map_item(&memory->reservations, reservation->base);
}

static int blame_reservation(vm_memory_t *memory, guestmem_error_code_t code,
                             const vm_memory_reservation_t *other, const char *text,
                             const char *advice)
{
    return memory_blame_other(memory, code, other->base, other->last, other->name, text, advice);
}

/* Check that nothing has bytes of the range, and no mapped reservation pages of it. `place` is that
 * of the base. */
static int check_free(vm_memory_t *memory, uintptr_t base, uintptr_t last, range_map_place_t place)
{
    range_map_entry_t entry;
    uintptr_t from = base & ~(ARCH_PAGE_SIZE - 1);
    uintptr_t to = last | (ARCH_PAGE_SIZE - 1);
    if (from == base &&
        (!range_map_next_from(&memory->reservations, place, from, &entry) || entry.base > to)) {
        return 0;
    }
    if (range_map_overlap(&memory->reservations, base, last, &entry)) {
        return blame_reservation(memory, GUESTMEM_OVERLAP, entry.value, "overlaps the reservation",
                                 "free it or choose another range");
    }
    while (range_map_overlap(&memory->reservations, from, to, &entry)) {
        const vm_memory_reservation_t *other = entry.value;
        if (other->mapping != NULL) {
            return blame_reservation(memory, GUESTMEM_PAGE_SHARED, other,
                                     "touches a page of the mapped reservation",
                                     "free it or choose another page");
        }
        if (entry.last >= to) {
            break;
        }
        from = entry.last + 1;
    }
    return 0;
}

static int check_no_region(vm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    range_map_entry_t entry;
    if (range_map_overlap(&memory->regions, base, last, &entry)) {
        return memory_blame_other(memory, GUESTMEM_OVERLAP, entry.base, entry.last, NULL,
                                  "overlaps the anonymous region",
                                  "use vm_reserve_anon_memory() there");
    }
    return 0;
}

static int no_heap(vm_memory_t *memory)
{
    return memory_blame(memory, GUESTMEM_NO_HEAP,
                        "the heap has no room for a reservation's record");
}

/* Record a reservation of a range that is free, and whose base has that place. */
static vm_memory_reservation_t *record(vm_memory_t *memory, uintptr_t base, uintptr_t last,
                                       range_map_place_t place,
                                       const reservation_request_t *request)
{
    vm_memory_reservation_t *reservation = reservation_pool_get(&memory->pool);
    if (reservation == NULL) {
        no_heap(memory);
        return NULL;
    }
    if (range_map_prepare_at(&memory->reservations, place) != 0) {
        reservation_pool_put(&memory->pool, reservation);
        no_heap(memory);
        return NULL;
    }
    reservation->base = base;
    reservation->last = last;
    reservation_item_t *item =
        (reservation_item_t *)range_map_insert(&memory->reservations, base, last, reservation);
    *item = (reservation_item_t){
        .range = item->range,
        .fault_callback = request->fault_callback,
        .fault_cookie = request->fault_cookie,
    };
    return reservation;
}

static int check_callback(vm_memory_t *memory, const reservation_request_t *request)
{
    return request->fault_callback != NULL
               ? 0
               : memory_blame(memory, GUESTMEM_BAD_ARGUMENT,
                              "the fault callback is NULL; give one, e.g. "
                              "default_error_fault_callback()");
}

vm_memory_reservation_t *reservations_make(vm_memory_t *memory, uintptr_t addr, size_t size,
                                           const reservation_request_t *request)
{
    uintptr_t last;
    range_map_place_t place = range_map_place(&memory->reservations, addr);
    if (!memory_check_range(memory, addr, size, &last) || check_callback(memory, request) != 0 ||
        check_free(memory, addr, last, place) != 0 || check_no_region(memory, addr, last) != 0) {
        return NULL;
    }
    return record(memory, addr, last, place, request);
}

/* Find the oldest region with room, and the address. */
static anon_region_t *find_room(vm_memory_t *memory, uintptr_t size, uintptr_t align,
                                uintptr_t *addr)
{
    for (anon_region_t *region = memory->oldest_region; region != NULL; region = region->next) {
        if (range_alloc_find(&region->pages, &memory->reservations, size, align, addr)) {
            return region;
        }
    }
    return NULL;
}

vm_memory_reservation_t *reservations_make_anonymous(vm_memory_t *memory, size_t size, size_t align,
                                                     const reservation_request_t *request)
{
    uintptr_t last;
    uintptr_t addr;
    if (!memory_check_range(memory, 0, size, &last) || check_callback(memory, request) != 0) {
        return NULL;
    }
    if (align == 0 || (align & (align - 1)) != 0) {
        memory_blame(memory, GUESTMEM_BAD_ARGUMENT, "the alignment 0x%zx is no power of two",
                     align);
        return NULL;
    }
    uintptr_t pages = (last | (ARCH_PAGE_SIZE - 1)) + 1; /* 0 if that is the whole address space */
    align = align < ARCH_PAGE_SIZE ? ARCH_PAGE_SIZE : align;
    anon_region_t *region = pages != 0 ? find_room(memory, pages, align, &addr) : NULL;
    if (region == NULL) {
        memory_blame(memory, GUESTMEM_NO_ADDRESS,
                     "no anonymous region has room for 0x%zx bytes aligned to 0x%zx; make one with "
                     "vm_memory_make_anon()",
                     size, align);
        return NULL;
    }
    vm_memory_reservation_t *reservation = record(
        memory, addr, addr + (size - 1), range_map_place(&memory->reservations, addr), request);
    if (reservation != NULL) {
        range_alloc_take(&region->pages, addr, pages);
    }
    return reservation;
}

void reservations_link_region(anon_region_t **oldest, anon_region_t *region)
{
    anon_region_t **link = oldest;
    while (*link != NULL) {
        link = &(*link)->next;
    }
    *link = region;
}

void reservations_init_region(anon_region_t *region, uintptr_t base, uintptr_t last)
{
    uintptr_t first_page = (base + (ARCH_PAGE_SIZE - 1)) & ~(ARCH_PAGE_SIZE - 1);
    region->base = base;
    region->last = last;
    range_alloc_init(&region->pages, first_page >= base ? first_page : UINTPTR_MAX, last);
}

int reservations_make_region(vm_memory_t *memory, uintptr_t addr, size_t size)
{
    uintptr_t last;
    range_map_entry_t entry;
    if (!memory_check_range(memory, addr, size, &last) ||
        check_no_region(memory, addr, last) != 0) {
        return -1;
    }
    if (range_map_overlap(&memory->reservations, addr, last, &entry)) {
        return blame_reservation(memory, GUESTMEM_OVERLAP, entry.value, "overlaps the reservation",
                                 "free it or choose another range");
    }
    anon_region_t *region = heap_alloc(&memory->heap, sizeof(*region));
    if (region == NULL || range_map_prepare(&memory->regions, addr) != 0) {
        heap_free(&memory->heap, region, sizeof(*region));
        return memory_blame(memory, GUESTMEM_NO_HEAP, "the heap has no room for a region's record");
    }
    reservations_init_region(region, addr, last);
    range_map_insert(&memory->regions, addr, last, region);
    reservations_link_region(&memory->oldest_region, region);
    return 0;
}

/* Check that a reservation can be mapped: not mapped yet, reachable, and alone on its pages. */
static int check_mappable(vm_memory_t *memory, const vm_memory_reservation_t *reservation)
{
    if (reservation->mapping != NULL) {
        return memory_blame(memory, GUESTMEM_ALREADY_MAPPED,
                            "the reservation is mapped already; free it first");
    }
    if (memory->space.root == seL4_CapNull) {
        return memory_blame(memory, GUESTMEM_NOT_INITIALISED,
                            "the VM has no address space yet; call vm_init_guest_vspace() first");
    }
    if (reservation->last > arch_guest_last) {
        return memory_blame(memory, GUESTMEM_BAD_RANGE,
                            "the guest's address space ends at 0x%" PRIxPTR, arch_guest_last);
    }
    range_map_entry_t entry;
    uintptr_t first = reservations_first_page(reservation);
    uintptr_t last = reservations_last_page(reservation);
    if ((reservation->base > first &&
         range_map_overlap(&memory->reservations, first, reservation->base - 1, &entry)) ||
        (reservation->last < last &&
         range_map_overlap(&memory->reservations, reservation->last + 1, last, &entry))) {
        return blame_reservation(memory, GUESTMEM_PAGE_SHARED, entry.value,
                                 "cannot be mapped, as it shares a page with the reservation",
                                 "free that or move one of them");
    }
    return 0;
}

int reservations_map(vm_memory_t *memory, vm_memory_reservation_t *reservation,
                     const frame_source_t *source, guestmem_map_time_t map_time)
{
    if (check_mappable(memory, reservation) != 0) {
        return -1;
    }
    frame_source_t checked = *source;
    checked.iterator_from = reservation->base;
    reservation_item_t *item = reservations_item(memory, reservation);
    size_t largest_bits = item->state & RESERVATION_FRAME_BITS;
    if (largest_bits != 0) {
        checked.largest_bits = largest_bits;
    }
    /* An iterator of the caller's may reserve and free meanwhile, and so move the item. */
    reservation->mapping =
        guest_mapping_create(memory, reservations_first_page(reservation),
                             reservations_last_page(reservation), &checked, map_time);
    if (reservation->mapping == NULL) {
        return -1;
    }
    reservations_item(memory, reservation)->state |= RESERVATION_MAPPED;
    return 0;
}

anon_region_t *reservations_region(const vm_memory_t *memory,
                                   const vm_memory_reservation_t *reservation)
{
    range_map_entry_t entry;
    return range_map_find(&memory->regions, reservation->base, &entry) ? entry.value : NULL;
}

void reservations_free(vm_memory_t *memory, vm_memory_reservation_t *reservation)
{
    range_map_place_t place = range_map_place(&memory->reservations, reservation->base);
    if (reservation->mapping != NULL) {
        guest_mapping_destroy(memory, reservation->mapping);
    }
    anon_region_t *region = reservations_region(memory, reservation);
    if (region != NULL) {
        range_alloc_free(&region->pages, reservation->base);
    }
    heap_free(&memory->heap, reservation->name, GUESTMEM_NAME_SIZE);
    range_map_remove_at(&memory->reservations, place, reservation->base);
    reservation_pool_put(&memory->pool, reservation);
}

void reservations_free_all(vm_memory_t *memory)
{
    range_map_entry_t entry;
    while (range_map_next(&memory->reservations, 0, &entry)) {
        reservations_free(memory, entry.value);
    }
    while (memory->oldest_region != NULL) {
        anon_region_t *region = memory->oldest_region;
        memory->oldest_region = region->next;
        heap_free(&memory->heap, region, sizeof(*region));
    }
}

frame_source_t reservations_source(const vm_memory_t *memory, guestmem_backing_t backing)
{
    return (frame_source_t){
        .backing = backing,
        .use = FRAME_USE_ANY,
        .rights = seL4_AllRights,
        .cacheable = true,
        .largest_bits = memory->largest_frame_bits,
    };
}
