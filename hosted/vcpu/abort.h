/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * What access an abort was: the processor reports that one happened and at which instruction; which
 * guest-physical address, width and direction follows from the instruction, the registers, and the
 * tables of both stages.
 */

#include "engine.h"
#include "shadow.h"
#include "stage1.h"

/** A stopped processor, as far as an abort depends on it. */
typedef struct abort_view {
    uint64_t x[31];
    uint64_t sp; /* the current one */
    uint64_t pc;
    stage1_regime_t regime;
    const shadow_t *shadow;
    /** Host memory at a physical address of the shadow tables; NULL if there is none. */
    const void *(*host)(void *cookie, uint64_t target);
    void *cookie;
} abort_view_t;

/** Read the instruction at a virtual address. @return false if it cannot be read */
bool abort_read_instruction(const abort_view_t *view, uint64_t address, uint32_t *instruction);

/** The guest-physical address of a virtual one. @return false if it has none */
bool abort_translate(const abort_view_t *view, uint64_t address, uint64_t *gpa);

/**
 * Host memory of the page that a virtual address is translated to.
 *
 * @return NULL if it is translated to nothing, or stage 2 does not let it be written
 */
void *abort_writable_page(const abort_view_t *view, uint64_t page);

/**
 * Describe a data abort at `exit->pc`, whose instruction `exit->instruction` is.
 *
 * @param page  the guest-physical page that the processor named
 */
void abort_describe_data(const abort_view_t *view, uint64_t page, engine_exit_t *exit);

/** Describe a prefetch abort. @param page  as abort_describe_data() */
void abort_describe_fetch(const abort_view_t *view, uint64_t page, engine_exit_t *exit);
