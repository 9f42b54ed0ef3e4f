/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Guest memory in the VMM's hands: a range of GPAs as pieces that are contiguous in the VMM,
 * through windows that stay or, if the policy wants none, through frames that are mapped for the
 * moment.
 */

#include "memory.h"

/** Which memory may be accessed. */
typedef enum access_scope {
    ACCESS_RAM,    /* RAM only: what a guest's descriptors may point at */
    ACCESS_MAPPED, /* any mapped reservation */
} access_scope_t;

/** How large pieces are. */
typedef enum access_pieces {
    ACCESS_BY_PAGE,   /* no piece crosses a page */
    ACCESS_BY_WINDOW, /* as large as the VMM's mapping allows */
} access_pieces_t;

/**
 * Called for each piece, in ascending order.
 *
 * @param gpa      of its first byte
 * @param pointer  the same byte in the VMM, valid during the call
 * @param offset   bytes of the range that came before
 * @return 0 to go on
 */
typedef int (*access_fn)(vm_memory_t *memory, uintptr_t gpa, char *pointer, size_t size,
                         size_t offset, void *cookie);

/**
 * Access `[base, last]`. All of it is checked, and its windows opened, before the first piece.
 *
 * @param answer  receives what the last call of `access` answered
 * @return 0; -1 with the cause blamed if the range cannot be accessed
 */
int guest_access_each(vm_memory_t *memory, uintptr_t base, uintptr_t last, access_scope_t scope,
                      access_pieces_t pieces, access_fn access, void *cookie, int *answer);

/**
 * The pointer for RAM at `addr`, in a window that stays.
 *
 * @param length  receives how many bytes of RAM follow there, contiguous in the VMM
 * @return NULL with the cause blamed
 */
char *guest_access_pointer(vm_memory_t *memory, uintptr_t addr, size_t *length);

/**
 * Make two ranges of `size` bytes accessible, for a copy.
 *
 * @return 0; -1 with the cause blamed, and nothing has changed
 */
int guest_access_prepare(vm_memory_t *memory, uintptr_t to, uintptr_t from, size_t size);

/** As guest_access_pointer(), where the window is open. Cannot fail. */
char *guest_access_window(vm_memory_t *memory, uintptr_t addr, size_t *length);

/** The window of RAM that was used last: a hit needs no look-up. */
static inline char *guest_access_recent(const vm_memory_t *memory, uintptr_t addr, size_t size)
{
    const recent_window_t *recent = &memory->recent;
    uintptr_t offset = addr - recent->base;
    /* A size of 0 becomes the largest there is, and fits nowhere. */
    return offset < recent->length && size - 1 < recent->length - offset ? recent->pointer + offset
                                                                         : NULL;
}
