/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Frames: where they come from, how they are released, and runs of them. A run is frames of one
 * size at successive GPAs, in one heap block: what they have in common is kept once.
 */

#include <sel4vm/guest_memory.h>
#include "vm_memory.h"

/** What memory is used for. */
typedef enum gm_frame_use {
    GM_USE_ANY,
    GM_USE_RAM,      /* cached, also where it comes from a device untyped; cleared then */
    GM_USE_KEPT_RAM, /* cached likewise; what is in it stays */
} gm_frame_use_t;

/** Where the frames of a reservation come from. */
typedef struct gm_frame_source {
    guestmem_backing_t backing;
    gm_frame_use_t use;
    seL4_CapRights_t rights;         /* of the guest; an iterator's frames have their own */
    size_t largest_bits;             /* largest frame to acquire */
    uintptr_t paddr_offset;          /* GUESTMEM_UNTYPED: physical address minus GPA */
    memory_map_iterator_fn iterator; /* GUESTMEM_CALLER */
    void *cookie;
    uintptr_t iterator_from;  /* lowest GPA to ask the iterator for */
    const gm_memory_t *owner; /* GUESTMEM_SHARED: whose frames they are, while they are acquired, */
    uintptr_t owner_offset;   /* and its GPA minus ours */
} gm_frame_source_t;

/** One mapping's part in a frame that several have: who has the last one returns the memory. */
typedef struct gm_sharer {
    struct gm_sharer *next; /* the ring of all of the frame's */
    struct gm_sharer *previous;
    vka_t *vka;       /* that the frame was allocated from */
    seL4_Word cookie; /* the vka's; 0 if the memory is not returned */
} gm_sharer_t;

/** A frame's capability. */
typedef struct gm_frame {
    seL4_CPtr cap;
    union {
        seL4_Word cookie;    /* the library's frame: the vka's; 0 if its memory is not returned */
        gm_sharer_t *sharer; /* a shared frame; NULL if its memory is not returned */
        seL4_CapRights_t rights; /* a caller's frame */
    };
} gm_frame_t;
_Static_assert(sizeof(gm_sharer_t *) <= sizeof(seL4_Word) &&
                   sizeof(seL4_CapRights_t) <= sizeof(seL4_Word),
               "copying the cookie copies all that the union may be");

typedef struct gm_run {
    struct gm_run *older; /* made before it, while a mapping is being made */
    uintptr_t base;       /* GPA of the first frame */
    size_t count;
    size_t capacity;
    seL4_CapRights_t rights; /* the guest's; to a caller's frames, at most */
    seL4_CapRights_t had;    /* the same, while gm_tracking_protect() may fail */
    uint8_t size_bits;
    bool caller;         /* handed in by an iterator; they stay the caller's */
    bool shared;         /* or may be: each is in a ring of sharers; of a caller's frame that the VM
                            was given by another one, the capability is a copy of our own */
    bool becomes_shared; /* likewise, while guestmem_share() may fail */
    bool device;         /* of a device untyped, so the kernel did not clear them */
    bool cacheable;
    bool restricted;      /* the caller's rights to some frames are less than read and write */
    size_t num_in_window; /* frames that the VMM has mapped in a window */
    gm_frame_t frames[];  /* `capacity`, and after them as many gm_frame_state_t */
} gm_run_t;

/*@ // Frames are aligned, and end below the top of the addresses.
    predicate gm_is_placed(integer base, integer count, integer size_bits) =
        base % (1 << size_bits) == 0 && base + count * (1 << size_bits) <= UINTPTR_MAX;
 */

/*@ // What follows the last address of frames, and of a run.
    logic integer gm_end_of(integer base, integer count, integer size_bits) =
        base + count * (1 << size_bits);
    logic integer gm_run_end(gm_run_t *run) = gm_end_of(run->base, run->count, run->size_bits);

    // A run has frames, all of a size, that are aligned and end below the top of the addresses.
    predicate gm_run_ok(gm_run_t *run) =
        \valid_read(&run->base) && \valid_read(&run->count) && \valid_read(&run->size_bits) &&
        gm_is_frame_bits(run->size_bits) &&
        1 <= run->count <= run->capacity &&
        gm_is_placed(run->base, run->count, run->size_bits);
 */

