/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Runs are kept by address. Unmapping is always followed by releasing: deleting a frame's only
 * capability unmaps it, so only frames of callers are unmapped one by one.
 */

#include <assert.h>
#include <inttypes.h>
#include "guest_space.h"
#include "iospace.h"
#include "page_table.h"

/* Unmap the first `count` frames. A live frame capability can be unmapped; of one that its caller
 * has deleted meanwhile, nothing is mapped any more. */
/*@ requires gm_memory_ok(memory) && gm_run_valid(run) && count <= run->capacity;
    assigns memory->counts, gm_mapped, gm_refused;
    ensures gm_refused >= \old(gm_refused);
    ensures gm_refused == \old(gm_refused) ==> gm_mapped == \old(gm_mapped) - count;
    ensures gm_lost_counted{Pre, Post}(memory);
    ensures gm_runs_same{Pre, Post};
 */
static void unmap_frames(gm_memory_t *memory, const gm_run_t *run, size_t count)
{
    /*@ loop invariant 0 <= i <= count && gm_refused >= \at(gm_refused, Pre);
        loop invariant gm_refused == \at(gm_refused, Pre) ==>
            gm_mapped == \at(gm_mapped, Pre) - i;
        loop invariant gm_lost_counted{Pre, Here}(memory);
        loop assigns i, memory->counts, gm_mapped, gm_refused;
        loop variant count - i;
     */
    for (size_t i = 0; i < count; i++) {
        memory->counts.page_unmaps++;
        if (gm_arch_frame_unmap(run->frames[i].cap) != seL4_NoError) {
            memory->counts.lost_objects++; /* the guest may still reach it */
        }
    }
}

/* Map all frames of a run, or none. */
/*@ requires gm_memory_ok(memory) && gm_run_valid(run) && gm_run_ok(run);
    assigns memory->counts, memory->failure, gm_mapped, gm_refused;
    ensures \result == 0 || \result == -1;
    ensures gm_refused >= \old(gm_refused);
    ensures \result == 0 ==> gm_refused == \old(gm_refused);
    ensures \result == 0 ==> gm_mapped == \old(gm_mapped) + run->count;
    ensures \result == -1 && gm_refused == \old(gm_refused) ==> gm_mapped == \old(gm_mapped);
    ensures gm_runs_same{Pre, Post};
 */
static int map_frames(gm_memory_t *memory, const gm_run_t *run, bool write)
{
    /*@ loop invariant 0 <= i <= run->count && gm_mapped == \at(gm_mapped, Pre) + i;
        loop invariant run->count == \at(run->count, Pre) && gm_memory_ok(memory) &&
            gm_run_valid(run) && gm_run_ok(run);
        loop assigns i, memory->counts, gm_mapped;
        loop variant run->count - i;
     */
    for (size_t i = 0; i < run->count; i++) {
        uintptr_t gpa = gm_run_gpa(run, i);
        memory->counts.page_maps++;
        seL4_CapRights_t rights = gm_run_rights(run, i);
        rights = write ? rights : seL4_CapRights_set_capAllowWrite(rights, 0);
        seL4_Error error =
            gm_arch_frame_map(run->frames[i].cap, memory->root, gpa, rights, run->cacheable);
        if (error != seL4_NoError) {
            unmap_frames(memory, run, i);
            return gm_fail_kernel(memory, error, "could not map the frame for GPA 0x%" PRIxPTR,
                                  gpa);
        }
    }
    return 0;
}

/* Map the frames of a run in the guest and its IO spaces. */
/*@ requires gm_memory_ok(memory) && gm_run_valid(run) && gm_run_ok(run);
    requires own: memory->iospaces == \null;
    assigns memory->counts, memory->failure, gm_mapped, gm_refused;
    ensures \result == 0 || \result == -1;
    ensures gm_refused >= \old(gm_refused);
    ensures \result == 0 ==> gm_refused == \old(gm_refused);
    ensures \result == 0 ==> gm_mapped == \old(gm_mapped) + run->count;
    ensures \result == -1 && gm_refused == \old(gm_refused) ==> gm_mapped == \old(gm_mapped);
    ensures gm_runs_same{Pre, Post};
 */
