/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file How many sizes of frames and levels of page tables there are on 32-bit ARM. */

#define ARCH_NUM_FRAME_SIZES  4
#define ARCH_NUM_TABLE_LEVELS 1
