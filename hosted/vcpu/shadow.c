/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Stage-2 tables in the format that the processor reads (Arm architecture reference manual,
 * "VMSAv8-64 translation table format descriptors").
 *
 * The arena is an array of 4 KiB tables: the root is the first two (1,024 entries of 1 GiB), the
 * others are taken in order and kept in a list when they became empty. `used` counts the valid
 * entries of each table, so an empty one is known without looking at it.
 */

#define _GNU_SOURCE
#include "shadow.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define TABLE_BYTES   4096u
#define TABLE_ENTRIES 512u
#define ROOT_TABLES   2u
#define MAX_TABLES    (1u << 18) /* 1 GiB of tables: 512 GiB in pages of 4 KiB */

#define VALID         1ull
#define TABLE_OR_PAGE 2ull
#define DEVICE_nGnRE  (1ull << 2)
#define NORMAL_CACHED (0xfull << 2)
#define READ          (1ull << 6)
#define WRITE         (2ull << 6)
#define INNER_SHARED  (3ull << 8)
#define ACCESSED      (1ull << 10)
#define EXECUTE_NEVER (1ull << 54)
#define ADDRESS       0x0000fffffffff000ull

struct shadow {
    uint64_t address; /* of the arena, for the processor */
    uint64_t *tables; /* the arena */
    uint16_t *used;   /* valid entries of each table */
    uint32_t *free;   /* tables that became empty */
    size_t free_count;
    size_t count; /* tables ever taken */
};

