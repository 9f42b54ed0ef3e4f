/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Each table counts what hangs below it: frames in the innermost level that the frame's size has,
 * and tables of the next level in the others. A table that counts zero is ended at once. The
 * library knows its tables, so none is tried twice and no map has to fail first.
 */

#include <inttypes.h>
#include "memory.h"
#include "page_tables.h"
#include "table_object.h"

typedef struct page_table {
    table_object_t object;
    size_t uses;
} page_table_t;

void page_tables_init(page_tables_t *tables, heap_t *heap)
{
    for (int level = 0; level < ARCH_NUM_TABLE_LEVELS; level++) {
        range_map_init(&tables->levels[level], heap);
    }
}

void page_tables_destroy(page_tables_t *tables)
{
    for (int level = 0; level < ARCH_NUM_TABLE_LEVELS; level++) {
        range_map_destroy(&tables->levels[level]);
    }
}

size_t page_tables_count(const page_tables_t *tables)
{
    size_t count = 0;
    for (int level = 0; level < ARCH_NUM_TABLE_LEVELS; level++) {
        count += tables->levels[level].num_ranges;
    }
    return count;
}

static uintptr_t span_of(int level)
{
    return (uintptr_t)1 << arch_tables[level].span_bits;
}

size_t page_tables_record_bytes(void)
{
    return sizeof(page_table_t);
}

int page_tables_level(size_t size_bits)
{
    int level = ARCH_NUM_TABLE_LEVELS - 1;
    while (level >= 0 && arch_tables[level].span_bits <= size_bits) {
        level--;
    }
    return level;
}

static page_table_t *find_table(const vm_memory_t *memory, int level, uintptr_t gpa)
{
    range_map_entry_t entry;
    return range_map_find(&memory->space.tables.levels[level], gpa, &entry) ? entry.value : NULL;
}

/* Make the object of a table and map it; the tables above are there. */
static int map_new_table(vm_memory_t *memory, int level, page_table_t *table, uintptr_t base)
{
    if (table_object_alloc(memory, &arch_tables[level], &table->object) != 0) {
        return -1;
    }
    memory->counts.table_maps++;
    seL4_Error error = arch_table_map(level, table->object.cap, memory->space.root, base);
    if (error != seL4_NoError) {
        table_object_free(memory, &arch_tables[level], &table->object);
        return memory_blame_kernel(memory, error,
                                   "could not install a page table at GPA 0x%" PRIxPTR, base);
    }
    return 0;
}

/* Undo new_table(): the table counts nothing any more. */
static void end_table(vm_memory_t *memory, int level, uintptr_t gpa, page_table_t *table)
{
    range_map_remove(&memory->space.tables.levels[level], gpa & ~(span_of(level) - 1));
    table_object_free(memory, &arch_tables[level], &table->object);
    heap_free(&memory->heap, table, sizeof(*table));
}

static page_table_t *new_table(vm_memory_t *memory, int level, uintptr_t gpa)
{
    range_map_t *map = &memory->space.tables.levels[level];
    uintptr_t base = gpa & ~(span_of(level) - 1);
    page_table_t *table = heap_alloc(&memory->heap, sizeof(*table));
    if (table == NULL || range_map_prepare(map, base) != 0) {
        heap_free(&memory->heap, table, sizeof(*table));
        memory_blame(memory, GUESTMEM_NO_HEAP, "the heap has no room for a page table's record");
        return NULL;
    }
    if (map_new_table(memory, level, table, base) != 0) {
        range_map_cancel(map);
        heap_free(&memory->heap, table, sizeof(*table));
        return NULL;
    }
    range_map_insert(map, base, base + (span_of(level) - 1), table);
    return table;
}

/* The table at `gpa`, which is there. */
static page_table_t *used_table(const vm_memory_t *memory, int level, uintptr_t gpa)
{
    range_map_entry_t entry = {0};
    (void)range_map_find(&memory->space.tables.levels[level], gpa, &entry);
    return entry.value;
}

/* Take `uses` off the table at `gpa`, and end it and those above that then count nothing. */
static void release_uses(vm_memory_t *memory, int level, uintptr_t gpa, size_t uses)
{
    while (level >= 0) {
        page_table_t *table = used_table(memory, level, gpa);
        table->uses -= uses;
        if (table->uses > 0) {
            return;
        }
        end_table(memory, level, gpa, table);
        uses = 1;
        level--;
    }
}

/* Add `uses` to the table at `gpa`, and make it and those above that are missing. */
static int acquire_uses(vm_memory_t *memory, int innermost, uintptr_t gpa, size_t uses)
{
    for (int level = 0; level <= innermost; level++) {
        page_table_t *table = find_table(memory, level, gpa);
        if (table == NULL) {
            table = new_table(memory, level, gpa);
            if (table == NULL) {
                /* The tables above that were made for this one count it already. */
                release_uses(memory, level - 1, gpa, 1);
                return -1;
            }
            table->uses = level < innermost ? 1 : uses;
        } else if (level == innermost) {
            table->uses += uses;
        } else if (find_table(memory, level + 1, gpa) == NULL) {
            table->uses++;
        }
    }
    return 0;
}

/* How many of `count` frames from `gpa` on lie in the table of that level at `gpa`. */
static size_t frames_in_table(int level, uintptr_t gpa, size_t count, size_t size_bits)
{
    size_t room = (size_t)((span_of(level) - (gpa & (span_of(level) - 1))) >> size_bits);
    return count < room ? count : room;
}

int page_tables_acquire(vm_memory_t *memory, uintptr_t base, size_t count, size_t size_bits)
{
    int level = page_tables_level(size_bits);
    size_t done = 0;
    while (level >= 0 && done < count) {
        uintptr_t gpa = base + ((uintptr_t)done << size_bits);
        size_t frames = frames_in_table(level, gpa, count - done, size_bits);
        if (acquire_uses(memory, level, gpa, frames) != 0) {
            page_tables_release(memory, base, done, size_bits);
            return -1;
        }
        done += frames;
    }
    return 0;
}

void page_tables_release(vm_memory_t *memory, uintptr_t base, size_t count, size_t size_bits)
{
    int level = page_tables_level(size_bits);
    size_t done = 0;
    while (level >= 0 && done < count) {
        uintptr_t gpa = base + ((uintptr_t)done << size_bits);
        size_t frames = frames_in_table(level, gpa, count - done, size_bits);
        release_uses(memory, level, gpa, frames);
        done += frames;
    }
}
