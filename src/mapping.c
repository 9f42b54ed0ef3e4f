/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Mapping is in three passes: acquire all frames, as a list of runs; clear what the kernel did not;
 * map the runs. Whatever fails is undone, by steps that cannot fail.
 */

#include <assert.h>
#include <inttypes.h>
#include "mapping.h"

/* Acquire frames for all of a mapping. An iterator may hand them out in any order: it is asked
 * until they are as many bytes as the mapping, and that they do not overlap is seen when they are
 * mapped. */
/*@ requires gm_memory_ok(memory) && \valid_read(mapping) && \valid(newest);
    requires !gm_is_run(\base_addr(newest)) && \base_addr(newest) != \base_addr(memory) &&
        \base_addr(newest) != \base_addr(memory->vm);
    requires !gm_is_run(\base_addr(mapping)) && \base_addr(mapping) != \base_addr(memory) &&
        \base_addr(mapping) != \base_addr(newest);
    requires mapping->first <= mapping->last < UINTPTR_MAX;
    requires *newest == \null && gm_list_whole(*newest);
    requires own: mapping->source.backing == GUESTMEM_FREE_FRAMES;
    assigns GM_RUNS, *newest, memory->heap, memory->counts, memory->failure, memory->untyped,
        gm_slots, gm_objects, gm_records, gm_refused, gm_list, gm_first;
    ensures \result == 0 || \result == -1;
    ensures gm_list_whole(*newest);
    ensures gm_refused >= \old(gm_refused);
    ensures gm_records == \old(gm_records) + gm_runs(*newest);
    ensures gm_refused == \old(gm_refused) ==>
        gm_slots == \old(gm_slots) + gm_frames(*newest) &&
        gm_objects == \old(gm_objects) + gm_frames(*newest);
    ensures \result == 0 ==> *newest != \null && gm_run_ok(*newest) &&
        gm_refused == \old(gm_refused) && gm_list_joined &&
        gm_first == \old(mapping->first) && gm_run_end(*newest) == \old(mapping->last) + 1;
 */
static int acquire_frames(gm_memory_t *memory, const gm_mapping_t *mapping, gm_run_t **newest)
{
    uintptr_t gpa = mapping->first;
    uintptr_t last = mapping->last;
    //@ ghost gm_first = gpa;
    /*@ loop invariant gm_memory_ok(memory) && gpa <= last;
        loop invariant gm_list_joined && gm_list_end(*newest) == gpa;
        loop invariant mapping->source.backing == GUESTMEM_FREE_FRAMES;
        loop invariant memory->vm == \at(memory->vm, Pre);
        loop invariant gm_list_whole(*newest) && (*newest != \null ==> gm_run_ok(*newest));
        loop invariant gm_refused == \at(gm_refused, Pre);
        loop invariant gm_records == \at(gm_records, Pre) + gm_runs(*newest);
        loop invariant gm_slots == \at(gm_slots, Pre) + gm_frames(*newest) &&
            gm_objects == \at(gm_objects, Pre) + gm_frames(*newest);
        loop assigns gpa, GM_RUNS, *newest, memory->heap, memory->counts, memory->failure,
            memory->untyped, gm_slots, gm_objects, gm_records, gm_refused, gm_list;
        loop variant last - gpa;
     */
    for (;;) {
        uintptr_t first = mapping->source.backing == GUESTMEM_CALLER ? mapping->first : gpa;
        if (gm_frame_acquire(memory, &mapping->source, gpa, first, last, last, newest) != 0) {
            return -1;
        }
        //@ assert memory->vm == \at(memory->vm, LoopCurrent);
        //@ assert memory->vm->vka == \at(memory->vm->vka, LoopCurrent);
        //@ assert mapping->source.backing == GUESTMEM_FREE_FRAMES;
        //@ assert gm_list_ok(*newest);
        uintptr_t size = (uintptr_t)1 << (*newest)->size_bits;
        if (size - 1 == last - gpa) {
            return gm_run_fit(memory, newest);
        }
        if (size - 1 > last - gpa) {
            //@ ghost More: ;
            gm_fail(memory, GUESTMEM_BAD_FRAME,
                    "the map iterator's frames are more than the reservation");
            /*@ assert \forall gm_run_t *run; gm_listed(gm_list, run) ==>
                gm_run_same{More, Here}(run);
             */
            /*@ assert \forall gm_run_t *run, integer i; gm_listed(gm_list, run) &&
                    0 <= i < run->count ==>
                    run->frames[i].cookie == \at(run->frames[i].cookie, More);
             */
            //@ assert \forall gm_run_t *run; gm_listed(gm_list, run) ==> gm_run_valid(run);
            //@ assert \forall gm_run_t *run; gm_listed(gm_list, run) ==> gm_run_own(run);
            //@ assert gm_list_whole(*newest);
            return -1;
        }
        gpa += size;
    }
}

