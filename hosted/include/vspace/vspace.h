/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * An address space, as function pointers: reserve ranges, map and unmap frames, ask what is
 * mapped. Functions that return an int return 0 when they succeeded.
 */

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <vka/object.h>
#include <vspace/page.h>

typedef struct vspace vspace_t;

/** A reserved range; `res` is NULL if there is none. */
typedef struct reservation {
    void *res;
} reservation_t;

/** What vspace_new_pages_with_config() makes. */
typedef struct vspace_new_pages_config {
    void *vaddr; /* NULL for any address */
    size_t num_pages;
    size_t size_bits; /* of each page */
    bool can_use_dev; /* whether memory other than regular one will do */
} vspace_new_pages_config_t;

typedef void *(*vspace_new_pages_fn)(vspace_t *vspace, seL4_CapRights_t rights, size_t num_pages,
                                     size_t size_bits);
typedef void *(*vspace_map_pages_fn)(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[],
                                     seL4_CapRights_t rights, size_t num_pages, size_t size_bits,
                                     int cacheable);
typedef int (*vspace_new_pages_at_vaddr_fn)(vspace_t *vspace, void *vaddr, size_t num_pages,
                                            size_t size_bits, reservation_t reservation,
                                            bool can_use_dev);
typedef int (*vspace_map_pages_at_vaddr_fn)(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[],
                                            void *vaddr, size_t num_pages, size_t size_bits,
                                            reservation_t reservation);
typedef int (*vspace_deferred_rights_map_pages_at_vaddr_fn)(vspace_t *vspace, seL4_CPtr caps[],
                                                            uintptr_t cookies[], void *vaddr,
                                                            size_t num_pages, size_t size_bits,
                                                            seL4_CapRights_t rights,
                                                            reservation_t reservation);
typedef void (*vspace_unmap_pages_fn)(vspace_t *vspace, void *vaddr, size_t num_pages,
                                      size_t size_bits, vka_t *free);
typedef void (*vspace_tear_down_fn)(vspace_t *vspace, vka_t *free);
typedef reservation_t (*vspace_reserve_range_aligned_fn)(vspace_t *vspace, size_t bytes,
                                                         size_t size_bits, seL4_CapRights_t rights,
                                                         int cacheable, void **vaddr);
typedef reservation_t (*vspace_reserve_range_at_fn)(vspace_t *vspace, void *vaddr, size_t bytes,
                                                    seL4_CapRights_t rights, int cacheable);
typedef reservation_t (*vspace_reserve_deferred_rights_range_at_fn)(vspace_t *vspace, void *vaddr,
                                                                    size_t bytes, int cacheable);
typedef void (*vspace_free_reservation_fn)(vspace_t *vspace, reservation_t reservation);
typedef void (*vspace_free_reservation_by_vaddr_fn)(vspace_t *vspace, void *vaddr);
typedef seL4_CPtr (*vspace_get_cap_fn)(vspace_t *vspace, void *vaddr);
typedef uintptr_t (*vspace_get_cookie_fn)(vspace_t *vspace, void *vaddr);
typedef void (*vspace_allocated_object_fn)(void *allocated_object_cookie, vka_object_t object);
typedef seL4_CPtr (*vspace_get_root_fn)(vspace_t *vspace);
typedef int (*vspace_share_mem_at_vaddr_fn)(vspace_t *from, vspace_t *to, void *start,
                                            int num_pages, size_t size_bits, void *vaddr,
                                            reservation_t res);

