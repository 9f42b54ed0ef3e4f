/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Frames and page tables of one architecture: which there are, and the invocations on them. Each
 * folder of arch/ implements this and nothing else: how many sizes and levels there are in
 * arch_sizes.h, the rest in arch_paging.c.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <guestmem/inspect.h>
#include <sel4/sel4.h>
#include "arch_sizes.h"

#define ARCH_PAGE_BITS 12
#define ARCH_PAGE_SIZE ((uintptr_t)1 << ARCH_PAGE_BITS)

/** A size of frames. */
typedef struct arch_frame {
    uint8_t bits;    /* 2^bits bytes */
    uint8_t counter; /* its guestmem_frame_size_t */
    seL4_Word type;  /* of the object */
} arch_frame_t;

/** Frame sizes that a guest can have, ascending; the first is that of a page. */
extern const arch_frame_t arch_frames[ARCH_NUM_FRAME_SIZES];

/** The index of a frame size in arch_frames, or -1 if the architecture has none of `size_bits`. */
int arch_frame_index(size_t size_bits);

/** Where frames of a size that the architecture has are counted. */
guestmem_frame_size_t arch_frame_counter(size_t size_bits);

/** A level of page table objects. */
typedef struct arch_table {
    uint8_t span_bits; /* of the address space that one table spans */
    uint8_t bits;      /* of the object */
    seL4_Word type;
} arch_table_t;

/**
 * Levels of page table objects below the root, outermost first. A frame lies in the tables of all
 * levels that span more than the frame.
 */
extern const arch_table_t arch_tables[ARCH_NUM_TABLE_LEVELS];

/** The last GPA that can be mapped. */
extern const uintptr_t arch_guest_last;

/**
 * Map a frame in a guest.
 *
 * Uncached mappings are device memory, and are not executable from where the architecture can say
 * so. Rights that do not include reading give no access.
 */
seL4_Error arch_frame_map(seL4_CPtr frame, seL4_CPtr root, uintptr_t gpa, seL4_CapRights_t rights,
                          bool cacheable);
seL4_Error arch_frame_unmap(seL4_CPtr frame);

/** Make what the VMM wrote to a frame visible to a guest that runs with its caches off. */
void arch_frame_clean(seL4_CPtr frame, size_t size_bits);

/** Install a table of a level at `gpa`; those above are there. Deleting it uninstalls it. */
seL4_Error arch_table_map(int level, seL4_CPtr table, seL4_CPtr root, uintptr_t gpa);
