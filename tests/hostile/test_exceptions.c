/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Random programs that take exceptions and interrupts: their vectors are as random as they are,
 * they change levels and the registers that translation and exceptions go by, and interrupts come
 * in between. Each must end in one of the ways that there are, within its budget.
 *
 * HOSTILE_SEED=n runs that one program only; HOSTILE_PROGRAMS=n another number of them.
 */

#include "hostile.h"
#include <sel4vm/guest_irq_controller.h>

#define PROGRAMS_RUN  1000
#define VECTOR_WORDS  512 /* all vectors, 0x80 bytes each */
#define BODY_WORDS    96
#define BUDGET        2000
#define FIRST_DEVICE  40
#define DEVICES       4
#define VIRTUAL_TIMER 27

/* Instructions of which the last five bits are a register. */
static const uint32_t by_register[] = {
    0xd518c000, /* msr vbar_el1 */
    0xd5182000, /* msr ttbr0_el1 */
    0xd5182020, /* msr ttbr1_el1 */
    0xd5182040, /* msr tcr_el1 */
    0xd5181000, /* msr sctlr_el1 */
    0xd5181040, /* msr cpacr_el1 */
    0xd518a200, /* msr mair_el1 */
    0xd5184020, /* msr elr_el1 */
    0xd5184000, /* msr spsr_el1 */
    0xd5184100, /* msr sp_el0 */
    0xd5100240, /* msr mdscr_el1 */
    0xd51be320, /* msr cntv_ctl_el0 */
    0xd51be340, /* msr cntv_cval_el0 */
    0xd51be300, /* msr cntv_tval_el0 */
    0xd518e100, /* msr cntkctl_el1 */
    0xd51b4220, /* msr daif */
    0xd53be040, /* mrs cntvct_el0 */
    0xd53be320, /* mrs cntv_ctl_el0 */
    0xd5384240, /* mrs CurrentEL */
    0xd5385200, /* mrs esr_el1 */
    0xd5386000, /* mrs far_el1 */
    0xd5384020, /* mrs elr_el1 */
    0xd5088720, /* tlbi vae1 */
    0xd50b7520, /* ic ivau */
    0xd50b7420, /* dc zva */
    0xd5087800, /* at s1e1r */
    0xd61f0000, /* br, of x0 to x30: see below */
};

/* Complete instructions. */
static const uint32_t fixed[] = {
    0xd69f03e0,                         /* eret */
    0xd69f03e0, 0xd69f03e0, 0xd4000021, /* svc #1 */
    0xd4200020,                         /* brk #1 */
    0x00000000,                         /* undefined */
    0xd40000e2,                         /* hvc #7 */
    0xd40000e3,                         /* smc #7 */
    0xd503207f,                         /* wfi */
    0xd503205f,                         /* wfe */
    0xd503203f,                         /* yield */
    0xd5033fdf,                         /* isb */
    0xd508871f,                         /* tlbi vmalle1 */
    0xd508751f,                         /* ic iallu */
    0xd5034fdf,                         /* msr daifset, #15 */
    0xd5034fff,                         /* msr daifclr, #15 */
    0xd50040bf,                         /* msr spsel, #0 */
    0xd50041bf,                         /* msr spsel, #1 */
    0x910003e0,                         /* mov x0, sp */
    0x9100001f,                         /* mov sp, x0 */
};

static uint32_t random_instruction(uint64_t *random)
{
    uint64_t raw = hostile_random(random);
    uint32_t rd = (uint32_t)(raw >> 40) % 8;
    uint32_t rn = (uint32_t)(raw >> 48) % 8;
    uint32_t pick = (uint32_t)(raw >> 8);
    switch (raw % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
        pick = by_register[pick % (sizeof(by_register) / sizeof(by_register[0]))];
        return pick == 0xd61f0000 ? pick | rd << 5 : pick | rd;
    case 4:
    case 5:
    case 6:
        return fixed[pick % (sizeof(fixed) / sizeof(fixed[0]))];
    case 7:
        return 0xf9400000 | rn << 5 | rd; /* ldr rd, [rn] */
    case 8:
        return 0xf9000000 | rn << 5 | rd; /* str rd, [rn] */
    case 9:
        return 0xd2800000 | (pick & 0x7fffe0) | rd; /* movz */
    case 10:
        return 0xf2800000 | (pick & 0x7fffe0) | rd; /* movk */
    case 11:
        return 0x14000000 | (pick % 8 + 1); /* b forward */
    case 12:
        return 0xb4000000 | ((pick % 16 - 8) & 0x7ffff) << 5 | rd; /* cbz, also back */
    case 13:
        return (uint32_t)(raw >> 32);
    default:
        return 0x8b000000 | rn << 16 | rd << 5 | rd; /* add rd, rd, rn */
    }
}

static seL4_Word random_value(uint64_t *random, uintptr_t vectors)
{
    static const seL4_Word values[] = {HOSTILE_RAM,
                                       HOSTILE_CODE,
                                       HOSTILE_DEVICE,
                                       HOSTILE_READ_ONLY,
                                       HOSTILE_LAZY,
                                       HOSTILE_LAST,
                                       HOSTILE_TOP,
                                       0x280803519,
                                       0x3c5,
                                       0x3c0,
                                       0x345,
                                       0x1d0,
                                       0x30d00800,
                                       0x30d00801,
                                       1,
                                       0};
    uint64_t raw = hostile_random(random);
    return raw % 4 == 0   ? vectors + (raw >> 8) % 0x900
           : raw % 4 == 1 ? raw
                          : values[(raw >> 8) % (sizeof(values) / sizeof(values[0]))];
}

