/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The world of a hostile guest: a VM with a reservation of every kind, whose guest runs any
 * instructions, and a second VM on the same system, the bystander, that must not notice. The end of
 * a test checks that frames which the guest may not write are as they were, that the bystander is
 * unharmed, and that the end of both VMs brings every count back to its start. With TRACKED in the
 * environment, written pages are tracked all the time, and reported in the middle of each run: what
 * has changed must have been reported.
 *
 * The guest's world, beside addresses where there is nothing:
 *
 *     HOSTILE_RAM        RAM: the first half is data, the second half takes code
 *     HOSTILE_DEVICE     an emulated device of a page and a half; the other half page is SMALL
 *     HOSTILE_SMALL      an emulated device that ends at the end of its page
 *     HOSTILE_READ_ONLY  a page that the guest may read, and a page that it may not access
 *     HOSTILE_LAZY       pages that are mapped at the first access
 *     HOSTILE_LAST       emulated: the last pages that stage 2 can translate
 *     HOSTILE_TOP        emulated: the last page of the 64-bit address space
 */

#include "../vcpu/test.h"
#include <guestmem/change.h>
#include <guestmem/inspect.h>
#include <guestmem/memory.h>
#include <guestmem/policy.h>
#include <hosted/census.h>
#include <hosted/log.h>
#include <hosted/vm.h>
#include <sel4vm/arch/guest_arm_context.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>
#include <sel4vmmplatsupport/guest_memory_util.h>
#include <vka/object.h>

#define PAGE ((uintptr_t)0x1000)

#define HOSTILE_RAM       ((uintptr_t)0x40000000)
#define HOSTILE_RAM_SIZE  ((uintptr_t)0x800000)
#define HOSTILE_RAM_END   (HOSTILE_RAM + HOSTILE_RAM_SIZE)
#define HOSTILE_CODE      (HOSTILE_RAM + HOSTILE_RAM_SIZE / 2)
#define HOSTILE_DEVICE    ((uintptr_t)0x09000000)
#define HOSTILE_SMALL     (HOSTILE_DEVICE + 0x1800)
#define HOSTILE_READ_ONLY ((uintptr_t)0x50000000)
#define HOSTILE_LAZY      ((uintptr_t)0x60000000)
#define HOSTILE_LAZY_SIZE (16 * PAGE)
#define HOSTILE_LAST      (((uintptr_t)1 << 40) - 2 * PAGE)
#define HOSTILE_TOP       (UINTPTR_MAX - PAGE + 1)

/** What the devices' callback does. */
typedef enum answer {
    ANSWER_ADVANCE, /* completes the access */
    ANSWER_RESTART, /* lets it run again, for ever */
    ANSWER_IGNORE,
    ANSWER_UNHANDLED,
    ANSWER_ERROR,
    ANSWER_FORGET,               /* says that it handled, and did nothing */
    ANSWER_NONSENSE,             /* a result that there is none of */
    ANSWER_ADVANCE_TWICE,        /* completes the access, and again */
    ANSWER_ADVANCE_THEN_RESTART, /* completes the access and asks for it again */
    ANSWER_ADVANCE_THEN_ERROR,
    ANSWER_COUNT
} answer_t;

typedef struct hostile {
    hosted_system_t *system;
    hosted_census_t before;
    vm_t vm;
    vm_vcpu_t *vcpu;
    vka_object_t frames[2]; /* behind HOSTILE_READ_ONLY */
    vm_t bystander;
    vm_vcpu_t *bystander_vcpu;
    uintptr_t next_code; /* code that was not written yet: an engine may keep what it has seen */
    answer_t answer;
    uint64_t calls;      /* of the devices' callback */
    unsigned log_lines;  /* errors logged */
    struct watch *watch; /* NULL where written pages are not tracked */
} hostile_t;

/** cmocka setup and teardown. */
int hostile_make(void **state);
int hostile_end(void **state);

/** End the hostile VM, and make another in its place. */
void hostile_renew(hostile_t *hostile);

/**
 * Put instructions, and PSCI SYSTEM_OFF behind them, where no code was before.
 *
 * @return where
 */
uintptr_t hostile_load(hostile_t *hostile, const uint32_t *code, size_t words);

/** Run from `pc` in EL1 with x0 to x3, within a budget of instructions. @see hostile_go_on */
int hostile_run(hostile_t *hostile, uintptr_t pc, const seL4_Word x[4], uint64_t budget);

/**
 * Run from where the guest stands, and check what holds of any end: one line of report, a reason
 * that fits what vm_run() answered, no failure of the engine.
 *
 * @return what vm_run() answered
 */
int hostile_go_on(hostile_t *hostile);

/** hostile_load() and hostile_run() of one instruction. */
int hostile_try(hostile_t *hostile, uint32_t instruction, const seL4_Word x[4]);

/** How the run ended. */
const hosted_vm_report_t *hostile_report(const hostile_t *hostile);

/** The registers that the guest ended with. */
seL4_UserContext hostile_registers(const hostile_t *hostile);

/** The next number of a random sequence whose state is not 0. */
uint64_t hostile_random(uint64_t *state);

/** A number of the environment, e.g. a seed. */
uint64_t hostile_number(const char *variable, uint64_t otherwise);

/** Let the bystander run its program, which adds up its RAM, and check the sum. */
void hostile_check_bystander(hostile_t *hostile);
