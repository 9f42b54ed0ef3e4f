/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Guest frames as the VMM sees them: one linear window for all pages of a mapping, so that a GPA
 * becomes a pointer by arithmetic.
 */

#include <stddef.h>
#include <stdint.h>
#include <sel4/sel4.h>
#include <vspace/vspace.h>

struct vm_memory_reservation_cookie;

typedef struct vmm_window {
    char *base;          /* where the first page is seen; NULL while the window is closed */
    reservation_t range; /* of the VMM's address space */
} vmm_window_t;

/**
 * Open a window on `[first, last]`, which is mapped in the guest without gaps. The VMM can read and
 * write there, whatever the guest may do, with the same caching as the guest's.
 *
 * @return 0; -1 with the cause blamed, and nothing has changed
 * @see vmm_window_close
 */
int vmm_window_open(struct vm_memory_reservation_cookie *memory, vmm_window_t *window,
                    uintptr_t first, uintptr_t last);

/** Close a window; does nothing to a closed one. Cannot fail. */
void vmm_window_close(struct vm_memory_reservation_cookie *memory, vmm_window_t *window,
                      uintptr_t first, uintptr_t last);
