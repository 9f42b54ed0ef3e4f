/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A frame capability can be mapped once, and the guest's is in the guest. So each IO space maps
 * copies, and keeps those of a run's frames in one record. A run is unmapped by deleting its
 * copies, and then the tables that nothing uses any more.
 *
 * How many levels of tables an IO space has is not known, and others may have made some of its
 * tables. So a frame is tried first, and each failed look-up adds one table, outermost first. Where
 * one is missing those inside are missing too; hence the tables made for a frame are of the
 * innermost levels, the last of level 0. Each counts what is below it, frames or tables, and is
 * freed when that is nothing.
 */

#include <inttypes.h>
#include <sel4vm/guest_iospace.h>
#include "iospace.h"
#include "page_table.h"

#ifdef GUESTMEM_IO_SPACES

#define MAX_LEVELS 6 /* of tables; VT-d has no more */

typedef struct io_table {
    gm_table_object_t object;
    size_t uses;
} io_table_t;

/* The tables that are made for one frame, outermost first. */
typedef struct new_tables {
    io_table_t *tables[MAX_LEVELS];
    int count;
} new_tables_t;

/* A run that an IO space has mapped. */
typedef struct io_run {
    size_t count;
    size_t capacity;
    seL4_CPtr copies[]; /* null where the guest may not read */
} io_run_t;

typedef struct gm_iospace {
    struct gm_iospace *next;
    seL4_CPtr cap;
    gm_range_map_t runs; /* io_run_t, by the GPAs of the runs */
    gm_range_map_t
        levels[MAX_LEVELS]; /* the library's tables, by what they span; innermost first */
} gm_iospace_t;

/* The bits of an address within a table of that level; all of them for the outermost. */
/*@ requires 0 <= level < MAX_LEVELS;
    assigns \nothing;
    ensures \let bits = gm_arch_io_table.span_bits + level * gm_arch_io_index_bits;
        \result == (bits < 64 ? (1 << bits) - 1 : UINTPTR_MAX);
 */
static uintptr_t mask_of(int level)
{
    size_t span_bits = gm_arch_io_table.span_bits + (size_t)level * gm_arch_io_index_bits;
    return span_bits < 8 * sizeof(uintptr_t) ? ((uintptr_t)1 << span_bits) - 1 : UINTPTR_MAX;
}

static io_table_t *find_table(const gm_iospace_t *space, int level, uintptr_t gpa)
{
    return level < MAX_LEVELS ? gm_range_map_get(&space->levels[level], gpa) : NULL;
}

static void free_table(gm_memory_t *memory, io_table_t *table)
{
    gm_table_object_free(memory, &gm_arch_io_table, &table->object);
    gm_heap_free(&memory->heap, table, sizeof(*table));
}

/* Make a table and map it at the outermost level that is missing. */
static int add_table(gm_memory_t *memory, const gm_iospace_t *space, uintptr_t gpa,
                     new_tables_t *made)
{
    if (made->count == MAX_LEVELS) {
        return gm_fail_kernel(memory, seL4_FailedLookup,
                              "the IO space needs more than %d levels of page tables", MAX_LEVELS);
    }
    io_table_t *table = gm_heap_alloc_zeroed(&memory->heap, sizeof(*table));
    if (table == NULL) {
        return gm_fail(memory, GUESTMEM_NO_HEAP,
                       "the heap has no room for an IO page table's record");
    }
    if (gm_table_object_alloc(memory, &gm_arch_io_table, &table->object) != 0) {
        gm_heap_free(&memory->heap, table, sizeof(*table));
        return -1;
    }
    memory->counts.table_maps++;
    seL4_Error error = gm_arch_io_table_map(table->object.cap, space->cap, gpa);
    if (error != seL4_NoError) {
        free_table(memory, table);
        return gm_fail_kernel(memory, error, "could not map an IO page table at GPA 0x%" PRIxPTR,
                              gpa);
    }
    table->uses = 1;
    made->tables[made->count++] = table;
    return 0;
}

/* Map a copy, and make the tables that are missing. On failure the copy may be mapped, and the
 * tables are there. */
