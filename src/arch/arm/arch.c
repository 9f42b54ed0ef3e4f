/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * ARM in hypervisor mode. The invocations are the same on AArch64 and on 32-bit ARM; sizes and
 * object types are from libsel4's headers for aarch64 and arm_hyp.
 *
 * AArch64: with 40 bits of physical address the root has 1,024 entries of 1 GiB, and there are two
 * levels of tables below it; with 44 bits there is one more. One object type serves all levels, and
 * the kernel picks the outermost that is missing (the seL4 manual).
 *
 * 32-bit: a page directory of 2,048 entries of 2 MiB, and page tables of 512 pages below it. A
 * frame of 64 KiB is 16 entries of a table, one of 32 MiB is 16 of the directory.
 */

#include "arch.h"

#ifdef CONFIG_ARCH_AARCH64
const gm_arch_frame_t gm_arch_frames[ARCH_NUM_FRAME_SIZES] = {
    {seL4_PageBits, GUESTMEM_FRAME_4K, seL4_ARM_SmallPageObject},
    {seL4_LargePageBits, GUESTMEM_FRAME_2M, seL4_ARM_LargePageObject},
    {seL4_HugePageBits, GUESTMEM_FRAME_1G, seL4_ARM_HugePageObject},
};

const gm_arch_table_t gm_arch_tables[ARCH_NUM_TABLE_LEVELS] = {
#if ARCH_NUM_TABLE_LEVELS == 3
    {seL4_HugePageBits + seL4_PageTableIndexBits, seL4_PageTableBits, seL4_ARM_PageTableObject},
#endif
    {seL4_HugePageBits, seL4_PageTableBits, seL4_ARM_PageTableObject},
    {seL4_LargePageBits, seL4_PageTableBits, seL4_ARM_PageTableObject},
};

const uintptr_t gm_arch_guest_last = seL4_UserTop;
#else
const gm_arch_frame_t gm_arch_frames[ARCH_NUM_FRAME_SIZES] = {
    {seL4_PageBits, GUESTMEM_FRAME_4K, seL4_ARM_SmallPageObject},
    {seL4_LargePageBits, GUESTMEM_FRAME_64K, seL4_ARM_LargePageObject},
    {seL4_SectionBits, GUESTMEM_FRAME_2M, seL4_ARM_SectionObject},
    {seL4_SuperSectionBits, GUESTMEM_FRAME_32M, seL4_ARM_SuperSectionObject},
};

const gm_arch_table_t gm_arch_tables[ARCH_NUM_TABLE_LEVELS] = {
    {seL4_SectionBits, seL4_PageTableBits, seL4_ARM_PageTableObject},
};

/* The kernel keeps what is above for itself, in the address spaces of guests as well. */
const uintptr_t gm_arch_guest_last = seL4_UserTop - 1;
#endif

/* vm_arm_ipa_to_pa() of libsel4vm asserts that a frame is one of these two sizes. */
#ifdef CONFIG_ARCH_AARCH64
const size_t gm_arch_runtime_frame_bits = seL4_LargePageBits;
#else
const size_t gm_arch_runtime_frame_bits = seL4_SectionBits;
#endif

seL4_Error gm_arch_frame_map(seL4_CPtr frame, seL4_CPtr root, uintptr_t gpa,
                             seL4_CapRights_t rights, bool cacheable)
{
    seL4_ARM_VMAttributes attributes =
        cacheable ? seL4_ARM_Default_VMAttributes : seL4_ARM_ExecuteNever;
    return (seL4_Error)seL4_ARM_Page_Map(frame, root, gpa, rights, attributes);
}

seL4_Error gm_arch_frame_unmap(seL4_CPtr frame)
{
    return (seL4_Error)seL4_ARM_Page_Unmap(frame);
}

const bool gm_arch_frame_remaps = true;

seL4_Error gm_arch_frame_clean(seL4_CPtr frame, size_t offset, size_t size)
{
    return (seL4_Error)seL4_ARM_Page_CleanInvalidate_Data(frame, offset, offset + size);
}

seL4_Error gm_arch_frame_unify(seL4_CPtr frame, size_t offset, size_t size)
{
    return (seL4_Error)seL4_ARM_Page_Unify_Instruction(frame, offset, offset + size);
}

seL4_Error gm_arch_table_map(int level, seL4_CPtr table, seL4_CPtr root, uintptr_t gpa)
{
    (void)level; /* the kernel takes the outermost that is missing */
    return (seL4_Error)seL4_ARM_PageTable_Map(table, root, gpa, seL4_ARM_Default_VMAttributes);
}