/* The same, without any runs after a failure. */
/*@ requires gm_memory_ok(memory) && \valid_read(mapping) && \valid(newest);
    requires !gm_is_run(\base_addr(newest)) && \base_addr(newest) != \base_addr(memory) &&
        \base_addr(newest) != \base_addr(memory->vm);
    requires !gm_is_run(\base_addr(mapping)) && \base_addr(mapping) != \base_addr(memory) &&
        \base_addr(mapping) != \base_addr(newest);
    requires mapping->first <= mapping->last < UINTPTR_MAX;
    requires own: mapping->source.backing == GUESTMEM_FREE_FRAMES;
    assigns GM_RUNS, *newest, memory->heap, memory->counts, memory->failure, memory->untyped,
        gm_slots, gm_objects, gm_records, gm_refused, gm_list, gm_first;
    ensures \result == 0 || \result == -1;
    ensures gm_refused >= \old(gm_refused);
    ensures \result == 0 ==> gm_list_joined && gm_first == \old(mapping->first) &&
        gm_run_end(*newest) == \old(mapping->last) + 1; // its frames are the mapping's pages
    ensures \result == 0 ==> *newest != \null && gm_list_whole(*newest) && gm_run_ok(*newest) &&
        gm_records == \old(gm_records) + gm_runs(*newest) && gm_refused == \old(gm_refused) &&
        gm_slots == \old(gm_slots) + gm_frames(*newest) &&
        gm_objects == \old(gm_objects) + gm_frames(*newest);
    ensures \result == -1 ==> gm_records == \old(gm_records);
    ensures \result == -1 && gm_refused == \old(gm_refused) ==>
        gm_slots == \old(gm_slots) && gm_objects == \old(gm_objects);
 */
static int acquire_runs(gm_memory_t *memory, const gm_mapping_t *mapping, gm_run_t **newest)
{
    *newest = NULL;
    //@ ghost gm_list_begin();
    if (acquire_frames(memory, mapping, newest) == 0) {
        return 0;
    }
    gm_frames_discard(memory, *newest);
    return -1;
}

/* Unmap the runs of a list before `end`, and discard them. */
/*@ requires gm_space_ok(memory) && gm_list_ok(newest) && (newest != \null ==> gm_run_ok(newest));
    requires end == \null || gm_listed(gm_list, end);
    requires gm_runs(end) <= gm_runs(newest);
    requires own: memory->iospaces == \null;
    assigns GM_SPACE(memory);
    ensures gm_space_ok(memory) && gm_refused >= \old(gm_refused);
    ensures gm_runs_same{Pre, Post};
    ensures gm_records - gm_tables ==
        \old(gm_records - gm_tables - (gm_runs(newest) - gm_runs(end)));
    ensures gm_recorded == \old(gm_recorded - (gm_runs(newest) - gm_runs(end)));
    ensures gm_uses(gm_moment) ==
        \old(gm_uses(gm_moment) - (gm_list_uses(newest) - gm_list_uses(end)));
    ensures gm_refused == \old(gm_refused) ==>
        gm_mapped == \old(gm_mapped - (gm_frames(newest) - gm_frames(end))) &&
        gm_slots - gm_tables == \old(gm_slots - gm_tables - (gm_frames(newest) - gm_frames(end))) &&
        gm_objects - gm_tables ==
            \old(gm_objects - gm_tables - (gm_frames(newest) - gm_frames(end)));
 */
