/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The VMM's address space as a vspace_t: arguments, locking, and frames of its own. */

#include <stdlib.h>
#include <string.h>
#include <utils/zf_log.h>
#include "vmm.h"

/* The environment may be called by a thread that has entered another system, or none. */
typedef struct entry {
    hosted_system_t *system;
    kernel_t *entered;
} entry_t;

static entry_t enter(vspace_t *vspace)
{
    entry_t entry = {vspace->data, kernel_current()};
    system_lock(entry.system);
    kernel_enter(&entry.system->kernel);
    return entry;
}

static void leave(entry_t entry)
{
    kernel_enter(entry.entered);
    system_unlock(entry.system);
}

static vka_t *choose_vka(hosted_system_t *system, vka_t *vka)
{
    return vka == VSPACE_FREE ? &system->vka : vka;
}

static reservation_t reserve(vspace_t *vspace, void *at, size_t bytes, size_t align_bits,
                             seL4_CapRights_t rights, bool deferred, int cacheable, void **vaddr)
{
    entry_t entry = enter(vspace);
    void *address = at;
    vmm_reservation_t *reservation = vmm_reserve(entry.system, bytes, align_bits, &address);
    if (reservation) {
        reservation->rights = rights;
        reservation->deferred_rights = deferred;
        reservation->cacheable = cacheable != 0;
        if (vaddr) {
            *vaddr = address;
        }
    }
    leave(entry);
    return (reservation_t){reservation};
}

static reservation_t reserve_range_aligned(vspace_t *vspace, size_t bytes, size_t size_bits,
                                           seL4_CapRights_t rights, int cacheable, void **vaddr)
{
    return reserve(vspace, NULL, bytes, size_bits, rights, false, cacheable, vaddr);
}

static reservation_t reserve_at(vspace_t *vspace, void *vaddr, size_t bytes,
                                seL4_CapRights_t rights, bool deferred, int cacheable)
{
    uintptr_t begin = (uintptr_t)vaddr & ~PAGE_MASK_4K;
    uintptr_t end = (uintptr_t)vaddr + bytes;
    if (begin == 0 || end < begin) {
        ZF_LOGW("cannot reserve %zu bytes at %p", bytes, vaddr);
        return (reservation_t){NULL};
    }
    return reserve(vspace, (void *)begin, end - begin, seL4_PageBits, rights, deferred, cacheable,
                   NULL);
}

static reservation_t reserve_range_at(vspace_t *vspace, void *vaddr, size_t bytes,
                                      seL4_CapRights_t rights, int cacheable)
{
    return reserve_at(vspace, vaddr, bytes, rights, false, cacheable);
}

static reservation_t reserve_deferred_rights_range_at(vspace_t *vspace, void *vaddr, size_t bytes,
                                                      int cacheable)
{
    return reserve_at(vspace, vaddr, bytes, seL4_NoRights, true, cacheable);
}

static void free_reservation(vspace_t *vspace, reservation_t reservation)
{
    if (reservation.res) {
        entry_t entry = enter(vspace);
        vmm_release(entry.system, reservation.res);
        leave(entry);
    }
}

static void free_reservation_by_vaddr(vspace_t *vspace, void *vaddr)
{
    entry_t entry = enter(vspace);
    vmm_reservation_t *reservation = vmm_find(entry.system, vaddr);
    if (reservation) {
        vmm_release(entry.system, reservation);
    } else {
        ZF_LOGE("%p is in no reservation", vaddr);
    }
    leave(entry);
}

static int deferred_rights_map_pages_at_vaddr(vspace_t *vspace, seL4_CPtr caps[],
                                              uintptr_t cookies[], void *vaddr, size_t num_pages,
                                              size_t size_bits, seL4_CapRights_t rights,
                                              reservation_t reservation)
{
    vmm_reservation_t *range = reservation.res;
    if (!range || !caps) {
        ZF_LOGE("a map needs capabilities and a reservation");
        return -1;
    }
    entry_t entry = enter(vspace);
    int error = vmm_map(entry.system, range, (uint64_t)(uintptr_t)vaddr, caps, cookies, num_pages,
                        size_bits, range->deferred_rights ? rights : range->rights);
    leave(entry);
    return error;
}

static int map_pages_at_vaddr(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[], void *vaddr,
                              size_t num_pages, size_t size_bits, reservation_t reservation)
{
    return deferred_rights_map_pages_at_vaddr(vspace, caps, cookies, vaddr, num_pages, size_bits,
                                              seL4_NoRights, reservation);
}

/* The range of pages that have no reservation of their own is freed with them. */
static void *map_pages(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[],
                       seL4_CapRights_t rights, size_t num_pages, size_t size_bits, int cacheable)
{
    void *vaddr = NULL;
    entry_t entry = enter(vspace);
    reservation_t reservation =
        reserve_range_aligned(vspace, num_pages << size_bits, size_bits, rights, cacheable, &vaddr);
    if (reservation.res) {
        if (map_pages_at_vaddr(vspace, caps, cookies, vaddr, num_pages, size_bits, reservation)) {
            vaddr = NULL;
        }
        vmm_release(entry.system, reservation.res);
    }
    leave(entry);
    return vaddr;
}

static int new_pages_at_vaddr(vspace_t *vspace, void *vaddr, size_t num_pages, size_t size_bits,
                              reservation_t reservation, bool can_use_dev)
{
    vmm_reservation_t *range = reservation.res;
    entry_t entry = enter(vspace);
    uint64_t base = (uint64_t)(uintptr_t)vaddr;
    int error = 0;
    for (size_t i = 0; i < num_pages && !error; i++) {
        vka_object_t frame;
        error = vka_alloc_frame_maybe_device(&entry.system->vka, (uint32_t)size_bits, can_use_dev,
                                             &frame);
        if (!error) {
            uintptr_t cookie = frame.ut;
            error = vmm_map(entry.system, range, base + (i << size_bits), &frame.cptr, &cookie, 1,
                            size_bits, range->rights);
            if (error) {
                vka_free_object(&entry.system->vka, &frame);
            }
        }
        if (error) {
            vmm_unmap(entry.system, base, i, size_bits, &entry.system->vka);
        }
    }
    leave(entry);
    return error ? -1 : 0;
}

