/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Exceptions that the guest takes itself. Unicorn only reports them: entering EL1 is done here, as
 * the Arm architecture reference manual has it under "AArch64.TakeException". Three things that are
 * needed for it are not among Unicorn's registers, but in the blob that it saves a context to: the
 * syndrome and the address of the last exception, and the flags that the translator derives from
 * the state of the processor and keeps. With those of EL0, the first instruction at a vector would
 * be translated as one of EL0. Where the three are in the blob is found by experiment when an
 * engine is made, with a few instructions whose effect is known.
 */

#include "unicorn.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_ENTRY 0x3c5u /* EL1h, all masked */
#define STATE_FLAGS 0xf0000000u
#define STATE_LEVEL 0xcu
#define FROM_EL1H   0x200u
#define FROM_EL0    0x400u

#define CLASS_OF(syndrome) ((syndrome) >> 26)
enum { CLASS_FETCH_LOWER = 0x20, CLASS_DATA = 0x25, CLASS_WATCHPOINT = 0x34 };

static const unicorn_system_register_t spsr_el1 = {3, 0, 4, 0, 0};

static uint32_t read_state(uc_engine *uc)
{
    uint32_t state = 0;
    uc_reg_read(uc, UC_ARM64_REG_PSTATE, &state);
    return state;
}

static uint32_t word_at(const void *context, size_t at)
{
    uint32_t word;
    memcpy(&word, (const char *)context + at, sizeof(word));
    return word;
}

static void change_flags(unicorn_engine_t *self, uint32_t flags)
{
    uc_context_save(self->uc, self->saved);
    memcpy((char *)self->saved + self->flags_at, &flags, sizeof(flags));
    uc_context_restore(self->uc, self->saved);
}

void unicorn_note_flags(unicorn_engine_t *self)
{
    if ((read_state(self->uc) & STATE_LEVEL) != 0) {
        uc_context_save(self->uc, self->saved);
        self->flags = word_at(self->saved, self->flags_at);
        self->flags_changed = false;
    }
}

void unicorn_note_exception(unicorn_engine_t *self)
{
    uc_context_save(self->uc, self->saved);
    self->syndrome = word_at(self->saved, self->syndrome_at);
    memcpy(&self->fault_address, (const char *)self->saved + self->address_at,
           sizeof(self->fault_address));
}

void unicorn_write_state(unicorn_engine_t *self, uint32_t state)
{
    static const int banks[] = {UC_ARM64_REG_SP_EL0, UC_ARM64_REG_SP_EL1};
    uint32_t before = read_state(self->uc);
    unsigned from = (before & PSTATE_MODE) == PSTATE_EL1H;
    unsigned to = (state & PSTATE_MODE) == PSTATE_EL1H;

    if (from != to) {
        uint64_t sp;
        uc_reg_read(self->uc, UC_ARM64_REG_SP, &sp);
        uc_reg_write(self->uc, banks[from], &sp);
        uc_reg_read(self->uc, banks[to], &sp);
        uc_reg_write(self->uc, UC_ARM64_REG_SP, &sp);
    }
    uc_reg_write(self->uc, UC_ARM64_REG_PSTATE, &state);
    if ((before & STATE_LEVEL) == 0 && (state & STATE_LEVEL) != 0) {
        change_flags(self, self->flags);
    }
}

void unicorn_note_width(unicorn_engine_t *self, uint64_t address)
{
    uint64_t state = 0;
    uint64_t link = 0;

    unicorn_read_system(self->uc, spsr_el1, &state);
    uc_reg_read(self->uc, UC_ARM64_REG_ELR_EL1, &link);
    self->may_narrow = (state & PSTATE_AARCH32) != 0;
    self->narrow |= self->may_narrow && (address | 3) == (link | 3);
}

