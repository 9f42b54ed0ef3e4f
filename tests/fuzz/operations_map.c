/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Operations that map: the six functions, an iterator, an array. */

#include <sel4vmmplatsupport/guest_memory_util.h>
#include <stdlib.h>
#include "operations.h"

void operation_mapped(model_t *model, model_vm_t *vm, model_reservation_t *reservation,
                      guestmem_backing_t backing, seL4_CapRights_t rights)
{
    reservation->mapped = true;
    reservation->saved = false;
    reservation->backing = backing;
    reservation->largest_bits = vm->largest_bits;
    reservation->read = seL4_CapRights_get_capAllowRead(rights);
    reservation->write = reservation->read && seL4_CapRights_get_capAllowWrite(rights);
    if (reservation->on_fault) {
        return;
    }
    model_learn_all(model, vm, reservation);
    /* All but a device's own memory, and the caller's, is zero; RAM of a device's at a chosen
     * address is what somebody left there. */
    const model_frame_t *first = &reservation->frames[0];
    const model_frame_t *last = &reservation->frames[reservation->num_frames - 1];
    bool cleared = reservation->ram && backing != GUESTMEM_UNTYPED;
    if (backing != GUESTMEM_CALLER && !model->fired) {
        if (!model_is_device(first->paddr) || cleared) {
            model_tag(vm, reservation->base, 0);
        }
        if (!model_is_device(last->paddr) || cleared) {
            model_tag(vm, reservation->last, 0);
        }
    }
}

/* What must come of mapping the reservation that was picked; it may also be more than we want. */
static unsigned codes_of(model_vm_t *vm, const picked_t *picked)
{
    return picked->reservation != NULL ? model_map_codes(vm, picked->reservation)
                                       : CODE(NO_RESERVATION);
}

static bool too_much(const model_t *model, const model_vm_t *vm, const picked_t *picked)
{
    const model_reservation_t *reservation = picked->reservation;
    return reservation != NULL && model_map_codes((model_vm_t *)vm, reservation) == 0 &&
           !operation_affordable(model, vm, reservation->base,
                                 reservation->last - reservation->base + 1);
}

/* Take over what a successful map call said. */
static void finish_map(model_t *model, model_vm_t *vm, const picked_t *picked, bool ok,
                       guestmem_backing_t backing)
{
    if (ok) {
        picked->reservation->on_fault = vm->map_on_fault;
        operation_mapped(model, vm, picked->reservation, backing, seL4_AllRights);
    }
}

void operate_map_frames(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    picked_t picked = operation_pick(model, vm, operation);
    if (too_much(model, vm, &picked)) {
        return;
    }
    unsigned codes = codes_of(vm, &picked);
    model_say(model, "map_frame_alloc_reservation(&vm[%u], %s);", vm->index, picked.text);
    model_begin_call(model, operation->inject);
    bool ok = map_frame_alloc_reservation(&vm->vm, picked.handle) == 0;
    model_finish_call(model, vm, ok, codes, 0);
    finish_map(model, vm, &picked, ok, GUESTMEM_FREE_FRAMES);
}

void operate_map_maybe_device(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    picked_t picked = operation_pick(model, vm, operation);
    if (too_much(model, vm, &picked)) {
        return;
    }
    unsigned codes = codes_of(vm, &picked);
    model_say(model, "map_maybe_device_reservation(&vm[%u], %s);", vm->index, picked.text);
    model_begin_call(model, operation->inject);
    bool ok = map_maybe_device_reservation(&vm->vm, picked.handle) == 0;
    model_finish_call(model, vm, ok, codes, 0);
    finish_map(model, vm, &picked, ok, GUESTMEM_MAYBE_DEVICE);
}

/* Memory at an address may be in use, or not be there; if it is all free, that is no reason. */
static void require_scarcity(model_t *model, const model_vm_t *vm, bool ok, uintptr_t paddr,
                             size_t size)
{
    size_t pages = ((paddr & (PAGE - 1)) + size + (PAGE - 1)) / PAGE;
    if (!ok && !model->fired && pages <= 64 &&
        guestmem_last_error(&vm->vm)->code == GUESTMEM_NO_FRAME) {
        must(!model_physical_free(model, paddr, pages), "the memory at 0x%lx is free",
             (unsigned long)paddr);
    }
}

void operate_map_untyped(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    picked_t picked = operation_pick(model, vm, operation);
    if (too_much(model, vm, &picked)) {
        return;
    }
    unsigned codes = codes_of(vm, &picked);
    bool now = codes == 0 && !vm->map_on_fault;
    model_say(model, "map_ut_alloc_reservation(&vm[%u], %s);", vm->index, picked.text);
    model_begin_call(model, operation->inject);
    bool ok = map_ut_alloc_reservation(&vm->vm, picked.handle) == 0;
    model_finish_call(model, vm, ok, codes, now ? CODE(NO_FRAME) : 0);
    if (picked.reservation != NULL && !picked.reservation->mapped) {
        require_scarcity(model, vm, ok, picked.reservation->base,
                         picked.reservation->last - picked.reservation->base + 1);
        picked.reservation->paddr_offset = 0;
    }
    finish_map(model, vm, &picked, ok, GUESTMEM_UNTYPED);
}

