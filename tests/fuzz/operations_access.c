/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Operations that access memory: the VMM's touches, and the guest's faults. */

#include <guestmem/memory.h>
#include <hosted/stage2.h>
#include <sel4vm/guest_ram.h>
#include "operations.h"

/* Touches end after so many pages, so that a test does not write GiB. */
enum { MOST_PAGES = 64, STOPPED = 7 };

typedef struct touch {
    uintptr_t next;
    size_t offset;
    unsigned pages;
    unsigned stop; /* behind so many pages */
    int value;     /* to write at both ends of each piece; -1: read only */
} touch_t;

static int touch_page(vm_t *vm, uintptr_t guest_addr, void *vmm_vaddr, size_t size, size_t offset,
                      void *cookie)
{
    touch_t *touch = cookie;
    volatile uint8_t *bytes = vmm_vaddr;
    must(guest_addr == touch->next && offset == touch->offset, "pages out of order");
    must(size >= 1 && (guest_addr & (PAGE - 1)) + size <= PAGE, "0x%zx bytes in a page", size);
    if (touch->value >= 0) {
        bytes[0] = (uint8_t)touch->value;
        bytes[size - 1] = (uint8_t)touch->value;
    } else {
        (void)(bytes[0] + bytes[size - 1]);
    }
    touch->next += size;
    touch->offset += size;
    touch->pages++;
    return touch->pages == touch->stop ? STOPPED : 0;
}

/* Whether all of the range is mapped, and has its frames or gets them. `*scarce` if perhaps not. */
static bool accessible(model_vm_t *vm, uintptr_t addr, uintptr_t last, bool *scarce)
{
    for (;;) {
        const model_reservation_t *reservation = model_find(vm, addr);
        if (reservation == NULL || !reservation->mapped) {
            return false;
        }
        uintptr_t end = reservation->last < last ? reservation->last : last;
        bool there = model_has_frames(reservation, addr, end);
        if (!there && !reservation->refilled) {
            return false;
        }
        *scarce |= !there && reservation->backing == GUESTMEM_UNTYPED;
        if (end == last) {
            return true;
        }
        addr = end + 1;
    }
}

/* Learn what an access to a range has filled; where it failed, that may be nothing. */
static void learn_filled(model_t *model, model_vm_t *vm, uintptr_t addr, uintptr_t last, bool ok)
{
    for (size_t i = 0; i < vm->num_reservations; i++) {
        model_reservation_t *reservation = vm->reservations[i];
        hosted_stage2_mapping_t mapping;
        if (!reservation->refilled || reservation->base > last || reservation->last < addr) {
            continue;
        }
        uintptr_t gpa = reservation->base > addr ? reservation->base : addr;
        uintptr_t end = reservation->last < last ? reservation->last : last;
        while (gpa <= end && model_present(reservation, gpa)) {
            gpa = (gpa | (PAGE - 1)) + 1;
        }
        if (gpa <= end &&
            (ok || hosted_stage2_translate(model->machine->system, vm->vm.mem.vm_vspace_root.cptr,
                                           gpa, &mapping))) {
            model_learn_missing(model, vm, reservation, gpa, end, first_page(reservation),
                                last_page(reservation));
        }
    }
}

static void note_written(model_vm_t *vm, uintptr_t addr, uintptr_t last)
{
    for (size_t i = 0; i < vm->num_reservations; i++) {
        model_reservation_t *reservation = vm->reservations[i];
        if (reservation->base <= last && reservation->last >= addr) {
            model_note_written(reservation, reservation->base > addr ? reservation->base : addr,
                               reservation->last < last ? reservation->last : last);
        }
    }
}

/* Whether a range has memory of reservations to whose frames the VMM has not all rights. */
static bool is_limited(const model_t *model, const model_vm_t *vm, uintptr_t addr, uintptr_t last)
{
    for (size_t i = 0; i < vm->num_reservations; i++) {
        const model_reservation_t *reservation = vm->reservations[i];
        if (reservation->base > last || reservation->last < addr || reservation->supply == NULL) {
            continue;
        }
        for (unsigned j = 0; j < POOL_SIZE; j++) {
            if (reservation->supply->owned[j] && pool_is_limited(model, j)) {
                return true;
            }
        }
    }
    return false;
}

