/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * What a driver needs of its platform. The hosted system provides `malloc_ops`, `io_mapper` and
 * `io_fdt`; the other groups are there for source compatibility and stay NULL.
 */

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <platsupport/clock.h>
#include <platsupport/interface_registration.h>
#include <platsupport/irq.h>
#include <platsupport/mux.h>
#include <utils/util.h>

typedef struct ps_io_ops ps_io_ops_t;

/** How memory will be used. */
typedef enum ps_mem_flags {
    PS_MEM_NORMAL,
    PS_MEM_HR, /* the host reads it */
    PS_MEM_HW  /* the host writes it */
} ps_mem_flags_t;

typedef void *(*ps_io_map_fn_t)(void *cookie, uintptr_t paddr, size_t size, int cached,
                                ps_mem_flags_t flags);
typedef void (*ps_io_unmap_fn_t)(void *cookie, void *vaddr, size_t size);

typedef struct ps_io_mapper {
    void *cookie;
    ps_io_map_fn_t io_map_fn;
    ps_io_unmap_fn_t io_unmap_fn;
} ps_io_mapper_t;

/** Map `size` bytes of physical memory at `paddr`. @return where, or NULL */
static inline void *ps_io_map(const ps_io_mapper_t *io_mapper, uintptr_t paddr, size_t size,
                              int cached, ps_mem_flags_t flags)
{
    assert(io_mapper && io_mapper->io_map_fn);
    return io_mapper->io_map_fn(io_mapper->cookie, paddr, size, cached, flags);
}

/** Undo ps_io_map(); `vaddr` and `size` as they were there. */
static inline void ps_io_unmap(const ps_io_mapper_t *io_mapper, void *vaddr, size_t size)
{
    assert(io_mapper && io_mapper->io_unmap_fn);
    io_mapper->io_unmap_fn(io_mapper->cookie, vaddr, size);
}

typedef int (*ps_io_port_in_fn_t)(void *cookie, uint32_t port, int io_size, uint32_t *result);
typedef int (*ps_io_port_out_fn_t)(void *cookie, uint32_t port, int io_size, uint32_t val);

typedef struct ps_io_port_ops {
    void *cookie;
    ps_io_port_in_fn_t io_port_in_fn;
    ps_io_port_out_fn_t io_port_out_fn;
} ps_io_port_ops_t;

/** Read `io_size` bytes of an I/O port. @return 0 or an error */
static inline int ps_io_port_in(const ps_io_port_ops_t *port_ops, uint32_t port, int io_size,
                                uint32_t *result)
{
    assert(port_ops && port_ops->io_port_in_fn);
    return port_ops->io_port_in_fn(port_ops->cookie, port, io_size, result);
}

static inline int ps_io_port_out(const ps_io_port_ops_t *port_ops, uint32_t port, int io_size,
                                 uint32_t val)
{
    assert(port_ops && port_ops->io_port_out_fn);
    return port_ops->io_port_out_fn(port_ops->cookie, port, io_size, val);
}

typedef enum dma_cache_op {
    DMA_CACHE_OP_CLEAN,
    DMA_CACHE_OP_INVALIDATE,
    DMA_CACHE_OP_CLEAN_INVALIDATE
} dma_cache_op_t;

typedef void *(*ps_dma_alloc_fn_t)(void *cookie, size_t size, int align, int cached,
                                   ps_mem_flags_t flags);
typedef void (*ps_dma_free_fn_t)(void *cookie, void *addr, size_t size);
typedef uintptr_t (*ps_dma_pin_fn_t)(void *cookie, void *addr, size_t size);
typedef void (*ps_dma_unpin_fn_t)(void *cookie, void *addr, size_t size);
typedef void (*ps_dma_cache_op_fn_t)(void *cookie, void *addr, size_t size, dma_cache_op_t op);

typedef struct ps_dma_man {
    void *cookie;
    ps_dma_alloc_fn_t dma_alloc_fn;
    ps_dma_free_fn_t dma_free_fn;
    ps_dma_pin_fn_t dma_pin_fn;
    ps_dma_unpin_fn_t dma_unpin_fn;
    ps_dma_cache_op_fn_t dma_cache_op_fn;
} ps_dma_man_t;

/** Allocate memory that a device can reach. @return where the VMM sees it, or NULL */
static inline void *ps_dma_alloc(const ps_dma_man_t *dma_man, size_t size, int align, int cache,
                                 ps_mem_flags_t flags)
{
    assert(dma_man && dma_man->dma_alloc_fn);
    return dma_man->dma_alloc_fn(dma_man->cookie, size, align, cache, flags);
}

/** Undo ps_dma_alloc(); `addr` and `size` as they were there. */
static inline void ps_dma_free(const ps_dma_man_t *dma_man, void *addr, size_t size)
{
    assert(dma_man && dma_man->dma_free_fn);
    dma_man->dma_free_fn(dma_man->cookie, addr, size);
}

/** Keep memory where it is. @return its physical address, which is contiguous, or 0 */
static inline uintptr_t ps_dma_pin(const ps_dma_man_t *dma_man, void *addr, size_t size)
{
    assert(dma_man && dma_man->dma_pin_fn);
    return dma_man->dma_pin_fn(dma_man->cookie, addr, size);
}

/** Undo ps_dma_pin(); `addr` and `size` as they were there. */
static inline void ps_dma_unpin(const ps_dma_man_t *dma_man, void *addr, size_t size)
{
    assert(dma_man && dma_man->dma_unpin_fn);
    dma_man->dma_unpin_fn(dma_man->cookie, addr, size);
}

