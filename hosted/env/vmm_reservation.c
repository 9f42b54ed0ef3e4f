/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The reserved ranges of vmm.h: made of host address space, found by address. */

#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <utils/zf_log.h>
#include "vmm.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

enum { PAGE = 4096, FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE };

#define ARENA_PAGES ((size_t)1 << 22) /* 16 GiB; ranges that find no room are the host's */

static size_t pages_bytes(uint64_t size)
{
    return size / PAGE * sizeof(vmm_page_t);
}

static void *host_reserve_at(void *vaddr, size_t size)
{
    void *at = mmap(vaddr, size, PROT_NONE, FLAGS | MAP_FIXED_NOREPLACE, -1, 0);
    if (at != MAP_FAILED && at != vaddr) {
        munmap(at, size); /* an old host took the address as a hint */
        return NULL;
    }
    return at == MAP_FAILED ? NULL : at;
}

static void *host_reserve(size_t size, size_t align_bits)
{
    size_t align = (size_t)1 << align_bits;
    size_t slack = align > PAGE ? align - PAGE : 0;
    if (size + slack < size) {
        return NULL;
    }
    char *at = mmap(NULL, size + slack, PROT_NONE, FLAGS, -1, 0);
    if (at == MAP_FAILED) {
        return NULL;
    }
    size_t before = -(uintptr_t)at & (align - 1);
    if (before) {
        munmap(at, before);
    }
    if (slack - before) {
        munmap(at + before + size, slack - before);
    }
    return at + before;
}

/* The number of an address's page in the arena; ARENA_PAGES if it is not in it. */
static size_t arena_page(const hosted_system_t *system, const void *vaddr)
{
    uint64_t arena = system->kernel.host_arena, offset = (uint64_t)(uintptr_t)vaddr - arena;
    return arena && offset < system->kernel.host_arena_size ? offset / PAGE : ARENA_PAGES;
}

static bool make_arena(hosted_system_t *system)
{
    if (!system->kernel.host_arena && bitmap_init(&system->vmm.arena_free, ARENA_PAGES) == 0) {
        void *at = host_reserve(ARENA_PAGES * PAGE, seL4_HugePageBits);
        system->kernel.host_arena = (uint64_t)(uintptr_t)at;
        system->kernel.host_arena_size = at ? ARENA_PAGES * PAGE : 0;
        if (!at) {
            bitmap_free(&system->vmm.arena_free);
        }
    }
    return system->kernel.host_arena != 0;
}

/* The lowest free page of the arena; NULL if there is none. */
static void *arena_take(hosted_system_t *system)
{
    vmm_space_t *vmm = &system->vmm;
    size_t page;
    if (!make_arena(system)) {
        return NULL;
    }
    if (bitmap_first(&vmm->arena_free, &page)) {
        bitmap_remove(&vmm->arena_free, page);
    } else if (vmm->arena_used < ARENA_PAGES) {
        page = vmm->arena_used++;
    } else {
        return NULL;
    }
    return (void *)(system->kernel.host_arena + page * PAGE);
}

/* These pages of the arena; NULL if one of them is taken. */
static void *arena_take_at(hosted_system_t *system, void *vaddr, size_t size)
{
    vmm_space_t *vmm = &system->vmm;
    size_t first = arena_page(system, vaddr), end = first + size / PAGE;
    if (end > ARENA_PAGES) {
        return NULL;
    }
    while (vmm->arena_used < end) {
        bitmap_add(&vmm->arena_free, vmm->arena_used++);
    }
    for (size_t page = first; page < end; page++) {
        if (!bitmap_has(&vmm->arena_free, page)) {
            return NULL;
        }
    }
    for (size_t page = first; page < end; page++) {
        bitmap_remove(&vmm->arena_free, page);
    }
    return vaddr;
}

static void arena_give(hosted_system_t *system, void *vaddr, size_t size)
{
    size_t first = arena_page(system, vaddr);
    for (size_t page = first; page < first + size / PAGE; page++) {
        bitmap_add(&system->vmm.arena_free, page);
    }
}

