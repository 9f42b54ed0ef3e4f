/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The guest's address space: which frames are mapped where. Every mapping of the guest is made
 * here, so what is occupied is known before the kernel is called (it would replace silently).
 */

#include "frame.h"

/*@ // The i-th range of chunk c of the mapped runs.
    logic gm_run_t *gm_run_at(gm_memory_t *memory, integer c, integer i) =
        (gm_run_t *)memory->runs.slots[c].chunk->rest[i].value;

    // The runs that are mapped are well-formed, and recorded with their addresses.
    predicate gm_runs_ok(gm_memory_t *memory) =
        \valid_read(memory) && gm_range_map_ok(&memory->runs) &&
        \forall integer c, i; gm_range_is(&memory->runs, c, i) ==>
            gm_run_ok(gm_run_at(memory, c, i)) &&
            gm_run_at(memory, c, i)->base == gm_range_base(&memory->runs, c, i) &&
            gm_run_end(gm_run_at(memory, c, i)) == gm_range_last(&memory->runs, c, i) + 1;

    // No run has an address of [gpa, last].
    predicate gm_runs_free(gm_memory_t *memory, integer gpa, integer last) =
        gpa <= last ==> \forall integer c, i; gm_range_is(&memory->runs, c, i) ==>
            last < gm_range_base(&memory->runs, c, i) ||
            gm_range_last(&memory->runs, c, i) < gpa;
 */

/*@ // What the mapped runs' records have can be read.
    predicate gm_run_readable(gm_run_t *run) =
        \valid_read(&run->restricted) && \valid_read(&run->cacheable) &&
        \valid_read(&run->num_in_window) && \valid_read(run->frames + (0 .. run->count - 1));

    predicate gm_runs_readable(gm_memory_t *memory) =
        \forall integer c, i; gm_range_is(&memory->runs, c, i) ==>
            gm_run_readable(gm_run_at(memory, c, i));
 */

/*@ ghost
    /@ requires gm_memory_ok(memory);
       assigns \nothing; // nobody has proved that the map stays in order
       ensures gm_runs_ok(memory) && gm_runs_readable(memory);
     @/
    void gm_runs_are_ok(gm_memory_t *memory);
*/

/*@ // What holds between the calls.
    predicate gm_space_ok(gm_memory_t *memory) =
        gm_memory_ok(memory) && gm_tables_ok && gm_reserved == 0;
 */

// clang-format off
// What is written by what maps and unmaps. What the maps have of the heap is theirs alone.
#define GM_SPACE(memory) (memory)->runs, (memory)->tables[0 .. ARCH_NUM_TABLE_LEVELS - 1], \
    (memory)->heap, (memory)->counts, (memory)->failure, gm_slots, gm_objects, gm_records, \
    gm_mapped, gm_tables, gm_recorded, gm_reserved, gm_refused, gm_moment
// clang-format on

/**
 * Map all frames of a run, with the tables that they need, in the guest and its IO spaces.
 *
 * @return 0; -1 after gm_fail(), and nothing is mapped
 * @see gm_guest_space_unmap
 */
/*@ requires gm_space_ok(memory) && gm_run_valid(run) && gm_run_ok(run);
    requires gm_is_frame(run->size_bits);
    requires own: memory->iospaces == \null;
    assigns GM_SPACE(memory);
    ensures \result == 0 || \result == -1;
    ensures gm_space_ok(memory) && gm_refused >= \old(gm_refused);
    ensures gm_runs_same{Pre, Post};
    ensures \result == 0 ==> gm_refused == \old(gm_refused);
    ensures \result == 0 ==> gm_mapped == \old(gm_mapped) + run->count;
    ensures \result == 0 ==> gm_uses(gm_moment) == \old(gm_uses(gm_moment)) + gm_run_uses(run);
    ensures \result == -1 ==> gm_uses(gm_moment) == \old(gm_uses(gm_moment));
    ensures gm_recorded == \old(gm_recorded) + (\result == 0 ? 1 : 0);
    ensures gm_records - gm_tables == \old(gm_records - gm_tables);
    ensures gm_refused == \old(gm_refused) ==>
        gm_slots - gm_tables == \old(gm_slots - gm_tables) &&
        gm_objects - gm_tables == \old(gm_objects - gm_tables);
    ensures \result == -1 && gm_refused == \old(gm_refused) ==> gm_mapped == \old(gm_mapped);
 */
int gm_guest_space_map(gm_memory_t *memory, gm_run_t *run);