static int map_copy(gm_memory_t *memory, gm_iospace_t *space, seL4_CPtr copy, uintptr_t gpa,
                    seL4_CapRights_t rights, new_tables_t *made)
{
    for (;;) {
        memory->counts.page_maps++;
        seL4_Error error = gm_arch_io_frame_map(copy, space->cap, gpa, rights);
        if (error == seL4_NoError) {
            break;
        }
        if (error != seL4_FailedLookup) {
            return gm_fail_kernel(memory, error,
                                  "could not map the frame for GPA 0x%" PRIxPTR " in an IO space",
                                  gpa);
        }
        if (add_table(memory, space, gpa, made) != 0) {
            return -1;
        }
    }
    for (int level = 0; level < made->count; level++) {
        if (gm_range_map_prepare(&space->levels[level], gpa & ~mask_of(level)) != 0) {
            while (level-- > 0) {
                gm_range_map_cancel(&space->levels[level]);
            }
            return gm_fail(memory, GUESTMEM_NO_HEAP,
                           "the heap has no room for an IO page table's record");
        }
    }
    return 0;
}

/* Map a frame in an IO space. @return 0; -1 after gm_fail(), and nothing has changed */
static int map_frame(gm_memory_t *memory, gm_iospace_t *space, gm_run_t *run, size_t index,
                     seL4_CPtr *copy)
{
    new_tables_t made = {.count = 0};
    uintptr_t gpa = gm_run_gpa(run, index);
    if (gm_frame_copy(memory, run, index, copy) != 0) {
        return -1;
    }
    if (map_copy(memory, space, *copy, gpa, gm_run_rights(run, index), &made) != 0) {
        gm_frame_delete_copy(memory, run, index, *copy);
        while (made.count > 0) {
            free_table(memory, made.tables[--made.count]);
        }
        return -1;
    }
    for (int level = 0; level < made.count; level++) {
        uintptr_t mask = mask_of(level);
        gm_range_map_insert(&space->levels[level], gpa & ~mask, gpa | mask,
                            made.tables[made.count - 1 - level]);
    }
    /* The table around the new ones, or around the frame, counts it; unless others made it. */
    io_table_t *around = find_table(space, made.count, gpa);
    if (around != NULL) {
        around->uses++;
    }
    return 0;
}

static void unmap_frame(gm_memory_t *memory, gm_iospace_t *space, gm_run_t *run, size_t index,
                        seL4_CPtr copy)
{
    io_table_t *table;
    uintptr_t gpa = gm_run_gpa(run, index);
    gm_frame_delete_copy(memory, run, index, copy);
    for (int level = 0; (table = find_table(space, level, gpa)) != NULL; level++) {
        if (--table->uses > 0) {
            return;
        }
        gm_range_map_remove(&space->levels[level], gpa & ~mask_of(level));
        free_table(memory, table);
    }
}

/*@ requires count <= SIZE_MAX / 16;
    assigns \nothing;
    ensures \result == sizeof(io_run_t) + count * sizeof(seL4_CPtr);
 */
static size_t io_run_bytes(size_t count)
{
    return sizeof(io_run_t) + count * sizeof(seL4_CPtr);
}

/* Unmap the copies of a run's frames, and free their record. */
static void destroy_io_run(gm_memory_t *memory, gm_iospace_t *space, gm_run_t *run,
                           io_run_t *io_run)
{
    for (size_t i = 0; i < io_run->count; i++) {
        if (io_run->copies[i] != seL4_CapNull) {
            unmap_frame(memory, space, run, i, io_run->copies[i]);
        }
    }
    gm_heap_free(&memory->heap, io_run, io_run_bytes(io_run->capacity));
}

static void unmap_run(gm_memory_t *memory, gm_iospace_t *space, gm_run_t *run)
{
    io_run_t *io_run = gm_range_map_get(&space->runs, run->base);
    if (io_run != NULL) {
        gm_range_map_remove(&space->runs, run->base);
        destroy_io_run(memory, space, run, io_run);
    }
}