static void unmap_runs(gm_memory_t *memory, gm_run_t *newest, gm_run_t *end)
{
    gm_run_t *run = newest;
    //@ ghost gm_list_is_one(newest);
    /*@ loop invariant gm_space_ok(memory) && memory->iospaces == \null;
        loop invariant gm_runs_same{Pre, Here} && gm_runs(end) <= gm_runs(run);
        loop invariant run != \null ==> gm_listed(gm_list, run) &&
            \let r = run; \at(r->count, Pre) > 0;
        loop invariant gm_refused >= \at(gm_refused, Pre);
        loop invariant gm_records - gm_tables - gm_runs(run) ==
            \at(gm_records - gm_tables - gm_runs(newest), Pre);
        loop invariant gm_recorded - gm_runs(run) == \at(gm_recorded - gm_runs(newest), Pre);
        loop invariant gm_uses(gm_moment) - gm_list_uses{Pre}(run) ==
            \at(gm_uses(gm_moment) - gm_list_uses(newest), Pre);
        loop invariant gm_refused == \at(gm_refused, Pre) ==>
            gm_mapped - gm_frames{Pre}(run) == \at(gm_mapped - gm_frames(newest), Pre) &&
            gm_slots - gm_tables - gm_frames{Pre}(run) ==
                \at(gm_slots - gm_tables - gm_frames(newest), Pre) &&
            gm_objects - gm_tables - gm_frames{Pre}(run) ==
                \at(gm_objects - gm_tables - gm_frames(newest), Pre);
        loop assigns run, GM_SPACE(memory);
        loop variant gm_runs(run);
     */
    while (run != end) {
        //@ assert gm_runs(end) < gm_runs(run);
        //@ assert run != \null && gm_run_valid{Pre}(run) && gm_run_own{Pre}(run);
        /*@ assert \let r = run; r->older == \at(r->older, Pre) && r->base == \at(r->base, Pre) &&
                r->count == \at(r->count, Pre) && r->size_bits == \at(r->size_bits, Pre);
         */
        //@ assert gm_is_placed(run->base, run->count, run->size_bits);
        //@ assert gm_run_valid(run) && gm_run_ok(run);
        //@ assert gm_run_own(run);
        gm_run_t *older = run->older;
        gm_guest_space_unmap(memory, run);
        //@ assert gm_runs_same{Pre, Here};
        run = older;
    }
}

/* Clear the runs of free memory that the kernel did not, and map them all, the newest first. On
 * failure none is mapped, and all are discarded. */
/*@ requires gm_space_ok(memory) && \valid_read(source) && gm_list_whole(newest);
    requires newest != \null && gm_run_ok(newest);
    requires own: source->backing == GUESTMEM_FREE_FRAMES && source->use == GM_USE_ANY &&
        memory->iospaces == \null;
    assigns GM_SPACE(memory);
    ensures \result == 0 || \result == -1;
    ensures gm_space_ok(memory) && gm_refused >= \old(gm_refused);
    ensures \result == 0 ==> gm_refused == \old(gm_refused) &&
        gm_mapped == \old(gm_mapped + gm_frames(newest)) &&
        gm_records - gm_tables == \old(gm_records - gm_tables) &&
        gm_slots - gm_tables == \old(gm_slots - gm_tables) &&
        gm_objects - gm_tables == \old(gm_objects - gm_tables);
    ensures \result == 0 ==> gm_recorded == \old(gm_recorded + gm_runs(newest));
    ensures \result == -1 ==> gm_recorded == \old(gm_recorded) &&
        gm_uses(gm_moment) == \old(gm_uses(gm_moment)) &&
        gm_records == \old(gm_records - gm_runs(newest));
    ensures \result == -1 && gm_refused == \old(gm_refused) ==> gm_mapped == \old(gm_mapped) &&
        gm_slots == \old(gm_slots - gm_frames(newest)) &&
        gm_objects == \old(gm_objects - gm_frames(newest));
 */
