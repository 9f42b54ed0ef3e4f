/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The registers of an AArch64 Unicorn in terms of seL4's structures.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sel4/sel4.h>
#include <unicorn/unicorn.h>

/* Mode bits of the processor state. */
#define PSTATE_MODE     0x1full
#define PSTATE_EL1T     0x04ull
#define PSTATE_EL1H     0x05ull
#define PSTATE_AARCH32  0x10ull
#define PSTATE_IRQ_MASK 0x80ull

/** A system register by its encoding. */
typedef struct unicorn_system_register {
    uint8_t op0, op1, crn, crm, op2;
} unicorn_system_register_t;

/** Read or write a system register that Unicorn knows by encoding. @return false if it does not */
bool unicorn_read_system(uc_engine *uc, unicorn_system_register_t which, uint64_t *value);
bool unicorn_write_system(uc_engine *uc, unicorn_system_register_t which, uint64_t value);

/** All of a thread's registers. */
void unicorn_read_context(uc_engine *uc, seL4_UserContext *context);

/** Write those that differ between `old` and `context`, but for the processor state. */
void unicorn_write_context(uc_engine *uc, const seL4_UserContext *old,
                           const seL4_UserContext *context);

/** All of a VCPU object's registers. */
void unicorn_read_vcpu(uc_engine *uc, seL4_Word registers[seL4_VCPUReg_Num]);

/** Write those that differ between `old` and `registers`. */
void unicorn_write_vcpu(uc_engine *uc, const seL4_Word old[seL4_VCPUReg_Num],
                        const seL4_Word registers[seL4_VCPUReg_Num]);

/** General registers in numeric order, the current stack pointer, and the program counter. */
void unicorn_read_general(uc_engine *uc, uint64_t x[31], uint64_t *sp, uint64_t *pc);
