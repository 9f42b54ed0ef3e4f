/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The virtual machines of a description on a hosted system: built with the library's public calls,
 * run, looked at, and taken down again without a trace.
 *
 * One thread drives the machines of a file. Machines of several files may exist, on one thread or
 * on many; between other calls of the hosted system, enter the one that is meant
 * (hosted_system_enter()): machine_create() and machine_run() leave their own entered.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <hosted/pl011.h>
#include <hosted/system.h>
#include <hosted/vm.h>
#include <sel4vm/guest_vm.h>
#include "description.h"
#include "device/device.h"
#include "memory_map.h"

typedef struct machine machine_t;

enum { MACHINE_MAX_OVERLAYS = 15 };

/** What a machine is made with. All zero is a machine as its description says, and no listener. */
typedef struct machine_options {
    const char *board; /* a board's name or file instead of the description's; may be NULL */
    const char
        *overlays[MACHINE_MAX_OVERLAYS + 1]; /* files for the board's tree; NULL at the end */
    const char *vm;     /* which VM of several machine_create() returns; NULL: the first */
    const char *engine; /* an engine instead of the description's; may be NULL */
    bool virtual_time;  /* the guest's time passes by its instructions: hosted_vm_use_virtual_time()
                         */
    bool unloaded;      /* memory stays zeroed, for machine_read_saved() */
    const char *append; /* arguments after `bootargs` in the guest's tree; may be NULL */
    /** The guest's console has sent bytes. */
    void (*output)(void *cookie, const char *bytes, size_t size);
    /** A line for the user: an access to a log device, a log line. */
    void (*note)(void *cookie, const char *line);
    /** Called every few milliseconds of a run, between the guest's instructions. */
    void (*poll)(void *cookie, machine_t *machine);
    /** Called by machine_create() before a VM is made, before its memory is, and after that. */
    void (*step)(void *cookie, machine_t *machine);
    void *cookie;
} machine_options_t;

/** Add a file to the overlays. @return 0; -1 with a message, if there are too many */
int machine_add_overlay(machine_options_t *options, const char *file);

/**
 * Describe what a board's physical addresses are to the kernel.
 *
 * @param options  its board and overlays are used
 * @param map      to be released with memory_map_release()
 * @return 0; -1 with an error
 */
int machine_board_map(const machine_options_t *options, memory_map_t *map, cli_error_t *error);

/**
 * Build the machines of a description: their system, and of each its VM and memory, with all files
 * loaded.
 *
 * @param file     the description, source (.dts) or flattened (.dtb)
 * @param options  copied; its cookie must outlive the machines. NULL: defaults
 * @param error    receives one line on failure
 * @return the machine of the VM that `options` names, or of the first; to be destroyed with
 *         machine_destroy(); NULL on failure, with nothing left
 */
machine_t *machine_create(const char *file, const machine_options_t *options, cli_error_t *error);

/**
 * Destroy a machine, and all others of its file. NULL is allowed.
 *
 * @return 0; -1 if the VMs did not free all that they took from the system: then a census is on
 *         stderr
 */
int machine_destroy(machine_t *machine);

/** The machine of the first VM in the file, and of the one after a machine's; NULL if it is the
 * last. */
machine_t *machine_first(machine_t *machine);
machine_t *machine_next(machine_t *machine);

/** All that the machine's file says. */
const vm_system_t *machine_file(const machine_t *machine);

/** Why machine_run() returned. */
typedef enum machine_end {
    MACHINE_SAW_OUTPUT,  /* the awaited text has come */
    MACHINE_POWERED_OFF, /* by PSCI SYSTEM_OFF */
    MACHINE_RESET,       /* by PSCI SYSTEM_RESET */
    MACHINE_STOPPED,     /* by machine_stop() */
    MACHINE_OUT_OF_TIME, /* instructions or seconds are used up */
    MACHINE_FAILED       /* the guest did what stops it; see machine_reason() */
} machine_end_t;

/** When a run stops if the guest does not stop it. All zero: never. */
typedef struct machine_until {
    const char *output;        /* text in the console's output after the last text awaited */
    uint64_t max_instructions; /* of this run; 0: any number */
    double max_seconds;        /* of this run; 0: any time */
} machine_until_t;

