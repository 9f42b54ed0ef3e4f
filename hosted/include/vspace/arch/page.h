/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Page sizes and mapping invocations of AArch64 under names without the architecture. */

#include <stddef.h>
#include <sel4/sel4.h>
#include <utils/attribute.h>

/** Log2 of the page sizes, ascending. */
static const UNUSED size_t sel4_page_sizes[] = {seL4_PageBits, seL4_LargePageBits,
                                                seL4_HugePageBits};

#define seL4_ARCH_Uncached_VMAttributes 0
#define seL4_ARCH_Default_VMAttributes  seL4_ARM_Default_VMAttributes
#define seL4_ARCH_VMAttributes          seL4_ARM_VMAttributes
#define seL4_ARCH_Page_Map              seL4_ARM_Page_Map
#define seL4_ARCH_Page_Unmap            seL4_ARM_Page_Unmap
#define seL4_ARCH_Page_GetAddress       seL4_ARM_Page_GetAddress
#define seL4_ARCH_Page_GetAddress_t     seL4_ARM_Page_GetAddress_t
#define seL4_ARCH_PageTable_Map         seL4_ARM_PageTable_Map
#define seL4_ARCH_PageTable_Unmap       seL4_ARM_PageTable_Unmap
#define seL4_ARCH_ASIDPool_Assign       seL4_ARM_ASIDPool_Assign
#define seL4_ARCH_PageTableObject       seL4_ARM_PageTableObject
#define seL4_ARCH_4KPage                seL4_ARM_SmallPageObject
#define seL4_ARCH_LargePageObject       seL4_ARM_LargePageObject