struct vspace {
    void *data;
    vspace_new_pages_fn new_pages;
    vspace_map_pages_fn map_pages;
    vspace_new_pages_at_vaddr_fn new_pages_at_vaddr;
    vspace_map_pages_at_vaddr_fn map_pages_at_vaddr;
    vspace_deferred_rights_map_pages_at_vaddr_fn deferred_rights_map_pages_at_vaddr;
    vspace_unmap_pages_fn unmap_pages;
    vspace_tear_down_fn tear_down;
    vspace_reserve_range_aligned_fn reserve_range_aligned;
    vspace_reserve_range_at_fn reserve_range_at;
    vspace_reserve_deferred_rights_range_at_fn reserve_deferred_rights_range_at;
    vspace_free_reservation_fn free_reservation;
    vspace_free_reservation_by_vaddr_fn free_reservation_by_vaddr;
    vspace_get_cap_fn get_cap;
    vspace_get_root_fn get_root;
    vspace_get_cookie_fn get_cookie;
    vspace_share_mem_at_vaddr_fn share_mem_at_vaddr;
    vspace_allocated_object_fn allocated_object;
    void *allocated_object_cookie;
};

/* For the last parameter of vspace_unmap_pages() and vspace_tear_down(). */
/** Free frames and slots with the vka that the address space was made with. */
#define VSPACE_FREE ((vka_t *)0xffffffff)
/** Keep frames and slots. */
#define VSPACE_PRESERVE ((vka_t *)0)