static int map_everywhere(gm_memory_t *memory, gm_run_t *run)
{
    if (map_frames(memory, run, true) != 0) {
        return -1;
    }
    if (gm_iospaces_map(memory, run) != 0) {
        unmap_frames(memory, run, run->count);
        return -1;
    }
    return 0;
}

/* Map a run, with the tables that it needs. */
/*@ requires gm_memory_ok(memory) && gm_run_valid(run) && gm_run_ok(run) && gm_tables_ok;
    requires own: memory->iospaces == \null;
    assigns memory->tables[0 .. ARCH_NUM_TABLE_LEVELS - 1], memory->heap, memory->counts,
        memory->failure, gm_slots, gm_objects, gm_records, gm_mapped, gm_tables, gm_reserved,
        gm_refused, gm_moment;
    ensures \result == 0 || \result == -1;
    ensures gm_memory_ok(memory) && gm_tables_ok && gm_refused >= \old(gm_refused);
    ensures gm_records - gm_tables == \old(gm_records - gm_tables);
    ensures gm_reserved == \old(gm_reserved);
    ensures \result == 0 ==> gm_refused == \old(gm_refused);
    ensures \result == 0 ==> gm_mapped == \old(gm_mapped) + run->count;
    ensures \result == 0 ==> gm_uses(gm_moment) == \old(gm_uses(gm_moment)) + gm_run_uses(run);
    ensures \result == -1 ==> gm_uses(gm_moment) == \old(gm_uses(gm_moment));
    ensures gm_refused == \old(gm_refused) ==>
        gm_slots - gm_tables == \old(gm_slots - gm_tables) &&
        gm_objects - gm_tables == \old(gm_objects - gm_tables);
    ensures \result == -1 && gm_refused == \old(gm_refused) ==> gm_mapped == \old(gm_mapped);
    ensures gm_runs_same{Pre, Post};
 */
static int map_with_tables(gm_memory_t *memory, gm_run_t *run)
{
    if (gm_page_tables_acquire(memory, run->base, run->count, run->size_bits) != 0) {
        return -1;
    }
    /*@ assert run->base == \at(run->base, Pre) && run->count == \at(run->count, Pre) &&
            run->capacity == \at(run->capacity, Pre) && run->size_bits == \at(run->size_bits, Pre);
     */
    //@ assert gm_run_ok(run);
    if (map_everywhere(memory, run) != 0) {
        /*@ assert run->base == \at(run->base, Pre) && run->count == \at(run->count, Pre) &&
                run->size_bits == \at(run->size_bits, Pre);
         */
        gm_page_tables_release(memory, run->base, run->count, run->size_bits);
        return -1;
    }
    return 0;
}

/* The map of the runs. The contracts of these four are assumed, of a map that is in order: of it
 * they say no more than whether it has memory in reserve, and how many runs. */

/* Check that no other run has addresses of this one, and get the memory to record it. */
/*@ requires gm_memory_ok(memory) && gm_run_ok(run);
    assigns memory->runs, memory->heap, memory->failure, gm_reserved;
    ensures \result == 0 ? gm_reserved == \old(gm_reserved) + 1 :
        \result == -1 && gm_reserved == \old(gm_reserved);
    ensures gm_memory_ok(memory) && gm_runs_same{Pre, Post};
 */
static int prepare_record(gm_memory_t *memory, const gm_run_t *run)
{
    gm_range_t other;
    if (gm_range_map_overlap(&memory->runs, run->base, gm_run_last(run), &other)) {
        return gm_fail_range(memory, GUESTMEM_BAD_FRAME, other.base, other.last, NULL,
                             "the map iterator's frames overlap others at",
                             "hand out each frame of the reservation once");
    }
    return gm_range_map_prepare(&memory->runs, run->base) == 0
               ? 0
               : gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for a mapping's record");
}

/*@ requires gm_memory_ok(memory) && gm_reserved > 0;
    assigns memory->runs, memory->heap, gm_reserved;
    ensures gm_reserved == \old(gm_reserved) - 1;
    ensures gm_memory_ok(memory) && gm_runs_same{Pre, Post};
 */