/** Unmap a run, release its frames, and free it. Cannot fail. */
/*@ requires gm_space_ok(memory) && gm_run_valid(run) && gm_run_ok(run);
    requires own: gm_run_own(run) && memory->iospaces == \null;
    assigns GM_SPACE(memory);
    ensures gm_space_ok(memory) && gm_refused >= \old(gm_refused);
    ensures gm_runs_same{Pre, Post};
    ensures gm_records - gm_tables == \old(gm_records - gm_tables) - 1;
    ensures gm_recorded == \old(gm_recorded) - 1;
    ensures gm_uses(gm_moment) == \old(gm_uses(gm_moment) - gm_run_uses(run));
    ensures gm_refused == \old(gm_refused) ==> gm_mapped == \old(gm_mapped - run->count) &&
        gm_slots - gm_tables == \old(gm_slots - gm_tables - run->count) &&
        gm_objects - gm_tables == \old(gm_objects - gm_tables - run->count);
 */
void gm_guest_space_unmap(gm_memory_t *memory, gm_run_t *run);

/** Check that `[first, last]` has frames in all pages, and cuts none. @return 0; -1 after gm_fail()
 */
/*@ requires gm_runs_ok(memory) && \valid(memory) && first <= last;
    assigns memory->failure;
    ensures \result == 0 || \result == -1;
 */
int gm_guest_space_check_whole(gm_memory_t *memory, uintptr_t first, uintptr_t last,
                               const char *advice);

/** Where runs were cut for a range. */
typedef struct gm_cuts {
    uintptr_t first;
    uintptr_t last;
    bool at_first;
    bool after_last;
} gm_cuts_t;

/**
 * Cut the runs at both ends of `[first, last]`, which are ends of frames or not mapped, so that
 * each run is inside or outside.
 *
 * @return 0; -1 after gm_fail(), and nothing has changed
 * @see gm_guest_space_join
 */
int gm_guest_space_cut(gm_memory_t *memory, uintptr_t first, uintptr_t last, gm_cuts_t *cuts);

/** Undo gm_guest_space_cut(), right after it. Cannot fail. */
void gm_guest_space_join(gm_memory_t *memory, const gm_cuts_t *cuts);

/**
 * Map a run of small frames in place of one of large frames at the same addresses, without the
 * right to write. Not for a VM with IO spaces.
 *
 * @return 0, and `large` is mapped nowhere; -1 after gm_fail(), and `large` is mapped without the
 *         right to write
 */
int gm_guest_space_swap(gm_memory_t *memory, gm_run_t *large, gm_run_t *small);

/** Undo gm_guest_space_swap(). Frames that the kernel does not map again are counted as lost. */
void gm_guest_space_swap_back(gm_memory_t *memory, gm_run_t *large, gm_run_t *small);

/** Whether the kernel, as far as is known, maps a frame again where it is mapped. */
/*@ requires \valid_read(memory);
    assigns \nothing;
    ensures \result <==> gm_arch_frame_remaps && !memory->remap_refused;
 */
static inline bool gm_guest_space_remaps(const gm_memory_t *memory)
{
    return gm_arch_frame_remaps && !memory->remap_refused;
}

/** Map a frame where it is mapped, with other rights. IO spaces are left alone.
 *  @return 0; -1 after gm_fail(): nothing has changed, or without gm_guest_space_remaps() the frame
 *          may be unmapped */
int gm_guest_space_remap(gm_memory_t *memory, const gm_run_t *run, size_t index,
                         seL4_CapRights_t rights);

/** Unmap a frame to which the guest has other rights than it should, and that the kernel does not
 *  map otherwise; it is counted as lost, and again if the kernel does not unmap it either. */
void gm_guest_space_withdraw(gm_memory_t *memory, const gm_run_t *run, size_t index);

/** The run that holds `gpa`, or NULL. */
/*@ requires gm_runs_ok(memory);
    assigns \nothing;
    ensures \result == \null <==> \old(gm_runs_free(memory, gpa, gpa));
    ensures \result != \null ==> \old(gm_run_ok(\result) &&
        \result->base <= gpa < gm_run_end(\result));
    ensures \result != \null ==> \old(\exists integer c, i; gm_range_is(&memory->runs, c, i) &&
        \result == gm_run_at(memory, c, i));
 */
static inline gm_run_t *gm_guest_space_run(const gm_memory_t *memory, uintptr_t gpa)
{
    return gm_range_map_get(&memory->runs, gpa);
}

