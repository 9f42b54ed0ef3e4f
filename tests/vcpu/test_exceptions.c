/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What guests take at their own vectors: exceptions of each kind, as the Arm architecture reference
 * manual has them, and the virtual timer's interrupt. All in virtual time, so nothing depends on
 * how fast the host is.
 */

#include "machine.h"
#include <guestmem/change.h>
#include <sel4vm/guest_irq_controller.h>

/* What the guest keeps of an exception. */
typedef struct noted {
    uint64_t vector, syndrome, address, link, state, sp;
} noted_t;

enum { EL1H = 5, EL1T = 4, EL0 = 0, MODE = 0x1f, MASKS = 0x3c0 };
enum { SELF = 0x200, SELF_SP0 = 0, LOWER = 0x400 };
enum { NONE = 0xffffffff };

typedef struct expected {
    unsigned vector;
    uint32_t syndrome;
    unsigned mode;
    uint64_t address; /* of an abort; 0: none */
    uint32_t at;      /* instruction that ELR is at, or NONE ... */
    uint32_t after;   /* ... and that it is after. Both NONE: ELR is `address` */
} expected_t;

static uint32_t instruction_at(machine_t *machine, uint64_t address)
{
    uint32_t instruction;
    uint64_t gpa = address >= GUEST_EL0_BASE ? address - GUEST_EL0_BASE + GUEST_BASE : address;
    assert_int_equal(guestmem_read(&machine->vm, gpa, &instruction, 4), 0);
    return instruction;
}

static void exceptions_are_taken_at_the_guests_vectors(void **state)
{
    const uint64_t notes = GUEST_DATA;
    const expected_t expected[] = {
        {SELF, 0x56000005, EL1H, 0, NONE, 0xd40000a1},
        {SELF, 0xf2000007, EL1H, 0, 0xd42000e0, NONE},
        {SELF, 0x02000000, EL1H, 0, 0, NONE},
        {SELF_SP0, 0x56000006, EL1T, 0, NONE, 0xd40000c1},
        {SELF, 0x96000005, EL1H, 0x123008, 0xf9400043, NONE},
        {SELF, 0x96000045, EL1H, 0xc0000010, 0x39000043, NONE},
        {SELF, 0x86000005, EL1H, 0xc0001000, NONE, NONE},
        {SELF, 0x96000004, EL1H, 0x200000000000, 0xf9400043, NONE},
        {SELF, 0x96000045, EL1H, 0xc0000000ull + GUEST_DATA + 0x8000 + 128, 0xd50b7435, NONE},
        {LOWER, 0x9200004d, EL0, GUEST_DATA + 0x8000 + 128, 0xd50b7434, NONE},
        {LOWER, 0x56000009, EL0, 0, NONE, 0xd4000121},
        {LOWER, 0xf200000a, EL0, 0, 0xd4200140, NONE},
        {LOWER, 0x02000000, EL0, 0, 0, NONE},
        {LOWER, 0x02000000, EL0, 0, 0xd4000022, NONE},
        {LOWER, 0x02000000, EL0, 0, 0xd4000023, NONE},
        {LOWER, 0x02000000, EL0, 0, 0xd5381003, NONE},
        {LOWER, 0x9200000d, EL0, notes + 16 * sizeof(noted_t), 0xf9400383, NONE},
        {LOWER, 0x9200004d, EL0, notes + 17 * sizeof(noted_t), 0xf9000383, NONE},
        {LOWER, 0x560000ff, EL0, 0, NONE, 0xd4001fe1},
    };
    enum { COUNT = sizeof(expected) / sizeof(expected[0]) };
    machine_t *machine = *state;
    noted_t noted[COUNT + 1];
    if (machine_run(machine, GUEST_EXCEPTIONS, notes, 0) != 0) {
        fail_msg("%s", machine_report(machine)->text);
    }
    assert_int_equal(guestmem_read(&machine->vm, notes, noted, sizeof(noted)), 0);
    for (size_t i = 0; i < COUNT; i++) {
        const expected_t *e = &expected[i];
        const noted_t *n = &noted[i];
        if (n->vector != e->vector || n->syndrome != e->syndrome ||
            (e->address != 0 && n->address != e->address) ||
            (n->state & (MODE | MASKS)) != (e->mode | MASKS) || n->sp != GUEST_EL1_STACK) {
            fail_msg("%zu: vector %#lx, syndrome %#lx, address %#lx, state %#lx, sp %#lx", i,
                     n->vector, n->syndrome, n->address, n->state, n->sp);
        }
        if (e->at != NONE) {
            assert_int_equal(instruction_at(machine, n->link), e->at);
        } else if (e->after != NONE) {
            assert_int_equal(instruction_at(machine, n->link - 4), e->after);
        } else {
            assert_int_equal(n->link, e->address);
        }
    }
    assert_int_equal(noted[COUNT].syndrome, 0);
    assert_int_equal(machine_registers(machine).x10, GUEST_EL0_STACK);
}

