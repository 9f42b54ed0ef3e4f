/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The VMM's own address space is that of this process: a page that is mapped in it is a mapping of
 * the bank's file at that host address, and a page that is unmapped faults when touched.
 *
 * In an incoherent system a cached page is a mapping of the bank's cache file instead (cache.c).
 *
 * A host has a limit of mappings (vm.max_map_count, often 65,530), and joins those of neighbouring
 * frames at neighbouring addresses. So the environment puts single pages side by side, in the
 * arena. The edges between what is not joined are counted. Unmapping a page between two others
 * makes two more: when there are many, a page of the arena stays as it is, stale, until a neighbour
 * goes. Its entry is not valid, but says what the host has there. Maps are refused before the host
 * would, so that there is always room to unmap.
 *
 * It differs from a guest's in two ways. Host addresses have 47 bits, not 40. And it needs no page
 * table objects: the host keeps the tables of the process, so the model makes the tables that it
 * needs for its own bookkeeping by itself.
 */

#include "kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <utils/zf_log.h>

enum { PAGE = 1 << seL4_PageBits, USUAL_LIMIT = 65530, OTHERS = 5000 };

void host_map_init(kernel_t *kernel)
{
    unsigned long limit = USUAL_LIMIT;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
    if (file) {
        if (fscanf(file, "%lu", &limit) != 1 || limit < 2ul * OTHERS) {
            limit = USUAL_LIMIT;
        }
        fclose(file);
    }
    kernel->host_edge_limit = limit - OTHERS; /* which are for all else in the process */
}

/* What the host has mapped in that page, stale or not; 0 if nothing, or a part of a large page. */
static uint64_t small_entry(const kernel_t *kernel, uint64_t vaddr)
{
    pte_slot_t at = mapping_lookup(kernel->host, vaddr);
    return at.bits == seL4_PageBits ? *at.entry : 0;
}

/* Whether the host joins what is mapped in two neighbouring pages. */
static bool joined(uint64_t left, uint64_t right)
{
    return left && right && (left | PTE_VALID) + PAGE == (right | PTE_VALID);
}

static size_t edge(uint64_t left, uint64_t right)
{
    return (left || right) && !joined(left, right);
}

/* Keep count of the edges on both sides of a small page whose entry changes. */
static void count_edges(kernel_t *kernel, uint64_t vaddr, uint64_t before, uint64_t after)
{
    uint64_t left = small_entry(kernel, vaddr - PAGE), right = small_entry(kernel, vaddr + PAGE);
    kernel->host_edges += edge(left, after) + edge(after, right);
    kernel->host_edges -= edge(left, before) + edge(before, right);
}

int host_map_page(kernel_t *kernel, uint64_t vaddr, unsigned bits, uint64_t entry)
{
    uint64_t paddr = entry & ~(uint64_t)PTE_FLAGS;
    const bank_t *bank = physical_find(kernel, paddr);
    if (!bank) {
        return -1;
    }
    if (bits == seL4_PageBits && kernel->host_edges >= kernel->host_edge_limit) {
        ZF_LOGE("the host has no room for more mappings: raise vm.max_map_count");
        return -1;
    }
    bool cached = kernel->incoherent && entry & PTE_CACHEABLE;
    if (cached) {
        cache_page_mapped(bank, paddr, 1ul << bits);
    }
    int protection = (entry & PTE_READ ? PROT_READ : 0) | (entry & PTE_WRITE ? PROT_WRITE : 0);
    void *at =
        mmap((void *)vaddr, (size_t)1 << bits, protection, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
             cached ? bank->cache_fd : bank->fd, (off_t)(paddr - bank->base));
    if (at == MAP_FAILED) {
        return -1;
    }
    if (bits == seL4_PageBits) {
        count_edges(kernel, vaddr, small_entry(kernel, vaddr), entry);
    }
    return 0;
}

