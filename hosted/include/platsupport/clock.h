/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Clocks of a board. The hosted system drives none; <platsupport/plat/clock.h> of another board can
 * be put in front of ours.
 */

#include <assert.h>
#include <stdint.h>
#include <utils/util.h>

typedef struct clock clk_t;
typedef struct clock_sys clock_sys_t;

#include <platsupport/plat/clock.h> /* may use the types above */

typedef enum clk_id clk_id_t;
typedef enum clock_gate clock_gate_t;
typedef enum clock_gate_mode {
    CLKGATE_ON,
    CLKGATE_IDLE,
    CLKGATE_SLEEP,
    CLKGATE_OFF
} clock_gate_mode_t;

struct clock_sys {
    clk_t *(*get_clock)(clock_sys_t *clock_sys, enum clk_id id);
    int (*gate_enable)(clock_sys_t *clock_sys, enum clock_gate gate, enum clock_gate_mode mode);
    void *priv;
};

static inline int clock_sys_valid(const clock_sys_t *clock_sys)
{
    return clock_sys && clock_sys->priv;
}

static inline clk_t *clk_get_clock(clock_sys_t *clock_sys, enum clk_id id)
{
    assert(clock_sys && clock_sys->get_clock);
    return clock_sys->get_clock(clock_sys, id);
}

static inline int clk_gate_enable(clock_sys_t *clock_sys, enum clock_gate gate,
                                  enum clock_gate_mode mode)
{
    assert(clock_sys && clock_sys->gate_enable);
    return clock_sys->gate_enable(clock_sys, gate, mode);
}
