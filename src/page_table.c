/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Each table counts its uses: frames in the innermost level that the frame's size has, and tables
 * of the next level in the others. A table without uses is freed at once. The library knows its
 * tables, so none is tried twice and no map has to fail first.
 */

#include <assert.h>
#include <inttypes.h>
#include "frame.h"
#include "page_table.h"

typedef struct page_table {
    gm_table_object_t object;
    size_t uses;
} page_table_t;

int gm_table_object_alloc(gm_memory_t *memory, const gm_arch_table_t *kind,
                          gm_table_object_t *object)
{
    vka_t *vka = memory->vm->vka;
    cspacepath_t path;
    if (vka_cspace_alloc_path(vka, &path) != 0) {
        return gm_fail(memory, GUESTMEM_NO_SLOT,
                       "the allocator has no capability slot for a page table; give it a larger "
                       "CSpace");
    }
    memory->counts.object_allocations++;
    if (vka_utspace_alloc(vka, &path, kind->type, kind->bits, &object->cookie) != 0) {
        vka_cspace_free_path(vka, path);
        return gm_fail(memory, GUESTMEM_NO_TABLE,
                       "the allocator has no memory for a page table; give it more untyped memory");
    }
    object->cap = path.capPtr;
    return 0;
}

void gm_table_object_free(gm_memory_t *memory, const gm_arch_table_t *kind,
                          const gm_table_object_t *object)
{
    gm_object_delete(memory, object->cap, kind->type, kind->bits, object->cookie);
}

/*@ requires gm_arch_ok && 0 <= level < ARCH_NUM_TABLE_LEVELS;
    assigns \nothing;
    ensures \result == 1 << gm_arch_tables[level].span_bits;
    ensures ARCH_PAGE_SIZE <= \result <= 0x8000000000;
 */
static uintptr_t span_of(int level)
{
    return (uintptr_t)1 << gm_arch_tables[level].span_bits;
}

/*@ requires gm_arch_ok && 0 <= level < ARCH_NUM_TABLE_LEVELS;
    assigns \nothing;
    ensures \result == gpa - gpa % (1 << gm_arch_tables[level].span_bits);
    ensures \result <= gpa < \result + (1 << gm_arch_tables[level].span_bits);
 */
static uintptr_t base_of(int level, uintptr_t gpa)
{
    return gpa - gpa % span_of(level);
}

/* The innermost level of tables that span more than a frame; -1 if frames lie in the root. */
/*@ requires gm_arch_ok;
    assigns \nothing;
    ensures -1 <= \result < ARCH_NUM_TABLE_LEVELS;
    ensures \forall integer i; 0 <= i < ARCH_NUM_TABLE_LEVELS ==>
        (i <= \result <==> size_bits < gm_arch_tables[i].span_bits);
 */
static int innermost_level(size_t size_bits)
{
    int level = ARCH_NUM_TABLE_LEVELS - 1;
    /*@ loop invariant -1 <= level < ARCH_NUM_TABLE_LEVELS;
        loop invariant \forall integer i; level < i < ARCH_NUM_TABLE_LEVELS ==>
            gm_arch_tables[i].span_bits <= size_bits;
        loop assigns level;
        loop variant level;
     */
    while (level >= 0 && gm_arch_tables[level].span_bits <= size_bits) {
        level--;
    }
    return level;
}

static page_table_t *find_table(const gm_memory_t *memory, int level, uintptr_t gpa)
{
    return gm_range_map_get(&memory->tables[level], gpa);
}

/* Make a table's object and map it; the tables above are there. */
/*@ requires gm_memory_ok(memory) && gm_arch_ok && 0 <= level < ARCH_NUM_TABLE_LEVELS;
    requires \valid(table) && \separated(table, memory, memory->vm, memory->vm->vka);
    assigns table->object, memory->counts, memory->failure, gm_slots, gm_objects, gm_refused;
    ensures \result == 0 || \result == -1;
    ensures \result == 0 ==> gm_slots == \old(gm_slots) + 1 && gm_objects == \old(gm_objects) + 1 &&
        gm_refused == \old(gm_refused) && table->object.cookie != 0;
    ensures \result == -1 && gm_refused == \old(gm_refused) ==>
        gm_slots == \old(gm_slots) && gm_objects == \old(gm_objects);
 */