static int map_runs(gm_memory_t *memory, const gm_frame_source_t *source, gm_run_t *newest)
{
    bool clear = source->use == GM_USE_RAM || source->backing == GUESTMEM_MAYBE_DEVICE;
    /*@ loop invariant run == newest;
        loop assigns \nothing;
     */
    for (const gm_run_t *run = newest; run != NULL && clear; run = run->older) {
        if (run->device && gm_window_clear(memory, run) != 0) {
            gm_frames_discard(memory, newest);
            return -1;
        }
    }
    //@ ghost gm_list_is_one(newest);
    /*@ loop invariant gm_space_ok(memory) && memory->iospaces == \null;
        loop invariant gm_runs_same{Pre, Here} && gm_runs(run) <= gm_runs(newest);
        loop invariant run != \null ==> gm_listed(gm_list, run) &&
            \let r = run; \at(r->count, Pre) > 0;
        loop invariant gm_refused == \at(gm_refused, Pre);
        loop invariant gm_recorded + gm_runs(run) == \at(gm_recorded + gm_runs(newest), Pre);
        loop invariant gm_mapped + gm_frames{Pre}(run) == \at(gm_mapped + gm_frames(newest), Pre);
        loop invariant gm_uses(gm_moment) + gm_list_uses{Pre}(run) ==
            \at(gm_uses(gm_moment) + gm_list_uses(newest), Pre);
        loop invariant gm_slots - gm_tables == \at(gm_slots - gm_tables, Pre) &&
            gm_objects - gm_tables == \at(gm_objects - gm_tables, Pre) &&
            gm_records - gm_tables == \at(gm_records - gm_tables, Pre);
        loop assigns run, GM_SPACE(memory);
        loop variant gm_runs(run);
     */
    for (gm_run_t *run = newest; run != NULL; run = run->older) {
        //@ assert gm_run_valid{Pre}(run) && gm_run_own{Pre}(run);
        /*@ assert \let r = run; r->older == \at(r->older, Pre) && r->base == \at(r->base, Pre) &&
                r->count == \at(r->count, Pre) && r->size_bits == \at(r->size_bits, Pre);
         */
        //@ assert gm_is_placed(run->base, run->count, run->size_bits);
        //@ assert gm_run_valid(run) && gm_run_ok(run);
        if (gm_guest_space_map(memory, run) != 0) {
            //@ assert gm_runs_same{Pre, Here};
            //@ assert \forall gm_run_t *r; gm_listed(gm_list, r) ==> gm_run_valid(r);
            //@ assert \forall gm_run_t *r; gm_listed(gm_list, r) ==> gm_run_same{Pre, Here}(r);
            //@ assert \forall gm_run_t *r; gm_listed(gm_list, r) ==> gm_run_own(r);
            //@ assert gm_list_linked(newest);
            unmap_runs(memory, newest, run);
            //@ assert gm_runs_same{Pre, Here};
            //@ assert \forall gm_run_t *r; gm_listed(gm_list, r) ==> gm_run_valid(r);
            //@ assert \forall gm_run_t *r; gm_listed(gm_list, r) ==> gm_run_same{Pre, Here}(r);
            //@ assert \forall gm_run_t *r; gm_listed(gm_list, r) ==> gm_run_own(r);
            //@ assert gm_list_linked(run);
            //@ assert gm_uses(gm_moment) == \at(gm_uses(gm_moment), Pre);
            //@ assert gm_tables == \at(gm_tables, Pre);
            gm_frames_discard(memory, run);
            //@ assert memory->vm == \at(memory->vm, Pre);
            //@ assert gm_memory_ok(memory);
            return -1;
        }
        //@ assert gm_runs_same{Pre, Here};
    }
    return 0;
}

