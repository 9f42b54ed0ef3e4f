/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The page table objects of a guest: made when the first frame needs them, ended with the last.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sel4/sel4.h>
#include "arch_paging.h"
#include "range_map.h"

struct vm_memory_reservation_cookie;

typedef struct page_tables {
    range_map_t levels[ARCH_NUM_TABLE_LEVELS]; /* by GPA span; outermost level first */
} page_tables_t;

void page_tables_init(page_tables_t *tables, heap_t *heap);

/** Free the record; all tables must have ended. */
void page_tables_destroy(page_tables_t *tables);

/**
 * Have all tables that `count` frames of `size_bits` from `base` on need.
 *
 * @return 0; -1 with the cause blamed, and nothing has changed
 * @see page_tables_release
 */
int page_tables_acquire(struct vm_memory_reservation_cookie *memory, uintptr_t base, size_t count,
                        size_t size_bits);

/** Undo page_tables_acquire() with the same arguments; the frames are unmapped. Cannot fail. */
void page_tables_release(struct vm_memory_reservation_cookie *memory, uintptr_t base, size_t count,
                         size_t size_bits);

/** The innermost level with tables that span more than a frame; -1 if frames lie in the root. */
int page_tables_level(size_t size_bits);

/** The bytes of heap of one table's record. */
size_t page_tables_record_bytes(void);

/** How many table objects there are. */
size_t page_tables_count(const page_tables_t *tables);
