/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Faults by page: a hash table with open addressing, half full at most, in which a page without
 * faults is a free entry. When there are too many pages, those that faulted least are forgotten: a
 * guest that touches all of its address space takes no memory for it.
 */

#include <stdlib.h>
#include "runtime.h"

enum { PAGE_BITS = 12, TABLE_BITS = 13, TABLE_SIZE = 1 << TABLE_BITS, MOST = TABLE_SIZE / 2 };

/* The page's entry, or a free one for it. */
static hosted_vm_page_t *find(hosted_vm_page_t *pages, uintptr_t address)
{
    size_t at = (size_t)((address >> PAGE_BITS) * 0x9e3779b97f4a7c15ul >> (64 - TABLE_BITS));

    while (pages[at].faults != 0 && pages[at].address != address) {
        at = (at + 1) % TABLE_SIZE;
    }
    return &pages[at];
}

/* How many pages have faulted more often than that. */
static size_t num_above(const hosted_vm_t *runtime, uint64_t faults)
{
    size_t count = 0;

    for (size_t i = 0; runtime->pages != NULL && i < TABLE_SIZE; i++) {
        count += runtime->pages[i].faults > faults;
    }
    return count;
}

/* A new table, without the pages of the old one that faulted least, half of them or more. */
static void renew(hosted_vm_t *runtime)
{
    hosted_vm_page_t *pages = calloc(TABLE_SIZE, sizeof(*pages));
    uint64_t least = 1;

    if (pages == NULL) {
        return;
    }
    while (num_above(runtime, least) > MOST / 2) {
        least *= 2;
    }
    runtime->num_pages = num_above(runtime, least);
    for (size_t i = 0; runtime->pages != NULL && i < TABLE_SIZE; i++) {
        if (runtime->pages[i].faults > least) {
            *find(pages, runtime->pages[i].address) = runtime->pages[i];
        }
    }
    free(runtime->pages);
    runtime->pages = pages;
}

void pages_count(hosted_vm_t *runtime, uintptr_t address)
{
    uintptr_t page = address >> PAGE_BITS << PAGE_BITS;

    if (runtime->pages == NULL) {
        renew(runtime);
    }
    if (runtime->pages == NULL) {
        return;
    }
    hosted_vm_page_t *entry = find(runtime->pages, page);
    if (entry->faults == 0) {
        if (runtime->num_pages == MOST) {
            renew(runtime);
            entry = find(runtime->pages, page);
        }
        if (runtime->num_pages == MOST) { /* the host has no memory */
            return;
        }
        runtime->num_pages++;
        entry->address = page;
    }
    entry->faults++;
}

static bool comes_before(const hosted_vm_page_t *a, const hosted_vm_page_t *b)
{
    return a->faults > b->faults || (a->faults == b->faults && a->address < b->address);
}

size_t hosted_vm_faulting_pages(const vm_t *vm, hosted_vm_page_t *pages, size_t count)
{
    const hosted_vm_t *runtime = runtime_of(vm);
    size_t used = 0;

    for (size_t i = 0; runtime->pages != NULL && i < TABLE_SIZE; i++) {
        const hosted_vm_page_t *page = &runtime->pages[i];
        size_t at = used;
        if (page->faults == 0) {
            continue;
        }
        while (at > 0 && comes_before(page, &pages[at - 1])) {
            if (at < count) {
                pages[at] = pages[at - 1];
            }
            at--;
        }
        if (at < count) {
            pages[at] = *page;
            used += used < count;
        }
    }
    return used;
}
