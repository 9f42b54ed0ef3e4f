/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * From an abort to an access. The instruction gives virtual address, width and direction; stage 1
 * gives the guest-physical address of each page of it; stage 2 says which of these is not allowed.
 * Where an instruction is not known, the page that the processor named is all that is reported,
 * as hardware does when its syndrome is not valid.
 */

#include "abort.h"
#include <string.h>

#define PAGE_SIZE 4096ull
#define PAGE_MASK (PAGE_SIZE - 1)

typedef enum direction { READ, WRITE, FETCH } direction_t;

static bool allowed(const abort_view_t *view, uint64_t gpa, direction_t direction,
                    shadow_entry_t *entry)
{
    if (!shadow_lookup(view->shadow, gpa, entry)) {
        return false;
    }
    return direction == READ ? entry->read : direction == WRITE ? entry->write : entry->execute;
}

static const void *read_pointer(const abort_view_t *view, uint64_t gpa)
{
    shadow_entry_t entry;
    if (!allowed(view, gpa, READ, &entry)) {
        return NULL;
    }
    uint64_t below = ((uint64_t)1 << entry.size_bits) - 1;
    return view->host(view->cookie, entry.target | (gpa & below));
}

/* Naturally aligned words do not cross pages, so one pointer is enough. */
static bool read_word(void *cookie, uint64_t gpa, uint64_t *value)
{
    const void *source = read_pointer(cookie, gpa & ~(uint64_t)7);
    if (source == NULL) {
        return false;
    }
    memcpy(value, source, sizeof(*value));
    return true;
}

static stage1_result_t translate(const abort_view_t *view, uint64_t address, uint64_t *gpa)
{
    return stage1_translate(&view->regime, address, read_word, (void *)view, gpa);
}

bool abort_read_instruction(const abort_view_t *view, uint64_t address, uint32_t *instruction)
{
    uint64_t gpa;

    *instruction = 0;
    if ((address & 3) != 0 || translate(view, address, &gpa) != STAGE1_OK) {
        return false;
    }
    const void *source = read_pointer(view, gpa);
    if (source == NULL) {
        return false;
    }
    memcpy(instruction, source, sizeof(*instruction));
    return true;
}

bool abort_translate(const abort_view_t *view, uint64_t address, uint64_t *gpa)
{
    return translate(view, address, gpa) == STAGE1_OK;
}

void *abort_writable_page(const abort_view_t *view, uint64_t page)
{
    shadow_entry_t entry;
    uint64_t gpa;

    if (translate(view, page, &gpa) != STAGE1_OK || !allowed(view, gpa, WRITE, &entry)) {
        return NULL;
    }
    return (void *)read_pointer(view, gpa);
}

/* Look at one page of the access. True if it is where stage 2 refused. */
static bool refused(const abort_view_t *view, uint64_t address, direction_t direction,
                    engine_fault_t *fault)
{
    shadow_entry_t entry;
    uint64_t gpa;

    switch (translate(view, address, &gpa)) {
    case STAGE1_TABLE:
        fault->table_walk = true;
        fault->address = gpa;
        fault->width = 8;
        fault->write = false;
        return true;
    case STAGE1_OK:
        fault->address = gpa;
        return !allowed(view, gpa, direction, &entry);
    default:
        return false;
    }
}

void abort_describe_data(const abort_view_t *view, uint64_t page, engine_exit_t *exit)
{
    engine_fault_t *fault = &exit->fault;
    a64_access_t *access = &fault->access;

    *fault = (engine_fault_t){.aligned = true};
    exit->reason = ENGINE_FAULT;
    fault->decoded = a64_decode_access(exit->instruction, access);
    if (!fault->decoded) {
        fault->address = page;
        return;
    }
    uint64_t first = a64_access_address(access, view->x, view->sp, view->pc);
    uint64_t last = first + access->bytes - 1;
    fault->write = access->store;
    fault->aligned = (first & (access->width - 1u)) == 0;
    fault->crosses_page = (first & ~PAGE_MASK) != (last & ~PAGE_MASK);
    direction_t direction = access->store ? WRITE : READ;
    uint64_t second = last & ~PAGE_MASK;
    unsigned before = fault->crosses_page ? (unsigned)(second - first) : access->bytes;
    fault->width = before;
    if (refused(view, first, direction, fault)) {
        return;
    }
    if (fault->crosses_page && refused(view, second, direction, fault)) {
        fault->width = fault->table_walk ? 8 : access->bytes - before;
        return;
    }
    /* The tables allow it: the processor still had an older entry, so the page it named is it. */
    fault->address = page;
}

void abort_describe_fetch(const abort_view_t *view, uint64_t page, engine_exit_t *exit)
{
    engine_fault_t *fault = &exit->fault;

    *fault = (engine_fault_t){.fetch = true, .aligned = true, .width = 4};
    exit->reason = ENGINE_FAULT;
    if (!refused(view, exit->pc, FETCH, fault)) {
        fault->address = page | (exit->pc & PAGE_MASK);
    }
    if (fault->table_walk) {
        fault->fetch = false;
    }
}
