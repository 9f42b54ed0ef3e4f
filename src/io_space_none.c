/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* IO spaces on kernels that have none: none can be added, and there is nothing to do. */

#include <sel4vm/guest_iospace.h>
#include "io_space.h"
#include "memory.h"

int io_spaces_map(vm_memory_t *memory, const frame_run_t *run)
{
    (void)memory;
    (void)run;
    return 0;
}

void io_spaces_unmap(vm_memory_t *memory, const frame_run_t *run)
{
    (void)memory;
    (void)run;
}

size_t io_spaces_largest_frame(const vm_memory_t *memory, size_t size_bits)
{
    (void)memory;
    return size_bits;
}

void io_spaces_destroy(vm_memory_t *memory)
{
    (void)memory;
}

int vm_guest_add_iospace(vm_t *vm, vspace_t *loader, seL4_CPtr iospace)
{
    (void)loader;
    (void)iospace;
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    memory_blame(memory, GUESTMEM_BAD_ARGUMENT,
                 "the kernel has no IO spaces, so devices are not confined to the guest's memory; "
                 "configure it with KernelIOMMU or KernelTk1SMMU");
    return memory_report(memory, __func__, 0, 0);
}
