/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Maps of ranges that are compared with the library's, through one interface. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct candidate {
    const char *name;
    size_t most; /* ranges beyond which measuring it takes too long */
    void *(*create)(void);
    void (*destroy)(void *map); /* of an empty map */
    void (*insert)(void *map, uintptr_t base, uintptr_t last, void *value);
    void (*remove)(void *map, uintptr_t base);
    void *(*find)(const void *map, uintptr_t address); /* the value, or NULL */
} candidate_t;

extern const candidate_t candidate_red_black; /* <bsd/sys/tree.h> */

/** malloc() that aborts the program where there is none. */
void *candidate_alloc(size_t size);
