/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The IO spaces of a VM: what the guest has mapped, its devices see at the same addresses. Where
 * the kernel has no IO spaces, io_space_none.c implements this.
 */

#include <stddef.h>
#include "frame_run.h"

struct vm_memory_reservation_cookie;

/**
 * Map a run, which the guest has mapped, in all IO spaces.
 *
 * @return 0; -1 with the cause blamed, and nothing has changed
 * @see io_spaces_unmap
 */
int io_spaces_map(struct vm_memory_reservation_cookie *memory, const frame_run_t *run);

/** Undo io_spaces_map(). Cannot fail. */
void io_spaces_unmap(struct vm_memory_reservation_cookie *memory, const frame_run_t *run);

/** The largest frames that can be mapped everywhere, of those up to `size_bits`. */
size_t io_spaces_largest_frame(const struct vm_memory_reservation_cookie *memory, size_t size_bits);

/** Forget all IO spaces; nothing is mapped any more. */
void io_spaces_destroy(struct vm_memory_reservation_cookie *memory);
