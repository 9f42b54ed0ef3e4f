/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Every instruction of the zoo at every class of address, with every answer of the devices'
 * callback; and random streams of words that are instructions, are near one, or are anything. Each
 * must end in one of the ways that there are, and leave the world as it was.
 *
 * HOSTILE_SEED=n runs that one stream only; HOSTILE_STREAMS=n another number of them.
 */

#include "hostile.h"

#define STREAMS      1000
#define STREAM_WORDS 48
#define BUDGET       3000
#define RECORD_WORDS 16
#define MOST_SKIPS   64 /* of what ended a stream, after which it goes on */

/* What random words hardly ever are: system instructions, and words that almost are loads. */
static uint32_t shaped(uint64_t raw)
{
    static const uint32_t shapes[][2] = {
        {0xd5000000, 0x003fffff}, /* MSR, MRS, SYS, barriers, hints */
        {0xd4000000, 0x00ffffff}, /* SVC, HVC, SMC, BRK, HLT, DCPS */
        {0xd69f03e0, 0x00000000}, /* ERET */
        {0x38000000, 0xc7ffffff}, /* loads and stores of one register */
        {0x28000000, 0xd7ffffff}, /* of pairs */
        {0x08000000, 0xf7ffffff}, /* exclusive, ordered */
        {0x0c000000, 0x73ffffff}, /* of structures */
        {0x54000000, 0x000000ef}, /* branches nearby */
        {0xd61f0000, 0x006003e0}, /* branches to registers */
        {0x0e000000, 0xf1ffffff}, /* vectors */
    };
    const uint32_t *shape = shapes[raw % (sizeof(shapes) / sizeof(shapes[0]))];
    return shape[0] ^ ((uint32_t)(raw >> 32) & shape[1]);
}

static uint32_t random_word(uint64_t *random, const uint32_t *zoo, size_t zoo_words)
{
    uint64_t raw = hostile_random(random);
    switch (raw % 8) {
    case 0:
        return (uint32_t)(raw >> 32);
    case 1:
    case 2:
    case 3:
        return shaped(hostile_random(random));
    case 4: /* an instruction of the zoo, almost */
        return zoo[(raw >> 8) % (zoo_words / RECORD_WORDS) * RECORD_WORDS] ^
               (1u << (raw >> 59 & 31));
    default:
        return zoo[(raw >> 8) % (zoo_words / RECORD_WORDS) * RECORD_WORDS];
    }
}

static seL4_Word random_pointer(uint64_t *random)
{
    static const uintptr_t bases[] = {HOSTILE_RAM,          HOSTILE_CODE,      HOSTILE_DEVICE,
                                      HOSTILE_SMALL,        HOSTILE_READ_ONLY, HOSTILE_LAZY,
                                      HOSTILE_LAST,         HOSTILE_TOP,       HOSTILE_RAM + 256,
                                      HOSTILE_RAM_END - 64, (uintptr_t)1 << 43};
    uint64_t raw = hostile_random(random);
    uintptr_t base = bases[raw % (sizeof(bases) / sizeof(bases[0]))];
    return raw & 256 ? base + (raw >> 52) : raw & 512 ? raw : base;
}

static memory_fault_result_t ignore(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t address, size_t length,
                                    void *cookie)
{
    return FAULT_IGNORE;
}

/* Step over what has ended a stream, so that the rest of it has its chance too. */
static void step_over(hostile_t *hostile)
{
    seL4_UserContext regs = hostile_registers(hostile);
    regs.pc += 4;
    assert_int_equal(vm_set_thread_context(hostile->vcpu, regs), 0);
    hostile_go_on(hostile);
}

static bool ended_for_good(const hostile_t *hostile)
{
    hosted_vm_reason_t reason = hostile_report(hostile)->reason;
    return reason != HOSTED_VM_UNDEFINED && reason != HOSTED_VM_EXCEPTION &&
           reason != HOSTED_VM_FAULT;
}

