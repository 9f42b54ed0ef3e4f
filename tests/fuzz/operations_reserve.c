/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Operations that make, name and end reservations, and that set policy. */

#include <guestmem/memory.h>
#include <string.h>
#include "operations.h"

static bool full(const model_vm_t *vm)
{
    return vm->num_reservations == MODEL_RESERVATIONS;
}

void operate_reserve(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    uintptr_t addr = operation->addr;
    size_t size = operation->size;
    if (full(vm)) {
        return;
    }
    if (operation->pick >= 160 && vm->num_reservations > 0) {
        /* Right behind another, or a little further. */
        addr = vm->reservations[operation->pick % vm->num_reservations]->last + 1 +
               (operation->arg & 16 ? operation->arg % 4 : 0);
        size = operation->arg & 32 ? operation->arg % 4 + 1u : size;
    }
    model_reservation_t *reservation = model_new_reservation(model);
    bool callback = operation->arg < 250;
    unsigned codes = model_reserve_codes(vm, addr, size) | (callback ? 0 : CODE(BAD_ARGUMENT));
    model_say(model,
              "vm_memory_reservation_t *r%u = vm_reserve_memory_at(&vm[%u], 0x%lx, 0x%lx, %s, "
              "NULL);",
              reservation->id, vm->index, (unsigned long)addr, (unsigned long)size,
              callback ? "callback" : "NULL");
    model_begin_call(model, operation->inject);
    vm_memory_reservation_t *handle = vm_reserve_memory_at(
        &vm->vm, addr, size, callback ? operation_callback : NULL, reservation);
    model_finish_call(model, vm, handle != NULL, codes, 0);
    if (handle == NULL) {
        model_drop(reservation);
        return;
    }
    model_add(vm, reservation, handle, addr, addr + (size - 1));
}

void operate_reserve_anonymous(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    size_t size = operation->size;
    size_t align = (size_t)1 << operation->arg % 24;
    uintptr_t expected = 0;
    uintptr_t addr = 1;
    unsigned codes = 0;
    if (full(vm)) {
        return;
    }
    if (operation->arg > 240) {
        align = operation->arg % 2 ? 0 : 3;
        codes = CODE(BAD_ARGUMENT);
    }
    if (size == 0) {
        codes |= CODE(BAD_RANGE);
    }
    if (codes == 0 && !model_anonymous_address(vm, size, align, &expected)) {
        codes = CODE(NO_ADDRESS);
    }
    model_reservation_t *reservation = model_new_reservation(model);
    model_say(model,
              "vm_memory_reservation_t *r%u = vm_reserve_anon_memory(&vm[%u], 0x%lx, 0x%lx, "
              "callback, NULL, &addr);",
              reservation->id, vm->index, (unsigned long)size, (unsigned long)align);
    model_begin_call(model, operation->inject);
    vm_memory_reservation_t *handle =
        vm_reserve_anon_memory(&vm->vm, size, align, operation_callback, reservation, &addr);
    model_finish_call(model, vm, handle != NULL, codes, 0);
    must(addr == (handle != NULL ? expected : 1), "the address is 0x%lx, not 0x%lx",
         (unsigned long)addr, (unsigned long)expected);
    if (handle == NULL) {
        model_drop(reservation);
        return;
    }
    model_add(vm, reservation, handle, addr, addr + (size - 1));
    reservation->anonymous = true;
}

void operate_make_region(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    uintptr_t addr = operation->addr;
    /* Regions are mostly large; vm_ram_register() cannot tell address 0 from a failure. */
    size_t size = operation->arg < 128 ? 4 * MEGABYTE + operation->size : operation->size;
    if (vm->num_regions == MODEL_REGIONS || addr < PAGE) {
        return;
    }
    unsigned codes = model_region_codes(vm, addr, size);
    model_say(model, "vm_memory_make_anon(&vm[%u], 0x%lx, 0x%lx);", vm->index, (unsigned long)addr,
              (unsigned long)size);
    model_begin_call(model, operation->inject);
    bool ok = vm_memory_make_anon(&vm->vm, addr, size) == 0;
    model_finish_call(model, vm, ok, codes, 0);
    if (ok) {
        uintptr_t last = addr + (size - 1);
        vm->regions[vm->num_regions++] = (model_piece_t){addr, last, 0};
    }
}

