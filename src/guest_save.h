/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What guestmem_save() keeps of a VM. */

#include "vm_memory.h"

/** Free the saved state, if there is one; reservations are left alone. */
void gm_saved_destroy(gm_memory_t *memory);
