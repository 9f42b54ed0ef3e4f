/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * IO spaces for a kernel that has none: address spaces of the hosted kernel stand in for them, with
 * two levels of page tables. They behave as IO spaces do, except that a mapping at an occupied
 * address is replaced.
 */

#include "arch.h"

const gm_arch_table_t gm_arch_io_table = {
    .span_bits = seL4_LargePageBits,
    .bits = seL4_PageTableBits,
    .type = seL4_ARM_PageTableObject,
};

const uint8_t gm_arch_io_index_bits = seL4_PageTableIndexBits;

seL4_Error gm_arch_io_frame_map(seL4_CPtr frame, seL4_CPtr io_space, uintptr_t gpa,
                                seL4_CapRights_t rights)
{
    return (seL4_Error)seL4_ARM_Page_Map(frame, io_space, gpa, rights,
                                         seL4_ARM_Default_VMAttributes);
}

seL4_Error gm_arch_io_table_map(seL4_CPtr table, seL4_CPtr io_space, uintptr_t gpa)
{
    return (seL4_Error)seL4_ARM_PageTable_Map(table, io_space, gpa, seL4_ARM_Default_VMAttributes);
}
