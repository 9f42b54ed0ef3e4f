/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Bytes become operations here, eight each, and each operation is followed by a comparison. */

#include "operations.h"
#include <guestmem/memory.h>
#include <hosted/inject.h>
#include <stdarg.h>
#include <string.h>
#include <utils/util.h>

enum { COMPARE_ALL_STEPS = 16, CENSUS_STEPS = 4 };

/* What can go wrong where an operation is made to fail. */
static const unsigned injected_codes = CODE(NO_HEAP) | CODE(NO_SLOT) | CODE(NO_FRAME) |
                                       CODE(NO_TABLE) | CODE(NO_ADDRESS) | CODE(KERNEL);

/* More likely ones are there more than once. */
static const operation_fn operations[] = {operate_reserve,
                                          operate_reserve,
                                          operate_reserve,
                                          operate_reserve,
                                          operate_reserve_anonymous,
                                          operate_reserve_anonymous,
                                          operate_make_region,
                                          operate_free,
                                          operate_free,
                                          operate_name,
                                          operate_map_time,
                                          operate_largest_frame,
                                          operate_map_frames,
                                          operate_map_frames,
                                          operate_map_maybe_device,
                                          operate_map_untyped,
                                          operate_map_untyped_at,
                                          operate_map_iterator,
                                          operate_map_iterator,
                                          operate_map_array,
                                          operate_create_allocated,
                                          operate_create_device,
                                          operate_ram_at,
                                          operate_ram_at,
                                          operate_ram_anonymous,
                                          operate_ram_iterator,
                                          operate_ram_state,
                                          operate_ram_state,
                                          operate_ram_allocate,
                                          operate_ram_largest,
                                          operate_touch,
                                          operate_touch,
                                          operate_access,
                                          operate_fault,
                                          operate_fault,
                                          operate_fault,
                                          operate_fault,
                                          operate_destroy};

/* These are chosen by the highest bytes, so that older ones mean what they did. */
static const operation_fn changes[] = {operate_discard,   operate_discard, operate_populate,
                                       operate_discarded, operate_protect, operate_track,
                                       operate_written};

enum { FIRST_CHANGE = 6 * ARRAY_SIZE(operations), FIRST_SAVED = 248, FIRST_SHARE = 252 };

void model_say(model_t *model, const char *format, ...)
{
    if (model->trace != NULL) {
        va_list arguments;
        fprintf(model->trace, "%*s", (int)(4 * (model->fault.depth + 1)), "");
        va_start(arguments, format);
        vfprintf(model->trace, format, arguments);
        va_end(arguments);
        fputc('\n', model->trace);
        fflush(model->trace);
    }
}

void model_begin_call(model_t *model, unsigned inject)
{
    if (model->fault.depth > 0) {
        inject = 0;
    }
    if (inject > 0) {
        model_say(model, "hosted_inject_fail(system, HOSTED_OPERATION_FORWARD, %u);", inject);
    }
    /* A census takes long where much is mapped. */
    model->compares = inject > 0 || model->steps % CENSUS_STEPS == 0;
    if (model->compares) {
        model->before = machine_census(model->machine);
    }
    model->machine->log_lines = 0;
    model->injected = inject > 0;
    model->fired = false;
    if (model->injected) {
        hosted_inject_fail(model->machine->system, HOSTED_OPERATION_FORWARD, inject);
    }
}

void model_end_injection(model_t *model)
{
    if (model->injected) {
        model->fired = hosted_inject_fired(model->machine->system);
        hosted_inject_stop(model->machine->system);
        model->injected = false;
        model_say(model, "hosted_inject_stop(system);");
    }
}

