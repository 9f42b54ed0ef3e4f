/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * How many levels of tables an IO space has is not known, and its tables may have been made in part
 * by others. So a frame is tried first, and each failed look-up brings one more table, outermost
 * first. Where one is missing those inside are missing too; hence the tables made for a frame are
 * of the innermost levels, the last of level 0. Each counts what is below it, frames or tables, and
 * ends when it counts nothing.
 */

#include <inttypes.h>
#include "arch_io.h"
#include "io_tables.h"
#include "memory.h"
#include "table_object.h"

typedef struct io_table {
    table_object_t object;
    size_t uses;
} io_table_t;

/* The tables that are made for one frame, outermost first. */
typedef struct new_tables {
    io_table_t *tables[IO_TABLE_LEVELS];
    int count;
} new_tables_t;

void io_tables_init(io_tables_t *tables, seL4_CPtr io_space, heap_t *heap)
{
    tables->io_space = io_space;
    for (int level = 0; level < IO_TABLE_LEVELS; level++) {
        range_map_init(&tables->levels[level], heap);
    }
}

void io_tables_destroy(io_tables_t *tables)
{
    for (int level = 0; level < IO_TABLE_LEVELS; level++) {
        range_map_destroy(&tables->levels[level]);
    }
}

/* The bits of an address within a table of that level; all of them for the outermost. */
static uintptr_t mask_of(int level)
{
    size_t span_bits = arch_io_table.span_bits + (size_t)level * arch_io_index_bits;
    return span_bits < 8 * sizeof(uintptr_t) ? ((uintptr_t)1 << span_bits) - 1 : UINTPTR_MAX;
}

static io_table_t *find_table(const io_tables_t *tables, int level, uintptr_t gpa)
{
    range_map_entry_t entry;
    return level < IO_TABLE_LEVELS && range_map_find(&tables->levels[level], gpa, &entry)
               ? entry.value
               : NULL;
}

static void free_table(vm_memory_t *memory, io_table_t *table)
{
    table_object_free(memory, &arch_io_table, &table->object);
    heap_free(&memory->heap, table, sizeof(*table));
}

/* Make a table and install it at the outermost level that is missing. */
static int add_table(vm_memory_t *memory, const io_tables_t *tables, uintptr_t gpa,
                     new_tables_t *made)
{
    if (made->count == IO_TABLE_LEVELS) {
        return memory_blame_kernel(memory, seL4_FailedLookup,
                                   "the IO space wants more than %d levels of page tables",
                                   IO_TABLE_LEVELS);
    }
    io_table_t *table = heap_alloc(&memory->heap, sizeof(*table));
    if (table == NULL) {
        return memory_blame(memory, GUESTMEM_NO_HEAP,
                            "the heap has no room for an IO page table's record");
    }
    if (table_object_alloc(memory, &arch_io_table, &table->object) != 0) {
        heap_free(&memory->heap, table, sizeof(*table));
        return -1;
    }
    memory->counts.table_maps++;
    seL4_Error error = arch_io_table_map(table->object.cap, tables->io_space, gpa);
    if (error != seL4_NoError) {
        free_table(memory, table);
        return memory_blame_kernel(memory, error,
                                   "could not install an IO page table at GPA 0x%" PRIxPTR, gpa);
    }
    table->uses = 1;
    made->tables[made->count++] = table;
    return 0;
}

/* Undo add_table() of all. */
static void discard_tables(vm_memory_t *memory, new_tables_t *made)
{
    while (made->count > 0) {
        free_table(memory, made->tables[--made->count]);
    }
}

static int map_frame(vm_memory_t *memory, const io_tables_t *tables, seL4_CPtr frame, uintptr_t gpa,
                     seL4_CapRights_t rights, new_tables_t *made)
{
    for (;;) {
        memory->counts.page_maps++;
        seL4_Error error = arch_io_frame_map(frame, tables->io_space, gpa, rights);
        if (error == seL4_NoError) {
            return 0;
        }
        if (error != seL4_FailedLookup) {
            return memory_blame_kernel(
                memory, error, "could not map the frame for GPA 0x%" PRIxPTR " in an IO space",
                gpa);
        }
        if (add_table(memory, tables, gpa, made) != 0) {
            return -1;
        }
    }
}

/* Get the memory that the records of new tables need. */
static int prepare_records(vm_memory_t *memory, io_tables_t *tables, uintptr_t gpa, int count)
{
    for (int level = 0; level < count; level++) {
        if (range_map_prepare(&tables->levels[level], gpa & ~mask_of(level)) != 0) {
            while (level-- > 0) {
                range_map_cancel(&tables->levels[level]);
            }
            return memory_blame(memory, GUESTMEM_NO_HEAP,
                                "the heap has no room for an IO page table's record");
        }
    }
    return 0;
}

int io_tables_map(vm_memory_t *memory, io_tables_t *tables, seL4_CPtr frame, uintptr_t gpa,
                  seL4_CapRights_t rights)
{
    new_tables_t made = {.count = 0};
    if (map_frame(memory, tables, frame, gpa, rights, &made) != 0) {
        discard_tables(memory, &made);
        return -1;
    }
    if (prepare_records(memory, tables, gpa, made.count) != 0) {
        (void)arch_frame_unmap(frame); /* of a live frame capability: cannot fail */
        discard_tables(memory, &made);
        return -1;
    }
    for (int level = 0; level < made.count; level++) {
        uintptr_t mask = mask_of(level);
        range_map_insert(&tables->levels[level], gpa & ~mask, gpa | mask,
                         made.tables[made.count - 1 - level]);
    }
    /* What is around the new tables, or the frame, counts it; unless somebody else made it. */
    io_table_t *around = find_table(tables, made.count, gpa);
    if (around != NULL) {
        around->uses++;
    }
    return 0;
}

void io_tables_release(vm_memory_t *memory, io_tables_t *tables, uintptr_t gpa)
{
    io_table_t *table;
    for (int level = 0; (table = find_table(tables, level, gpa)) != NULL; level++) {
        if (--table->uses > 0) {
            return;
        }
        range_map_remove(&tables->levels[level], gpa & ~mask_of(level));
        free_table(memory, table);
    }
}
