/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The memory that guest_program.S is given, for it and for C. The program makes the accesses of a
 * list, one after another, writes what loads found back into the list, and ends with a store to an
 * address that the VMM watches.
 */

#define GUEST_OP_END   0
#define GUEST_OP_LOAD  1
#define GUEST_OP_STORE 2

/* Offsets in an entry of the list, and its size. */
#define GUEST_OP_KIND    0
#define GUEST_OP_WIDTH   8
#define GUEST_OP_ADDRESS 16
#define GUEST_OP_VALUE   24
#define GUEST_OP_SIZE    32

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

/** One access: `value` is what is stored, or receives what was loaded. */
typedef struct guest_op {
    uint64_t kind, width, address, value;
} guest_op_t;

/** The program, position-independent. x0: the list; x1: the address that ends it. */
extern const unsigned char conformance_guest[];
extern const unsigned char conformance_guest_end[];
#endif