static void cancel_record(gm_memory_t *memory)
{
    gm_range_map_cancel(&memory->runs);
}

/*@ requires gm_memory_ok(memory) && gm_run_ok(run) && gm_is_frame(run->size_bits);
    requires gm_reserved > 0;
    assigns memory->runs, memory->heap, memory->counts, gm_reserved, gm_recorded;
    ensures gm_reserved == \old(gm_reserved) - 1 && gm_recorded == \old(gm_recorded) + 1;
    ensures gm_memory_ok(memory) && gm_runs_same{Pre, Post};
 */
static void record(gm_memory_t *memory, gm_run_t *run)
{
    gm_range_map_insert(&memory->runs, run->base, gm_run_last(run), run);
    memory->counts.frames[gm_arch_frame_counter(run->size_bits)] += run->count;
}

/*@ requires gm_memory_ok(memory) && gm_run_ok(run) && gm_is_frame(run->size_bits);
    assigns memory->runs, memory->heap, memory->counts, gm_recorded;
    ensures gm_recorded == \old(gm_recorded) - 1;
    ensures gm_memory_ok(memory) && gm_runs_same{Pre, Post};
 */
static void forget(gm_memory_t *memory, const gm_run_t *run)
{
    gm_range_map_remove(&memory->runs, run->base);
    memory->counts.frames[gm_arch_frame_counter(run->size_bits)] -= run->count;
}

int gm_guest_space_map(gm_memory_t *memory, gm_run_t *run)
{
    if (prepare_record(memory, run) != 0) {
        return -1;
    }
    /*@ assert run->base == \at(run->base, Pre) && run->count == \at(run->count, Pre) &&
            run->capacity == \at(run->capacity, Pre) && run->size_bits == \at(run->size_bits, Pre);
     */
    //@ assert gm_run_ok(run);
    if (map_with_tables(memory, run) != 0) {
        cancel_record(memory);
        return -1;
    }
    /*@ assert run->base == \at(run->base, Pre) && run->count == \at(run->count, Pre) &&
            run->capacity == \at(run->capacity, Pre) && run->size_bits == \at(run->size_bits, Pre);
     */
    //@ assert gm_run_ok(run);
    record(memory, run);
    return 0;
}

int gm_guest_space_check_whole(gm_memory_t *memory, uintptr_t first, uintptr_t last,
                               const char *advice)
{
    /*@ loop invariant first <= gpa && (gpa > first ==> !gm_runs_free(memory, first, first));
        loop invariant gpa > last ==> !gm_runs_free(memory, last, last);
        loop assigns gpa;
        loop variant UINTPTR_MAX - gpa;
     */
    for (uintptr_t gpa = first; gpa <= last;) {
        const gm_run_t *run = gm_guest_space_run(memory, gpa);
        if (run == NULL) {
            return gm_fail(memory, GUESTMEM_NOT_MAPPED, "GPA 0x%" PRIxPTR " has no frame", gpa);
        }
        //@ assert last < gm_run_end(run) ==> !gm_runs_free(memory, last, last);
        gpa = gm_run_last(run) + 1;
    }
    /*@ loop invariant 0 <= i <= 2;
        loop assigns i;
        loop variant 2 - i;
     */
    for (int i = 0; i < 2; i++) {
        uintptr_t end = i == 0 ? first : last;
        const gm_run_t *run = gm_guest_space_run(memory, end);
        assert(run != NULL);
        size_t index = gm_run_index(run, end);
        if (gm_run_gpa(run, index) < first || gm_run_gpa_last(run, index) > last) {
            return gm_fail_range(memory, GUESTMEM_MISALIGNED, gm_run_gpa(run, index),
                                 gm_run_gpa_last(run, index), NULL, "the range cuts the frame at",
                                 advice);
        }
    }
    return 0;
}

/* Let a run begin at `gpa`, the first address of a frame or the end of one.
 * @return 0, `*cut` says whether one had to be cut; -1 after gm_fail(), and nothing has changed */
