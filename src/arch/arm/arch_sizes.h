/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file How many frame sizes and levels of page tables ARM has in hypervisor mode. */

#include <sel4/config.h>

#ifdef CONFIG_ARCH_AARCH64
#define ARCH_NUM_FRAME_SIZES 3
/* The root has 1,024 entries of 1 GiB with 40 bits of physical address, else 512 of 512 GiB. */
#ifdef CONFIG_ARM_PA_SIZE_BITS_40
#define ARCH_NUM_TABLE_LEVELS 2
#else
#define ARCH_NUM_TABLE_LEVELS 3
#endif
#else
#define ARCH_NUM_FRAME_SIZES  4
#define ARCH_NUM_TABLE_LEVELS 1
#endif
