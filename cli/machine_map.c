/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the description of a machine's memory as rows: what the library says of each reservation,
 * with the description's words for it.
 */

#include "machine_internal.h"

#include <guestmem/inspect.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 1 << seL4_PageBits };

static const char *rights_text(seL4_CapRights_t rights)
{
    if (!seL4_CapRights_get_capAllowRead(rights)) {
        return "--";
    }
    return seL4_CapRights_get_capAllowWrite(rights) ? "rw" : "r-";
}

static const char *backing_text(guestmem_backing_t backing)
{
    switch (backing) {
    case GUESTMEM_EMULATED:
        return "emulated";
    case GUESTMEM_FREE_FRAMES:
        return "frames";
    case GUESTMEM_MAYBE_DEVICE:
        return "maybe-device";
    case GUESTMEM_UNTYPED:
        return "untyped";
    case GUESTMEM_SHARED:
        return "shared";
    default:
        return "caller";
    }
}

/** Add what the description knows of a row. */
static void add_description(const machine_t *machine, memory_map_row_t *row,
                            const vm_range_t *range)
{
    const vm_shared_t *shared =
        range->backing == VM_BACKING_SHARED ? &machine->host->file->shared[range->shared] : NULL;

    snprintf(row->name, sizeof(row->name), "%s", range->name); /* the library's may be cut */
    row->backing = vm_backing_name(range->backing);
    row->device = range->device;
    row->on_fault = range->on_fault;
    row->placed = range->placed_by_library;
    if (range->backing == VM_BACKING_UNTYPED_AT) {
        row->has_paddr = true;
        row->paddr = range->paddr;
    }
    if (shared != NULL) {
        row->shared = shared->name;
        row->has_paddr = shared->has_paddr;
        row->paddr = shared->paddr;
    }
}

static void add_reservation(machine_t *machine, vm_memory_reservation_t *reservation,
                            memory_map_row_t *row)
{
    guestmem_reservation_info_t info;
    uint64_t frames = 0;

    if (guestmem_reservation_info(machine->vm, reservation, &info) != 0) {
        return;
    }
    row->base = info.base;
    row->last = info.last;
    row->reached_base = row->base;
    row->reached_last = row->last;
    if (info.backing != GUESTMEM_EMULATED) {
        row->reached_base &= ~(uint64_t)(PAGE - 1);
        row->reached_last |= PAGE - 1;
    }
    row->backing = backing_text(info.backing);
    row->rights = "";
    row->faults = info.faults;
    row->placed = info.anonymous;
    row->cacheable = info.cacheable;
    snprintf(row->name, sizeof(row->name), "%s", info.name);
    for (unsigned i = 0; i < MAP_NUM_FRAME_SIZES; i++) {
        row->frames[i] = info.frames[i];
        frames += info.frames[i];
    }
    if (frames > 0) {
        row->rights = rights_text(info.rights);
    }
    for (size_t i = 0; i < machine->description->num_ranges; i++) {
        if (machine->ranges[i].reservation == reservation) {
            add_description(machine, row, &machine->description->ranges[i]);
        }
    }
    row->backs_shared = row->shared != NULL && info.backing != GUESTMEM_SHARED;
}

static void add_regions(machine_t *machine, memory_map_t *map)
{
    for (size_t i = 0; i < machine->description->num_ranges; i++) {
        const vm_range_t *range = &machine->description->ranges[i];
        if (range->backing == VM_BACKING_ANONYMOUS) {
            memory_map_row_t *row = &map->rows[map->num_rows++];
            row->base = range->base;
            row->last = range->base + range->size - 1;
            row->reached_base = row->base;
            row->reached_last = row->last;
            row->rights = "";
            add_description(machine, row, range);
        }
    }
}

/** By address; a region comes before what was carved from it. */
static int compare_rows(const void *left, const void *right)
{
    const memory_map_row_t *a = left;
    const memory_map_row_t *b = right;

    if (a->base != b->base) {
        return a->base < b->base ? -1 : 1;
    }
    return a->last == b->last ? 0 : a->last > b->last ? -1 : 1;
}

int machine_memory_map(machine_t *machine, memory_map_t *map)
{
    const vm_description_t *description = machine->description;
    size_t count = description->num_ranges;
    vm_memory_reservation_t *reservation = NULL;

    hosted_system_enter(machine->system);
    while ((reservation = guestmem_next_reservation(machine->vm, reservation)) != NULL) {
        count++;
    }
    *map = (memory_map_t){
        .title = description->model != NULL  ? description->model
                 : description->name != NULL ? description->name
                                             : description->file,
        .name = description->name,
        .board = machine->host->board_file,
        .rows = calloc(count + 1, sizeof(*map->rows)),
    };
    if (map->rows == NULL) {
        return -1;
    }
    if (strrchr(map->board, '/') != NULL) {
        map->board = strrchr(map->board, '/') + 1;
    }
    add_regions(machine, map);
    while ((reservation = guestmem_next_reservation(machine->vm, reservation)) != NULL) {
        add_reservation(machine, reservation, &map->rows[map->num_rows++]);
    }
    qsort(map->rows, map->num_rows, sizeof(*map->rows), compare_rows);
    return 0;
}

memory_map_t *machine_memory_maps(machine_t *machine, size_t *count)
{
    memory_map_t *maps = calloc(machine->host->file->num_vms, sizeof(*maps));

    *count = 0;
    for (machine_t *m = machine->host->first; maps != NULL && m != NULL; m = m->next) {
        if (machine_memory_map(m, &maps[*count]) != 0) {
            memory_maps_free(maps, *count);
            return NULL;
        }
        ++*count;
    }
    return maps;
}