/** Whether `function` of the address space can be called; says so when not. */
#define _VSPACE_HAS(vspace, function)                                                              \
    ((vspace) && (vspace)->function                                                                \
         ? true                                                                                    \
         : (_zf_log_write(ZF_LOG_ERROR, __FILE__, __LINE__, __func__,                              \
                          "vspace and its " #function " must not be NULL"),                        \
            false))

/** A configuration for regular memory at any address. */
static inline int default_vspace_new_pages_config(size_t num_pages, size_t size_bits,
                                                  vspace_new_pages_config_t *config)
{
    if (num_pages == 0) {
        ZF_LOGW("attempt to create 0 pages");
        return -1;
    }
    *config = (vspace_new_pages_config_t){.num_pages = num_pages, .size_bits = size_bits};
    return 0;
}

static inline int vspace_new_pages_config_set_vaddr(void *vaddr, vspace_new_pages_config_t *config)
{
    config->vaddr = vaddr;
    return 0;
}

static inline int vspace_new_pages_config_use_device_ut(bool can_use_dev,
                                                        vspace_new_pages_config_t *config)
{
    config->can_use_dev = can_use_dev;
    return 0;
}

/** Allocate frames and map them in one range. @return its address, or NULL */
static inline void *vspace_new_pages(vspace_t *vspace, seL4_CapRights_t rights, size_t num_pages,
                                     size_t size_bits)
{
    if (!_VSPACE_HAS(vspace, new_pages) || num_pages == 0 || !sel4_valid_size_bits(size_bits)) {
        return NULL;
    }
    return vspace->new_pages(vspace, rights, num_pages, size_bits);
}

/**
 * Map frames one after the other, at any address.
 *
 * @param caps     their capabilities, which stay the caller's
 * @param cookies  the allocator's cookies, for a later unmap that frees; may be NULL
 * @return the address, or NULL
 */
static inline void *vspace_map_pages(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[],
                                     seL4_CapRights_t rights, size_t num_pages, size_t size_bits,
                                     int cacheable)
{
    if (!_VSPACE_HAS(vspace, map_pages) || num_pages == 0 || !sel4_valid_size_bits(size_bits)) {
        return NULL;
    }
    return vspace->map_pages(vspace, caps, cookies, rights, num_pages, size_bits, cacheable);
}

/** Allocate frames and map them at `config->vaddr` inside a reservation. */
static inline int vspace_new_pages_at_vaddr_with_config(vspace_t *vspace,
                                                        vspace_new_pages_config_t *config,
                                                        reservation_t res)
{
    if (!_VSPACE_HAS(vspace, new_pages_at_vaddr) || res.res == NULL) {
        return -1;
    }
    return vspace->new_pages_at_vaddr(vspace, config->vaddr, config->num_pages, config->size_bits,
                                      res, config->can_use_dev);
}

static inline int vspace_new_pages_at_vaddr(vspace_t *vspace, void *vaddr, size_t num_pages,
                                            size_t size_bits, reservation_t reservation)
{
    vspace_new_pages_config_t config;
    if (default_vspace_new_pages_config(num_pages, size_bits, &config)) {
        return -1;
    }
    config.vaddr = vaddr;
    return vspace_new_pages_at_vaddr_with_config(vspace, &config, reservation);
}

/** Map frames at `vaddr` inside a reservation, with its rights; fails if one is mapped there. */
static inline int vspace_map_pages_at_vaddr(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[],
                                            void *vaddr, size_t num_pages, size_t size_bits,
                                            reservation_t reservation)
{
    if (!_VSPACE_HAS(vspace, map_pages_at_vaddr) || num_pages == 0) {
        return -1;
    }
    return vspace->map_pages_at_vaddr(vspace, caps, cookies, vaddr, num_pages, size_bits,
                                      reservation);
}

/** As vspace_map_pages_at_vaddr(), with rights of its own if the reservation deferred them. */
static inline int vspace_deferred_rights_map_pages_at_vaddr(vspace_t *vspace, seL4_CPtr caps[],
                                                            uintptr_t cookies[], void *vaddr,
                                                            size_t num_pages, size_t size_bits,
                                                            seL4_CapRights_t rights,
                                                            reservation_t reservation)
{
    if (!_VSPACE_HAS(vspace, deferred_rights_map_pages_at_vaddr) || num_pages == 0) {
        return -1;
    }
    return vspace->deferred_rights_map_pages_at_vaddr(vspace, caps, cookies, vaddr, num_pages,
                                                      size_bits, rights, reservation);
}

/**
 * Unmap pages; pages that are not mapped are passed over. The reservation stays.
 *
 * @param vka  what to do with frames and slots: VSPACE_PRESERVE, VSPACE_FREE, or the vka that they
 *             came from
 */
static inline void vspace_unmap_pages(vspace_t *vspace, void *vaddr, size_t num_pages,
                                      size_t size_bits, vka_t *vka)
{
    if (_VSPACE_HAS(vspace, unmap_pages) && num_pages != 0) {
        vspace->unmap_pages(vspace, vaddr, num_pages, size_bits, vka);
    }
}

/** Unmap everything and free all reservations. @param vka  as for vspace_unmap_pages() */
static inline void vspace_tear_down(vspace_t *vspace, vka_t *vka)
{
    if (_VSPACE_HAS(vspace, tear_down)) {
        vspace->tear_down(vspace, vka);
    }
}

/**
 * Reserve a range at any address that is a multiple of 2^size_bits.
 *
 * @param bytes      its size, rounded up to 4 KiB
 * @param rights     for what will be mapped in it
 * @param cacheable  0: map it as device memory
 * @param vaddr      receives its address
 */
static inline reservation_t vspace_reserve_range_aligned(vspace_t *vspace, size_t bytes,
                                                         size_t size_bits, seL4_CapRights_t rights,
                                                         int cacheable, void **vaddr)
{
    reservation_t none = {NULL};
    if (!_VSPACE_HAS(vspace, reserve_range_aligned) || bytes == 0 || vaddr == NULL) {
        return none;
    }
    return vspace->reserve_range_aligned(vspace, bytes, size_bits, rights, cacheable, vaddr);
}

static inline reservation_t vspace_reserve_range(vspace_t *vspace, size_t bytes,
                                                 seL4_CapRights_t rights, int cacheable,
                                                 void **vaddr)
{
    return vspace_reserve_range_aligned(vspace, bytes, seL4_PageBits, rights, cacheable, vaddr);
}

/** Reserve the pages that [vaddr, vaddr + bytes) touches. */
static inline reservation_t vspace_reserve_range_at(vspace_t *vspace, void *vaddr, size_t bytes,
                                                    seL4_CapRights_t rights, int cacheable)
{
    reservation_t none = {NULL};
    if (!_VSPACE_HAS(vspace, reserve_range_at) || bytes == 0) {
        return none;
    }
    return vspace->reserve_range_at(vspace, vaddr, bytes, rights, cacheable);
}

/** As vspace_reserve_range_at(), with rights that each map will give. */
static inline reservation_t vspace_reserve_deferred_rights_range_at(vspace_t *vspace, void *vaddr,
                                                                    size_t bytes, int cacheable)
{
    reservation_t none = {NULL};
    if (!_VSPACE_HAS(vspace, reserve_deferred_rights_range_at) || bytes == 0) {
        return none;
    }
    return vspace->reserve_deferred_rights_range_at(vspace, vaddr, bytes, cacheable);
}

/** Free a reservation; its pages must be unmapped before. */
static inline void vspace_free_reservation(vspace_t *vspace, reservation_t reservation)
{
    if (_VSPACE_HAS(vspace, free_reservation)) {
        vspace->free_reservation(vspace, reservation);
    }
}

/** Free the reservation that holds `vaddr`. */
static inline void vspace_free_reservation_by_vaddr(vspace_t *vspace, void *vaddr)
{
    if (_VSPACE_HAS(vspace, free_reservation_by_vaddr)) {
        vspace->free_reservation_by_vaddr(vspace, vaddr);
    }
}

/** The capability that is mapped at `vaddr`, or seL4_CapNull. */
static inline seL4_CPtr vspace_get_cap(vspace_t *vspace, void *vaddr)
{
    return _VSPACE_HAS(vspace, get_cap) ? vspace->get_cap(vspace, vaddr) : seL4_CapNull;
}

/** The allocator's cookie of the frame that is mapped at `vaddr`, or 0. */
static inline uintptr_t vspace_get_cookie(vspace_t *vspace, void *vaddr)
{
    return _VSPACE_HAS(vspace, get_cookie) ? vspace->get_cookie(vspace, vaddr) : 0;
}

/** The VSpace capability, or seL4_CapNull. */
static inline seL4_CPtr vspace_get_root(vspace_t *vspace)
{
    return _VSPACE_HAS(vspace, get_root) ? vspace->get_root(vspace) : seL4_CapNull;
}

/** Notify the owner of an address space of an object that was allocated for it. */
static inline void vspace_maybe_call_allocated_object(vspace_t *vspace, vka_object_t object)
{
    if (vspace && vspace->allocated_object) {
        vspace->allocated_object(vspace->allocated_object_cookie, object);
    }
}

/** Map copies of the frames at `start` in `from` at `vaddr`, inside a reservation of `to`. */
static inline int vspace_share_mem_at_vaddr(vspace_t *from, vspace_t *to, void *start,
                                            int num_pages, size_t size_bits, void *vaddr,
                                            reservation_t res)
{
    if (!_VSPACE_HAS(from, share_mem_at_vaddr) || !to || num_pages <= 0 || !vaddr) {
        return -1;
    }
    return from->share_mem_at_vaddr(from, to, start, num_pages, size_bits, vaddr, res);
}

/** As vspace_share_mem_at_vaddr(), at any address. @return the address, or NULL */
void *vspace_share_mem(vspace_t *from, vspace_t *to, void *start, int num_pages, size_t size_bits,
                       seL4_CapRights_t rights, int cacheable);

/** Allocate frames and map them, as `config` says. @return the address, or NULL */
void *vspace_new_pages_with_config(vspace_t *vspace, vspace_new_pages_config_t *config,
                                   seL4_CapRights_t rights);

/** Sees the page of `access_addr`, mapped at `vaddr` for the time of the call. */
typedef int (*vspace_access_callback_fn)(void *access_addr, void *vaddr, void *cookie);

/**
 * Map the page of `access_addr` in `from` into `to`, call `callback` on it, and unmap it.
 *
 * @return what `callback` returned, or -1 if it could not be mapped
 */
int vspace_access_page_with_callback(vspace_t *from, vspace_t *to, void *access_addr,
                                     size_t size_bits, seL4_CapRights_t rights, int cacheable,
                                     vspace_access_callback_fn callback, void *cookie);
