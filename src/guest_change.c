/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The public calls of <guestmem/change.h>. */

#include <guestmem/change.h>
#include <inttypes.h>
#include "reservation.h"
#include "tracking.h"

/* The mapped reservation that holds a range. @return NULL after gm_fail() */
static vm_memory_reservation_t *mapped_at(gm_memory_t *memory, uintptr_t addr, size_t size,
                                          uintptr_t *last)
{
    if (gm_check_range(memory, addr, size, last) != 0) {
        return NULL;
    }
    vm_memory_reservation_t *reservation = gm_reservation_find(memory, addr);
    if (reservation == NULL || reservation->mapping == NULL) {
        gm_fail(memory, GUESTMEM_NOT_MAPPED, "GPA 0x%" PRIxPTR " is in no mapped reservation",
                addr);
        return NULL;
    }
    if (*last > reservation->last) {
        gm_fail_range(memory, GUESTMEM_BAD_RANGE, reservation->base, reservation->last,
                      reservation->name, "the range crosses the end of the reservation", NULL);
        return NULL;
    }
    return reservation;
}

int guestmem_discard(vm_t *vm, uintptr_t addr, size_t size, size_t *discarded)
{
    uintptr_t last;
    uintptr_t bytes;
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    const vm_memory_reservation_t *reservation = mapped_at(memory, addr, size, &last);
    if (reservation == NULL ||
        gm_mapping_discard(memory, reservation->mapping, addr, last, &bytes) != 0) {
        return gm_report(memory, __func__, addr, gm_last_of(addr, size));
    }
    if (discarded != NULL) {
        *discarded = bytes;
    }
    return 0;
}

int guestmem_populate(vm_t *vm, uintptr_t addr, size_t size)
{
    uintptr_t last;
    gm_run_t *filled;
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    const vm_memory_reservation_t *reservation = mapped_at(memory, addr, size, &last);
    return reservation != NULL &&
                   gm_mapping_fill(memory, reservation->mapping, addr, last, gm_page_of(addr),
                                   gm_page_last(last), &filled) == 0
               ? 0
               : gm_report(memory, __func__, addr, gm_last_of(addr, size));
}

int guestmem_protect(vm_t *vm, uintptr_t addr, size_t size, seL4_CapRights_t rights)
{
    uintptr_t last;
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    const vm_memory_reservation_t *reservation = mapped_at(memory, addr, size, &last);
    if (reservation == NULL) {
        return gm_report(memory, __func__, addr, gm_last_of(addr, size));
    }
    /* Where the reservation begins or ends within a page, that is all there is of the page. */
    gm_mapping_t *mapping = reservation->mapping;
    uintptr_t from = addr == reservation->base ? mapping->first : addr;
    uintptr_t to = last == reservation->last ? mapping->last : last;
    return gm_tracking_protect(memory, mapping, from, to, rights) == 0
               ? 0
               : gm_report(memory, __func__, addr, last);
}

/* Written pages. */

/* The mapping of a reservation of the VM's. @return NULL after gm_fail() */
static gm_mapping_t *mapping_of(gm_memory_t *memory, const vm_memory_reservation_t *reservation)
{
    if (gm_reservation_check(memory, reservation) != 0) {
        return NULL;
    }
    if (reservation->mapping == NULL) {
        gm_fail(memory, GUESTMEM_NOT_MAPPED, "the reservation is not mapped");
    }
    return reservation->mapping;
}

static int report_change(gm_memory_t *memory, const vm_memory_reservation_t *reservation,
                         const char *function)
{
    bool known = reservation != NULL && reservation->memory == memory;
    return gm_report(memory, function, known ? reservation->base : 0,
                     known ? reservation->last : 0);
}

int guestmem_track_written(vm_t *vm, vm_memory_reservation_t *reservation, guestmem_track_t track)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    gm_mapping_t *mapping = mapping_of(memory, reservation);
    int error = -1;
    if ((unsigned)track > GUESTMEM_TRACK_PAGES) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "%d is no guestmem_track_t", (int)track);
    } else if (mapping != NULL) {
        error = track == GUESTMEM_TRACK_NOTHING
                    ? gm_tracking_end(memory, mapping)
                    : gm_tracking_begin(memory, mapping, track == GUESTMEM_TRACK_PAGES);
    }
    return error == 0 ? 0 : report_change(memory, reservation, __func__);
}

/* Report what was written, which is watched again already. */
static int report_written(gm_memory_t *memory, const vm_memory_reservation_t *reservation,
                          guestmem_written_fn callback, void *cookie)
{
    gm_mapping_t *mapping = reservation->mapping;
    uintptr_t gpa = mapping->first;
    uintptr_t last;
    int result = 0;
    while (result == 0 && gm_tracking_next(memory, mapping, &gpa, &last)) {
        uintptr_t from = gpa > reservation->base ? gpa : reservation->base;
        uintptr_t to = last < reservation->last ? last : reservation->last;
        result = callback(memory->vm, from, to - from + 1, cookie);
        gpa = last + 1;
    }
    return result;
}

int guestmem_written(vm_t *vm, vm_memory_reservation_t *reservation, guestmem_written_fn callback,
                     void *cookie)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    gm_mapping_t *mapping = mapping_of(memory, reservation);
    if (callback == NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "the callback is NULL; give one");
    } else if (mapping != NULL && mapping->written == NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT,
                "written pages are not tracked; call guestmem_track_written() first");
    } else if (mapping != NULL && gm_tracking_rearm(memory, mapping) == 0) {
        return report_written(memory, reservation, callback, cookie);
    }
    return report_change(memory, reservation, __func__);
}
