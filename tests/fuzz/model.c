/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The model's lists, walked from end to end: slow, and plain to see through. */

#include "model.h"
#include <stdlib.h>
#include <string.h>

static bool overlap(uintptr_t base, uintptr_t last, uintptr_t other_base, uintptr_t other_last)
{
    return base <= other_last && other_base <= last;
}

model_reservation_t *model_find(model_vm_t *vm, uintptr_t addr)
{
    for (size_t i = 0; i < vm->num_reservations; i++) {
        if (addr >= vm->reservations[i]->base && addr <= vm->reservations[i]->last) {
            return vm->reservations[i];
        }
    }
    return NULL;
}

model_reservation_t *model_live(model_vm_t *vm, const vm_memory_reservation_t *handle)
{
    for (size_t i = 0; i < vm->num_reservations; i++) {
        if (vm->reservations[i]->handle == handle) {
            return vm->reservations[i];
        }
    }
    return NULL;
}

model_reservation_t *model_new_reservation(model_t *model)
{
    model_reservation_t *reservation = calloc(1, sizeof(*reservation));
    must(reservation != NULL, "no memory");
    reservation->model = model;
    reservation->id = model->next_id++;
    return reservation;
}

void model_add(model_vm_t *vm, model_reservation_t *reservation, vm_memory_reservation_t *handle,
               uintptr_t base, uintptr_t last)
{
    must(model_live(vm, handle) == NULL, "a handle was given twice");
    reservation->handle = handle;
    reservation->base = base;
    reservation->last = last;
    vm->reservations[vm->num_reservations++] = reservation;
}

void model_drop(model_reservation_t *reservation)
{
    free(reservation->frames);
    free(reservation->written);
    free(reservation->had_frame);
    free(reservation);
}

void model_remove(model_vm_t *vm, model_reservation_t *reservation)
{
    if (reservation->ram) {
        model_set_ram(vm, reservation->base, reservation->last, -1);
    }
    if (reservation->supply != NULL) {
        supply_free(reservation->supply);
    }
    for (size_t i = 0; i < vm->num_reservations; i++) {
        if (vm->reservations[i] == reservation) {
            vm->reservations[i] = vm->reservations[--vm->num_reservations];
        }
    }
    model_drop(reservation);
}

static unsigned range_codes(uintptr_t addr, size_t size)
{
    return size == 0 || addr + (size - 1) < addr ? CODE(BAD_RANGE) : 0;
}

static unsigned regions_in_the_way(const model_vm_t *vm, uintptr_t base, uintptr_t last)
{
    for (size_t i = 0; i < vm->num_regions; i++) {
        if (overlap(base, last, vm->regions[i].base, vm->regions[i].last)) {
            return CODE(OVERLAP);
        }
    }
    return 0;
}

unsigned model_reserve_codes(model_vm_t *vm, uintptr_t addr, size_t size)
{
    unsigned codes = range_codes(addr, size);
    if (codes != 0) {
        return codes;
    }
    uintptr_t last = addr + (size - 1);
    for (size_t i = 0; i < vm->num_reservations; i++) {
        const model_reservation_t *other = vm->reservations[i];
        if (overlap(addr, last, other->base, other->last)) {
            codes |= CODE(OVERLAP);
        } else if (other->mapped &&
                   overlap(addr & ~(PAGE - 1), last | (PAGE - 1), other->base, other->last)) {
            codes |= CODE(PAGE_SHARED);
        }
    }
    return codes | regions_in_the_way(vm, addr, last);
}

unsigned model_region_codes(model_vm_t *vm, uintptr_t addr, size_t size)
{
    unsigned codes = range_codes(addr, size);
    if (codes != 0) {
        return codes;
    }
    uintptr_t last = addr + (size - 1);
    for (size_t i = 0; i < vm->num_reservations; i++) {
        if (overlap(addr, last, vm->reservations[i]->base, vm->reservations[i]->last)) {
            codes |= CODE(OVERLAP);
        }
    }
    return codes | regions_in_the_way(vm, addr, last);
}

unsigned model_map_codes(model_vm_t *vm, const model_reservation_t *reservation)
{
    unsigned codes = reservation->mapped ? CODE(ALREADY_MAPPED) : 0;
    if (reservation->last > GUEST_LAST) {
        codes |= CODE(BAD_RANGE);
    }
    for (size_t i = 0; i < vm->num_reservations; i++) {
        const model_reservation_t *other = vm->reservations[i];
        if (other != reservation &&
            overlap(first_page(reservation), last_page(reservation), other->base, other->last)) {
            codes |= CODE(PAGE_SHARED);
        }
    }
    return codes;
}

/* The reservation that has pages of the range, or NULL. */
static const model_reservation_t *taken(const model_vm_t *vm, uintptr_t base, uintptr_t last)
{
    for (size_t i = 0; i < vm->num_reservations; i++) {
        const model_reservation_t *other = vm->reservations[i];
        if (overlap(base, last, first_page(other), last_page(other))) {
            return other;
        }
    }
    return NULL;
}

