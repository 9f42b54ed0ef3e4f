/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A frame capability can be mapped once, and the guest's is in the guest: so what the VMM maps is a
 * copy. All goes through the VMM's own vspace_t.
 */

#include <string.h>
#include <vka/capops.h>
#include "arch_paging.h"
#include "memory.h"
#include "vmm_detour.h"
#include "vmm_frame.h"

static vspace_t *vmm_vspace(vm_memory_t *memory)
{
    return &memory->vm->mem.vmm_vspace;
}

void vmm_frame_drop(vm_memory_t *memory, seL4_CPtr copy)
{
    cspacepath_t path;
    vka_cspace_make_path(memory->vm->vka, copy, &path);
    memory->counts.cap_deletes++;
    if (vka_cnode_delete(&path) == seL4_NoError) {
        vka_cspace_free_path(memory->vm->vka, path);
    }
}

int vmm_frame_copy(vm_memory_t *memory, seL4_CPtr frame, seL4_CPtr *copy)
{
    vka_t *vka = memory->vm->vka;
    cspacepath_t from;
    cspacepath_t to;
    vka_cspace_make_path(vka, frame, &from);
    if (vka_cspace_alloc_path(vka, &to) != 0) {
        return memory_blame(memory, GUESTMEM_NO_SLOT,
                            "the allocator has no capability slot to map a frame in the VMM");
    }
    memory->counts.cap_copies++;
    int error = vka_cnode_copy(&to, &from, seL4_AllRights);
    if (error != seL4_NoError) {
        vka_cspace_free_path(vka, to);
        return memory_blame_kernel(memory, (seL4_Error)error,
                                   "could not copy a frame's capability for the VMM");
    }
    *copy = to.capPtr;
    return 0;
}

/* Map a frame at any address. */
static void *map_anywhere(vm_memory_t *memory, seL4_CPtr frame, size_t size_bits, bool cacheable)
{
    vspace_t *vmm = vmm_vspace(memory);
    vmm_detour_t detour = {.count = 0};
    void *vaddr;
    do {
        vaddr = vspace_map_pages(vmm, &frame, NULL, seL4_AllRights, 1, size_bits, cacheable);
    } while (vaddr == NULL && vmm_detour_take(vmm, &detour, (size_t)1 << size_bits, size_bits));
    vmm_detour_end(vmm, &detour);
    return vaddr;
}

int vmm_frame_lend(vm_memory_t *memory, seL4_CPtr frame, size_t size_bits, bool cacheable,
                   vmm_loan_t *loan)
{
    seL4_CPtr copy = seL4_CapNull;
    if (vmm_frame_copy(memory, frame, &copy) != 0) {
        return -1;
    }
    void *vaddr = map_anywhere(memory, copy, size_bits, cacheable);
    if (vaddr == NULL) {
        vmm_frame_drop(memory, copy);
        return memory_blame(memory, GUESTMEM_NO_ADDRESS, "could not map a frame in the VMM");
    }
    *loan = (vmm_loan_t){vaddr, copy, size_bits};
    return 0;
}

void vmm_frame_return(vm_memory_t *memory, vmm_loan_t *loan)
{
    if (loan->vaddr != NULL) {
        vspace_unmap_pages(vmm_vspace(memory), loan->vaddr, 1, loan->size_bits, VSPACE_PRESERVE);
        vmm_frame_drop(memory, loan->copy);
    }
}

int vmm_frame_clear(vm_memory_t *memory, seL4_CPtr frame, size_t size_bits)
{
    void *vaddr = map_anywhere(memory, frame, size_bits, true);
    if (vaddr == NULL) {
        return memory_blame(memory, GUESTMEM_NO_ADDRESS,
                            "could not map a frame in the VMM to clear it");
    }
    memset(vaddr, 0, (size_t)1 << size_bits);
    arch_frame_clean(frame, size_bits);
    vspace_unmap_pages(vmm_vspace(memory), vaddr, 1, size_bits, VSPACE_PRESERVE);
    return 0;
}
