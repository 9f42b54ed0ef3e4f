/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Makes the Unicorn engine: processor, regions of its physical address space, state of EL2 and EL3.
 */

#define _GNU_SOURCE
#include "unicorn.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HCR_VM  ((uint64_t)1 << 0)
#define HCR_TWI ((uint64_t)1 << 13)
#define HCR_TSC ((uint64_t)1 << 19)
#define HCR_RW  ((uint64_t)1 << 31)
#define SCR_NS  ((uint64_t)1 << 0)
#define SCR_RES 0x30ull
#define SCR_HCE ((uint64_t)1 << 8)
#define SCR_RW  ((uint64_t)1 << 10)
/* 40-bit input, start at level 1, cached and shared tables, 4 KiB granule, 44-bit output. */
#define VTCR                                                                                       \
    ((1ull << 31) | (4ull << 16) | (3ull << 12) | (1ull << 10) | (1ull << 8) | (1ull << 6) | 24ull)

static const unicorn_system_register_t scr_el3 = {3, 6, 1, 1, 0};
static const unicorn_system_register_t hcr_el2 = {3, 4, 1, 1, 0};
static const unicorn_system_register_t vtcr_el2 = {3, 4, 2, 1, 2};
const unicorn_system_register_t unicorn_vttbr_el2 = {3, 4, 2, 1, 0};
const unicorn_system_register_t unicorn_hpfar_el2 = {3, 4, 6, 0, 4};
const unicorn_system_register_t unicorn_sctlr_el1 = {3, 0, 1, 0, 0};
/* Unicorn reports exceptions here, with the program counter already restored, and takes none. */
static void on_interrupt(uc_engine *uc, uint32_t number, void *cookie)
{
    unicorn_engine_t *self = cookie;
    uint64_t page;

    self->interrupt = (int)number;
    unicorn_forget_page(self);
    uc_emu_stop(uc);
    if (self->context_at_exception != NULL) {
        uc_context_save(uc, self->context_at_exception);
        return;
    }
    unicorn_read_system(uc, unicorn_hpfar_el2, &page);
    if (page == UNICORN_HPFAR_NONE) {
        self->page = UINT64_MAX;
        unicorn_note_exception(self);
    } else {
        self->page = page >> 4 << 12;
        unicorn_write_system(uc, unicorn_hpfar_el2, UNICORN_HPFAR_NONE);
    }
}

static bool on_invalid_instruction(uc_engine *uc, void *cookie)
{
    on_interrupt(uc, UNICORN_UNDEFINED, cookie);
    return true;
}

/* A virtual address in no region: cover it, so that it gets translated, and go on. */
static bool on_uncovered(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value,
                         void *cookie)
{
    unicorn_engine_t *self = cookie;

    (void)type;
    (void)size;
    (void)value;
    if (unicorn_cover(self, address)) {
        return true;
    }
    self->out_of_reach = address;
    uc_emu_stop(uc);
    return false;
}

void unicorn_destroy(engine_t *engine)
{
    unicorn_engine_t *self = (unicorn_engine_t *)engine;

    if (self->uc != NULL) {
        uc_context_free(self->saved);
        uc_close(self->uc);
    }
    for (size_t i = 0; i < self->bank_count; i++) {
        munmap(self->banks[i].host, self->banks[i].size);
        free(self->banks[i].left);
    }
    if (self->starter != NULL && self->starter != MAP_FAILED) {
        munmap(self->starter, UNICORN_PAGE_BYTES);
    }
    shadow_destroy(self->shadow);
    free(self);
}

/* Something may want to stop the guest before a block that was counted already. */
static __attribute__((noinline)) void attend(unicorn_engine_t *self, uint64_t address,
                                             uint32_t size)
{
    const uint64_t instructions = size / 4;
    if (self->own_code) {
        return;
    }
    bool over = self->instructions > self->budget_end;

    self->instructions -= instructions;
    if (self->may_narrow) {
        unicorn_note_width(self, address);
    }
    if (over) {
        self->budget_end = self->instructions; /* too few are left for the block */
    }
    if (unicorn_step_ends(self) || unicorn_must_stop(self) ||
        unicorn_invalidated(self, address, size)) {
        self->stopped_before = address;
        uc_emu_stop(self->uc);
    } else {
        unicorn_plan(self);
        self->instructions += instructions;
    }
}

/*
 * Called before each basic block: stops are made here, because here they are exact. Unicorn 2.0.1
 * looks for a stop at the beginning of a block and after each memory access; there, it forgets
 * that a part of the block was executed and sets the program counter back to the block's beginning.
 * So a stop must not come at any other time, such as from another thread.
 */
static void on_block(uc_engine *uc, uint64_t address, uint32_t size, void *cookie)
{
    unicorn_engine_t *self = cookie;

    (void)uc;
    self->instructions += size / 4;
    self->block_end = address + size;
    if (self->instructions >= atomic_load_explicit(&self->attend_at, memory_order_relaxed)) {
        attend(self, address, size);
    }
}