shadow_t *shadow_create(uint64_t arena_address)
{
    shadow_t *shadow = calloc(1, sizeof(*shadow));
    if (shadow == NULL) {
        return NULL;
    }
    size_t arena = (size_t)MAX_TABLES * TABLE_BYTES;
    /* Touched only as tables are taken: the rest costs address space alone. */
    shadow->tables = mmap(NULL, arena, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    shadow->used = calloc(MAX_TABLES, sizeof(*shadow->used));
    shadow->free = calloc(MAX_TABLES, sizeof(*shadow->free));
    shadow->address = arena_address;
    shadow->count = ROOT_TABLES;
    if (shadow->tables == MAP_FAILED || shadow->used == NULL || shadow->free == NULL) {
        shadow_destroy(shadow);
        return NULL;
    }
    return shadow;
}

void shadow_destroy(shadow_t *shadow)
{
    if (shadow == NULL) {
        return;
    }
    if (shadow->tables != MAP_FAILED) {
        munmap(shadow->tables, (size_t)MAX_TABLES * TABLE_BYTES);
    }
    free(shadow->used);
    free(shadow->free);
    free(shadow);
}

void *shadow_arena(shadow_t *shadow, size_t *size)
{
    *size = (size_t)MAX_TABLES * TABLE_BYTES;
    return shadow->tables;
}

/* The root is two tables, so its index goes on into the second one. */
static size_t entry_index(uint64_t gpa, unsigned size_bits)
{
    size_t index = (size_t)(gpa >> size_bits);
    return size_bits == 30 ? index : index % TABLE_ENTRIES;
}

static uint64_t *entry_at(const shadow_t *shadow, size_t table, size_t index)
{
    return shadow->tables + table * TABLE_ENTRIES + index;
}

static bool is_table(uint64_t entry, unsigned size_bits)
{
    return size_bits > 12 && (entry & (VALID | TABLE_OR_PAGE)) == (VALID | TABLE_OR_PAGE);
}

static size_t table_of(const shadow_t *shadow, uint64_t entry)
{
    return (size_t)(((entry & ADDRESS) - shadow->address) / TABLE_BYTES);
}

static void set_entry(shadow_t *shadow, size_t table, size_t index, uint64_t value)
{
    uint64_t *entry = entry_at(shadow, table, index);
    size_t counter = table < ROOT_TABLES ? 0 : table;
    shadow->used[counter] = (uint16_t)(shadow->used[counter] + (value != 0) - (*entry != 0));
    *entry = value;
}

/* A table, empty; 0 if the arena is full. */
static size_t take_table(shadow_t *shadow)
{
    if (shadow->free_count > 0) {
        return shadow->free[--shadow->free_count];
    }
    return shadow->count < MAX_TABLES ? shadow->count++ : 0;
}

static void give_table(shadow_t *shadow, size_t table, unsigned size_bits)
{
    for (size_t i = 0; shadow->used[table] > 0 && i < TABLE_ENTRIES; i++) {
        uint64_t entry = *entry_at(shadow, table, i);
        if (is_table(entry, size_bits)) {
            give_table(shadow, table_of(shadow, entry), size_bits - 9);
        }
        set_entry(shadow, table, i, 0);
    }
    shadow->free[shadow->free_count++] = (uint32_t)table;
}

static uint64_t encode(const shadow_entry_t *entry)
{
    uint64_t value = entry->target | VALID | INNER_SHARED | ACCESSED;
    if (!entry->read) {
        return 0; /* no access at all, so the entry need not exist */
    }
    value |= entry->size_bits == 12 ? TABLE_OR_PAGE : 0;
    value |= READ | (entry->write ? WRITE : 0);
    value |= entry->cacheable ? NORMAL_CACHED : DEVICE_nGnRE;
    value |= entry->execute ? 0 : EXECUTE_NEVER;
    return value;
}

/* Make way for a block or page: what is there is removed, with the tables below. */
static void clear_entry(shadow_t *shadow, size_t table, size_t index, unsigned size_bits)
{
    uint64_t entry = *entry_at(shadow, table, index);
    if (is_table(entry, size_bits)) {
        give_table(shadow, table_of(shadow, entry), size_bits - 9);
    }
    set_entry(shadow, table, index, 0);
}

int shadow_map(shadow_t *shadow, uint64_t gpa, const shadow_entry_t *entry)
{
    uint64_t below = ((uint64_t)1 << entry->size_bits) - 1;
    if (gpa >> SHADOW_GPA_BITS != 0 || (gpa & below) != 0 || (entry->target & below) != 0) {
        return -1;
    }
    uint64_t value = encode(entry);
    size_t table = 0;
    for (unsigned bits = 30; bits > entry->size_bits; bits -= 9) {
        size_t index = entry_index(gpa, bits);
        uint64_t next = *entry_at(shadow, table, index);
        if (!is_table(next, bits)) {
            size_t taken = value == 0 && next == 0 ? 0 : take_table(shadow);
            if (taken == 0) {
                return value == 0 ? 0 : -1;
            }
            next = (shadow->address + taken * TABLE_BYTES) | VALID | TABLE_OR_PAGE;
            set_entry(shadow, table, index, next);
        }
        table = table_of(shadow, next);
    }
    size_t index = entry_index(gpa, entry->size_bits);
    clear_entry(shadow, table, index, entry->size_bits);
    set_entry(shadow, table, index, value);
    return 0;
}

void shadow_unmap(shadow_t *shadow, uint64_t gpa, unsigned size_bits)
{
    size_t tables[3] = {0};
    unsigned depth = 0;

    if (gpa >> SHADOW_GPA_BITS != 0) {
        return;
    }
    for (unsigned bits = 30; bits > size_bits; bits -= 9) {
        uint64_t next = *entry_at(shadow, tables[depth], entry_index(gpa, bits));
        if (!is_table(next, bits)) {
            return;
        }
        tables[++depth] = table_of(shadow, next);
    }
    clear_entry(shadow, tables[depth], entry_index(gpa, size_bits), size_bits);
    /* Tables that became empty go, from the lowest up; the root stays. */
    for (unsigned bits = size_bits + 9; depth > 0 && shadow->used[tables[depth]] == 0; bits += 9) {
        depth--;
        clear_entry(shadow, tables[depth], entry_index(gpa, bits), bits);
    }
}

bool shadow_lookup(const shadow_t *shadow, uint64_t gpa, shadow_entry_t *entry)
{
    size_t table = 0;

    if (gpa >> SHADOW_GPA_BITS != 0) {
        return false;
    }
    for (unsigned bits = 30;; bits -= 9) {
        uint64_t value = *entry_at(shadow, table, entry_index(gpa, bits));
        if (!(value & VALID)) {
            return false;
        }
        if (!is_table(value, bits)) {
            *entry = (shadow_entry_t){
                .target = value & ADDRESS,
                .size_bits = bits,
                .read = value & READ,
                .write = value & WRITE,
                .execute = !(value & EXECUTE_NEVER),
                .cacheable = (value & NORMAL_CACHED) == NORMAL_CACHED,
            };
            return true;
        }
        table = table_of(shadow, value);
    }
}

int shadow_split(shadow_t *shadow, uint64_t gpa)
{
    shadow_entry_t block;

    while (shadow_lookup(shadow, gpa, &block) && block.size_bits > 12) {
        uint64_t base = gpa & ~(((uint64_t)1 << block.size_bits) - 1);
        shadow_entry_t part = block;
        part.size_bits -= 9;
        for (uint64_t i = 0; i < TABLE_ENTRIES; i++) {
            part.target = block.target + (i << part.size_bits);
            /* The first one takes the table, and so the block goes. */
            if (shadow_map(shadow, base + (i << part.size_bits), &part) != 0) {
                return -1;
            }
        }
    }
    return 0;
}
