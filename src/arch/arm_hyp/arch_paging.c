/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * 32-bit ARM in hypervisor mode: a page directory of 2,048 entries of 2 MiB, and page tables of 512
 * pages below it. A frame of 64 KiB is 16 entries of a table, one of 32 MiB is 16 of the directory.
 * Sizes and object types: libsel4's headers for arm_hyp.
 */

#include "arch_paging.h"

const arch_frame_t arch_frames[ARCH_NUM_FRAME_SIZES] = {
    {seL4_PageBits, GUESTMEM_FRAME_4K, seL4_ARM_SmallPageObject},
    {seL4_LargePageBits, GUESTMEM_FRAME_64K, seL4_ARM_LargePageObject},
    {seL4_SectionBits, GUESTMEM_FRAME_2M, seL4_ARM_SectionObject},
    {seL4_SuperSectionBits, GUESTMEM_FRAME_32M, seL4_ARM_SuperSectionObject},
};

const arch_table_t arch_tables[ARCH_NUM_TABLE_LEVELS] = {
    {seL4_SectionBits, seL4_PageTableBits, seL4_ARM_PageTableObject},
};

/* The kernel keeps what is above for itself, in the address spaces of guests as well. */
const uintptr_t arch_guest_last = seL4_UserTop - 1;

seL4_Error arch_frame_map(seL4_CPtr frame, seL4_CPtr root, uintptr_t gpa, seL4_CapRights_t rights,
                          bool cacheable)
{
    seL4_ARM_VMAttributes attributes =
        cacheable ? seL4_ARM_Default_VMAttributes : seL4_ARM_ExecuteNever;
    return (seL4_Error)seL4_ARM_Page_Map(frame, root, gpa, rights, attributes);
}

seL4_Error arch_frame_unmap(seL4_CPtr frame)
{
    return (seL4_Error)seL4_ARM_Page_Unmap(frame);
}

void arch_frame_clean(seL4_CPtr frame, size_t size_bits)
{
    /* It can only fail for a frame that is not mapped, whose content nobody wrote. */
    (void)seL4_ARM_Page_CleanInvalidate_Data(frame, 0, (seL4_Word)1 << size_bits);
}

seL4_Error arch_table_map(int level, seL4_CPtr table, seL4_CPtr root, uintptr_t gpa)
{
    (void)level; /* there is one */
    return (seL4_Error)seL4_ARM_PageTable_Map(table, root, gpa, seL4_ARM_Default_VMAttributes);
}
