/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The frames of a reservation, from the map to the end of it. */

#include "window.h"

typedef struct gm_mapping {
    gm_frame_source_t source;
    uintptr_t first; /* the pages of the reservation */
    uintptr_t last;
    bool on_fault; /* frames that are missing are mapped at the guest's first access */
    bool refilled; /* likewise, and at the VMM's: some were discarded */
    bool ram;      /* it is of RAM, and in the list of RAM */
    gm_window_t window;
    uint64_t *written; /* while written pages are tracked, else NULL: a bit for each page */
    bool in_pages;     /* it is tracked in pages */
    uint64_t *given;   /* in the same block: one for the first page of each frame that the guest has
                          got the   right to write, as far as it may have it */
} gm_mapping_t;

/*@ // The record of a mapping is there.
    predicate gm_mapping_ok(gm_mapping_t *mapping) =
        \valid_read(mapping) && !gm_is_run(\base_addr(mapping)) &&
        mapping->first <= mapping->last < UINTPTR_MAX;
 */

/** Make a mapping of the pages `[first, last]`, with all frames or, on fault, none yet.
 *  @return NULL after gm_fail(). @see gm_mapping_destroy */
/*@ requires gm_space_ok(memory) && \valid_read(source) && first <= last < UINTPTR_MAX;
    requires first % ARCH_PAGE_SIZE == 0 && last % ARCH_PAGE_SIZE == ARCH_PAGE_SIZE - 1;
    requires own: source->backing == GUESTMEM_FREE_FRAMES && source->use == GM_USE_ANY &&
        memory->iospaces == \null;
    assigns GM_RUNS, GM_SPACE(memory), memory->untyped, gm_list, gm_first;
    ensures memory->vm == \old(memory->vm) && memory->vm->vka == \old(memory->vm->vka);
    ensures gm_space_ok(memory) && gm_refused >= \old(gm_refused);
    ensures \result == \null ? gm_nothing_more{Pre, Post} : gm_mapping_more{Pre, Post};
    ensures \result != \null ==> gm_mapping_ok(\result) &&
        \result->first == first && \result->last == last &&
        (on_fault ? gm_none_mapped{Pre, Post} : gm_mapped > \old(gm_mapped));
 */
gm_mapping_t *gm_mapping_make(gm_memory_t *memory, const gm_frame_source_t *source, uintptr_t first,
                              uintptr_t last, bool on_fault);

/** Unmap the window and the frames, and free the mapping. Cannot fail. */
void gm_mapping_destroy(gm_memory_t *memory, gm_mapping_t *mapping);

/**
 * Back the pages of `[gpa, end]` that have no frames, all or none.
 *
 * @param first, last  frames may lie in there, and around the range; a multiple of 4 KiB
 * @param filled       the new runs are put before those that are in there; may be NULL
 * @return 0; -1 after gm_fail(), and nothing has changed
 * @see gm_mapping_empty
 */
int gm_mapping_fill(gm_memory_t *memory, gm_mapping_t *mapping, uintptr_t gpa, uintptr_t end,
                    uintptr_t first, uintptr_t last, gm_run_t **filled);

/** Undo calls of gm_mapping_fill(), right after them. Cannot fail. */
void gm_mapping_empty(gm_memory_t *memory, gm_run_t *filled);

/** Release the frames that lie wholly in `[gpa, end]`, which are the library's.
 *  @return 0, and `*size` bytes of them; -1 after gm_fail(), and nothing has changed */
int gm_mapping_discard(gm_memory_t *memory, gm_mapping_t *mapping, uintptr_t gpa, uintptr_t end,
                       uintptr_t *size);

/** Check that large frames can be broken. @return 0; -1 after gm_fail() */
int gm_mapping_check_break(gm_memory_t *memory, const gm_mapping_t *mapping);

/** Break all large frames, which can be, into small ones, with what is in them; the guest has no
 * right to write now, and none then. @return 0; -1 after gm_fail(), and nothing has changed */
int gm_mapping_break(gm_memory_t *memory, gm_mapping_t *mapping);

/*@ // There is a bit for each page of a mapping.
    predicate gm_mapping_bits(gm_mapping_t *mapping, uint64_t *bits) =
        \valid_read(mapping) && mapping->first <= mapping->last &&
        \let words = (mapping->last - mapping->first) / ARCH_PAGE_SIZE / 64 + 1;
        \valid(bits + (0 .. words - 1)) && \separated(bits + (0 .. words - 1), mapping);
 */
/** The number of the page of a GPA, as in `written`. */
/*@ requires \valid_read(mapping) && mapping->first <= gpa;
    assigns \nothing;
    ensures \result == (gpa - mapping->first) / ARCH_PAGE_SIZE;
 */
static inline size_t gm_mapping_page(const gm_mapping_t *mapping, uintptr_t gpa)
{
    return (size_t)((gpa - mapping->first) / ARCH_PAGE_SIZE);
}

/** The size of `written`, and of `given`. */
/*@ requires \valid_read(mapping) && mapping->first <= mapping->last;
    assigns \nothing;
    ensures \result == ((mapping->last - mapping->first) / ARCH_PAGE_SIZE / 64 + 1) * 8;
 */
static inline size_t gm_mapping_written_bytes(const gm_mapping_t *mapping)
{
    return (gm_mapping_page(mapping, mapping->last) / 64 + 1) * sizeof(uint64_t);
}

/** Set or clear the bits of the pages of `[gpa, end]`. */
/*@ requires gm_mapping_bits(mapping, bits) && mapping->first <= gpa <= end <= mapping->last;
    assigns bits[(gpa - mapping->first) / ARCH_PAGE_SIZE / 64 ..
                 (end - mapping->first) / ARCH_PAGE_SIZE / 64];
 */
static inline void gm_mapping_mark(const gm_mapping_t *mapping, uint64_t *bits, uintptr_t gpa,
                                   uintptr_t end, bool set)
{
    size_t page = gm_mapping_page(mapping, gpa);
    size_t last = gm_mapping_page(mapping, end);
    //@ assert page / 64 <= last / 64 <= UINTPTR_MAX / ARCH_PAGE_SIZE / 64;
    /*@ loop invariant page <= i <= last + 1;
        loop assigns i, bits[page / 64 .. last / 64];
        loop variant last + 1 - i;
     */
    for (size_t i = page; i <= last; i++) {
        uint64_t bit = UINT64_C(1) << i % 64;
        bits[i / 64] = set ? bits[i / 64] | bit : bits[i / 64] & ~bit;
    }
}

/** Note that `[gpa, end]` is written, if the mapping is tracked. */
/*@ requires \valid_read(mapping) && mapping->first <= gpa <= end <= mapping->last;
    requires mapping->written != \null ==> gm_mapping_bits(mapping, mapping->written);
    assigns mapping->written[(gpa - mapping->first) / ARCH_PAGE_SIZE / 64 ..
                             (end - mapping->first) / ARCH_PAGE_SIZE / 64];
 */
static inline void gm_mapping_note(gm_mapping_t *mapping, uintptr_t gpa, uintptr_t end)
{
    if (mapping->written != NULL) {
        gm_mapping_mark(mapping, mapping->written, gpa, end, true);
    }
}
