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

/* Where the reservation begins or ends within a page, that is all there is of the page: widen a
 * range of whole bytes to it. */
/*@ requires \valid_read(reservation) && \valid_read(reservation->mapping);
    requires \valid(first) && \valid(last) && \separated(first, last, reservation) &&
        \separated(first, reservation->mapping) && \separated(last, reservation->mapping);
    requires reservation->mapping->first <= reservation->base <= *first;
    requires *last <= reservation->last <= reservation->mapping->last;
    assigns *first, *last;
    ensures *first == (\old(*first) == reservation->base ? reservation->mapping->first :
        \old(*first));
    ensures *last == (\old(*last) == reservation->last ? reservation->mapping->last :
        \old(*last));
 */
static void widen(const vm_memory_reservation_t *reservation, uintptr_t *first, uintptr_t *last)
{
    *first = *first == reservation->base ? reservation->mapping->first : *first;
    *last = *last == reservation->last ? reservation->mapping->last : *last;
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
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    const vm_memory_reservation_t *reservation = mapped_at(memory, addr, size, &last);
    return reservation != NULL && gm_mapping_fill(memory, reservation->mapping, addr, last,
                                                  gm_page_of(addr), gm_page_last(last), NULL) == 0
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
    uintptr_t from = addr;
    uintptr_t to = last;
    widen(reservation, &from, &to);
    return gm_tracking_protect(memory, reservation->mapping, from, to, rights) == 0
               ? 0
               : gm_report(memory, __func__, addr, last);
}

/* Sharing. */

/* End what begin_share() has begun, and was kept while the rest could fail. */
static void end_share(gm_memory_t *memory, uintptr_t first, uintptr_t last, bool keep)
{
    for (gm_run_t *run = gm_guest_space_next(memory, first, last); run != NULL;
         run = gm_guest_space_after(memory, run, last)) {
        if (run->becomes_shared && !keep) {
            gm_run_unshare(memory, run);
        }
        run->becomes_shared = false;
    }
}

/* Let the frames of `[first, last]`, which are whole ones, be shared.
 * @return 0; -1 after gm_fail(), and nothing has changed */
static int begin_share(gm_memory_t *memory, uintptr_t first, uintptr_t last, gm_cuts_t *cuts)
{
    if (gm_guest_space_check_whole(memory, first, last, "whole frames are shared") != 0 ||
        gm_guest_space_cut(memory, first, last, cuts) != 0) {
        return -1;
    }
    for (gm_run_t *run = gm_guest_space_next(memory, first, last); run != NULL;
         run = gm_guest_space_after(memory, run, last)) {
        if (run->caller || run->shared) {
            continue;
        }
        if (gm_run_share(memory, run) != 0) {
            end_share(memory, first, last, false);
            gm_guest_space_join(memory, cuts);
            return -1;
        }
        run->becomes_shared = true;
    }
    return 0;
}

/* Make the reservation that has the frames of `owner` from `addr` on. @return NULL after gm_fail()
 */
static vm_memory_reservation_t *make_share(gm_memory_t *memory, uintptr_t to_addr, size_t size,
                                           const gm_memory_t *owner, uintptr_t addr,
                                           seL4_CapRights_t rights, gm_request_t request)
{
    gm_frame_source_t source = {
        .backing = GUESTMEM_SHARED,
        .rights = seL4_CapRights_new(0, 0, seL4_CapRights_get_capAllowRead(rights),
                                     seL4_CapRights_get_capAllowWrite(rights)),
        .largest_bits = gm_arch_frames[ARCH_NUM_FRAME_SIZES - 1].bits,
        .owner = owner,
        .owner_offset = addr - to_addr,
    };
    if (source.owner_offset % ARCH_PAGE_SIZE != 0) {
        gm_fail(memory, GUESTMEM_MISALIGNED,
                "0x%" PRIxPTR " and 0x%" PRIxPTR " are not as far into a page", addr, to_addr);
        return NULL;
    }
    vm_memory_reservation_t *reservation = gm_reservation_make(memory, to_addr, size, request);
    if (reservation != NULL &&
        gm_reservation_map(memory, reservation, &source, GUESTMEM_MAP_NOW) != 0) {
        gm_reservation_free(memory, reservation);
        return NULL;
    }
    return reservation;
}

vm_memory_reservation_t *guestmem_share(vm_t *from, uintptr_t addr, size_t size, vm_t *to,
                                        uintptr_t to_addr, seL4_CapRights_t rights,
                                        memory_fault_callback_fn fault_callback, void *cookie)
{
    uintptr_t last;
    gm_cuts_t cuts;
    gm_memory_t *owner = gm_memory_of(from, __func__);
    gm_memory_t *memory = gm_memory_of(to, __func__);
    if (owner == NULL && memory != NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT,
                "the VM that has the memory is not initialised, or its map iterator is running");
        gm_note(memory, __func__, addr, gm_last_of(addr, size)); /* logged already */
    }
    if (owner == NULL || memory == NULL) {
        return NULL;
    }
    const vm_memory_reservation_t *owned = mapped_at(owner, addr, size, &last);
    uintptr_t first = addr;
    if (owned != NULL) {
        widen(owned, &first, &last);
    }
    if (owned == NULL || begin_share(owner, first, last, &cuts) != 0) {
        memory->failure = owner->failure;
        gm_report(memory, __func__, addr, gm_last_of(addr, size));
        return NULL;
    }
    vm_memory_reservation_t *reservation = make_share(memory, to_addr, size, owner, addr, rights,
                                                      (gm_request_t){fault_callback, cookie});
    end_share(owner, first, last, reservation != NULL);
    if (reservation == NULL) {
        gm_guest_space_join(owner, &cuts);
        gm_report(memory, __func__, to_addr, gm_last_of(to_addr, size));
    }
    return reservation;
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

static const char tracked_for_saved[] =
    "the RAM is tracked for a saved state; free that with guestmem_free_saved()";

static bool is_saved(const gm_memory_t *memory, const vm_memory_reservation_t *reservation)
{
    return memory->saved != NULL && reservation->saved && reservation->mapping->ram;
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
    if (mapping != NULL && is_saved(memory, reservation)) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "%s", tracked_for_saved);
    } else if ((unsigned)track > GUESTMEM_TRACK_PAGES) {
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
        uintptr_t from = gm_max(gpa, reservation->base);
        uintptr_t to = gm_min(last, reservation->last);
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
    if (mapping != NULL && is_saved(memory, reservation)) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "%s", tracked_for_saved);
    } else if (callback == NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "the callback is NULL; give one");
    } else if (mapping != NULL && mapping->written == NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT,
                "written pages are not tracked; call guestmem_track_written() first");
    } else if (mapping != NULL && gm_tracking_rearm(memory, mapping) == 0) {
        return report_written(memory, reservation, callback, cookie);
    }
    return report_change(memory, reservation, __func__);
}
