/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The forms of `guestmem plan` that other systems' builders read, on standard output. */

#include "memory_map.h"

/** A system description of Microkit with the VM's memory. */
void plan_microkit(const memory_map_t *map);