/* Interrupts come from the guest's calls, so at any place of its program. */
static int on_call(vm_vcpu_t *vcpu, uint32_t syndrome, void *cookie)
{
    uint64_t raw = hostile_random(cookie);
    if ((syndrome & 0xffff) != 7) {
        return -1; /* the end of the program: the runtime's own */
    }
    vm_inject_irq(vcpu, FIRST_DEVICE + (int)(raw % DEVICES));
    if (syndrome >> 26 == 0x17) {
        advance_vcpu_fault(vcpu);
    } else {
        restart_vcpu_fault(vcpu); /* HVC stands after itself */
    }
    return 0;
}

static void on_end(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    if (irq == VIRTUAL_TIMER) {
        assert_int_equal(seL4_ARM_VCPU_AckVPPI(vcpu->vcpu.cptr, (seL4_Word)irq), 0);
    }
}

static void add_interrupts(hostile_t *hostile)
{
    assert_int_equal(vm_create_default_irq_controller(&hostile->vm), 0);
    assert_int_equal(vm_register_irq(hostile->vcpu, VIRTUAL_TIMER, on_end, NULL), 0);
    for (int i = 0; i < DEVICES; i++) {
        assert_int_equal(vm_register_irq(hostile->vcpu, FIRST_DEVICE + i, on_end, NULL), 0);
    }
}

static memory_fault_result_t ignore(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t address, size_t length,
                                    void *cookie)
{
    return FAULT_IGNORE;
}

/* Vectors, then what switches the interrupt controller on and the interrupts in, then the body. */
static void run_program(hostile_t *hostile, uint64_t seed)
{
    static const uint32_t start[] = {
        0xd518c000, /* msr vbar_el1, x0 */
        0xd2a10004, /* mov x4, #0x8000000 */
        0xd2a10025, /* mov x5, #0x8010000 */
        0x52800026, /* mov w6, #1 */
        0xb9000086, /* str w6, [x4] */
        0x12800007, /* mov w7, #-1 */
        0xb9010087, /* str w7, [x4, #0x100] */
        0xb9010487, /* str w7, [x4, #0x104] */
        0xb90004a7, /* str w7, [x5, #4] */
        0xb90000a6, /* str w6, [x5] */
        0xd5034fff, /* msr daifclr, #15 */
    };
    enum { START = sizeof(start) / sizeof(start[0]) };
    uint64_t random = (seed + 1) * 0x9e3779b97f4a7c15;
    uint32_t code[VECTOR_WORDS + START + BODY_WORDS];
    seL4_Word x[4];
    hostile->next_code = ROUND_UP(hostile->next_code, 2048);
    for (size_t i = 0; i < sizeof(code) / sizeof(code[0]); i++) {
        code[i] = random_instruction(&random);
    }
    memcpy(code + VECTOR_WORDS, start, sizeof(start));
    for (size_t i = 1; i < 4; i++) {
        x[i] = random_value(&random, hostile->next_code);
    }
    x[0] = hostile->next_code;
    hostile->answer =
        hostile_random(&random) % 4 != 0 ? ANSWER_ADVANCE : hostile_random(&random) % ANSWER_COUNT;
    assert_int_equal(vm_register_unhandled_vcpu_fault_callback(hostile->vcpu, on_call, &random), 0);
    if (hostile_random(&random) % 8 != 0) {
        assert_int_equal(vm_register_unhandled_mem_fault_callback(&hostile->vm, ignore, NULL), 0);
    }
    uintptr_t at = hostile_load(hostile, code, sizeof(code) / sizeof(code[0]));
    hostile_run(hostile, at + VECTOR_WORDS * sizeof(code[0]), x, BUDGET);
}

static void random_exceptions_end_well(void **state)
{
    hostile_t *hostile = *state;
    unsigned ends[HOSTED_VM_ERROR + 1] = {0};
    uint64_t first = hostile_number("HOSTILE_SEED", 0);
    uint64_t programs =
        hostile_number("HOSTILE_PROGRAMS", getenv("HOSTILE_SEED") ? 1 : PROGRAMS_RUN);
    for (uint64_t seed = first; seed < first + programs; seed++) {
        if (seed % 1000 == 0 || programs == 1) {
            print_message("programs from seed %lu\n", (unsigned long)seed);
        }
        /* What was translated depends on what ran before, so that a seed starts from nothing. */
        hostile_renew(hostile);
        add_interrupts(hostile);
        /* A guest may sleep for years. */
        assert_int_equal(hosted_vm_use_virtual_time(&hostile->vm), 0);
        run_program(hostile, seed);
        ends[hostile_report(hostile)->reason]++;
    }
    for (int i = 0; i <= HOSTED_VM_ERROR; i++) {
        print_message("%s: %u\n", hosted_vm_reason_name((hosted_vm_reason_t)i), ends[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_exceptions_end_well, hostile_make, hostile_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
