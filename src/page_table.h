/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The page-table objects of a guest: made when the first frame needs them, freed with the
 *  last. And the making of any page-table object. */

#include "vm_memory.h"

/** A page-table object. */
typedef struct gm_table_object {
    seL4_CPtr cap;
    seL4_Word cookie; /* the vka's, of its memory */
} gm_table_object_t;

/** Make an object of that kind. @return 0; -1 after gm_fail(). @see gm_table_object_free */
int gm_table_object_alloc(gm_memory_t *memory, const gm_arch_table_t *kind,
                          gm_table_object_t *object);

/** Free an object; the kernel unmaps the table with it. */
void gm_table_object_free(gm_memory_t *memory, const gm_arch_table_t *kind,
                          const gm_table_object_t *object);

/**
 * Make and map the tables that are missing for `count` frames of `size_bits` from `base` on, and
 * count the frames in theirs.
 *
 * @return 0; -1 after gm_fail(), and nothing has changed
 * @see gm_page_tables_release
 */
int gm_page_tables_acquire(gm_memory_t *memory, uintptr_t base, size_t count, size_t size_bits);

/** Undo gm_page_tables_acquire() with the same arguments; the frames are unmapped. Cannot fail. */
void gm_page_tables_release(gm_memory_t *memory, uintptr_t base, size_t count, size_t size_bits);
