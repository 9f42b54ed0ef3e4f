/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Operations of <sel4vm/guest_ram.h> but for access. */

#include <sel4vm/guest_ram.h>
#include "operations.h"

/* Record RAM that a call has made. */
static void add_ram(model_t *model, model_vm_t *vm, uintptr_t addr, size_t size,
                    guestmem_backing_t backing, seL4_CapRights_t rights, supply_t *supply)
{
    model_reservation_t *reservation = model_new_reservation(model);
    vm_memory_reservation_t *handle = guestmem_find_reservation(&vm->vm, addr);
    must(handle != NULL, "RAM without a reservation");
    model_add(vm, reservation, handle, addr, addr + (size - 1));
    reservation->ram = true;
    reservation->supply = supply;
    operation_mapped(model, vm, reservation, backing, rights);
    model_set_ram(vm, addr, addr + (size - 1), 0);
    model_say(model, "vm_memory_reservation_t *r%u = guestmem_find_reservation(&vm[%u], 0x%lx);",
              reservation->id, vm->index, (unsigned long)addr);
}

static bool no_room(const model_t *model, const model_vm_t *vm, uintptr_t addr, size_t size)
{
    return vm->num_reservations == MODEL_RESERVATIONS || vm->num_ram + 4 > MODEL_PIECES / 2 ||
           (size != 0 && addr + (size - 1) >= addr && !operation_affordable(model, vm, addr, size));
}

static unsigned ram_codes(model_vm_t *vm, uintptr_t addr, size_t size)
{
    unsigned codes = model_reserve_codes(vm, addr, size);
    if ((codes & CODE(BAD_RANGE)) == 0) {
        model_reservation_t reservation = {.base = addr, .last = addr + (size - 1)};
        codes |= model_map_codes(vm, &reservation);
    }
    return codes;
}

void operate_ram_at(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    uintptr_t addr = operation->addr;
    size_t size = operation->size;
    bool untyped = operation->arg % 4 == 0;
    /* Memory of devices is cleared by hand, which is slow. */
    if (no_room(model, vm, addr, size) || (untyped && addr < 0x40000000 && size > MEGABYTE)) {
        return;
    }
    unsigned codes = ram_codes(vm, addr, size);
    if (untyped && codes == 0 && addr + (size - 1) >= 0x7fc0000000) {
        return; /* above its window the kernel has no RAM, and would clean none */
    }
    model_say(model, "vm_ram_register_at(&vm[%u], 0x%lx, 0x%lx, %s);", vm->index,
              (unsigned long)addr, (unsigned long)size, untyped ? "true" : "false");
    model_begin_call(model, operation->inject);
    bool ok = vm_ram_register_at(&vm->vm, addr, size, untyped) == 0;
    model_finish_call(model, vm, ok, codes, untyped && codes == 0 ? CODE(NO_FRAME) : 0);
    if (ok) {
        add_ram(model, vm, addr, size, untyped ? GUESTMEM_UNTYPED : GUESTMEM_MAYBE_DEVICE,
                seL4_AllRights, NULL);
    }
}

void operate_ram_anonymous(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    size_t size = operation->size;
    uintptr_t expected = 0;
    if (no_room(model, vm, 0, size)) {
        return;
    }
    unsigned codes = size == 0 ? CODE(BAD_RANGE) : 0;
    if (codes == 0 && !model_anonymous_address(vm, size, PAGE, &expected)) {
        codes = CODE(NO_ADDRESS);
    }
    if (codes == 0) {
        model_reservation_t reservation = {.base = expected, .last = expected + (size - 1)};
        codes = model_map_codes(vm, &reservation);
    }
    model_say(model, "vm_ram_register(&vm[%u], 0x%lx);", vm->index, (unsigned long)size);
    model_begin_call(model, operation->inject);
    uintptr_t addr = vm_ram_register(&vm->vm, size);
    model_finish_call(model, vm, addr != 0, codes, 0);
    if (addr != 0) {
        must(addr == expected, "RAM at 0x%lx, not 0x%lx", (unsigned long)addr,
             (unsigned long)expected);
        add_ram(model, vm, addr, size, GUESTMEM_MAYBE_DEVICE, seL4_AllRights, NULL);
        model_find(vm, addr)->anonymous = true;
    }
}