static int cut_at(gm_memory_t *memory, uintptr_t gpa, bool *cut)
{
    size_t index;
    gm_run_t *run = gm_guest_space_find(memory, gpa, &index);
    *cut = run != NULL && gpa != run->base;
    if (!*cut) {
        return 0;
    }
    if (gm_range_map_prepare(&memory->runs, gpa) != 0) {
        return gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for a mapping's record");
    }
    gm_run_t *rest = gm_run_cut(memory, run, index);
    if (rest != NULL && gm_iospaces_cut(memory, run, rest) != 0) {
        gm_run_join(memory, run, rest);
        rest = NULL;
    }
    if (rest == NULL) {
        gm_range_map_cancel(&memory->runs);
        return -1;
    }
    gm_range_map_set(&memory->runs, run->base, gm_run_last(run), run);
    gm_range_map_insert(&memory->runs, gpa, gm_run_last(rest), rest);
    return 0;
}

static void join_at(gm_memory_t *memory, uintptr_t gpa)
{
    gm_run_t *rest = gm_range_map_get(&memory->runs, gpa);
    gm_run_t *run = gm_range_map_get(&memory->runs, gpa - 1);
    assert(run != NULL && rest != NULL);
    gm_range_map_remove(&memory->runs, gpa);
    gm_range_map_set(&memory->runs, run->base, gm_run_last(rest), run);
    gm_iospaces_join(memory, run, rest);
    gm_run_join(memory, run, rest);
}

int gm_guest_space_cut(gm_memory_t *memory, uintptr_t first, uintptr_t last, gm_cuts_t *cuts)
{
    *cuts = (gm_cuts_t){.first = first, .last = last};
    if (cut_at(memory, first, &cuts->at_first) != 0) {
        return -1;
    }
    if (cut_at(memory, last + 1, &cuts->after_last) != 0) {
        cuts->after_last = false;
        gm_guest_space_join(memory, cuts);
        return -1;
    }
    return 0;
}

void gm_guest_space_join(gm_memory_t *memory, const gm_cuts_t *cuts)
{
    if (cuts->after_last) {
        join_at(memory, cuts->last + 1);
    }
    if (cuts->at_first) {
        join_at(memory, cuts->first);
    }
}

/* Unmap and map a frame, where the kernel does not map over a mapping. */
static seL4_Error map_anew(gm_memory_t *memory, seL4_CPtr cap, uintptr_t gpa,
                           seL4_CapRights_t rights, bool cacheable)
{
    memory->counts.page_unmaps++;
    seL4_Error error = gm_arch_frame_unmap(cap);
    if (error == seL4_NoError) {
        memory->counts.page_maps++;
        error = gm_arch_frame_map(cap, memory->root, gpa, rights, cacheable);
    }
    return error;
}

int gm_guest_space_remap(gm_memory_t *memory, const gm_run_t *run, size_t index,
                         seL4_CapRights_t rights)
{
    seL4_CPtr cap = run->frames[index].cap;
    uintptr_t gpa = gm_run_gpa(run, index);
    seL4_Error error = seL4_DeleteFirst;
    if (gm_guest_space_remaps(memory)) {
        memory->counts.page_maps++;
        error = gm_arch_frame_map(cap, memory->root, gpa, rights, run->cacheable);
        memory->remap_refused = error == seL4_DeleteFirst;
    }
    if (error == seL4_DeleteFirst) {
        error = map_anew(memory, cap, gpa, rights, run->cacheable);
    }
    return error == seL4_NoError
               ? 0
               : gm_fail_kernel(memory, error,
                                "could not change the rights to the frame at GPA 0x%" PRIxPTR, gpa);
}

void gm_guest_space_withdraw(gm_memory_t *memory, const gm_run_t *run, size_t index)
{
    memory->counts.lost_objects++; /* the guest does without it */
    memory->counts.page_unmaps++;
    if (gm_arch_frame_unmap(run->frames[index].cap) != seL4_NoError) {
        memory->counts.lost_objects++; /* or may still do what it may not any more */
    }
}

