/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The page-table objects of a guest: made when the first frame needs them, freed with the
 *  last. And the making of any page-table object. */

#include "frame.h"

/** A page-table object. */
typedef struct gm_table_object {
    seL4_CPtr cap;
    seL4_Word cookie; /* the vka's, of its memory */
} gm_table_object_t;

/** Make an object of that kind. @return 0; -1 after gm_fail(). @see gm_table_object_free */
/*@ requires gm_memory_ok(memory) && \valid_read(kind) && \valid(object);
    requires \separated(object, memory, memory->vm, memory->vm->vka) && \separated(object, kind);
    assigns *object, memory->counts, memory->failure, gm_slots, gm_objects;
    ensures \result == 0 || \result == -1;
    ensures \result == 0 ==> gm_slots == \old(gm_slots) + 1 && gm_objects == \old(gm_objects) + 1 &&
        object->cookie != 0;
    ensures \result == -1 ==> gm_slots == \old(gm_slots) && gm_objects == \old(gm_objects);
 */
int gm_table_object_alloc(gm_memory_t *memory, const gm_arch_table_t *kind,
                          gm_table_object_t *object);

/** Free an object; the kernel unmaps the table with it. */
/*@ requires gm_memory_ok(memory) && \valid_read(kind);
    requires \valid_read(object) && object->cookie != 0;
    assigns memory->counts, gm_slots, gm_objects, gm_refused;
    ensures gm_refused >= \old(gm_refused);
    ensures gm_refused == \old(gm_refused) ==> gm_slots == \old(gm_slots) - 1 &&
        gm_objects == \old(gm_objects) - 1;
 */
void gm_table_object_free(gm_memory_t *memory, const gm_arch_table_t *kind,
                          const gm_table_object_t *object);

/**
 * Make and map the tables that are missing for `count` frames of `size_bits` from `base` on, and
 * count the frames in theirs.
 *
 * @return 0; -1 after gm_fail(), and nothing has changed
 * @see gm_page_tables_release
 */
/*@ requires gm_memory_ok(memory) && gm_is_frame_bits(size_bits) && gm_tables_ok;
    requires gm_is_placed(base, count, size_bits);
    assigns memory->tables[0 .. ARCH_NUM_TABLE_LEVELS - 1], memory->heap,
        memory->counts, memory->failure, gm_slots, gm_objects, gm_records, gm_tables,
        gm_reserved, gm_refused, gm_moment;
    ensures \result == 0 || \result == -1;
    ensures gm_tables_ok && gm_refused >= \old(gm_refused);
    ensures gm_records - gm_tables == \old(gm_records - gm_tables);
    ensures gm_reserved == \old(gm_reserved);
    ensures gm_memory_ok(memory) && gm_runs_same{Pre, Post};
    ensures \result == 0 ==> gm_refused == \old(gm_refused) && gm_uses(gm_moment) ==
        \old(gm_uses(gm_moment)) + gm_uses_of(base, count, size_bits);
    ensures \result == -1 ==> gm_uses(gm_moment) == \old(gm_uses(gm_moment));
    ensures gm_refused == \old(gm_refused) ==> gm_slots - gm_tables == \old(gm_slots - gm_tables) &&
        gm_objects - gm_tables == \old(gm_objects - gm_tables);
 */
int gm_page_tables_acquire(gm_memory_t *memory, uintptr_t base, size_t count, size_t size_bits);

/** Undo gm_page_tables_acquire() with the same arguments; the frames are unmapped. Cannot fail. */
/*@ requires gm_memory_ok(memory) && gm_is_frame_bits(size_bits) && gm_tables_ok;
    requires gm_is_placed(base, count, size_bits);
    assigns memory->tables[0 .. ARCH_NUM_TABLE_LEVELS - 1], memory->heap,
        memory->counts, gm_slots, gm_objects, gm_records, gm_tables,
        gm_reserved, gm_refused, gm_moment;
    ensures gm_tables_ok && gm_refused >= \old(gm_refused);
    ensures gm_records - gm_tables == \old(gm_records - gm_tables);
    ensures gm_reserved == \old(gm_reserved);
    ensures gm_memory_ok(memory) && gm_runs_same{Pre, Post};
    ensures gm_uses(gm_moment) ==
        \old(gm_uses(gm_moment)) - gm_uses_of(base, count, size_bits);
    ensures gm_refused == \old(gm_refused) ==> gm_slots - gm_tables == \old(gm_slots - gm_tables) &&
        gm_objects - gm_tables == \old(gm_objects - gm_tables);
 */
void gm_page_tables_release(gm_memory_t *memory, uintptr_t base, size_t count, size_t size_bits);
