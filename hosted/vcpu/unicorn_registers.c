/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Registers between seL4's structures and Unicorn. Unicorn keeps the stack pointer in use apart
 * from the banked ones: in EL1h, its SP is SP_EL1 and SP_EL0 is banked; otherwise the other way
 * round. PSTATE is not written here: see unicorn_write_state().
 */

#include "unicorn_registers.h"
#include <stddef.h>

#define CONTEXT_WORDS (sizeof(seL4_UserContext) / sizeof(seL4_Word))

/* Unicorn's register for each word of seL4_UserContext; SP depends on the mode. */
static const int context_registers[CONTEXT_WORDS] = {
    UC_ARM64_REG_PC,  UC_ARM64_REG_SP_EL0, UC_ARM64_REG_PSTATE,    UC_ARM64_REG_X0,
    UC_ARM64_REG_X1,  UC_ARM64_REG_X2,     UC_ARM64_REG_X3,        UC_ARM64_REG_X4,
    UC_ARM64_REG_X5,  UC_ARM64_REG_X6,     UC_ARM64_REG_X7,        UC_ARM64_REG_X8,
    UC_ARM64_REG_X16, UC_ARM64_REG_X17,    UC_ARM64_REG_X18,       UC_ARM64_REG_X29,
    UC_ARM64_REG_X30, UC_ARM64_REG_X9,     UC_ARM64_REG_X10,       UC_ARM64_REG_X11,
    UC_ARM64_REG_X12, UC_ARM64_REG_X13,    UC_ARM64_REG_X14,       UC_ARM64_REG_X15,
    UC_ARM64_REG_X19, UC_ARM64_REG_X20,    UC_ARM64_REG_X21,       UC_ARM64_REG_X22,
    UC_ARM64_REG_X23, UC_ARM64_REG_X24,    UC_ARM64_REG_X25,       UC_ARM64_REG_X26,
    UC_ARM64_REG_X27, UC_ARM64_REG_X28,    UC_ARM64_REG_TPIDR_EL0, UC_ARM64_REG_TPIDRRO_EL0,
};

#define WORD_OF(field) (offsetof(seL4_UserContext, field) / sizeof(seL4_Word))

/* Encodings of seL4_VCPUReg; op0 0 marks those that are moved in another way, or not at all. */
static const unicorn_system_register_t vcpu_registers[seL4_VCPUReg_Num] = {
    [seL4_VCPUReg_SCTLR] = {3, 0, 1, 0, 0},        [seL4_VCPUReg_CPACR] = {3, 0, 1, 0, 2},
    [seL4_VCPUReg_TTBR0] = {3, 0, 2, 0, 0},        [seL4_VCPUReg_TTBR1] = {3, 0, 2, 0, 1},
    [seL4_VCPUReg_TCR] = {3, 0, 2, 0, 2},          [seL4_VCPUReg_MAIR] = {3, 0, 10, 2, 0},
    [seL4_VCPUReg_AMAIR] = {3, 0, 10, 3, 0},       [seL4_VCPUReg_CIDR] = {3, 0, 13, 0, 1},
    [seL4_VCPUReg_AFSR0] = {3, 0, 5, 1, 0},        [seL4_VCPUReg_AFSR1] = {3, 0, 5, 1, 1},
    [seL4_VCPUReg_ESR] = {3, 0, 5, 2, 0},          [seL4_VCPUReg_FAR] = {3, 0, 6, 0, 0},
    [seL4_VCPUReg_PAR] = {3, 0, 7, 4, 0},          [seL4_VCPUReg_VBAR] = {3, 0, 12, 0, 0},
    [seL4_VCPUReg_TPIDR_EL1] = {3, 0, 13, 0, 4},   [seL4_VCPUReg_VMPIDR_EL2] = {3, 4, 0, 0, 5},
    [seL4_VCPUReg_SPSR_EL1] = {3, 0, 4, 0, 0},     [seL4_VCPUReg_CNTV_CTL] = {3, 3, 14, 3, 1},
    [seL4_VCPUReg_CNTV_CVAL] = {3, 3, 14, 3, 2},   [seL4_VCPUReg_CNTVOFF] = {3, 4, 14, 0, 3},
    [seL4_VCPUReg_CNTKCTL_EL1] = {3, 0, 14, 1, 0},
};

bool unicorn_read_system(uc_engine *uc, unicorn_system_register_t which, uint64_t *value)
{
    uc_arm64_cp_reg reg = {
        .crn = which.crn, .crm = which.crm, .op0 = which.op0, .op1 = which.op1, .op2 = which.op2};
    bool known = uc_reg_read(uc, UC_ARM64_REG_CP_REG, &reg) == UC_ERR_OK;
    *value = known ? reg.val : 0;
    return known;
}