void operate_ram_iterator(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    uintptr_t addr = operation->addr;
    size_t size = operation->size;
    if (no_room(model, vm, addr, size)) {
        return;
    }
    unsigned codes = ram_codes(vm, addr, size);
    supply_t *supply = operation_supply(model, vm, operation, addr, size);
    model_say(model,
              "vm_ram_register_at_custom_iterator(&vm[%u], 0x%lx, 0x%lx, iterator, NULL); /* "
              "answer %u spoilt by %d */",
              vm->index, (unsigned long)addr, (unsigned long)size, supply->spoil,
              (int)supply->fault);
    model_begin_call(model, operation->inject);
    bool ok = vm_ram_register_at_custom_iterator(&vm->vm, addr, size, supply_next, supply) == 0;
    model_finish_call(model, vm, ok, codes | supply->codes, 0);
    supply_end(supply, ok);
    if (ok) {
        add_ram(model, vm, addr, size, GUESTMEM_CALLER, seL4_AllRights, supply);
    } else {
        supply_free(supply);
    }
}

/* A range for changing its state: one of the list's, some of it, or anything. */
static void choose_range(const model_vm_t *vm, const operation_t *operation, uintptr_t *addr,
                         size_t *size)
{
    *addr = operation->addr;
    *size = operation->size;
    if (vm->num_ram > 0 && operation->pick < 240) {
        const model_piece_t *piece = &vm->ram[operation->pick % vm->num_ram];
        uintptr_t bytes = piece->last - piece->base + 1;
        *addr = piece->base + operation->addr / PAGE % 3 * (bytes / 3);
        *size = operation->arg & 64 ? piece->last - *addr + 1 : operation->size % bytes;
    }
}

void operate_ram_state(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    uintptr_t addr;
    size_t size;
    bool allocate = operation->arg % 2 == 0;
    choose_range(vm, operation, &addr, &size);
    if (vm->num_ram + 4 > MODEL_PIECES / 2) {
        return;
    }
    uintptr_t last = addr + (size - 1);
    unsigned codes = size == 0 || last < addr ? CODE(BAD_RANGE) : 0;
    if (codes == 0 && !model_is_ram(vm, addr, last, allocate ? 0 : 1) &&
        !model_is_ram(vm, addr, last, allocate ? 1 : 0)) { /* that would not be logged */
        codes = CODE(NOT_RAM);
    }
    model_say(model, "vm_ram_%s(&vm[%u], 0x%lx, 0x%lx);", allocate ? "mark_allocated" : "free",
              vm->index, (unsigned long)addr, (unsigned long)size);
    model_begin_call(model, operation->inject);
    if (allocate) {
        vm_ram_mark_allocated(&vm->vm, addr, size);
    } else {
        vm_ram_free(&vm->vm, addr, size);
    }
    bool ok = model->machine->log_lines == 0;
    model_finish_call(model, vm, ok, codes, 0);
    if (ok) {
        model_set_ram(vm, addr, last, allocate ? 1 : 0);
    }
}

void operate_ram_allocate(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    size_t size = operation->size;
    const model_piece_t *fit = NULL;
    for (size_t i = 0; i < vm->num_ram && fit == NULL && size > 0; i++) {
        const model_piece_t *piece = &vm->ram[i];
        uintptr_t base = piece->base == 0 ? PAGE : piece->base; /* 0 would be a failure */
        if (!piece->allocated && piece->last >= base && piece->last - base >= size - 1) {
            fit = piece;
        }
    }
    unsigned codes = size == 0 ? CODE(BAD_RANGE) : fit == NULL ? CODE(NO_ADDRESS) : 0;
    if (vm->num_ram + 4 > MODEL_PIECES / 2) {
        return;
    }
    model_say(model, "vm_ram_allocate(&vm[%u], 0x%lx);", vm->index, (unsigned long)size);
    model_begin_call(model, operation->inject);
    uintptr_t addr = vm_ram_allocate(&vm->vm, size);
    bool ok = model->machine->log_lines == 0;
    model_finish_call(model, vm, ok, codes, 0);
    must(addr == (!ok              ? 0
                  : fit->base == 0 ? PAGE
                                   : fit->base),
         "0x%lx was allocated", (unsigned long)addr);
    if (ok) {
        model_set_ram(vm, addr, addr + (size - 1), 1);
    }
}

void operate_ram_largest(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    const model_piece_t *largest = NULL;
    uintptr_t addr = 0;
    size_t size = 0;
    for (size_t i = 0; i < vm->num_ram; i++) {
        const model_piece_t *piece = &vm->ram[i];
        if (!piece->allocated &&
            (largest == NULL || piece->last - piece->base > largest->last - largest->base)) {
            largest = piece;
        }
    }
    model_say(model, "vm_ram_find_largest_free_region(&vm[%u], &addr, &size);", vm->index);
    model_begin_call(model, operation->inject);
    bool ok = vm_ram_find_largest_free_region(&vm->vm, &addr, &size) == 0;
    model_finish_call(model, vm, ok, largest == NULL ? CODE(NO_ADDRESS) : 0, 0);
    must(!ok || (addr == largest->base && size == largest->last - largest->base + 1),
         "0x%lx bytes at 0x%lx are no largest", (unsigned long)size, (unsigned long)addr);
}
