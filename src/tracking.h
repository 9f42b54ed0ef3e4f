/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The guest's rights to the frames of a mapping: changed, or taken for a while to see which
 *  are written. */

#include "mapping.h"

/** Give the guest these rights to `[first, last]`, whose pages have whole frames.
 *  @return 0; -1 after gm_fail(), and nothing has changed */
int gm_tracking_protect(gm_memory_t *memory, gm_mapping_t *mapping, uintptr_t first, uintptr_t last,
                        seL4_CapRights_t rights);

/** Begin and end to track which frames are written; does nothing where it is so already. For
 *  `pages`, large frames are broken into small ones.
 *  @return 0; -1 after gm_fail(), and nothing has changed */
int gm_tracking_begin(gm_memory_t *memory, gm_mapping_t *mapping, bool pages);
int gm_tracking_end(gm_memory_t *memory, gm_mapping_t *mapping);

/** Whether the frame at `gpa` is there, and a fault is of a guest that may write it but for
 * tracking, or could when it faulted. */
bool gm_tracking_holds(const gm_memory_t *memory, const gm_mapping_t *mapping, uintptr_t gpa);

/** Note a write of the guest's, and give it the right. @return 0; -1 after gm_fail(), unchanged */
int gm_tracking_give_right(gm_memory_t *memory, gm_mapping_t *mapping, uintptr_t gpa);

/** Take the right to write from all frames with written pages; their bits stay.
 *  @return 0; -1 after gm_fail(), and the bits are as before */
int gm_tracking_rearm(gm_memory_t *memory, gm_mapping_t *mapping);

/** gm_tracking_end() that cannot fail: a frame to which the kernel does not give the right back is
 *  unmapped, and counted as lost. */
void gm_tracking_forget(gm_memory_t *memory, gm_mapping_t *mapping);

/** Forget what is written, after gm_tracking_rearm(). */
static inline void gm_tracking_clear(gm_mapping_t *mapping)
{
    memset(mapping->written, 0, gm_mapping_written_bytes(mapping));
}

/** Find the lowest written page from `*gpa` on, and the frame around it, if it has one.
 *  @return whether there is one */
/*@ requires gm_runs_ok(memory) && gm_mapping_bits(mapping, mapping->written);
    requires mapping->first % ARCH_PAGE_SIZE == 0 && mapping->last < UINTPTR_MAX;
    requires \valid(gpa) && \valid(last) && \separated(gpa, last) && mapping->first <= *gpa;
    assigns *gpa, *last;
    ensures \result ==> *gpa <= *last && *gpa <= \old(mapping->last) &&
        \old(*gpa) - ARCH_PAGE_SIZE < *last;
 */
bool gm_tracking_find(const gm_memory_t *memory, const gm_mapping_t *mapping, uintptr_t *gpa,
                      uintptr_t *last);

/** The same, and forget that these are written. */
bool gm_tracking_next(const gm_memory_t *memory, gm_mapping_t *mapping, uintptr_t *gpa,
                      uintptr_t *last);
