/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The data cache of an incoherent system (hosted_system_incoherent()). Each bank gets a second
 * file, which cached mappings of the VMM are mappings of, in place of the bank's own: so they agree
 * with each other, whatever their addresses, and what they hold outlives them. A third copy, the
 * base, is what memory held when a line was last in step with it. That tells the two directions
 * apart: a line of the cache that differs from its base was written by the VMM, and is dirty; a
 * line of memory that differs was written by somebody else.
 *
 * A dirty line reaches memory when it is cleaned, never by itself. One that is not dirty follows
 * memory: when it is mapped, after a cache operation on it, and whenever the guest stops.
 *
 * Holes of the files are skipped, so that memory that nobody touched costs nothing.
 */

#define _GNU_SOURCE
#include "kernel.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <utils/zf_log.h>

enum { LINE = 64, PAGE = 4096, SCTLR_MMU = 1 << 0, SCTLR_DATA_CACHE = 1 << 2 };

/* What is done to lines of one page: [from, to) of the bank. */
typedef void (*lines_fn)(const bank_t *bank, uint64_t from, uint64_t to);

static void in_step(uint8_t *to, uint8_t *base, const uint8_t *from)
{
    memcpy(to, from, LINE);
    memcpy(base, from, LINE);
}

/* Dirty lines go to memory. */
static void clean(const bank_t *bank, uint64_t from, uint64_t to)
{
    if (memcmp(bank->cache + from, bank->cache_base + from, to - from) == 0) {
        return;
    }
    for (uint64_t at = from; at < to; at += LINE) {
        if (memcmp(bank->cache + at, bank->cache_base + at, LINE) != 0) {
            in_step(bank->memory + at, bank->cache_base + at, bank->cache + at);
        }
    }
}

/* Lines that are not dirty follow memory. */
static void refresh(const bank_t *bank, uint64_t from, uint64_t to)
{
    if (!bank->cached[from / PAGE] ||
        memcmp(bank->memory + from, bank->cache_base + from, to - from) == 0) {
        return;
    }
    for (uint64_t at = from; at < to; at += LINE) {
        if (memcmp(bank->cache + at, bank->cache_base + at, LINE) == 0) {
            in_step(bank->cache + at, bank->cache_base + at, bank->memory + at);
        }
    }
}

/* Dirty lines are forgotten. */
static void invalidate(const bank_t *bank, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at += LINE) {
        in_step(bank->cache + at, bank->cache_base + at, bank->memory + at);
    }
}

/* Go through what a file of the bank holds of [first, end), page by page. */
static void for_each_page(const bank_t *bank, int fd, uint64_t first, uint64_t end, lines_fn lines)
{
    while (first < end) {
        off_t data = lseek(fd, (off_t)first, SEEK_DATA);
        off_t hole = data < 0 ? data : lseek(fd, data, SEEK_HOLE);
        if (data < 0 || hole < 0) {
            return; /* no more data */
        }
        uint64_t stop = (uint64_t)hole < end ? (uint64_t)hole : end;
        for (uint64_t at = (uint64_t)data; at < stop;) {
            uint64_t next = (at | (PAGE - 1)) + 1;
            next = next < stop ? next : stop;
            lines(bank, at, next);
            at = next;
        }
        first = stop;
    }
}

static void clean_range(const bank_t *bank, uint64_t first, uint64_t end)
{
    for_each_page(bank, bank->cache_fd, first, end, clean);
}

static void refresh_range(const bank_t *bank, uint64_t first, uint64_t end)
{
    for_each_page(bank, bank->fd, first, end, refresh);
}

void cache_operate(const kernel_t *kernel, cache_operation_t operation, uint64_t paddr,
                   uint64_t size)
{
    const bank_t *bank = kernel->incoherent ? physical_find(kernel, paddr) : NULL;
    if (!bank) {
        return;
    }
    uint64_t from = paddr - bank->base, to = from + size;
    uint64_t first = from & ~(uint64_t)(LINE - 1), end = (to + LINE - 1) & ~(uint64_t)(LINE - 1);
    if (operation == CACHE_INVALIDATE) {
        /* Lines of which a part lies outside are cleaned before, as the kernel does. */
        uint64_t whole = (from + LINE - 1) & ~(uint64_t)(LINE - 1);
        uint64_t whole_end = to & ~(uint64_t)(LINE - 1);
        clean_range(bank, first, whole);
        clean_range(bank, whole_end, end);
        for_each_page(bank, bank->cache_fd, whole, whole_end, invalidate);
    } else {
        clean_range(bank, first, end);
    }
    refresh_range(bank, first, end);
}