/* Whether the range has a caller's frame that was handed in without the right to read it. */
static bool is_unreadable(const model_vm_t *vm, uintptr_t addr, uintptr_t last)
{
    for (size_t i = 0; i < vm->num_reservations; i++) {
        const model_reservation_t *reservation = vm->reservations[i];
        for (size_t j = 0; j < reservation->num_frames && reservation->supply != NULL; j++) {
            const model_frame_t *frame = &reservation->frames[j];
            uintptr_t frame_last = frame->gpa + (((uintptr_t)1 << frame->bits) - 1);
            if (!frame->had_read && frame->gpa <= last && frame_last >= addr) {
                return true;
            }
        }
    }
    return false;
}

static void note_touched(model_vm_t *vm, uintptr_t addr, uintptr_t last)
{
    for (size_t i = 0; i < vm->num_reservations; i++) {
        const model_reservation_t *reservation = vm->reservations[i];
        for (size_t j = 0; j < reservation->num_frames; j++) {
            model_frame_t *frame = &reservation->frames[j];
            uintptr_t frame_last = frame->gpa + (((uintptr_t)1 << frame->bits) - 1);
            frame->touched |= frame->gpa <= last && frame_last >= addr;
        }
    }
}

typedef int (*touch_fn)(vm_t *vm, uintptr_t addr, size_t size, ram_touch_callback_fn callback,
                        void *cookie);

static void choose_access(const model_vm_t *vm, const operation_t *operation, uintptr_t *addr,
                          size_t *size)
{
    *addr = operation->addr;
    *size = operation->size;
    if (vm->num_reservations > 0 && operation->pick < 224) {
        const model_reservation_t *reservation =
            vm->reservations[operation->pick % vm->num_reservations];
        uintptr_t bytes = reservation->last - reservation->base + 1;
        *addr = reservation->base + (bytes != 0 ? operation->addr / 8 % bytes : 0);
        if (operation->arg & 64) {
            *size = reservation->last - *addr + 1;
        }
    }
}

static void run_touch(model_t *model, model_vm_t *vm, const operation_t *operation,
                      const char *name, touch_fn touch, bool possible, unsigned code,
                      uintptr_t addr, size_t size)
{
    uintptr_t last = addr + (size - 1);
    bool callback = operation->arg % 16 != 15;
    if (last >= addr && is_limited(model, vm, addr, last)) {
        return;
    }
    touch_t state = {
        .next = addr,
        .stop = operation->arg % 4 == 2 ? 2 : MOST_PAGES,
        .value = operation->arg % 4 == 1 ? operation->arg : -1,
    };
    unsigned codes = size > 0 && last < addr ? CODE(BAD_RANGE) : 0;
    codes |= callback ? 0 : CODE(BAD_ARGUMENT);
    bool scarce = false;
    codes |= codes == 0 && size > 0 && !possible ? code : 0;
    codes |= codes == 0 && size > 0 && !accessible(vm, addr, last, &scarce) ? CODE(NOT_MAPPED) : 0;
    codes |= (codes == 0 || codes == CODE(NOT_MAPPED)) && size > 0 && is_unreadable(vm, addr, last)
                 ? CODE(NO_RIGHT)
                 : 0;
    model_say(model, "%s(&vm[%u], 0x%lx, 0x%lx, %s, NULL); /* %s */", name, vm->index,
              (unsigned long)addr, (unsigned long)size, callback ? "touch" : "NULL",
              state.value >= 0 ? "writes" : "reads");
    model_begin_call(model, operation->inject);
    /* Without a window, or where only cleaning fails, a touch that fails may have begun. */
    model->compares = model->compares && !model->injected;
    int result = touch(&vm->vm, addr, size, callback ? touch_page : NULL, &state);
    model_finish_call(model, vm, result != -1, codes, scarce ? CODE(NO_FRAME) : 0);
    if (size > 0 && (result != -1 || model->fired)) {
        learn_filled(model, vm, addr, last, result != -1);
    }
    if (result == -1) {
        must(state.pages == 0 || model->fired, "called back by a touch that fails");
        if (model->fired) {
            model_forget_written(model, vm);
        }
        if (state.pages > 0) {
            note_touched(vm, addr, last);
            model_untag(vm, addr, last);
        }
        return;
    }
    must(result == (state.pages == state.stop ? STOPPED : 0), "a touch answered %d", result);
    if (size == 0) {
        return;
    }
    must(result != 0 || state.offset == size, "0x%zx bytes touched of 0x%zx", state.offset, size);
    note_touched(vm, addr, last);
    note_written(vm, addr, addr + (state.offset - 1));
    if (state.value >= 0) {
        model_untag(vm, addr, addr + (state.offset - 1));
        model_tag(vm, addr, (uint8_t)state.value);
        model_tag(vm, addr + (state.offset - 1), (uint8_t)state.value);
    }
}

