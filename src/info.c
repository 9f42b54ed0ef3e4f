/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The public calls of <guestmem/inspect.h>, which change nothing but names, and those of
 * <guestmem/policy.h>. */

#include <stdio.h>
#include "reservation.h"

size_t guestmem_frame_size_bits(guestmem_frame_size_t size)
{
    for (int i = 0; i < ARCH_NUM_FRAME_SIZES; i++) {
        if (gm_arch_frames[i].counter == size) {
            return gm_arch_frames[i].bits;
        }
    }
    return 0;
}

vm_memory_reservation_t *guestmem_find_reservation(vm_t *vm, uintptr_t addr)
{
    const gm_memory_t *memory = gm_memory_of(vm, __func__);
    return memory != NULL ? gm_reservation_find(memory, addr) : NULL;
}

vm_memory_reservation_t *guestmem_next_reservation(vm_t *vm, vm_memory_reservation_t *reservation)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    uintptr_t from = 0;
    gm_range_t range;
    if (memory == NULL) {
        return NULL;
    }
    if (reservation != NULL) {
        if (gm_reservation_check(memory, reservation) != 0) {
            gm_report(memory, __func__, 0, 0);
            return NULL;
        }
        if (reservation->last == UINTPTR_MAX) {
            return NULL;
        }
        from = reservation->last + 1;
    }
    return gm_range_map_next(&memory->reservations, from, &range) ? range.value : NULL;
}

/* Count the frames of a mapping, and describe the first. */
static void describe_frames(const gm_memory_t *memory, const gm_mapping_t *mapping,
                            guestmem_reservation_info_t *info)
{
    const gm_run_t *run = gm_guest_space_next(memory, mapping->first, mapping->last);
    info->rights = run != NULL ? gm_run_rights(run, 0) : mapping->source.rights;
    info->cacheable = run == NULL || run->cacheable;
    for (; run != NULL; run = gm_guest_space_after(memory, run, mapping->last)) {
        info->frames[gm_arch_frame_counter(run->size_bits)] += run->count;
    }
}

int guestmem_reservation_info(vm_t *vm, vm_memory_reservation_t *reservation,
                              guestmem_reservation_info_t *info)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (info == NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "info is NULL; it receives the description");
        return gm_report(memory, __func__, 0, 0);
    }
    if (gm_reservation_check(memory, reservation) != 0) {
        return gm_report(memory, __func__, 0, 0);
    }
    const gm_mapping_t *mapping = reservation->mapping;
    *info = (guestmem_reservation_info_t){
        .base = reservation->base,
        .last = reservation->last,
        .name = reservation->name != NULL ? reservation->name : "",
        .backing = mapping != NULL ? mapping->source.backing : GUESTMEM_EMULATED,
        .anonymous = gm_region_of(reservation) != NULL,
        .ram = mapping != NULL && mapping->ram,
        .mapped = mapping != NULL,
        .rights = seL4_NoRights,
        .faults = reservation->faults,
    };
    if (mapping != NULL) {
        describe_frames(memory, mapping, info);
    }
    return 0;
}

int guestmem_frame_info(vm_t *vm, uintptr_t addr, guestmem_frame_info_t *info)
{
    size_t index;
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    const gm_run_t *run = gm_guest_space_find(memory, addr, &index);
    if (run == NULL || info == NULL) {
        gm_fail(memory, info == NULL ? GUESTMEM_BAD_ARGUMENT : GUESTMEM_NOT_MAPPED, "%s",
                info == NULL ? "info is NULL; it receives the description"
                             : "no frame is mapped there");
        return gm_report_guest(memory, __func__, addr, addr);
    }
    *info = (guestmem_frame_info_t){
        .base = gm_run_gpa(run, index),
        .size_bits = run->size_bits,
        .cap = run->frames[index].cap,
        .rights = gm_run_rights(run, index),
        .cacheable = run->cacheable,
        .caller = run->caller,
    };
    return 0;
}

