/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Runs are kept by address. Unmapping is always followed by releasing: deleting a frame's only
 * capability unmaps it, so only frames of callers need an unmap of their own.
 */

#include <inttypes.h>
#include "arch_paging.h"
#include "frame_source.h"
#include "guest_space.h"
#include "io_space.h"
#include "memory.h"

void guest_space_init(guest_space_t *space, heap_t *heap)
{
    *space = (guest_space_t){.root = seL4_CapNull};
    range_map_init(&space->runs, heap);
    page_tables_init(&space->tables, heap);
}

void guest_space_destroy(guest_space_t *space)
{
    range_map_destroy(&space->runs);
    page_tables_destroy(&space->tables);
}

static void unmap_frames(vm_memory_t *memory, const frame_run_t *run, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        memory->counts.page_unmaps++;
        (void)arch_frame_unmap(run->frames[i].cap); /* of a live frame capability: cannot fail */
    }
}

static int map_frames(vm_memory_t *memory, const frame_run_t *run)
{
    for (size_t i = 0; i < run->count; i++) {
        uintptr_t gpa = frame_run_gpa(run, i);
        memory->counts.page_maps++;
        seL4_Error error = arch_frame_map(run->frames[i].cap, memory->space.root, gpa, run->rights,
                                          run->cacheable);
        if (error != seL4_NoError) {
            unmap_frames(memory, run, i);
            return memory_blame_kernel(memory, error, "could not map the frame for GPA 0x%" PRIxPTR,
                                       gpa);
        }
    }
    return 0;
}

/* Map the frames of a run in the guest and its IO spaces. */
static int map_run(vm_memory_t *memory, const frame_run_t *run)
{
    if (map_frames(memory, run) != 0) {
        return -1;
    }
    if (io_spaces_map(memory, run) != 0) {
        unmap_frames(memory, run, run->count);
        return -1;
    }
    return 0;
}

int guest_space_map(vm_memory_t *memory, frame_run_t *run)
{
    guest_space_t *space = &memory->space;
    if (range_map_prepare(&space->runs, run->base) != 0) {
        return memory_blame(memory, GUESTMEM_NO_HEAP,
                            "the heap has no room for a mapping's record");
    }
    if (page_tables_acquire(memory, run->base, run->count, run->size_bits) != 0) {
        range_map_cancel(&space->runs);
        return -1;
    }
    if (map_run(memory, run) != 0) {
        page_tables_release(memory, run->base, run->count, run->size_bits);
        range_map_cancel(&space->runs);
        return -1;
    }
    range_map_insert(&space->runs, run->base, frame_run_last(run), run);
    space->frames[arch_frame_counter(run->size_bits)] += run->count;
    return 0;
}

void guest_space_unmap(vm_memory_t *memory, frame_run_t *run)
{
    guest_space_t *space = &memory->space;
    range_map_remove(&space->runs, run->base);
    space->frames[arch_frame_counter(run->size_bits)] -= run->count;
    io_spaces_unmap(memory, run);
    if (run->origin == FRAME_ORIGIN_CALLER) {
        unmap_frames(memory, run, run->count);
    }
    frame_source_release_run(memory, run);
    page_tables_release(memory, run->base, run->count, run->size_bits);
}

frame_run_t *guest_space_find(const guest_space_t *space, uintptr_t gpa, size_t *index)
{
    range_map_entry_t entry;
    if (!range_map_find(&space->runs, gpa, &entry)) {
        return NULL;
    }
    frame_run_t *run = entry.value;
    *index = (size_t)((gpa - run->base) >> run->size_bits);
    return run;
}

frame_run_t *guest_space_next(const guest_space_t *space, uintptr_t gpa, uintptr_t last)
{
    range_map_entry_t entry;
    return range_map_overlap(&space->runs, gpa, last, &entry) ? entry.value : NULL;
}

frame_run_t *guest_space_previous(const guest_space_t *space, uintptr_t first, uintptr_t gpa)
{
    range_map_entry_t entry;
    return range_map_previous(&space->runs, gpa, &entry) && entry.last >= first ? entry.value
                                                                                : NULL;
}

void guest_space_hole(const guest_space_t *space, uintptr_t gpa, uintptr_t *first, uintptr_t *last)
{
    range_map_entry_t entry;
    if (range_map_previous(&space->runs, gpa, &entry) && entry.last >= *first) {
        *first = entry.last + 1;
    }
    if (range_map_next(&space->runs, gpa, &entry) && entry.base <= *last) {
        *last = entry.base - 1;
    }
}