static void acknowledge(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    ++*(unsigned *)cookie;
    assert_int_equal(seL4_ARM_VCPU_AckVPPI(vcpu->vcpu.cptr, (seL4_Word)irq), 0);
}

/* Both sleeping at EL1 and working at EL0. */
static void the_virtual_timer_interrupts_when_it_is_due(void **state)
{
    machine_t *machine = *state;
    unsigned ends = 0;
    assert_int_equal(vm_create_default_irq_controller(&machine->vm), 0);
    assert_int_equal(vm_register_irq(machine->vcpu, 27, acknowledge, &ends), 0);
    for (unsigned at_el0 = 0; at_el0 < 2; at_el0++) {
        uint64_t before = hosted_vm_time(&machine->vm);
        assert_int_equal(machine_run(machine, GUEST_TIMER, 1000000, at_el0), 0);
        seL4_UserContext regs = machine_registers(machine);
        assert_int_equal(regs.x11, 27);
        assert_int_equal(regs.x12, 5); /* enabled, and its condition is met */
        assert_int_equal(regs.x15, 7);
        assert_int_equal(regs.x16, 0);
        assert_int_equal(regs.x14 & MODE, at_el0 ? EL0 : EL1H);
        assert_in_range(regs.x10 - regs.x13, 0, 100);
        assert_in_range(hosted_vm_time(&machine->vm) - before, 16000000, 16100000);
        assert_int_equal(ends, at_el0 + 2); /* once more when it is let in */
    }
    /* A time that has passed. */
    assert_int_equal(machine_run(machine, GUEST_TIMER, (seL4_Word)-5, 0), 0);
    assert_int_equal(machine_registers(machine).x11, 27);
}

static int stop_in_sleep(vm_t *vm, void *cookie)
{
    return hosted_vm_sleeps(vm);
}

/* Saved while it sleeps until its timer. After that its registers, its interrupt controller and the
 * time are others. */
static void a_saved_vm_goes_on_from_there_again_and_again(void **state)
{
    machine_t *machine = *state;
    vm_t *vm = &machine->vm;
    unsigned ends = 0;
    seL4_UserContext first = {0};
    assert_int_equal(hosted_vm_save(vm), -1); /* it has not run */
    assert_int_equal(vm_create_default_irq_controller(vm), 0);
    assert_int_equal(vm_register_irq(machine->vcpu, 27, acknowledge, &ends), 0);
    assert_int_equal(hosted_vm_set_poll(vm, stop_in_sleep, NULL, 1), 0);
    assert_int_equal(machine_run(machine, GUEST_TIMER, 1000000, 0), 0);
    assert_int_equal(hosted_vm_set_poll(vm, NULL, NULL, 0), 0);
    assert_int_equal(hosted_vm_restore(vm), -1); /* nothing is saved */
    assert_int_equal(hosted_vm_save(vm), 0);
    assert_int_equal(hosted_vm_save(vm), -1);
    seL4_UserContext saved = machine_registers(machine);
    uint64_t time = hosted_vm_time(vm);
    for (unsigned i = 0; i < 600; i++) { /* flushes of the TLB have 256 numbers */
        script_t script[] = {{0x8000000, STORE, 0},
                             {0x8000180, STORE, 1u << 27},
                             {0x8010000, STORE, 0},
                             {0x8010004, STORE, 0},
                             {0}};
        assert_int_equal(vm_run(vm), 0);
        seL4_UserContext ended = machine_registers(machine);
        first = i == 0 ? ended : first;
        assert_int_equal(ended.x11, 27);
        assert_memory_equal(&ended, &first, sizeof(first));
        machine_run_script(machine, script);
        assert_int_equal(hosted_vm_restore(vm), 0);
        ended = machine_registers(machine);
        assert_memory_equal(&ended, &saved, sizeof(saved));
        assert_int_equal(hosted_vm_time(vm), time);
    }
    hosted_vm_free_saved(vm);
    hosted_vm_free_saved(vm);
    assert_int_equal(hosted_vm_restore(vm), -1);
    assert_int_equal(vm_run(vm), 0);
}

