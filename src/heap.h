/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The heap of one VM: where memory for records comes from, and how much of it is held, so that
 * statistics and tests can see that everything is freed. Plain C11.
 */

#include <stddef.h>
#include <string.h>

typedef struct gm_heap {
    void *(*allocate)(void *cookie, size_t size); /* uninitialised memory, or NULL */
    void (*release)(void *cookie, void *block, size_t size);
    void *cookie;
    size_t bytes;  /* held now */
    size_t blocks; /* held now */
} gm_heap_t;

/** @return `size` uninitialised bytes (at least 1), or NULL. @see gm_heap_free */
static inline void *gm_heap_alloc(gm_heap_t *heap, size_t size)
{
    void *block = heap->allocate(heap->cookie, size);
    if (block != NULL) {
        heap->bytes += size;
        heap->blocks++;
    }
    return block;
}

/** @return `size` zeroed bytes (at least 1), or NULL. @see gm_heap_free */
static inline void *gm_heap_alloc_zeroed(gm_heap_t *heap, size_t size)
{
    void *block = gm_heap_alloc(heap, size);
    return block != NULL ? memset(block, 0, size) : NULL;
}

/** Free a block of `size` bytes, the size that it was allocated with. NULL is allowed. */
static inline void gm_heap_free(gm_heap_t *heap, void *block, size_t size)
{
    if (block != NULL) {
        heap->bytes -= size;
        heap->blocks--;
        heap->release(heap->cookie, block, size);
    }
}