/*@ ghost
    /@ assigns \nothing;
       ensures !gm_is_run(\base_addr(list)); // a local variable is in no block of the heap
     @/
    void gm_is_local_list(gm_run_t **list);
*/

/* Acquire all frames of a mapping, and map them. */
/*@ requires gm_space_ok(memory) && gm_mapping_ok(mapping);
    requires \base_addr(mapping) != \base_addr(memory);
    requires own: mapping->source.backing == GUESTMEM_FREE_FRAMES &&
        mapping->source.use == GM_USE_ANY && memory->iospaces == \null;
    assigns GM_RUNS, GM_SPACE(memory), memory->untyped, gm_list, gm_first;
    ensures \result == 0 || \result == -1;
    ensures memory->vm == \old(memory->vm) && memory->vm->vka == \old(memory->vm->vka);
    ensures gm_space_ok(memory) && gm_refused >= \old(gm_refused);
    ensures \result == 0 ==> gm_refused == \old(gm_refused) && gm_mapped > \old(gm_mapped) &&
        gm_slots - gm_tables - gm_mapped == \old(gm_slots - gm_tables - gm_mapped) &&
        gm_objects - gm_tables - gm_mapped == \old(gm_objects - gm_tables - gm_mapped);
    ensures \result == 0 ==> gm_records - gm_tables - gm_recorded ==
        \old(gm_records - gm_tables - gm_recorded);
    ensures \result == -1 ==> gm_recorded == \old(gm_recorded) &&
        gm_tables == \old(gm_tables) && gm_records == \old(gm_records);
    ensures \result == -1 && gm_refused == \old(gm_refused) ==> gm_mapped == \old(gm_mapped) &&
        gm_slots == \old(gm_slots) && gm_objects == \old(gm_objects);
 */
static int acquire_and_map(gm_memory_t *memory, const gm_mapping_t *mapping)
{
    gm_run_t *newest;
    //@ ghost gm_is_local_list(&newest);
    int error = acquire_runs(memory, mapping, &newest);
    //@ assert memory->vm == \at(memory->vm, Pre) && memory->vm->vka == \at(memory->vm->vka, Pre);
    //@ assert gm_memory_ok(memory);
    if (error != 0) {
        return -1;
    }
    //@ ghost gm_list_is_one(newest);
    return map_runs(memory, &mapping->source, newest);
}

/* The record of a mapping. Its contract is assumed, and that of the next: they call the heap. */
/*@ requires gm_memory_ok(memory) && \valid_read(source);
    assigns memory->heap, memory->failure, gm_records;
    ensures \result == \null ==> gm_records == \old(gm_records);
    ensures \result != \null ==> gm_records == \old(gm_records) + 1 && \valid(\result) &&
        !gm_is_run(\base_addr(\result)) && \base_addr(\result) != \base_addr(memory) &&
        \result->source.backing == \old(source->backing) &&
        \result->source.use == \old(source->use) &&
        \result->first == first && \result->last == last;
 */
static gm_mapping_t *make_record(gm_memory_t *memory, const gm_frame_source_t *source,
                                 uintptr_t first, uintptr_t last, bool on_fault)
{
    gm_mapping_t *mapping = gm_heap_alloc(&memory->heap, sizeof(*mapping));
    if (mapping == NULL) {
        gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for a mapping's record");
        return NULL;
    }
    *mapping =
        (gm_mapping_t){.source = *source, .first = first, .last = last, .on_fault = on_fault};
    return mapping;
}

/*@ requires gm_memory_ok(memory);
    assigns memory->heap, gm_records;
    ensures gm_records == \old(gm_records) - 1;
 */
static void free_record(gm_memory_t *memory, gm_mapping_t *mapping)
{
    gm_heap_free(&memory->heap, mapping, sizeof(*mapping));
}

