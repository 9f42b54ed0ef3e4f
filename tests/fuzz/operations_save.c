/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Operations on the saved state of a VM's RAM. */

#include <guestmem/change.h>
#include <stdlib.h>
#include <string.h>
#include "operations.h"

#define MOST_RAM (32ul << 20) /* all of it is read */

static size_t num_pages(const model_reservation_t *reservation)
{
    return (last_page(reservation) - first_page(reservation)) / PAGE + 1;
}

bool model_is_saved(const model_vm_t *vm, const model_reservation_t *reservation)
{
    return vm->saved != NULL && reservation->saved && reservation->ram;
}

/* The guest has the right to write no frame, as after a save and a restore. */
static void arm(model_reservation_t *reservation)
{
    for (size_t i = 0; i < reservation->num_frames; i++) {
        reservation->frames[i].given = false;
        reservation->frames[i].touched = true; /* all are in the window */
    }
    model_set_rights(reservation);
}

static void note_saved(model_reservation_t *reservation)
{
    size_t count = num_pages(reservation);
    free(reservation->had_frame);
    reservation->had_frame = calloc(count, sizeof(bool));
    reservation->written = calloc(count, sizeof(bool));
    must(reservation->had_frame != NULL && reservation->written != NULL, "no memory");
    for (size_t i = 0; i < count; i++) {
        reservation->had_frame[i] = model_present(reservation, first_page(reservation) + i * PAGE);
    }
    memcpy(reservation->saved_tags, reservation->tags, sizeof(reservation->tags));
    reservation->num_saved_tags = reservation->num_tags;
    reservation->in_pages = false;
    arm(reservation);
}

/* Why a VM cannot be saved. @return false: it is not tried */
static bool save_codes(const model_t *model, const model_vm_t *vm, unsigned *codes)
{
    size_t bytes = 0;
    *codes = vm->saved != NULL ? CODE(BAD_ARGUMENT) : 0;
    for (size_t i = 0; i < vm->num_reservations && vm->saved == NULL; i++) {
        const model_reservation_t *reservation = vm->reservations[i];
        if (!reservation->ram) {
            continue;
        }
        bytes += num_pages(reservation) * PAGE;
        if (reservation->written != NULL || model_has_limited(model, reservation)) {
            return false;
        }
        for (size_t j = 0; j < reservation->num_frames; j++) {
            *codes |= reservation->frames[j].had_read ? 0 : CODE(NO_RIGHT);
        }
    }
    return bytes <= MOST_RAM;
}

/* Without a window, another frame may be mapped by itself after a failure. */
static void begin(model_t *model, const operation_t *operation)
{
    model_begin_call(model, operation->inject);
    model->compares = model->compares && !model->injected;
}

static void save(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    unsigned codes;
    if (!save_codes(model, vm, &codes)) {
        return;
    }
    model_say(model, "saved = guestmem_save(&vm[%u]);", vm->index);
    begin(model, operation);
    guestmem_saved_t *saved = guestmem_save(&vm->vm);
    model_finish_call(model, vm, saved != NULL, codes, 0);
    if (saved == NULL) {
        return;
    }
    vm->saved = saved;
    vm->num_saved = vm->num_reservations;
    memcpy(vm->saved_ram, vm->ram, sizeof(vm->ram));
    vm->num_saved_ram = vm->num_ram;
    for (size_t i = 0; i < vm->num_reservations; i++) {
        vm->reservations[i]->saved = true;
        if (vm->reservations[i]->ram) {
            note_saved(vm->reservations[i]);
        }
    }
}

/* Learn the frames that came again where there were some: between others, as large as fits. */
static void learn_again(model_t *model, model_vm_t *vm, model_reservation_t *reservation)
{
    size_t count = num_pages(reservation);
    reservation->write = false; /* for now */
    for (size_t i = 0; i < count; i++) {
        uintptr_t gpa = first_page(reservation) + i * PAGE;
        uintptr_t end = gpa - 1;
        for (; i < count && reservation->had_frame[i] && !model_present(reservation, end + 1);
             i++) {
            end += PAGE;
        }
        if (end + 1 != gpa) {
            model_learn_missing(model, vm, reservation, gpa, end, gpa, end);
            for (size_t j = 0; j < reservation->num_frames; j++) {
                model_frame_t *frame = &reservation->frames[j];
                frame->may_write |= frame->gpa >= gpa && frame->gpa <= end;
            }
        }
    }
    reservation->write = true;
}

static void restore(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    guestmem_saved_t *handle =
        operation->arg % 16 == 15 ? model->vms[(vm->index + 1) % MODEL_VMS].saved : vm->saved;
    unsigned codes = handle == NULL || handle != vm->saved   ? CODE(BAD_ARGUMENT)
                     : vm->num_reservations != vm->num_saved ? CODE(NO_RESERVATION)
                                                             : 0;
    bool scarce = false;
    for (size_t i = 0; i < vm->num_reservations && codes != CODE(BAD_ARGUMENT); i++) {
        codes = vm->reservations[i]->saved ? codes : CODE(OVERLAP);
        scarce |= vm->reservations[i]->ram && vm->reservations[i]->backing == GUESTMEM_UNTYPED;
    }
    model_say(model, "guestmem_restore(&vm[%u], saved);", vm->index);
    begin(model, operation);
    bool ok = guestmem_restore(&vm->vm, handle) == 0;
    model_finish_call(model, vm, ok, codes, scarce ? CODE(NO_FRAME) : 0);
    if (!ok && codes == 0 && model->fired) { /* without a window it may be half done */
        ok = guestmem_restore(&vm->vm, handle) == 0;
        must(ok || scarce, "it fails again");
    }
    if (!ok) {
        return;
    }
    memcpy(vm->ram, vm->saved_ram, sizeof(vm->ram));
    vm->num_ram = vm->num_saved_ram;
    for (size_t i = 0; i < vm->num_reservations; i++) {
        model_reservation_t *reservation = vm->reservations[i];
        if (reservation->ram) {
            learn_again(model, vm, reservation);
            arm(reservation);
            memcpy(reservation->tags, reservation->saved_tags, sizeof(reservation->tags));
            reservation->num_tags = reservation->shared ? 0 : reservation->num_saved_tags;
        }
    }
}

static void free_saved(model_t *model, model_vm_t *vm)
{
    model_say(model, "guestmem_free_saved(&vm[%u], saved);", vm->index);
    model_begin_call(model, 0);
    guestmem_free_saved(&vm->vm, vm->saved);
    model_finish_call(model, vm, true, 0, 0);
    for (size_t i = 0; i < vm->num_reservations; i++) {
        model_reservation_t *reservation = vm->reservations[i];
        if (model_is_saved(vm, reservation)) {
            free(reservation->written);
            reservation->written = NULL;
            model_set_rights(reservation);
        }
    }
    vm->saved = NULL;
}

void operate_saved(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    if (model->fault.depth > 0) { /* the guest runs, more or less */
        return;
    }
    if (vm->saved == NULL || operation->arg % 8 == 7) {
        save(model, vm, operation);
    } else if (operation->arg % 8 == 6) {
        free_saved(model, vm);
    } else {
        restore(model, vm, operation);
    }
}