static uintptr_t choose_paddr(const model_reservation_t *reservation, unsigned arg)
{
    uintptr_t base = reservation != NULL ? reservation->base : 0;
    switch (arg % 8) {
    case 0 ... 2:
        return 0x60000000 + (arg / 8) * 2 * MEGABYTE + base % (2 * MEGABYTE);
    case 3:
    case 4:
        return 0x60000000 + (arg / 8) * 3 * PAGE + base % PAGE;
    case 5:
        return 0x09000000 + base % PAGE;
    case 6:
        return 0x60000000 + (base + 1) % PAGE;
    default:
        return (UINTPTR_MAX & ~(PAGE - 1)) + base % PAGE;
    }
}

void operate_map_untyped_at(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    picked_t picked = operation_pick(model, vm, operation);
    if (too_much(model, vm, &picked)) {
        return;
    }
    uintptr_t paddr = choose_paddr(picked.reservation, operation->arg);
    unsigned codes = codes_of(vm, &picked);
    model_reservation_t *reservation = picked.reservation;
    if (reservation != NULL) {
        size_t size = reservation->last - reservation->base;
        codes |= (paddr - reservation->base) % PAGE != 0 ? CODE(MISALIGNED) : 0;
        codes |= paddr + size < paddr ? CODE(BAD_RANGE) : 0;
    }
    bool now = codes == 0 && !vm->map_on_fault;
    model_say(model, "map_ut_alloc_reservation_with_base_paddr(&vm[%u], 0x%lx, %s);", vm->index,
              (unsigned long)paddr, picked.text);
    model_begin_call(model, operation->inject);
    bool ok = map_ut_alloc_reservation_with_base_paddr(&vm->vm, paddr, picked.handle) == 0;
    model_finish_call(model, vm, ok, codes, now ? CODE(NO_FRAME) : 0);
    if (reservation != NULL && codes == 0) {
        require_scarcity(model, vm, ok, paddr, reservation->last - reservation->base + 1);
        reservation->paddr_offset = paddr - reservation->base;
    }
    finish_map(model, vm, &picked, ok, GUESTMEM_UNTYPED);
}

static seL4_CapRights_t choose_rights(unsigned arg)
{
    return seL4_CapRights_new(0, arg & 1, arg % 8 != 7, arg >> 1 & 1);
}

supply_t *operation_supply(model_t *model, model_vm_t *vm, const operation_t *operation,
                           uintptr_t base, size_t size)
{
    supply_t *supply = calloc(1, sizeof(*supply));
    must(supply != NULL, "no memory");
    supply->model = model;
    supply->vm = vm;
    supply->from = base;
    supply->first = base & ~(PAGE - 1);
    supply->last = (base + (size - 1)) | (PAGE - 1);
    supply->rights[0] = choose_rights(operation->arg);
    supply->rights[1] = choose_rights(operation->arg & 16 ? operation->arg >> 5 : operation->arg);
    supply->large = (operation->arg & 8) != 0;
    supply->fault =
        operation->arg < 160 ? SUPPLY_GOOD : (supply_fault_t)(operation->arg % SUPPLY_NUM_FAULTS);
    supply->spoil = operation->addr / PAGE % 4;
    supply_begin(supply, base);
    return supply;
}

void operate_map_iterator(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    picked_t picked = operation_pick(model, vm, operation);
    model_reservation_t *reservation = picked.reservation;
    unsigned codes = codes_of(vm, &picked);
    uintptr_t base = reservation != NULL ? reservation->base : PAGE;
    supply_t *supply = operation_supply(model, vm, operation, base,
                                        reservation != NULL ? reservation->last - base + 1 : 1);
    supply->large = supply->large && !vm->map_on_fault;
    model_say(model,
              "vm_map_reservation(&vm[%u], %s, iterator, NULL); /* 4 KiB%s, rights %u%u and %u%u, "
              "answer %u spoilt by %d */",
              vm->index, picked.text, supply->large ? " and 2 MiB" : "",
              (unsigned)seL4_CapRights_get_capAllowRead(supply->rights[0]),
              (unsigned)seL4_CapRights_get_capAllowWrite(supply->rights[0]),
              (unsigned)seL4_CapRights_get_capAllowRead(supply->rights[1]),
              (unsigned)seL4_CapRights_get_capAllowWrite(supply->rights[1]), supply->spoil,
              (int)supply->fault);
    model_begin_call(model, operation->inject);
    bool ok = vm_map_reservation(&vm->vm, picked.handle, supply_next, supply) == 0;
    model_finish_call(model, vm, ok, codes | supply->codes, 0);
    must(ok || codes == 0 || supply->answers == 0, "the iterator is asked for nothing");
    supply_end(supply, ok);
    if (!ok) {
        supply_free(supply);
        return;
    }
    reservation->supply = supply;
    reservation->on_fault = vm->map_on_fault;
    operation_mapped(model, vm, reservation, GUESTMEM_CALLER, seL4_AllRights);
}

