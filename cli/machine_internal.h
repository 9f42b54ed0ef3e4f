/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What the files of the machine share. */

#include "machine.h"

#include <hosted/census.h>
#include <sel4vm/guest_memory.h>
#include "device/fault.h"

/** What became of one range of the description. */
typedef struct machine_range {
    vm_memory_reservation_t *reservation; /* NULL for an anonymous region */
    device_t *device;                     /* that handles its faults, or NULL */
    device_window_t window;               /* the cookie of its fault callback */
    void *frame;                          /* of a single-frame backing, in the VMM */
    int irq;                              /* number of the device's interrupt; 0: it has none */
    bool edge;                            /* it is signalled by rising edges; else by its level */
    bool high;                            /* level of the device's line */
    unsigned refusals;                    /* times that the guest has misused the device */
    void *saved;                          /* of the device, when the machine was saved; or NULL */
    bool saved_high;                      /* `high` then */
} machine_range_t;

/** The first of the ranges that are backed by memory which VMs share: the others get its frames. */
typedef struct machine_shared {
    vm_t *vm; /* NULL: none is made yet */
    uint64_t base;
} machine_shared_t;

/** What the machines of one file have in common. */
typedef struct machine_host {
    vm_system_t *file;
    char *board_file;
    hosted_system_t *system;
    hosted_census_t census;   /* before the first VM was made */
    bool counted;             /* which was taken */
    machine_shared_t *shared; /* as many as the file has */
    machine_t *first;
} machine_host_t;

struct machine {
    machine_host_t *host;
    machine_t *next; /* of the host's */
    machine_options_t options;
    vm_description_t *description;
    hosted_system_t *system; /* the host's */
    vm_t *vm;
    bool vm_made;            /* vm_init() has succeeded */
    vm_vcpu_t *vcpu;         /* NULL until the first run */
    machine_range_t *ranges; /* as many as the description has */
    device_t *console;
    const vm_range_t *gic; /* the interrupt controller (one of its ranges), or NULL */

    char *output; /* NUL-terminated transcript */
    size_t output_size;
    size_t output_room;
    size_t awaited_from; /* where the search for `awaited` begins */
    const char *awaited; /* text that stops the run, or NULL */
    bool saw_awaited;
    bool ended; /* the guest cannot run on; `end` says why */
    machine_end_t end;
    char reason[512];
};

/** Make the reservation of each range, and its devices. @return 0; -1 with an error */
int machine_build(machine_t *machine, cli_error_t *error);

/** Load the files and trees that ranges name. @return 0; -1 with an error */
int machine_load(machine_t *machine, cli_error_t *error);

/** Forget what machine_save() has kept of devices. */
void machine_forget_saved(machine_t *machine);

/** Take console output into the transcript, and stop the run if the awaited text has come. */
void machine_take_output(machine_t *machine, const char *bytes, size_t size);

/** Whether a range with the class "gic" is where the controller can be. @return 0; -1, an error */
int machine_check_gic(machine_t *machine, const vm_range_t *range, cli_error_t *error);

/** Make the controller, for the first range of its node. @return 0; -1 as the library does */
int machine_make_gic(machine_t *machine, const vm_range_t *range, machine_range_t *made);

/** Find which interrupts devices have, and connect them. @return 0; -1 with an error */
int machine_find_interrupts(machine_t *machine, cli_error_t *error);

/** Let them come, once there is a VCPU. @return 0; -1 if the VM has no such interrupts */
int machine_start_interrupts(machine_t *machine);
