/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The Unicorn engine (GPL-2; built only when GUESTMEM_UNICORN is on).
 *
 * The guest runs in non-secure EL1 with *real stage-2 translation*: HCR_EL2.VM is set and VTTBR_EL2
 * points to the tables of shadow.c, which Unicorn walks. So rights are exact for each page, an
 * access that is not allowed is a data abort with the program counter exactly at the instruction,
 * and the number of mappings does not matter. (Unicorn's own unmapped and protection hooks leave
 * the program counter at the beginning of the block, get virtual addresses, and need a region for
 * each run of pages, of which about 1,000 abort the process.)
 *
 * Unicorn's physical address space holds the banks of physical memory and the tables, all above
 * UNICORN_BASE. Before it translates an access, Unicorn 2.0.1 wants its *virtual* address to lie in
 * some region, whatever the translation; *cover* regions, which no translation leads to, see to it.
 */

#include "unicorn.h"
#include "abort.h"
#include <inttypes.h>
#include <stdio.h>

enum { TICK_NANOSECONDS = 16 }; /* at the 62.5 MHz that CNTFRQ_EL0 has */

#define LONGEST_REST ((uint64_t)1 << 56) /* ticks: for ever, as far as a host is concerned */

static const unicorn_system_register_t tcr_el1 = {3, 0, 2, 0, 2};
static const unicorn_system_register_t ttbr0_el1 = {3, 0, 2, 0, 0};
static const unicorn_system_register_t ttbr1_el1 = {3, 0, 2, 0, 1};

static unicorn_engine_t *unicorn(engine_t *engine)
{
    return (unicorn_engine_t *)engine;
}

static void get_registers(engine_t *engine, seL4_UserContext *context)
{
    unicorn_engine_t *self = unicorn(engine);

    unicorn_read_context(self->uc, &self->context);
    *context = self->context;
}

static int set_registers(engine_t *engine, const seL4_UserContext *context)
{
    unicorn_engine_t *self = unicorn(engine);

    if ((context->spsr & PSTATE_MODE) != (self->context.spsr & PSTATE_MODE) &&
        (context->spsr & PSTATE_MODE & ~1ull) != PSTATE_EL1T) {
        return -1;
    }
    unicorn_write_context(self->uc, &self->context, context);
    if (context->spsr != self->context.spsr) {
        unicorn_write_state(self, (uint32_t)context->spsr);
    }
    self->context = *context;
    return 0;
}

static void get_system_registers(engine_t *engine, seL4_Word registers[seL4_VCPUReg_Num])
{
    unicorn_engine_t *self = unicorn(engine);

    unicorn_read_vcpu(self->uc, self->registers);
    for (int i = 0; i < seL4_VCPUReg_Num; i++) {
        registers[i] = self->registers[i];
    }
}

static void set_system_registers(engine_t *engine, const seL4_Word registers[seL4_VCPUReg_Num])
{
    unicorn_engine_t *self = unicorn(engine);

    unicorn_write_vcpu(self->uc, self->registers, registers);
    for (int i = 0; i < seL4_VCPUReg_Num; i++) {
        self->registers[i] = registers[i];
    }
}

static void set_budget(engine_t *engine, uint64_t instructions)
{
    unicorn_engine_t *self = unicorn(engine);

    self->budget_end = instructions != 0 ? self->instructions + instructions : UINT64_MAX;
}

static void set_interrupts(engine_t *engine, bool waits, bool timer_masked)
{
    unicorn(engine)->interrupt_waits = waits;
    unicorn(engine)->timer_masked = timer_masked;
}

static void read_view(unicorn_engine_t *self, abort_view_t *view)
{
    unicorn_read_general(self->uc, view->x, &view->sp, &view->pc);
    unicorn_read_system(self->uc, unicorn_sctlr_el1, &view->regime.sctlr);
    unicorn_read_system(self->uc, tcr_el1, &view->regime.tcr);
    unicorn_read_system(self->uc, ttbr0_el1, &view->regime.ttbr0);
    unicorn_read_system(self->uc, ttbr1_el1, &view->regime.ttbr1);
    view->shadow = self->shadow;
    view->host = unicorn_host;
    view->cookie = self;
}