void operate_map_array(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    picked_t picked = operation_pick(model, vm, operation);
    model_reservation_t *reservation = picked.reservation;
    seL4_CPtr frames[POOL_SMALL];
    size_t count = 0;
    unsigned codes = codes_of(vm, &picked);
    size_t bits = operation->arg >= 240 ? 13 : 12;
    uintptr_t base = reservation != NULL ? reservation->base : PAGE;
    size_t size = reservation != NULL ? reservation->last - base + 1 : 1;
    operation_t plain = *operation;
    plain.arg = 3; /* all rights, nothing spoilt */
    supply_t *supply = operation_supply(model, vm, &plain, base, size);
    size_t pages = ((base & (PAGE - 1)) + (size - 1)) / PAGE + 1;
    size_t wanted = pages <= POOL_SMALL ? pages : POOL_SMALL;
    wanted -= operation->arg % 16 == 5 && wanted > 0 ? 1 : 0;
    for (unsigned i = 0; i < POOL_SMALL && count < wanted; i++) {
        if (!model->used[i]) {
            supply_give(supply, i, seL4_AllRights);
            frames[count++] = pool_cap(model, i);
        }
    }
    codes |= bits == 13 && reservation != NULL ? CODE(BAD_ARGUMENT) : 0;
    codes |= codes == 0 && count < pages ? CODE(NO_FRAME) : 0;
    model_say(model, "vm_map_reservation_frames(&vm[%u], %s, frames, %zu, %zu);", vm->index,
              picked.text, count, bits);
    model_begin_call(model, operation->inject);
    bool ok = vm_map_reservation_frames(&vm->vm, picked.handle, frames, count, bits) == 0;
    model_finish_call(model, vm, ok, codes, 0);
    supply_end(supply, ok);
    if (!ok) {
        supply_free(supply);
        return;
    }
    reservation->supply = supply;
    operation_mapped(model, vm, reservation, GUESTMEM_CALLER, seL4_AllRights);
}

/* The two functions that share a page with the VMM. */
static void create(model_t *model, model_vm_t *vm, const operation_t *operation,
                   guestmem_backing_t backing)
{
    bool untyped = backing == GUESTMEM_UNTYPED;
    uintptr_t addr = operation->arg & 128 ? operation->addr : operation->addr & ~(PAGE - 1);
    seL4_CapRights_t rights = choose_rights(operation->arg);
    if (vm->num_reservations == MODEL_RESERVATIONS) {
        return;
    }
    model_reservation_t *reservation = model_new_reservation(model);
    reservation->base = addr;
    reservation->last = addr | (PAGE - 1);
    unsigned codes = addr % PAGE != 0 ? CODE(MISALIGNED) : 0;
    codes |= model_reserve_codes(vm, addr, PAGE);
    codes |= model_map_codes(vm, reservation);
    model_say(model,
              "void *page%u = create_%s_reservation_frame(&vm[%u], 0x%lx, "
              "seL4_CapRights_new(0, 0, %u, %u), callback, NULL); /* r%u */",
              reservation->id, untyped ? "device" : "allocated", vm->index, (unsigned long)addr,
              (unsigned)seL4_CapRights_get_capAllowRead(rights),
              (unsigned)seL4_CapRights_get_capAllowWrite(rights), reservation->id);
    model_begin_call(model, operation->inject);
    uint8_t *page = untyped ? create_device_reservation_frame(&vm->vm, addr, rights,
                                                              operation_callback, reservation)
                            : create_allocated_reservation_frame(&vm->vm, addr, rights,
                                                                 operation_callback, reservation);
    model_finish_call(model, vm, page != NULL, codes, untyped && codes == 0 ? CODE(NO_FRAME) : 0);
    if (page == NULL) {
        if (untyped && codes == 0) {
            require_scarcity(model, vm, false, addr, PAGE);
        }
        model_drop(reservation);
        return;
    }
    model_add(vm, reservation, guestmem_find_reservation(&vm->vm, addr), addr, addr | (PAGE - 1));
    operation_mapped(model, vm, reservation, backing, rights);
    reservation->frames[0].touched = true;
    reservation->frames[0].pointed = true;
    page[operation->arg] = (uint8_t)(operation->arg | 1);
    /* Above its window the kernel cannot clean; devices, which are all there is, are uncached. */
    must(seL4_ARM_Page_Clean_Data(vspace_get_cap(&vm->vm.mem.vmm_vspace, page), operation->arg,
                                  operation->arg + 1) ==
             (untyped && addr >= 0x7fc0000000 ? seL4_IllegalOperation : seL4_NoError),
         "the VMM's page could not be cleaned");
    model_tag(vm, addr + operation->arg, (uint8_t)(operation->arg | 1));
}

void operate_create_allocated(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    create(model, vm, operation, GUESTMEM_FREE_FRAMES);
}

void operate_create_device(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    create(model, vm, operation, GUESTMEM_UNTYPED);
}
