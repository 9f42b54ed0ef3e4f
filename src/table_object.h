/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Page table objects of the allocator, of guests' address spaces and of IO spaces. */

#include <sel4/sel4.h>
#include "arch_paging.h"

struct vm_memory_reservation_cookie;

typedef struct table_object {
    seL4_CPtr cap;
    seL4_Word cookie; /* the vka's, of its memory */
} table_object_t;

/** Make an object of that kind. @return 0; -1 with the cause blamed. @see table_object_free */
int table_object_alloc(struct vm_memory_reservation_cookie *memory, const arch_table_t *kind,
                       table_object_t *object);

/** Undo table_object_alloc(); a table that is installed is uninstalled, too. Cannot fail. */
void table_object_free(struct vm_memory_reservation_cookie *memory, const arch_table_t *kind,
                       const table_object_t *object);
