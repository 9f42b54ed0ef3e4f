/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What a failed seL4_ARM_Page_Map() returns about missing page tables. */

#include <sel4/functions.h>

/** Message register that holds the level. */
#define SEL4_MAPPING_LOOKUP_LEVEL  2
#define SEL4_MAPPING_LOOKUP_NO_PT  21
#define SEL4_MAPPING_LOOKUP_NO_PD  30
#define SEL4_MAPPING_LOOKUP_NO_PUD 39

/**
 * After a map that returned seL4_FailedLookup: log2 of the bytes that the missing table spans. 21
 * asks for the table of 4 KiB pages, 30 for the one above it; 12 says that a table is in the way.
 */
static inline seL4_Word seL4_MappingFailedLookupLevel(void)
{
    return seL4_GetMR(SEL4_MAPPING_LOOKUP_LEVEL);
}
