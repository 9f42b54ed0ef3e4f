/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Random instruction streams: some words that are instructions of the zoo, some that are near an
 * instruction, some that are anything. Each stream runs for a bounded number of instructions, with
 * registers that point anywhere, and must end in one of the ways that there are.
 *
 * HOSTILE_SEED=n runs that one stream only; HOSTILE_STREAMS=n another number of them.
 */

#include "hostile.h"

#define STREAMS      1000
#define STREAM_WORDS 48
#define BUDGET       3000
#define RECORD_WORDS 16
#define MOST_SKIPS   64 /* of what ended a stream, after which it goes on */

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

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
    uint64_t raw = next(random);
    switch (raw % 8) {
    case 0:
        return (uint32_t)(raw >> 32);
    case 1:
    case 2:
    case 3:
        return shaped(next(random));
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
    uint64_t raw = next(random);
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
    hostile->answer = next(&random) % 4 != 0 ? ANSWER_IGNORE : next(&random) % ANSWER_COUNT;
    if (next(&random) % 4 != 0) {
        assert_int_equal(vm_register_unhandled_mem_fault_callback(&hostile->vm, ignore, NULL), 0);
    }
    hostile_run(hostile, hostile_load(hostile, code, STREAM_WORDS), x, BUDGET);
    for (unsigned i = 0; i < MOST_SKIPS && !ended_for_good(hostile); i++) {
        step_over(hostile);
    }
}

static uint64_t number(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

static void random_instructions_end_well(void **state)
{
    hostile_t *hostile = *state;
    unsigned ends[HOSTED_VM_ERROR + 1] = {0};
    size_t size;
    uint32_t *zoo = read_file(ZOO, &size);
    uint64_t first = number("HOSTILE_SEED", 0);
    uint64_t streams = number("HOSTILE_STREAMS", getenv("HOSTILE_SEED") != NULL ? 1 : STREAMS);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_instructions_end_well, hostile_make, hostile_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
