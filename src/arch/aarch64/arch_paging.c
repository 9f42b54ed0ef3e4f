/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * AArch64 in hypervisor mode. With 40 bits of physical address the root has 1,024 entries of 1 GiB,
 * and there are two levels of tables below it; with 44 bits there is one more. Sizes and object
 * types: libsel4's headers for aarch64; that one object type serves all levels, and that the kernel
 * picks the level: the seL4 manual.
 */

#include "arch_paging.h"

const arch_frame_t arch_frames[ARCH_NUM_FRAME_SIZES] = {
    {seL4_PageBits, GUESTMEM_FRAME_4K, seL4_ARM_SmallPageObject},
    {seL4_LargePageBits, GUESTMEM_FRAME_2M, seL4_ARM_LargePageObject},
    {seL4_HugePageBits, GUESTMEM_FRAME_1G, seL4_ARM_HugePageObject},
};

const arch_table_t arch_tables[ARCH_NUM_TABLE_LEVELS] = {
#if ARCH_NUM_TABLE_LEVELS == 3
    {seL4_HugePageBits + seL4_PageTableIndexBits, seL4_PageTableBits, seL4_ARM_PageTableObject},
#endif
    {seL4_HugePageBits, seL4_PageTableBits, seL4_ARM_PageTableObject},
    {seL4_LargePageBits, seL4_PageTableBits, seL4_ARM_PageTableObject},
};

const uintptr_t arch_guest_last = seL4_UserTop;

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
    (void)level; /* the kernel takes the outermost that is missing */
    return (seL4_Error)seL4_ARM_PageTable_Map(table, root, gpa, seL4_ARM_Default_VMAttributes);
}
