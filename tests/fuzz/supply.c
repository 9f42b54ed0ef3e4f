/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A caller's map iterator: it hands out frames of the model's pool, and spoils one answer if it was
 * told to. It notes what the library must make of its answers.
 */

#include "operations.h"
#include <guestmem/memory.h>
#include <sel4vm/guest_ram.h>
#include <sel4vmmplatsupport/guest_memory_util.h>
#include <stdlib.h>
#include <string.h>
#include <vka/capops.h>

void supply_begin(supply_t *supply, uintptr_t gpa)
{
    gpa &= ~(PAGE - 1);
    supply->expected = gpa < supply->from ? supply->from : gpa;
    supply->codes = 0;
    memset(supply->handed, 0, sizeof(supply->handed));
}

/* A frame of the pool that is free, from `from` on; POOL_SIZE if there is none. */
static unsigned free_frame(const supply_t *supply, unsigned from, unsigned to)
{
    while (from < to && (supply->model->used[from] || supply->handed[from])) {
        from++;
    }
    return from < to ? from : POOL_SIZE;
}

/* A frame that is mapped somewhere, or will be in this call. */
static unsigned used_frame(const supply_t *supply)
{
    unsigned i = 0;
    while (i < POOL_SIZE && !supply->model->used[i] && !supply->handed[i]) {
        i++;
    }
    return i;
}

/* Rights of the capabilities that stand in for some frames of the pool. */
static seL4_CapRights_t cap_rights(unsigned index)
{
    return index % 5 == 3 ? seL4_CanRead : index % 5 == 4 ? seL4_NoRights : seL4_AllRights;
}

void pool_limit(model_t *model, unsigned index)
{
    vka_t *vka = hosted_vka(model->machine->system);
    cspacepath_t from;
    if (index % 5 < 3) {
        return;
    }
    vka_cspace_make_path(vka, model->pool[index].cptr, &from);
    must(vka_cspace_alloc_path(vka, &model->limited[index]) == 0, "no slot for the pool");
    must(vka_cnode_copy(&model->limited[index], &from, cap_rights(index)) == seL4_NoError,
         "no copy for the pool");
}

void pool_unlimit(model_t *model, unsigned index)
{
    if (pool_is_limited(model, index)) {
        must(vka_cnode_delete(&model->limited[index]) == seL4_NoError, "a copy stays");
        vka_cspace_free_path(hosted_vka(model->machine->system), model->limited[index]);
    }
}

bool pool_is_limited(const model_t *model, unsigned index)
{
    return model->limited[index].capPtr != seL4_CapNull;
}

seL4_CPtr pool_cap(const model_t *model, unsigned index)
{
    return pool_is_limited(model, index) ? model->limited[index].capPtr : model->pool[index].cptr;
}

unsigned pool_find(const model_t *model, uintptr_t paddr)
{
    unsigned i = 0;
    while (i < POOL_SIZE && vka_object_paddr(hosted_vka(model->machine->system),
                                             (vka_object_t *)&model->pool[i]) != paddr) {
        i++;
    }
    return i;
}

void supply_give(supply_t *supply, unsigned index, seL4_CapRights_t rights)
{
    seL4_CapRights_t of_cap =
        pool_is_limited(supply->model, index) ? cap_rights(index) : seL4_AllRights;
    supply->handed[index] = true;
    supply->read[index] =
        seL4_CapRights_get_capAllowRead(rights) && seL4_CapRights_get_capAllowRead(of_cap);
    supply->write[index] = supply->read[index] && seL4_CapRights_get_capAllowWrite(rights) &&
                           seL4_CapRights_get_capAllowWrite(of_cap);
}

static vm_frame_t frame_at(const supply_t *supply, unsigned index, uintptr_t addr)
{
    size_t bits = index < POOL_SMALL ? 12 : 21;
    return (vm_frame_t){
        .cptr = pool_cap(supply->model, index),
        .rights = supply->rights[supply->answers % 2],
        .vaddr = addr & ~(((uintptr_t)1 << bits) - 1),
        .size_bits = bits,
    };
}

static vm_frame_t none(supply_t *supply)
{
    supply->codes = CODE(NO_FRAME);
    return (vm_frame_t){.cptr = seL4_CapNull};
}