static void blocks_are_cleared_and_nothing_else_is(void **state)
{
    machine_t *machine = *state;
    uint8_t page[3 * 4096];
    assert_int_equal(guestmem_fill(&machine->vm, GUEST_DATA, 0xff, sizeof(page)), 0);
    assert_int_equal(machine_run(machine, GUEST_CLEAR, GUEST_DATA + 4096, 0), 0);
    assert_int_equal(guestmem_read(&machine->vm, GUEST_DATA, page, sizeof(page)), 0);
    for (size_t i = 0; i < sizeof(page); i++) {
        assert_int_equal(page[i], i < 4096 + 64 || i >= 2 * 4096 ? 0xff : 0);
    }
}

static const uint32_t code[][2] = {{0xd2800029, 0xd65f03c0}, {0xd2800049, 0xd65f03c0}};

static memory_fault_result_t write_other_code(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t address,
                                              size_t length, void *cookie)
{
    assert_int_equal(guestmem_write(vm, GUEST_DATA, code[1], sizeof(code[1])), 0);
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

/* The VMM, as a disk does, writes code over code that has run. */
static void code_from_outside_runs_after_ic_ivau(void **state)
{
    machine_t *machine = *state;
    assert_non_null(
        vm_reserve_memory_at(&machine->vm, GUEST_DEVICE, 0x1000, write_other_code, NULL));
    assert_int_equal(guestmem_write(&machine->vm, GUEST_DATA, code[0], sizeof(code[0])), 0);
    assert_int_equal(machine_run(machine, GUEST_RELOAD, GUEST_DATA, GUEST_DEVICE), 0);
    assert_int_equal(machine_registers(machine).x10, 1);
    assert_int_equal(machine_registers(machine).x11, 2);
}

/* What is brought back in place of such code. */
static void code_that_a_restore_brings_back_runs(void **state)
{
    machine_t *machine = *state;
    assert_non_null(
        vm_reserve_memory_at(&machine->vm, GUEST_DEVICE, 0x1000, write_other_code, NULL));
    assert_int_equal(guestmem_write(&machine->vm, GUEST_DATA, code[0], sizeof(code[0])), 0);
    guestmem_saved_t *saved = guestmem_save(&machine->vm);
    assert_non_null(saved);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(machine_run(machine, GUEST_RELOAD, GUEST_DATA, GUEST_DEVICE), 0);
        assert_int_equal(machine_registers(machine).x10, 1);
        assert_int_equal(machine_registers(machine).x11, 2);
        assert_int_equal(guestmem_restore(&machine->vm, saved), 0);
    }
}

