/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Frames and page tables of one architecture: which there are, and the invocations on them. Each
 * folder of arch/ implements this and nothing else.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sel4/sel4.h>

#define ARCH_PAGE_BITS 12
#define ARCH_PAGE_SIZE ((uintptr_t)1 << ARCH_PAGE_BITS)

/** Frame sizes, ascending; `guestmem_frame_size_t` indexes them. */
#define ARCH_NUM_FRAME_SIZES 3
extern const uint8_t arch_frame_bits[ARCH_NUM_FRAME_SIZES];
extern const seL4_Word arch_frame_types[ARCH_NUM_FRAME_SIZES];

/** The index of a frame size, or -1 if the architecture has none of `size_bits`. */
int arch_frame_index(size_t size_bits);

/**
 * Levels of page table objects below the root, outermost first, each by the bits of address space
 * that one table spans. A frame lies in the tables of all levels that span more than the frame.
 */
#define ARCH_NUM_TABLE_LEVELS 2
extern const uint8_t arch_table_span_bits[ARCH_NUM_TABLE_LEVELS];
extern const seL4_Word arch_table_type;
extern const seL4_Word arch_table_bits;

/** The last GPA that can be mapped. */
extern const uintptr_t arch_guest_last;

/**
 * Map a frame in a guest.
 *
 * Uncached mappings are device memory and are not executable from.
 */
seL4_Error arch_frame_map(seL4_CPtr frame, seL4_CPtr root, uintptr_t gpa, seL4_CapRights_t rights,
                          bool cacheable);
seL4_Error arch_frame_unmap(seL4_CPtr frame);

/** Make what the VMM wrote to a frame visible to a guest that runs with its caches off. */
void arch_frame_clean(seL4_CPtr frame, size_t size_bits);

/** Install a table at the outermost level that is missing at `gpa`. Deleting it uninstalls it. */
seL4_Error arch_table_map(seL4_CPtr table, seL4_CPtr root, uintptr_t gpa);
