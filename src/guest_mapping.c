/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Mapping is in two passes: acquire all frames, as a list of runs, then map the runs. Whatever
 * fails in either is undone in reverse, by steps that cannot fail.
 */

#include <inttypes.h>
#include "arch_paging.h"
#include "guest_mapping.h"
#include "memory.h"

/* Release the frames of runs that are not mapped, and the runs; the first is the newest. An
 * allocator that gets memory back in reverse has its smallest pieces first, and need not break
 * large ones. */
static void discard_runs(vm_memory_t *memory, frame_run_t *run)
{
    while (run != NULL) {
        frame_run_t *older = run->older;
        frame_source_release_run(memory, run);
        frame_run_destroy(&memory->heap, run);
        run = older;
    }
}

/* Add a frame to the runs, which own it then; on failure it is released. */
static int add_frame(vm_memory_t *memory, const frame_source_t *source, frame_run_t **newest,
                     const frame_t *frame, uintptr_t last)
{
    if (*newest != NULL && frame_run_append(*newest, frame)) {
        return 0;
    }
    frame_run_t *run = frame_run_create(
        &memory->heap, frame, frame_source_expected(source, frame->base, frame->size_bits, last));
    if (run == NULL) {
        frame_source_release(memory, frame->guest, frame->origin, frame->size_bits);
        return memory_blame(memory, GUESTMEM_NO_HEAP, "the heap has no room for frame records");
    }
    run->older = *newest;
    *newest = run;
    return 0;
}

static int acquire_runs(vm_memory_t *memory, const frame_source_t *source, uintptr_t first,
                        uintptr_t last, frame_run_t **newest)
{
    uintptr_t gpa = first;
    for (;;) {
        frame_t frame;
        if (frame_source_acquire(memory, source, gpa, gpa, last, &frame) != 0 ||
            add_frame(memory, source, newest, &frame, last) != 0) {
            discard_runs(memory, *newest);
            return -1;
        }
        uintptr_t frame_last = frame.base + (((uintptr_t)1 << frame.size_bits) - 1);
        if (frame_last >= last) {
            return 0;
        }
        gpa = frame_last + 1;
    }
}

/* Map the runs, the newest first; on failure none is mapped and all are discarded. */
static int map_runs(vm_memory_t *memory, frame_run_t *newest)
{
    for (frame_run_t *run = newest; run != NULL; run = run->older) {
        if (guest_space_map(memory, run) != 0) {
            while (newest != run) {
                frame_run_t *older = newest->older;
                guest_space_unmap(memory, newest);
                frame_run_destroy(&memory->heap, newest);
                newest = older;
            }
            discard_runs(memory, run);
            return -1;
        }
    }
    return 0;
}

guest_mapping_fault_t guest_mapping_fault(vm_memory_t *memory, guest_mapping_t *mapping,
                                          uintptr_t gpa)
{
    size_t index;
    if (!mapping->on_fault || guest_space_find(&memory->space, gpa, &index) != NULL) {
        return GUEST_MAPPING_PRESENT;
    }
    uintptr_t first = mapping->first;
    uintptr_t last = mapping->last;
    frame_t frame;
    frame_run_t *newest = NULL;
    gpa &= ~(ARCH_PAGE_SIZE - 1);
    guest_space_hole(&memory->space, gpa, &first, &last);
    if (frame_source_acquire(memory, &mapping->source, gpa, first, last, &frame) != 0 ||
        add_frame(memory, &mapping->source, &newest, &frame,
                  frame.base + (((uintptr_t)1 << frame.size_bits) - 1)) != 0 ||
        map_runs(memory, newest) != 0) {
        mapping->on_fault = false;
        return GUEST_MAPPING_FAILED;
    }
    return GUEST_MAPPING_MAPPED;
}

guest_mapping_t *guest_mapping_create(vm_memory_t *memory, uintptr_t first, uintptr_t last,
                                      const frame_source_t *source, guestmem_map_time_t map_time)
{
    guest_mapping_t *mapping = heap_alloc(&memory->heap, sizeof(*mapping));
    if (mapping == NULL) {
        memory_blame(memory, GUESTMEM_NO_HEAP, "the heap has no room for a mapping's record");
        return NULL;
    }
    mapping->source = *source;
    mapping->first = first;
    mapping->last = last;
    mapping->on_fault = map_time == GUESTMEM_MAP_ON_FAULT;
    if (mapping->on_fault) {
        return mapping;
    }
    frame_run_t *newest = NULL;
    if (acquire_runs(memory, source, first, last, &newest) != 0 || map_runs(memory, newest) != 0) {
        heap_free(&memory->heap, mapping, sizeof(*mapping));
        return NULL;
    }
    return mapping;
}

void guest_mapping_destroy(vm_memory_t *memory, guest_mapping_t *mapping)
{
    vmm_window_close(memory, &mapping->window, mapping->first, mapping->last);
    frame_run_t *run;
    while ((run = guest_space_previous(&memory->space, mapping->first, mapping->last)) != NULL) {
        guest_space_unmap(memory, run);
        frame_run_destroy(&memory->heap, run);
    }
    heap_free(&memory->heap, mapping, sizeof(*mapping));
}
