/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Guests with a plan: code that rewrites itself, translation tables of the guest's own that are
 * wrong in every way, calls with any arguments, other exception levels, and loops of faults without
 * end, which only the budget, the deadline or a request of the VMM stops.
 */

#include "hostile.h"
#include <pthread.h>
#include "programs.h"

#define TABLES     (HOSTILE_RAM + 0x100000) /* the guest's own translation tables */
#define BUDGET     20000
#define TCR_39_BIT 0x280803519ull /* both halves 39 bits, 4 KiB, cached, 40-bit output */
#define TCR_48_BIT 0x280803510ull /* lower half 48 bits */

#define BLOCK       0x701ull /* a block: valid, accessed, inner shareable, attribute 0 */
#define TABLE_ENTRY 3ull

static uintptr_t load_programs(hostile_t *hostile)
{
    size_t size;
    uint32_t *image = read_file(PROGRAMS, &size);
    hostile->next_code = (hostile->next_code + PAGE - 1) & ~(PAGE - 1);
    uintptr_t at = hostile_load(hostile, image, size / sizeof(*image));
    free(image);
    return at;
}

static int run_program(hostile_t *hostile, unsigned program, const seL4_Word x[4])
{
    uintptr_t at = load_programs(hostile);
    uint64_t offset;
    assert_int_equal(vm_ram_touch(&hostile->vm, at + program * sizeof(offset), sizeof(offset),
                                  vm_guest_ram_read_callback, &offset),
                     0);
    return hostile_run(hostile, at + offset, x, BUDGET);
}

static void write_word(hostile_t *hostile, uintptr_t address, uint64_t value)
{
    assert_int_equal(
        vm_ram_touch(&hostile->vm, address, sizeof(value), vm_guest_ram_write_callback, &value), 0);
}

static void code_that_rewrites_itself_runs_as_rewritten(void **state)
{
    hostile_t *hostile = *state;
    const seL4_Word x[4] = {0};
    assert_int_equal(run_program(hostile, PROGRAM_REWRITE_OWN, x), 0);
    assert_int_equal(hostile_registers(hostile).x10, 1600);
    assert_int_equal(run_program(hostile, PROGRAM_REWRITE_NEXT, x), 0);
    assert_int_equal(hostile_registers(hostile).x11, 136);
}

static void exclusives_and_zeroing_work_in_ram_and_stop_at_its_end(void **state)
{
    hostile_t *hostile = *state;
    const seL4_Word lock[4] = {HOSTILE_RAM, 100, 0, 0};
    const seL4_Word zero[4] = {HOSTILE_CODE - PAGE, PAGE / 64, 0, 0};
    const seL4_Word too_far[4] = {HOSTILE_RAM_END - 128, 10, 0, 0};
    uint64_t word = 0;
    assert_int_equal(run_program(hostile, PROGRAM_EXCLUSIVE, lock), 0);
    assert_int_equal(vm_ram_touch(&hostile->vm, HOSTILE_RAM, 8, vm_guest_ram_read_callback, &word),
                     0);
    assert_int_equal(word, 100);
    write_word(hostile, HOSTILE_CODE - 8, 1);
    assert_int_equal(run_program(hostile, PROGRAM_ZERO_BLOCK, zero), 0);
    assert_int_equal(
        vm_ram_touch(&hostile->vm, HOSTILE_CODE - 8, 8, vm_guest_ram_read_callback, &word), 0);
    assert_int_equal(word, 0);
    assert_int_equal(run_program(hostile, PROGRAM_ZERO_BLOCK, too_far), -1);
    assert_int_equal(hostile_report(hostile)->address, HOSTILE_RAM_END);
    assert_int_equal(hostile_report(hostile)->reason, HOSTED_VM_FAULT);
}