uint8_t *unicorn_writable_page(unicorn_engine_t *self, uint64_t page)
{
    abort_view_t view;

    read_view(self, &view);
    return abort_writable_page(&view, page);
}

bool unicorn_translate(unicorn_engine_t *self, uint64_t address, uint64_t *gpa)
{
    abort_view_t view;

    read_view(self, &view);
    return abort_translate(&view, address, gpa);
}

/* The classes of a syndrome that EL2 gets; all others are the guest's own. */
enum { CLASS_WAIT = 0x01, CLASS_HVC = 0x16, CLASS_SMC = 0x17 };

/* Why it stopped, as far as that does not concern memory. The guest's own exceptions get a name. */
static engine_reason_t reason_of(const unicorn_engine_t *self, const char **name)
{
    switch (self->interrupt) {
    case UNICORN_SUPERVISOR_CALL:
        *name = "supervisor call (svc)";
        return ENGINE_EXCEPTION;
    case UNICORN_BREAKPOINT:
        *name = "breakpoint or step";
        return ENGINE_EXCEPTION;
    case UNICORN_UNDEFINED:
    case UNICORN_HYPERVISOR_TRAP:
    case UNICORN_HYPERVISOR_CALL:
    case UNICORN_SECURE_CALL:
        switch (self->syndrome >> 26) {
        case CLASS_WAIT:
            return ENGINE_WFI;
        case CLASS_HVC:
            return ENGINE_HVC;
        case CLASS_SMC:
            return ENGINE_SMC;
        default:
            return ENGINE_UNDEFINED;
        }
    case UNICORN_DATA_ABORT:
    case UNICORN_PREFETCH_ABORT:
        *name = self->interrupt == UNICORN_DATA_ABORT ? "data abort" : "prefetch abort";
        return self->page == UINT64_MAX ? ENGINE_EXCEPTION : ENGINE_FAULT;
    default:
        return ENGINE_ERROR;
    }
}

/* Describe what the guest cannot be given itself. */
static void describe(unicorn_engine_t *self, const char *name, engine_exit_t *exit)
{
    abort_view_t view;

    read_view(self, &view);
    abort_read_instruction(&view, exit->pc, &exit->instruction);
    switch (exit->reason) {
    case ENGINE_FAULT:
        if (self->interrupt == UNICORN_DATA_ABORT) {
            abort_describe_data(&view, self->page, exit);
        } else {
            abort_describe_fetch(&view, self->page, exit);
        }
        break;
    case ENGINE_HVC:
    case ENGINE_SMC:
        exit->syndrome = self->syndrome & 0xffff;
        break;
    case ENGINE_EXCEPTION:
        snprintf(exit->text, sizeof(exit->text),
                 "%s (syndrome 0x%08" PRIx32 ", address 0x%" PRIx64 "), and no vector to take it",
                 name, self->syndrome, self->fault_address);
        break;
    case ENGINE_ERROR:
        snprintf(exit->text, sizeof(exit->text), "unicorn: exception %d", self->interrupt);
        break;
    default:
        break;
    }
}

/*
 * Whether the guest can take its own exception: not if its vectors are where they are at reset and
 * nothing is there, and not if it is the first instruction of a vector that raises it, for that
 * would go on for ever.
 */
static bool has_vector(unicorn_engine_t *self, uint64_t pc)
{
    abort_view_t view;
    uint32_t instruction;
    uint64_t base;

    uc_reg_read(self->uc, UC_ARM64_REG_VBAR_EL1, &base);
    if (pc == self->vector || base != 0) {
        return pc != self->vector;
    }
    read_view(self, &view);
    return abort_read_instruction(&view, base, &instruction);
}

