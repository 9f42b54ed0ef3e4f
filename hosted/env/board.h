/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * What a board's device tree says about physical memory, as the kernel sees it: what every address
 * is, and the ranges that become untypeds.
 */

#include <stddef.h>
#include <stdint.h>
#include "memory.h"

typedef hosted_physical_range_t board_range_t;

/** A serial port of the kind that there is a model of. */
typedef struct board_serial {
    uint64_t base;
    unsigned irq; /* number of its interrupt; 0: it has none */
} board_serial_t;

enum { BOARD_MAX_SERIALS = 8 };

typedef struct board {
    board_range_t *map; /* all of the physical address space, ascending; neighbours differ */
    size_t num_ranges;
    board_range_t *banks; /* all of it too: what is backed by one piece of host memory */
    size_t num_banks;
    board_range_t *untypeds; /* disjoint, ascending */
    size_t num_untypeds;
    uint64_t gicv_base; /* of the virtual CPU interface; 0: there is none */
    board_serial_t
        serials[BOARD_MAX_SERIALS]; /* those compatible with "arm,pl011", the first ones */
    size_t num_serials;
} board_t;

/**
 * Read a device tree.
 *
 * Memory nodes are memory, and what /reserved-memory takes from them with `no-map` is reserved. The
 * kernel keeps its image, at the first memory, and interrupt controllers: those that `/chosen`
 * names in `seL4,kernel-devices`, else all that it knows. All else is devices. Nodes that are
 * switched off, and what the processor cannot reach, are skipped.
 *
 * @param error  receives one line that names the node and property
 * @return 0, to be freed with board_free(), or -1
 */
int board_read(board_t *board, const void *dtb, size_t size, char *error, size_t error_size);
void board_free(board_t *board);