static void all_that_a_guest_writes_stays_written(void **state)
{
    enum { PAGES = 200, ROUNDS = 3 };
    hostile_t *hostile = *state;
    const seL4_Word x[4] = {HOSTILE_RAM, PAGES, HOSTILE_DEVICE, 0};
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        assert_int_equal(run_program(hostile, PROGRAM_WRITES, x), 0);
        assert_int_equal(hostile_registers(hostile).x10, PAGES);
        for (uint64_t i = 0; i < PAGES; i++) {
            uint64_t words[PAGE / 8];
            assert_int_equal(
                guestmem_read(&hostile->vm, HOSTILE_RAM + i * PAGE, words, sizeof(words)), 0);
            assert_int_equal(words[0], i);
            assert_int_equal(words[1], round);
            assert_int_equal(words[256 / 8], round);
            assert_int_equal(words[512 / 8], i);
            assert_int_equal(words[PAGE / 8 - 1] >> 56, i & 0xff);
        }
    }
}

/* Tables that map the first 512 GiB 1:1 by blocks, but for one entry. */
static void write_tables(hostile_t *hostile, size_t wrong, uint64_t entry)
{
    for (size_t i = 0; i < 512; i++) {
        write_word(hostile, TABLES + i * 8, i == wrong ? entry : (i << 30 | BLOCK));
    }
}

static void wrong_tables_of_the_guest_end_in_a_report(void **state)
{
    static const uint64_t entries[] = {
        0,
        1,
        TABLE_ENTRY,                  /* a table at 0, where nothing is */
        TABLES | TABLE_ENTRY,         /* the table itself */
        HOSTILE_DEVICE | TABLE_ENTRY, /* a table in a device */
        (HOSTILE_READ_ONLY + PAGE) | TABLE_ENTRY,
        HOSTILE_LAZY | TABLE_ENTRY,
        0x0000fffffffff000 | TABLE_ENTRY, /* beyond what the processor can address */
        0x0000ffffc0000000 | BLOCK,
        0x000008000000000 | BLOCK,
        UINT64_MAX,
    };
    static const uint64_t controls[] = {TCR_39_BIT,
                                        TCR_48_BIT,
                                        0,
                                        UINT64_MAX,
                                        0x3f003f,
                                        1ull << 14 | 25,
                                        2ull << 14 | 25 | 7ull << 32,
                                        63ull | 63ull << 16};
    hostile_t *hostile = *state;
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        for (size_t j = 0; j < sizeof(controls) / sizeof(controls[0]); j++) {
            const seL4_Word x[4] = {TABLES, controls[j], 2ull << 30, 0};
            hostile_renew(hostile);
            write_tables(hostile, 2, entries[i]);
            run_program(hostile, PROGRAM_MMU, x);
        }
    }
}

static void wrong_table_addresses_end_in_a_report(void **state)
{
    static const uint64_t addresses[] = {
        0,
        HOSTILE_DEVICE,
        HOSTILE_READ_ONLY,
        HOSTILE_READ_ONLY + PAGE,
        HOSTILE_LAZY,
        HOSTILE_LAST + PAGE,
        (uint64_t)1 << 40,
        (uint64_t)1 << 43,
        0x0000fffffffff000,
        UINT64_MAX,
    };
    static const answer_t answers[] = {ANSWER_ADVANCE, ANSWER_RESTART, ANSWER_IGNORE};
    hostile_t *hostile = *state;
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        for (size_t j = 0; j < sizeof(answers) / sizeof(answers[0]); j++) {
            const seL4_Word x[4] = {addresses[i], TCR_39_BIT, HOSTILE_RAM, 0};
            hostile_renew(hostile);
            hostile->answer = answers[j];
            assert_int_equal(run_program(hostile, PROGRAM_MMU, x), -1);
        }
    }
}