bool unicorn_write_system(uc_engine *uc, unicorn_system_register_t which, uint64_t value)
{
    uc_arm64_cp_reg reg = {.crn = which.crn,
                           .crm = which.crm,
                           .op0 = which.op0,
                           .op1 = which.op1,
                           .op2 = which.op2,
                           .val = value};
    return uc_reg_write(uc, UC_ARM64_REG_CP_REG, &reg) == UC_ERR_OK;
}

/* Whose stack pointer is in use: of EL0 or of EL1. */
static unsigned stack_level(uc_engine *uc)
{
    uint32_t state = 0;
    uc_reg_read(uc, UC_ARM64_REG_PSTATE, &state);
    return (state & PSTATE_MODE) == PSTATE_EL1H ? 1 : 0;
}

static int context_register(size_t word, unsigned level)
{
    return word == WORD_OF(sp) && level == 0 ? UC_ARM64_REG_SP : context_registers[word];
}

void unicorn_read_context(uc_engine *uc, seL4_UserContext *context)
{
    seL4_Word *words = (seL4_Word *)context;
    int ids[CONTEXT_WORDS];
    void *values[CONTEXT_WORDS];
    unsigned level = stack_level(uc);

    *context = (seL4_UserContext){0}; /* PSTATE is read as 32 bits */
    for (size_t i = 0; i < CONTEXT_WORDS; i++) {
        ids[i] = context_register(i, level);
        values[i] = &words[i];
    }
    uc_reg_read_batch(uc, ids, values, (int)CONTEXT_WORDS);
}

void unicorn_write_context(uc_engine *uc, const seL4_UserContext *old,
                           const seL4_UserContext *context)
{
    const seL4_Word *before = (const seL4_Word *)old;
    const seL4_Word *words = (const seL4_Word *)context;
    unsigned level = stack_level(uc);

    for (size_t i = 0; i < CONTEXT_WORDS; i++) {
        if (words[i] != before[i] && i != WORD_OF(spsr)) {
            uc_reg_write(uc, context_register(i, level), &words[i]);
        }
    }
}

/* The two registers that have no encoding here: a number of Unicorn's instead. */
static int banked_register(uc_engine *uc, int reg)
{
    if (reg == seL4_VCPUReg_ELR_EL1) {
        return UC_ARM64_REG_ELR_EL1;
    }
    if (reg == seL4_VCPUReg_SP_EL1) {
        return stack_level(uc) == 1 ? UC_ARM64_REG_SP : UC_ARM64_REG_SP_EL1;
    }
    return UC_ARM64_REG_INVALID;
}

void unicorn_read_vcpu(uc_engine *uc, seL4_Word registers[seL4_VCPUReg_Num])
{
    for (int i = 0; i < seL4_VCPUReg_Num; i++) {
        int banked = banked_register(uc, i);
        if (banked != UC_ARM64_REG_INVALID) {
            uc_reg_read(uc, banked, &registers[i]);
        } else if (vcpu_registers[i].op0 != 0) {
            unicorn_read_system(uc, vcpu_registers[i], &registers[i]);
        }
    }
}

void unicorn_write_vcpu(uc_engine *uc, const seL4_Word old[seL4_VCPUReg_Num],
                        const seL4_Word registers[seL4_VCPUReg_Num])
{
    for (int i = 0; i < seL4_VCPUReg_Num; i++) {
        if (registers[i] == old[i]) {
            continue;
        }
        int banked = banked_register(uc, i);
        if (banked != UC_ARM64_REG_INVALID) {
            uc_reg_write(uc, banked, &registers[i]);
        } else if (vcpu_registers[i].op0 != 0) {
            unicorn_write_system(uc, vcpu_registers[i], registers[i]);
        }
    }
}

void unicorn_read_general(uc_engine *uc, uint64_t x[31], uint64_t *sp, uint64_t *pc)
{
    int ids[33];
    void *values[33];

    for (int i = 0; i < 31; i++) {
        ids[i] = i < 29 ? UC_ARM64_REG_X0 + i : i == 29 ? UC_ARM64_REG_X29 : UC_ARM64_REG_X30;
        values[i] = &x[i];
    }
    ids[31] = UC_ARM64_REG_SP;
    values[31] = sp;
    ids[32] = UC_ARM64_REG_PC;
    values[32] = pc;
    uc_reg_read_batch(uc, ids, values, 33);
}