/* The run stopped for an exception. @return false if the guest has taken it and goes on */
static bool classify_interrupt(unicorn_engine_t *self, engine_exit_t *exit)
{
    const char *name = NULL;
    bool call = self->interrupt == UNICORN_SUPERVISOR_CALL ||
                self->interrupt == UNICORN_HYPERVISOR_CALL ||
                self->interrupt == UNICORN_SECURE_CALL;

    exit->pc -= call ? 4 : 0; /* Unicorn has left it after the call */
    exit->reason = reason_of(self, &name);
    if ((exit->reason == ENGINE_EXCEPTION || exit->reason == ENGINE_UNDEFINED) &&
        has_vector(self, exit->pc)) {
        self->vector = unicorn_enter_exception(self, exit->pc + (call ? 4 : 0));
        self->aside = false;
        *exit = (engine_exit_t){.reason = ENGINE_DEBUG, .pc = self->vector};
        return self->steps;
    }
    if (call) {
        uc_reg_write(self->uc, UC_ARM64_REG_PC, &exit->pc);
    }
    describe(self, name, exit);
    return exit->reason != ENGINE_FAULT || !unicorn_watches(self, exit);
}

/* @return false if the guest goes on */
static bool classify(unicorn_engine_t *self, uc_err status, engine_exit_t *exit)
{
    *exit = (engine_exit_t){.reason = ENGINE_KICKED};
    uc_reg_read(self->uc, UC_ARM64_REG_PC, &exit->pc);
    if (unicorn_debug_stops(self, exit)) {
        return true;
    }
    if (self->num_stale > 0 && self->interrupt == UNICORN_NONE && self->out_of_reach == 0 &&
        status == UC_ERR_OK && !unicorn_must_stop(self)) {
        return false; /* it stopped for unicorn_forget_code() */
    }
    if (self->may_narrow && self->interrupt == UNICORN_PREFETCH_ABORT && self->page == UINT64_MAX) {
        unicorn_note_width(self, self->fault_address);
    }
    if (self->narrow) {
        exit->reason = ENGINE_EXCEPTION;
        snprintf(exit->text, sizeof(exit->text), "return to AArch32, which is not supported");
        uc_reg_read(self->uc, UC_ARM64_REG_ELR_EL1, &exit->pc);
        return true;
    }
    if (self->interrupt != UNICORN_NONE) {
        return classify_interrupt(self, exit);
    }
    if (self->out_of_reach != 0) {
        exit->reason = ENGINE_ERROR;
        snprintf(exit->text, sizeof(exit->text),
                 "unicorn: virtual address 0x%" PRIx64 " is out of reach", self->out_of_reach);
    } else if (status != UC_ERR_OK) {
        exit->reason = ENGINE_ERROR;
        snprintf(exit->text, sizeof(exit->text), "unicorn: %s", uc_strerror(status));
    } else if (self->instructions >= self->budget_end) {
        exit->reason = ENGINE_BUDGET;
    } else {
        atomic_store(&self->kicked, false); /* it has had its effect */
    }
    return true;
}

static bool lets_interrupt_in(const unicorn_engine_t *self)
{
    uint32_t state = 0;
    uc_reg_read(self->uc, UC_ARM64_REG_PSTATE, &state);
    return (state & PSTATE_IRQ_MASK) == 0;
}

bool unicorn_must_stop(unicorn_engine_t *self)
{
    if (self->flags_changed) {
        unicorn_note_flags(self);
    }
    if (self->timer_armed) {
        unicorn_update_timer(self);
    }
    return self->narrow || atomic_load(&self->kicked) || self->instructions >= self->budget_end ||
           unicorn_ticks(self) >= self->alarm || (self->timer_line && !self->timer_masked) ||
           (self->interrupt_waits && lets_interrupt_in(self));
}

void unicorn_plan(unicorn_engine_t *self)
{
    /* In real time: not at each block, which would take longer than the block. */
    enum { INSTRUCTIONS_BETWEEN = 2048 };
    uint64_t next = self->budget_end;

    if (self->alarm != UINT64_MAX && self->alarm - self->slept < next) {
        next = self->alarm - self->slept;
    }
    if (self->timer_armed) {
        uint64_t look = self->instructions +
                        (self->virtual_time ? self->timer_remaining : INSTRUCTIONS_BETWEEN);
        next = look < next ? look : next;
    }
    if (self->interrupt_waits || self->flags_changed || self->may_narrow || self->num_stale > 0 ||
        self->step != UNICORN_STEP_NONE) {
        next = 0;
    }
    atomic_store(&self->attend_at, next);
    if (atomic_load(&self->kicked)) {
        atomic_store(&self->attend_at, 0);
    }
}

