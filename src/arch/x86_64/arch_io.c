/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * IO spaces through VT-d. How many levels of tables there are is up to the machine (the kernel
 * reads it from the IOMMU), with the outermost among them. Sizes and types: libsel4's headers for
 * x86_64.
 */

#include "arch.h"

const gm_arch_table_t gm_arch_io_table = {
    .span_bits = seL4_PageBits + seL4_IOPageTableIndexBits,
    .bits = seL4_IOPageTableBits,
    .type = seL4_X86_IOPageTableObject,
};

const uint8_t gm_arch_io_index_bits = seL4_IOPageTableIndexBits;

seL4_Error gm_arch_io_frame_map(seL4_CPtr frame, seL4_CPtr io_space, uintptr_t gpa,
                                seL4_CapRights_t rights)
{
    return (seL4_Error)seL4_X86_Page_MapIO(frame, io_space, rights, gpa);
}

seL4_Error gm_arch_io_table_map(seL4_CPtr table, seL4_CPtr io_space, uintptr_t gpa)
{
    return (seL4_Error)seL4_X86_IOPageTable_Map(table, io_space, gpa);
}