/* What the library refuses of itself. */
static vm_frame_t spoil(supply_t *supply, vm_frame_t frame)
{
    supply->codes = CODE(BAD_FRAME);
    switch (supply->fault) {
    case SUPPLY_NULL:
        return none(supply);
    case SUPPLY_NO_SUCH_SIZE:
        frame.size_bits = 13;
        break;
    case SUPPLY_MISALIGNED:
        frame.vaddr += 8;
        break;
    default:
        frame.vaddr -= PAGE;
        break;
    }
    return frame;
}

/* Call the library for the VM whose call asks for a frame: all of it is refused. */
static void meddle(supply_t *supply)
{
    model_vm_t *model_vm = supply->vm;
    vm_t *vm = &model_vm->vm;
    unsigned lines = supply->model->machine->log_lines;
    uintptr_t addr = supply->last + 1;
    must(vm_reserve_memory_at(vm, addr, 1, operation_callback, NULL) == NULL, "reserved inside");
    must(vm_ram_register_at(vm, addr, PAGE, false) == -1, "RAM made inside");
    must(guestmem_fill(vm, addr, 7, 1) == -1, "filled inside");
    must(guestmem_find_reservation(vm, supply->first) == NULL, "found inside");
    for (size_t i = 0; i < model_vm->num_reservations; i++) {
        model_reservation_t *reservation = model_vm->reservations[i];
        must(vm_free_reserved_memory(vm, reservation->handle) == -1, "freed inside");
        must(map_frame_alloc_reservation(vm, reservation->handle) == -1, "mapped inside");
        if (reservation->mapped) { /* the fault is counted, and that is all */
            must(vm_memory_handle_fault(vm, NULL, reservation->base, 1) == FAULT_ERROR,
                 "a fault inside");
            reservation->faults++;
            model_vm->faults++;
        }
    }
    vm_memory_destroy(vm);
    must(guestmem_last_error(vm)->code == GUESTMEM_IN_ITERATOR, "not refused for its reason");
    supply->model->machine->log_lines = lines;
}

vm_frame_t supply_next(uintptr_t addr, void *cookie)
{
    supply_t *supply = cookie;
    must(addr == supply->expected, "the iterator is asked for 0x%lx, not 0x%lx",
         (unsigned long)addr, (unsigned long)supply->expected);
    bool goes_on = supply->fault == SUPPLY_BEFORE; /* that frames overlap is seen in the end */
    must((supply->codes & ~(CODE(KERNEL) | (goes_on ? CODE(BAD_FRAME) : 0))) == 0,
         "the iterator is asked again after a bad answer");
    uintptr_t large_mask = 2 * MEGABYTE - 1;
    unsigned index = POOL_SIZE;
    bool spoiled = supply->fault != SUPPLY_GOOD && supply->answers == supply->spoil;
    if (spoiled && supply->fault == SUPPLY_MEDDLES) {
        meddle(supply);
        spoiled = false;
    }
    if (supply->large && (addr & ~large_mask) >= supply->first && (addr & large_mask) == 0 &&
        (addr | large_mask) <= supply->last) {
        index = free_frame(supply, POOL_SMALL, POOL_SIZE);
    }
    if (index == POOL_SIZE) {
        index = free_frame(supply, 0, POOL_SMALL);
    }
    if (index == POOL_SIZE) {
        supply->answers++;
        return none(supply);
    }
    if (spoiled && supply->fault == SUPPLY_USED && used_frame(supply) < POOL_SMALL) {
        index = used_frame(supply);
        supply->codes = CODE(KERNEL);
        spoiled = false;
    }
    vm_frame_t frame = frame_at(supply, index, addr);
    supply->answers++;
    supply->expected = frame.vaddr + ((uintptr_t)1 << frame.size_bits);
    if (spoiled && supply->fault != SUPPLY_USED) {
        supply->handed[index] = true;
        return spoil(supply, frame);
    }
    supply_give(supply, index, frame.rights);
    return frame;
}

void supply_end(supply_t *supply, bool mapped)
{
    for (unsigned i = 0; i < POOL_SIZE; i++) {
        if (mapped && supply->handed[i]) {
            supply->owned[i] = true;
            supply->model->used[i] = true;
        }
    }
    memset(supply->handed, 0, sizeof(supply->handed));
}

void supply_free(supply_t *supply)
{
    for (unsigned i = 0; i < POOL_SIZE; i++) {
        if (supply->owned[i]) {
            supply->model->used[i] = false;
        }
    }
    free(supply);
}
