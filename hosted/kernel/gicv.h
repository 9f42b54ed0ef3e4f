/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The virtual CPU interface of a GICv2 (Arm IHI 0048): the registers that a guest sees where a VMM
 * has mapped the board's page of it, on the list registers that the kernel has filled. Here both
 * groups of interrupts are taken by the same register, and each priority preempts the lower ones.
 */

#include <stdbool.h>
#include <stdint.h>

enum { GICV_LIST_REGISTERS = 4 };

typedef struct gicv {
    uint64_t *list; /* list registers, GICV_LIST_REGISTERS of them; the kernel's */
    uint32_t control;
    uint32_t priority_mask;
    uint32_t binary_point;
    uint32_t active; /* priorities of interrupts that were taken, a bit each */
} gicv_t;

/** Whether an interrupt asks for an exception. */
bool gicv_pending(const gicv_t *gicv);

/** Whether the guest has taken the interrupt that a list register holds, and not ended it. */
bool gicv_is_active(uint64_t entry);

/** A load at that offset of the page; it takes an interrupt if the register does. */
uint32_t gicv_read(gicv_t *gicv, uint64_t offset);

/**
 * A store there.
 *
 * @return the list register whose interrupt has ended and wants maintenance; -1 if none
 */
int gicv_write(gicv_t *gicv, uint64_t offset, uint32_t value);
