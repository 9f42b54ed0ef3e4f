/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * IO spaces of one architecture: what a device sees through its IOMMU. A folder of arch/ implements
 * this where its kernel has them, in arch_io.c.
 */

#include "arch_paging.h"

/** The innermost level of an IO space's page tables. Tables of all levels are of this type. */
extern const arch_table_t arch_io_table;

/** Each level outside spans 2^index_bits times what the one inside does. */
extern const uint8_t arch_io_index_bits;

/**
 * Map a frame of 4 KiB, the only size that the kernels take, in an IO space. The capability must
 * not be mapped anywhere; deleting it unmaps it.
 *
 * @param rights  must include reading
 * @return seL4_FailedLookup if a table is missing at `gpa`
 */
seL4_Error arch_io_frame_map(seL4_CPtr frame, seL4_CPtr io_space, uintptr_t gpa,
                             seL4_CapRights_t rights);

/** Install a table at the outermost level that is missing at `gpa`. Deleting it uninstalls it. */
seL4_Error arch_io_table_map(seL4_CPtr table, seL4_CPtr io_space, uintptr_t gpa);