gm_mapping_t *gm_mapping_make(gm_memory_t *memory, const gm_frame_source_t *source, uintptr_t first,
                              uintptr_t last, bool on_fault)
{
    gm_mapping_t *mapping = make_record(memory, source, first, last, on_fault);
    if (mapping == NULL || on_fault) {
        return mapping;
    }
    if (acquire_and_map(memory, mapping) != 0) {
        free_record(memory, mapping);
        return NULL;
    }
    return mapping;
}

/* Acquire frames for the pages of `[gpa, end]` that have none, which begin and end in
 * `[first, last]`. */
static int acquire_missing(gm_memory_t *memory, const gm_mapping_t *mapping, uintptr_t gpa,
                           uintptr_t end, uintptr_t first, uintptr_t last, gm_run_t **newest)
{
    for (gpa = gm_page_of(gpa);; first = ++gpa) {
        const gm_run_t *run = gm_guest_space_run(memory, gpa);
        if (run == NULL) {
            uintptr_t from = first;
            uintptr_t to = last;
            gm_guest_space_hole(memory, gpa, &from, &to);
            if (gm_frame_acquire(memory, &mapping->source, gpa, from, to, to < end ? to : end,
                                 newest) != 0) {
                return -1;
            }
            run = *newest;
            if (gpa < gm_run_gpa(run, run->count - 1) || gpa > gm_run_last(run)) {
                return gm_fail(memory, GUESTMEM_BAD_FRAME,
                               "the map iterator's frame at 0x%" PRIxPTR
                               " does not hold GPA 0x%" PRIxPTR,
                               gm_run_gpa(run, run->count - 1), gpa);
            }
        }
        gpa = gm_run_last(run);
        if (gpa >= end) {
            return *newest != NULL ? gm_run_fit(memory, newest) : 0;
        }
    }
}

int gm_mapping_fill(gm_memory_t *memory, gm_mapping_t *mapping, uintptr_t gpa, uintptr_t end,
                    uintptr_t first, uintptr_t last, gm_run_t **filled)
{
    gm_run_t *newest = NULL;
    if (acquire_missing(memory, mapping, gpa, end, first, last, &newest) != 0) {
        gm_frames_discard(memory, newest);
        return -1;
    }
    if (map_runs(memory, &mapping->source, newest) != 0) {
        return -1;
    }
    for (gm_run_t *run = newest; run != NULL; run = newest) {
        newest = run->older;
        if (mapping->written != NULL) {
            gm_mapping_note(mapping, run->base, gm_run_last(run));
            gm_mapping_mark(mapping, mapping->given, run->base, gm_run_last(run), true);
        }
        if (filled != NULL) {
            run->older = *filled;
            *filled = run;
        }
    }
    return 0;
}

void gm_mapping_empty(gm_memory_t *memory, gm_run_t *filled)
{
    unmap_runs(memory, filled, NULL);
}

/* Check that a frame can be given back, and got again: that it is the library's, that the allocator
 * takes it, and that it is memory. */
static int check_discardable(gm_memory_t *memory, const gm_mapping_t *mapping, const gm_run_t *run,
                             size_t index)
{
    const char *why =
        run->caller ? "is the caller's, who frees it"
        : mapping->source.backing == GUESTMEM_SHARED
            ? "is shared with its owner; free the reservation instead"
        : run->device && mapping->source.backing == GUESTMEM_UNTYPED && !run->cacheable
            ? "is a device's"
        : run->frames[index].cookie == 0 ? "has memory that the allocator does not take back"
                                         : NULL;
    return why == NULL ? 0
                       : gm_fail(memory, GUESTMEM_BAD_FRAME, "the frame at GPA 0x%" PRIxPTR " %s",
                                 gm_run_gpa(run, index), why);
}

/* The index of a run's first frame that begins at or above `gpa`; how many it has if none does. */
/*@ requires gm_run_ok(run) && gpa < gm_run_end(run);
    assigns \nothing;
    ensures \result <= run->count && gpa <= run->base + \result * (1 << run->size_bits);
    ensures \result > 0 ==> run->base + (\result - 1) * (1 << run->size_bits) < gpa;
 */
