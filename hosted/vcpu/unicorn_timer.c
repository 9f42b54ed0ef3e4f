/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The virtual timer and the clock. Unicorn has the registers of the timer, but writes of the guest
 * have no effect: they are noted here and stored from outside, and what the guest reads is what is
 * stored. Unicorn's counter follows the host's clock. In virtual time, the counter is the number of
 * instructions that have run, so reads of it are answered here as well.
 */

#include "unicorn.h"

enum { ENABLE = 1, MASKED = 2, CONDITION_MET = 4 };

#define ENCODING(op0, op1, crn, crm, op2)                                                          \
    ((op0) << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2))

enum {
    PMCCNTR = ENCODING(3, 3, 9, 13, 0),
    CNTPCT = ENCODING(3, 3, 14, 0, 1),
    CNTVCT = ENCODING(3, 3, 14, 0, 2),
    CNTP_TVAL = ENCODING(3, 3, 14, 2, 0),
    CNTV_TVAL = ENCODING(3, 3, 14, 3, 0),
    CNTV_CTL = ENCODING(3, 3, 14, 3, 1),
    CNTV_CVAL = ENCODING(3, 3, 14, 3, 2),
    TTBR0 = ENCODING(3, 0, 2, 0, 0),
    TTBR1 = ENCODING(3, 0, 2, 0, 1),
    SCTLR = ENCODING(3, 0, 1, 0, 0),
    CPACR = ENCODING(3, 0, 1, 0, 2),
    TCR = ENCODING(3, 0, 2, 0, 2),
    SPSR = ENCODING(3, 0, 4, 0, 0),
    MDSCR = ENCODING(2, 0, 0, 2, 2),
    DBGBCR = ENCODING(2, 0, 0, 0, 5),
    DBGBCR_NUMBER = 15 << 3,
};

static const unicorn_system_register_t cntvct = {3, 3, 14, 0, 2};
static const unicorn_system_register_t cntvoff = {3, 4, 14, 0, 3};
static const unicorn_system_register_t cntv_ctl = {3, 3, 14, 3, 1};
static const unicorn_system_register_t cntv_cval = {3, 3, 14, 3, 2};
static const unicorn_system_register_t cntp_cval = {3, 3, 14, 2, 2};
static const unicorn_system_register_t cntkctl = {3, 0, 14, 1, 0};

uint64_t unicorn_counter(const unicorn_engine_t *self)
{
    uint64_t value;

    if (!self->virtual_time) {
        unicorn_read_system(self->uc, cntvct, &value);
        return value;
    }
    unicorn_read_system(self->uc, cntvoff, &value);
    return unicorn_ticks(self) - value;
}

void unicorn_set_counter(unicorn_engine_t *self, uint64_t value)
{
    uint64_t offset;

    unicorn_read_system(self->uc, cntvoff, &offset);
    unicorn_write_system(self->uc, cntvoff, offset + unicorn_counter(self) - value);
}

void unicorn_update_timer(unicorn_engine_t *self)
{
    uint64_t control;
    uint64_t compare;

    unicorn_read_system(self->uc, cntv_ctl, &control);
    unicorn_read_system(self->uc, cntv_cval, &compare);
    int64_t remaining = (int64_t)(compare - unicorn_counter(self));
    bool met = (control & ENABLE) && remaining <= 0;
    uint64_t now = (control & (ENABLE | MASKED)) | (met ? CONDITION_MET : 0);
    if (now != control) {
        unicorn_write_system(self->uc, cntv_ctl, now);
    }
    self->timer_armed = (control & ENABLE) && !met;
    self->timer_remaining = (uint64_t)remaining;
    self->timer_line = met && !(control & MASKED);
}

static unsigned encoding(const uc_arm64_cp_reg *reg)
{
    return ENCODING(reg->op0, reg->op1, reg->crn, reg->crm, reg->op2);
}

/* Where EL1 does not let EL0 use a register, the instruction traps after this. */
enum {
    EL0_PHYSICAL_COUNTER = 1 << 0,
    EL0_VIRTUAL_COUNTER = 1 << 1,
    EL0_VIRTUAL_TIMER = 1 << 8,
    EL0_PHYSICAL_TIMER = 1 << 9
};

static bool may_use(const unicorn_engine_t *self, uint64_t permission)
{
    uint32_t state = 0;
    uint64_t control;

    uc_reg_read(self->uc, UC_ARM64_REG_PSTATE, &state);
    unicorn_read_system(self->uc, cntkctl, &control);
    return (state & PSTATE_MODE) != 0 || (control & permission);
}

