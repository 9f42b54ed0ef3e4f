/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * IO spaces of the Tegra K1's SMMU: a directory that belongs to the IO space, and one level of
 * tables of 1,024 pages. Object type and size: libsel4's headers for arm_hyp; what a table spans:
 * the Tegra K1 Technical Reference Manual, chapter on the system memory management unit.
 */

#include "arch.h"

const gm_arch_table_t gm_arch_io_table = {
    .span_bits = seL4_PageBits + 10,
    .bits = seL4_IOPageTableBits,
    .type = seL4_ARM_IOPageTableObject,
};

const uint8_t gm_arch_io_index_bits = 10;

seL4_Error gm_arch_io_frame_map(seL4_CPtr frame, seL4_CPtr io_space, uintptr_t gpa,
                                seL4_CapRights_t rights)
{
    return (seL4_Error)seL4_ARM_Page_MapIO(frame, io_space, rights, gpa);
}

seL4_Error gm_arch_io_table_map(seL4_CPtr table, seL4_CPtr io_space, uintptr_t gpa)
{
    return (seL4_Error)seL4_ARM_IOPageTable_Map(table, io_space, gpa);
}
