/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Extended page tables (EPT) of x86-64: a root (PML4) of 512 entries of 512 GiB, and three levels
 * of tables below it, each with an object type of its own. The kernel maps frames of 4 KiB and 2
 * MiB in them, no larger ones. Sizes, object types and attributes: libsel4's headers for x86_64 and
 * x86.
 */

#include "arch.h"

const gm_arch_frame_t gm_arch_frames[ARCH_NUM_FRAME_SIZES] = {
    {seL4_PageBits, GUESTMEM_FRAME_4K, seL4_X86_4K},
    {seL4_LargePageBits, GUESTMEM_FRAME_2M, seL4_X86_LargePageObject},
};

enum { TABLE_PDPT, TABLE_PD, TABLE_PT };

const gm_arch_table_t gm_arch_tables[ARCH_NUM_TABLE_LEVELS] = {
    [TABLE_PDPT] = {39, seL4_X86_EPTPDPTBits, seL4_X86_EPTPDPTObject},
    [TABLE_PD] = {30, seL4_X86_EPTPDBits, seL4_X86_EPTPDObject},
    [TABLE_PT] = {21, seL4_X86_EPTPTBits, seL4_X86_EPTPTObject},
};

/* What the root spans. The kernel does not check addresses above, but takes them modulo this. */
const uintptr_t gm_arch_guest_last = ((uintptr_t)1 << 48) - 1;

/* The image loader of libsel4vmmplatsupport maps copies of a guest's frames as pages of 4 KiB. */
const size_t gm_arch_runtime_frame_bits = seL4_PageBits;

/*
 * The kernel makes each mapping in an EPT readable, so a frame that the guest may not read is left
 * out: then all accesses fault, as they must. Unmapping such a frame does nothing.
 */
seL4_Error gm_arch_frame_map(seL4_CPtr frame, seL4_CPtr root, uintptr_t gpa,
                             seL4_CapRights_t rights, bool cacheable)
{
    if (!seL4_CapRights_get_capAllowRead(rights)) {
        return seL4_NoError;
    }
    /* Not seL4_X86_EPT_Uncached_VMAttributes, which is the value of WriteBack. */
    seL4_X86_EPT_VMAttributes attributes =
        cacheable ? seL4_X86_EPT_WriteBack : seL4_X86_EPT_Uncacheable;
    return (seL4_Error)seL4_X86_Page_MapEPT(frame, root, gpa, rights, attributes);
}

seL4_Error gm_arch_frame_unmap(seL4_CPtr frame)
{
    return (seL4_Error)seL4_X86_Page_Unmap(frame);
}

const bool gm_arch_frame_remaps = false;

seL4_Error gm_arch_frame_clean(seL4_CPtr frame, size_t offset, size_t size)
{
    (void)frame, (void)offset, (void)size; /* the caches are coherent */
    return seL4_NoError;
}

seL4_Error gm_arch_frame_unify(seL4_CPtr frame, size_t offset, size_t size)
{
    (void)frame, (void)offset, (void)size;
    return seL4_NoError;
}

seL4_Error gm_arch_table_map(int level, seL4_CPtr table, seL4_CPtr root, uintptr_t gpa)
{
    seL4_X86_EPT_VMAttributes attributes = seL4_X86_EPT_Default_VMAttributes;
    switch (level) {
    case TABLE_PDPT:
        return (seL4_Error)seL4_X86_EPTPDPT_Map(table, root, gpa, attributes);
    case TABLE_PD:
        return (seL4_Error)seL4_X86_EPTPD_Map(table, root, gpa, attributes);
    default:
        return (seL4_Error)seL4_X86_EPTPT_Map(table, root, gpa, attributes);
    }
}
