/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The world of the library's tests: a hosted system with one VM, made and ended around each test.
 * Its end checks that vm_memory_destroy() has brought every count back to where it was.
 */

/* cmocka.h needs these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <guestmem/error.h>
#include <guestmem/inspect.h>
#include <guestmem/memory.h>
#include <guestmem/policy.h>
#include <guestmem/vspace.h>
#include <hosted/census.h>
#include <hosted/counters.h>
#include <hosted/inject.h>
#include <hosted/log.h>
#include <hosted/stage2.h>
#include <hosted/system.h>
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>
#include <sel4vmmplatsupport/guest_memory_util.h>

#define PAGE      ((uintptr_t)0x1000)
#define MEGABYTE  ((uintptr_t)0x100000)
#define RAM_PADDR ((uintptr_t)0x60000000) /* in the board's RAM, and free */
#define UART      ((uintptr_t)0x09000000) /* a device of the board */

typedef struct world {
    hosted_system_t *system;
    vm_t vm;
    hosted_census_t before; /* before the VM was made */
    int log_lines;          /* errors logged since the last expect_failure() */
    char log_line[512];     /* the last of them */
    /* what the fault callback record_fault() saw last */
    int faults;
    uintptr_t fault_addr;
    size_t fault_length;
    memory_fault_result_t fault_answer;
} world_t;

/** Set a VM up in `world->system`, as vm_init() does its memory. */
void world_make_vm(world_t *world, vm_t *vm);

/** cmocka's setup: a system and a VM. */
int world_setup(void **state);

/** End the world's VM, compare the census with `before`, and make another VM. */
void world_renew(world_t *world);

/** cmocka's teardown: end the VM, compare the census with `before`, end the system. */
int world_teardown(void **state);

/** A fault callback whose cookie is the world. */
memory_fault_result_t record_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t fault_addr,
                                   size_t fault_length, void *cookie);

/** Reserve with record_fault(); must succeed. */
vm_memory_reservation_t *world_reserve(world_t *world, uintptr_t addr, size_t size);

/** Check that the last call failed with that code, and logged one line. */
void expect_failure(world_t *world, guestmem_error_code_t code);

/** Check that two censuses are equal; prints the difference otherwise. */
void expect_same_census(const hosted_census_t *before, const hosted_census_t *after);

/** Check that a census taken now equals `before`. */
void expect_census(world_t *world, const hosted_census_t *before);

/** What the guest has mapped at `gpa`; the test fails if it has nothing. */
hosted_stage2_mapping_t guest_mapping_at(world_t *world, uintptr_t gpa);

/** Whether the guest has anything mapped at `gpa`. */
bool guest_has(world_t *world, uintptr_t gpa);

/** The bytes of memory that the guest sees at `gpa`, up to the end of its frame. */
unsigned char *guest_bytes(world_t *world, uintptr_t gpa);

/** A frame of the allocator, for tests that hand frames in. */
vka_object_t world_frame(world_t *world, size_t size_bits);

#define world_test(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