void operate_touch(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    uintptr_t addr;
    size_t size;
    choose_access(vm, operation, &addr, &size);
    bool possible = model_is_ram(vm, addr, addr + (size - 1), -1);
    run_touch(model, vm, operation, "vm_ram_touch", vm_ram_touch, possible, CODE(NOT_RAM), addr,
              size);
}

void operate_access(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    uintptr_t addr;
    size_t size;
    choose_access(vm, operation, &addr, &size);
    run_touch(model, vm, operation, "guestmem_access", guestmem_access, true, 0, addr, size);
}

memory_fault_result_t operation_callback(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t fault_addr,
                                         size_t fault_length, void *cookie)
{
    const model_reservation_t *reservation = cookie;
    model_t *model = reservation->model;
    model_fault_t *fault = &model->fault;
    must(reservation == fault->expected, "the callback of r%u is called", reservation->id);
    must(fault_addr == fault->addr && fault_length == fault->size,
         "called back for 0x%zx bytes at 0x%lx", fault_length, (unsigned long)fault_addr);
    fault->calls++;
    memory_fault_result_t answer = fault->answer;
    if (!model->injected && fault->depth < 3 && model->next < model->end && answer % 2 == 1) {
        /* A callback may use the library: the next operation runs here. */
        model_fault_t outer = *fault;
        model->fault.depth++;
        model_say(model, "/* in the callback of r%u: */", reservation->id);
        model_run_operation(model);
        model->fault = outer;
    }
    return answer;
}

/* What the fault does to a reservation whose frames come on fault. @return what it answers */
static memory_fault_result_t finish_on_fault(model_t *model, model_vm_t *vm,
                                             model_reservation_t *reservation, uintptr_t addr,
                                             memory_fault_result_t result)
{
    bool ok = result == FAULT_RESTART;
    supply_t *supply = reservation->supply;
    unsigned codes = supply != NULL ? supply->codes : 0;
    must(ok || result == FAULT_ERROR, "a fault answered %d", (int)result);
    model_finish_call(model, vm, ok, codes,
                      reservation->backing == GUESTMEM_UNTYPED ? CODE(NO_FRAME) : 0);
    if (supply != NULL) {
        supply_end(supply, ok);
    }
    if (ok) {
        model_learn_missing(model, vm, reservation, addr, addr, first_page(reservation),
                            last_page(reservation));
    } else {
        reservation->on_fault = false; /* it is not tried again */
        reservation->refilled = false;
    }
    return result;
}

/* Whether nothing that the guest does can fault there: then a fault was on its way when the frame
 * came. */
static bool is_older(const model_reservation_t *reservation, uintptr_t gpa)
{
    for (size_t i = 0; i < reservation->num_frames; i++) {
        const model_frame_t *frame = &reservation->frames[i];
        if (gpa >= frame->gpa && gpa - frame->gpa < (uintptr_t)1 << frame->bits) {
            return reservation->refilled && reservation->backing != GUESTMEM_CALLER &&
                   frame->may_read && frame->may_write &&
                   (reservation->ram || !model_is_device(frame->paddr));
        }
    }
    return false;
}

