/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The state of the processor beside the registers that seL4 knows. It may come from a file that
 * somebody else has made, so it is values of registers and nothing else: not Unicorn's context,
 * which has pointers and indexes in it. And what the guest's own instructions check when they write
 * it, is written by such instructions, in EL1, from the starter. So the worst that it can hold is
 * what a guest could do to itself. The last of them is the ERET that makes the processor's state
 * and the flags of the translator what they were; it also forgets an exclusive load, whose store
 * then has to be tried again.
 */

#include "unicorn.h"
#include <stdio.h>
#include <string.h>

/* Registers that the guest writes as they are. */
static const unicorn_system_register_t written[] = {
    {2, 0, 0, 0, 4},   {2, 0, 0, 0, 5},   {2, 0, 0, 1, 4},   {2, 0, 0, 1, 5}, /* DBGBVR, DBGBCR */
    {2, 0, 0, 2, 4},   {2, 0, 0, 2, 5},   {2, 0, 0, 3, 4},   {2, 0, 0, 3, 5},   {2, 0, 0, 4, 4},
    {2, 0, 0, 4, 5},   {2, 0, 0, 5, 4},   {2, 0, 0, 5, 5},   {2, 0, 0, 0, 6}, /* DBGWVR, DBGWCR */
    {2, 0, 0, 0, 7},   {2, 0, 0, 1, 6},   {2, 0, 0, 1, 7},   {2, 0, 0, 2, 6},   {2, 0, 0, 2, 7},
    {2, 0, 0, 3, 6},   {2, 0, 0, 3, 7},   {2, 0, 0, 2, 2},   {3, 2, 0, 0, 0},   /* MDSCR, CSSELR */
    {3, 3, 9, 12, 5},  {3, 3, 9, 14, 0},  {3, 3, 14, 8, 0},  {3, 3, 14, 8, 1},  /* PMSELR, PMUSERENR
                                                                                 */
    {3, 3, 14, 8, 2},  {3, 3, 14, 8, 3},  {3, 3, 14, 12, 0},                    /* PMEVCNTR */
    {3, 3, 14, 12, 1}, {3, 3, 14, 12, 2}, {3, 3, 14, 12, 3}, {3, 3, 14, 15, 7}, /* PMEVTYPER */
    {3, 3, 9, 13, 0},  {3, 3, 9, 12, 1},  {3, 0, 9, 14, 1},  {3, 3, 9, 14, 3}, /* PMCCNTR, ...SET */
    {3, 3, 9, 12, 0},                                                          /* PMCR */
};

/* The counterparts of the three whose writes set bits only. */
static const unicorn_system_register_t cleared[] = {
    {3, 3, 9, 12, 2}, {3, 0, 9, 14, 2}, {3, 3, 9, 12, 3}};

/* The lock of the debug registers has one register to write and one to read. */
static const unicorn_system_register_t oslar = {2, 0, 1, 0, 4};
static const unicorn_system_register_t oslsr = {2, 0, 1, 1, 4};

/* Writes of these have no effect in Unicorn. */
static const unicorn_system_register_t physical_timer[] = {{3, 3, 14, 2, 1}, {3, 3, 14, 2, 2}};

static const unicorn_system_register_t spsr_el1 = {3, 0, 4, 0, 0};
static const unicorn_system_register_t elr_el1 = {3, 0, 4, 0, 1};
static const unicorn_system_register_t cpacr_el1 = {3, 0, 1, 0, 2};
static const unicorn_system_register_t tcr_el1 = {3, 0, 2, 0, 2};
static const unicorn_system_register_t tpidr_el1 = {3, 0, 13, 0, 4};

enum {
    NUM_WRITTEN = sizeof(written) / sizeof(written[0]),
    NUM_CLEARED = sizeof(cleared) / sizeof(cleared[0]),
    NUM_TIMER = sizeof(physical_timer) / sizeof(physical_timer[0]),
    NUM_VECTORS = 32,
    LOCKED = 2, /* of OSLSR_EL1 */
    CODE = 0x200,
    VALUES = 0x600, /* in the starter */
};

#define SCTLR_RESET 0x00c50838ull
#define SCTLR_MMU   1ull
#define STATE_ENTRY 0x3c5u /* EL1h, all masked */
#define STATE_KEPT  0xf00003c0ull
#define LONGEST     ((uint64_t)1 << 62)