/* Take a stale page out, to go with its neighbour. @return whether there is one */
static bool take_stale(kernel_t *kernel, uint64_t vaddr)
{
    uint64_t entry = small_entry(kernel, vaddr);
    if (!entry || entry & PTE_VALID) {
        return false;
    }
    *mapping_lookup(kernel->host, vaddr).entry = 0;
    count_edges(kernel, vaddr, entry, 0);
    return true;
}

void host_unmap_page(kernel_t *kernel, uint64_t vaddr, unsigned bits, uint64_t entry)
{
    uint64_t first = vaddr, end = vaddr + (1ul << bits);
    if (bits == seL4_PageBits) {
        if (kernel->host_edges >= kernel->host_edge_limit / 2 &&
            vaddr - kernel->host_arena < kernel->host_arena_size &&
            joined(small_entry(kernel, vaddr - PAGE), entry) &&
            joined(entry, small_entry(kernel, end))) {
            *mapping_lookup(kernel->host, vaddr).entry = entry & ~(uint64_t)PTE_VALID;
            return;
        }
        count_edges(kernel, vaddr, entry, 0);
        while (take_stale(kernel, first - PAGE)) {
            first -= PAGE;
        }
        while (take_stale(kernel, end)) {
            end += PAGE;
        }
    }
    void *at = mmap((void *)first, end - first, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        /* Only the limit of mappings (vm.max_map_count) gets here, and there is no way on. */
        ZF_LOGF("the host cannot unmap 2^%u bytes at %#lx: raise vm.max_map_count", bits, vaddr);
    }
}

static page_table_t *table_of(uint64_t entry)
{
    return (page_table_t *)(uintptr_t)(entry & ~(uint64_t)PTE_FLAGS);
}

static bool table_is_empty(const page_table_t *table)
{
    for (int i = 0; i < 512; i++) {
        uint64_t entry = table->entries[i];
        if (entry & PTE_VALID && !(entry & PTE_TABLE && table_is_empty(table_of(entry)))) {
            return false;
        }
    }
    return true;
}

static void free_table(uint64_t entry)
{
    if (!(entry & PTE_TABLE)) {
        return;
    }
    for (int i = 0; i < 512; i++) {
        free_table(table_of(entry)->entries[i]);
    }
    free(table_of(entry));
}

bool host_make_tables(vspace_object_t *vspace, uint64_t vaddr, unsigned bits)
{
    pte_slot_t at = {&vspace->entries[vaddr >> seL4_HugePageBits], seL4_HugePageBits};
    while (at.bits > bits && !(*at.entry & PTE_VALID && !(*at.entry & PTE_TABLE))) {
        if (!*at.entry) {
            page_table_t *table = aligned_alloc(64, sizeof(*table));
            if (!table) {
                return false;
            }
            memset(table, 0, sizeof(*table));
            *at.entry = (uint64_t)(uintptr_t)table | PTE_VALID | PTE_TABLE;
        }
        at.bits -= seL4_PageTableIndexBits;
        at.entry = &table_of(*at.entry)->entries[vaddr >> at.bits & 511];
    }
    if (!vspace->tables_stay && at.bits == bits && *at.entry & PTE_TABLE &&
        table_is_empty(table_of(*at.entry))) {
        free_table(*at.entry);
        *at.entry = 0;
    }
    return true;
}

void host_free_tables(vspace_object_t *vspace)
{
    for (size_t i = 0; i < vspace->num_entries; i++) {
        free_table(vspace->entries[i]);
    }
    munmap(vspace->entries, vspace->num_entries * sizeof(*vspace->entries));
}

bool host_range_has_pages(kernel_t *kernel, uint64_t vaddr, uint64_t size)
{
    vspace_object_t *vspace = kernel->host;
    for (uint64_t at = vaddr; vspace && at - vaddr < size;) {
        pte_slot_t entry = mapping_lookup(vspace, at);
        if (*entry.entry & PTE_VALID) {
            return true;
        }
        at = (at | ((1ul << entry.bits) - 1)) + 1;
    }
    return false;
}