static void run_stream(hostile_t *hostile, uint64_t seed, const uint32_t *zoo, size_t zoo_words)
{
    uint64_t random = (seed + 1) * 0x9e3779b97f4a7c15;
    uint32_t code[STREAM_WORDS];
    seL4_Word x[4];
    for (size_t i = 0; i < STREAM_WORDS; i++) {
        code[i] = random_word(&random, zoo, zoo_words);
    }
    for (size_t i = 0; i < 4; i++) {
        x[i] = random_pointer(&random);
    }
    hostile->answer =
        hostile_random(&random) % 4 != 0 ? ANSWER_IGNORE : hostile_random(&random) % ANSWER_COUNT;
    if (hostile_random(&random) % 4 != 0) {
        assert_int_equal(vm_register_unhandled_mem_fault_callback(&hostile->vm, ignore, NULL), 0);
    }
    hostile_run(hostile, hostile_load(hostile, code, STREAM_WORDS), x, BUDGET);
    for (unsigned i = 0; i < MOST_SKIPS && !ended_for_good(hostile); i++) {
        step_over(hostile);
    }
}

static void random_instructions_end_well(void **state)
{
    hostile_t *hostile = *state;
    unsigned ends[HOSTED_VM_ERROR + 1] = {0};
    size_t size;
    uint32_t *zoo = read_file(ZOO, &size);
    uint64_t first = hostile_number("HOSTILE_SEED", 0);
    uint64_t streams =
        hostile_number("HOSTILE_STREAMS", getenv("HOSTILE_SEED") != NULL ? 1 : STREAMS);
    for (uint64_t seed = first; seed < first + streams; seed++) {
        if (seed % 100 == 0 || streams == 1) {
            print_message("streams from seed %lu\n", (unsigned long)seed);
        }
        /* What was translated depends on what ran before, so that a seed starts from nothing. */
        hostile_renew(hostile);
        run_stream(hostile, seed, zoo, size / sizeof(*zoo));
        ends[hostile_report(hostile)->reason]++;
    }
    for (int i = 0; i <= HOSTED_VM_ERROR; i++) {
        print_message("%s: %u\n", hosted_vm_reason_name((hosted_vm_reason_t)i), ends[i]);
    }
    free(zoo);
}

#define RECORD_BYTES 64

/* Registers: SCTLR_EL1 as a VM starts with, and CPACR_EL1 that lets vectors be used. */
#define VECTORS_ALLOWED ((seL4_Word)3 << 20)

/* Ends and insides of everything that the guest has, across them, and where there is nothing; the
 * software processor has regions of its own from 2^43 on. */
static const uintptr_t addresses[] = {0,
                                      1,
                                      PAGE - 8,
                                      HOSTILE_DEVICE - 4,
                                      HOSTILE_DEVICE,
                                      HOSTILE_DEVICE + 1,
                                      HOSTILE_DEVICE + 2,
                                      HOSTILE_DEVICE + 7,
                                      HOSTILE_DEVICE + PAGE - 1,
                                      HOSTILE_DEVICE + PAGE - 4,
                                      HOSTILE_SMALL - 1,
                                      HOSTILE_SMALL - 8,
                                      HOSTILE_SMALL + 0x800 - 4,
                                      HOSTILE_SMALL + 0x800 - 1,
                                      HOSTILE_RAM - 1,
                                      HOSTILE_RAM,
                                      HOSTILE_RAM + 3,
                                      HOSTILE_RAM + PAGE - 3,
                                      HOSTILE_CODE - 4,
                                      HOSTILE_RAM_END - 1,
                                      HOSTILE_RAM_END - 8,
                                      HOSTILE_READ_ONLY - 4,
                                      HOSTILE_READ_ONLY,
                                      HOSTILE_READ_ONLY + 5,
                                      HOSTILE_READ_ONLY + PAGE - 2,
                                      HOSTILE_READ_ONLY + PAGE,
                                      HOSTILE_READ_ONLY + 2 * PAGE - 1,
                                      HOSTILE_LAZY - 2,
                                      HOSTILE_LAZY,
                                      HOSTILE_LAZY + 3 * PAGE - 1,
                                      HOSTILE_LAZY + HOSTILE_LAZY_SIZE - 1,
                                      HOSTILE_LAST - 1,
                                      HOSTILE_LAST + 2 * PAGE - 16,
                                      HOSTILE_LAST + 2 * PAGE - 1,
                                      (uintptr_t)1 << 40,
                                      ((uintptr_t)1 << 43) - 4,
                                      (uintptr_t)1 << 43,
                                      ((uintptr_t)1 << 43) + 4,
                                      ((uintptr_t)1 << 43) + ((uintptr_t)1 << 30),
                                      ((uintptr_t)1 << 44) - 1,
                                      ((uintptr_t)1 << 44),
                                      ((uintptr_t)1 << 48) - 1,
                                      (uintptr_t)1 << 48,
                                      ((uintptr_t)1 << 52) - 4,
                                      ((uintptr_t)1 << 56) - 4,
                                      (uintptr_t)1 << 56,
                                      (uintptr_t)0x7fffffffffffffff,
                                      (uintptr_t)1 << 63,
                                      (uintptr_t)0xff00000000000000 - 3,
                                      (uintptr_t)0xffff000000000000 - 8,
                                      HOSTILE_TOP - 1,
                                      HOSTILE_TOP,
                                      UINTPTR_MAX - 63,
                                      UINTPTR_MAX - 15,
                                      UINTPTR_MAX - 7,
                                      UINTPTR_MAX - 3,
                                      UINTPTR_MAX};