static inline void ps_dma_cache_op(const ps_dma_man_t *dma_man, void *addr, size_t size,
                                   dma_cache_op_t op)
{
    assert(dma_man && dma_man->dma_cache_op_fn);
    dma_man->dma_cache_op_fn(dma_man->cookie, addr, size, op);
}

static inline void ps_dma_cache_clean(const ps_dma_man_t *dma_man, void *addr, size_t size)
{
    ps_dma_cache_op(dma_man, addr, size, DMA_CACHE_OP_CLEAN);
}

static inline void ps_dma_cache_invalidate(const ps_dma_man_t *dma_man, void *addr, size_t size)
{
    ps_dma_cache_op(dma_man, addr, size, DMA_CACHE_OP_INVALIDATE);
}

static inline void ps_dma_cache_clean_invalidate(const ps_dma_man_t *dma_man, void *addr,
                                                 size_t size)
{
    ps_dma_cache_op(dma_man, addr, size, DMA_CACHE_OP_CLEAN_INVALIDATE);
}

typedef int (*ps_malloc_fn_t)(void *cookie, size_t size, void **ptr);
typedef int (*ps_calloc_fn_t)(void *cookie, size_t nmemb, size_t size, void **ptr);
typedef int (*ps_free_fn_t)(void *cookie, size_t size, void *ptr);

typedef struct {
    ps_malloc_fn_t malloc;
    ps_calloc_fn_t calloc;
    ps_free_fn_t free;
    void *cookie;
} ps_malloc_ops_t;

/** Allocate `size` bytes into `*ptr`; 0 bytes leave it alone. @return 0 or an errno */
static inline int ps_malloc(const ps_malloc_ops_t *ops, size_t size, void **ptr)
{
    if (!ops || !ptr) {
        ZF_LOGE("ops and ptr must not be NULL");
        return EINVAL;
    }
    if (!ops->malloc) {
        ZF_LOGE("the operations have no malloc");
        return ENOSYS;
    }
    return size ? ops->malloc(ops->cookie, size, ptr) : 0;
}

/** Allocate `nmemb` zeroed elements of `size` bytes into `*ptr`. @return 0 or an errno */
static inline int ps_calloc(const ps_malloc_ops_t *ops, size_t nmemb, size_t size, void **ptr)
{
    if (!ops || !ptr) {
        ZF_LOGE("ops and ptr must not be NULL");
        return EINVAL;
    }
    if (!ops->calloc) {
        ZF_LOGE("the operations have no calloc");
        return ENOSYS;
    }
    return nmemb && size ? ops->calloc(ops->cookie, nmemb, size, ptr) : 0;
}

/** Free a block of `size` bytes (nmemb * size for ps_calloc()). @return 0 or an errno */
static inline int ps_free(const ps_malloc_ops_t *ops, size_t size, void *ptr)
{
    if (!ops || !ptr) {
        ZF_LOGE("ops and ptr must not be NULL");
        return EINVAL;
    }
    if (!ops->free) {
        ZF_LOGE("the operations have no free");
        return ENOSYS;
    }
    return ops->free(ops->cookie, size, ptr);
}

/** Fill in malloc(), calloc() and free() of the C library. @return 0, or EINVAL if `ops` is NULL */
int ps_new_stdlib_malloc_ops(ps_malloc_ops_t *ops);

typedef char *(*ps_io_fdt_get_fn_t)(void *cookie);

typedef struct ps_fdt {
    void *cookie;
    ps_io_fdt_get_fn_t get_fn;
} ps_io_fdt_t;

/** The board's flattened device tree, owned by the platform; NULL if there is none. */
static inline char *ps_io_fdt_get(const ps_io_fdt_t *io_fdt)
{
    if (!io_fdt || !io_fdt->get_fn) {
        ZF_LOGE("no device tree is provided");
        return NULL;
    }
    return io_fdt->get_fn(io_fdt->cookie);
}

struct ps_io_ops {
    ps_io_mapper_t io_mapper;
    ps_io_port_ops_t io_port_ops;
    ps_dma_man_t dma_manager;
    ps_io_fdt_t io_fdt;
    clock_sys_t clock_sys;
    mux_sys_t mux_sys;
    ps_interface_registration_ops_t interface_registration_ops;
    ps_malloc_ops_t malloc_ops;
    ps_irq_ops_t irq_ops;
};

/* Fields of device registers. */
static inline uint32_t read_masked(volatile uint32_t *addr, uint32_t mask)
{
    assert(addr);
    return *addr & mask;
}

static inline void write_masked(volatile uint32_t *addr, uint32_t mask, uint32_t value)
{
    assert(addr && (value & mask) == value);
    *addr = (*addr & ~mask) | value;
}

static inline uint32_t read_bits(volatile uint32_t *addr, unsigned int first_bit,
                                 unsigned int nbits)
{
    assert(addr && first_bit < 32 && nbits <= 32 - first_bit);
    return (*addr >> first_bit) & (uint32_t)MASK(nbits);
}

static inline void write_bits(volatile uint32_t *addr, unsigned int first_bit, unsigned int nbits,
                              uint32_t value)
{
    assert(addr && first_bit < 32 && nbits <= 32 - first_bit);
    write_masked(addr, (uint32_t)MASK(nbits) << first_bit, value << first_bit);
}
