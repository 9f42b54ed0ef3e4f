/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* A ring that two VMs share: one writes, the other may only read, and either may end first. */

#include <guestmem/change.h>
#include <sel4vmmplatsupport/guest_memory_util.h>
#include <stdio.h>
#include "vm.h"

#define IN_PRODUCER ((uintptr_t)0x50000000)
#define IN_CONSUMER ((uintptr_t)0x60000000)

static memory_fault_result_t on_device(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                       void *cookie)
{
    (void)vm, (void)addr, (void)size, (void)cookie;
    printf("the consumer's sum is %lu\n", (unsigned long)get_vcpu_fault_data(vcpu));
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

/* What the rights do not allow. */
static memory_fault_result_t on_ring(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                     void *cookie)
{
    (void)vm, (void)size, (void)cookie;
    printf("the consumer may not write the ring at 0x%lx\n", (unsigned long)addr);
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

int main(void)
{
    vm_t producer, consumer;
    hosted_system_t *sel4 = example_open();
    example_make(sel4, &producer, 2 * MEBIBYTE, "producer.bin", on_device);
    example_make(sel4, &consumer, 2 * MEBIBYTE, "consumer.bin", on_device);

    vm_memory_reservation_t *ring =
        vm_reserve_memory_at(&producer, IN_PRODUCER, PAGE, on_ring, NULL);
    example_must(ring == NULL || map_frame_alloc_reservation(&producer, ring) != 0, "the ring");
    example_must(guestmem_share(&producer, IN_PRODUCER, PAGE, &consumer, IN_CONSUMER, seL4_CanRead,
                                on_ring, NULL) == NULL,
                 "guestmem_share()");

    example_run(&producer);
    vm_destroy(&producer); /* the consumer keeps the memory */
    example_run(&consumer);
    vm_destroy(&consumer);
    hosted_system_destroy(sel4);
    return 0;
}