static void *new_pages(vspace_t *vspace, seL4_CapRights_t rights, size_t num_pages,
                       size_t size_bits)
{
    void *vaddr = NULL;
    entry_t entry = enter(vspace);
    reservation_t reservation =
        reserve_range_aligned(vspace, num_pages << size_bits, size_bits, rights, 1, &vaddr);
    if (reservation.res) {
        if (new_pages_at_vaddr(vspace, vaddr, num_pages, size_bits, reservation, false)) {
            vaddr = NULL;
        }
        vmm_release(entry.system, reservation.res);
    }
    leave(entry);
    return vaddr;
}

static void unmap_pages(vspace_t *vspace, void *vaddr, size_t num_pages, size_t size_bits,
                        vka_t *free)
{
    entry_t entry = enter(vspace);
    vmm_unmap(entry.system, (uint64_t)(uintptr_t)vaddr, num_pages, size_bits,
              choose_vka(entry.system, free));
    leave(entry);
}

static void tear_down(vspace_t *vspace, vka_t *free)
{
    entry_t entry = enter(vspace);
    tree_node_t *first;
    while ((first = tree_first(entry.system->vmm.reservations))) {
        vmm_reservation_t *reservation = (vmm_reservation_t *)first;
        vmm_clear(entry.system, reservation, choose_vka(entry.system, free));
        if (tree_first(entry.system->vmm.reservations) == first) {
            ZF_LOGE("the range at %#lx has pages that were not mapped through the vspace",
                    first->key);
            break;
        }
    }
    leave(entry);
}

static seL4_CPtr get_cap(vspace_t *vspace, void *vaddr)
{
    entry_t entry = enter(vspace);
    const vmm_page_t *page = vmm_find_page(entry.system, vaddr);
    seL4_CPtr cap = page ? page->cap : seL4_CapNull;
    leave(entry);
    return cap;
}

static uintptr_t get_cookie(vspace_t *vspace, void *vaddr)
{
    entry_t entry = enter(vspace);
    const vmm_page_t *page = vmm_find_page(entry.system, vaddr);
    uintptr_t cookie = page ? page->cookie : 0;
    leave(entry);
    return cookie;
}

static seL4_CPtr get_root(vspace_t *vspace)
{
    (void)vspace;
    return seL4_CapInitThreadVSpace;
}

/* Copy the capability of one page of `from`, and map the copy. */
static int share_page(hosted_system_t *system, vspace_t *from, vspace_t *to, void *start,
                      size_t size_bits, void *vaddr, reservation_t reservation)
{
    cspacepath_t source, copy;
    seL4_CPtr cap = vspace_get_cap(from, start);
    if (cap == seL4_CapNull || vka_cspace_alloc_path(&system->vka, &copy)) {
        ZF_LOGE("no page is mapped at %p, or there is no slot for a copy of it", start);
        return -1;
    }
    vka_cspace_make_path(&system->vka, cap, &source);
    if (seL4_CNode_Copy(copy.root, copy.capPtr, (seL4_Uint8)copy.capDepth, source.root,
                        source.capPtr, (seL4_Uint8)source.capDepth, seL4_AllRights)) {
        vka_cspace_free_path(&system->vka, copy);
        return -1;
    }
    seL4_CPtr caps[] = {copy.capPtr};
    if (vspace_map_pages_at_vaddr(to, caps, NULL, vaddr, 1, size_bits, reservation)) {
        seL4_CNode_Delete(copy.root, copy.capPtr, (seL4_Uint8)copy.capDepth);
        vka_cspace_free_path(&system->vka, copy);
        return -1;
    }
    return 0;
}

static int share_mem_at_vaddr(vspace_t *from, vspace_t *to, void *start, int num_pages,
                              size_t size_bits, void *vaddr, reservation_t res)
{
    entry_t entry = enter(from);
    int error = 0;
    for (int i = 0; i < num_pages && !error; i++) {
        size_t offset = (size_t)i << size_bits;
        error = share_page(entry.system, from, to, (char *)start + offset, size_bits,
                           (char *)vaddr + offset, res);
        if (error && i > 0) {
            vspace_unmap_pages(to, vaddr, (size_t)i, size_bits, &entry.system->vka);
        }
    }
    leave(entry);
    return error;
}

void vmm_vspace_init(hosted_system_t *system)
{
    system->vspace = (vspace_t){
        .data = system,
        .new_pages = new_pages,
        .map_pages = map_pages,
        .new_pages_at_vaddr = new_pages_at_vaddr,
        .map_pages_at_vaddr = map_pages_at_vaddr,
        .deferred_rights_map_pages_at_vaddr = deferred_rights_map_pages_at_vaddr,
        .unmap_pages = unmap_pages,
        .tear_down = tear_down,
        .reserve_range_aligned = reserve_range_aligned,
        .reserve_range_at = reserve_range_at,
        .reserve_deferred_rights_range_at = reserve_deferred_rights_range_at,
        .free_reservation = free_reservation,
        .free_reservation_by_vaddr = free_reservation_by_vaddr,
        .get_cap = get_cap,
        .get_root = get_root,
        .get_cookie = get_cookie,
        .share_mem_at_vaddr = share_mem_at_vaddr,
    };
}
