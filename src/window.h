/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Guest frames as the VMM sees them: windows, each with addresses for all pages of a mapping, so
 * that a GPA becomes a pointer by arithmetic, and with frames that are mapped when they are needed;
 * and single frames that are mapped for an access.
 */

#include "guest_space.h"

typedef struct gm_window {
    char *base;          /* HVA of the first page; NULL while the window is closed */
    size_t before;       /* bytes of its addresses that come before that */
    reservation_t range; /* of the VMM's address space */
    size_t num_frames;   /* mapped in it */
    size_t num_new;      /* of them, those that gm_window_settle() may unmap again */
    uint64_t refused_at; /* how many windows were closed when it was */
    bool cacheable;
    bool pointed; /* the VMM has pointers to some of its frames, see gm_window_point() */
    bool refused; /* the VMM has no addresses for it: not asked again until a window is closed */
} gm_window_t;

/**
 * Map the frames of `[gpa, end]`, which is mapped in the guest without gaps, in the window of the
 * mapping `[first, last]`, which is opened if it is not: readable and writable as far as their
 * capabilities go, whatever the guest's rights are, and cached as in the guest. Frames that are
 * larger than those which the window was made for, or cached otherwise, are left out.
 *
 * @return 0, to be settled; -1 after gm_fail(), and nothing has changed
 * @see gm_window_settle
 */
int gm_window_map(gm_memory_t *memory, gm_window_t *window, uintptr_t first, uintptr_t last,
                  uintptr_t gpa, uintptr_t end);

/** Let what gm_window_map() with these addresses has mapped stay, or undo it. Cannot fail. */
void gm_window_settle(gm_memory_t *memory, gm_window_t *window, uintptr_t first, uintptr_t gpa,
                      uintptr_t end, bool stay);

/** The last address up to `end` such that all of `[gpa, ..]` is mapped in the window; NULL as
 *  `*pointer` if `gpa` is not, else the pointer to it. */
/*@ requires gm_runs_ok(memory) && gm_runs_readable(memory);
    requires \valid_read(window) && \valid(pointer) && first <= gpa <= end;
    assigns *pointer;
    ensures gpa <= \result <= end;
    ensures *pointer == \null || *pointer == \old(window->base) + (gpa - first);
 */
uintptr_t gm_window_find(const gm_memory_t *memory, const gm_window_t *window, uintptr_t first,
                         uintptr_t gpa, uintptr_t end, char **pointer);

/** Note that the VMM has a pointer to `[gpa, end]`, which is in the window. */
void gm_window_point(gm_memory_t *memory, gm_window_t *window, uintptr_t gpa, uintptr_t end);

/** Find the lowest frame from `*gpa` on to `end` that the VMM has a pointer to.
 *  @return whether there is one; `*gpa` is its first address then */
/*@ requires gm_runs_ok(memory) && gm_runs_readable(memory);
    requires \valid_read(window) && \valid(gpa) && *gpa <= end;
    assigns *gpa;
    ensures \result ? \old(*gpa) <= *gpa : *gpa == \old(*gpa);
 */
bool gm_window_next_pointed(const gm_memory_t *memory, const gm_window_t *window, uintptr_t *gpa,
                            uintptr_t end);

/** Unmap the window of a mapping, if it is open, and what is mapped for access of its frames.
 *  Cannot fail. */
void gm_window_close(gm_memory_t *memory, gm_window_t *window, uintptr_t first, uintptr_t last);

/** The same for the frames of `[gpa, end]`, which are whole runs; the window of `[first, last]` is
 *  closed with its last frame. */
void gm_window_drop(gm_memory_t *memory, gm_window_t *window, uintptr_t first, uintptr_t last,
                    uintptr_t gpa, uintptr_t end);

/**
 * Map a frame of a run for an access. It stays mapped afterwards, until another one is needed.
 *
 * @return 0; -1 after gm_fail(), and nothing has changed
 * @see gm_temporary_unmap
 */
int gm_temporary_map(gm_memory_t *memory, gm_run_t *run, size_t index, gm_temporary_t *temporary);

/** The access is over. Does nothing to none. Cannot fail. */
void gm_temporary_unmap(gm_memory_t *memory, gm_temporary_t *temporary);

/** Unmap the frame that is still mapped, if there is one. Cannot fail. */
void gm_temporary_forget(gm_memory_t *memory);

/**
 * Copy what is in a run's frames to another run at the same addresses, of frames that are no larger
 * and not mapped anywhere yet.
 *
 * @return 0; -1 after gm_fail()
 */
int gm_window_copy(gm_memory_t *memory, gm_run_t *from, const gm_run_t *to);

/**
 * Zero the frames of a run, which are not mapped anywhere yet, in memory: no cache has them.
 *
 * @return 0; -1 after gm_fail()
 */
int gm_window_clear(gm_memory_t *memory, const gm_run_t *run);