static int map_run(gm_memory_t *memory, gm_iospace_t *space, gm_run_t *run)
{
    if (run->size_bits != ARCH_PAGE_BITS) {
        return gm_fail_range(memory, GUESTMEM_BAD_FRAME, run->base, gm_run_last(run), NULL,
                             "IO spaces take frames of 4 KiB only, not the larger ones of",
                             "call guestmem_set_largest_frame(vm, 12) before it is mapped");
    }
    io_run_t *io_run = gm_heap_alloc_zeroed(&memory->heap, io_run_bytes(run->count));
    if (io_run == NULL || gm_range_map_prepare(&space->runs, run->base) != 0) {
        gm_heap_free(&memory->heap, io_run, io_run_bytes(run->count));
        return gm_fail(memory, GUESTMEM_NO_HEAP,
                       "the heap has no room for the record of an IO space's frames");
    }
    io_run->capacity = run->count;
    for (size_t i = 0; i < run->count; i++) {
        io_run->count = i;
        seL4_CapRights_t rights = gm_run_rights(run, i);
        /* Where the guest has no access, its devices have none. */
        if (seL4_CapRights_get_capAllowRead(rights) &&
            map_frame(memory, space, run, i, &io_run->copies[i]) != 0) {
            gm_range_map_cancel(&space->runs);
            destroy_io_run(memory, space, run, io_run);
            return -1;
        }
    }
    io_run->count = run->count;
    gm_range_map_insert(&space->runs, run->base, gm_run_last(run), io_run);
    return 0;
}

int gm_iospaces_map_run(gm_memory_t *memory, gm_run_t *run)
{
    for (gm_iospace_t *space = memory->iospaces; space != NULL; space = space->next) {
        if (map_run(memory, space, run) != 0) {
            for (gm_iospace_t *done = memory->iospaces; done != space; done = done->next) {
                unmap_run(memory, done, run);
            }
            return -1;
        }
    }
    return 0;
}

void gm_iospaces_unmap_run(gm_memory_t *memory, gm_run_t *run)
{
    for (gm_iospace_t *space = memory->iospaces; space != NULL; space = space->next) {
        unmap_run(memory, space, run);
    }
}

static int cut_run(gm_memory_t *memory, gm_iospace_t *space, const gm_run_t *run,
                   const gm_run_t *rest)
{
    io_run_t *io_run = gm_range_map_get(&space->runs, run->base);
    io_run_t *io_rest = gm_heap_alloc(&memory->heap, io_run_bytes(rest->count));
    if (io_rest == NULL || gm_range_map_prepare(&space->runs, rest->base) != 0) {
        gm_heap_free(&memory->heap, io_rest, io_run_bytes(rest->count));
        return gm_fail(memory, GUESTMEM_NO_HEAP,
                       "the heap has no room for the record of an IO space's frames");
    }
    io_rest->count = io_rest->capacity = rest->count;
    memcpy(io_rest->copies, &io_run->copies[run->count], rest->count * sizeof(seL4_CPtr));
    io_run->count = run->count;
    gm_range_map_set(&space->runs, run->base, gm_run_last(run), io_run);
    gm_range_map_insert(&space->runs, rest->base, gm_run_last(rest), io_rest);
    return 0;
}

/* The first part has kept its block, and the copies in it. */
static void join_run(gm_memory_t *memory, gm_iospace_t *space, const gm_run_t *run,
                     const gm_run_t *rest)
{
    io_run_t *io_run = gm_range_map_get(&space->runs, run->base);
    io_run_t *io_rest = gm_range_map_get(&space->runs, rest->base);
    io_run->count += io_rest->count;
    gm_range_map_remove(&space->runs, rest->base);
    gm_range_map_set(&space->runs, run->base, gm_run_last(rest), io_run);
    gm_heap_free(&memory->heap, io_rest, io_run_bytes(io_rest->capacity));
}

int gm_iospaces_cut_run(gm_memory_t *memory, const gm_run_t *run, const gm_run_t *rest)
{
    for (gm_iospace_t *space = memory->iospaces; space != NULL; space = space->next) {
        if (cut_run(memory, space, run, rest) != 0) {
            for (gm_iospace_t *done = memory->iospaces; done != space; done = done->next) {
                join_run(memory, done, run, rest);
            }
            return -1;
        }
    }
    return 0;
}

