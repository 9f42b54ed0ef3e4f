/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Cache instructions of the guest.
 *
 * Unicorn keeps what it has translated, and drops it when the guest writes there, but it does not
 * see what others write: the VMM, or a disk. IC IVAU, after which a guest may rely on new code, is
 * nothing to it. So its pages are noted here, and their code is dropped when the guest has left the
 * loop that such instructions stand in. That page need not be dropped again before others had their
 * turn to write: a kernel that patches itself does this for each instruction. (IC IALLU still is
 * nothing: dropping all takes a quarter of a second.) Pages that the VMM has the kernel unify are
 * noted too.
 *
 * Unicorn executes DC ZVA as 64 stores of a byte, each through its
 * slowest path, and guests clear all of their memory with it. So the first one in a page is left to
 * Unicorn, which checks it exactly; those that follow write host memory at once, until anything
 * happens that could change what the page's address means.
 */

#include "unicorn.h"
#include "abort.h"
#include <string.h>

#define ENCODING(op1, crn, crm, op2) ((op1) << 11 | (crn) << 7 | (crm) << 3 | (op2))
enum { DC_ZVA = ENCODING(3, 7, 4, 1), IC_IVAU = ENCODING(3, 7, 5, 1), TLB_CRN = 8, BLOCK = 64 };

#define PAGE_MASK ((uint64_t)UNICORN_PAGE_BYTES - 1)

static uint32_t clear_block(unicorn_engine_t *self, uint64_t address)
{
    uint32_t state = 0;
    uint64_t page = address & ~PAGE_MASK;

    uc_reg_read(self->uc, UC_ARM64_REG_PSTATE, &state);
    state &= PSTATE_MODE;
    if (self->cleared_host != NULL && page == self->cleared_page && state == self->cleared_mode) {
        memset(self->cleared_host + (address & PAGE_MASK & ~(BLOCK - 1ull)), 0, BLOCK);
        self->fresh = UINT64_MAX; /* that Unicorn has not seen: its code there is old now */
        return 1;
    }
    self->cleared_host = unicorn_writable_page(self, page);
    self->cleared_page = page;
    self->cleared_mode = state;
    return 0;
}

static void note_stale(unicorn_engine_t *self, uint64_t address)
{
    uint64_t gpa;

    uc_reg_read(self->uc, UC_ARM64_REG_PC, &self->stale_pc);
    if (!unicorn_translate(self, address & ~PAGE_MASK, &gpa) ||
        (self->num_stale > 0 && self->stale[self->num_stale - 1] == gpa) || gpa == self->fresh ||
        self->num_stale == UNICORN_MAX_STALE) {
        return;
    }
    self->stale[self->num_stale++] = gpa;
    atomic_store(&self->attend_at, 0);
}

bool unicorn_invalidated(const unicorn_engine_t *self, uint64_t address, uint32_t size)
{
    bool again = self->stale_pc >= address && self->stale_pc - address < size;
    return self->num_stale > UNICORN_MAX_STALE / 2 || (self->num_stale > 0 && !again);
}

void unicorn_forget_code(unicorn_engine_t *self)
{
    if (self->num_stale > 0) {
        unicorn_forget_pages(self, self->stale, self->num_stale);
        self->fresh = self->stale[self->num_stale - 1];
        self->num_stale = 0;
    }
}

void unicorn_unify(engine_t *engine, uint64_t gpa, uint64_t size)
{
    unicorn_engine_t *self = (unicorn_engine_t *)engine;

    for (uint64_t page = gpa & ~PAGE_MASK; page < gpa + size; page += UNICORN_PAGE_BYTES) {
        if (self->num_stale == UNICORN_MAX_STALE) {
            unicorn_forget_code(self);
        }
        self->stale[self->num_stale++] = page;
    }
}

/* The guest executes SYS. @return 1 if that was done here; 0: Unicorn does it */
static uint32_t on_system(uc_engine *uc, uc_arm64_reg source, const uc_arm64_cp_reg *reg,
                          void *cookie)
{
    unicorn_engine_t *self = cookie;

    (void)uc, (void)source;
    if (reg->crn == TLB_CRN) {
        unicorn_forget_page(self);
    }
    switch (ENCODING(reg->op1, reg->crn, reg->crm, reg->op2)) {
    case DC_ZVA:
        return clear_block(self, reg->val);
    case IC_IVAU:
        note_stale(self, reg->val);
        return 0;
    default:
        return 0;
    }
}

void unicorn_forget_page(unicorn_engine_t *self)
{
    self->cleared_host = NULL;
}

uc_err unicorn_hook_cache(unicorn_engine_t *self)
{
    uc_hook hook;
    return uc_hook_add(self->uc, &hook, UC_HOOK_INSN, (void *)on_system, self, 1, 0,
                       UC_ARM64_INS_SYS);
}