static bool address_in_region(const model_vm_t *vm, const model_piece_t *region, size_t pages,
                              size_t align, uintptr_t *addr)
{
    uintptr_t candidate = region->base;
    for (;;) {
        uintptr_t aligned = (candidate + (align - 1)) & ~(align - 1);
        if (aligned < candidate || aligned > region->last || region->last - aligned < pages - 1) {
            return false;
        }
        const model_reservation_t *other = taken(vm, aligned, aligned + (pages - 1));
        if (other == NULL) {
            *addr = aligned;
            return true;
        }
        if (last_page(other) >= region->last) {
            return false;
        }
        candidate = last_page(other) + 1;
    }
}

bool model_anonymous_address(model_vm_t *vm, size_t size, size_t align, uintptr_t *addr)
{
    size_t pages = (size + (PAGE - 1)) & ~(PAGE - 1);
    for (size_t i = 0; i < vm->num_regions && pages >= size; i++) {
        if (address_in_region(vm, &vm->regions[i], pages, align < PAGE ? PAGE : align, addr)) {
            return true;
        }
    }
    return false;
}

static int by_base(const void *a, const void *b)
{
    uintptr_t left = ((const model_piece_t *)a)->base;
    uintptr_t right = ((const model_piece_t *)b)->base;
    return left < right ? -1 : left > right;
}

/* Sort the pieces, and join neighbours. */
static void join(model_vm_t *vm, model_piece_t *pieces, size_t count)
{
    qsort(pieces, count, sizeof(*pieces), by_base);
    vm->num_ram = 0;
    for (size_t i = 0; i < count; i++) {
        model_piece_t *before = vm->num_ram > 0 ? &vm->ram[vm->num_ram - 1] : NULL;
        if (before != NULL && before->allocated == pieces[i].allocated &&
            before->last + 1 == pieces[i].base) {
            before->last = pieces[i].last;
        } else {
            vm->ram[vm->num_ram++] = pieces[i];
        }
    }
}

void model_set_ram(model_vm_t *vm, uintptr_t base, uintptr_t last, int state)
{
    static _Thread_local model_piece_t pieces[2 * MODEL_PIECES + 1];
    size_t count = 0;
    for (size_t i = 0; i < vm->num_ram; i++) {
        const model_piece_t *old = &vm->ram[i];
        if (!overlap(base, last, old->base, old->last)) {
            pieces[count++] = *old;
            continue;
        }
        if (old->base < base) {
            pieces[count++] = (model_piece_t){old->base, base - 1, old->allocated};
        }
        if (old->last > last) {
            pieces[count++] = (model_piece_t){last + 1, old->last, old->allocated};
        }
    }
    if (state >= 0) {
        pieces[count++] = (model_piece_t){base, last, state};
    }
    must(count < MODEL_PIECES, "more RAM than the model can list");
    join(vm, pieces, count);
}

bool model_is_ram(const model_vm_t *vm, uintptr_t base, uintptr_t last, int state)
{
    for (size_t i = 0; i < vm->num_ram; i++) {
        const model_piece_t *piece = &vm->ram[i];
        if (base >= piece->base && base <= piece->last &&
            (state < 0 || piece->allocated == state)) {
            if (last <= piece->last) {
                return true;
            }
            base = piece->last + 1;
        }
    }
    return false;
}

bool model_has_frames(const model_reservation_t *reservation, uintptr_t base, uintptr_t last)
{
    uintptr_t bytes = 0;
    base &= ~(PAGE - 1);
    last |= PAGE - 1;
    for (size_t i = 0; i < reservation->num_frames; i++) {
        const model_frame_t *frame = &reservation->frames[i];
        uintptr_t frame_last = frame->gpa + (((uintptr_t)1 << frame->bits) - 1);
        if (overlap(base, last, frame->gpa, frame_last)) {
            bytes += (frame_last < last ? frame_last : last) -
                     (frame->gpa > base ? frame->gpa : base) + 1;
        }
    }
    return reservation->mapped && bytes == last - base + 1;
}

bool model_present(const model_reservation_t *reservation, uintptr_t gpa)
{
    for (size_t i = 0; i < reservation->num_frames; i++) {
        const model_frame_t *frame = &reservation->frames[i];
        if (gpa >= frame->gpa && gpa - frame->gpa < (uintptr_t)1 << frame->bits) {
            return true;
        }
    }
    return false;
}

bool model_is_device(uintptr_t paddr)
{
    return paddr < 0x40000000 || (paddr >= 0x48000000 && paddr < 0x49000000) ||
           paddr >= 0x140000000;
}

size_t model_mapped_bytes(const model_t *model)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < MODEL_VMS; i++) {
        for (size_t j = 0; j < model->vms[i].num_reservations; j++) {
            const model_reservation_t *reservation = model->vms[i].reservations[j];
            bytes += reservation->mapped ? last_page(reservation) - first_page(reservation) + 1 : 0;
        }
    }
    return bytes;
}