void gm_iospaces_join_run(gm_memory_t *memory, const gm_run_t *run, const gm_run_t *rest)
{
    for (gm_iospace_t *space = memory->iospaces; space != NULL; space = space->next) {
        join_run(memory, space, run, rest);
    }
}

static void destroy_space(gm_memory_t *memory, gm_iospace_t *space)
{
    gm_range_map_destroy(&space->runs);
    for (int level = 0; level < MAX_LEVELS; level++) {
        gm_range_map_destroy(&space->levels[level]);
    }
    gm_heap_free(&memory->heap, space, sizeof(*space));
}

void gm_iospaces_destroy(gm_memory_t *memory)
{
    while (memory->iospaces != NULL) {
        gm_iospace_t *space = memory->iospaces;
        memory->iospaces = space->next;
        destroy_space(memory, space);
    }
}

/* Map all that the guest has in a new space; on failure nothing is. */
static int map_all(gm_memory_t *memory, gm_iospace_t *space)
{
    gm_range_t run;
    uintptr_t gpa = 0;
    while (gm_range_map_next(&memory->runs, gpa, &run)) {
        if (map_run(memory, space, run.value) != 0) {
            uintptr_t failed = run.base;
            for (gpa = 0; gm_range_map_next(&memory->runs, gpa, &run) && run.base < failed;
                 gpa = run.last + 1) {
                unmap_run(memory, space, run.value);
            }
            return -1;
        }
        gpa = run.last + 1; /* a guest's addresses end below the top */
    }
    return 0;
}

static int add_space(gm_memory_t *memory, seL4_CPtr iospace)
{
    if (iospace == seL4_CapNull) {
        return gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "the IO space is null");
    }
    if (memory->tracked > 0) {
        return gm_fail(memory, GUESTMEM_BAD_ARGUMENT,
                       "written pages are tracked, and what devices write would not be seen");
    }
    for (const gm_iospace_t *space = memory->iospaces; space != NULL; space = space->next) {
        if (space->cap == iospace) {
            return gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "the VM has the IO space already");
        }
    }
    gm_iospace_t *space = gm_heap_alloc_zeroed(&memory->heap, sizeof(*space));
    if (space == NULL) {
        return gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for an IO space's record");
    }
    space->cap = iospace;
    gm_range_map_init(&space->runs, &memory->heap);
    for (int level = 0; level < MAX_LEVELS; level++) {
        gm_range_map_init(&space->levels[level], &memory->heap);
    }
    if (map_all(memory, space) != 0) {
        destroy_space(memory, space);
        return -1;
    }
    space->next = memory->iospaces;
    memory->iospaces = space;
    return 0;
}

#else /* a kernel without IO spaces: a VM never has any */

int gm_iospaces_map_run(gm_memory_t *memory, gm_run_t *run)
{
    (void)memory, (void)run;
    return 0;
}

void gm_iospaces_unmap_run(gm_memory_t *memory, gm_run_t *run)
{
    (void)memory, (void)run;
}

int gm_iospaces_cut_run(gm_memory_t *memory, const gm_run_t *run, const gm_run_t *rest)
{
    (void)memory, (void)run, (void)rest;
    return 0;
}

void gm_iospaces_join_run(gm_memory_t *memory, const gm_run_t *run, const gm_run_t *rest)
{
    (void)memory, (void)run, (void)rest;
}

void gm_iospaces_destroy(gm_memory_t *memory)
{
    (void)memory;
}

static int add_space(gm_memory_t *memory, seL4_CPtr iospace)
{
    (void)iospace;
    return gm_fail(memory, GUESTMEM_BAD_ARGUMENT,
                   "the kernel has no IO spaces, so devices are not confined to the guest's "
                   "memory; configure it with KernelIOMMU or KernelTk1SMMU");
}

#endif

int vm_guest_add_iospace(vm_t *vm, vspace_t *loader, seL4_CPtr iospace)
{
    (void)loader; /* the library keeps its own records, so no vspace_t is made */
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    return add_space(memory, iospace) == 0 ? 0 : gm_report(memory, __func__, 0, 0);
}
