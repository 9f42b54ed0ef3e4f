/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The part of simple_t that depends on the architecture: interrupts. */

#include <stdint.h>
#include <sel4/sel4.h>

typedef seL4_Error (*simple_get_IRQ_handler_fn)(void *data, int irq, seL4_CNode cnode,
                                                seL4_Word index, uint8_t depth);
typedef seL4_Error (*simple_get_IRQ_trigger_fn)(void *data, int irq, int trigger, int core,
                                                seL4_CNode root, seL4_Word index, uint8_t depth);

typedef struct arch_simple {
    simple_get_IRQ_handler_fn irq;
    simple_get_IRQ_trigger_fn irq_trigger;
    void *data;
} arch_simple_t;