void gm_guest_space_unmap(gm_memory_t *memory, gm_run_t *run)
{
    uintptr_t base = run->base;
    size_t count = run->count;
    size_t size_bits = run->size_bits;
    forget(memory, run);
    gm_iospaces_unmap(memory, run);
    if (run->caller && !run->shared) {
        unmap_frames(memory, run, count);
    }
    /*@ assert run->base == \at(run->base, Pre) && run->count == \at(run->count, Pre) &&
            run->capacity == \at(run->capacity, Pre) && run->size_bits == \at(run->size_bits, Pre);
     */
    /*@ assert \forall integer i; 0 <= i < run->count ==>
            run->frames[i].cookie == \at(run->frames[i].cookie, Pre);
     */
    //@ assert gm_run_own(run);
    //@ ghost long long slots = gm_slots;
    gm_run_release(memory, run);
    //@ ghost gm_deleted_since(slots);
    gm_page_tables_release(memory, base, count, size_bits);
}

static void swap_tables(gm_memory_t *memory, const gm_run_t *from, const gm_run_t *to)
{
    gm_page_tables_release(memory, from->base, from->count, from->size_bits);
    gm_range_map_set(&memory->runs, from->base, gm_run_last(from), (void *)to);
    memory->counts.frames[gm_arch_frame_counter(from->size_bits)] -= from->count;
    memory->counts.frames[gm_arch_frame_counter(to->size_bits)] += to->count;
}

/* Let the records have large frames again. The table that they lie in is there, as it is the small
 * ones' too: so taking it once more cannot fail. */
static void swap_tables_back(gm_memory_t *memory, const gm_run_t *small, const gm_run_t *large)
{
    int error = gm_page_tables_acquire(memory, large->base, large->count, large->size_bits);
    assert(error == 0);
    (void)error; /* for builds without assertions */
    swap_tables(memory, small, large);
}

/* Map frames that were mapped before; of those that the kernel refuses, the guest is deprived. */
static void map_again(gm_memory_t *memory, const gm_run_t *run)
{
    gm_failure_t failure = memory->failure;
    if (map_frames(memory, run, false) != 0) {
        memory->counts.lost_objects += run->count;
    }
    memory->failure = failure;
}

int gm_guest_space_swap(gm_memory_t *memory, gm_run_t *large, gm_run_t *small)
{
    unmap_frames(memory, large, large->count);
    if (gm_page_tables_acquire(memory, small->base, small->count, small->size_bits) == 0) {
        swap_tables(memory, large, small);
        if (map_frames(memory, small, false) == 0) {
            return 0;
        }
        swap_tables_back(memory, small, large);
    }
    map_again(memory, large);
    return -1;
}

void gm_guest_space_swap_back(gm_memory_t *memory, gm_run_t *large, gm_run_t *small)
{
    unmap_frames(memory, small, small->count);
    swap_tables_back(memory, small, large);
    map_again(memory, large);
}

void gm_guest_space_hole(const gm_memory_t *memory, uintptr_t gpa, uintptr_t *first,
                         uintptr_t *last)
{
    /*@ assert \forall integer c, i, d, j; gm_range_is(&memory->runs, c, i) &&
            gm_range_is(&memory->runs, d, j) &&
            gm_range_base(&memory->runs, c, i) < gm_range_base(&memory->runs, d, j) ==>
            gm_range_last(&memory->runs, c, i) < gm_range_base(&memory->runs, d, j);
     */
    const gm_run_t *above = gm_guest_space_next(memory, gpa, *last);
    //@ assert above != \null ==> gpa < above->base;
    uintptr_t end = above != NULL ? above->base - 1 : *last;
    gm_range_t below;
    if (gm_range_map_previous(&memory->runs, gpa, &below) && below.last >= *first) {
        *first = below.last + 1;
    }
    /*@ assert \forall integer c, i; \at(gm_range_is(&memory->runs, c, i), Pre) &&
            \at(gm_range_base(&memory->runs, c, i), Pre) <= gpa ==>
            \at(gm_range_last(&memory->runs, c, i), Pre) < *first;
     */
    *last = end;
}
