/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Single frames in the VMM's hands: copies of their capabilities, and frames that the VMM maps for
 * a moment.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sel4/sel4.h>
#include <vspace/vspace.h>

struct vm_memory_reservation_cookie;

/**
 * Copy a frame's capability; the copy is not mapped, whatever the original is.
 *
 * @param copy  receives the copy
 * @return 0; -1 with the cause blamed
 * @see vmm_frame_drop
 */
int vmm_frame_copy(struct vm_memory_reservation_cookie *memory, seL4_CPtr frame, seL4_CPtr *copy);

/** Delete a copy, and free its slot. Cannot fail. */
void vmm_frame_drop(struct vm_memory_reservation_cookie *memory, seL4_CPtr copy);

/**
 * Map a frame, which is not mapped anywhere, in a reserved range of the VMM's address space.
 *
 * @param vaddr  a multiple of the frame's size
 * @return 0; -1 with the cause blamed: GUESTMEM_NO_ADDRESS where another range may do
 */
int vmm_frame_map_at(struct vm_memory_reservation_cookie *memory, seL4_CPtr frame, size_t size_bits,
                     bool cacheable, void *vaddr, reservation_t range);

/** A frame that the VMM has mapped for a moment. */
typedef struct vmm_loan {
    void *vaddr;    /* where it is seen; NULL: none */
    seL4_CPtr copy; /* of its capability */
    size_t size_bits;
    reservation_t range; /* of the VMM's address space, of a large frame */
} vmm_loan_t;

/**
 * Map a frame, which the guest may have mapped, for a moment.
 *
 * @return 0; -1 with the cause blamed, and nothing has changed
 * @see vmm_frame_return
 */
int vmm_frame_lend(struct vm_memory_reservation_cookie *memory, seL4_CPtr frame, size_t size_bits,
                   bool cacheable, vmm_loan_t *loan);

/** End a loan; does nothing to none. Cannot fail. */
void vmm_frame_return(struct vm_memory_reservation_cookie *memory, vmm_loan_t *loan);

/**
 * Zero a frame that is not mapped anywhere, and make that visible to guests.
 *
 * @return 0; -1 with the cause blamed
 */
int vmm_frame_clear(struct vm_memory_reservation_cookie *memory, seL4_CPtr frame, size_t size_bits);