void operate_free(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    picked_t picked = operation_pick(model, vm, operation);
    model_say(model, "vm_free_reserved_memory(&vm[%u], %s);", vm->index, picked.text);
    model_begin_call(model, operation->inject);
    bool ok = vm_free_reserved_memory(&vm->vm, picked.handle) == 0;
    bool valid = picked.reservation != NULL;
    model_finish_call(model, vm, ok, valid ? 0 : CODE(NO_RESERVATION), 0);
    must(ok == valid, "a reservation cannot be freed");
    if (valid) {
        model_remove(vm, picked.reservation);
    }
}

void operate_name(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    picked_t picked = operation_pick(model, vm, operation);
    char name[64];
    memset(name, 'a' + operation->arg % 26, sizeof(name));
    name[operation->arg % (sizeof(name) - 1)] = '\0';
    model_say(model, "guestmem_name_reservation(&vm[%u], %s, \"%s\");", vm->index, picked.text,
              name);
    model_begin_call(model, operation->inject);
    bool ok =
        guestmem_name_reservation(&vm->vm, picked.handle, operation->arg == 255 ? NULL : name) == 0;
    model_finish_call(model, vm, ok, picked.reservation != NULL ? 0 : CODE(NO_RESERVATION), 0);
    if (ok) {
        snprintf(picked.reservation->name, sizeof(picked.reservation->name), "%.*s",
                 GUESTMEM_NAME_SIZE - 1, operation->arg == 255 ? "" : name);
    }
}

void operate_map_time(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    int map_time = operation->arg % 8 == 7 ? 2 : operation->arg % 2;
    model_say(model, "guestmem_set_map_time(&vm[%u], %d);", vm->index, map_time);
    model_begin_call(model, operation->inject);
    bool ok = guestmem_set_map_time(&vm->vm, (guestmem_map_time_t)map_time) == 0;
    model_finish_call(model, vm, ok, map_time == 2 ? CODE(BAD_ARGUMENT) : 0, 0);
    if (ok) {
        vm->map_on_fault = map_time == GUESTMEM_MAP_ON_FAULT;
    }
}

void operate_largest_frame(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    static const unsigned sizes[] = {12, 21, 30, 13, 0, 12, 21, 63};
    unsigned bits = sizes[operation->arg % 8];
    bool valid = bits == 12 || bits == 21 || bits == 30;
    model_say(model, "guestmem_set_largest_frame(&vm[%u], %u);", vm->index, bits);
    model_begin_call(model, operation->inject);
    bool ok = guestmem_set_largest_frame(&vm->vm, bits) == 0;
    model_finish_call(model, vm, ok, valid ? 0 : CODE(BAD_ARGUMENT), 0);
    if (ok) {
        vm->largest_bits = bits;
    }
}

void operate_destroy(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    /* Seldom, and never while the VM handles a fault. */
    if (operation->arg % 4 != 0 || model->fault.depth > 0) {
        return;
    }
    model_say(model, "vm_memory_destroy(&vm[%u]);", vm->index);
    vm_memory_destroy(&vm->vm);
    while (vm->num_reservations > 0) {
        model_remove(vm, vm->reservations[0]);
    }
    unsigned index = vm->index;
    memset(vm, 0, sizeof(*vm));
    vm->index = index;
    vm->largest_bits = 30;
    model_say(model, "make_vm(&vm[%u]);", vm->index);
    machine_make_vm(model->machine, &vm->vm);
}