static model_frame_t *tracked_frame(model_reservation_t *reservation, uintptr_t gpa)
{
    for (size_t i = 0; i < reservation->num_frames; i++) {
        model_frame_t *frame = &reservation->frames[i];
        if (gpa >= frame->gpa && gpa - frame->gpa < (uintptr_t)1 << frame->bits) {
            return model_is_tracked(reservation, frame) ? frame : NULL;
        }
    }
    return NULL;
}

/* What the fault does to a frame that is tracked. */
static void finish_tracked(model_t *model, model_vm_t *vm, model_reservation_t *reservation,
                           model_frame_t *frame, uintptr_t addr, memory_fault_result_t result)
{
    bool ok = result == FAULT_RESTART;
    must(ok || result == FAULT_ERROR, "a fault answered %d", (int)result);
    model_finish_call(model, vm, ok, 0, 0);
    if (ok && !frame->given) {
        frame->given = true;
        model_note_written(reservation, addr, addr);
        model_set_rights(reservation);
    }
}

static void run_fault(model_t *model, model_vm_t *vm, const operation_t *operation, uintptr_t addr,
                      size_t size)
{
    model_reservation_t *reservation = model_find(vm, addr);
    bool whole = reservation != NULL && (size == 0 || size - 1 <= reservation->last - addr);
    bool present = whole && model_present(reservation, addr);
    bool maps = whole && (reservation->on_fault || reservation->refilled) && !present;
    model_frame_t *given = present ? tracked_frame(reservation, addr) : NULL;
    bool older = present && given == NULL && is_older(reservation, addr);
    bool calls = whole && !maps && given == NULL && !older && !reservation->ram;
    model_fault_t *fault = &model->fault;
    unsigned depth = fault->depth;
    *fault = (model_fault_t){.expected = calls ? reservation : NULL,
                             .addr = addr,
                             .size = size,
                             .answer = (memory_fault_result_t)(operation->arg % 5),
                             .depth = depth};
    vm->faults++;
    vm->faults_unhandled += reservation == NULL;
    if (reservation != NULL) {
        reservation->faults++;
    }
    if (maps && reservation->supply != NULL) {
        supply_begin(reservation->supply, addr);
    }
    memory_fault_result_t expected = reservation == NULL ? FAULT_UNHANDLED
                                     : older             ? FAULT_RESTART
                                     : calls             ? fault->answer
                                                         : FAULT_ERROR;
    model_say(model, "vm_memory_handle_fault(&vm[%u], NULL, 0x%lx, 0x%lx); /* answer %d */",
              vm->index, (unsigned long)addr, (unsigned long)size, (int)fault->answer);
    model_begin_call(model, operation->inject);
    memory_fault_result_t result = vm_memory_handle_fault(&vm->vm, NULL, addr, size);
    must(fault->calls == (calls ? 1u : 0u), "%u call backs", fault->calls);
    if (maps) {
        finish_on_fault(model, vm, reservation, addr, result);
        return;
    }
    if (given != NULL) {
        finish_tracked(model, vm, reservation, given, addr, result);
        return;
    }
    model_end_injection(model);
    must(result == expected, "a fault answered %d, not %d", (int)result, (int)expected);
    if (calls) {
        return; /* what the callback did was checked there */
    }
    must(model->machine->log_lines <= (result == FAULT_ERROR ? 1u : 0u), "%u lines for a fault",
         model->machine->log_lines);
    if (model->compares) {
        machine_require_census(model->machine, &model->before, "a fault that does nothing");
    }
}

void operate_fault(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    uintptr_t addr = operation->addr;
    size_t size = operation->arg / 5 % 18;
    if (vm->num_reservations > 0 && operation->pick < 224) {
        const model_reservation_t *reservation =
            vm->reservations[operation->pick % vm->num_reservations];
        uintptr_t span = reservation->last - reservation->base;
        uintptr_t offset = operation->addr / 8 * 5;
        addr = reservation->base + (span == UINTPTR_MAX ? offset : offset % (span + 1));
    }
    if (operation->arg > 250) {
        size = operation->size;
    }
    run_fault(model, vm, operation, addr, size);
}
