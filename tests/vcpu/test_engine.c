/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The processor: where and how it stops, and what it sees of stage 2. */

#include "bench.h"
#include <pthread.h>
#include <time.h>

static void check_fault(bench_t *bench, uint64_t address, unsigned width, bool write)
{
    assert_int_equal(bench_run(bench), ENGINE_FAULT);
    assert_int_equal(bench->exit.fault.address, address);
    assert_int_equal(bench->exit.fault.width, width);
    assert_int_equal(bench->exit.fault.write, write);
    assert_false(bench->exit.fault.fetch);
}

static void each_width_stops_with_address_width_and_direction(void **state)
{
    static const unsigned offsets[] = {0, 1, 2, 4, 8};
    static const unsigned widths[] = {1, 1, 2, 4, 8};
    bench_t *bench = *state;

    bench_start(bench, GUEST_WIDTHS, GUEST_DEVICE, 0x1122334455667788);
    for (unsigned i = 0; i < 5; i++) {
        check_fault(bench, GUEST_DEVICE + offsets[i], widths[i], true);
        bench_complete(bench, 0);
    }
    for (unsigned i = 0; i < 5; i++) {
        check_fault(bench, GUEST_DEVICE + offsets[i], widths[i], false);
        bench_complete(bench, 0x8877665544332211);
    }
    check_fault(bench, GUEST_DEVICE + 8, 8, true);
    assert_int_equal(bench->exit.fault.access.rt, 31);
    bench_complete(bench, 0);
    check_fault(bench, GUEST_DEVICE + 8, 8, false);
    bench_complete(bench, ~0ull);
    assert_int_equal(bench_run(bench), ENGINE_HVC);
    assert_int_equal(bench->regs.x10, 0x11);
    assert_int_equal(bench->regs.x12, 0x2211);
    assert_int_equal(bench->regs.x13, 0x44332211);
    assert_int_equal(bench->regs.x14, 0x8877665544332211);
}

static void a_stop_in_the_middle_of_a_block_is_exact(void **state)
{
    bench_t *bench = *state;

    bench_start(bench, GUEST_MIDDLE, GUEST_DEVICE, 7);
    uint64_t entry = bench->regs.pc;
    check_fault(bench, GUEST_DEVICE, 4, true);
    assert_int_equal(bench->exit.pc, entry + 12);
    assert_int_equal(bench->regs.pc, entry + 12);
    assert_int_equal(bench->regs.x10, 3);
    bench_complete(bench, 0);
    check_fault(bench, GUEST_DEVICE, 4, false);
    assert_int_equal(bench->regs.pc, entry + 24);
    assert_int_equal(bench->regs.x10, 0x23);
    bench_complete(bench, 0x55);
    assert_int_equal(bench_run(bench), ENGINE_HVC);
    assert_int_equal(bench->regs.x10, 0x123);
    assert_int_equal(bench->regs.x11, 0x55);
}

static void a_page_without_write_right_stops_stores_only(void **state)
{
    bench_t *bench = *state;
    uint64_t before = 0xabcdef;

    memcpy(bench->memory + 0x100000, &before, sizeof(before));
    bench_map(bench, GUEST_DATA, 0x100000, BENCH_READ);
    bench_start(bench, GUEST_WRITE_DATA, GUEST_DATA, 99);
    check_fault(bench, GUEST_DATA, 8, true);
    bench_complete(bench, 0);
    assert_int_equal(bench_run(bench), ENGINE_HVC);
    assert_int_equal(bench->regs.x10, before);
    assert_memory_equal(bench->memory + 0x100000, &before, sizeof(before));
}

static void an_access_runs_again_after_it_was_mapped(void **state)
{
    bench_t *bench = *state;
    uint64_t value = 0x1234567890abcdef;

    bench_start(bench, GUEST_WRITE_DATA, GUEST_DATA, value);
    check_fault(bench, GUEST_DATA, 8, true);
    bench_map(bench, GUEST_DATA, 0x100000, BENCH_READ | BENCH_WRITE);
    assert_int_equal(bench_run(bench), ENGINE_HVC);
    assert_int_equal(bench->regs.x10, value);
    assert_memory_equal(bench->memory + 0x100000, &value, sizeof(value));
}

