/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* A balloon: the guest says what memory it does not need, and the VMM gives the frames back to its
 * allocator. When the guest needs it after all, it touches it. */

#include <guestmem/change.h>
#include <guestmem/inspect.h>
#include <stdio.h>
#include "vm.h"

enum { GIVE_BACK = 0, REPORT = 8 }; /* the device's registers */

static memory_fault_result_t on_device(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                       void *cookie)
{
    size_t given = 0;
    guestmem_statistics_t now;
    (void)size, (void)cookie;
    switch (addr - DEVICE) {
    case GIVE_BACK:
        example_must(guestmem_discard(vm, get_vcpu_fault_data(vcpu), 2 * MEBIBYTE, &given),
                     "guestmem_discard()");
        break;
    case REPORT:
        example_must(guestmem_get_statistics(vm, &now), "guestmem_get_statistics()");
        printf("the guest has %zu frames of 2 MiB\n", now.frames[GUESTMEM_FRAME_2M]);
        break;
    default:
        return FAULT_ERROR;
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

int main(void)
{
    vm_t vm;
    hosted_system_t *sel4 = example_open();
    example_make(sel4, &vm, 64 * MEBIBYTE, "balloon.bin", on_device);
    printf("64 MiB of RAM: 32 frames of 2 MiB\n");
    example_run(&vm);
    vm_destroy(&vm);
    hosted_system_destroy(sel4);
    return 0;
}