/** The same, and the frame's index in it. */
/*@ requires gm_runs_ok(memory) && \valid(index);
    assigns *index;
    ensures \result == \null <==> \old(gm_runs_free(memory, gpa, gpa));
    ensures \result != \null ==> \old(gm_run_ok(\result)) && *index < \old(\result->count) &&
        \old(\result->base) + *index * \old(1 << \result->size_bits) <= gpa &&
        gpa < \old(\result->base) + (*index + 1) * \old(1 << \result->size_bits);
 */
static inline gm_run_t *gm_guest_space_find(const gm_memory_t *memory, uintptr_t gpa, size_t *index)
{
    gm_run_t *run = gm_guest_space_run(memory, gpa);
    *index = run != NULL ? gm_run_index(run, gpa) : 0;
    return run;
}

/** The lowest run that overlaps `[gpa, last]`, or NULL. For all runs of a range:
 *  `for (run = next(first, last); run != NULL; run = after(run, last))` */
/*@ requires gm_runs_ok(memory) && gpa <= last;
    assigns \nothing;
    ensures \result == \null <==> \old(gm_runs_free(memory, gpa, last));
    ensures \result != \null ==> \old(gm_run_ok(\result) &&
        gpa < gm_run_end(\result) && \result->base <= last);
    ensures \result != \null ==> \old(\forall integer c, i; gm_range_is(&memory->runs, c, i) &&
        gpa <= gm_range_last(&memory->runs, c, i) ==>
        \result->base <= gm_range_base(&memory->runs, c, i));
    ensures \result != \null ==> \old(\exists integer c, i; gm_range_is(&memory->runs, c, i) &&
        \result == gm_run_at(memory, c, i));
 */
static inline gm_run_t *gm_guest_space_next(const gm_memory_t *memory, uintptr_t gpa,
                                            uintptr_t last)
{
    gm_range_t range;
    if (!gm_range_map_overlap(&memory->runs, gpa, last, &range)) {
        return NULL;
    }
    gm_run_t *run = range.value;
    /*@ assert \exists integer c, i; \at(gm_range_is(&memory->runs, c, i), Pre) &&
            run == \at(gm_run_at(memory, c, i), Pre) &&
            range.base == \at(gm_range_base(&memory->runs, c, i), Pre) &&
            range.last == \at(gm_range_last(&memory->runs, c, i), Pre);
     */
    /*@ assert \let r = run; \at(gm_run_ok(r), Pre) && \at(r->base, Pre) == range.base &&
            \at(gm_run_end(r), Pre) == range.last + 1;
     */
    return run;
}

/** The lowest run after `run` that overlaps `[.., last]`, or NULL. */
/*@ requires gm_runs_ok(memory) && gm_run_ok(run);
    assigns \nothing;
    ensures \result == \null <==> \old(gm_runs_free(memory, gm_run_end(run), last));
    ensures \result != \null ==> \old(gm_run_ok(\result) &&
        gm_run_end(run) < gm_run_end(\result) && \result->base <= last);
    ensures \result != \null ==> \old(\forall integer c, i; gm_range_is(&memory->runs, c, i) &&
        gm_run_end(run) <= gm_range_last(&memory->runs, c, i) ==>
        \result->base <= gm_range_base(&memory->runs, c, i));
    ensures \result != \null ==> \old(\exists integer c, i; gm_range_is(&memory->runs, c, i) &&
        \result == gm_run_at(memory, c, i));
 */
static inline gm_run_t *gm_guest_space_after(const gm_memory_t *memory, const gm_run_t *run,
                                             uintptr_t last)
{
    uintptr_t run_last = gm_run_last(run);
    return run_last < last ? gm_guest_space_next(memory, run_last + 1, last) : NULL;
}

/** Narrow `[*first, *last]` to the pages around `gpa`, which is not mapped, that are not either. */
/*@ requires gm_runs_ok(memory) && \valid(first) && \valid(last) && \separated(first, last);
    requires *first <= gpa <= *last && gm_runs_free(memory, gpa, gpa);
    assigns *first, *last;
    ensures \old(*first) <= *first <= gpa <= *last <= \old(*last);
    ensures \old(gm_runs_free(memory, \at(*first, Post), \at(*last, Post)));
 */
void gm_guest_space_hole(const gm_memory_t *memory, uintptr_t gpa, uintptr_t *first,
                         uintptr_t *last);
