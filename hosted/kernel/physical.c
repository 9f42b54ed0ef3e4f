/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Physical memory: a file in memory for each bank of RAM and each device's registers, sparse, so
 * that it costs what has been touched. Banks are disjoint and ascending.
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
    size_t size = last - base + 1;
    bank_t *banks = realloc(kernel->banks, (kernel->num_banks + 1) * sizeof(*banks));
    if (!banks) {
        return -1;
    }
    kernel->banks = banks;
    int fd = memfd_create("guestmem-bank", MFD_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    void *memory = MAP_FAILED;
    if (ftruncate(fd, (off_t)size) == 0) {
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    }
    if (memory == MAP_FAILED) {
        close(fd);
        return -1;
    }
    banks[kernel->num_banks++] =
        (bank_t){.base = base, .last = last, .fd = fd, .memory = memory, .cache_fd = -1};
    return 0;
}

void physical_free(kernel_t *kernel)
{
    for (size_t i = 0; i < kernel->num_banks; i++) {
        munmap(kernel->banks[i].memory, kernel->banks[i].last - kernel->banks[i].base + 1);
        close(kernel->banks[i].fd);
        cache_free(&kernel->banks[i]);
    }
    free(kernel->banks);
    kernel->banks = NULL;
    kernel->num_banks = 0;
}

const bank_t *physical_find(const kernel_t *kernel, uint64_t paddr)
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
    const bank_t *bank = physical_find(hosted_system_kernel(system), paddr);
    if (!bank || size == 0 || size - 1 > bank->last - paddr) {
        return NULL;
    }
    return bank->memory + (paddr - bank->base);
}
