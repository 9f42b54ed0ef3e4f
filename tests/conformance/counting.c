/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See counting.h. */

#include "counting.h"
#include <errno.h>
#include <string.h>
#include <vka/object.h>

/* Whether this operation is the one that fails. */
static bool fails(counting_t *counting)
{
    counting->asked++;
    if (counting->fail_at == 0 || counting->asked < counting->fail_at ||
        (counting->asked > counting->fail_at && !counting->fail_from)) {
        return false;
    }
    counting->failed = true;
    return true;
}

static int cspace_alloc(void *data, seL4_CPtr *res)
{
    counting_t *counting = data;
    if (fails(counting) || vka_cspace_alloc(counting->inner_vka, res) != 0) {
        return -1;
    }
    counting->held.slots++;
    return 0;
}

static void cspace_make_path(void *data, seL4_CPtr slot, cspacepath_t *res)
{
    vka_cspace_make_path(((counting_t *)data)->inner_vka, slot, res);
}

static void cspace_free(void *data, seL4_CPtr slot)
{
    counting_t *counting = data;
    counting->held.slots--;
    vka_cspace_free(counting->inner_vka, slot);
}

static int took_object(counting_t *counting, seL4_Word type, seL4_Word size_bits, int error)
{
    if (error == 0) {
        counting->held.objects++;
        counting->held.object_bytes += 1l << vka_get_object_size(type, size_bits);
    }
    return error;
}

static int utspace_alloc(void *data, const cspacepath_t *dest, seL4_Word type, seL4_Word size_bits,
                         seL4_Word *res)
{
    counting_t *counting = data;
    return fails(counting)
               ? -1
               : took_object(counting, type, size_bits,
                             vka_utspace_alloc(counting->inner_vka, dest, type, size_bits, res));
}

static int utspace_alloc_maybe_device(void *data, const cspacepath_t *dest, seL4_Word type,
                                      seL4_Word size_bits, bool can_use_dev, seL4_Word *res)
{
    counting_t *counting = data;
    return fails(counting)
               ? -1
               : took_object(counting, type, size_bits,
                             vka_utspace_alloc_maybe_device(counting->inner_vka, dest, type,
                                                            size_bits, can_use_dev, res));
}

static int utspace_alloc_at(void *data, const cspacepath_t *dest, seL4_Word type,
                            seL4_Word size_bits, uintptr_t paddr, seL4_Word *cookie)
{
    counting_t *counting = data;
    return fails(counting) ? -1
                           : took_object(counting, type, size_bits,
                                         vka_utspace_alloc_at(counting->inner_vka, dest, type,
                                                              size_bits, paddr, cookie));
}

static void utspace_free(void *data, seL4_Word type, seL4_Word size_bits, seL4_Word target)
{
    counting_t *counting = data;
    counting->held.objects--;
    counting->held.object_bytes -= 1l << vka_get_object_size(type, size_bits);
    vka_utspace_free(counting->inner_vka, type, size_bits, target);
}

static uintptr_t utspace_paddr(void *data, seL4_Word target, seL4_Word type, seL4_Word size_bits)
{
    return vka_utspace_paddr(((counting_t *)data)->inner_vka, target, type, size_bits);
}

static void init_vka(counting_t *counting)
{
    counting->vka = (vka_t){
        .data = counting,
        .cspace_alloc = cspace_alloc,
        .cspace_make_path = cspace_make_path,
        .utspace_alloc = utspace_alloc,
        .utspace_alloc_maybe_device = utspace_alloc_maybe_device,
        .utspace_alloc_at = utspace_alloc_at,
        .cspace_free = cspace_free,
        .utspace_free = utspace_free,
        .utspace_paddr = utspace_paddr,
    };
}

static int heap_malloc(void *cookie, size_t size, void **ptr)
{
    counting_t *counting = cookie;
    int error = fails(counting) ? ENOMEM : ps_malloc(&counting->inner_malloc, size, ptr);
    if (error == 0) {
        counting->held.blocks++;
        counting->held.block_bytes += (long)size;
    }
    return error;
}

static int heap_calloc(void *cookie, size_t nmemb, size_t size, void **ptr)
{
    counting_t *counting = cookie;
    int error = fails(counting) ? ENOMEM : ps_calloc(&counting->inner_malloc, nmemb, size, ptr);
    if (error == 0) {
        counting->held.blocks++;
        counting->held.block_bytes += (long)(nmemb * size);
    }
    return error;
}

static int heap_free(void *cookie, size_t size, void *ptr)
{
    counting_t *counting = cookie;
    counting->held.blocks--;
    counting->held.block_bytes -= (long)size;
    return ps_free(&counting->inner_malloc, size, ptr);
}

