/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The operations of the model, as run.c decodes them from bytes. */

#include "model.h"

/** One operation; what its members choose is up to the operation. */
typedef struct operation {
    uint8_t kind;
    uint8_t pick; /* a reservation */
    uint8_t arg;
    unsigned inject; /* which operation of the call fails; 0: none */
    uintptr_t addr;
    size_t size;
} operation_t;

typedef void (*operation_fn)(model_t *model, model_vm_t *vm, const operation_t *operation);

/** A handle that the operation picks, and its record: NULL for a handle that is not the VM's. */
typedef struct picked {
    vm_memory_reservation_t *handle;
    model_reservation_t *reservation;
    char text[24]; /* as C */
} picked_t;

picked_t operation_pick(model_t *model, model_vm_t *vm, const operation_t *operation);

/** Whether the model has room for more memory. */
bool operation_affordable(const model_t *model, const model_vm_t *vm, uintptr_t base, size_t size);

/** The callback of all reservations but RAM; the cookie is the record. */
memory_fault_result_t operation_callback(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t fault_addr,
                                         size_t fault_length, void *cookie);

/* operations_reserve.c */
void operate_reserve(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_reserve_anonymous(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_make_region(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_free(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_name(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_map_time(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_largest_frame(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_destroy(model_t *model, model_vm_t *vm, const operation_t *operation);

/* operations_map.c */
void operate_map_frames(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_map_maybe_device(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_map_untyped(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_map_untyped_at(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_map_iterator(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_map_array(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_create_allocated(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_create_device(model_t *model, model_vm_t *vm, const operation_t *operation);

/* operations_ram.c */
void operate_ram_at(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_ram_anonymous(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_ram_iterator(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_ram_state(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_ram_allocate(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_ram_largest(model_t *model, model_vm_t *vm, const operation_t *operation);

/* operations_access.c */
void operate_touch(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_access(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_fault(model_t *model, model_vm_t *vm, const operation_t *operation);

/* operations_change.c */
void operate_discard(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_populate(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_discarded(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_protect(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_share(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_track(model_t *model, model_vm_t *vm, const operation_t *operation);
void operate_written(model_t *model, model_vm_t *vm, const operation_t *operation);

/* operations_save.c */
void operate_saved(model_t *model, model_vm_t *vm, const operation_t *operation);

/* operations_map.c, for RAM too */

/** A supply for a reservation of `[base, base + size)`, as the operation says. */
supply_t *operation_supply(model_t *model, model_vm_t *vm, const operation_t *operation,
                           uintptr_t base, size_t size);

/** Fill in what a mapping that was made is like. */
void operation_mapped(model_t *model, model_vm_t *vm, model_reservation_t *reservation,
                      guestmem_backing_t backing, seL4_CapRights_t rights);