static int make_object(gm_memory_t *memory, int level, page_table_t *table, uintptr_t base)
{
    if (gm_table_object_alloc(memory, &gm_arch_tables[level], &table->object) != 0) {
        return -1;
    }
    memory->counts.table_maps++;
    seL4_Error error = gm_arch_table_map(level, table->object.cap, memory->root, base);
    if (error != seL4_NoError) {
        gm_table_object_free(memory, &gm_arch_tables[level], &table->object);
        return gm_fail_kernel(memory, error, "could not map a page table at GPA 0x%" PRIxPTR, base);
    }
    return 0;
}

static page_table_t *make_table(gm_memory_t *memory, int level, uintptr_t gpa)
{
    gm_range_map_t *map = &memory->tables[level];
    uintptr_t base = base_of(level, gpa);
    page_table_t *table = gm_heap_alloc_zeroed(&memory->heap, sizeof(*table));
    if (table == NULL || gm_range_map_prepare(map, base) != 0) {
        gm_heap_free(&memory->heap, table, sizeof(*table));
        gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for a page table's record");
        return NULL;
    }
    if (make_object(memory, level, table, base) != 0) {
        gm_range_map_cancel(map);
        gm_heap_free(&memory->heap, table, sizeof(*table));
        return NULL;
    }
    gm_range_map_insert(map, base, base + (span_of(level) - 1), table);
    return table;
}

static void free_table(gm_memory_t *memory, int level, uintptr_t gpa, page_table_t *table)
{
    gm_range_map_remove(&memory->tables[level], base_of(level, gpa));
    gm_table_object_free(memory, &gm_arch_tables[level], &table->object);
    gm_heap_free(&memory->heap, table, sizeof(*table));
}

/* Take `uses` off the table at `gpa`; free it if it has none left, and so on above it. */
static void release_uses(gm_memory_t *memory, int level, uintptr_t gpa, size_t uses)
{
    while (level >= 0) {
        page_table_t *table = find_table(memory, level, gpa);
        assert(table != NULL && table->uses >= uses);
        table->uses -= uses;
        if (table->uses > 0) {
            return;
        }
        free_table(memory, level, gpa, table);
        uses = 1;
        level--;
    }
}

/* Add `uses` to the table at `gpa`; make it and those above it that are missing. */
static int acquire_uses(gm_memory_t *memory, int innermost, uintptr_t gpa, size_t uses)
{
    for (int level = 0; level <= innermost; level++) {
        page_table_t *table = find_table(memory, level, gpa);
        if (table == NULL) {
            table = make_table(memory, level, gpa);
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
/*@ requires gm_arch_ok && 0 <= level < ARCH_NUM_TABLE_LEVELS && gm_is_frame_bits(size_bits);
    assigns \nothing;
    ensures \result <= count;
    ensures \let span = 1 << gm_arch_tables[level].span_bits;
        gpa + \result * (1 << size_bits) <= gpa - gpa % span + span;
 */
static size_t frames_in_table(int level, uintptr_t gpa, size_t count, size_t size_bits)
{
    uintptr_t left = span_of(level) - (gpa - base_of(level, gpa));
    size_t room = (size_t)(left >> size_bits);
    //@ assert room * (1 << size_bits) <= left;
    //@ assert (count < room ? count : room) * (1 << size_bits) <= left;
    return count < room ? count : room;
}

int gm_page_tables_acquire(gm_memory_t *memory, uintptr_t base, size_t count, size_t size_bits)
{
    int level = innermost_level(size_bits);
    size_t done = 0;
    while (level >= 0 && done < count) {
        uintptr_t gpa = gm_block_at(base, done, size_bits);
        size_t frames = frames_in_table(level, gpa, count - done, size_bits);
        if (acquire_uses(memory, level, gpa, frames) != 0) {
            gm_page_tables_release(memory, base, done, size_bits);
            return -1;
        }
        done += frames;
    }
    return 0;
}

void gm_page_tables_release(gm_memory_t *memory, uintptr_t base, size_t count, size_t size_bits)
{
    int level = innermost_level(size_bits);
    size_t done = 0;
    while (level >= 0 && done < count) {
        uintptr_t gpa = gm_block_at(base, done, size_bits);
        size_t frames = frames_in_table(level, gpa, count - done, size_bits);
        release_uses(memory, level, gpa, frames);
        done += frames;
    }
}
