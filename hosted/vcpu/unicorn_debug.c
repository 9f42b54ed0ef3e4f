/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What a debugger asks for.
 *
 * Breakpoints and steps are hooks of Unicorn on single instructions. It looks for hooks when it
 * translates, so code that it has translated before is dropped; nothing else gets slower.
 *
 * A watchpoint takes rights away in the shadow tables while the guest runs, so that an access to
 * its page faults, exactly at the instruction and before anything is done. If that access is not to
 * be watched, the instruction is executed alone, with the rights that the page has.
 */

#include "unicorn.h"

#define PAGE_MASK ((uint64_t)UNICORN_PAGE_BYTES - 1)
#define UPPER     ((uint64_t)1 << 55) /* addresses of the kernel, which all processes share */

static const engine_stop_t *find_breakpoint(const unicorn_engine_t *self, uint64_t address)
{
    for (size_t i = 0; i < self->num_stops; i++) {
        if (self->stops[i].kind == ENGINE_STOP_EXECUTE && self->stops[i].address == address) {
            return &self->stops[i];
        }
    }
    return NULL;
}

static bool hits_breakpoint(unicorn_engine_t *self, uint64_t address)
{
    if (self->step == UNICORN_STEP_NONE && self->hit == NULL) {
        self->hit = find_breakpoint(self, address);
        return self->hit != NULL;
    }
    return false;
}

void unicorn_uncount(unicorn_engine_t *self, uint64_t address)
{
    self->instructions -= (self->block_end - address) / 4;
}

/* The guest is about to execute an instruction that has a hook, or two: called for each. */
static void on_code(uc_engine *uc, uint64_t address, uint32_t size, void *cookie)
{
    unicorn_engine_t *self = cookie;

    (void)size;
    if (self->step != UNICORN_STEP_NONE && address == self->step_from) {
        self->step = UNICORN_STEP_BEGUN; /* a branch to itself would begin another block */
    } else if (unicorn_step_ends(self) || hits_breakpoint(self, address)) {
        unicorn_uncount(self, address);
        uc_emu_stop(uc);
    }
}

static bool add_hook(unicorn_engine_t *self, uc_hook *hook, uint64_t first, uint64_t last)
{
    return uc_hook_add(self->uc, hook, UC_HOOK_CODE, (void *)on_code, self, first, last) ==
           UC_ERR_OK;
}

/* Drop what was translated at an address, whichever process it is of. */
static void forget_address(unicorn_engine_t *self, uint64_t address)
{
    uint64_t sctlr;
    uint64_t gpa;

    unicorn_read_system(self->uc, unicorn_sctlr_el1, &sctlr);
    bool shared = (address & UPPER) != 0 || (sctlr & 1) == 0;
    if (shared && unicorn_translate(self, address & ~PAGE_MASK, &gpa)) {
        unicorn_forget_pages(self, &gpa, 1);
    } else {
        uc_ctl_flush_tlb(self->uc); /* in spite of its name, all that was translated */
    }
}

/* Have a hook at each breakpoint. While stepping over one that is not wanted now, keep its hook. */
static void hook_breakpoints(unicorn_engine_t *self)
{
    size_t kept = 0;

    for (size_t i = 0; i < self->num_breakpoints; i++) {
        if (self->steps || find_breakpoint(self, self->breakpoints[i].address) != NULL) {
            self->breakpoints[kept++] = self->breakpoints[i];
        } else {
            uc_hook_del(self->uc, self->breakpoints[i].hook);
        }
    }
    self->num_breakpoints = kept;
    for (size_t i = 0; i < self->num_stops; i++) {
        const engine_stop_t *stop = &self->stops[i];
        breakpoint_t new = {.address = stop->address};
        size_t at = 0;
        while (at < self->num_breakpoints && self->breakpoints[at].address != stop->address) {
            at++;
        }
        if (stop->kind == ENGINE_STOP_EXECUTE && at == self->num_breakpoints &&
            at < UNICORN_MAX_BREAKPOINTS &&
            add_hook(self, &new.hook, stop->address, stop->address)) {
            self->breakpoints[self->num_breakpoints++] = new;
            forget_address(self, stop->address);
        }
    }
}

void unicorn_set_stops(engine_t *engine, const engine_stop_t *stops, size_t count)
{
    unicorn_engine_t *self = (unicorn_engine_t *)engine;

    self->num_stops = 0;
    self->hit = NULL;
    self->aside = false;
    for (size_t i = 0; i < count && i < ENGINE_MAX_STOPS; i++) {
        self->stops[self->num_stops++] = stops[i];
    }
    hook_breakpoints(self);
}

void unicorn_set_step(engine_t *engine, bool step)
{
    ((unicorn_engine_t *)engine)->steps = step;
}

void unicorn_written(engine_t *engine, uint64_t gpa)
{
    gpa &= ~PAGE_MASK;
    unicorn_forget_pages((unicorn_engine_t *)engine, &gpa, 1);
}

bool unicorn_step_ends(unicorn_engine_t *self)
{
    if (self->step != UNICORN_STEP_BEGUN) {
        return false;
    }
    self->step = UNICORN_STEP_DONE;
    return true;
}