#define ADDRESSES (sizeof(addresses) / sizeof(addresses[0]))

typedef struct record {
    uint32_t instruction;
    char text[RECORD_BYTES - sizeof(uint32_t)];
} record_t;

static void allow_vectors(hostile_t *hostile)
{
    assert_int_equal(vm_set_arm_vcpu_reg(hostile->vcpu, seL4_VCPUReg_CPACR, VECTORS_ALLOWED), 0);
}

static void try_everywhere(hostile_t *hostile, const record_t *record)
{
    for (size_t i = 0; i < ADDRESSES; i++) {
        seL4_Word x[4] = {addresses[i], 0x1122334455667788, 8, UINT64_MAX};
        if (getenv("HOSTILE_VERBOSE") != NULL) {
            print_message("%s at 0x%lx\n", record->text, (unsigned long)addresses[i]);
        }
        hostile_try(hostile, record->instruction, x);
        assert_true(hostile->log_lines <= 2);
    }
}

static void try_all(hostile_t *hostile, answer_t answer)
{
    size_t size;
    record_t *zoo = read_file(ZOO, &size);
    assert_true(size >= 90 * sizeof(*zoo));
    hostile->answer = answer;
    allow_vectors(hostile);
    for (size_t i = 0; i < size / sizeof(*zoo); i++) {
        try_everywhere(hostile, &zoo[i]);
    }
    free(zoo);
}

#define ANSWER_TEST(name, answer)                                                                  \
    static void name(void **state)                                                                 \
    {                                                                                              \
        hostile_t *hostile = *state;                                                               \
        try_all(hostile, answer);                                                                  \
        assert_true(hostile->calls > 0);                                                           \
    }

ANSWER_TEST(any_access_ends_well_when_it_is_completed, ANSWER_ADVANCE)
ANSWER_TEST(any_access_ends_well_when_it_runs_again_for_ever, ANSWER_RESTART)
ANSWER_TEST(any_access_ends_well_when_it_is_ignored, ANSWER_IGNORE)
ANSWER_TEST(any_access_ends_well_when_nobody_handles_it, ANSWER_UNHANDLED)
ANSWER_TEST(any_access_ends_well_when_its_callback_fails, ANSWER_ERROR)
ANSWER_TEST(any_access_ends_well_when_its_callback_forgets_to_advance, ANSWER_FORGET)
ANSWER_TEST(any_access_ends_well_when_its_callback_answers_nonsense, ANSWER_NONSENSE)
ANSWER_TEST(any_access_ends_well_when_it_is_completed_twice, ANSWER_ADVANCE_TWICE)
ANSWER_TEST(any_access_ends_well_when_completed_and_restarted, ANSWER_ADVANCE_THEN_RESTART)
ANSWER_TEST(any_access_ends_well_when_completed_and_failed, ANSWER_ADVANCE_THEN_ERROR)

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, hostile_make, hostile_end)
    const struct CMUnitTest tests[] = {
        TEST(random_instructions_end_well),
        TEST(any_access_ends_well_when_it_is_completed),
        TEST(any_access_ends_well_when_it_runs_again_for_ever),
        TEST(any_access_ends_well_when_it_is_ignored),
        TEST(any_access_ends_well_when_nobody_handles_it),
        TEST(any_access_ends_well_when_its_callback_fails),
        TEST(any_access_ends_well_when_its_callback_forgets_to_advance),
        TEST(any_access_ends_well_when_its_callback_answers_nonsense),
        TEST(any_access_ends_well_when_it_is_completed_twice),
        TEST(any_access_ends_well_when_completed_and_restarted),
        TEST(any_access_ends_well_when_completed_and_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