/* One layout in memory and in files: words, so nothing lies between them. */
typedef struct state {
    uint64_t instructions, slept; /* so far, in virtual time */
    uint64_t counter;             /* the guest's */
    uint64_t vector;
    uint64_t may_narrow, narrow;
    uint64_t written[NUM_WRITTEN];
    uint64_t lock;
    uint64_t timer[NUM_TIMER];
    uint64_t vectors[NUM_VECTORS][2];
    uint64_t fpcr, fpsr;
} state_t;

void unicorn_identify(char *text, size_t size)
{
    unsigned version = uc_version(NULL, NULL);
    snprintf(text, size, "unicorn %u.%u.%u", version >> 24, version >> 16 & 0xff,
             version >> 8 & 0xff);
}

size_t unicorn_state_size(void)
{
    return sizeof(state_t);
}

void unicorn_save(engine_t *engine, void *bytes)
{
    unicorn_engine_t *self = (unicorn_engine_t *)engine;
    uc_engine *uc = self->uc;
    state_t state = {
        .instructions = self->instructions,
        .slept = self->slept,
        .counter = unicorn_counter(self),
        .vector = self->vector,
        .may_narrow = self->may_narrow,
        .narrow = self->narrow,
    };

    for (int i = 0; i < NUM_WRITTEN; i++) {
        unicorn_read_system(uc, written[i], &state.written[i]);
    }
    unicorn_read_system(uc, oslsr, &state.lock);
    for (int i = 0; i < NUM_TIMER; i++) {
        unicorn_read_system(uc, physical_timer[i], &state.timer[i]);
    }
    for (int i = 0; i < NUM_VECTORS; i++) {
        uc_reg_read(uc, UC_ARM64_REG_Q0 + i, state.vectors[i]);
    }
    uc_reg_read(uc, UC_ARM64_REG_FPCR, &state.fpcr);
    uc_reg_read(uc, UC_ARM64_REG_FPSR, &state.fpsr);
    memcpy(bytes, &state, sizeof(state));
}

/* Instructions, with the numbers of general registers. */
enum { VALUE = 0, POINTER = 1, ONES = 2, CONTROL = 3, TRANSLATION = 4, ACCESS = 5, ZERO = 31 };
enum { SVC = 0xd4000001, ERET = 0xd69f03e0, LOAD_NEXT = 0xf8408420 /* ldr x0, [x1], #8 */ };

static uint32_t msr(unicorn_system_register_t to, uint32_t from)
{
    return 0xd5100000 | (to.op0 & 1u) << 19 | (uint32_t)to.op1 << 16 | (uint32_t)to.crn << 12 |
           (uint32_t)to.crm << 8 | (uint32_t)to.op2 << 5 | from;
}

/* The code that takes over the registers, in the words from CODE on, each time the same. The last
 * of it changes the level. @return where that begins */
static uint64_t write_code(const unicorn_engine_t *self)
{
    uint32_t *const start = (uint32_t *)((char *)self->starter + CODE);
    uint32_t *code = start;

    *code++ = msr(tpidr_el1, ZERO); /* from here on, as SCTLR has it */
    for (int i = 0; i < NUM_CLEARED; i++) {
        *code++ = msr(cleared[i], ONES);
    }
    for (int i = 0; i < NUM_WRITTEN; i++) {
        *code++ = LOAD_NEXT;
        *code++ = msr(written[i], VALUE);
    }
    *code++ = LOAD_NEXT;
    *code++ = msr(oslar, VALUE);
    *code++ = msr(tcr_el1, TRANSLATION);
    *code++ = msr(cpacr_el1, ACCESS);
    *code++ = msr(unicorn_sctlr_el1, CONTROL);
    *code++ = SVC;
    uint64_t offset = (uint64_t)(code - start) * sizeof(*code) + CODE;
    *code++ = msr(spsr_el1, VALUE);
    *code++ = msr(elr_el1, POINTER);
    *code++ = ERET;
    *code++ = SVC;
    return UNICORN_STARTER + offset;
}

/* Run the starter's code up to its next supervisor call, which nobody takes. */
static bool run_code(unicorn_engine_t *self, uint64_t from)
{
    self->interrupt = UNICORN_NONE;
    uc_emu_start(self->uc, from, UNICORN_STARTER + UNICORN_PAGE_BYTES - 4, 0, 0);
    return self->interrupt == UNICORN_SUPERVISOR_CALL;
}

static void write_general(unicorn_engine_t *self, unsigned number, uint64_t value)
{
    uc_reg_write(self->uc, UC_ARM64_REG_X0 + (int)number, &value);
}

