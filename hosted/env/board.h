/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * What a board's device tree says about physical memory: banks, and the ranges that become
 * untypeds.
 */

#include <stddef.h>
#include <stdint.h>
#include "memory.h"

typedef struct board_range {
    uint64_t base, last;
    memory_kind_t kind;
} board_range_t;

/** A serial port of the kind that there is a model of. */
typedef struct board_serial {
    uint64_t base;
    unsigned irq; /* number of its interrupt; 0: it has none */
} board_serial_t;

enum { BOARD_MAX_SERIALS = 8 };

typedef struct board {
    board_range_t *banks; /* disjoint, ascending: what is backed by one piece of host memory */
    size_t num_banks;
    board_range_t *untypeds; /* disjoint, ascending: each within one bank */
    size_t num_untypeds;
    uint64_t gicv_base; /* of the virtual CPU interface; 0: there is none */
    board_serial_t
        serials[BOARD_MAX_SERIALS]; /* those compatible with "arm,pl011", the first ones */
    size_t num_serials;
} board_t;

/**
 * Read a device tree.
 *
 * Memory nodes are banks; /memreserve/ and the children of /reserved-memory are taken out of them,
 * and the latter are handed out as reserved memory. The `reg` of each child of the root and of
 * simple buses is a device, in whole pages.
 *
 * @param error  receives one line that names the node and property
 * @return 0, to be freed with board_free(), or -1
 */
int board_read(board_t *board, const void *dtb, size_t size, char *error, size_t error_size);
void board_free(board_t *board);