/* Find the pages of a watchpoint; their tables must be readable meanwhile. */
static void find_watched(unicorn_engine_t *self, const engine_stop_t *stop)
{
    uint64_t last = stop->address + stop->size - 1;
    uint64_t page = stop->address & ~PAGE_MASK;

    for (bool more = true; more; page += UNICORN_PAGE_BYTES) {
        watched_t watched = {.stop = stop};
        more = last - page > PAGE_MASK;
        if (self->num_watched < UNICORN_MAX_WATCHED &&
            unicorn_translate(self, page, &watched.gpa) &&
            shadow_split(self->shadow, watched.gpa) == 0 &&
            shadow_lookup(self->shadow, watched.gpa, &watched.entry)) {
            self->watched[self->num_watched++] = watched;
        }
    }
}

static void hide_watched(unicorn_engine_t *self)
{
    for (size_t i = 0; i < self->num_stops; i++) {
        if (self->stops[i].kind != ENGINE_STOP_EXECUTE) {
            find_watched(self, &self->stops[i]);
        }
    }
    for (size_t i = 0; i < self->num_watched; i++) {
        shadow_entry_t hidden;
        if (shadow_lookup(self->shadow, self->watched[i].gpa, &hidden)) { /* not hidden yet */
            hidden.write = false;
            hidden.read &= self->watched[i].stop->kind == ENGINE_STOP_WRITE;
            shadow_map(self->shadow, self->watched[i].gpa, &hidden);
        }
    }
    if (self->num_watched > 0) {
        self->stale_translations = true;
        unicorn_forget_page(self);
    }
}

void unicorn_debug_begin(unicorn_engine_t *self, uint64_t pc)
{
    self->num_watched = 0;
    if (self->steps || self->aside) {
        uint64_t gpa;
        if (add_hook(self, &self->step_hook, pc, pc + 4)) {
            self->step = UNICORN_STEP_ARMED;
            self->step_from = pc;
        }
        if (unicorn_translate(self, pc & ~PAGE_MASK, &gpa)) {
            unicorn_forget_pages(self, &gpa, 1);
        }
    }
    if (!self->aside) {
        hide_watched(self);
    }
    unicorn_synchronise(self);
}

void unicorn_debug_end(unicorn_engine_t *self)
{
    if (self->step != UNICORN_STEP_NONE) {
        uc_hook_del(self->uc, self->step_hook);
    }
    if (self->step != UNICORN_STEP_DONE) {
        self->step = UNICORN_STEP_NONE;
    }
    for (size_t i = 0; i < self->num_watched; i++) {
        shadow_map(self->shadow, self->watched[i].gpa, &self->watched[i].entry);
    }
    self->stale_translations |= self->num_watched > 0;
}

bool unicorn_stepped_aside(unicorn_engine_t *self)
{
    if (self->step != UNICORN_STEP_DONE || self->steps) {
        return false;
    }
    self->step = UNICORN_STEP_NONE;
    self->aside = false;
    return true;
}

bool unicorn_debug_stops(unicorn_engine_t *self, engine_exit_t *exit)
{
    if (self->step != UNICORN_STEP_DONE && self->hit == NULL) {
        return false;
    }
    exit->reason = ENGINE_DEBUG;
    exit->stop = self->hit != NULL ? *self->hit : (engine_stop_t){0};
    self->step = UNICORN_STEP_NONE;
    self->hit = NULL;
    self->aside = false;
    return true;
}

static bool touches(const engine_stop_t *stop, const a64_access_t *access, uint64_t first)
{
    bool loads = !access->store || access->kind == A64_ATOMIC;
    uint64_t last = first + access->bytes - 1;

    return stop->kind != ENGINE_STOP_EXECUTE && first <= stop->address + stop->size - 1 &&
           last >= stop->address &&
           ((access->store && stop->kind != ENGINE_STOP_READ) ||
            (loads && stop->kind != ENGINE_STOP_WRITE));
}

bool unicorn_watches(unicorn_engine_t *self, engine_exit_t *exit)
{
    const engine_fault_t *fault = &exit->fault;
    uint64_t x[31], sp, pc;
    const engine_stop_t *stop = NULL;
    size_t page = 0; /* of the fault, among those watched */

    while (page < self->num_watched && self->watched[page].gpa != self->page) {
        page++;
    }
    if (fault->decoded && !fault->table_walk) {
        unicorn_read_general(self->uc, x, &sp, &pc);
        uint64_t first = a64_access_address(&fault->access, x, sp, pc);
        for (size_t i = 0; i < self->num_stops && stop == NULL; i++) {
            stop = touches(&self->stops[i], &fault->access, first) ? &self->stops[i] : NULL;
        }
    } else if (page < self->num_watched && !fault->fetch && !fault->table_walk) {
        stop = self->watched[page].stop; /* nobody knows which bytes it accesses */
    }
    self->aside = stop == NULL && page < self->num_watched;
    if ((stop != NULL || self->aside) && self->interrupt == UNICORN_DATA_ABORT) {
        unicorn_uncount(self, exit->pc); /* it is executed later */
    }
    if (stop != NULL) {
        exit->reason = ENGINE_DEBUG;
        exit->stop = *stop;
    }
    return self->aside;
}