static uc_err add_hooks(unicorn_engine_t *self)
{
    uc_hook hook;
    uc_err error = uc_hook_add(self->uc, &hook, UC_HOOK_INTR, (void *)on_interrupt, self, 1, 0);
    if (error == UC_ERR_OK) {
        error = uc_hook_add(self->uc, &hook, UC_HOOK_INSN_INVALID, (void *)on_invalid_instruction,
                            self, 1, 0);
    }
    if (error == UC_ERR_OK) {
        error =
            uc_hook_add(self->uc, &hook, UC_HOOK_MEM_UNMAPPED, (void *)on_uncovered, self, 1, 0);
    }
    if (error == UC_ERR_OK) {
        error = uc_hook_add(self->uc, &hook, UC_HOOK_BLOCK, (void *)on_block, self, 1, 0);
    }
    if (error == UC_ERR_OK) {
        error = unicorn_hook_timer(self);
    }
    if (error == UC_ERR_OK) {
        error = unicorn_hook_cache(self);
    }
    return error;
}

static uc_err add_regions(unicorn_engine_t *self)
{
    size_t size;
    void *tables = shadow_arena(self->shadow, &size);
    const uint64_t top = UNICORN_TOP;
    uc_err error = uc_mem_map_ptr(self->uc, UNICORN_TABLES, size, UC_PROT_ALL, tables);

    self->next_target = UNICORN_TABLES + size;
    if (error == UC_ERR_OK) {
        error = uc_mem_map_ptr(self->uc, UNICORN_STARTER, UNICORN_PAGE_BYTES, UC_PROT_ALL,
                               self->starter);
    }
    if (error == UC_ERR_OK) {
        error = uc_mem_map_ptr(self->uc, 0, UNICORN_BASE, UC_PROT_ALL, unicorn_cover_pointer());
    }
    if (error == UC_ERR_OK) {
        error = uc_mem_map_ptr(self->uc, UNICORN_LIMIT, top - UNICORN_LIMIT, UC_PROT_ALL,
                               unicorn_cover_pointer());
    }
    if (error == UC_ERR_OK) {
        /* The last page cannot be part of a region. */
        error = uc_mem_map_ptr(self->uc, -top, top - UNICORN_PAGE_BYTES, UC_PROT_ALL,
                               unicorn_cover_pointer());
    }
    return error;
}

/*
 * Unicorn starts in EL1h, secure, and only notices SCR_EL3.NS (without which there is no stage 2)
 * when an instruction writes a system register. So one such instruction is run.
 */
static uc_err leave_secure_state(unicorn_engine_t *self)
{
    uint32_t *code = self->starter;
    bool done = unicorn_write_system(self->uc, scr_el3, SCR_NS | SCR_RES | SCR_HCE | SCR_RW) &&
                unicorn_write_system(self->uc, vtcr_el2, VTCR) &&
                unicorn_write_system(self->uc, unicorn_vttbr_el2, UNICORN_TABLES) &&
                unicorn_write_system(self->uc, hcr_el2, HCR_RW) &&
                unicorn_write_system(self->uc, unicorn_hpfar_el2, UNICORN_HPFAR_NONE);

    if (!done) {
        return UC_ERR_HANDLE;
    }
    code[0] = 0xd518d09f; /* msr tpidr_el1, xzr */
    return uc_emu_start(self->uc, UNICORN_STARTER, UNICORN_STARTER + 4, 0, 0);
}

void unicorn_stage2_off(unicorn_engine_t *self)
{
    unicorn_write_system(self->uc, hcr_el2, HCR_RW);
}

void unicorn_stage2_on(unicorn_engine_t *self)
{
    unicorn_write_system(self->uc, hcr_el2, HCR_RW | HCR_VM | HCR_TWI | HCR_TSC);
    self->stale_translations = true;
}

/* @return false with one line in `error` */
static bool prepare(unicorn_engine_t *self, char *message, size_t size)
{
    uc_err error = uc_open(UC_ARCH_ARM64, UC_MODE_ARM, &self->uc);
    if (error == UC_ERR_OK) {
        error = uc_ctl_set_cpu_model(self->uc, UC_CPU_ARM64_A57);
    }
    if (error == UC_ERR_OK) {
        error = add_regions(self);
    }
    if (error == UC_ERR_OK) {
        error = add_hooks(self);
    }
    if (error == UC_ERR_OK) {
        error = leave_secure_state(self);
    }
    if (error != UC_ERR_OK) {
        snprintf(message, size, "unicorn: %s", uc_strerror(error));
        return false;
    }
    if (!unicorn_explore(self, message, size)) {
        return false;
    }
    unicorn_stage2_on(self);
    return true;
}

engine_t *unicorn_create(char *error, size_t error_size)
{
    unicorn_engine_t *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        snprintf(error, error_size, "unicorn: no memory for the processor");
        return NULL;
    }
    self->engine.class = &engine_unicorn;
    self->alarm = self->vector = self->budget_end = UINT64_MAX;
    self->shadow = shadow_create(UNICORN_TABLES);
    self->starter =
        mmap(NULL, UNICORN_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (self->shadow == NULL || self->starter == MAP_FAILED) {
        snprintf(error, error_size, "unicorn: no memory for the processor");
        unicorn_destroy(&self->engine);
        return NULL;
    }
    if (!prepare(self, error, error_size)) {
        unicorn_destroy(&self->engine);
        return NULL;
    }
    unicorn_read_context(self->uc, &self->context);
    unicorn_read_vcpu(self->uc, self->registers);
    return &self->engine;
}
