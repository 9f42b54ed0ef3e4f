/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * What a described VM will take, before anything of it is made: arithmetic over the description,
 * the board, and the library's policy.
 */

#include <stdint.h>
#include <stdio.h>
#include "error.h"

/** The parts of a VM that take something. */
typedef enum plan_part {
    PLAN_VM,       /* vm_init() itself */
    PLAN_MEMORY,   /* all ranges, with the windows that files are loaded through */
    PLAN_VCPU,     /* its one VCPU; only `guestmem run` makes it */
    PLAN_ON_FAULT, /* more, once the guest has touched every page that is mapped on fault */
    PLAN_NUM_PARTS
} plan_part_t;

/** What is counted. The order is that of the report. */
typedef enum plan_count {
    PLAN_RESERVATIONS,
    PLAN_FRAMES_4K,
    PLAN_FRAMES_2M,
    PLAN_FRAMES_1G,
    PLAN_TABLES_1G, /* page tables that span 1 GiB each */
    PLAN_TABLES_2M,
    PLAN_SLOTS,
    PLAN_UNTYPED_BYTES,
    PLAN_WINDOWS,
    PLAN_WINDOW_FRAMES,
    PLAN_WINDOW_BYTES,
    PLAN_HEAP_BLOCKS,
    PLAN_HEAP_BYTES,
    PLAN_RETYPES, /* kernel invocations from here on */
    PLAN_SPLIT_RETYPES,
    PLAN_COPIES,
    PLAN_MINTS,
    PLAN_PAGE_MAPS,
    PLAN_PAGE_UNMAPS,
    PLAN_PAGE_CLEANS,
    PLAN_TABLE_MAPS,
    PLAN_ASID_ASSIGNS,
    PLAN_TCB_CALLS,
    PLAN_VCPU_CALLS,
    PLAN_NUM_COUNTS
} plan_count_t;

typedef struct plan {
    char title[128]; /* the description's model, or its file */
    char board[128]; /* the board's file */
    uint64_t counts[PLAN_NUM_PARTS][PLAN_NUM_COUNTS];
    uint64_t free_bytes; /* regular memory of the board that is left at the end */
} plan_t;

/**
 * Make the plan of a description.
 *
 * @param file   the description, source (.dts) or flattened (.dtb)
 * @param board  a board's name or file instead of the description's; may be NULL
 * @param error  receives one line on failure: what is wrong with the description, or that the board
 *               cannot hold it
 * @return 0 or -1
 */
int plan_make(plan_t *plan, const char *file, const char *board, cli_error_t *error);

/** What a part takes of kernel invocations. */
uint64_t plan_invocations(const plan_t *plan, plan_part_t part);

/** Print a plan: a table for people. */
void plan_print_text(FILE *out, const plan_t *plan);

/** Print a plan as JSON, as documented in docs/vm-description.md. */
void plan_print_json(FILE *out, const plan_t *plan);