static void changed_mappings_take_effect_at_once(void **state)
{
    bench_t *bench = *state;
    uint64_t other = 0x77;

    memcpy(bench->memory + 0x200000, &other, sizeof(other));
    bench_map(bench, GUEST_DATA, 0x100000, BENCH_READ | BENCH_WRITE);
    bench_start(bench, GUEST_WRITE_DATA, GUEST_DATA, 1);
    assert_int_equal(bench_run(bench), ENGINE_HVC);
    /* lowered rights */
    bench_map(bench, GUEST_DATA, 0x100000, BENCH_READ);
    bench_start(bench, GUEST_WRITE_DATA, GUEST_DATA, 2);
    check_fault(bench, GUEST_DATA, 8, true);
    /* raised again */
    bench_map(bench, GUEST_DATA, 0x100000, BENCH_READ | BENCH_WRITE);
    assert_int_equal(bench_run(bench), ENGINE_HVC);
    assert_int_equal(bench->regs.x10, 2);
    /* no access */
    bench_map(bench, GUEST_DATA, 0x100000, 0);
    bench_start(bench, GUEST_WRITE_DATA, GUEST_DATA, 3);
    check_fault(bench, GUEST_DATA, 8, true);
    /* another frame */
    bench_unmap(bench, GUEST_DATA, 0x100000);
    bench_map(bench, GUEST_DATA, 0x200000, BENCH_READ);
    bench_start(bench, GUEST_WRITE_DATA, GUEST_DATA, 3);
    check_fault(bench, GUEST_DATA, 8, true);
    bench_complete(bench, 0);
    assert_int_equal(bench_run(bench), ENGINE_HVC);
    assert_int_equal(bench->regs.x10, other);
    /* none */
    bench_unmap(bench, GUEST_DATA, 0x200000);
    bench_start(bench, GUEST_WRITE_DATA, GUEST_DATA, 4);
    check_fault(bench, GUEST_DATA, 8, true);
}

static void code_of_a_frame_that_came_back_is_read_again(void **state)
{
    static const uint32_t before[] = {0xd2800029, 0xd4000002}; /* mov x9, #1; hvc #0 */
    static const uint32_t after[] = {0xd2800049, 0xd4000002};  /* mov x9, #2; hvc #0 */
    bench_t *bench = *state;

    memcpy(bench->memory + 0x100000, before, sizeof(before));
    bench_map(bench, GUEST_DATA, 0x100000, BENCH_ALL);
    bench_start(bench, GUEST_BRANCH, GUEST_DATA, 0);
    assert_int_equal(bench_run(bench), ENGINE_HVC);
    assert_int_equal(bench->regs.x9, 1);
    bench_unmap(bench, GUEST_DATA, 0x100000);
    memcpy(bench->memory + 0x100000, after, sizeof(after));
    bench_map(bench, GUEST_DATA, 0x100000, BENCH_ALL);
    bench_start(bench, GUEST_BRANCH, GUEST_DATA, 0);
    assert_int_equal(bench_run(bench), ENGINE_HVC);
    assert_int_equal(bench->regs.x9, 2);
}

static void an_unaligned_access_says_so(void **state)
{
    bench_t *bench = *state;

    bench_start(bench, GUEST_UNALIGNED, GUEST_DEVICE, 0);
    check_fault(bench, GUEST_DEVICE + 1, 4, false);
    assert_false(bench->exit.fault.aligned);
    assert_false(bench->exit.fault.crosses_page);
}

static void an_access_across_pages_names_the_page_that_is_missing(void **state)
{
    bench_t *bench = *state;

    bench_start(bench, GUEST_CROSSING, GUEST_DATA, 0x1122334455667788);
    check_fault(bench, GUEST_DATA + 0xffc, 4, true);
    assert_true(bench->exit.fault.crosses_page);
    bench_map(bench, GUEST_DATA, 0x100000, BENCH_READ | BENCH_WRITE);
    check_fault(bench, GUEST_DATA + 0x1000, 4, true);
    assert_true(bench->exit.fault.crosses_page);
    /* Two frames that are not neighbours. */
    bench_map(bench, GUEST_DATA + 0x1000, 0x200000, BENCH_READ | BENCH_WRITE);
    assert_int_equal(bench_run(bench), ENGINE_HVC);
    assert_int_equal(bench->regs.x10, 0x1122334455667788);
    assert_int_equal(bench->memory[0x100ffc], 0x88);
    assert_int_equal(bench->memory[0x200000], 0x44);
}

