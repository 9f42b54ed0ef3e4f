/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* A program for its linker map; it is never run. */

#include <sel4vm/guest_ram.h>

int main(void)
{
    uintptr_t addr;
    size_t size;
    return vm_ram_find_largest_free_region(NULL, &addr, &size);
}