void cache_page_mapped(const bank_t *bank, uint64_t paddr, uint64_t size)
{
    uint64_t offset = paddr - bank->base;
    memset(bank->cached + offset / PAGE, 1, size / PAGE);
    refresh_range(bank, offset, offset + size);
}

void cache_forget(const bank_t *bank, uint64_t offset, uint64_t size)
{
    if (bank->cache) {
        physical_punch(bank->cache_fd, bank->cache, offset, size);
        madvise(bank->cache_base + offset, size, MADV_DONTNEED);
        memset(bank->cached + offset / PAGE, 0, size / PAGE);
    }
}

int cache_add(bank_t *bank)
{
    size_t size = bank->last - bank->base + 1;
    bank->cache_fd = memfd_create("guestmem-cache", MFD_CLOEXEC);
    if (bank->cache_fd < 0 || ftruncate(bank->cache_fd, (off_t)size) != 0) {
        return -1;
    }
    void *cache =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, bank->cache_fd, 0);
    bank->cache = cache == MAP_FAILED ? NULL : cache;
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bank->cache_base = base == MAP_FAILED ? NULL : base;
    bank->cached = calloc(size / PAGE + 1, 1);
    return bank->cache && bank->cache_base && bank->cached ? 0 : -1;
}

void cache_free(bank_t *bank)
{
    size_t size = bank->last - bank->base + 1;
    if (bank->cache) {
        munmap(bank->cache, size);
    }
    if (bank->cache_base) {
        munmap(bank->cache_base, size);
    }
    if (bank->cache_fd >= 0) {
        close(bank->cache_fd);
    }
    free(bank->cached);
    bank->cache = bank->cache_base = bank->cached = NULL;
    bank->cache_fd = -1;
}

static int add_caches(kernel_t *kernel)
{
    for (size_t i = 0; i < kernel->num_banks; i++) {
        if (kernel->banks[i].memory && cache_add(&kernel->banks[i]) != 0) {
            ZF_LOGE("hosted_system_incoherent: the host has not enough memory or files");
            do {
                cache_free(&kernel->banks[i]);
            } while (i-- > 0);
            return -1;
        }
    }
    kernel->incoherent = true;
    return 0;
}

int hosted_system_incoherent(hosted_system_t *system)
{
    kernel_t *kernel = hosted_system_kernel(system);
    pthread_mutex_lock(&kernel->lock);
    int error = -1;
    if (kernel->incoherent || kernel->invocations[HOSTED_PAGE_MAP] != 0) {
        ZF_LOGE("hosted_system_incoherent: it is so already, or pages were mapped before");
    } else {
        error = add_caches(kernel);
    }
    pthread_mutex_unlock(&kernel->lock);
    return error;
}

bool hosted_guest_enters(hosted_system_t *system, const seL4_Word *registers)
{
    kernel_t *kernel = hosted_system_kernel(system);
    seL4_Word on = SCTLR_MMU | SCTLR_DATA_CACHE;
    if (!kernel->incoherent || (registers[seL4_VCPUReg_SCTLR] & on) != on) {
        return kernel->incoherent;
    }
    pthread_mutex_lock(&kernel->lock);
    for (size_t i = 0; i < kernel->num_banks; i++) {
        if (kernel->banks[i].memory) {
            clean_range(&kernel->banks[i], 0, kernel->banks[i].last - kernel->banks[i].base + 1);
        }
    }
    pthread_mutex_unlock(&kernel->lock);
    return true;
}

void hosted_guest_stops(hosted_system_t *system)
{
    kernel_t *kernel = hosted_system_kernel(system);
    pthread_mutex_lock(&kernel->lock);
    for (size_t i = 0; i < kernel->num_banks && kernel->incoherent; i++) {
        if (kernel->banks[i].memory) {
            refresh_range(&kernel->banks[i], 0, kernel->banks[i].last - kernel->banks[i].base + 1);
        }
    }
    pthread_mutex_unlock(&kernel->lock);
}
