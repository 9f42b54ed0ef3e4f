/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The invocations of frames, page tables and address spaces: each finds out in the kernel's order
 * what is wrong with its arguments, then does its work, which cannot fail (but for the host's own
 * limits, which return seL4_NotEnoughMemory).
 */

#include "kernel.h"

/* What the kernel maps of physical memory, but for its own last GiB. */
#define KERNEL_WINDOW_END 0x7fc0000000ul

/* The address space of a capability that is handed over. It needs an ASID. */
static seL4_Error address_space(kernel_t *kernel, seL4_CPtr cptr, vspace_object_t **vspace)
{
    const cap_t *cap = &cspace_caller_slot(kernel, cptr)->cap;
    if (cap->type != CAP_VSPACE || cap->asid == 0) {
        return error_capability(1);
    }
    *vspace = asid_find(kernel, cap->asid);
    if (!*vspace) {
        return error_invalid_root(false);
    }
    return &(*vspace)->object == cap->object ? seL4_NoError : error_capability(1);
}

/* The addresses that an address space has: 40 bits, or for the VMM what it has reserved. */
static bool in_range(kernel_t *kernel, const vspace_object_t *vspace, uint64_t vaddr, uint64_t size)
{
    if (vspace->host) {
        return vaddr >> 47 == 0 && kernel->host_range_is_ours(kernel, vaddr, size);
    }
    return vaddr <= seL4_UserTop && size - 1 <= seL4_UserTop - vaddr;
}

static uint64_t page_entry(const cap_t *frame, seL4_CapRights_t rights, seL4_Word attributes)
{
    unsigned allowed = cap_mask_rights(*frame, rights.words[0]).rights;
    return frame->paddr | PTE_VALID | (allowed & RIGHT_READ ? PTE_READ : 0) |
           (allowed & RIGHT_WRITE ? PTE_WRITE : 0) |
           (attributes & seL4_ARM_PageCacheable ? PTE_CACHEABLE : 0) |
           (attributes & seL4_ARM_ExecuteNever ? PTE_NEVER_EXECUTE : 0);
}

static seL4_Error check_page_map(kernel_t *kernel, const cap_t *frame, vspace_object_t *vspace,
                                 seL4_Word vaddr)
{
    uint64_t size = 1ul << frame->bits;
    if (vaddr & (size - 1)) {
        return seL4_AlignmentError;
    }
    if (frame->asid != 0) {
        if (frame->asid != vspace->asid) {
            return error_capability(1);
        }
        if (frame->vaddr != vaddr) {
            return error_argument(0);
        }
    }
    /* The kernel leaves a remap out here; for the VMM its reservation could have been freed. */
    if ((frame->asid == 0 || vspace->host) && !in_range(kernel, vspace, vaddr, size)) {
        return error_argument(0);
    }
    return seL4_NoError;
}

static seL4_Error page_map(kernel_t *kernel, cap_t *frame, seL4_CPtr root, seL4_Word vaddr,
                           seL4_CapRights_t rights, seL4_Word attributes)
{
    vspace_object_t *vspace;
    seL4_Error error = address_space(kernel, root, &vspace);
    if (!error) {
        error = check_page_map(kernel, frame, vspace, vaddr);
    }
    if (error) {
        return error;
    }
    if (vspace->host && !host_make_tables(vspace, vaddr, frame->bits)) {
        return error_memory(0);
    }
    pte_slot_t at = mapping_lookup(vspace, vaddr);
    if (at.bits != frame->bits) {
        return error_missing_capability(false, at.bits);
    }
    if (kernel->refuses_remaps && *at.entry & PTE_VALID) {
        return seL4_DeleteFirst;
    }
    uint64_t entry = page_entry(frame, rights, attributes);
    if (vspace->host && host_map_page(kernel, vaddr, frame->bits, entry)) {
        return error_memory(0);
    }
    frame->asid = vspace->asid;
    frame->vaddr = vaddr;
    mapping_set_page(kernel, vspace, at, vaddr, entry);
    return seL4_NoError;
}

seL4_Error seL4_ARM_Page_Map(seL4_ARM_Page service, seL4_CPtr vspace, seL4_Word vaddr,
                             seL4_CapRights_t rights, seL4_ARM_VMAttributes attr)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_PAGE_MAP, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    slot_t *slot = invocation_target(kernel, service, CAP_FRAME, &error);
    if (slot) {
        error = page_map(kernel, &slot->cap, vspace, vaddr, rights, attr);
    }
    return invocation_end(kernel, HOSTED_PAGE_MAP, error);
}

