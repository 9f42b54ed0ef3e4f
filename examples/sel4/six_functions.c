/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Each function of guest_memory_util.h once, and two reservations that stay without frames. */

#include "six_functions.h"
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>
#include <sel4vmmplatsupport/guest_memory_util.h>
#include "counter.h"
#include "layout.h"

static memory_fault_result_t on_emulated(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t length,
                                         void *cookie)
{
    guest_memory_t *memory = cookie;
    (void)vm, (void)addr, (void)length;
    if (is_vcpu_read_fault(vcpu)) {
        set_vcpu_fault_data(vcpu, EMULATED_VALUE);
        advance_vcpu_fault(vcpu);
        return FAULT_HANDLED;
    }
    memory->last_store = counter_now();
    if (memory->stores++ == 0) {
        memory->first_store = memory->last_store;
    }
    return FAULT_IGNORE; /* go on after the store */
}

static memory_fault_result_t on_read_only(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t length,
                                          void *cookie)
{
    guest_memory_t *memory = cookie;
    (void)vm, (void)vcpu, (void)addr, (void)length;
    memory->trapped_stores++;
    return FAULT_IGNORE;
}

/* The signal makes vm_run() call the notification callback, which stops it. */
static memory_fault_result_t on_end(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t length,
                                    void *cookie)
{
    guest_memory_t *memory = cookie;
    (void)vm, (void)vcpu, (void)addr, (void)length;
    seL4_Signal(memory->end);
    return FAULT_IGNORE;
}

static int make_emulated(vm_t *vm, guest_memory_t *memory)
{
    return vm_reserve_memory_at(vm, EMULATED_PAGE, PAGE_BYTES, on_emulated, memory) != NULL &&
                   vm_reserve_memory_at(vm, END_PAGE, PAGE_BYTES, on_end, memory) != NULL
               ? 0
               : -1;
}

static vm_memory_reservation_t *reserve(vm_t *vm, uintptr_t addr, size_t size)
{
    return vm_reserve_memory_at(vm, addr, size, default_error_fault_callback, NULL);
}

/* Back a range with memory of the VMM's choice: the first free block of the board's memory, as a
 * guest's DMA buffer may want. */
static int map_chosen(vm_t *vm, vm_memory_reservation_t *range)
{
    for (int i = 0; i < simple_get_untyped_count(vm->simple); i++) {
        size_t size_bits;
        uintptr_t paddr;
        bool device;
        simple_get_nth_untyped(vm->simple, i, &size_bits, &paddr, &device);
        if (!device && BIT(size_bits) > BLOCK_SIZE &&
            map_ut_alloc_reservation_with_base_paddr(vm, paddr + BIT(size_bits) - BLOCK_SIZE,
                                                     range) == 0) {
            return 0;
        }
    }
    return -1;
}

static int make_blocks(vm_t *vm)
{
    vm_memory_reservation_t *chosen = reserve(vm, CHOSEN_BASE, BLOCK_SIZE);
    vm_memory_reservation_t *free_frames = reserve(vm, FREE_BASE, BLOCK_SIZE);
    vm_memory_reservation_t *any = reserve(vm, ANY_BASE, BLOCK_SIZE);
    vm_memory_reservation_t *device = reserve(vm, PASSED_DEVICE, PAGE_BYTES);
    return chosen != NULL && free_frames != NULL && any != NULL && device != NULL &&
                   map_chosen(vm, chosen) == 0 &&
                   map_frame_alloc_reservation(vm, free_frames) == 0 &&
                   map_maybe_device_reservation(vm, any) == 0 &&
                   map_ut_alloc_reservation(vm, device) == 0
               ? 0
               : -1;
}

static int make_pages(vm_t *vm, guest_memory_t *memory)
{
    memory_fault_callback_fn error = default_error_fault_callback;
    memory->shared =
        create_allocated_reservation_frame(vm, SHARED_PAGE, seL4_AllRights, error, NULL);
    memory->read_only =
        create_allocated_reservation_frame(vm, READ_ONLY_PAGE, seL4_CanRead, on_read_only, memory);
    void *clock = create_device_reservation_frame(vm, DEVICE_PAGE, seL4_CanRead, error, NULL);
    if (memory->shared == NULL || memory->read_only == NULL || clock == NULL) {
        return -1;
    }
    *memory->read_only = PAGE_VALUE;
    return 0;
}

int guest_memory_make(vm_t *vm, guest_memory_t *memory)
{
    return vm_ram_register_at(vm, RAM_BASE, RAM_SIZE, false) == 0 && make_blocks(vm) == 0 &&
                   make_pages(vm, memory) == 0 && make_emulated(vm, memory) == 0
               ? 0
               : -1;
}
