/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file A heap for tests of the pure modules: libc's, which can be made to fail. */

#include <stdbool.h>
#include <stdlib.h>
#include "heap.h"

typedef struct test_heap {
    int fail_at; /* which allocation from now fails, once; 0: none */
    bool always_fail;
} test_heap_t;

static inline void *test_heap_allocate(void *cookie, size_t size)
{
    test_heap_t *heap = cookie;
    if (heap->always_fail || (heap->fail_at > 0 && --heap->fail_at == 0)) {
        return NULL;
    }
    return malloc(size);
}

static inline void test_heap_release(void *cookie, void *block, size_t size)
{
    free(block);
}

static inline gm_heap_t test_heap_make(test_heap_t *heap)
{
    return (gm_heap_t){
        .allocate = test_heap_allocate, .release = test_heap_release, .cookie = heap};
}