/* Run up to the next event. @return its status */
static uc_err run_once(unicorn_engine_t *self)
{
    uint64_t pc = 0;
    uint64_t before = self->instructions;

    self->interrupt = UNICORN_NONE;
    self->out_of_reach = 0;
    if (unicorn_must_stop(self)) {
        return UC_ERR_OK;
    }
    unicorn_forget_code(self);
    uc_reg_read(self->uc, UC_ARM64_REG_PC, &pc);
    unicorn_debug_begin(self, pc);
    unicorn_plan(self);
    self->stopped_before = UINT64_MAX;
    /* No instruction is at the last address, so the run stops by an exit only. */
    uc_err status = uc_emu_start(self->uc, pc, UINT64_MAX, 0, 0);
    unicorn_debug_end(self);
    if (self->stopped_before != UINT64_MAX) { /* which Unicorn does not say if it has code hooks */
        uc_reg_write(self->uc, UC_ARM64_REG_PC, &self->stopped_before);
    }
    if (self->interrupt != UNICORN_NONE && self->instructions == before) {
        self->instructions++; /* a fetch that faults, again and again, must stop too */
    }
    return status;
}

/* Nothing runs until the timer or the alarm: in virtual time they come at once. */
static void sleep_virtually(unicorn_engine_t *self)
{
    uint64_t end = self->alarm;

    unicorn_update_timer(self);
    uint64_t ticks = unicorn_ticks(self);
    if (self->timer_armed && ticks + self->timer_remaining < end) {
        end = ticks + self->timer_remaining;
    }
    if (end != UINT64_MAX && end > ticks) {
        self->slept += end - ticks;
    }
}

static bool set_virtual_time(engine_t *engine, uint64_t alarm)
{
    unicorn_engine_t *self = unicorn(engine);

    self->alarm = alarm;
    return self->virtual_time || unicorn_use_virtual_time(self);
}

static void run(engine_t *engine, engine_exit_t *exit)
{
    unicorn_engine_t *self = unicorn(engine);

    if (self->failed) {
        *exit = (engine_exit_t){.reason = ENGINE_ERROR};
        snprintf(exit->text, sizeof(exit->text), "%s", self->failure);
        return;
    }
    unicorn_synchronise(self);
    unicorn_forget_page(self);
    self->fresh = UINT64_MAX;
    unicorn_update_timer(self);
    uc_err status;
    do {
        status = run_once(self);
    } while (unicorn_stepped_aside(self) || !classify(self, status, exit));
    if (exit->reason == ENGINE_WFI && self->virtual_time && !self->interrupt_waits) {
        sleep_virtually(self);
    }
    unicorn_update_timer(self);
    exit->timer = self->timer_line;
    if (self->virtual_time) {
        exit->rest = self->timer_armed || self->alarm != UINT64_MAX ? 0 : UINT64_MAX;
    } else {
        uint64_t rest = self->timer_remaining < LONGEST_REST ? self->timer_remaining : LONGEST_REST;
        exit->rest = self->timer_armed ? rest * TICK_NANOSECONDS : UINT64_MAX;
    }
    exit->ticks = unicorn_ticks(self);
}

/* The block hook sees the flag: see on_block() for why Unicorn is not stopped from here. */
static void kick(engine_t *engine)
{
    atomic_store(&unicorn(engine)->kicked, true);
    atomic_store(&unicorn(engine)->attend_at, 0);
}

const engine_class_t engine_unicorn = {
    .name = "unicorn",
    .create = unicorn_create,
    .destroy = unicorn_destroy,
    .mapped = unicorn_mapped,
    .unmapped = unicorn_unmapped,
    .unify = unicorn_unify,
    .get_registers = get_registers,
    .set_registers = set_registers,
    .get_system_registers = get_system_registers,
    .set_system_registers = set_system_registers,
    .save = unicorn_save,
    .restore = unicorn_restore,
    .state_size = unicorn_state_size,
    .identify = unicorn_identify,
    .set_budget = set_budget,
    .set_interrupts = set_interrupts,
    .set_virtual_time = set_virtual_time,
    .set_stops = unicorn_set_stops,
    .set_step = unicorn_set_step,
    .written = unicorn_written,
    .run = run,
    .kick = kick,
};
