/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Faults by page: a hash table with open addressing, at most half full. A page without faults is a
 * free entry. Where the host has no memory for more, faults are not counted any more.
 */

#include <stdlib.h>
#include "runtime.h"

enum { PAGE_BITS = 12, FIRST_BITS = 8 };

/* The page's entry, or a free one for it. */
static hosted_vm_page_t *find(hosted_vm_page_t *pages, size_t bits, uintptr_t address)
{
    size_t mask = ((size_t)1 << bits) - 1;
    size_t at = (size_t)((address >> PAGE_BITS) * 0x9e3779b97f4a7c15ul >> (64 - bits));

    while (pages[at].faults != 0 && pages[at].address != address) {
        at = (at + 1) & mask;
    }
    return &pages[at];
}

static bool grow(hosted_vm_t *runtime)
{
    size_t bits = runtime->pages != NULL ? runtime->pages_bits + 1 : FIRST_BITS;
    hosted_vm_page_t *pages = calloc((size_t)1 << bits, sizeof(*pages));

    if (pages == NULL) {
        return false;
    }
    for (size_t i = 0; runtime->pages != NULL && i < (size_t)1 << runtime->pages_bits; i++) {
        if (runtime->pages[i].faults != 0) {
            *find(pages, bits, runtime->pages[i].address) = runtime->pages[i];
        }
    }
    free(runtime->pages);
    runtime->pages = pages;
    runtime->pages_bits = bits;
    return true;
}

void pages_count(hosted_vm_t *runtime, uintptr_t address)
{
    uintptr_t page = address >> PAGE_BITS << PAGE_BITS;

    if ((runtime->pages == NULL || runtime->num_pages * 2 >= (size_t)1 << runtime->pages_bits) &&
        !grow(runtime)) {
        return;
    }
    hosted_vm_page_t *entry = find(runtime->pages, runtime->pages_bits, page);
    runtime->num_pages += entry->faults == 0;
    entry->address = page;
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

    for (size_t i = 0; runtime->pages != NULL && i < (size_t)1 << runtime->pages_bits; i++) {
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
