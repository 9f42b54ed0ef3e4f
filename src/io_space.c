/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A frame capability can be mapped once, and the guest's is in the guest. So each IO space maps
 * copies, and keeps them in a mirror of each run. What is made for a mirror is undone by deleting
 * the copies, which unmaps them, and then the tables that nothing needs any more.
 */

#include "io_space.h"
#include <inttypes.h>
#include <sel4vm/guest_iospace.h>
#include "io_tables.h"
#include "memory.h"
#include "vmm_frame.h"

typedef struct io_mirror {
    size_t count;
    seL4_CPtr copies[];
} io_mirror_t;

typedef struct io_space {
    struct io_space *next;
    range_map_t mirrors; /* by the GPAs of their runs */
    io_tables_t tables;
} io_space_t;

static size_t mirror_bytes(size_t count)
{
    return sizeof(io_mirror_t) + count * sizeof(seL4_CPtr);
}

/* Undo show_frames() of the first `count`. */
static void hide_frames(vm_memory_t *memory, io_space_t *space, const frame_run_t *run,
                        const io_mirror_t *mirror, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        vmm_frame_drop(memory, mirror->copies[i]);
        io_tables_release(memory, &space->tables, frame_run_gpa(run, i));
    }
}

static int show_frames(vm_memory_t *memory, io_space_t *space, const frame_run_t *run,
                       io_mirror_t *mirror)
{
    for (size_t i = 0; i < run->count; i++) {
        seL4_CPtr *copy = &mirror->copies[i];
        if (vmm_frame_copy(memory, run->frames[i].cap, copy) != 0) {
            hide_frames(memory, space, run, mirror, i);
            return -1;
        }
        if (io_tables_map(memory, &space->tables, *copy, frame_run_gpa(run, i), run->rights) != 0) {
            vmm_frame_drop(memory, *copy);
            hide_frames(memory, space, run, mirror, i);
            return -1;
        }
    }
    return 0;
}

static void hide_run(vm_memory_t *memory, io_space_t *space, const frame_run_t *run)
{
    range_map_entry_t entry;
    if (!range_map_find(&space->mirrors, run->base, &entry)) {
        return; /* of no access */
    }
    io_mirror_t *mirror = entry.value;
    hide_frames(memory, space, run, mirror, mirror->count);
    range_map_remove(&space->mirrors, run->base);
    heap_free(&memory->heap, mirror, mirror_bytes(mirror->count));
}

static int show_run(vm_memory_t *memory, io_space_t *space, const frame_run_t *run)
{
    if (!seL4_CapRights_get_capAllowRead(run->rights)) {
        return 0; /* the guest has no access, so its devices have none */
    }
    if (run->size_bits != ARCH_PAGE_BITS) {
        return memory_blame_other(memory, GUESTMEM_BAD_FRAME, run->base, frame_run_last(run), NULL,
                                  "IO spaces take frames of 4 KiB alone, not the larger ones of",
                                  "call guestmem_set_largest_frame(vm, 12) before it is mapped");
    }
    io_mirror_t *mirror = heap_alloc(&memory->heap, mirror_bytes(run->count));
    if (mirror == NULL || range_map_prepare(&space->mirrors, run->base) != 0) {
        heap_free(&memory->heap, mirror, mirror_bytes(run->count));
        return memory_blame(memory, GUESTMEM_NO_HEAP,
                            "the heap has no room for the record of an IO space's frames");
    }
    mirror->count = run->count;
    if (show_frames(memory, space, run, mirror) != 0) {
        range_map_cancel(&space->mirrors);
        heap_free(&memory->heap, mirror, mirror_bytes(run->count));
        return -1;
    }
    range_map_insert(&space->mirrors, run->base, frame_run_last(run), mirror);
    return 0;
}

int io_spaces_map(vm_memory_t *memory, const frame_run_t *run)
{
    for (io_space_t *space = memory->io_spaces; space != NULL; space = space->next) {
        if (show_run(memory, space, run) != 0) {
            for (io_space_t *done = memory->io_spaces; done != space; done = done->next) {
                hide_run(memory, done, run);
            }
            return -1;
        }
    }
    return 0;
}

void io_spaces_unmap(vm_memory_t *memory, const frame_run_t *run)
{
    for (io_space_t *space = memory->io_spaces; space != NULL; space = space->next) {
        hide_run(memory, space, run);
    }
}

size_t io_spaces_largest_frame(const vm_memory_t *memory, size_t size_bits)
{
    return memory->io_spaces != NULL ? ARCH_PAGE_BITS : size_bits;
}

static void end_space(vm_memory_t *memory, io_space_t *space)
{
    range_map_destroy(&space->mirrors);
    io_tables_destroy(&space->tables);
    heap_free(&memory->heap, space, sizeof(*space));
}

void io_spaces_destroy(vm_memory_t *memory)
{
    while (memory->io_spaces != NULL) {
        io_space_t *space = memory->io_spaces;
        memory->io_spaces = space->next;
        end_space(memory, space);
    }
}

/* Map all that the guest has in a new space; on failure none is. */
static int show_all(vm_memory_t *memory, io_space_t *space)
{
    range_map_entry_t entry;
    uintptr_t gpa = 0;
    while (range_map_next(&memory->space.runs, gpa, &entry)) {
        if (show_run(memory, space, entry.value) != 0) {
            uintptr_t failed = entry.base;
            for (gpa = 0; range_map_next(&memory->space.runs, gpa, &entry) && entry.base < failed;
                 gpa = entry.last + 1) {
                hide_run(memory, space, entry.value);
            }
            return -1;
        }
        gpa = entry.last + 1; /* a guest's addresses end below the top */
    }
    return 0;
}

static int add_space(vm_memory_t *memory, seL4_CPtr iospace)
{
    if (iospace == seL4_CapNull) {
        return memory_blame(memory, GUESTMEM_BAD_ARGUMENT, "the IO space is null");
    }
    for (const io_space_t *space = memory->io_spaces; space != NULL; space = space->next) {
        if (space->tables.io_space == iospace) {
            return memory_blame(memory, GUESTMEM_BAD_ARGUMENT, "the VM has the IO space already");
        }
    }
    io_space_t *space = heap_alloc(&memory->heap, sizeof(*space));
    if (space == NULL) {
        return memory_blame(memory, GUESTMEM_NO_HEAP,
                            "the heap has no room for an IO space's record");
    }
    range_map_init(&space->mirrors, &memory->heap);
    io_tables_init(&space->tables, iospace, &memory->heap);
    if (show_all(memory, space) != 0) {
        end_space(memory, space);
        return -1;
    }
    space->next = memory->io_spaces;
    memory->io_spaces = space;
    return 0;
}

int vm_guest_add_iospace(vm_t *vm, vspace_t *loader, seL4_CPtr iospace)
{
    (void)loader; /* the library keeps its own records, so no vspace_t is made */
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    return add_space(memory, iospace) == 0 ? 0 : memory_report(memory, __func__, 0, 0);
}
