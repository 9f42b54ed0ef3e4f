/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The VMM's own address space is that of this process: a page that is mapped in it is a mapping of
 * the bank's file at that host address, and a page that is unmapped faults when touched.
 *
 * It differs from a guest's in two ways. Host addresses have 47 bits, not 40. And it needs no page
 * table objects: the host keeps the tables of the process, so the model makes the tables that it
 * needs for its own bookkeeping by itself.
 */

#include "kernel.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <utils/zf_log.h>

int host_map_page(kernel_t *kernel, uint64_t vaddr, unsigned bits, uint64_t entry)
{
    uint64_t paddr = entry & ~(uint64_t)PTE_FLAGS;
    const bank_t *bank = physical_find(kernel, paddr);
    if (!bank) {
        return -1;
    }
    int protection = (entry & PTE_READ ? PROT_READ : 0) | (entry & PTE_WRITE ? PROT_WRITE : 0);
    void *at = mmap((void *)vaddr, (size_t)1 << bits, protection,
                    MAP_SHARED | MAP_FIXED | MAP_NORESERVE, bank->fd, (off_t)(paddr - bank->base));
    return at == MAP_FAILED ? -1 : 0;
}

void host_unmap_page(uint64_t vaddr, unsigned bits)
{
    void *at = mmap((void *)vaddr, (size_t)1 << bits, PROT_NONE,
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