uint64_t unicorn_enter_exception(unicorn_engine_t *self, uint64_t return_address)
{
    uint32_t state = read_state(self->uc);
    uint64_t vector;
    uint64_t syndrome = self->syndrome;

    uc_reg_read(self->uc, UC_ARM64_REG_VBAR_EL1, &vector);
    vector += (state & STATE_LEVEL) == 0 ? FROM_EL0 : (state & 1) != 0 ? FROM_EL1H : 0;
    unicorn_write_system(self->uc, spsr_el1, state);
    uc_reg_write(self->uc, UC_ARM64_REG_ELR_EL1, &return_address);
    uc_reg_write(self->uc, UC_ARM64_REG_ESR_EL1, &syndrome);
    if ((CLASS_OF(syndrome) >= CLASS_FETCH_LOWER && CLASS_OF(syndrome) <= CLASS_DATA) ||
        CLASS_OF(syndrome) >> 1 == CLASS_WATCHPOINT >> 1) {
        uc_reg_write(self->uc, UC_ARM64_REG_FAR_EL1, &self->fault_address);
    }
    unicorn_write_state(self, STATE_ENTRY | (state & STATE_FLAGS));
    uc_reg_write(self->uc, UC_ARM64_REG_PC, &vector);
    return vector;
}

/* The experiments. Their code is in the starter, which is where stage 2 does not matter yet. */

#define SVC(number)  (0xd4000001u | (number) << 5)
#define SVC_SYNDROME 0x56000000u

enum { CODE = UNICORN_PAGE_BYTES / 2, PROBES = 3 };

/* Run instructions from the middle of the starter up to an exception. @return its number */
static int try_code(unicorn_engine_t *self, const uint32_t *code, size_t count)
{
    const uint64_t start = UNICORN_STARTER + CODE;

    memcpy((char *)self->starter + CODE, code, count * sizeof(*code));
    uc_ctl_remove_cache(self->uc, start, start + UNICORN_PAGE_BYTES - CODE);
    self->interrupt = UNICORN_NONE;
    uc_emu_start(self->uc, start, start + count * sizeof(*code), 0, 0);
    return self->interrupt;
}

/* The one place where each context has its value of `size` bytes; 0 if there is not just one. */
static size_t find_value(const unicorn_engine_t *self, uc_context *const contexts[PROBES],
                         const uint64_t values[PROBES], size_t size)
{
    size_t found = 0;

    for (size_t at = sizeof(uint64_t); at + size <= self->saved_size; at += sizeof(uint32_t)) {
        unsigned same = 0;
        for (unsigned i = 0; i < PROBES; i++) {
            same += memcmp((const char *)contexts[i] + at, &values[i], size) == 0;
        }
        if (same == PROBES && found != 0) {
            return 0;
        }
        found = same == PROBES ? at : found;
    }
    return found;
}

/* Supervisor calls leave their number in the syndrome. */
static bool find_syndrome(unicorn_engine_t *self, uc_context *const contexts[PROBES])
{
    static const uint64_t values[PROBES] = {SVC_SYNDROME | 0x1234, SVC_SYNDROME | 0x4321,
                                            SVC_SYNDROME | 0x2143};

    for (unsigned i = 0; i < PROBES; i++) {
        const uint32_t code[] = {SVC((uint32_t)values[i] & 0xffff)};
        self->context_at_exception = contexts[i];
        if (try_code(self, code, 1) != UNICORN_SUPERVISOR_CALL) {
            return false;
        }
    }
    self->syndrome_at = find_value(self, contexts, values, sizeof(uint32_t));
    return self->syndrome_at != 0;
}

/* A misaligned exclusive load faults at its address, each time in another register. */
static bool find_address(unicorn_engine_t *self, uc_context *const contexts[PROBES])
{
    uint64_t values[PROBES];
    const uint64_t none = 0;

    for (unsigned i = 0; i < PROBES; i++) {
        const uint32_t code[] = {0xc85f7c00u | (i + 1) << 5}; /* ldxr x0, [x(i + 1)] */
        values[i] = UNICORN_STARTER + 0x101 + 0x110 * (uint64_t)i;
        uc_reg_write(self->uc, UC_ARM64_REG_X1 + (int)i, &values[i]);
        self->context_at_exception = contexts[i];
        int number = try_code(self, code, 1);
        uc_reg_write(self->uc, UC_ARM64_REG_X1 + (int)i, &none);
        if (number != UNICORN_DATA_ABORT) {
            return false;
        }
    }
    self->address_at = find_value(self, contexts, values, sizeof(uint64_t));
    return self->address_at != 0;
}

