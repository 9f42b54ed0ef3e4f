/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Guest frames as the VMM sees them: windows, each for all pages of a mapping, so that a GPA
 * becomes a pointer by arithmetic; and single frames that are mapped for a moment.
 */

#include "guest_space.h"

typedef struct gm_window {
    char *base;          /* HVA of the first page; NULL while the window is closed */
    reservation_t range; /* of the VMM's address space */
} gm_window_t;

/**
 * Map `[first, last]`, which is mapped in the guest without gaps, in the VMM: readable and
 * writable, whatever the guest's rights are, and cached as it is in the guest.
 *
 * @return 0; -1 after gm_fail(), and nothing has changed
 * @see gm_window_close
 */
int gm_window_open(gm_memory_t *memory, gm_window_t *window, uintptr_t first, uintptr_t last);

/** Unmap a window; does nothing if it is closed. Cannot fail. */
void gm_window_close(gm_memory_t *memory, gm_window_t *window, uintptr_t first, uintptr_t last);

/** A frame that the VMM has mapped for a moment. */
typedef struct gm_temporary {
    void *vaddr; /* NULL: none */
    seL4_CPtr cap;
    size_t size_bits;
    reservation_t range; /* of the VMM's address space, for a large frame */
} gm_temporary_t;

/**
 * Map a frame of a run for a moment.
 *
 * @return 0; -1 after gm_fail(), and nothing has changed
 * @see gm_temporary_unmap
 */
int gm_temporary_map(gm_memory_t *memory, const gm_run_t *run, size_t index,
                     gm_temporary_t *temporary);

/** Undo gm_temporary_map(); does nothing to none. Cannot fail. */
void gm_temporary_unmap(gm_memory_t *memory, gm_temporary_t *temporary);

/**
 * Zero the frames of a run, which are not mapped anywhere yet, and clean them from the caches.
 *
 * @return 0; -1 after gm_fail()
 */
int gm_window_clear(gm_memory_t *memory, const gm_run_t *run);
