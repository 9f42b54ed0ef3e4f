/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file IO spaces: what the guest has mapped is mapped for its devices at the same addresses. */

#include "frame.h"

/** Map a run in the IO spaces of a VM that has any. @see gm_iospaces_map */
int gm_iospaces_map_run(gm_memory_t *memory, gm_run_t *run);
void gm_iospaces_unmap_run(gm_memory_t *memory, gm_run_t *run);

/**
 * Map a run, which the guest has mapped, in all IO spaces.
 *
 * @return 0; -1 after gm_fail(), and nothing has changed
 * @see gm_iospaces_unmap
 */
/*@ requires \valid_read(memory);
    requires own: memory->iospaces == \null;
    assigns \nothing;
    ensures \result == 0;
 */
static inline int gm_iospaces_map(gm_memory_t *memory, gm_run_t *run)
{
    return memory->iospaces != NULL ? gm_iospaces_map_run(memory, run) : 0;
}

/** Undo gm_iospaces_map(). Cannot fail. */
/*@ requires \valid_read(memory);
    requires own: memory->iospaces == \null;
    assigns \nothing;
 */
static inline void gm_iospaces_unmap(gm_memory_t *memory, gm_run_t *run)
{
    if (memory->iospaces != NULL) {
        gm_iospaces_unmap_run(memory, run);
    }
}

/** Cut the records of a run as gm_run_cut() has cut it. @return 0; -1 after gm_fail(), unchanged */
int gm_iospaces_cut_run(gm_memory_t *memory, const gm_run_t *run, const gm_run_t *rest);
void gm_iospaces_join_run(gm_memory_t *memory, const gm_run_t *run, const gm_run_t *rest);

static inline int gm_iospaces_cut(gm_memory_t *memory, const gm_run_t *run, const gm_run_t *rest)
{
    return memory->iospaces != NULL ? gm_iospaces_cut_run(memory, run, rest) : 0;
}

/** Undo gm_iospaces_cut(). Cannot fail. */
static inline void gm_iospaces_join(gm_memory_t *memory, const gm_run_t *run, const gm_run_t *rest)
{
    if (memory->iospaces != NULL) {
        gm_iospaces_join_run(memory, run, rest);
    }
}

/** Free the records of all IO spaces; nothing is mapped in them any more. */
void gm_iospaces_destroy(gm_memory_t *memory);
