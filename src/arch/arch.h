/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * One architecture: its frames and page tables, and the invocations on them. Each folder of arch/
 * implements this and nothing else: arch_sizes.h says how many sizes and levels there are, arch.c
 * the rest, and arch_io.c the last part, where a kernel of the architecture can have IO spaces.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <guestmem/inspect.h>
#include <sel4/sel4.h>
#include "address.h"
#include "arch_sizes.h"

/** Bytes that are cleaned to learn whether the kernel cleans a frame at all. */
#define ARCH_CLEAN_TRIAL 64

/** A frame size. */
typedef struct gm_arch_frame {
    uint8_t bits;    /* 2^bits bytes */
    uint8_t counter; /* its guestmem_frame_size_t */
    seL4_Word type;  /* of the object */
} gm_arch_frame_t;

/** Frame sizes that a guest can have, ascending; the first is a page. */
extern const gm_arch_frame_t gm_arch_frames[ARCH_NUM_FRAME_SIZES];

/*@ // 2^bits bytes may be a frame: a page, or less than 4 GiB.
    predicate gm_is_frame_bits(integer bits) = ARCH_PAGE_BITS <= bits < 32;

    // The i-th frame size of an architecture has that many bits.
    predicate gm_is_frame_size(integer i, integer bits) =
        0 <= i < ARCH_NUM_FRAME_SIZES && gm_arch_frames[i].bits == bits;

    predicate gm_is_frame(integer bits) = gm_is_frame_bits(bits) &&
        \exists integer i; gm_is_frame_size(i, bits);
 */

/** The index of a frame size in gm_arch_frames, or -1 if the architecture has none of `bits`. */
/*@ assigns \nothing;
    ensures \result == -1 || gm_is_frame_size(\result, bits);
    ensures \result == -1 ==> \forall integer i; !gm_is_frame_size(i, bits);
 */
static inline int gm_arch_frame_index(size_t bits)
{
    int i = ARCH_NUM_FRAME_SIZES - 1;
    /*@ loop invariant -1 <= i < ARCH_NUM_FRAME_SIZES;
        loop invariant \forall integer j; i < j ==> !gm_is_frame_size(j, bits);
        loop assigns i;
        loop variant i;
     */
    while (i >= 0 && gm_arch_frames[i].bits != bits) {
        i--;
    }
    return i;
}

/** The guestmem_frame_size_t of frames of a size that the architecture has. */
/*@ requires \exists integer i; gm_is_frame_size(i, bits);
    assigns \nothing;
    ensures \exists integer i; gm_is_frame_size(i, bits) && \result == gm_arch_frames[i].counter;
 */
static inline int gm_arch_frame_counter(size_t bits)
{
    return gm_arch_frames[gm_arch_frame_index(bits)].counter;
}

/** A level of page table objects. */
typedef struct gm_arch_table {
    uint8_t span_bits; /* of the address space that one table spans */
    uint8_t bits;      /* of the object */
    seL4_Word type;
} gm_arch_table_t;

/** Levels of page table objects below the root, outermost first. A frame needs the tables of all
 *  levels that span more than the frame. */
extern const gm_arch_table_t gm_arch_tables[ARCH_NUM_TABLE_LEVELS];

/** The size of the largest frames that code of the runtime can take which looks up a guest's
 *  frames through its vspace_t: the default of what the library acquires. */
extern const size_t gm_arch_runtime_frame_bits;

/** The last GPA that can be mapped. */
extern const uintptr_t gm_arch_guest_last;

/*@ // What the sizes of an architecture are like; proof/arch.c proves it of AArch64.
    predicate gm_arch_ok =
        gm_arch_frames[0].bits == ARCH_PAGE_BITS &&
        (\forall integer i; 0 <= i < ARCH_NUM_FRAME_SIZES ==>
            gm_is_frame_bits(gm_arch_frames[i].bits)) &&
        (\forall integer i, j; 0 <= i < j < ARCH_NUM_FRAME_SIZES ==>
            gm_arch_frames[i].bits < gm_arch_frames[j].bits) &&
        (\forall integer i; 0 <= i < ARCH_NUM_TABLE_LEVELS ==>
            ARCH_PAGE_BITS < gm_arch_tables[i].span_bits < 40) &&
        (\forall integer i, j; 0 <= i < j < ARCH_NUM_TABLE_LEVELS ==>
            gm_arch_tables[j].span_bits < gm_arch_tables[i].span_bits) &&
        gm_arch_guest_last <= UINTPTR_MAX - ARCH_PAGE_SIZE;
 */

/**
 * Map a frame in a guest. Uncached mappings are device memory, and are not executable from where
 * the architecture can say so. Rights that do not include reading give no access.
 */
/*@ assigns gm_mapped;
    ensures gm_mapped == \old(gm_mapped) + (\result == seL4_NoError ? 1 : 0);
 */
seL4_Error gm_arch_frame_map(seL4_CPtr frame, seL4_CPtr root, uintptr_t gpa,
                             seL4_CapRights_t rights, bool cacheable);
/*@ assigns gm_mapped, gm_refused;
    ensures \result == seL4_NoError ?
        gm_mapped == \old(gm_mapped) - 1 && gm_refused == \old(gm_refused) :
        gm_mapped == \old(gm_mapped) && gm_refused == \old(gm_refused) + 1;
 */
seL4_Error gm_arch_frame_unmap(seL4_CPtr frame);

/** Whether the kernel maps a frame in a guest again where it is mapped, with other rights. Some
 *  that do refuse it with seL4_DeleteFirst. */
extern const bool gm_arch_frame_remaps;

/** Make what the VMM wrote to bytes of a frame visible to a guest that runs with its caches off,
 * and what such a guest writes to the VMM. The capability must be mapped, anywhere. */
//@ assigns \nothing;
seL4_Error gm_arch_frame_clean(seL4_CPtr frame, size_t offset, size_t size);

/** Let the guest execute what the VMM wrote to bytes of a frame, not what instruction caches hold.
 * The capability must be mapped, anywhere. */
seL4_Error gm_arch_frame_unify(seL4_CPtr frame, size_t offset, size_t size);

/** Map a table of a level at `gpa`; those above it are there. Deleting it unmaps it. */
/*@ assigns \nothing; */
seL4_Error gm_arch_table_map(int level, seL4_CPtr table, seL4_CPtr root, uintptr_t gpa);

/** IO spaces: the innermost level of their page tables. Tables of all levels are of this type. */
extern const gm_arch_table_t gm_arch_io_table;

/** Each level of an IO space spans 2^index_bits times what the next one inside does. */
extern const uint8_t gm_arch_io_index_bits;

/**
 * Map a frame of 4 KiB, the only size that the kernels take, in an IO space. The capability must
 * not be mapped anywhere; deleting it unmaps it.
 *
 * @param rights  must include reading
 * @return seL4_FailedLookup if a table is missing at `gpa`
 */
seL4_Error gm_arch_io_frame_map(seL4_CPtr frame, seL4_CPtr io_space, uintptr_t gpa,
                                seL4_CapRights_t rights);

/** Map a table at the outermost level that is missing at `gpa`. Deleting it unmaps it. */
seL4_Error gm_arch_io_table_map(seL4_CPtr table, seL4_CPtr io_space, uintptr_t gpa);
