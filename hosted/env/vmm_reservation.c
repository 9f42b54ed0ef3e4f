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

vmm_reservation_t *vmm_reserve(hosted_system_t *system, size_t bytes, size_t align_bits,
                               void **vaddr)
{
    size_t size = (bytes + PAGE - 1) & ~(size_t)(PAGE - 1);
    if (size < bytes || size >> 47 || align_bits > 46 ||
        inject_fails(&system->kernel, HOSTED_OPERATION_ALLOCATOR)) {
        return NULL;
    }
    void *at = *vaddr ? host_reserve_at(*vaddr, size) : host_reserve(size, align_bits);
    vmm_reservation_t *reservation = at ? calloc(1, sizeof(*reservation)) : NULL;
    void *pages = MAP_FAILED;
    if (reservation) {
        pages = mmap(NULL, pages_bytes(size), PROT_READ | PROT_WRITE, FLAGS, -1, 0);
    }
    if (pages == MAP_FAILED) {
        free(reservation);
        if (at) {
            munmap(at, size);
        }
        return NULL;
    }
    reservation->node.key = (uint64_t)(uintptr_t)at;
    reservation->size = size;
    reservation->pages = pages;
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
    munmap((void *)reservation->node.key, reservation->size);
    munmap(reservation->pages, pages_bytes(reservation->size));
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
}
