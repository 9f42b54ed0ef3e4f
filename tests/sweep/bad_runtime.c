/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Bad arguments of calls that start a VM, which log only: there is no VM to keep a reason. */

#include <sel4vm/boot.h>
#include "bad.h"

/* `extra` is which argument is bad. */
enum { BAD_VM = 1, BAD_VKA, BAD_SIMPLE, BAD_IO_OPS, BAD_NAME, BAD_AGAIN, BAD_VSPACE, BAD_ROOT };

static int call_vm_memory_init(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    vm_t fresh = {.vka = vm->vka, .simple = vm->simple, .io_ops = vm->io_ops};
    (void)b;
    switch (row->extra) {
    case BAD_VM:
        return vm_memory_init(NULL);
    case BAD_AGAIN:
        return vm_memory_init(vm);
    case BAD_VKA:
        fresh.vka = NULL;
        break;
    default:
        fresh.io_ops = NULL;
        break;
    }
    return vm_memory_init(&fresh);
}

static const bad_row_t rows_vm_memory_init[] = {
    {.what = "no VM", .extra = BAD_VM},
    {.what = "no vka", .extra = BAD_VKA},
    {.what = "no io_ops", .extra = BAD_IO_OPS},
    {.what = "initialised", .extra = BAD_AGAIN},
};

static int call_vm_init_guest_vspace(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    (void)b;
    vm_t fresh = {.vka = vm->vka};
    vm_t *which = row->extra == BAD_AGAIN ? &fresh : vm;
    return vm_init_guest_vspace(&vm->mem.vmm_vspace, &vm->mem.vmm_vspace,
                                row->extra == BAD_VSPACE ? NULL : &which->mem.vm_vspace, vm->vka,
                                row->extra == BAD_ROOT ? seL4_CapNull
                                                       : vm->mem.vm_vspace_root.cptr);
}

static const bad_row_t rows_vm_init_guest_vspace[] = {
    {.what = "no vspace", .extra = BAD_VSPACE},
    {.what = "no root", .extra = BAD_ROOT},
    {.what = "not initialised", .extra = BAD_AGAIN},
};

static int call_vm_get_reservation_memory_region(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    uintptr_t addr = 77;
    size_t size = 77;
    (void)vm;
    vm_get_reservation_memory_region(b->handles[row->handle],
                                     row->missing == MISSING_FIRST ? NULL : &addr,
                                     row->missing == MISSING_SECOND ? NULL : &size);
    return addr == 77 && size == 77 ? -1 : 0;
}

static const bad_row_t rows_vm_get_reservation_memory_region[] = {
    {.what = "no reservation", .handle = HANDLE_NULL},
    {.what = "no addr", .missing = MISSING_FIRST},
    {.what = "no size", .missing = MISSING_SECOND},
};

static int call_vm_init(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    hosted_system_t *system = b->scene.world.system;
    (void)vm;
    return vm_init(row->extra == BAD_VM ? NULL : &b->scene.fresh,
                   row->extra == BAD_VKA ? NULL : hosted_vka(system),
                   row->extra == BAD_SIMPLE ? NULL : hosted_simple(system),
                   *hosted_vmm_vspace(system),
                   row->extra == BAD_IO_OPS ? NULL : hosted_io_ops(system),
                   hosted_host_endpoint(system), row->extra == BAD_NAME ? NULL : "fresh");
}

static const bad_row_t rows_vm_init[] = {
    {.what = "no VM", .extra = BAD_VM},         {.what = "no vka", .extra = BAD_VKA},
    {.what = "no simple", .extra = BAD_SIMPLE}, {.what = "no io_ops", .extra = BAD_IO_OPS},
    {.what = "no name", .extra = BAD_NAME},
};

static int call_vm_create_vcpu(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    (void)vm;
    return vm_create_vcpu(row->extra == BAD_VM ? NULL : &b->scene.fresh, 100) != NULL ? 0 : -1;
}

static const bad_row_t rows_vm_create_vcpu[] = {
    {.what = "no VM", .extra = BAD_VM},
    {.what = "not initialised", .extra = BAD_AGAIN},
};

static const bad_entry_t entries[] = {
    BAD_ENTRY(vm_memory_init), BAD_ENTRY(vm_init_guest_vspace),
    BAD_ENTRY(vm_init),        BAD_ENTRY(vm_get_reservation_memory_region),
    BAD_ENTRY(vm_create_vcpu),
};

const bad_list_t bad_runtime = {entries, sizeof(entries) / sizeof(entries[0])};