/* Let the processor take over what only its own instructions write, and end in that state, with the
 * MMU off and without stage 2. */
static bool enter(unicorn_engine_t *self, uint64_t processor_state,
                  const seL4_Word registers[seL4_VCPUReg_Num], const state_t *state)
{
    enum { ERET_TO = 3 * sizeof(uint32_t) };
    uint64_t *values = (uint64_t *)((char *)self->starter + VALUES);
    uint64_t level = write_code(self);

    unicorn_write_state(self, STATE_ENTRY);
    unicorn_write_system(self->uc, unicorn_sctlr_el1, SCTLR_RESET);
    unicorn_stage2_off(self);
    memcpy(values, state->written, sizeof(state->written));
    values[NUM_WRITTEN] = (state->lock & LOCKED) != 0;
    write_general(self, POINTER, UNICORN_STARTER + VALUES);
    write_general(self, ONES, UINT64_MAX);
    write_general(self, CONTROL, registers[seL4_VCPUReg_SCTLR] & ~SCTLR_MMU);
    write_general(self, TRANSLATION, registers[seL4_VCPUReg_TCR]);
    write_general(self, ACCESS, registers[seL4_VCPUReg_CPACR]);
    if (!run_code(self, UNICORN_STARTER + CODE)) {
        return false;
    }
    unicorn_note_flags(self);
    write_general(self, VALUE, processor_state);
    write_general(self, POINTER, level + ERET_TO);
    return run_code(self, level);
}

static void write_registers(unicorn_engine_t *self, const seL4_UserContext *thread,
                            const seL4_Word registers[seL4_VCPUReg_Num], const state_t *state)
{
    uc_engine *uc = self->uc;

    for (int i = 0; i < seL4_VCPUReg_Num; i++) {
        self->registers[i] = registers[i];
    }
    unicorn_read_vcpu(uc, self->registers);
    unicorn_write_vcpu(uc, self->registers, registers);
    for (int i = 0; i < seL4_VCPUReg_Num; i++) {
        self->registers[i] = registers[i];
    }
    unicorn_read_context(uc, &self->context);
    unicorn_write_context(uc, &self->context, thread);
    unicorn_read_context(uc, &self->context);
    for (int i = 0; i < NUM_TIMER; i++) {
        unicorn_write_system(uc, physical_timer[i], state->timer[i]);
    }
    for (int i = 0; i < NUM_VECTORS; i++) {
        uc_reg_write(uc, UC_ARM64_REG_Q0 + i, state->vectors[i]);
    }
    uc_reg_write(uc, UC_ARM64_REG_FPCR, &state->fpcr);
    uc_reg_write(uc, UC_ARM64_REG_FPSR, &state->fpsr);
}

bool unicorn_restore(engine_t *engine, const seL4_UserContext *thread,
                     const seL4_Word registers[seL4_VCPUReg_Num], const void *bytes,
                     engine_exit_t *exit)
{
    unicorn_engine_t *self = (unicorn_engine_t *)engine;
    const uint64_t mode = thread->spsr & PSTATE_MODE;
    state_t state;

    memcpy(&state, bytes, sizeof(state));
    if ((mode != 0 && mode != PSTATE_EL1T && mode != PSTATE_EL1H) || state.instructions > LONGEST ||
        state.slept > LONGEST) {
        return false;
    }
    const uint64_t before = self->instructions;
    self->own_code = true;
    bool entered = enter(self, (thread->spsr & STATE_KEPT) | mode, registers, &state);
    self->own_code = false;
    if (!entered) {
        self->failed = true;
        snprintf(self->failure, sizeof(self->failure),
                 "unicorn: registers that were saved cannot be taken over");
        return false;
    }
    write_registers(self, thread, registers, &state);
    unicorn_stage2_on(self);
    unicorn_forget_page(self);
    if (self->budget_end != UINT64_MAX) { /* what is left of it is what is left */
        self->budget_end += state.instructions - before;
    }
    self->instructions = state.instructions;
    self->slept = state.slept;
    self->vector = state.vector;
    self->may_narrow = state.may_narrow != 0;
    self->narrow = state.narrow != 0;
    unicorn_set_counter(self, state.counter);
    *exit =
        (engine_exit_t){.reason = ENGINE_KICKED, .pc = thread->pc, .ticks = unicorn_ticks(self)};
    return true;
}