static void pages_all_over_the_virtual_address_space_are_reached(void **state)
{
    hostile_t *hostile = *state;
    /* Far more pages than the software processor has regions, where it has its own. */
    const seL4_Word x[4] = {TABLES, TCR_48_BIT, (uint64_t)0x90 << 36, 3000};
    hostile_renew(hostile);
    /* Level 0: entry 0 for the code, and the entry of x2; level 1: all gigabytes are that of RAM.
     */
    write_word(hostile, TABLES, (TABLES + PAGE) | TABLE_ENTRY);
    write_word(hostile, TABLES + (x[2] >> 39) * 8, (TABLES + PAGE) | TABLE_ENTRY);
    for (size_t i = 0; i < 512; i++) {
        write_word(hostile, TABLES + PAGE + i * 8, (TABLES + 2 * PAGE) | TABLE_ENTRY);
    }
    for (size_t i = 0; i < 512; i++) {
        write_word(hostile, TABLES + 2 * PAGE + i * 8,
                   (HOSTILE_RAM + (i << 21) % HOSTILE_RAM_SIZE) | BLOCK);
    }
    assert_int_equal(run_program(hostile, PROGRAM_WALK_VIRTUAL, x), 0);
    assert_int_equal(hostile_registers(hostile).x10, 3000);
}

static memory_fault_result_t ignore(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t address, size_t length,
                                    void *cookie)
{
    uintptr_t *last = cookie;
    *last = address;
    return FAULT_IGNORE;
}

/* Addresses that the software processor has its own use for, then memory that it has not seen. */
static void memory_can_be_mapped_after_a_guest_was_everywhere(void **state)
{
    static const uint32_t store = 0xf9000001; /* str x1, [x0] */
    static const uint32_t load = 0xf9400001;  /* ldr x1, [x0] */
    hostile_t *hostile = *state;
    uintptr_t pc = hostile_load(hostile, &store, 1);
    uintptr_t last = 0;
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&hostile->vm, ignore, &last), 0);
    for (uintptr_t address = (uintptr_t)1 << 43; address >> 44 == 0; address += 3ul << 30) {
        const seL4_Word x[4] = {address, 0, 0, 0};
        assert_int_equal(hostile_run(hostile, pc, x, 0), 0);
        assert_int_equal(last, address);
    }
    for (uintptr_t top = 1; top < 256; top++) { /* stage 1 does not know these */
        const seL4_Word x[4] = {top << 56, 0, 0, 0};
        assert_int_equal(hostile_run(hostile, pc, x, 0), -1);
        assert_int_equal(hostile_report(hostile)->reason, HOSTED_VM_EXCEPTION);
    }
    static const uintptr_t rtc = 0x09010000; /* of the board; not mapped before */
    assert_non_null(
        create_device_reservation_frame(&hostile->vm, rtc, seL4_AllRights, ignore, &last));
    const seL4_Word x[4] = {rtc, 0, 0, 0};
    last = 0;
    assert_int_equal(hostile_run(hostile, hostile_load(hostile, &load, 1), x, 0), 0);
    assert_int_equal(last, 0);
}

static void calls_take_any_arguments(void **state)
{
    static const seL4_Word functions[] = {
        0x84000000,        0x84000001, 0x84000002, 0x84000003, 0xc4000003, 0x84000004, 0xc4000004,
        0x84000005,        0x84000006, 0x84000007, 0x8400000a, 0x8400000b, 0x8400001f, 0x84000020,
        0xc4000012,        0,          1,          0x7fffffff, 0x80000000, 0xffffffff, UINT64_MAX,
        0x8000000084100008};
    static const seL4_Word arguments[] = {0,          1,         HOSTILE_DEVICE, 0xff00ffffff,
                                          1ull << 63, UINT64_MAX};
    hostile_t *hostile = *state;
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        for (size_t j = 0; j < sizeof(arguments) / sizeof(arguments[0]); j++) {
            const seL4_Word x[4] = {functions[i], arguments[j], arguments[j], UINT64_MAX};
            if (hostile->next_code + 0x10000 > HOSTILE_RAM_END) {
                hostile_renew(hostile);
            }
            assert_int_equal(run_program(hostile, PROGRAM_CALL, x), 0);
            assert_true((int64_t)hostile_registers(hostile).x10 >= -4);
            assert_int_equal(hostile_registers(hostile).x10, hostile_registers(hostile).x11);
        }
    }
}

