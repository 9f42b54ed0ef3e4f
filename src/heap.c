/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Counts what is held, so that statistics and tests can see that everything is given back. */

#include "heap.h"
#include <string.h>

void *heap_alloc_any(heap_t *heap, size_t size)
{
    void *block = heap->allocate(heap->cookie, size);
    if (block != NULL) {
        heap->bytes += size;
        heap->blocks++;
    }
    return block;
}

void *heap_alloc(heap_t *heap, size_t size)
{
    void *block = heap_alloc_any(heap, size);
    return block != NULL ? memset(block, 0, size) : NULL;
}

void heap_free(heap_t *heap, void *block, size_t size)
{
    if (block != NULL) {
        heap->bytes -= size;
        heap->blocks--;
        heap->release(heap->cookie, block, size);
    }
}
