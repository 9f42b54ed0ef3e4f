/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Cache instructions of the guest. Unicorn executes DC ZVA as 64 stores of a byte, each through its
 * slowest path, and guests clear all of their memory with it. So the first one in a page is left to
 * Unicorn, which checks it exactly; those that follow write host memory at once, until anything
 * happens that could change what the page's address means.
 */

#include "unicorn.h"
#include "abort.h"
#include <string.h>

#define ENCODING(op1, crn, crm, op2) ((op1) << 11 | (crn) << 7 | (crm) << 3 | (op2))
enum { DC_ZVA = ENCODING(3, 7, 4, 1), TLB_CRN = 8, BLOCK = 64 };

#define PAGE_MASK ((uint64_t)UNICORN_PAGE_BYTES - 1)

static uint32_t clear_block(unicorn_engine_t *self, uint64_t address)
{
    uint32_t state = 0;
    uint64_t page = address & ~PAGE_MASK;

    uc_reg_read(self->uc, UC_ARM64_REG_PSTATE, &state);
    state &= PSTATE_MODE;
    if (self->cleared_host != NULL && page == self->cleared_page && state == self->cleared_mode) {
        memset(self->cleared_host + (address & PAGE_MASK & ~(BLOCK - 1ull)), 0, BLOCK);
        return 1;
    }
    self->cleared_host = unicorn_writable_page(self, page);
    self->cleared_page = page;
    self->cleared_mode = state;
    return 0;
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
    return ENCODING(reg->op1, reg->crn, reg->crm, reg->op2) == DC_ZVA ? clear_block(self, reg->val)
                                                                      : 0;
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
