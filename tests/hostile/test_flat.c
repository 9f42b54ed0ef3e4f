/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A million faults at a device, and a hundred thousand of each other kind that a guest can make
 * without end: heap, slots, and the process's resident memory are the same behind them as before.
 * (Resident memory is not looked at under a sanitizer, whose own grows.)
 */

#include "hostile.h"
#include <unistd.h>

#define MILLION     1000000
#define MANY        100000
#define NOWHERE     ((uintptr_t)0x7000000000)
#define STEP        (2 * PAGE)
#define WARM_UP     20000
#define MOST_GROWTH ((size_t)512 << 10) /* bytes; a leak of 6 bytes in each of MANY is more */

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

/* A sanitized run is to find errors; fewer faults do. */
#ifdef SANITIZED
#define DIVISOR 10
#else
#define DIVISOR 1
#endif

static size_t resident_bytes(void)
{
    unsigned long total;
    unsigned long resident;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &total, &resident), 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static uint64_t faults_of(hostile_t *hostile)
{
    hosted_vm_counters_t counters;
    assert_int_equal(hosted_vm_get_counters(&hostile->vm, &counters), 0);
    return counters.read_faults + counters.write_faults + counters.fetch_faults;
}

/* Run code that makes some faults for each count in x3, and take the census behind it. */
static hosted_census_t run(hostile_t *hostile, uintptr_t pc, uintptr_t address, uint64_t rounds,
                           uint64_t budget)
{
    const seL4_Word x[4] = {address, 0x1122334455667788, STEP, rounds};
    hosted_census_t census;
    hostile_run(hostile, pc, x, budget);
    hosted_census_take(hostile->system, &census);
    return census;
}

static void check_flat(hostile_t *hostile, const char *what, uintptr_t pc, uintptr_t address,
                       uint64_t many, unsigned faults_in_round, uint64_t budget)
{
    uint64_t rounds = many / DIVISOR / faults_in_round;
    hosted_census_t before =
        run(hostile, pc, address, WARM_UP / faults_in_round, budget != 0 ? WARM_UP : 0);
    size_t resident = resident_bytes();
    uint64_t faults = faults_of(hostile);
    hosted_census_t after = run(hostile, pc, address, rounds, budget);
    size_t grown = resident_bytes();
    faults = faults_of(hostile) - faults;
    print_message("%s: %lu faults, resident %zu KiB, then %zu KiB\n", what, (unsigned long)faults,
                  resident / 1024, grown / 1024);
    assert_true(faults >= rounds);
    hosted_census_print_difference(stderr, &before, &after);
    assert_true(hosted_census_equal(&before, &after));
#ifndef SANITIZED
    assert_true(grown < resident + MOST_GROWTH);
#endif
}

/* A store and a load at x0, x3 times. */
static const uint32_t store_and_load[] = {
    0xb9000001, /* str  w1, [x0] */
    0xb9400002, /* ldr  w2, [x0] */
    0xd1000463, /* sub  x3, x3, #1 */
    0xb5ffffa3, /* cbnz x3, the store */
};

/* Accesses that cannot be completed, in a circle: a pair, a vector, and an odd address. */
static const uint32_t hopeless[] = {
    0xa9000401, /* stp  x1, x1, [x0] */
    0x885f7c02, /* ldxr w2, [x0] */
    0xf8001001, /* stur x1, [x0, #1] */
    0xd1000463, /* sub  x3, x3, #1 */
    0xb5ffff83, /* cbnz x3, the pair */
};

/* Go through the address space: each access is at another page. */
static const uint32_t stroll[] = {
    0xf9000001, /* str  x1, [x0] */
    0x8b020000, /* add  x0, x0, x2 */
    0xd1000463, /* sub  x3, x3, #1 */
    0xb5ffffa3, /* cbnz x3, the store */
};

static memory_fault_result_t ignore(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t address, size_t length,
                                    void *cookie)
{
    return FAULT_IGNORE;
}

/* What a guest does without end. */
typedef struct endless {
    const char *what;
    const uint32_t *code;
    size_t words;
    uintptr_t address;
    uint64_t many;
    unsigned faults_in_round;
    uint64_t budget;
    answer_t answer;
} endless_t;