/*@ // A run's memory is there.
    predicate gm_run_valid(gm_run_t *run) =
        gm_is_run(\base_addr(run)) && \offset(run) == 0 &&
        \valid(&run->older) && \valid(&run->base) && \valid(&run->count) &&
        \valid(&run->capacity) && \valid(&run->rights) && \valid(&run->size_bits) &&
        \valid(&run->caller) && \valid(&run->shared) && \valid(&run->device) &&
        \valid(&run->cacheable) && \valid(&run->restricted) &&
        1 <= run->capacity < SIZE_MAX / 64 && \valid(run->frames + (0 .. run->capacity - 1));

    // A run's frames are the library's own, and their memory goes back to the allocator.
    predicate gm_run_own(gm_run_t *run) =
        !run->caller && !run->shared && gm_is_frame(run->size_bits) &&
        gm_is_placed(run->base, run->count, run->size_bits) && run->count <= run->capacity &&
        \forall integer i; 0 <= i < run->count ==> run->frames[i].cookie != 0;
 */

/*@ // At `Now` a run is where it was at `Then`, with as many frames.
    predicate gm_run_same{Then, Now}(gm_run_t *run) =
        \at(run->older, Now) == \at(run->older, Then) &&
        \at(run->base, Now) == \at(run->base, Then) &&
        \at(run->count, Now) == \at(run->count, Then) &&
        \at(run->capacity, Now) == \at(run->capacity, Then) &&
        \at(run->size_bits, Now) == \at(run->size_bits, Then);

    // All runs are as they were.
    predicate gm_runs_same{Then, Now} =
        (\forall gm_run_t *run; gm_is_run(\base_addr{Now}(run)) ==> gm_run_same{Then, Now}(run)) &&
        (\forall gm_run_t *run, integer i; gm_is_run(\base_addr{Now}(run)) ==>
            \at(run->frames[i].cookie, Now) == \at(run->frames[i].cookie, Then));

    // The uses of page tables by its frames.
    logic integer gm_run_uses(gm_run_t *run) = gm_uses_of(run->base, run->count, run->size_bits);
 */

/*@ // Each run of a list is newer than the one that follows.
    predicate gm_list_linked(gm_run_t *newest) =
        (newest == \null || gm_listed(gm_list, newest)) &&
        (\forall gm_run_t *run; gm_listed(gm_list, run) ==>
            run != \null && 0 <= gm_older_runs(gm_list, run) &&
            (run->older == \null ?
                gm_older_runs(gm_list, run) == 0 && gm_older_frames(gm_list, run) == 0 :
                gm_listed(gm_list, run->older) && run->older->count > 0 &&
                gm_older_runs(gm_list, run) == gm_older_runs(gm_list, run->older) + 1 &&
                gm_older_frames(gm_list, run) ==
                    gm_older_frames(gm_list, run->older) + run->older->count));

    // The list that begins with `newest`: the frames of its runs are the library's own.
    predicate gm_list_ok(gm_run_t *newest) =
        (\forall gm_run_t *run; gm_listed(gm_list, run) ==> gm_run_valid(run)) &&
        (\forall gm_run_t *run; gm_listed(gm_list, run) ==> gm_run_own(run)) &&
        gm_list_linked(newest);

    // No run of a list is newer than `newest`.
    predicate gm_list_newest(gm_run_t *newest) =
        \forall gm_run_t *run; gm_listed(gm_list, run) ==>
            newest != \null && run->older != newest;

    predicate gm_list_whole(gm_run_t *newest) = gm_list_ok(newest) && gm_list_newest(newest);

    // How many runs it has, how many frames, and their uses of page tables.
    logic integer gm_runs(gm_run_t *newest) =
        newest == \null ? 0 : gm_older_runs(gm_list, newest) + 1;
    logic integer gm_frames(gm_run_t *newest) =
        newest == \null ? 0 : gm_older_frames(gm_list, newest) + newest->count;
    logic integer gm_list_uses(gm_run_t *newest) =
        newest == \null ? 0 : gm_older_uses(gm_list, newest) + gm_run_uses(newest);

    // What follows its last frame, and that there is no gap and no overlap up to there.
    logic integer gm_list_end(gm_run_t *newest) = newest == \null ? gm_first : gm_run_end(newest);
    predicate gm_list_joined = \forall gm_run_t *run; gm_listed(gm_list, run) ==>
        run->base == gm_list_end(run->older);
 */