/* Take addresses, from the arena or from the host. */
static void *take(hosted_system_t *system, size_t size, size_t align_bits, void *vaddr)
{
    if (vaddr) {
        return arena_page(system, vaddr) < ARENA_PAGES ? arena_take_at(system, vaddr, size)
                                                       : host_reserve_at(vaddr, size);
    }
    void *at = size == PAGE && align_bits <= seL4_PageBits ? arena_take(system) : NULL;
    return at ? at : host_reserve(size, align_bits);
}

static void give(hosted_system_t *system, void *at, size_t size)
{
    if (arena_page(system, at) < ARENA_PAGES) {
        arena_give(system, at, size);
    } else {
        munmap(at, size);
    }
}

/* Memory that is touched only where pages are mapped. */
static bool make_pages(vmm_reservation_t *reservation, size_t size)
{
    if (size == PAGE) {
        reservation->pages = &reservation->own_page;
        return true;
    }
    void *pages = mmap(NULL, pages_bytes(size), PROT_READ | PROT_WRITE, FLAGS, -1, 0);
    reservation->pages = pages;
    return pages != MAP_FAILED;
}

vmm_reservation_t *vmm_reserve(hosted_system_t *system, size_t bytes, size_t align_bits,
                               void **vaddr)
{
    size_t size = (bytes + PAGE - 1) & ~(size_t)(PAGE - 1);
    if (size < bytes || size >> 47 || align_bits > 46 ||
        inject_fails(&system->kernel, HOSTED_OPERATION_ALLOCATOR)) {
        return NULL;
    }
    void *at = take(system, size, align_bits, *vaddr);
    vmm_reservation_t *reservation = at ? calloc(1, sizeof(*reservation)) : NULL;
    if (!reservation || !make_pages(reservation, size)) {
        free(reservation);
        if (at) {
            give(system, at, size);
        }
        return NULL;
    }
    reservation->node.key = (uint64_t)(uintptr_t)at;
    reservation->size = size;
    tree_insert(&system->vmm.reservations, &reservation->node);
    system->vmm.num_reservations++;
    system->vmm.bytes += size;
    *vaddr = at;
    return reservation;
}

void vmm_release(hosted_system_t *system, vmm_reservation_t *reservation)
{
    if (reservation->num_mapped ||
        host_range_has_pages(&system->kernel, reservation->node.key, reservation->size)) {
        reservation->freed = true;
        return;
    }
    tree_remove(&system->vmm.reservations, &reservation->node);
    system->vmm.num_reservations--;
    system->vmm.bytes -= reservation->size;
    give(system, (void *)reservation->node.key, reservation->size);
    if (reservation->pages != &reservation->own_page) {
        munmap(reservation->pages, pages_bytes(reservation->size));
    }
    free(reservation);
}

vmm_reservation_t *vmm_find(hosted_system_t *system, const void *vaddr)
{
    uint64_t address = (uint64_t)(uintptr_t)vaddr;
    vmm_reservation_t *found = (vmm_reservation_t *)tree_floor(system->vmm.reservations, address);
    return found && address - found->node.key < found->size ? found : NULL;
}

bool vmm_vspace_holds(kernel_t *kernel, uint64_t vaddr, uint64_t size)
{
    vmm_reservation_t *found = vmm_find(kernel->system, (void *)vaddr);
    return found && size <= found->size - (vaddr - found->node.key);
}

void vmm_vspace_free(hosted_system_t *system)
{
    tree_node_t *first;
    while ((first = tree_first(system->vmm.reservations))) {
        vmm_reservation_t *reservation = (vmm_reservation_t *)first;
        reservation->num_mapped = 0;
        vmm_release(system, reservation);
    }
    bitmap_free(&system->vmm.arena_free);
    if (system->kernel.host_arena) {
        munmap((void *)system->kernel.host_arena, system->kernel.host_arena_size);
        system->kernel.host_arena = system->kernel.host_arena_size = 0;
    }
}
