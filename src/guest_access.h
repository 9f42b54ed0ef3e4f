/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The VMM's access to all of a reservation, whatever its size: mapped first, so that it does
 * not fail half-way where windows can be had. */

#include <sel4vm/guest_ram.h>
#include "reservation.h"

/** Check that the VMM may read `[base, last]`, which is in one reservation and has all frames, and
 *  map it in the window, or else see that its frames can be mapped one by one.
 *  @return 0; -1 after gm_fail(), and nothing has changed. @see gm_access_settle */
int gm_access_map(gm_memory_t *memory, uintptr_t base, uintptr_t last);

/** Let what gm_access_map() has mapped of a reservation stay, or undo it. Cannot fail. */
void gm_access_settle(gm_memory_t *memory, vm_memory_reservation_t *reservation, bool stay);

/** Call `callback` for each page of a range that gm_access_map() has mapped, until it returns other
 *  than 0. Nothing is noted as written.
 *  @return what it returned last; -1 after gm_fail() if a frame cannot be mapped by itself */
int gm_access_each_page(gm_memory_t *memory, uintptr_t base, uintptr_t last,
                        ram_touch_callback_fn callback, void *cookie);

/** Clean a range from the caches, if the VM wants that. @return 0; -1 after gm_fail() */
int gm_access_clean(gm_memory_t *memory, uintptr_t base, uintptr_t last);
