/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * A processor with memory of its own and nothing else: one file of physical memory, mapped by the
 * test, in which the guests' image lies.
 */

#include "test.h"
#include "engine.h"
#include "guests.h"

#define BENCH_PADDR 0x60000000ull
#define BENCH_BYTES (64ull << 20)

typedef struct bench {
    engine_t *engine;
    int fd;
    uint8_t *memory; /* all of the file */
    engine_exit_t exit;
    seL4_UserContext regs;
} bench_t;

int bench_make(void **state);
int bench_end(void **state);

/** Rights of bench_map(). */
#define BENCH_READ    1u
#define BENCH_WRITE   2u
#define BENCH_EXECUTE 4u
#define BENCH_ALL     7u

/** Map a page of the file at `offset`. */
void bench_map(bench_t *bench, uint64_t gpa, uint64_t offset, unsigned rights);
void bench_unmap(bench_t *bench, uint64_t gpa, uint64_t offset);

/** Let a guest start, with x0 and x1. */
void bench_start(bench_t *bench, unsigned guest, uint64_t x0, uint64_t x1);

/** Run until something happens; registers are in `regs` then. @return the reason */
engine_reason_t bench_run(bench_t *bench);

/** Complete the access that the processor is stopped at; a load finds `data`. */
void bench_complete(bench_t *bench, uint64_t data);

/** A general register of `regs`. */
seL4_Word *bench_register(bench_t *bench, unsigned number);
