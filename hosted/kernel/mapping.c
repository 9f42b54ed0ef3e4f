/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Page tables of three levels: a root of 1 GiB entries, and tables of 2 MiB and of 4 KiB entries.
 * An entry is nothing, a page of its size, or the next table. Counts and listeners follow what can
 * be reached from an address space; a table that was cut off with tables below it leaves those
 * unreachable, as on the kernel.
 */

#include "kernel.h"

#include <string.h>

static page_table_t *table_of(uint64_t entry)
{
    return (page_table_t *)(uintptr_t)(entry & ~(uint64_t)PTE_FLAGS);
}

static uint64_t paddr_of(uint64_t entry)
{
    return entry & ~(uint64_t)PTE_FLAGS;
}

pte_slot_t mapping_lookup(vspace_object_t *vspace, uint64_t vaddr)
{
    pte_slot_t at = {&vspace->entries[vaddr >> seL4_HugePageBits], seL4_HugePageBits};
    while (*at.entry & PTE_TABLE) {
        at.bits -= seL4_PageTableIndexBits;
        at.entry = &table_of(*at.entry)->entries[vaddr >> at.bits & 511];
    }
    return at;
}

void mapping_describe(const kernel_t *kernel, uint64_t vaddr, unsigned bits, uint64_t entry,
                      hosted_stage2_mapping_t *mapping)
{
    const bank_t *bank = physical_find(kernel, paddr_of(entry));
    bool read = entry & PTE_READ;
    *mapping = (hosted_stage2_mapping_t){
        .gpa = vaddr,
        .size_bits = bits,
        .paddr = paddr_of(entry),
        .read = read,
        .write = entry & PTE_WRITE,
        .cacheable = entry & PTE_CACHEABLE,
        .execute = read && !(entry & PTE_NEVER_EXECUTE),
        .fd = bank ? bank->fd : -1,
        .offset = bank ? paddr_of(entry) - bank->base : 0,
    };
}

static void tell(kernel_t *kernel, const vspace_object_t *vspace, uint64_t vaddr, unsigned bits,
                 uint64_t entry, bool mapped)
{
    if (!vspace->watchers) {
        return;
    }
    hosted_stage2_mapping_t mapping;
    mapping_describe(kernel, vaddr, bits, entry, &mapping);
    for (const stage2_watcher_t *watcher = vspace->watchers; watcher; watcher = watcher->next) {
        void (*listener)(void *, const hosted_stage2_mapping_t *) =
            mapped ? watcher->listener.mapped : watcher->listener.unmapped;
        if (listener) {
            listener(watcher->listener.cookie, &mapping);
        }
    }
}

static void notify(kernel_t *kernel, vspace_object_t *vspace, uint64_t vaddr, unsigned bits,
                   uint64_t entry, bool mapped)
{
    if (vspace->host) {
        kernel->counts.vmm_mappings += mapped ? 1 : -1;
        return;
    }
    kernel->counts.guest_mappings += mapped ? 1 : -1;
    kernel->counts.guest_bytes += mapped ? 1ul << bits : -(1ul << bits);
    tell(kernel, vspace, vaddr, bits, entry, mapped);
}

void mapping_set_page(kernel_t *kernel, vspace_object_t *vspace, pte_slot_t at, uint64_t vaddr,
                      uint64_t entry)
{
    uint64_t replaced = *at.entry;
    *at.entry = entry;
    if (replaced & PTE_VALID && !vspace->host && paddr_of(replaced) == paddr_of(entry)) {
        tell(kernel, vspace, vaddr, at.bits, entry, true); /* with other rights, perhaps */
        return;
    }
    if (replaced & PTE_VALID) {
        notify(kernel, vspace, vaddr, at.bits, replaced, false);
    }
    notify(kernel, vspace, vaddr, at.bits, entry, true);
}

void mapping_unmap_page(kernel_t *kernel, const cap_t *frame)
{
    vspace_object_t *vspace = asid_find(kernel, frame->asid);
    if (!vspace) {
        return;
    }
    pte_slot_t at = mapping_lookup(vspace, frame->vaddr);
    uint64_t entry = *at.entry;
    if (!(entry & PTE_VALID) || at.bits != frame->bits || paddr_of(entry) != frame->paddr) {
        return; /* another frame replaced it, or the table is gone */
    }
    *at.entry = 0;
    if (vspace->host) {
        host_unmap_page(kernel, frame->vaddr, at.bits, entry);
    }
    notify(kernel, vspace, frame->vaddr, at.bits, entry, false);
}

/* Everything below an entry goes out of reach. Tables keep what is in them. */
static void detach(kernel_t *kernel, vspace_object_t *vspace, uint64_t vaddr, unsigned bits,
                   uint64_t entry)
{
    if (!(entry & PTE_VALID)) {
        return;
    }
    if (!(entry & PTE_TABLE) || bits <= seL4_PageBits) {
        notify(kernel, vspace, vaddr, bits, entry, false);
        return;
    }
    page_table_t *table = table_of(entry);
    table->reachable = false;
    bits -= seL4_PageTableIndexBits;
    for (uint64_t i = 0; i < 512; i++) {
        detach(kernel, vspace, vaddr + (i << bits), bits, table->entries[i]);
    }
}

void mapping_unmap_table(kernel_t *kernel, const cap_t *cap)
{
    page_table_t *target = (page_table_t *)cap->object;
    vspace_object_t *vspace = asid_find(kernel, cap->asid);
    if (vspace) {
        unsigned bits = seL4_HugePageBits;
        uint64_t *entry = &vspace->entries[cap->vaddr >> bits];
        while (*entry & PTE_TABLE && table_of(*entry) != target) {
            bits -= seL4_PageTableIndexBits;
            entry = &table_of(*entry)->entries[cap->vaddr >> bits & 511];
        }
        if (*entry & PTE_TABLE) {
            uint64_t cut = *entry;
            *entry = 0;
            detach(kernel, vspace, cap->vaddr & ~((1ul << bits) - 1), bits, cut);
        }
    }
    memset(target->entries, 0, sizeof(target->entries));
}

void mapping_drop_all(kernel_t *kernel, vspace_object_t *vspace)
{
    for (size_t i = 0; i < vspace->num_entries; i++) {
        uint64_t entry = vspace->entries[i];
        vspace->entries[i] = 0;
        detach(kernel, vspace, (uint64_t)i << seL4_HugePageBits, seL4_HugePageBits, entry);
    }
}