/*@ ghost
    /@ requires gm_list_linked(newest);
       assigns \nothing; // a list has one run in each place, and so their uses of tables have a sum
       ensures \forall gm_run_t *run, *other; gm_listed(gm_list, run) &&
           gm_listed(gm_list, other) &&
           gm_older_runs(gm_list, run) == gm_older_runs(gm_list, other) ==> run == other;
       ensures \forall gm_run_t *run; gm_listed(gm_list, run) ==>
           0 <= gm_older_frames(gm_list, run) &&
           gm_older_uses(gm_list, run) == gm_list_uses(run->older);
     @/
    void gm_list_is_one(gm_run_t *newest);
*/

/*@ // What the kernel has refused was counted as lost, unless the counter has wrapped.
    predicate gm_lost_counted{Then, Now}(gm_memory_t *memory) =
        \let lost = \at(memory->counts.lost_objects - gm_refused, Then) + \at(gm_refused, Now);
        lost <= UINT64_MAX ==> \at(memory->counts.lost_objects, Now) == lost;
 */

/** Whether a frame is mapped in a window, see window.c. */
typedef uint8_t gm_frame_state_t;

/*@ assigns \nothing;
    ensures \valid(\result + (0 .. run->count - 1));
 */
static inline gm_frame_state_t *gm_run_states(const gm_run_t *run)
{
    return (gm_frame_state_t *)&run->frames[run->capacity];
}

/** The last address of a run. */
/*@ requires gm_run_ok(run);
    assigns \nothing;
    ensures \result == gm_run_end(run) - 1;
    ensures run->base < \result < UINTPTR_MAX;
 */
static inline uintptr_t gm_run_last(const gm_run_t *run)
{
    return run->base + ((run->count << run->size_bits) - 1);
}

/** The first address of a run's frame; of the one after the last, where that would be. */
/*@ requires gm_run_ok(run) && index <= run->count;
    assigns \nothing;
    ensures \result == run->base + index * (1 << run->size_bits);
    ensures index < run->count ==> \result + (1 << run->size_bits) <= UINTPTR_MAX;
 */
static inline uintptr_t gm_run_gpa(const gm_run_t *run, size_t index)
{
    //@ assert index * (1 << run->size_bits) <= run->count * (1 << run->size_bits);
    /*@ assert index < run->count ==>
            (index + 1) * (1 << run->size_bits) <= run->count * (1 << run->size_bits);
     */
    return gm_block_at(run->base, index, run->size_bits);
}

/** The last address of a run's frame. */
/*@ requires gm_run_ok(run) && index < run->count;
    assigns \nothing;
    ensures \result == run->base + (index + 1) * (1 << run->size_bits) - 1;
 */
static inline uintptr_t gm_run_gpa_last(const gm_run_t *run, size_t index)
{
    return gm_run_gpa(run, index) + (((uintptr_t)1 << run->size_bits) - 1);
}

/** The index of a run's frame that holds `gpa`. */
/*@ requires gm_run_ok(run) && run->base <= gpa < gm_run_end(run);
    assigns \nothing;
    ensures \result < run->count;
    ensures run->base + \result * (1 << run->size_bits) <= gpa;
    ensures gpa < run->base + (\result + 1) * (1 << run->size_bits);
 */
static inline size_t gm_run_index(const gm_run_t *run, uintptr_t gpa)
{
    uintptr_t offset = gpa - run->base;
    //@ assert (offset >> run->size_bits) * (1 << run->size_bits) <= offset;
    //@ assert offset < ((offset >> run->size_bits) + 1) * (1 << run->size_bits);
    /*@ assert run->count <= offset >> run->size_bits ==>
            run->count * (1 << run->size_bits) <= offset;
     */
    return (size_t)(offset >> run->size_bits);
}