/* EL0, EL1 with either stack pointer, EL2 and EL3, AArch32 in all its modes. */
static void any_processor_state_ends_in_a_report(void **state)
{
    hostile_t *hostile = *state;
    for (seL4_Word mode = 0; mode < 64; mode++) {
        const seL4_Word x[4] = {HOSTILE_CODE - 4 * PAGE, mode, 0, 0};
        const seL4_Word device[4] = {HOSTILE_DEVICE, mode, 0, 0};
        hostile_renew(hostile);
        run_program(hostile, PROGRAM_USER, x);
        hostile_renew(hostile);
        run_program(hostile, PROGRAM_USER, device);
    }
}

static void vectors_at_any_address_end_in_a_report(void **state)
{
    static const uintptr_t places[] = {0, HOSTILE_DEVICE, HOSTILE_READ_ONLY + PAGE, HOSTILE_TOP,
                                       HOSTILE_LAST};
    hostile_t *hostile = *state;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        const seL4_Word x[4] = {places[i], 0, 0, 0};
        assert_int_equal(run_program(hostile, PROGRAM_VECTORS, x), -1);
    }
}

static void *stop_soon(void *cookie)
{
    hostile_t *hostile = cookie;
    hosted_vm_request_stop(&hostile->vm);
    return NULL;
}

/* A load, and a fetch, that run again for ever. */
static void endless_faults_are_stopped_by_budget_deadline_and_request(void **state)
{
    static const uint32_t load = 0xf9400001;  /* ldr x1, [x0] */
    static const uint32_t fetch = 0xd61f0000; /* br x0 */
    hostile_t *hostile = *state;
    pthread_t thread;
    hostile->answer = ANSWER_RESTART;
    for (size_t i = 0; i < 2; i++) {
        const seL4_Word x[4] = {HOSTILE_DEVICE, 0, 0, 0};
        uintptr_t pc = hostile_load(hostile, i == 0 ? &load : &fetch, 1);
        assert_int_equal(hostile_run(hostile, pc, x, 1000), -1);
        assert_int_equal(hostile_report(hostile)->reason, HOSTED_VM_BUDGET);
        assert_int_equal(hosted_vm_set_budget(&hostile->vm, 0, 20), 0);
        assert_int_equal(hostile_go_on(hostile), -1);
        assert_int_equal(hostile_report(hostile)->reason, HOSTED_VM_BUDGET);
        assert_int_equal(hosted_vm_set_budget(&hostile->vm, 0, 0), 0);
        assert_int_equal(pthread_create(&thread, NULL, stop_soon, hostile), 0);
        assert_int_equal(vm_run(&hostile->vm), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(hostile_report(hostile)->reason, HOSTED_VM_STOPPED);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, hostile_make, hostile_end)
    const struct CMUnitTest tests[] = {
        TEST(code_that_rewrites_itself_runs_as_rewritten),
        TEST(exclusives_and_zeroing_work_in_ram_and_stop_at_its_end),
        TEST(all_that_a_guest_writes_stays_written),
        TEST(wrong_tables_of_the_guest_end_in_a_report),
        TEST(wrong_table_addresses_end_in_a_report),
        TEST(memory_can_be_mapped_after_a_guest_was_everywhere),
        TEST(calls_take_any_arguments),
        TEST(any_processor_state_ends_in_a_report),
        TEST(vectors_at_any_address_end_in_a_report),
        TEST(endless_faults_are_stopped_by_budget_deadline_and_request),
        TEST(pages_all_over_the_virtual_address_space_are_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