static size_t index_from(const gm_run_t *run, uintptr_t gpa)
{
    return gpa > run->base ? gm_run_index(run, gpa - 1) + 1 : 0;
}

/* Find the frames that lie wholly in `[*gpa, *end]`, and narrow that to them.
 * @return 0, with `*size` bytes of them; -1 after gm_fail() */
static int find_discardable(gm_memory_t *memory, const gm_mapping_t *mapping, uintptr_t *gpa,
                            uintptr_t *end, uintptr_t *size)
{
    uintptr_t first = *gpa;
    uintptr_t last = *end;
    *size = 0;
    for (const gm_run_t *run = gm_guest_space_next(memory, first, last); run != NULL;
         run = gm_guest_space_after(memory, run, last)) {
        for (size_t i = index_from(run, first); i < run->count && gm_run_gpa_last(run, i) <= last;
             i++) {
            if (check_discardable(memory, mapping, run, i) != 0) {
                return -1;
            }
            *gpa = *size == 0 ? gm_run_gpa(run, i) : *gpa;
            *end = gm_run_gpa_last(run, i);
            *size += (uintptr_t)1 << run->size_bits;
        }
    }
    return 0;
}

int gm_mapping_discard(gm_memory_t *memory, gm_mapping_t *mapping, uintptr_t gpa, uintptr_t end,
                       uintptr_t *size)
{
    gm_cuts_t cuts;
    gm_range_t run;
    if (find_discardable(memory, mapping, &gpa, &end, size) != 0) {
        return -1;
    }
    if (*size == 0) {
        return 0;
    }
    if (gm_guest_space_cut(memory, gpa, end, &cuts) != 0) {
        return -1;
    }
    gm_window_drop(memory, &mapping->window, mapping->first, mapping->last, gpa, end);
    while (gm_range_map_previous(&memory->runs, end, &run) && run.last >= gpa) {
        gm_guest_space_unmap(memory, run.value);
    }
    if (mapping->written != NULL) {
        gm_mapping_note(mapping, gpa, end);
        gm_mapping_mark(mapping, mapping->given, gpa, end, false);
    }
    mapping->refilled |= memory->discarded == GUESTMEM_DISCARDED_REFILLED;
    if (mapping->source.use == GM_USE_KEPT_RAM) {
        mapping->source.use = GM_USE_RAM; /* what comes again is zeroed */
    }
    return 0;
}

/* Breaking large frames. */

/* Check that frames can be broken: that they are the library's, at no address of somebody's choice,
 * and that nobody has a pointer that would lead to the old ones. */
static int check_breakable(gm_memory_t *memory, const gm_mapping_t *mapping, const gm_run_t *run)
{
    uintptr_t gpa = run->base;
    const char *why = run->caller   ? "a caller's are not broken into small ones: the frames at"
                      : run->shared ? "shared ones are not broken into small ones: the frames at"
                      : mapping->source.backing == GUESTMEM_UNTYPED
                          ? "what is at a physical address cannot move to small ones: the frames at"
                      : gm_window_next_pointed(memory, &mapping->window, &gpa, gm_run_last(run))
                          ? "the VMM has a pointer to, so they cannot move: the frames at"
                          : NULL;
    return why == NULL ? 0
                       : gm_fail_range(memory, GUESTMEM_BAD_FRAME, run->base, gm_run_last(run),
                                       NULL, why, NULL);
}

/* Acquire small frames for a run's addresses, as one run with what is in it. */
static int acquire_broken(gm_memory_t *memory, const gm_mapping_t *mapping, gm_run_t *run,
                          gm_run_t **broken)
{
    gm_frame_source_t source = mapping->source;
    source.backing = GUESTMEM_FREE_FRAMES;
    source.largest_bits = ARCH_PAGE_BITS;
    source.rights = run->rights;
    uintptr_t last = gm_run_last(run);
    *broken = NULL;
    for (uintptr_t gpa = run->base;; gpa += ARCH_PAGE_SIZE) {
        if (gm_frame_acquire(memory, &source, gpa, gpa, last, last, broken) != 0) {
            break;
        }
        if (gm_run_last(*broken) == last) {
            if (gm_window_copy(memory, run, *broken) != 0) {
                break;
            }
            return 0;
        }
    }
    gm_frames_discard(memory, *broken);
    return -1;
}