/** What of `rights` the guest may have to a frame. */
static inline seL4_CapRights_t gm_run_limit(const gm_run_t *run, size_t index,
                                            seL4_CapRights_t rights)
{
    if (run->caller) {
        rights.words[0] &= run->frames[index].rights.words[0];
    }
    return rights;
}

/** The guest's rights to a frame. */
/*@ assigns \nothing; */
static inline seL4_CapRights_t gm_run_rights(const gm_run_t *run, size_t index)
{
    return gm_run_limit(run, index, run->rights);
}

/**
 * Acquire the largest frame that there is, holds `gpa` and lies within `[first, last]`, or any that
 * an iterator hands in within `[first, last]`, and add it to the runs: to the newest, or as a new
 * one.
 *
 * @param gpa       a multiple of 4 KiB, like `first` and `last + 1`; what an iterator is asked for
 * @param expected  the last GPA that frames are expected for, which sizes a new run
 * @param newest    the newest run, or NULL
 * @return 0; -1 after gm_fail(), and the runs are as before
 * @see gm_frames_discard
 */
/*@ requires gm_memory_ok(memory) && \valid_read(source) && \valid(newest);
    requires !gm_is_run(\base_addr(newest)) && \base_addr(newest) != \base_addr(memory) &&
        \base_addr(newest) != \base_addr(memory->vm);
    requires gm_list_whole(*newest) && (*newest != \null ==> gm_run_ok(*newest));
    requires first <= gpa <= last < UINTPTR_MAX && \base_addr(source) != \base_addr(memory);
    requires own: source->backing == GUESTMEM_FREE_FRAMES;
    assigns GM_RUNS, *newest, memory->heap, memory->counts, memory->failure, memory->untyped,
        gm_slots, gm_objects, gm_records, gm_refused, gm_list;
    ensures \result == 0 || \result == -1;
    ensures \forall gm_run_t *run; gm_listed(gm_list, run) ==> gm_run_valid(run);
    ensures \forall gm_run_t *run; gm_listed(gm_list, run) ==> gm_run_own(run);
    ensures gm_list_linked(*newest) && gm_list_newest(*newest);
    ensures gm_refused >= \old(gm_refused);
    ensures gm_records - gm_runs(*newest) == \old(gm_records - gm_runs(*newest));
    ensures gm_refused == \old(gm_refused) ==>
        gm_slots - gm_frames(*newest) == \old(gm_slots - gm_frames(*newest)) &&
        gm_objects - gm_frames(*newest) == \old(gm_objects - gm_frames(*newest));
    ensures \result == 0 ==> *newest != \null && gm_run_ok(*newest) &&
        gm_refused == \old(gm_refused);
    ensures \result == 0 && first == gpa ==> // the frame at `gpa` is its last one
        gm_run_end(*newest) == gpa + (1 << (*newest)->size_bits);
    ensures \result == 0 && first == gpa && \old(gm_list_joined && gm_list_end(*newest) == gpa) ==>
        gm_list_joined;
 */
int gm_frame_acquire(gm_memory_t *memory, const gm_frame_source_t *source, uintptr_t gpa,
                     uintptr_t first, uintptr_t last, uintptr_t expected, gm_run_t **newest);

/** Free the unused capacity of a run, which may move. @return 0; -1 after gm_fail() */
/*@ requires gm_memory_ok(memory) && \valid(run) && *run != \null && gm_list_whole(*run);
    requires (*run)->count > 0;
    requires !gm_is_run(\base_addr(run)) && \base_addr(run) != \base_addr(memory);
    assigns GM_RUNS, *run, memory->heap, memory->failure, gm_list;
    ensures \result == 0 || \result == -1;
    ensures gm_run_end(*run) == \old(gm_run_end(*run));
    ensures *run != \null && gm_list_whole(*run) && (*run)->size_bits == \old((*run)->size_bits) &&
        (*run)->count == \old((*run)->count) &&
        gm_runs(*run) == \old(gm_runs(*run)) && gm_frames(*run) == \old(gm_frames(*run));
    ensures \old(gm_list_joined) ==> gm_list_joined;
 */