/**
 * Run the guest: from its entry point first, later from where it was stopped.
 *
 * @param until  NULL: until the guest stops
 */
machine_end_t machine_run(machine_t *machine, const machine_until_t *until);

/**
 * Make the VCPU and start it at the entry point. The first machine_run() does so where nobody has.
 *
 * @return 0; -1: see machine_reason(), and the machine is good for machine_destroy() alone
 */
int machine_start(machine_t *machine);

/** Whether a machine could be saved once it has run: with a disk that its guest can write, it could
 * not. @return 0; -1 with an error */
int machine_check_saved(const machine_t *machine, cli_error_t *error);

/**
 * Save a machine that has run: its RAM, processor, interrupts and devices, to start it again from
 * where it stands. Memory that is no RAM is not saved. Once only. @see machine_check_saved
 *
 * @return 0; -1 with an error
 */
int machine_save(machine_t *machine, cli_error_t *error);

/**
 * Make a machine what it was when it was saved. The next machine_run() goes on from there, even if
 * the guest has ended. The transcript of the console stays.
 *
 * @return 0; -1 if the library refused, and has logged why
 */
int machine_restore(machine_t *machine);

/**
 * Write a machine that has run, for machine_read_saved(): what machine_save() saves, and its memory
 * that is no RAM as well, but for devices of the board. The machine stays as it is.
 *
 * @param write  see hosted_vm_write_saved()
 * @return 0; -1 with an error, or because `write` did not want more
 */
int machine_write_saved(machine_t *machine, hosted_vm_write_fn write, void *cookie,
                        cli_error_t *error);

/**
 * Make a machine what another one of the same description was. The next machine_run() goes on from
 * there. What is read may be of anybody: it is checked, and does no more than a guest could.
 *
 * @param machine  made with `unloaded`, and it has not run. On failure it is good for
 *                 machine_destroy() alone
 * @param read     see hosted_vm_read_saved()
 * @return 0; -1 with an error, which is empty if `read` has failed
 */
int machine_read_saved(machine_t *machine, hosted_vm_read_fn read, void *cookie,
                       cli_error_t *error);

/** One line on why the last run stopped. Owned by the machine, valid until the next run. */
const char *machine_reason(const machine_t *machine);

/** Stop the run soon; from any thread, or from a callback. */
void machine_stop(machine_t *machine);

/**
 * Send bytes to the guest's console. The guest may take its time to read them.
 *
 * @return how many were taken; 0 if there is no console
 */
size_t machine_send(machine_t *machine, const char *bytes, size_t size);

/** The guest's console: the first PL011 of the description, else the first virtio console. */
device_t *machine_console(machine_t *machine);

/**
 * All that the console has sent, up to the latest mebibytes.
 *
 * @return NUL-terminated, owned by the machine, valid until it runs again
 */
const char *machine_output(const machine_t *machine);

/**
 * The device that handles the faults of a range.
 *
 * @param name  of the range: its node's name
 * @return owned by the machine; NULL if there is no such range, or it has no device
 */
device_t *machine_find_device(machine_t *machine, const char *name);

/** Whose an interrupt is: a node's name, "virtual timer", or "". Owned by the machine. */
const char *machine_interrupt_name(const machine_t *machine, int irq);

/**
 * The page of a single-frame range in the VMM's address space.
 *
 * @return NULL if there is no such range, or it has another backing
 */
void *machine_find_frame(machine_t *machine, const char *name);

/**
 * Describe the memory as it is now.
 *
 * @param map    to be released with memory_map_release(); its strings are the machine's
 * @return 0; -1 if memory is exhausted
 */
int machine_memory_map(machine_t *machine, memory_map_t *map);

/**
 * machine_memory_map() of all machines of the file.
 *
 * @param count  receives how many there are
 * @return to be freed with memory_maps_free(); NULL if memory is exhausted
 */
memory_map_t *machine_memory_maps(machine_t *machine, size_t *count);

/** What the machine was made with. */
const machine_options_t *machine_options(const machine_t *machine);

/** @return NULL before the VM is made */
vm_t *machine_vm(machine_t *machine);
hosted_system_t *machine_system(machine_t *machine);
const vm_description_t *machine_description(const machine_t *machine);