/* The lowest run of large frames of a mapping at or above `gpa`, or NULL. */
static gm_run_t *next_large(const gm_memory_t *memory, const gm_mapping_t *mapping, uintptr_t gpa)
{
    gm_run_t *run = gpa <= mapping->last ? gm_guest_space_next(memory, gpa, mapping->last) : NULL;
    while (run != NULL && run->size_bits == ARCH_PAGE_BITS) {
        run = gm_guest_space_after(memory, run, mapping->last);
    }
    return run;
}

/* Acquire all that a mapping is broken into, the highest first. */
static int acquire_all_broken(gm_memory_t *memory, const gm_mapping_t *mapping, gm_run_t **newest)
{
    gm_run_t *broken;
    for (gm_run_t *run = next_large(memory, mapping, mapping->first); run != NULL;
         run = next_large(memory, mapping, gm_run_last(run) + 1)) {
        if (acquire_broken(memory, mapping, run, &broken) != 0) {
            gm_frames_discard(memory, *newest);
            return -1;
        }
        broken->older = *newest;
        *newest = broken;
    }
    return 0;
}

/* Unmap from the window what is in it of a run that was replaced. */
static void drop_old(gm_memory_t *memory, gm_mapping_t *mapping, gm_run_t *old)
{
    uintptr_t last = gm_run_last(old);
    gm_run_t *run = gm_guest_space_run(memory, old->base);
    gm_range_map_set(&memory->runs, old->base, last, old);
    gm_window_drop(memory, &mapping->window, mapping->first, mapping->last, old->base, last);
    gm_range_map_set(&memory->runs, old->base, last, run);
}

int gm_mapping_check_break(gm_memory_t *memory, const gm_mapping_t *mapping)
{
    for (const gm_run_t *run = next_large(memory, mapping, mapping->first); run != NULL;
         run = next_large(memory, mapping, gm_run_last(run) + 1)) {
        if (check_breakable(memory, mapping, run) != 0) {
            return -1;
        }
    }
    return 0;
}

int gm_mapping_break(gm_memory_t *memory, gm_mapping_t *mapping)
{
    gm_run_t *newest = NULL;
    gm_run_t *old = NULL; /* what was broken, the last one first */
    if (acquire_all_broken(memory, mapping, &newest) != 0) {
        return -1;
    }
    for (gm_run_t *run = newest; run != NULL; run = run->older) {
        gm_run_t *large = gm_guest_space_run(memory, run->base);
        assert(large != NULL);
        if (gm_guest_space_swap(memory, large, run) != 0) {
            for (; old != NULL; old = old->older) {
                gm_guest_space_swap_back(memory, old, gm_guest_space_run(memory, old->base));
            }
            gm_frames_discard(memory, newest);
            return -1;
        }
        large->older = old;
        old = large;
    }
    for (gm_run_t *run = old; run != NULL; run = run->older) {
        drop_old(memory, mapping, run);
    }
    gm_frames_discard(memory, old);
    return 0;
}

/* The highest frames first. */
void gm_mapping_destroy(gm_memory_t *memory, gm_mapping_t *mapping)
{
    gm_range_t run;
    gm_window_close(memory, &mapping->window, mapping->first, mapping->last);
    while (gm_range_map_previous(&memory->runs, mapping->last, &run) &&
           run.last >= mapping->first) {
        gm_guest_space_unmap(memory, run.value);
    }
    if (mapping->written != NULL) {
        gm_heap_free(&memory->heap, mapping->written, 2 * gm_mapping_written_bytes(mapping));
        memory->tracked--;
    }
    free_record(memory, mapping);
}
