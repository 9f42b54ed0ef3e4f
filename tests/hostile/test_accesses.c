/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Every instruction of the zoo at every class of address, with every answer of the devices'
 * callback. What each must do is the business of other tests; here each must end in one of the ways
 * that there are, and leave the world as it was.
 */

#include "hostile.h"

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