int guestmem_name_reservation(vm_t *vm, vm_memory_reservation_t *reservation, const char *name)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (gm_reservation_check(memory, reservation) != 0) {
        return gm_report(memory, __func__, 0, 0);
    }
    if (name == NULL || name[0] == '\0') {
        gm_heap_free(&memory->heap, reservation->name, GUESTMEM_NAME_SIZE);
        reservation->name = NULL;
        return 0;
    }
    if (reservation->name == NULL) {
        reservation->name = gm_heap_alloc(&memory->heap, GUESTMEM_NAME_SIZE);
        if (reservation->name == NULL) {
            gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for a name");
            return gm_report(memory, __func__, reservation->base, reservation->last);
        }
    }
    snprintf(reservation->name, GUESTMEM_NAME_SIZE, "%s", name);
    return 0;
}

int guestmem_get_statistics(vm_t *vm, guestmem_statistics_t *statistics)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (statistics == NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "statistics is NULL; it receives the counts");
        return gm_report(memory, __func__, 0, 0);
    }
    *statistics = memory->counts;
    statistics->reservations = memory->reservations.num_ranges;
    statistics->anonymous_regions = memory->regions.num_ranges;
    statistics->faults += statistics->faults_unhandled;
    gm_range_t range;
    for (bool more = gm_range_map_next(&memory->reservations, 0, &range); more;
         more = range.last < UINTPTR_MAX &&
                gm_range_map_next(&memory->reservations, range.last + 1, &range)) {
        statistics->faults += ((vm_memory_reservation_t *)range.value)->faults;
    }
    for (int level = 0; level < ARCH_NUM_TABLE_LEVELS; level++) {
        statistics->page_tables += memory->tables[level].num_ranges;
    }
    statistics->heap_bytes = memory->heap.bytes;
    statistics->heap_blocks = memory->heap.blocks;
    return 0;
}

/* Policy. */

int guestmem_set_map_time(vm_t *vm, guestmem_map_time_t map_time)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (map_time != GUESTMEM_MAP_NOW && map_time != GUESTMEM_MAP_ON_FAULT) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "%d is no guestmem_map_time_t", (int)map_time);
        return gm_report(memory, __func__, 0, 0);
    }
    memory->map_time = map_time;
    return 0;
}

static int check_frame_size(gm_memory_t *memory, size_t size_bits)
{
    return gm_arch_frame_index(size_bits) >= 0
               ? 0
               : gm_fail(memory, GUESTMEM_BAD_ARGUMENT,
                         "the architecture has no frames of 2^%zu bytes", size_bits);
}

int guestmem_set_largest_frame(vm_t *vm, size_t size_bits)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (check_frame_size(memory, size_bits) != 0) {
        return gm_report(memory, __func__, 0, 0);
    }
    memory->largest_frame_bits = size_bits;
    return 0;
}

int guestmem_set_reservation_largest_frame(vm_t *vm, vm_memory_reservation_t *reservation,
                                           size_t size_bits)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (gm_reservation_check(memory, reservation) != 0 ||
        check_frame_size(memory, size_bits) != 0) {
        return gm_report(memory, __func__, 0, 0);
    }
    reservation->largest_frame_bits = (uint8_t)size_bits;
    return 0;
}

int guestmem_set_windows(vm_t *vm, guestmem_windows_t windows)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (windows != GUESTMEM_WINDOWS_KEPT && windows != GUESTMEM_WINDOWS_NONE) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "%d is no guestmem_windows_t", (int)windows);
        return gm_report(memory, __func__, 0, 0);
    }
    memory->windows = windows;
    return 0;
}

int guestmem_set_fixed_ram(vm_t *vm, guestmem_fixed_ram_t fixed_ram)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (fixed_ram != GUESTMEM_FIXED_RAM_KEPT && fixed_ram != GUESTMEM_FIXED_RAM_CLEARED) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "%d is no guestmem_fixed_ram_t", (int)fixed_ram);
        return gm_report(memory, __func__, 0, 0);
    }
    memory->fixed_ram = fixed_ram;
    return 0;
}

int guestmem_set_discarded(vm_t *vm, guestmem_discarded_t discarded)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (discarded != GUESTMEM_DISCARDED_REFILLED && discarded != GUESTMEM_DISCARDED_LEFT) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "%d is no guestmem_discarded_t", (int)discarded);
        return gm_report(memory, __func__, 0, 0);
    }
    memory->discarded = discarded;
    return 0;
}