seL4_Error seL4_ARM_Page_Unmap(seL4_ARM_Page service)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_PAGE_UNMAP, HOSTED_OPERATION_UNDO, &error);
    if (!kernel) {
        return error;
    }
    slot_t *slot = invocation_target(kernel, service, CAP_FRAME, &error);
    if (slot) {
        mapping_unmap_page(kernel, &slot->cap);
        slot->cap.asid = 0;
        slot->cap.vaddr = 0;
    }
    return invocation_end(kernel, HOSTED_PAGE_UNMAP, error);
}

seL4_ARM_Page_GetAddress_t seL4_ARM_Page_GetAddress(seL4_ARM_Page service)
{
    seL4_ARM_Page_GetAddress_t result = {0};
    seL4_Error error;
    kernel_t *kernel =
        invocation_begin(HOSTED_PAGE_GET_ADDRESS, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        result.error = (int)error;
        return result;
    }
    slot_t *slot = invocation_target(kernel, service, CAP_FRAME, &error);
    if (slot) {
        result.paddr = slot->cap.paddr;
    }
    result.error = (int)invocation_end(kernel, HOSTED_PAGE_GET_ADDRESS, error);
    return result;
}

static seL4_Error check_cache_range(const kernel_t *kernel, const cap_t *frame, seL4_Word start,
                                    seL4_Word end)
{
    if (frame->asid == 0) {
        return seL4_IllegalOperation;
    }
    if (!asid_find(kernel, frame->asid)) {
        return error_invalid_root(false);
    }
    if (end <= start) {
        return error_argument(1);
    }
    if (end > 1ul << frame->bits) {
        return error_argument(0);
    }
    /* The kernel cleans by the addresses at which it sees memory itself. */
    return frame->paddr + end > KERNEL_WINDOW_END ? seL4_IllegalOperation : seL4_NoError;
}

static void operate(kernel_t *kernel, cache_operation_t operation, uint16_t asid, uint64_t vaddr,
                    uint64_t paddr, uint64_t size)
{
    cache_operate(kernel, operation, paddr, size);
    if (operation == CACHE_UNIFY) {
        processor_unify(kernel, asid_find(kernel, asid), vaddr, size);
    }
}

/* The arguments are checked even where nothing is to be done. */
static seL4_Error cache_operation(cache_operation_t operation, seL4_ARM_Page service,
                                  seL4_Word start, seL4_Word end)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_PAGE_CACHE, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    const slot_t *slot = invocation_target(kernel, service, CAP_FRAME, &error);
    if (slot) {
        error = check_cache_range(kernel, &slot->cap, start, end);
    }
    if (slot && !error) {
        operate(kernel, operation, slot->cap.asid, slot->cap.vaddr + start, slot->cap.paddr + start,
                end - start);
    }
    return invocation_end(kernel, HOSTED_PAGE_CACHE, error);
}

seL4_Error seL4_ARM_Page_Clean_Data(seL4_ARM_Page service, seL4_Word start_offset,
                                    seL4_Word end_offset)
{
    return cache_operation(CACHE_CLEAN, service, start_offset, end_offset);
}

seL4_Error seL4_ARM_Page_Invalidate_Data(seL4_ARM_Page service, seL4_Word start_offset,
                                         seL4_Word end_offset)
{
    return cache_operation(CACHE_INVALIDATE, service, start_offset, end_offset);
}

seL4_Error seL4_ARM_Page_CleanInvalidate_Data(seL4_ARM_Page service, seL4_Word start_offset,
                                              seL4_Word end_offset)
{
    return cache_operation(CACHE_CLEAN, service, start_offset, end_offset);
}

seL4_Error seL4_ARM_Page_Unify_Instruction(seL4_ARM_Page service, seL4_Word start_offset,
                                           seL4_Word end_offset)
{
    return cache_operation(CACHE_UNIFY, service, start_offset, end_offset);
}

static seL4_Error check_space_range(kernel_t *kernel, const cap_t *space, seL4_Word start,
                                    seL4_Word end, pte_slot_t *at)
{
    bool host = space->object == &kernel->host->object;
    if (end <= start) {
        return error_argument(1);
    }
    if (end > (host ? 1ul << 47 : seL4_UserTop)) {
        return seL4_IllegalOperation;
    }
    if (space->asid == 0) {
        return error_capability(0);
    }
    vspace_object_t *vspace = asid_find(kernel, space->asid);
    if (!vspace) {
        return error_invalid_root(false);
    }
    if (&vspace->object != space->object) {
        return error_capability(0);
    }
    *at = mapping_lookup(vspace, start);
    uint64_t last = start | ((1ul << at->bits) - 1);
    if (*at->entry & PTE_VALID && end - 1 > last) {
        return error_range(start, last);
    }
    return seL4_NoError; /* where nothing is mapped, nothing is cached */
}

