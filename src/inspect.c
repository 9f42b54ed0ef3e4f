/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The public calls of <guestmem/inspect.h>: they change nothing but names. */

#include <stdio.h>
#include "reservations.h"

vm_memory_reservation_t *guestmem_find_reservation(vm_t *vm, uintptr_t addr)
{
    const vm_memory_t *memory = memory_of(vm, __func__);
    return memory != NULL ? reservations_find(memory, addr) : NULL;
}

vm_memory_reservation_t *guestmem_next_reservation(vm_t *vm, vm_memory_reservation_t *reservation)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    uintptr_t from = 0;
    range_map_entry_t entry;
    if (memory == NULL) {
        return NULL;
    }
    if (reservation != NULL) {
        if (!memory_check_reservation(memory, reservation)) {
            memory_report(memory, __func__, 0, 0);
            return NULL;
        }
        if (reservation->last == UINTPTR_MAX) {
            return NULL;
        }
        from = reservation->last + 1;
    }
    return range_map_next(&memory->reservations, from, &entry) ? entry.value : NULL;
}

/* Count the frames of a mapping, and tell what the first is like. */
static void describe_frames(const vm_memory_t *memory, const guest_mapping_t *mapping,
                            guestmem_reservation_info_t *info)
{
    uintptr_t gpa = mapping->first;
    frame_run_t *run = guest_space_next(&memory->space, gpa, mapping->last);
    info->rights = run != NULL ? run->rights : mapping->source.rights;
    info->cacheable = run != NULL ? run->cacheable : mapping->source.cacheable;
    while (run != NULL) {
        info->frames[arch_frame_counter(run->size_bits)] += run->count;
        gpa = frame_run_last(run);
        run = gpa < mapping->last ? guest_space_next(&memory->space, gpa + 1, mapping->last) : NULL;
    }
}

int guestmem_reservation_info(vm_t *vm, vm_memory_reservation_t *reservation,
                              guestmem_reservation_info_t *info)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (info == NULL) {
        memory_blame(memory, GUESTMEM_BAD_ARGUMENT, "info is NULL; it receives the description");
        return memory_report(memory, __func__, 0, 0);
    }
    if (!memory_check_reservation(memory, reservation)) {
        return memory_report(memory, __func__, 0, 0);
    }
    const guest_mapping_t *mapping = reservation->mapping;
    *info = (guestmem_reservation_info_t){
        .base = reservation->base,
        .last = reservation->last,
        .name = reservation->name != NULL ? reservation->name : "",
        .backing = mapping != NULL ? mapping->source.backing : GUESTMEM_EMULATED,
        .anonymous = reservations_region(memory, reservation) != NULL,
        .ram = mapping != NULL && mapping->ram,
        .mapped = mapping != NULL,
        .rights = seL4_NoRights,
        .faults = reservations_item(memory, reservation)->state / RESERVATION_FAULT,
    };
    if (mapping != NULL) {
        describe_frames(memory, mapping, info);
    }
    return 0;
}

int guestmem_name_reservation(vm_t *vm, vm_memory_reservation_t *reservation, const char *name)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (!memory_check_reservation(memory, reservation)) {
        return memory_report(memory, __func__, 0, 0);
    }
    if (name == NULL || name[0] == '\0') {
        heap_free(&memory->heap, reservation->name, GUESTMEM_NAME_SIZE);
        reservation->name = NULL;
        return 0;
    }
    if (reservation->name == NULL) {
        reservation->name = heap_alloc(&memory->heap, GUESTMEM_NAME_SIZE);
        if (reservation->name == NULL) {
            memory_blame(memory, GUESTMEM_NO_HEAP, "the heap has no room for a name");
            return memory_report(memory, __func__, reservation->base, reservation->last);
        }
    }
    snprintf(reservation->name, GUESTMEM_NAME_SIZE, "%s", name);
    return 0;
}

int guestmem_get_statistics(vm_t *vm, guestmem_statistics_t *statistics)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (statistics == NULL) {
        memory_blame(memory, GUESTMEM_BAD_ARGUMENT, "statistics is NULL; it receives the counts");
        return memory_report(memory, __func__, 0, 0);
    }
    *statistics = memory->counts;
    statistics->reservations = memory->reservations.num_ranges;
    statistics->anonymous_regions = memory->regions.num_ranges;
    for (int i = 0; i < GUESTMEM_NUM_FRAME_SIZES; i++) {
        statistics->frames[i] = memory->space.frames[i];
    }
    statistics->page_tables = page_tables_count(&memory->space.tables);
    statistics->heap_bytes = memory->heap.bytes;
    statistics->heap_blocks = memory->heap.blocks;
    return 0;
}
