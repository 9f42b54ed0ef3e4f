/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* What a VMM can do on guestmem only: give a guest's memory back, and so start it again. */

#include <guestmem/inspect.h>
#include <sel4vm/guest_memory.h>
#include "vmm.h"

void vmm_free(vmm_t *vmm)
{
    vm_t *vm = &vmm->vm;
    /* The RAM first: libsel4utils makes records of its window's addresses when that goes, and none
     * of them shall be where a range has to be again. */
    vm_free_reserved_memory(vm, guestmem_find_reservation(vm, vmm->guest->ram));
    for (size_t i = 0; i < sizeof(vmm->ranges) / sizeof(vmm->ranges[0]); i++) {
        vm_free_reserved_memory(vm, vmm->ranges[i]);
    }
}