static void accesses_without_valid_syndrome_are_told_apart(void **state)
{
    bench_t *bench = *state;

    bench_start(bench, GUEST_PAIR, GUEST_DEVICE, 0);
    check_fault(bench, GUEST_DEVICE, 16, true);
    assert_int_equal(bench->exit.fault.access.kind, A64_PAIR);
    assert_false(bench->exit.fault.access.valid_syndrome);
    bench_start(bench, GUEST_EXCLUSIVE, GUEST_DEVICE, 0);
    check_fault(bench, GUEST_DEVICE, 4, false);
    assert_int_equal(bench->exit.fault.access.kind, A64_EXCLUSIVE);
    bench_start(bench, GUEST_VECTOR, GUEST_DEVICE, 0);
    check_fault(bench, GUEST_DEVICE, 8, true);
    assert_int_equal(bench->exit.fault.access.kind, A64_VECTOR);
    bench_start(bench, GUEST_WRITE_BACK, GUEST_DEVICE, 0);
    check_fault(bench, GUEST_DEVICE, 4, false);
    assert_int_equal(bench->exit.fault.access.kind, A64_WRITE_BACK);
    assert_int_equal(bench->regs.x2, GUEST_DEVICE);
}

static void such_accesses_work_in_memory(void **state)
{
    bench_t *bench = *state;

    bench_map(bench, GUEST_DATA, 0x100000, BENCH_READ | BENCH_WRITE);
    bench_start(bench, GUEST_PAIR, GUEST_DATA, 5);
    assert_int_equal(bench_run(bench), ENGINE_HVC);
    assert_int_equal(bench->regs.x10, 5);
    assert_int_equal(bench->regs.x11, GUEST_DATA);
    bench_start(bench, GUEST_EXCLUSIVE, GUEST_DATA, 6);
    assert_int_equal(bench_run(bench), ENGINE_HVC);
    assert_int_equal(bench->regs.x11, 0);
    bench_start(bench, GUEST_VECTOR, GUEST_DATA, 7);
    assert_int_equal(bench_run(bench), ENGINE_HVC);
    assert_int_equal(bench->regs.x10, 7);
}

static void check_fetch(bench_t *bench, uint64_t address)
{
    assert_int_equal(bench_run(bench), ENGINE_FAULT);
    assert_true(bench->exit.fault.fetch);
    assert_int_equal(bench->exit.fault.address, address);
    assert_int_equal(bench->exit.pc, address);
}

static void a_fetch_from_what_is_not_mapped_or_not_executable_stops(void **state)
{
    bench_t *bench = *state;
    uint32_t code = 0xd4000002; /* hvc #0 */

    bench_start(bench, GUEST_BRANCH, GUEST_DEVICE, 0);
    check_fetch(bench, GUEST_DEVICE);
    memcpy(bench->memory + 0x100000, &code, sizeof(code));
    bench_map(bench, GUEST_DATA, 0x100000, BENCH_READ | BENCH_WRITE);
    bench_start(bench, GUEST_BRANCH, GUEST_DATA, 0);
    check_fetch(bench, GUEST_DATA);
    bench_map(bench, GUEST_DATA, 0x100000, BENCH_ALL);
    assert_int_equal(bench_run(bench), ENGINE_HVC);
}

static void thousands_of_separate_mappings_do_not_matter(void **state)
{
    bench_t *bench = *state;
    uint64_t sum = 0;

    for (uint64_t i = 0; i < GUEST_STEPS; i++) {
        /* Neither neighbours nor in order, with differing rights. */
        uint64_t offset = 0x200000 + (i * 7919 % GUEST_STEPS) * 4096;
        memcpy(bench->memory + offset, &i, sizeof(i));
        bench_map(bench, GUEST_TOUCH_BASE + i * 0x2000, offset, i % 2 ? BENCH_READ : BENCH_ALL);
        sum += i;
    }
    bench_start(bench, GUEST_TOUCH, 0, 0);
    assert_int_equal(bench_run(bench), ENGINE_HVC);
    assert_int_equal(bench->regs.x10, sum);
}

static void pass_over(bench_t *bench)
{
    bench->regs.pc += 4;
    assert_int_equal(bench->engine->class->set_registers(bench->engine, &bench->regs), 0);
}

