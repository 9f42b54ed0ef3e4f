/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The mapped pages of vmm.h: their capabilities are mapped by the kernel's invocations. */

#include <utils/zf_log.h>
#include "vmm.h"

static vmm_page_t *page_at(const vmm_reservation_t *reservation, uint64_t vaddr)
{
    return &reservation->pages[(vaddr - reservation->node.key) >> seL4_PageBits];
}

vmm_page_t *vmm_find_page(hosted_system_t *system, const void *vaddr)
{
    uint64_t address = (uint64_t)(uintptr_t)vaddr;
    vmm_reservation_t *reservation = vmm_find(system, vaddr);
    for (int i = 0; reservation && i < SEL4_NUM_PAGE_SIZES; i++) {
        uint64_t base = address & ~((1ul << sel4_page_sizes[i]) - 1);
        if (base < reservation->node.key) {
            break;
        }
        vmm_page_t *page = page_at(reservation, base);
        if (page->cap && page->size_bits == sel4_page_sizes[i]) {
            return page;
        }
    }
    return NULL;
}

static void unmap_page(vmm_reservation_t *reservation, vmm_page_t *page, vka_t *vka)
{
    seL4_CPtr cap = page->cap;
    /* The capability can be gone, and the mapping with it. */
    seL4_ARM_Page_Unmap(cap);
    if (vka) {
        vka_object_t object = {.cptr = cap,
                               .ut = page->cookie,
                               .type = kobject_get_type(KOBJECT_FRAME, page->size_bits),
                               .size_bits = page->size_bits};
        cspacepath_t path;
        vka_cspace_make_path(vka, cap, &path);
        seL4_CNode_Delete(path.root, path.capPtr, (seL4_Uint8)path.capDepth);
        vka_cspace_free(vka, cap);
        if (object.ut) {
            vka_utspace_free(vka, object.type, object.size_bits, object.ut);
        }
    }
    *page = (vmm_page_t){0};
    reservation->num_mapped--;
}

static bool check_map(const vmm_reservation_t *reservation, uint64_t vaddr, size_t count,
                      size_t size_bits)
{
    uint64_t offset = vaddr - reservation->node.key;
    if (!sel4_valid_size_bits(size_bits) || vaddr & ((1ul << size_bits) - 1)) {
        ZF_LOGE("%#lx is not aligned to pages of %zu bits", vaddr, size_bits);
        return false;
    }
    if (vaddr < reservation->node.key || offset >= reservation->size ||
        count > (reservation->size - offset) >> size_bits) {
        ZF_LOGE("%zu pages of %zu bits at %#lx are not in the reservation of %#lx bytes at %#lx",
                count, size_bits, vaddr, reservation->size, reservation->node.key);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (page_at(reservation, vaddr + (i << size_bits))->cap) {
            ZF_LOGE("a page is mapped at %#lx already", vaddr + (i << size_bits));
            return false;
        }
    }
    return true;
}

int vmm_map(hosted_system_t *system, vmm_reservation_t *reservation, uint64_t vaddr,
            const seL4_CPtr *caps, const uintptr_t *cookies, size_t count, size_t size_bits,
            seL4_CapRights_t rights)
{
    if (!check_map(reservation, vaddr, count, size_bits) ||
        inject_fails(&system->kernel, HOSTED_OPERATION_ALLOCATOR)) {
        return -1;
    }
    seL4_ARM_VMAttributes attributes = reservation->cacheable
                                           ? seL4_ARM_Default_VMAttributes
                                           : (seL4_ARM_VMAttributes)seL4_ARCH_Uncached_VMAttributes;
    for (size_t i = 0; i < count; i++) {
        uint64_t at = vaddr + (i << size_bits);
        seL4_Error error =
            seL4_ARM_Page_Map(caps[i], seL4_CapInitThreadVSpace, at, rights, attributes);
        if (error) {
            ZF_LOGW("cannot map capability %lu at %#lx of the VMM: error %d", caps[i], at,
                    (int)error);
            while (i-- > 0) {
                unmap_page(reservation, page_at(reservation, vaddr + (i << size_bits)), NULL);
            }
            return -1;
        }
        *page_at(reservation, at) = (vmm_page_t){.cookie = cookies ? cookies[i] : 0,
                                                 .cap = (uint32_t)caps[i],
                                                 .size_bits = (uint32_t)size_bits};
        reservation->num_mapped++;
    }
    return 0;
}

void vmm_unmap(hosted_system_t *system, uint64_t vaddr, size_t count, size_t size_bits, vka_t *vka)
{
    if (!sel4_valid_size_bits(size_bits)) {
        ZF_LOGE("there are no pages of %zu bits", size_bits);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t at = vaddr + (i << size_bits);
        vmm_reservation_t *reservation = vmm_find(system, (void *)at);
        vmm_page_t *page = reservation ? page_at(reservation, at) : NULL;
        if (!page || !page->cap) {
            continue;
        }
        if (page->size_bits != size_bits) {
            ZF_LOGE("the page at %#lx has %u bits, not %zu", at, page->size_bits, size_bits);
            continue;
        }
        unmap_page(reservation, page, vka);
        if (reservation->freed && !reservation->num_mapped) {
            vmm_release(system, reservation);
        }
    }
}

void vmm_clear(hosted_system_t *system, vmm_reservation_t *reservation, vka_t *vka)
{
    uint64_t pages = reservation->size >> seL4_PageBits;
    for (uint64_t i = 0; i < pages && reservation->num_mapped; i++) {
        if (reservation->pages[i].cap) {
            unmap_page(reservation, &reservation->pages[i], vka);
        }
    }
    vmm_release(system, reservation);
}