static seL4_Error space_cache_operation(cache_operation_t operation, seL4_ARM_VSpace service,
                                        seL4_Word start, seL4_Word end)
{
    seL4_Error error;
    pte_slot_t at;
    kernel_t *kernel = invocation_begin(HOSTED_PAGE_CACHE, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    const slot_t *slot = invocation_target(kernel, service, CAP_VSPACE, &error);
    if (slot) {
        error = check_space_range(kernel, &slot->cap, start, end, &at);
    }
    if (slot && !error && *at.entry & PTE_VALID) {
        uint64_t offset = start & ((1ul << at.bits) - 1);
        operate(kernel, operation, slot->cap.asid, start,
                (*at.entry & ~(uint64_t)PTE_FLAGS) + offset, end - start);
    }
    return invocation_end(kernel, HOSTED_PAGE_CACHE, error);
}

seL4_Error seL4_ARM_VSpace_Clean_Data(seL4_ARM_VSpace service, seL4_Word start, seL4_Word end)
{
    return space_cache_operation(CACHE_CLEAN, service, start, end);
}

seL4_Error seL4_ARM_VSpace_Invalidate_Data(seL4_ARM_VSpace service, seL4_Word start, seL4_Word end)
{
    return space_cache_operation(CACHE_INVALIDATE, service, start, end);
}

seL4_Error seL4_ARM_VSpace_CleanInvalidate_Data(seL4_ARM_VSpace service, seL4_Word start,
                                                seL4_Word end)
{
    return space_cache_operation(CACHE_CLEAN, service, start, end);
}

seL4_Error seL4_ARM_VSpace_Unify_Instruction(seL4_ARM_VSpace service, seL4_Word start,
                                             seL4_Word end)
{
    return space_cache_operation(CACHE_UNIFY, service, start, end);
}

static seL4_Error page_table_map(kernel_t *kernel, cap_t *cap, seL4_CPtr root, seL4_Word vaddr)
{
    if (cap->asid != 0) {
        return error_capability(0);
    }
    const cap_t *root_cap = &cspace_caller_slot(kernel, root)->cap;
    if (root_cap->type != CAP_VSPACE || root_cap->asid == 0) {
        return error_capability(1);
    }
    if (vaddr > seL4_UserTop) {
        return error_argument(0);
    }
    vspace_object_t *vspace;
    seL4_Error error = address_space(kernel, root, &vspace);
    if (error) {
        return error;
    }
    if (vspace->host) {
        return seL4_DeleteFirst; /* its tables are all there, as if the host had mapped them */
    }
    pte_slot_t at = mapping_lookup(vspace, vaddr);
    if (at.bits == seL4_PageBits || *at.entry & PTE_VALID) {
        return seL4_DeleteFirst;
    }
    page_table_t *table = (page_table_t *)cap->object;
    *at.entry = (uint64_t)(uintptr_t)table | PTE_VALID | PTE_TABLE;
    table->reachable = true;
    cap->asid = vspace->asid;
    cap->vaddr = vaddr & ~((1ul << at.bits) - 1);
    return seL4_NoError;
}

seL4_Error seL4_ARM_PageTable_Map(seL4_ARM_PageTable service, seL4_CPtr vspace, seL4_Word vaddr,
                                  seL4_ARM_VMAttributes attr)
{
    (void)attr;
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_PAGE_TABLE_MAP, HOSTED_OPERATION_INVOCATION, &error);
    if (!kernel) {
        return error;
    }
    slot_t *slot = invocation_target(kernel, service, CAP_PAGE_TABLE, &error);
    if (slot) {
        error = page_table_map(kernel, &slot->cap, vspace, vaddr);
    }
    return invocation_end(kernel, HOSTED_PAGE_TABLE_MAP, error);
}

seL4_Error seL4_ARM_PageTable_Unmap(seL4_ARM_PageTable service)
{
    seL4_Error error;
    kernel_t *kernel = invocation_begin(HOSTED_PAGE_TABLE_UNMAP, HOSTED_OPERATION_UNDO, &error);
    if (!kernel) {
        return error;
    }
    slot_t *slot = invocation_target(kernel, service, CAP_PAGE_TABLE, &error);
    if (slot && !derivation_is_final(kernel, slot)) {
        error = seL4_RevokeFirst;
    } else if (slot && slot->cap.asid != 0) {
        mapping_unmap_table(kernel, &slot->cap);
        slot->cap.asid = 0;
        slot->cap.vaddr = 0;
    }
    return invocation_end(kernel, HOSTED_PAGE_TABLE_UNMAP, error);
}
