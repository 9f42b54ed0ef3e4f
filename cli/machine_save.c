/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the saved state of a machine's devices; that of its VM is the runtime's.
 */

#include "machine_internal.h"

#include <hosted/vm.h>
#include <stdlib.h>

void machine_forget_saved(machine_t *machine)
{
    for (size_t i = 0; machine->ranges != NULL && i < machine->description->num_ranges; i++) {
        free(machine->ranges[i].saved);
        machine->ranges[i].saved = NULL;
    }
}

static int save_device(machine_t *machine, size_t index, cli_error_t *error)
{
    const vm_range_t *range = &machine->description->ranges[index];
    machine_range_t *made = &machine->ranges[index];

    if (made->device == NULL) {
        return 0;
    }
    if (made->device->lasting) {
        return vm_range_error(machine->description, range, "guestmem,file", error,
                              "the guest can write this disk, which would stay as it is then when "
                              "the guest starts again; make it read-only");
    }
    made->saved = device_save(made->device);
    made->saved_high = made->high;
    return made->saved != NULL ? 0
                               : vm_range_error(machine->description, range, "guestmem,device",
                                                error, "out of memory");
}

int machine_save(machine_t *machine, cli_error_t *error)
{
    for (size_t i = 0; i < machine->description->num_ranges; i++) {
        if (save_device(machine, i, error) != 0) {
            machine_forget_saved(machine);
            return -1;
        }
    }
    if (hosted_vm_save(machine->vm) != 0) {
        machine_forget_saved(machine);
        return cli_error_set(error, "%s: the guest cannot be saved", machine->description->file);
    }
    return 0;
}

int machine_restore(machine_t *machine)
{
    if (hosted_vm_restore(machine->vm) != 0) {
        return -1;
    }
    for (size_t i = 0; i < machine->description->num_ranges; i++) {
        machine_range_t *made = &machine->ranges[i];
        if (made->saved != NULL) {
            device_restore(made->device, made->saved);
            made->high = made->saved_high;
        }
    }
    machine->ended = false;
    return 0;
}
