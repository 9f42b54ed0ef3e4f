/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * AArch64 in hypervisor mode with 40 bits of physical address: a root of 1,024 entries of 1 GiB,
 * and two levels of tables below it. Sizes and object types: libsel4's headers for aarch64; that
 * one object type serves both levels, and that the kernel picks the level: the seL4 manual.
 */

#include "arch_paging.h"

const uint8_t arch_frame_bits[ARCH_NUM_FRAME_SIZES] = {seL4_PageBits, seL4_LargePageBits,
                                                       seL4_HugePageBits};
const seL4_Word arch_frame_types[ARCH_NUM_FRAME_SIZES] = {
    seL4_ARM_SmallPageObject, seL4_ARM_LargePageObject, seL4_ARM_HugePageObject};

const uint8_t arch_table_span_bits[ARCH_NUM_TABLE_LEVELS] = {seL4_HugePageBits, seL4_LargePageBits};
const seL4_Word arch_table_type = seL4_ARM_PageTableObject;
const seL4_Word arch_table_bits = seL4_PageTableBits;

const uintptr_t arch_guest_last = seL4_UserTop;

int arch_frame_index(size_t size_bits)
{
    for (int i = 0; i < ARCH_NUM_FRAME_SIZES; i++) {
        if (arch_frame_bits[i] == size_bits) {
            return i;
        }
    }
    return -1;
}

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

seL4_Error arch_table_map(seL4_CPtr table, seL4_CPtr root, uintptr_t gpa)
{
    return (seL4_Error)seL4_ARM_PageTable_Map(table, root, gpa, seL4_ARM_Default_VMAttributes);
}
