/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The page tables of one IO space that the library made, and the frames mapped with them. */

#include <sel4/sel4.h>
#include "range_map.h"

struct vm_memory_reservation_cookie;

/** Levels of tables at most: VT-d has no more than 6. */
#define IO_TABLE_LEVELS 6

typedef struct io_tables {
    seL4_CPtr io_space;
    range_map_t levels[IO_TABLE_LEVELS]; /* by GPA span; innermost first */
} io_tables_t;

void io_tables_init(io_tables_t *tables, seL4_CPtr io_space, heap_t *heap);

/** Free the record; all tables must have ended. */
void io_tables_destroy(io_tables_t *tables);

/**
 * Map a frame of 4 KiB, with the tables that it needs.
 *
 * @param frame  a capability of its own, which is not mapped
 * @return 0; -1 with the cause blamed, and nothing has changed
 * @see io_tables_release
 */
int io_tables_map(struct vm_memory_reservation_cookie *memory, io_tables_t *tables, seL4_CPtr frame,
                  uintptr_t gpa, seL4_CapRights_t rights);

/** End the tables that only the frame at `gpa` needed; its capability is deleted. Cannot fail. */
void io_tables_release(struct vm_memory_reservation_cookie *memory, io_tables_t *tables,
                       uintptr_t gpa);
