/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See bitmap.h. All levels are in one mapping, which the host fills with zeros when touched. */

#include "bitmap.h"

#include <string.h>
#include <sys/mman.h>

int bitmap_init(bitmap_t *bitmap, size_t size)
{
    size_t words[BITMAP_LEVELS], total = 0;
    memset(bitmap, 0, sizeof(*bitmap));
    bitmap->size = size;
    do {
        size = (size + 63) / 64;
        words[bitmap->num_levels++] = size;
        total += size;
    } while (size > 1 && bitmap->num_levels < BITMAP_LEVELS);
    bitmap->bytes = total * sizeof(uint64_t);
    uint64_t *memory = mmap(NULL, bitmap->bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        bitmap->bytes = 0;
        return -1;
    }
    for (unsigned i = 0; i < bitmap->num_levels; i++) {
        bitmap->levels[i] = memory;
        memory += words[i];
    }
    return 0;
}

void bitmap_free(bitmap_t *bitmap)
{
    if (bitmap->bytes) {
        munmap(bitmap->levels[0], bitmap->bytes);
    }
    memset(bitmap, 0, sizeof(*bitmap));
}

void bitmap_add(bitmap_t *bitmap, size_t number)
{
    for (unsigned i = 0; i < bitmap->num_levels; i++) {
        uint64_t *word = &bitmap->levels[i][number / 64];
        uint64_t before = *word;
        *word |= 1ul << number % 64;
        if (before) {
            return;
        }
        number /= 64;
    }
}

void bitmap_remove(bitmap_t *bitmap, size_t number)
{
    for (unsigned i = 0; i < bitmap->num_levels; i++) {
        uint64_t *word = &bitmap->levels[i][number / 64];
        *word &= ~(1ul << number % 64);
        if (*word) {
            return;
        }
        number /= 64;
    }
}

bool bitmap_has(const bitmap_t *bitmap, size_t number)
{
    return number < bitmap->size && bitmap->levels[0][number / 64] >> number % 64 & 1;
}

bool bitmap_first(const bitmap_t *bitmap, size_t *number)
{
    size_t index = 0;
    for (unsigned i = bitmap->num_levels; i-- > 0;) {
        uint64_t word = bitmap->levels[i][index];
        if (!word) {
            return false;
        }
        index = index * 64 + (size_t)__builtin_ctzl(word);
    }
    *number = index;
    return true;
}
