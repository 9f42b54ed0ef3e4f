/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The io_ops of a hosted system: a heap that counts its blocks and can be made to fail, device
 * memory by frames at its address, and the board's device tree.
 */

#include <stdlib.h>
#include <string.h>
#include <utils/zf_log.h>
#include "system.h"

/* In front of each block, because callers of ps_free() do not always know the size. */
typedef struct block {
    size_t size;
    size_t padding;
} block_t;

static int heap_calloc(void *cookie, size_t nmemb, size_t size, void **ptr)
{
    hosted_system_t *system = cookie;
    if (size && nmemb > (SIZE_MAX - sizeof(block_t)) / size) {
        return ENOMEM;
    }
    system_lock(system);
    block_t *block = NULL;
    if (!inject_fails(&system->kernel, HOSTED_OPERATION_HEAP)) {
        block = calloc(1, sizeof(*block) + nmemb * size);
    }
    if (block) {
        block->size = nmemb * size;
        system->heap.blocks++;
        system->heap.bytes += block->size;
    }
    system_unlock(system);
    if (!block) {
        return ENOMEM;
    }
    *ptr = block + 1;
    return 0;
}

static int heap_malloc(void *cookie, size_t size, void **ptr)
{
    int error = heap_calloc(cookie, 1, size, ptr);
    if (!error) {
        memset(*ptr, 0xa5, size < 4096 ? size : 4096); /* nobody may count on zeros */
    }
    return error;
}

static int heap_free(void *cookie, size_t size, void *ptr)
{
    hosted_system_t *system = cookie;
    block_t *block = (block_t *)ptr - 1;
    if (block->size != size) {
        ZF_LOGW("a block of %zu bytes is freed as one of %zu", block->size, size);
    }
    system_lock(system);
    system->heap.blocks--;
    system->heap.bytes -= block->size;
    system_unlock(system);
    free(block);
    return 0;
}

/* Map page after page into a range of the VMM, which is freed with the last of them. */
static void *io_map(void *cookie, uintptr_t paddr, size_t size, int cached, ps_mem_flags_t flags)
{
    (void)flags;
    hosted_system_t *system = cookie;
    uintptr_t offset = paddr & PAGE_MASK_4K;
    size_t pages = BYTES_TO_4K_PAGES(offset + size);
    void *vaddr = NULL;
    reservation_t range = vspace_reserve_range(&system->vspace, pages << seL4_PageBits,
                                               seL4_ReadWrite, cached, &vaddr);
    if (!range.res) {
        return NULL;
    }
    size_t done = 0;
    for (; done < pages; done++) {
        vka_object_t frame;
        uintptr_t at = paddr - offset + (done << seL4_PageBits);
        if (vka_alloc_frame_at(&system->vka, seL4_PageBits, at, &frame)) {
            break;
        }
        seL4_CPtr caps[] = {frame.cptr};
        uintptr_t cookies[] = {frame.ut};
        if (vspace_map_pages_at_vaddr(&system->vspace, caps, cookies,
                                      (char *)vaddr + (done << seL4_PageBits), 1, seL4_PageBits,
                                      range)) {
            vka_free_object(&system->vka, &frame);
            break;
        }
    }
    if (done < pages) {
        ZF_LOGE("no frame is free at %#lx", paddr - offset + (done << seL4_PageBits));
        vspace_unmap_pages(&system->vspace, vaddr, done, seL4_PageBits, VSPACE_FREE);
    }
    vspace_free_reservation(&system->vspace, range);
    return done < pages ? NULL : (char *)vaddr + offset;
}

static void io_unmap(void *cookie, void *vaddr, size_t size)
{
    hosted_system_t *system = cookie;
    uintptr_t offset = (uintptr_t)vaddr & PAGE_MASK_4K;
    vspace_unmap_pages(&system->vspace, (char *)vaddr - offset, BYTES_TO_4K_PAGES(offset + size),
                       seL4_PageBits, VSPACE_FREE);
}

static char *get_fdt(void *cookie)
{
    return ((hosted_system_t *)cookie)->board_dtb;
}

static int stdlib_malloc(void *cookie, size_t size, void **ptr)
{
    (void)cookie;
    *ptr = malloc(size);
    return *ptr ? 0 : ENOMEM;
}

static int stdlib_calloc(void *cookie, size_t nmemb, size_t size, void **ptr)
{
    (void)cookie;
    *ptr = calloc(nmemb, size);
    return *ptr ? 0 : ENOMEM;
}

static int stdlib_free(void *cookie, size_t size, void *ptr)
{
    (void)cookie;
    (void)size;
    free(ptr);
    return 0;
}

int ps_new_stdlib_malloc_ops(ps_malloc_ops_t *ops)
{
    if (!ops) {
        return EINVAL;
    }
    *ops = (ps_malloc_ops_t){stdlib_malloc, stdlib_calloc, stdlib_free, NULL};
    return 0;
}

void io_ops_init(hosted_system_t *system)
{
    system->io_ops = (ps_io_ops_t){
        .io_mapper = {system, io_map, io_unmap},
        .io_fdt = {system, get_fdt},
        .malloc_ops = {heap_malloc, heap_calloc, heap_free, system},
    };
}
