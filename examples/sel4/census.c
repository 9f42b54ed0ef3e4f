/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#include "census.h"
#include <vka/object.h>

census_t census;

static vka_t inner;
static ps_malloc_ops_t heap;

static int cspace_alloc(void *data, seL4_CPtr *slot)
{
    int error = inner.cspace_alloc(data, slot);
    census.slots += error == 0;
    return error;
}

static void cspace_free(void *data, seL4_CPtr slot)
{
    census.slots--;
    inner.cspace_free(data, slot);
}

static int count_object(int error, seL4_Word type, seL4_Word size_bits)
{
    census.object_bytes += error == 0 ? (size_t)1 << vka_get_object_size(type, size_bits) : 0;
    return error;
}

static int utspace_alloc(void *data, const cspacepath_t *path, seL4_Word type, seL4_Word size_bits,
                         seL4_Word *cookie)
{
    return count_object(inner.utspace_alloc(data, path, type, size_bits, cookie), type, size_bits);
}

static int utspace_alloc_maybe_device(void *data, const cspacepath_t *path, seL4_Word type,
                                      seL4_Word size_bits, bool may_be_device, seL4_Word *cookie)
{
    return count_object(
        inner.utspace_alloc_maybe_device(data, path, type, size_bits, may_be_device, cookie), type,
        size_bits);
}

static int utspace_alloc_at(void *data, const cspacepath_t *path, seL4_Word type,
                            seL4_Word size_bits, uintptr_t paddr, seL4_Word *cookie)
{
    return count_object(inner.utspace_alloc_at(data, path, type, size_bits, paddr, cookie), type,
                        size_bits);
}

static void utspace_free(void *data, seL4_Word type, seL4_Word size_bits, seL4_Word cookie)
{
    census.object_bytes -= (size_t)1 << vka_get_object_size(type, size_bits);
    inner.utspace_free(data, type, size_bits, cookie);
}

void census_watch_vka(vka_t *vka)
{
    inner = *vka;
    vka->cspace_alloc = cspace_alloc;
    vka->cspace_free = cspace_free;
    vka->utspace_alloc = utspace_alloc;
    vka->utspace_alloc_maybe_device = utspace_alloc_maybe_device;
    vka->utspace_alloc_at = utspace_alloc_at;
    vka->utspace_free = utspace_free;
}

static int heap_malloc(void *cookie, size_t size, void **block)
{
    int error = heap.malloc(cookie, size, block);
    census.heap_bytes += error == 0 ? size : 0;
    return error;
}

static int heap_calloc(void *cookie, size_t count, size_t size, void **block)
{
    int error = heap.calloc(cookie, count, size, block);
    census.heap_bytes += error == 0 ? count * size : 0;
    return error;
}

static int heap_free(void *cookie, size_t size, void *block)
{
    census.heap_bytes -= size;
    return heap.free(cookie, size, block);
}

void census_watch_heap(ps_malloc_ops_t *watched)
{
    heap = *watched;
    watched->malloc = heap_malloc;
    watched->calloc = heap_calloc;
    watched->free = heap_free;
}
