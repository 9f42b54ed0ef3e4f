/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The callbacks of <sel4vm/guest_memory_helpers.h>. */

#include <inttypes.h>
#include <sel4vm/guest_memory_helpers.h>
#include <utils/util.h>
#include "reservations.h"

memory_fault_result_t default_error_fault_callback(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t fault_addr,
                                                   size_t fault_length, void *cookie)
{
    (void)vcpu;
    (void)cookie;
    const vm_memory_t *memory = memory_of(vm, __func__);
    const vm_memory_reservation_t *reservation =
        memory != NULL ? reservations_find(memory, fault_addr) : NULL;
    if (reservation != NULL) {
        ZF_LOGE("the guest's access of %zu bytes at 0x%" PRIxPTR
                " is not allowed in the reservation [0x%" PRIxPTR "..0x%" PRIxPTR "]%s%s",
                fault_length, fault_addr, reservation->base, reservation->last,
                reservation->name != NULL ? " " : "",
                reservation->name != NULL ? reservation->name : "");
    } else {
        ZF_LOGE("the guest's access of %zu bytes at 0x%" PRIxPTR " is in no reservation",
                fault_length, fault_addr);
    }
    return FAULT_ERROR;
}
