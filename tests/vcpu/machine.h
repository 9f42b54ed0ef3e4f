/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * A hosted system with one VM, 2 MiB of RAM that hold the guests' image, and one VCPU. The end of a
 * test checks that vm_destroy() has brought every count back to where it was before vm_init().
 */

#include "test.h"
#include <guestmem/inspect.h>
#include <guestmem/memory.h>
#include <hosted/census.h>
#include <hosted/inject.h>
#include <hosted/log.h>
#include <hosted/vm.h>
#include <sel4vm/arch/guest_arm_context.h>
#include <sel4vm/arch/guest_memory_arch.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_vcpu_fault.h>
#include <sel4vm/guest_vm_util.h>
#include "guests.h"

#define MACHINE_RAM_BYTES 0x200000

/** What a device's callback saw of one access. */
typedef struct seen {
    uintptr_t address;
    size_t length;
    size_t size;
    seL4_Word data;
    seL4_Word mask;
    seL4_Word ip;
    bool read;
} seen_t;

typedef struct machine {
    hosted_system_t *system;
    hosted_census_t before;
    vm_t vm;
    vm_vcpu_t *vcpu;
    seen_t seen[64]; /* accesses to devices made by machine_add_device() */
    unsigned count;
    seL4_Word answer;             /* what their reads find, in its lanes */
    memory_fault_result_t result; /* what they answer instead of advancing, if not FAULT_HANDLED */
} machine_t;

int machine_make(void **state);
int machine_end(void **state);

/** Reserve a range whose callback notes what it sees in `seen`, and completes the access. */
vm_memory_reservation_t *machine_add_device(machine_t *machine, uintptr_t base, size_t size,
                                            const char *name);

/** What GUEST_SCRIPT does at `address`; the last one has none. */
typedef struct script {
    uint64_t address;
    uint64_t operation; /* STORE, LOAD, STORE_BYTE or LOAD_BYTE */
    uint64_t value;     /* stored, or what was loaded */
} script_t;

enum { STORE = 0, LOAD = 1, STORE_BYTE = 2, LOAD_BYTE = 6 };

/** Run a script of the guest, in place. */
void machine_run_script(machine_t *machine, script_t *script);

/** Let a guest start, with x0 and x1, and run it. @return what vm_run() answered */
int machine_run(machine_t *machine, unsigned guest, seL4_Word x0, seL4_Word x1);

/** The registers that the guest ended with. */
seL4_UserContext machine_registers(machine_t *machine);

/** How it ended. */
const hosted_vm_report_t *machine_report(machine_t *machine);
