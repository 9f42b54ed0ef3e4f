/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file How many sizes of frames and levels of page tables there are in extended page tables. */

#define ARCH_NUM_FRAME_SIZES  2
#define ARCH_NUM_TABLE_LEVELS 3
