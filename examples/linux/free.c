/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* What a VMM can do on guestmem only: give a guest's memory back, and so start it again. */

#include <guestmem/inspect.h>
#include <sel4vm/guest_memory.h>
#include "vmm.h"

static void free_range(vm_t *vm, vm_memory_reservation_t *range)
{
    if (range != NULL) { /* vmm_back() may have failed half-way */
        vm_free_reserved_memory(vm, range);
    }
}

void vmm_free(vmm_t *vmm)
{
    vm_t *vm = &vmm->vm;
    /* The RAM first: libsel4utils makes records of its window's addresses when that goes, and none
     * of them shall be where a range has to be again. */
    free_range(vm, guestmem_find_reservation(vm, vmm->guest->ram));
    for (size_t i = 0; i < sizeof(vmm->ranges) / sizeof(vmm->ranges[0]); i++) {
        free_range(vm, vmm->ranges[i]);
        vmm->ranges[i] = NULL;
    }
}
