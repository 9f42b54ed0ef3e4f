/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* A guest that is started again from where it had booted: its memory and its registers are kept,
 * and what it has written since is brought back. */

#include <guestmem/change.h>
#include <hosted/counters.h>
#include <inttypes.h>
#include <sel4vm/arch/guest_arm_context.h>
#include <stdio.h>
#include "vm.h"

enum { BOOTED = 0, SHOW = 8 }; /* the device's registers */

static guestmem_saved_t *memory;
static seL4_UserContext registers;

static memory_fault_result_t on_device(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                       void *cookie)
{
    (void)size, (void)cookie;
    unsigned long shown = get_vcpu_fault_data(vcpu);
    advance_vcpu_fault(vcpu);
    if (addr - DEVICE == BOOTED) {
        printf("the guest has booted\n");
        example_must(vm_get_thread_context(vcpu, &registers), "vm_get_thread_context()");
        memory = guestmem_save(vm);
        example_must(memory == NULL, "guestmem_save()");
    } else if (addr - DEVICE == SHOW) {
        printf("the guest finds 0x%lx\n", shown);
    }
    return FAULT_HANDLED;
}

int main(void)
{
    vm_t vm;
    hosted_system_t *sel4 = example_open();
    example_make(sel4, &vm, 16 * MEBIBYTE, "restart.bin", on_device);
    example_run(&vm);
    for (int i = 1; i <= 3; i++) {
        uint64_t before = hosted_invocation_total(sel4);
        example_must(guestmem_restore(&vm, memory), "guestmem_restore()");
        printf("start %d: %" PRIu64 " kernel calls\n", i, hosted_invocation_total(sel4) - before);
        example_must(vm_set_thread_context(vm.vcpus[BOOT_VCPU], registers), "the registers");
        example_must(vcpu_start(vm.vcpus[BOOT_VCPU]), "vcpu_start()");
        example_run(&vm);
    }
    guestmem_free_saved(&vm, memory);
    vm_destroy(&vm);
    hosted_system_destroy(sel4);
    return 0;
}
