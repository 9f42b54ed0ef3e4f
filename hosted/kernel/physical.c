/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Physical memory: a file in memory for each bank, sparse, so that it costs what has been touched.
 * All of the address space is in a bank, but most of it is never used: so a bank gets its file, and
 * its place in the host's address space, with its first frame.
 */

#define _GNU_SOURCE
#include "kernel.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int physical_add(kernel_t *kernel, uint64_t base, uint64_t last)
{
    bank_t *banks = kernel->banks;
    if ((kernel->num_banks & (kernel->num_banks - 1)) == 0) { /* full */
        banks = realloc(banks, (kernel->num_banks ? kernel->num_banks * 2 : 1) * sizeof(*banks));
    }
    if (!banks) {
        return -1;
    }
    kernel->banks = banks;
    banks[kernel->num_banks++] = (bank_t){.base = base, .last = last, .fd = -1, .cache_fd = -1};
    return 0;
}

static void close_bank(bank_t *bank)
{
    cache_free(bank);
    if (bank->memory) {
        munmap(bank->memory, bank->last - bank->base + 1);
    }
    if (bank->fd >= 0) {
        close(bank->fd);
    }
    bank->memory = NULL;
    bank->fd = -1;
}

static int open_bank(const kernel_t *kernel, bank_t *bank)
{
    size_t size = bank->last - bank->base + 1;
    bank->fd = memfd_create("guestmem-bank", MFD_CLOEXEC);
    if (bank->fd < 0 || ftruncate(bank->fd, (off_t)size) != 0) {
        return -1;
    }
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, bank->fd, 0);
    if (memory == MAP_FAILED) {
        return -1;
    }
    bank->memory = memory;
    return kernel->incoherent ? cache_add(bank) : 0;
}

void physical_free(kernel_t *kernel)
{
    for (size_t i = 0; i < kernel->num_banks; i++) {
        close_bank(&kernel->banks[i]);
    }
    free(kernel->banks);
    kernel->banks = NULL;
    kernel->num_banks = 0;
}

static bank_t *find(const kernel_t *kernel, uint64_t paddr)
{
    size_t low = 0, high = kernel->num_banks;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (paddr > kernel->banks[middle].last) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < kernel->num_banks && paddr >= kernel->banks[low].base ? &kernel->banks[low] : NULL;
}

const bank_t *physical_find(const kernel_t *kernel, uint64_t paddr)
{
    const bank_t *bank = find(kernel, paddr);
    return bank && bank->memory ? bank : NULL;
}

bank_t *physical_open(kernel_t *kernel, uint64_t paddr)
{
    bank_t *bank = find(kernel, paddr);
    if (bank && !bank->memory && open_bank(kernel, bank)) {
        close_bank(bank);
        return NULL;
    }
    return bank;
}

void physical_punch(int fd, uint8_t *memory, uint64_t offset, uint64_t size)
{
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size)) {
        memset(memory + offset, 0, size);
    }
}

void physical_clear(kernel_t *kernel, uint64_t paddr, uint64_t size)
{
    /* Less than a page can never have been a frame, and nothing else writes to memory. */
    const bank_t *bank = physical_find(kernel, paddr);
    if (!bank || paddr & 4095 || size < 4096) {
        return;
    }
    size = (size + 4095) & ~4095ul; /* above the watermark it is zero */
    physical_punch(bank->fd, bank->memory, paddr - bank->base, size);
    cache_forget(bank, paddr - bank->base, size);
}

void *hosted_physical_memory(hosted_system_t *system, seL4_Word paddr, size_t size)
{
    kernel_t *kernel = hosted_system_kernel(system);
    pthread_mutex_lock(&kernel->lock);
    const bank_t *bank = find(kernel, paddr);
    bool inside = bank && size != 0 && size - 1 <= bank->last - paddr;
    void *memory =
        inside && physical_open(kernel, paddr) ? bank->memory + (paddr - bank->base) : NULL;
    pthread_mutex_unlock(&kernel->lock);
    return memory;
}
