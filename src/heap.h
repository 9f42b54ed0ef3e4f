/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The heap of one VM's memory management: where it comes from, and how much is held. Plain C11, so
 * that the pure modules stand on it without seeing seL4.
 */

#include <stddef.h>

typedef struct heap {
    void *(*allocate)(void *cookie, size_t size); /* memory of any content, or NULL */
    void (*release)(void *cookie, void *block, size_t size);
    void *cookie;
    size_t bytes;  /* held now */
    size_t blocks; /* held now */
} heap_t;

/** @return `size` zeroed bytes (at least 1), or NULL. @see heap_free */
void *heap_alloc(heap_t *heap, size_t size);

/** heap_alloc() of any content, for what is written before it is read. */
void *heap_alloc_any(heap_t *heap, size_t size);

/** Give a block back; `size` is that of its heap_alloc(). NULL is allowed. */
void heap_free(heap_t *heap, void *block, size_t size);