static counting_t *of_vspace(vspace_t *vspace)
{
    return vspace->data;
}

static void note_attribute(counting_t *counting, int cacheable)
{
    if (cacheable) {
        counting->cached_windows++;
    } else {
        counting->uncached_windows++;
    }
}

static void *map_pages(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[],
                       seL4_CapRights_t rights, size_t num_pages, size_t size_bits, int cacheable)
{
    counting_t *counting = of_vspace(vspace);
    if (fails(counting)) {
        return NULL;
    }
    void *vaddr = vspace_map_pages(counting->inner_vspace, caps, cookies, rights, num_pages,
                                   size_bits, cacheable);
    if (vaddr == NULL) {
        counting->refused++;
        return NULL;
    }
    counting->held.pages += (long)num_pages;
    note_attribute(counting, cacheable);
    return vaddr;
}

/* The library makes no pages; but vspace_map_pages() of libsel4vspace looks for this member. */
static void *no_new_pages(vspace_t *vspace, seL4_CapRights_t rights, size_t num_pages,
                          size_t size_bits)
{
    (void)vspace, (void)rights, (void)num_pages, (void)size_bits;
    return NULL;
}

static int map_pages_at_vaddr(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[], void *vaddr,
                              size_t num_pages, size_t size_bits, reservation_t reservation)
{
    counting_t *counting = of_vspace(vspace);
    if (fails(counting)) {
        return -1;
    }
    int error = vspace_map_pages_at_vaddr(counting->inner_vspace, caps, cookies, vaddr, num_pages,
                                          size_bits, reservation);
    if (error != 0) {
        counting->refused++;
        return error;
    }
    counting->held.pages += (long)num_pages;
    return 0;
}

static void unmap_pages(vspace_t *vspace, void *vaddr, size_t num_pages, size_t size_bits,
                        vka_t *vka)
{
    counting_t *counting = of_vspace(vspace);
    counting->held.pages -= (long)num_pages;
    vspace_unmap_pages(counting->inner_vspace, vaddr, num_pages, size_bits, vka);
}

static reservation_t reserve_range_aligned(vspace_t *vspace, size_t bytes, size_t size_bits,
                                           seL4_CapRights_t rights, int cacheable, void **vaddr)
{
    counting_t *counting = of_vspace(vspace);
    reservation_t reservation = {NULL};
    if (!fails(counting)) {
        reservation = vspace_reserve_range_aligned(counting->inner_vspace, bytes, size_bits, rights,
                                                   cacheable, vaddr);
    }
    if (reservation.res != NULL) {
        counting->held.reservations++;
        note_attribute(counting, cacheable);
    }
    return reservation;
}

static void free_reservation(vspace_t *vspace, reservation_t reservation)
{
    counting_t *counting = of_vspace(vspace);
    counting->held.reservations--;
    vspace_free_reservation(counting->inner_vspace, reservation);
}

static seL4_CPtr get_cap(vspace_t *vspace, void *vaddr)
{
    return vspace_get_cap(of_vspace(vspace)->inner_vspace, vaddr);
}

static uintptr_t get_cookie(vspace_t *vspace, void *vaddr)
{
    return vspace_get_cookie(of_vspace(vspace)->inner_vspace, vaddr);
}

static seL4_CPtr get_root(vspace_t *vspace)
{
    return vspace_get_root(of_vspace(vspace)->inner_vspace);
}

void counting_init(counting_t *counting, vka_t *vka, vspace_t *vspace, const ps_io_ops_t *io_ops)
{
    memset(counting, 0, sizeof(*counting));
    counting->inner_vka = vka;
    counting->inner_vspace = vspace;
    counting->inner_malloc = io_ops->malloc_ops;
    counting->io_ops = *io_ops;
    counting->io_ops.malloc_ops = (ps_malloc_ops_t){
        .malloc = heap_malloc, .calloc = heap_calloc, .free = heap_free, .cookie = counting};
    init_vka(counting);
    /* What is not here the library has no business with; calling it would be a crash. */
    counting->vspace = (vspace_t){
        .data = counting,
        .new_pages = no_new_pages,
        .map_pages = map_pages,
        .map_pages_at_vaddr = map_pages_at_vaddr,
        .unmap_pages = unmap_pages,
        .reserve_range_aligned = reserve_range_aligned,
        .free_reservation = free_reservation,
        .get_cap = get_cap,
        .get_cookie = get_cookie,
        .get_root = get_root,
    };
}

void counting_fail_at(counting_t *counting, uint64_t k)
{
    counting->asked = 0;
    counting->fail_at = k;
    counting->fail_from = false;
    counting->failed = false;
}

bool holdings_equal(const holdings_t *a, const holdings_t *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}