void model_finish_call(model_t *model, model_vm_t *vm, bool ok, unsigned codes, unsigned may)
{
    model_end_injection(model);
    unsigned lines = model->machine->log_lines;
    const char *line = lines > 0 ? model->machine->log_line : "no line";
    /* Errors that a guest can cause are not all logged. */
    must(lines <= (ok ? 0u : 1u), "%s logged %u lines: %s", ok ? "success" : "failure", lines,
         line);
    must(!ok || codes == 0, "success where it must fail (0x%x)", codes);
    must(ok || codes != 0 || may != 0 || model->fired, "failure where it must succeed: %s", line);
    if (!ok) {
        guestmem_error_code_t code = guestmem_last_error(&vm->vm)->code;
        unsigned allowed = codes | may | (model->fired ? injected_codes : 0);
        must((allowed & 1u << code) != 0, "it fails for another reason (not 0x%x): %s", allowed,
             line);
        if (model->compares) {
            machine_require_census(model->machine, &model->before, "a call that failed");
        }
    }
}

picked_t operation_pick(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    picked_t picked = {NULL, NULL, "NULL"};
    const model_vm_t *other = &model->vms[(vm->index + 1) % MODEL_VMS];
    if (operation->pick < 224 && vm->num_reservations > 0) {
        picked.handle = vm->reservations[operation->pick % vm->num_reservations]->handle;
    } else if (operation->pick < 236 && other->num_reservations > 0) {
        const model_reservation_t *foreign =
            other->reservations[operation->pick % other->num_reservations];
        picked.handle = foreign->handle;
        snprintf(picked.text, sizeof(picked.text), "r%u", foreign->id);
    }
    picked.reservation = model_live(vm, picked.handle);
    if (picked.reservation != NULL) {
        snprintf(picked.text, sizeof(picked.text), "r%u", picked.reservation->id);
    }
    return picked;
}

/* About how many frames a range takes. */
static size_t frames_of(const model_vm_t *vm, uintptr_t base, size_t size)
{
    const size_t large = 2 * MEGABYTE;
    size_t edges = (large - base % large) % large + (base + size) % large;
    if (vm->largest_bits == 12 || edges >= size) {
        return size / PAGE + 1;
    }
    return edges / PAGE + (size - edges) / large;
}

bool operation_affordable(const model_t *model, const model_vm_t *vm, uintptr_t base, size_t size)
{
    size_t frames = 0;
    for (unsigned i = 0; i < MODEL_VMS; i++) {
        for (size_t j = 0; j < model->vms[i].num_reservations; j++) {
            frames += model->vms[i].reservations[j]->num_frames;
        }
    }
    return size > 0 && base + (size - 1) >= base && frames + frames_of(vm, base, size) <= 1200 &&
           size <= 3ul << 30 && model_mapped_bytes(model) + size <= 3ul << 30;
}

/* Where addresses lie: each is the middle of some pages of interest. */
static uintptr_t decode_address(unsigned word)
{
    static const uintptr_t middles[] = {
        0x80000000,            /* nothing special */
        0x60000000,            /* free memory of the board, for 1:1 */
        0x80200000,            /* between two large frames */
        0xc0000000,            /* between two GiB */
        0x9000000,             /* a device */
        (GUEST_LAST + 1),      /* the top of the guest's address space */
        (uintptr_t)0 - 0x8000, /* the top of all */
        0x100000,              /* the bottom, and flash memory */
    };
    static const uintptr_t offsets[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x200, 1, 0xfff, 0x800};
    uintptr_t addr = middles[word % 8];
    addr += (uintptr_t)(word >> 3 & 15) * PAGE - 8 * PAGE;
    addr += (uintptr_t)(word >> 7 & 15) * (word >> 11 & 1 ? 2 * MEGABYTE : 0);
    return addr + offsets[word >> 12];
}