static void calls_and_waits_stop_at_their_instruction(void **state)
{
    bench_t *bench = *state;

    bench_start(bench, GUEST_CALLS, 0, 0);
    uint64_t entry = bench->regs.pc;
    assert_int_equal(bench_run(bench), ENGINE_HVC);
    assert_int_equal(bench->exit.syndrome, 7);
    assert_int_equal(bench->exit.pc, entry);
    pass_over(bench);
    assert_int_equal(bench_run(bench), ENGINE_SMC);
    assert_int_equal(bench->exit.syndrome, 9);
    assert_int_equal(bench->exit.pc, entry + 4);
    pass_over(bench);
    assert_int_equal(bench_run(bench), ENGINE_WFI);
    assert_int_equal(bench->exit.pc, entry + 8);
    pass_over(bench);
    assert_int_equal(bench_run(bench), ENGINE_HVC);
    assert_int_equal(bench->regs.x10, 42);
}

static void unknown_and_own_exceptions_are_told(void **state)
{
    bench_t *bench = *state;

    bench_start(bench, GUEST_UNDEFINED, 0, 0);
    uint64_t entry = bench->regs.pc;
    assert_int_equal(bench_run(bench), ENGINE_UNDEFINED);
    assert_int_equal(bench->exit.pc, entry);
    assert_int_equal(bench->exit.instruction, 0);
    bench_start(bench, GUEST_SVC, 0, 0);
    assert_int_equal(bench_run(bench), ENGINE_EXCEPTION);
    assert_non_null(strstr(bench->exit.text, "svc"));
}

static void addresses_beyond_stage_2_do_not_reach_anything(void **state)
{
    static const uint64_t addresses[] = {
        1ull << 40,       (1ull << 43) - 8, 1ull << 43, (1ull << 43) + (1ull << 30),
        (1ull << 44) - 8, 1ull << 47,       1ull << 60, 0xfffffffffffffff0ull};
    bench_t *bench = *state;

    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        bench_start(bench, GUEST_WRITE_DATA, addresses[i], 1);
        engine_reason_t reason = bench_run(bench);
        if (reason != ENGINE_FAULT && reason != ENGINE_EXCEPTION) {
            fail_msg("address %lx: %d %s", (unsigned long)addresses[i], reason, bench->exit.text);
        }
        if (reason == ENGINE_FAULT) {
            assert_int_equal(bench->exit.fault.address, addresses[i]);
        }
        /* Nothing of it is left for the next run. */
        bench_start(bench, GUEST_CALLS, 0, 0);
        assert_int_equal(bench_run(bench), ENGINE_HVC);
        assert_int_equal(bench->exit.syndrome, 7);
    }
}

static void the_guests_own_translation_is_followed(void **state)
{
    bench_t *bench = *state;

    for (unsigned i = 0; i < 2; i++) {
        bench_map(bench, GUEST_TABLES + i * 4096, 0x100000 + i * 4096, BENCH_READ | BENCH_WRITE);
    }
    bench_start(bench, GUEST_MMU, 0, 0xbeef);
    check_fault(bench, GUEST_DEVICE + 0x24, 4, true);
    assert_int_equal(bench->exit.fault.access.rt, 1);
    bench_complete(bench, 0);
    check_fault(bench, GUEST_DEVICE + 0x28, 4, false);
    bench_complete(bench, 0x600d);
    assert_int_equal(bench_run(bench), ENGINE_HVC);
    assert_int_equal(bench->regs.x10, 0x600d);
}

static void a_walk_of_tables_that_are_not_mapped_says_so(void **state)
{
    bench_t *bench = *state;

    bench_start(bench, GUEST_BAD_TABLE, 0, 0);
    assert_int_equal(bench_run(bench), ENGINE_FAULT);
    assert_true(bench->exit.fault.table_walk);
    assert_int_equal(bench->exit.fault.address, GUEST_DEVICE + 8);
    assert_int_equal(bench->exit.fault.width, 8);
}

