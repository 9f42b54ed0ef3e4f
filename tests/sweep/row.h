/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The calls under test: one row for each entry point and situation.
 */

#include "scene.h"

/** What is special about a row. */
typedef enum row_trait {
    ROW_PLAIN = 0,
    ROW_NOT_REPEATED = 1 << 0,  /* a deferred map that failed is not tried again */
    ROW_NO_REASON = 1 << 1,     /* it is about no VM that is initialised: there is a line only */
    ROW_SLOW = 1 << 3,          /* it clears memory page by page: fewer points */
    ROW_MORE_LINES = 1 << 4,    /* the vka's helpers log as well; the last line is the call's */
    ROW_ENDS_HALF_WAY = 1 << 5, /* without a window, what a second failure ends was begun */
    ROW_MOVES_FRAMES = 1 << 2,  /* their memory is not the library's to give back */
    ROW_REMAPS = 1 << 6,        /* undo maps frames again where they are mapped: the kernel refuses
                                   that no more than it did before, and lacks nothing for it */
} row_trait_t;

typedef struct row {
    const char *entry; /* the public function */
    const char *what;
    void (*build)(scene_t *s); /* what must be there before; may be NULL */
    int (*call)(scene_t *s);   /* 0 for success */
    unsigned traits;
} row_t;

typedef struct row_list {
    const row_t *rows;
    size_t count;
} row_list_t;

extern const row_list_t rows_of_reservations;
extern const row_list_t rows_of_mapping;
extern const row_list_t rows_of_ram;
extern const row_list_t rows_of_changes;
extern const row_list_t rows_of_runtime;

/** The reservation of the span near `origin`. */
static inline vm_memory_reservation_t *row_reservation(scene_t *s, uintptr_t origin)
{
    size_t size;
    return guestmem_find_reservation(&s->world.vm, scene_span(s, origin, &size));
}
