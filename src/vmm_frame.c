/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A frame capability can be mapped once, and the guest's is in the guest: so what the VMM maps is a
 * copy. All goes through the VMM's own vspace_t.
 */

#include <string.h>
#include <sel4/sel4.h>
#include <sel4/sel4_arch/mapping.h>
#include <vka/capops.h>
#include <vspace/arch/page.h>
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

/*
 * Map a large frame at an address of the VMM as its vspace_t will, to learn from the kernel whether
 * a page table is in the way: libsel4utils, which leaves tables where small pages were, asserts
 * that there is none. Mapping the same capability at the same address again is no error, so what
 * was mapped here does not hinder the vspace_t. The kernel's answer is FailedLookup with the span
 * of what it has found, or on x86 DeleteFirst; the span of a table that is missing, and that the
 * vspace_t will make, is no smaller than the frame.
 */
static int try_large(vm_memory_t *memory, seL4_CPtr frame, size_t size_bits, bool cacheable,
                     void *vaddr)
{
    seL4_ARCH_VMAttributes attributes =
        cacheable ? seL4_ARCH_Default_VMAttributes
                  : (seL4_ARCH_VMAttributes)seL4_ARCH_Uncached_VMAttributes;
    seL4_CPtr root = vspace_get_root(vmm_vspace(memory));
    memory->counts.page_maps++;
    seL4_Error error =
        (seL4_Error)seL4_ARCH_Page_Map(frame, root, (seL4_Word)vaddr, seL4_AllRights, attributes);
    if (error == seL4_DeleteFirst ||
        (error == seL4_FailedLookup && seL4_MappingFailedLookupLevel() < size_bits)) {
        return memory_blame(memory, GUESTMEM_NO_ADDRESS,
                            "the VMM has a page table where a frame of 2^%zu bytes would go",
                            size_bits);
    }
    return error == seL4_NoError || error == seL4_FailedLookup
               ? 0
               : memory_blame_kernel(memory, error, "could not map a frame in the VMM");
}

int vmm_frame_map_at(vm_memory_t *memory, seL4_CPtr frame, size_t size_bits, bool cacheable,
                     void *vaddr, reservation_t range)
{
    bool large = size_bits > ARCH_PAGE_BITS;
    if (large && try_large(memory, frame, size_bits, cacheable, vaddr) != 0) {
        return -1;
    }
    if (vspace_map_pages_at_vaddr(vmm_vspace(memory), &frame, NULL, vaddr, 1, size_bits, range) !=
        0) {
        if (large) {
            memory->counts.page_unmaps++;
            (void)seL4_ARCH_Page_Unmap(frame); /* undoes try_large(); cannot fail */
        }
        return memory_blame(memory, GUESTMEM_NO_ADDRESS, "could not map a frame in the VMM");
    }
    return 0;
}

/* Map a large frame at any address, in a range of its own. @return NULL with the cause blamed */
static void *map_large(vm_memory_t *memory, seL4_CPtr frame, size_t size_bits, bool cacheable,
                       reservation_t *range)
{
    vspace_t *vmm = vmm_vspace(memory);
    size_t size = (size_t)1 << size_bits;
    void *vaddr = NULL;
    *range = vspace_reserve_range_aligned(vmm, size, size_bits, seL4_AllRights, cacheable, &vaddr);
    if (range->res == NULL) {
        memory_blame(memory, GUESTMEM_NO_ADDRESS,
                     "the VMM's address space has no room for a frame of 0x%zx bytes", size);
        return NULL;
    }
    if (vmm_frame_map_at(memory, frame, size_bits, cacheable, vaddr, *range) != 0) {
        vspace_free_reservation(vmm, *range);
        *range = (reservation_t){NULL};
        return NULL;
    }
    return vaddr;
}

/* Map a small frame at any address, which the vspace_t finds by itself. */
static void *map_small(vm_memory_t *memory, seL4_CPtr frame, bool cacheable)
{
    void *vaddr = vspace_map_pages(vmm_vspace(memory), &frame, NULL, seL4_AllRights, 1,
                                   ARCH_PAGE_BITS, cacheable);
    if (vaddr == NULL) {
        memory_blame(memory, GUESTMEM_NO_ADDRESS, "could not map a frame in the VMM");
    }
    return vaddr;
}

/* Map a frame at any address. */
static int map_anywhere(vm_memory_t *memory, seL4_CPtr frame, bool cacheable, vmm_loan_t *loan)
{
    if (loan->size_bits == ARCH_PAGE_BITS) {
        loan->vaddr = map_small(memory, frame, cacheable);
        return loan->vaddr != NULL ? 0 : -1;
    }
    vspace_t *vmm = vmm_vspace(memory);
    vmm_detour_t detour = {.count = 0};
    do {
        loan->vaddr = map_large(memory, frame, loan->size_bits, cacheable, &loan->range);
    } while (loan->vaddr == NULL && memory->failure.code == GUESTMEM_NO_ADDRESS &&
             vmm_detour_take(vmm, &detour, (size_t)1 << loan->size_bits, loan->size_bits));
    vmm_detour_end(vmm, &detour);
    return loan->vaddr != NULL ? 0 : -1;
}

static void unmap(vm_memory_t *memory, const vmm_loan_t *loan)
{
    vspace_t *vmm = vmm_vspace(memory);
    vspace_unmap_pages(vmm, loan->vaddr, 1, loan->size_bits, VSPACE_PRESERVE);
    if (loan->range.res != NULL) {
        vspace_free_reservation(vmm, loan->range);
    }
}

int vmm_frame_lend(vm_memory_t *memory, seL4_CPtr frame, size_t size_bits, bool cacheable,
                   vmm_loan_t *loan)
{
    vmm_loan_t lent = {.size_bits = size_bits};
    if (vmm_frame_copy(memory, frame, &lent.copy) != 0) {
        return -1;
    }
    if (map_anywhere(memory, lent.copy, cacheable, &lent) != 0) {
        vmm_frame_drop(memory, lent.copy);
        return -1;
    }
    *loan = lent;
    return 0;
}

void vmm_frame_return(vm_memory_t *memory, vmm_loan_t *loan)
{
    if (loan->vaddr != NULL) {
        unmap(memory, loan);
        vmm_frame_drop(memory, loan->copy);
    }
}

int vmm_frame_clear(vm_memory_t *memory, seL4_CPtr frame, size_t size_bits)
{
    vmm_loan_t loan = {.size_bits = size_bits};
    if (map_anywhere(memory, frame, true, &loan) != 0) {
        return -1;
    }
    memset(loan.vaddr, 0, (size_t)1 << size_bits);
    arch_frame_clean(frame, size_bits);
    unmap(memory, &loan);
    return 0;
}