static void all_registers_can_be_set_and_read(void **state)
{
    bench_t *bench = *state;
    const engine_class_t *class = bench->engine->class;
    seL4_Word registers[seL4_VCPUReg_Num];
    seL4_UserContext set;

    class->get_registers(bench->engine, &set);
    seL4_Word *words = (seL4_Word *)&set;
    for (size_t i = 0; i < sizeof(set) / sizeof(*words); i++) {
        if (&words[i] != &set.spsr) {
            words[i] = 0x1111111100000000 + i * 4;
        }
    }
    set.spsr = 0x600003c5; /* Z and C */
    assert_int_equal(class->set_registers(bench->engine, &set), 0);
    class->get_registers(bench->engine, &bench->regs);
    assert_memory_equal(&bench->regs, &set, sizeof(set));

    class->get_system_registers(bench->engine, registers);
    registers[seL4_VCPUReg_SP_EL1] = 0x40001000;
    registers[seL4_VCPUReg_ELR_EL1] = 0x40002000;
    registers[seL4_VCPUReg_VBAR] = 0x40003000;
    registers[seL4_VCPUReg_TTBR0] = 0x40004000;
    registers[seL4_VCPUReg_TPIDR_EL1] = 0x40005000;
    registers[seL4_VCPUReg_VMPIDR_EL2] = 0x80000001;
    class->set_system_registers(bench->engine, registers);
    seL4_Word found[seL4_VCPUReg_Num];
    class->get_system_registers(bench->engine, found);
    assert_memory_equal(found, registers, sizeof(found));
    class->get_registers(bench->engine, &bench->regs);
    assert_int_equal(bench->regs.sp, set.sp);

    set.spsr = 0; /* EL0: cannot be entered from outside */
    assert_int_equal(class->set_registers(bench->engine, &set), -1);
}

static void a_budget_ends_the_run_and_keeps_the_state(void **state)
{
    bench_t *bench = *state;

    bench->engine->class->set_budget(bench->engine, 10000);
    bench_start(bench, GUEST_SPIN, 0, 0);
    bench->regs.x10 = 0;
    bench->engine->class->set_registers(bench->engine, &bench->regs);
    assert_int_equal(bench_run(bench), ENGINE_BUDGET);
    assert_in_range(bench->regs.x10, 4900, 5100);
    assert_int_equal(bench_run(bench), ENGINE_BUDGET);
    bench->engine->class->set_budget(bench->engine, 2000);
    seL4_Word before = bench->regs.x10;
    assert_int_equal(bench_run(bench), ENGINE_BUDGET);
    assert_in_range(bench->regs.x10 - before, 900, 1100);
}

static void *kick_until_done(void *cookie)
{
    bench_t *bench = cookie;
    struct timespec pause = {0, 1000000};

    for (int i = 0; i < 50; i++) {
        nanosleep(&pause, NULL);
        bench->engine->class->kick(bench->engine);
    }
    return NULL;
}

static void a_kick_from_another_thread_ends_the_run(void **state)
{
    bench_t *bench = *state;
    pthread_t thread;

    bench_start(bench, GUEST_SPIN, 0, 0);
    bench->regs.x10 = 0;
    bench->engine->class->set_registers(bench->engine, &bench->regs);
    assert_int_equal(pthread_create(&thread, NULL, kick_until_done, bench), 0);
    assert_int_equal(bench_run(bench), ENGINE_KICKED);
    assert_int_equal(bench_run(bench), ENGINE_KICKED);
    assert_true(bench->regs.x10 > 0);
    assert_in_range(bench->regs.pc, GUEST_BASE, GUEST_BASE + 0xffff);
    pthread_join(thread, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_make, bench_end)
    const struct CMUnitTest tests[] = {
        TEST(each_width_stops_with_address_width_and_direction),
        TEST(a_stop_in_the_middle_of_a_block_is_exact),
        TEST(a_page_without_write_right_stops_stores_only),
        TEST(an_access_runs_again_after_it_was_mapped),
        TEST(changed_mappings_take_effect_at_once),
        TEST(code_of_a_frame_that_came_back_is_read_again),
        TEST(an_unaligned_access_says_so),
        TEST(an_access_across_pages_names_the_page_that_is_missing),
        TEST(accesses_without_valid_syndrome_are_told_apart),
        TEST(such_accesses_work_in_memory),
        TEST(a_fetch_from_what_is_not_mapped_or_not_executable_stops),
        TEST(thousands_of_separate_mappings_do_not_matter),
        TEST(calls_and_waits_stop_at_their_instruction),
        TEST(unknown_and_own_exceptions_are_told),
        TEST(addresses_beyond_stage_2_do_not_reach_anything),
        TEST(the_guests_own_translation_is_followed),
        TEST(a_walk_of_tables_that_are_not_mapped_says_so),
        TEST(all_registers_can_be_set_and_read),
        TEST(a_budget_ends_the_run_and_keeps_the_state),
        TEST(a_kick_from_another_thread_ends_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
