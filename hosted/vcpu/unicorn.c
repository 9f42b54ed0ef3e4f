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

    if ((context->spsr & PSTATE_MODE) != (self->context.spsr & PSTATE_MODE)) {
        return -1;
    }
    unicorn_write_context(self->uc, &self->context, context);
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

    self->budget = instructions;
    self->counting = instructions != 0;
}

static void set_interrupt(engine_t *engine, bool on)
{
    unicorn(engine)->interrupt_waits = on;
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

/* The guest-physical page of a stage-2 fault; UINT64_MAX if the fault was none. */
static uint64_t faulting_page(unicorn_engine_t *self)
{
    uint64_t value;

    unicorn_read_system(self->uc, unicorn_hpfar_el2, &value);
    if (value == UNICORN_HPFAR_NONE) {
        return UINT64_MAX;
    }
    unicorn_write_system(self->uc, unicorn_hpfar_el2, UNICORN_HPFAR_NONE);
    return value >> 4 << 12;
}

/* What was trapped as undefined: calls and waits that EL2 wants to see, or nothing known. */
static void classify_undefined(engine_exit_t *exit)
{
    exit->syndrome = exit->instruction >> 5 & 0xffff;
    if ((exit->instruction & 0xffe0001f) == 0xd4000003) {
        exit->reason = ENGINE_SMC;
    } else if ((exit->instruction & 0xffe0001f) == 0xd4000002) {
        exit->reason = ENGINE_HVC;
    } else if (exit->instruction == 0xd503207f) {
        exit->reason = ENGINE_WFI;
    } else {
        exit->reason = ENGINE_UNDEFINED;
    }
}

static void own_exception(engine_exit_t *exit, const char *what)
{
    exit->reason = ENGINE_EXCEPTION;
    snprintf(exit->text, sizeof(exit->text), "%s, for the guest's own vectors", what);
}

/* Calls leave the program counter after the instruction; all else leaves it at it. */
static void classify_interrupt(unicorn_engine_t *self, engine_exit_t *exit)
{
    abort_view_t view;
    bool call = self->interrupt == UNICORN_SUPERVISOR_CALL ||
                self->interrupt == UNICORN_HYPERVISOR_CALL ||
                self->interrupt == UNICORN_SECURE_CALL;

    read_view(self, &view);
    if (call) {
        view.pc -= 4;
        uc_reg_write(self->uc, UC_ARM64_REG_PC, &view.pc);
    }
    exit->pc = view.pc;
    abort_read_instruction(&view, view.pc, &exit->instruction);
    switch (self->interrupt) {
    case UNICORN_DATA_ABORT:
        abort_describe_data(&view, faulting_page(self), exit);
        break;
    case UNICORN_PREFETCH_ABORT:
        abort_describe_fetch(&view, faulting_page(self), exit);
        break;
    case UNICORN_UNDEFINED:
    case UNICORN_HYPERVISOR_TRAP:
    case UNICORN_HYPERVISOR_CALL:
    case UNICORN_SECURE_CALL:
        classify_undefined(exit);
        break;
    case UNICORN_SUPERVISOR_CALL:
        own_exception(exit, "supervisor call (svc)");
        break;
    case UNICORN_BREAKPOINT:
        own_exception(exit, "breakpoint (brk)");
        break;
    default:
        exit->reason = ENGINE_ERROR;
        snprintf(exit->text, sizeof(exit->text), "unicorn: exception %d", self->interrupt);
        break;
    }
}

static void classify(unicorn_engine_t *self, uc_err status, engine_exit_t *exit)
{
    *exit = (engine_exit_t){.reason = ENGINE_KICKED};
    uc_reg_read(self->uc, UC_ARM64_REG_PC, &exit->pc);
    if (self->interrupt != UNICORN_NONE) {
        classify_interrupt(self, exit);
    } else if (self->out_of_reach != 0) {
        exit->reason = ENGINE_ERROR;
        snprintf(exit->text, sizeof(exit->text),
                 "unicorn: virtual address 0x%" PRIx64 " is out of reach", self->out_of_reach);
    } else if (status != UC_ERR_OK) {
        exit->reason = ENGINE_ERROR;
        snprintf(exit->text, sizeof(exit->text), "unicorn: %s", uc_strerror(status));
    } else if (self->counting && self->budget == 0) {
        exit->reason = ENGINE_BUDGET;
    } else {
        atomic_store(&self->kicked, false); /* it has had its effect */
    }
}

static void run(engine_t *engine, engine_exit_t *exit)
{
    unicorn_engine_t *self = unicorn(engine);
    uint64_t pc = 0;

    if (self->failed) {
        *exit = (engine_exit_t){.reason = ENGINE_ERROR};
        snprintf(exit->text, sizeof(exit->text), "%s", self->failure);
        return;
    }
    unicorn_synchronise(self);
    self->interrupt = UNICORN_NONE;
    self->out_of_reach = 0;
    uc_reg_read(self->uc, UC_ARM64_REG_PC, &pc);
    uc_err status = UC_ERR_OK;
    if (!atomic_exchange(&self->kicked, false) && !(self->counting && self->budget == 0)) {
        uint64_t budget = self->budget;
        /* No instruction is at the last address, so the run stops by an exit only. */
        status = uc_emu_start(self->uc, pc, UINT64_MAX, 0, 0);
        if (self->counting && self->budget == budget) {
            self->budget--; /* a fetch that faults, again and again, must stop too */
        }
    }
    classify(self, status, exit);
}

/* The block hook sees the flag: see on_block() for why Unicorn is not stopped from here. */
static void kick(engine_t *engine)
{
    atomic_store(&unicorn(engine)->kicked, true);
}

const engine_class_t engine_unicorn = {
    .name = "unicorn",
    .create = unicorn_create,
    .destroy = unicorn_destroy,
    .mapped = unicorn_mapped,
    .unmapped = unicorn_unmapped,
    .get_registers = get_registers,
    .set_registers = set_registers,
    .get_system_registers = get_system_registers,
    .set_system_registers = set_system_registers,
    .set_budget = set_budget,
    .set_interrupt = set_interrupt,
    .run = run,
    .kick = kick,
};