/* @return 1: there is nothing left to be done, or 0 */
static uint32_t write_timer(unicorn_engine_t *self, unicorn_system_register_t which, uint64_t value)
{
    if (!may_use(self, EL0_VIRTUAL_TIMER)) {
        return 0;
    }
    unicorn_write_system(self->uc, which, value);
    unicorn_update_timer(self);
    atomic_store(&self->attend_at, 0);
    return 1;
}

/* Unicorn 2.0.1 crashes the process when the guest enables a breakpoint: none is ever enabled.
 * @return as on_write() */
static uint32_t write_breakpoint(unicorn_engine_t *self, const uc_arm64_cp_reg *reg)
{
    const unicorn_system_register_t control = {2, 0, 0, (uint8_t)reg->crm, 5};

    return may_use(self, 0) && /* and there is such a register */
           unicorn_write_system(self->uc, control, reg->val & ~(uint64_t)ENABLE);
}

/* The guest writes a system register. @return 0 if the instruction still has its own effect */
static uint32_t on_write(uc_engine *uc, uc_arm64_reg source, const uc_arm64_cp_reg *reg,
                         void *cookie)
{
    unicorn_engine_t *self = cookie;

    (void)source;
    if ((encoding(reg) & ~DBGBCR_NUMBER) == DBGBCR) {
        return write_breakpoint(self, reg);
    }
    switch (encoding(reg)) {
    case CNTV_TVAL:
        return write_timer(self, cntv_cval,
                           unicorn_counter(self) + (uint64_t)(int64_t)(int32_t)reg->val);
    case CNTV_CTL:
        return write_timer(self, cntv_ctl, reg->val);
    case CNTV_CVAL:
        return write_timer(self, cntv_cval, reg->val);
    case CNTP_TVAL: /* never fires, but what is read of it must not be the host's time */
        if (!self->virtual_time || !may_use(self, EL0_PHYSICAL_TIMER)) {
            return 0;
        }
        unicorn_write_system(uc, cntp_cval,
                             unicorn_ticks(self) + (uint64_t)(int64_t)(int32_t)reg->val);
        return 1;
    case SCTLR:
    case CPACR:
    case TCR:
    case MDSCR:
        self->flags_changed = true;
        atomic_store(&self->attend_at, 0);
        unicorn_forget_page(self);
        break;
    case SPSR:
        if (reg->val & PSTATE_AARCH32) {
            self->may_narrow = true;
            atomic_store(&self->attend_at, 0);
        }
        break;
    case TTBR0:
    case TTBR1:
        unicorn_forget_page(self);
        break;
    default:
        break;
    }
    return 0;
}

/* The guest reads a system register in virtual time. @return 1: it was read here */
static uint32_t on_read(uc_engine *uc, uc_arm64_reg target, const uc_arm64_cp_reg *reg,
                        void *cookie)
{
    unicorn_engine_t *self = cookie;
    unsigned which = encoding(reg);
    uint64_t value;

    if (which == CNTVCT && may_use(self, EL0_VIRTUAL_COUNTER)) {
        value = unicorn_counter(self);
    } else if ((which == CNTPCT && may_use(self, EL0_PHYSICAL_COUNTER)) ||
               (which == PMCCNTR && may_use(self, 0))) {
        value = unicorn_ticks(self);
    } else if (which == CNTV_TVAL && may_use(self, EL0_VIRTUAL_TIMER)) {
        unicorn_read_system(uc, cntv_cval, &value);
        value = (uint32_t)(value - unicorn_counter(self));
    } else if (which == CNTP_TVAL && may_use(self, EL0_PHYSICAL_TIMER)) {
        unicorn_read_system(uc, cntp_cval, &value);
        value = (uint32_t)(value - unicorn_ticks(self));
    } else {
        return 0;
    }
    uc_reg_write(uc, (int)target, &value);
    return 1;
}

uc_err unicorn_hook_timer(unicorn_engine_t *self)
{
    uc_hook hook;
    return uc_hook_add(self->uc, &hook, UC_HOOK_INSN, (void *)on_write, self, 1, 0,
                       UC_ARM64_INS_MSR);
}

bool unicorn_use_virtual_time(unicorn_engine_t *self)
{
    uc_hook hook;
    self->virtual_time = uc_hook_add(self->uc, &hook, UC_HOOK_INSN, (void *)on_read, self, 1, 0,
                                     UC_ARM64_INS_MRS) == UC_ERR_OK;
    return self->virtual_time;
}
