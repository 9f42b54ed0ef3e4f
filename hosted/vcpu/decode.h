/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * What an AArch64 load or store does, from its encoding: the facts that a processor gives in the
 * syndrome of a data abort (ESR_EL2), and those that it leaves out when the syndrome is not valid.
 * Pure: no memory and no processor is touched.
 */

#include <stdbool.h>
#include <stdint.h>

typedef enum a64_kind {
    A64_SINGLE,     /* one general register */
    A64_WRITE_BACK, /* one general register, and the base register changes */
    A64_PAIR,       /* two registers, general or vector */
    A64_VECTOR,     /* vector registers */
    A64_EXCLUSIVE,  /* load or store exclusive */
    A64_ATOMIC,     /* read-modify-write */
    A64_ZERO_BLOCK, /* DC ZVA */
} a64_kind_t;

#define A64_NO_REGISTER 0xff
#define A64_PC          0xfe

typedef struct a64_access {
    a64_kind_t kind;
    bool valid_syndrome; /* whether hardware reports Rt and width: A64_SINGLE only */
    bool store;          /* writes memory; atomics read as well */
    bool sign_extend;    /* a load extends the sign */
    bool sixty_four;     /* the register is Xt, not Wt: how far a sign is extended */
    uint8_t rt;          /* register loaded or stored; 31 is the zero register */
    uint8_t width;       /* bytes of one register in memory: 1, 2, 4, 8 or 16 */
    uint8_t bytes;       /* bytes of the whole access */
    uint8_t base;        /* base register, 31 is SP; or A64_PC */
    uint8_t index;       /* index register, or A64_NO_REGISTER */
    uint8_t extend;      /* how the index is extended: the encoding's `option` */
    uint8_t shift;       /* and shifted */
    int64_t offset;      /* added to the base for the address */
    int64_t base_change; /* A64_WRITE_BACK: added to the base register by the instruction */
} a64_access_t;

/** Decode. @return false if the instruction accesses no memory, or is none of A64 as of Armv8.1 */
bool a64_decode_access(uint32_t instruction, a64_access_t *access);

/**
 * The first virtual address of the access.
 *
 * @param x   registers 0 to 30
 * @param sp  current stack pointer
 * @param pc  address of the instruction
 */
uint64_t a64_access_address(const a64_access_t *access, const uint64_t x[31], uint64_t sp,
                            uint64_t pc);

/** What a load of `access` leaves in its register when memory gives the low bytes of `data`. */
uint64_t a64_extend(const a64_access_t *access, uint64_t data);

/** The instruction's kind for a person, e.g. "load/store pair". */
const char *a64_kind_name(a64_kind_t kind);