static memory_fault_result_t write_other_pages(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t address,
                                               size_t length, void *cookie)
{
    for (unsigned i = 0; i < GUEST_PAGES; i++) {
        assert_int_equal(guestmem_write(vm, GUEST_DATA + i * 4096, code[1], sizeof(code[1])), 0);
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

static void as_many_pages_are_read_again_as_were_invalidated(void **state)
{
    machine_t *machine = *state;
    assert_non_null(
        vm_reserve_memory_at(&machine->vm, GUEST_DEVICE, 0x1000, write_other_pages, NULL));
    for (unsigned i = 0; i < GUEST_PAGES; i++) {
        assert_int_equal(
            guestmem_write(&machine->vm, GUEST_DATA + i * 4096, code[0], sizeof(code[0])), 0);
    }
    assert_int_equal(machine_run(machine, GUEST_MANY, GUEST_DATA, GUEST_DEVICE), 0);
    assert_int_equal(machine_registers(machine).x10, GUEST_PAGES);
    assert_int_equal(machine_registers(machine).x11, 2 * GUEST_PAGES);
}

static void code_that_was_cleared_is_read_again(void **state)
{
    machine_t *machine = *state;
    assert_int_equal(guestmem_write(&machine->vm, GUEST_DATA + 0xfc0, code[0], sizeof(code[0])), 0);
    assert_int_not_equal(machine_run(machine, GUEST_CLEARED, GUEST_DATA, 0), 0);
    assert_int_equal(machine_registers(machine).x10, 1);
    assert_int_equal(machine_report(machine)->reason, HOSTED_VM_UNDEFINED);
}

/* Also what Unicorn has from the host's clock, and EL0's timer as far as CNTKCTL lets it. */
static void all_clocks_count_virtual_time(void **state)
{
    enum { EL0_TIMER = 1 << 8, EL0_PHYSICAL_TIMER = 1 << 9, EL0_COUNTER = 1 << 1 };
    machine_t *machine = *state;
    assert_int_equal(machine_run(machine, GUEST_CLOCKS, 1000, EL0_TIMER | EL0_COUNTER), 0);
    seL4_UserContext regs = machine_registers(machine);
    assert_in_range(regs.x10 - regs.x12, 900, 1000);
    assert_in_range(regs.x11, 900, 1000);
    assert_in_range(regs.x13 - regs.x14, 900, 1000);
    assert_int_equal(regs.x15 >> 26, 0x15);
    assert_int_equal(machine_run(machine, GUEST_CLOCKS, 1000, EL0_PHYSICAL_TIMER | EL0_COUNTER), 0);
    assert_int_equal(machine_registers(machine).x13, 0);
    assert_int_equal(machine_registers(machine).x15 >> 26, 0x18);
}

static void a_guest_that_goes_to_aarch32_ends_in_a_report(void **state)
{
    static const uint32_t loop[] = {0xef000001, 0xeafffffd}; /* svc #1; b loop */
    machine_t *machine = *state;
    assert_int_equal(guestmem_write(&machine->vm, GUEST_DATA, loop, sizeof(loop)), 0);
    assert_int_equal(hosted_vm_set_budget(&machine->vm, 100000, 0), 0);
    assert_int_not_equal(machine_run(machine, GUEST_NARROW, GUEST_DATA, 0), 0);
    assert_int_equal(machine_report(machine)->reason, HOSTED_VM_EXCEPTION);
    assert_non_null(strstr(machine_report(machine)->text, "AArch32"));
    assert_int_equal(machine_registers(machine).x10, 2);
}

static int make_in_virtual_time(void **state)
{
    int result = machine_make(state);
    return result != 0 ? result : hosted_vm_use_virtual_time(&((machine_t *)*state)->vm);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, make_in_virtual_time, machine_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(exceptions_are_taken_at_the_guests_vectors),
        TEST(the_virtual_timer_interrupts_when_it_is_due),
        TEST(a_saved_vm_goes_on_from_there_again_and_again),
        TEST(blocks_are_cleared_and_nothing_else_is),
        TEST(code_from_outside_runs_after_ic_ivau),
        TEST(code_that_a_restore_brings_back_runs),
        TEST(as_many_pages_are_read_again_as_were_invalidated),
        TEST(code_that_was_cleared_is_read_again),
        TEST(all_clocks_count_virtual_time),
        TEST(a_guest_that_goes_to_aarch32_ends_in_a_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