static size_t decode_size(unsigned word)
{
    static const size_t specials[] = {0,
                                      SIZE_MAX,
                                      1ul << 30,
                                      (1ul << 30) + PAGE,
                                      1ul << 63,
                                      3 * (1ul << 20),
                                      1ul << 40,
                                      (2ul << 30) + 1,
                                      0x8000,
                                      0x7fff,
                                      1,
                                      0x108000,
                                      (size_t)-0x1000,
                                      16 << 20,
                                      0x1001,
                                      0x200000 + 0x8000};
    switch (word % 8) {
    case 0 ... 2:
        return (size_t)(word >> 3 & 15) * PAGE + PAGE;
    case 3:
        return (size_t)(word >> 3 & 0xff) + 1;
    case 4:
        return ((word >> 3 & 3) + 1) * 2 * MEGABYTE + (word >> 5 & 15) * PAGE;
    case 5:
        return (word >> 3 & 0x3f) * PAGE + (word >> 9);
    case 6:
        return (word >> 3 & 15) * PAGE + (word >> 7 & 0x1ff) + 1;
    default:
        return specials[word >> 3 & 15];
    }
}

void model_run_operation(model_t *model)
{
    const uint8_t *bytes = model->next;
    model->next += OPERATION_BYTES;
    operation_t operation = {
        .kind = bytes[0] % ARRAY_SIZE(operations),
        .inject = bytes[1] < 192 ? 0 : bytes[1] % 16 + 1,
        .addr = decode_address(bytes[2] | (unsigned)bytes[3] << 8),
        .size = decode_size(bytes[4] | (unsigned)bytes[5] << 8),
        .pick = bytes[6],
        .arg = bytes[7],
    };
    model_vm_t *vm = &model->vms[bytes[1] % MODEL_VMS];
    if (bytes[0] < FIRST_CHANGE) {
        operations[operation.kind](model, vm, &operation);
    } else if (bytes[0] >= FIRST_SHARE) {
        operate_share(model, vm, &operation);
    } else if (bytes[0] >= FIRST_SAVED) {
        operate_saved(model, vm, &operation);
    } else {
        changes[(bytes[0] - FIRST_CHANGE) % ARRAY_SIZE(changes)](model, vm, &operation);
    }
    model->steps++;
    if (model->fault.depth == 0) {
        if (model->steps % COMPARE_ALL_STEPS == 0) {
            model_compare_all(model);
        } else {
            model_compare_vm(model, vm);
        }
    }
}

static void make_pool(model_t *model)
{
    for (unsigned i = 0; i < POOL_SIZE; i++) {
        must(vka_alloc_frame(hosted_vka(model->machine->system), i < POOL_SMALL ? 12 : 21,
                             &model->pool[i]) == 0,
             "no frame for the pool");
        pool_limit(model, i);
    }
}

static void free_pool(model_t *model)
{
    for (unsigned i = 0; i < POOL_SIZE; i++) {
        pool_unlimit(model, i);
        vka_free_object(hosted_vka(model->machine->system), &model->pool[i]);
    }
}

void model_run(machine_t *machine, const uint8_t *bytes, size_t size, FILE *trace)
{
    static _Thread_local model_t model;
    memset(&model, 0, sizeof(model));
    model.machine = machine;
    model.trace = trace;
    model.empty = machine_census(machine);
    model.next = bytes;
    model.end = bytes + size / OPERATION_BYTES * OPERATION_BYTES;
    make_pool(&model);
    hosted_census_t before = machine_census(machine);
    for (unsigned i = 0; i < MODEL_VMS; i++) {
        model.vms[i].index = i;
        model.vms[i].largest_bits = 30;
        machine_make_vm(machine, &model.vms[i].vm);
    }
    while (model.next < model.end) {
        model_run_operation(&model);
    }
    model_compare_all(&model);
    for (unsigned i = 0; i < MODEL_VMS; i++) {
        vm_memory_destroy(&model.vms[i].vm);
        while (model.vms[i].num_reservations > 0) {
            model_remove(&model.vms[i], model.vms[i].reservations[0]);
        }
    }
    machine_require_census(machine, &before, "the end of all VMs");
    free_pool(&model);
    machine_require_census(machine, &model.empty, "the end of a run");
}