int gm_run_fit(gm_memory_t *memory, gm_run_t **run);

/**
 * Cut a run in two, before the frame `index`, which is not the first.
 *
 * @return the run of the frames from there on; NULL after gm_fail()
 * @see gm_run_join
 */
gm_run_t *gm_run_cut(gm_memory_t *memory, gm_run_t *run, size_t index);

/** Undo gm_run_cut(). Cannot fail. */
void gm_run_join(gm_memory_t *memory, gm_run_t *run, gm_run_t *rest);

/** Let frames of the library's be shared. @return 0; -1 after gm_fail(), and they are as before
 *  @see gm_run_unshare */
int gm_run_share(gm_memory_t *memory, gm_run_t *run);

/** Undo gm_run_share(), before anybody shares them. Cannot fail. */
void gm_run_unshare(gm_memory_t *memory, gm_run_t *run);

/** Release a run's frames, the newest first, and free it. Deleting the library's frames unmaps
 *  them; a caller's frames must be unmapped before. */
/*@ requires gm_memory_ok(memory) && gm_run_valid(run);
    requires own: gm_run_own(run);
    assigns memory->counts, memory->heap, gm_slots, gm_objects, gm_records, gm_refused;
    ensures gm_refused >= \old(gm_refused);
    ensures gm_refused == \old(gm_refused) ==> gm_slots == \old(gm_slots - run->count) &&
        gm_objects == \old(gm_objects - run->count);
    ensures gm_records == \old(gm_records) - 1;
    ensures gm_lost_counted{Pre, Post}(memory);
    ensures gm_runs_same{Pre, Post};
 */
void gm_run_release(gm_memory_t *memory, gm_run_t *run);

/** gm_run_release() of a list of runs, none of which is mapped. */
/*@ requires gm_memory_ok(memory);
    requires own: gm_list_ok(newest);
    assigns memory->counts, memory->heap, gm_slots, gm_objects, gm_records, gm_refused;
    ensures gm_refused >= \old(gm_refused);
    ensures gm_refused == \old(gm_refused) ==> gm_slots == \old(gm_slots - gm_frames(newest)) &&
        gm_objects == \old(gm_objects - gm_frames(newest));
    ensures gm_records == \old(gm_records - gm_runs(newest));
    ensures gm_lost_counted{Pre, Post}(memory);
 */
void gm_frames_discard(gm_memory_t *memory, gm_run_t *newest);

/**
 * Copy the capability of a run's frame; the copy is not mapped, whatever the original is.
 *
 * @return 0; -1 after gm_fail()
 * @see gm_frame_delete_copy
 */
int gm_frame_copy(gm_memory_t *memory, const gm_run_t *run, size_t index, seL4_CPtr *copy);

/** Delete a copy, which unmaps it, and free its slot. If the kernel refuses, the frame's memory is
 *  not returned later: it may still be mapped. `run` may be NULL: the frame is gone already. */
void gm_frame_delete_copy(gm_memory_t *memory, gm_run_t *run, size_t index, seL4_CPtr copy);

/** Delete the capability of an object of the library's, free its slot, and return its memory, if
 *  the vka has a cookie for it. If the kernel refuses, all of it is kept and counted as lost. */
/*@ requires gm_memory_ok(memory);
    assigns memory->counts, gm_slots, gm_objects, gm_refused;
    ensures gm_refused >= \old(gm_refused);
    ensures gm_refused == \old(gm_refused) ==> gm_slots == \old(gm_slots) - 1 &&
        gm_objects == \old(gm_objects) - (cookie != 0 ? 1 : 0);
    ensures gm_lost_counted{Pre, Post}(memory);
 */
void gm_object_delete(gm_memory_t *memory, seL4_CPtr cap, seL4_Word type, size_t size_bits,
                      seL4_Word cookie);