/* Whether EL0, as in that context, becomes EL1 with the word at `at` as it was in EL1. */
static bool raises_level(unicorn_engine_t *self, const uc_context *el0, uc_context *scratch,
                         size_t at, uint32_t word)
{
    static const uint32_t code[] = {0xd5384240, SVC(1)}; /* mrs x0, CurrentEL */
    uint32_t state = STATE_ENTRY;
    uint64_t x0 = 0;

    memcpy(scratch, el0, self->saved_size);
    memcpy((char *)scratch + at, &word, sizeof(word));
    uc_context_restore(self->uc, scratch);
    uc_reg_write(self->uc, UC_ARM64_REG_X0, &x0);
    uc_reg_write(self->uc, UC_ARM64_REG_PSTATE, &state);
    int number = try_code(self, code, 2);
    uc_reg_read(self->uc, UC_ARM64_REG_X0, &x0);
    return number == UNICORN_SUPERVISOR_CALL && x0 == 1 << 2;
}

/* Of the words that differ between EL1 and EL0, try which one it is. */
static bool find_flags(unicorn_engine_t *self, uc_context *const contexts[PROBES])
{
    static const uint32_t at_el1[] = {SVC(1)};
    static const uint32_t to_el0[] = {0xd5184000, 0xd5184021, 0xd69f03e0, /* msr spsr, elr; eret */
                                      SVC(1)};
    const uint64_t state = STATE_ENTRY & ~PSTATE_MODE;
    const uint64_t next = UNICORN_STARTER + CODE + 3 * sizeof(uint32_t);

    self->context_at_exception = contexts[0];
    bool done = try_code(self, at_el1, 1) == UNICORN_SUPERVISOR_CALL;
    uc_reg_write(self->uc, UC_ARM64_REG_X0, &state);
    uc_reg_write(self->uc, UC_ARM64_REG_X1, &next);
    self->context_at_exception = contexts[1];
    done = done && try_code(self, to_el0, 4) == UNICORN_SUPERVISOR_CALL &&
           (read_state(self->uc) & STATE_LEVEL) == 0;
    self->context_at_exception = NULL;
    for (size_t at = sizeof(uint64_t); done && at < self->saved_size; at += sizeof(uint32_t)) {
        uint32_t word = word_at(contexts[0], at);
        if (word != word_at(contexts[1], at) &&
            raises_level(self, contexts[1], contexts[2], at, word)) {
            self->flags_at = at;
            self->flags = word;
            return true;
        }
    }
    return false;
}

bool unicorn_explore(unicorn_engine_t *self, char *error, size_t error_size)
{
    uc_context *contexts[PROBES] = {NULL};
    uc_context *before = NULL;
    const char *missing = "the host has no memory for a context";

    self->saved_size = uc_context_size(self->uc) & ~(size_t)7;
    bool allocated = uc_context_alloc(self->uc, &self->saved) == UC_ERR_OK &&
                     uc_context_alloc(self->uc, &before) == UC_ERR_OK;
    for (unsigned i = 0; allocated && i < PROBES; i++) {
        allocated = uc_context_alloc(self->uc, &contexts[i]) == UC_ERR_OK;
    }
    if (allocated) {
        uc_context_save(self->uc, before);
        missing = !find_syndrome(self, contexts)  ? "syndrome of an exception"
                  : !find_address(self, contexts) ? "address of an exception"
                  : !find_flags(self, contexts)   ? "flags of the translator"
                                                  : NULL;
        self->context_at_exception = NULL;
        uc_context_restore(self->uc, before);
        self->interrupt = UNICORN_NONE;
    }
    for (unsigned i = 0; i < PROBES; i++) {
        uc_context_free(contexts[i]);
    }
    uc_context_free(before);
    if (missing != NULL) {
        snprintf(error, error_size,
                 allocated ? "unicorn: cannot find the %s in its contexts: use version 2.0.1"
                           : "unicorn: %s",
                 missing);
    }
    return missing == NULL;
}