static void faults_without_end_leave_nothing(void **state)
{
    static const endless_t rows[] = {
        {"device", store_and_load, 4, HOSTILE_DEVICE, MILLION, 2, 0, ANSWER_ADVANCE},
        {"no access", store_and_load, 4, HOSTILE_READ_ONLY + PAGE, MANY, 2, 0, ANSWER_IGNORE},
        {"read-only", store_and_load, 4, HOSTILE_READ_ONLY, MANY, 1, 0, ANSWER_IGNORE},
        {"hopeless", hopeless, 5, HOSTILE_DEVICE, MANY, 3, 0, ANSWER_IGNORE},
        {"nothing", store_and_load, 4, NOWHERE, MANY, 2, 0, ANSWER_IGNORE},
        {"strolling", stroll, 4, NOWHERE, MANY, 1, 0, ANSWER_IGNORE},
        {"beyond stage 2", store_and_load, 4, ((uintptr_t)1 << 40) + 8, MANY, 2, 0, ANSWER_IGNORE},
        {"beyond the processor", store_and_load, 4, ((uintptr_t)1 << 43) + PAGE * 5, MANY, 2, 0,
         ANSWER_IGNORE},
        {"restarts", store_and_load, 4, HOSTILE_DEVICE, MANY, 1, 5 * MANY / DIVISOR,
         ANSWER_RESTART},
    };
    hostile_t *hostile = *state;
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&hostile->vm, ignore, NULL), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const endless_t *row = &rows[i];
        hostile->answer = row->answer;
        check_flat(hostile, row->what, hostile_load(hostile, row->code, row->words), row->address,
                   row->many, row->faults_in_round, row->budget);
    }
    assert_true(hostile->calls >= MILLION / DIVISOR);
    assert_int_equal(hostile_report(hostile)->reason, HOSTED_VM_BUDGET);
}

typedef struct churn {
    vm_memory_reservation_t *last; /* the one page of RAM that there is */
    uint64_t pages;
} churn_t;

static void drop_last(vm_t *vm, churn_t *churn)
{
    if (churn->last != NULL) {
        assert_int_equal(vm_free_reserved_memory(vm, churn->last), 0);
        churn->last = NULL;
    }
}

/* Each access is given a page, in place of that of the access before. */
static memory_fault_result_t give_page(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t address, size_t length,
                                       void *cookie)
{
    churn_t *churn = cookie;
    uintptr_t page = address & ~(PAGE - 1);
    drop_last(vm, churn);
    if (vm_ram_register_at(vm, page, PAGE, false) != 0) {
        return FAULT_ERROR;
    }
    churn->last = guestmem_find_reservation(vm, page);
    churn->pages++;
    return FAULT_RESTART;
}

static void pages_that_come_and_go_leave_nothing(void **state)
{
    hostile_t *hostile = *state;
    uintptr_t pc = hostile_load(hostile, stroll, 4);
    churn_t churn = {0};
    hosted_census_t censuses[2];
    size_t resident[2];
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&hostile->vm, give_page, &churn), 0);
    for (size_t i = 0; i < 2; i++) {
        run(hostile, pc, NOWHERE, MANY / 5 / DIVISOR, 0);
        assert_int_equal(hostile_report(hostile)->reason, HOSTED_VM_POWEROFF);
        drop_last(&hostile->vm, &churn);
        hosted_census_take(hostile->system, &censuses[i]);
        resident[i] = resident_bytes();
    }
    assert_int_equal(churn.pages, MANY / 5 / DIVISOR * 2);
    hosted_census_print_difference(stderr, &censuses[0], &censuses[1]);
    assert_true(hosted_census_equal(&censuses[0], &censuses[1]));
#ifndef SANITIZED
    assert_true(resident[1] < resident[0] + MOST_GROWTH);
#endif
    print_message("pages come and go: resident %zu KiB, then %zu KiB\n", resident[0] / 1024,
                  resident[1] / 1024);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, hostile_make, hostile_end)
    const struct CMUnitTest tests[] = {
        TEST(faults_without_end_leave_nothing),
        TEST(pages_that_come_and_go_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
