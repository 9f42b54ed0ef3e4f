/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The life of a VM: made or refused as a whole, run, stopped, asked for its registers, ended. */

#include "machine.h"
#include <hosted/gdb.h>
#include <hosted/trace.h>
#include <pthread.h>
#include <semaphore.h>
#include <sel4vm/arch/processor.h>
#include <vka/object.h>

static void check_end(machine_t *machine, hosted_vm_reason_t reason, const char *words)
{
    const hosted_vm_report_t *report = machine_report(machine);
    if (report->reason != reason || strstr(report->text, words) == NULL) {
        fail_msg("%s: %s", hosted_vm_reason_name(report->reason), report->text);
    }
}

static void poweroff_and_reset_end_the_run(void **state)
{
    machine_t *machine = *state;
    assert_int_equal(machine_report(machine)->reason, HOSTED_VM_NOT_RUN);
    assert_int_equal(machine_run(machine, GUEST_OFF, 0, 0), 0);
    check_end(machine, HOSTED_VM_POWEROFF, "off");
    assert_int_equal(machine_run(machine, GUEST_RESET, 0, 0), 0);
    check_end(machine, HOSTED_VM_RESET, "reset");
}

static void psci_answers_by_both_calls(void **state)
{
    machine_t *machine = *state;
    assert_int_equal(machine_run(machine, GUEST_PSCI, 0, 0), 0);
    seL4_UserContext regs = machine_registers(machine);
    assert_int_equal(regs.x10, 0x10000);     /* version 1.0 */
    assert_int_equal(regs.x11, 0);           /* CPU_ON is known */
    assert_int_equal((int64_t)regs.x12, -1); /* 0x8400001e is not */
    assert_int_equal((int64_t)regs.x13, -2); /* no second CPU */
    assert_int_equal((int64_t)regs.x14, -1); /* not PSCI's: not supported */
    assert_int_equal((int64_t)regs.x15, -4); /* the first CPU is on */
    assert_int_equal(regs.x16, 0);
    assert_int_equal((int64_t)regs.x17, -2); /* no second CPU */
    assert_int_equal(regs.x18, 2);           /* nothing to migrate */
    assert_int_equal((int64_t)regs.x19, -1); /* as for the calling convention, no newer one */
    assert_int_equal((int64_t)regs.x20, -1); /* and none of its workarounds */
    check_end(machine, HOSTED_VM_POWEROFF, "off");
}

static int handle_smc(vm_vcpu_t *vcpu, seL4_UserContext *regs)
{
    if ((uint32_t)regs->x0 == 0x84000008) {
        hosted_vm_request_stop(vcpu->vm);
        return 0;
    }
    regs->x0 = 0x1000 + (regs->x0 & 0xff);
    return 0;
}

static int refuse_smc(vm_vcpu_t *vcpu, seL4_UserContext *regs)
{
    return -1;
}

static void a_registered_handler_takes_the_calls(void **state)
{
    machine_t *machine = *state;
    assert_int_equal(vm_register_smc_handler_callback(&machine->vm, handle_smc), 0);
    assert_int_equal(machine_run(machine, GUEST_PSCI, 0, 0), 0);
    seL4_UserContext regs = machine_registers(machine);
    assert_int_equal(regs.x10, 0x1000);
    assert_int_equal(regs.x11, 0x100a);
    assert_int_equal(regs.x14, 0x1001);
    check_end(machine, HOSTED_VM_STOPPED, "request");
    assert_int_equal(vm_register_smc_handler_callback(&machine->vm, refuse_smc), 0);
    assert_int_equal(machine_run(machine, GUEST_PSCI, 0, 0), -1);
    check_end(machine, HOSTED_VM_ERROR, "handler");
}

static int note_syndrome(vm_vcpu_t *vcpu, uint32_t hsr, void *cookie)
{
    uint32_t *syndromes = cookie;
    if ((hsr & 0xffff) == 0) {
        return -1; /* the end of the guest: the runtime's own */
    }
    syndromes[HSR_EXCEPTION_CLASS(hsr) == 0x17] = hsr;
    if (HSR_EXCEPTION_CLASS(hsr) == 0x17) {
        advance_vcpu_fault(vcpu);
    } else {
        restart_vcpu_fault(vcpu); /* HVC stands behind itself */
    }
    return 0;
}

static void the_vcpu_callback_sees_the_syndrome(void **state)
{
    machine_t *machine = *state;
    uint32_t syndromes[2] = {0};
    assert_int_equal(
        vm_register_unhandled_vcpu_fault_callback(machine->vcpu, note_syndrome, syndromes), 0);
    assert_int_equal(machine_run(machine, GUEST_CALLS, 0, 0), 0);
    assert_int_equal(syndromes[0], 0x16u << 26 | 1u << 25 | 7);
    assert_int_equal(syndromes[1], 0x17u << 26 | 1u << 25 | 9);
    assert_int_equal(machine_registers(machine).x10, 42);
}

static void unknown_instructions_and_exceptions_end_in_a_report(void **state)
{
    machine_t *machine = *state;
    assert_int_equal(machine_run(machine, GUEST_UNDEFINED, 0, 0), -1);
    check_end(machine, HOSTED_VM_UNDEFINED, "undefined instruction 0x00000000");
    assert_false(machine_report(machine)->has_access);
    assert_int_equal(machine_run(machine, GUEST_SVC, 0, 0), -1);
    check_end(machine, HOSTED_VM_EXCEPTION, "svc");
}

/* Another thread that stops a VM once its guest has run for a while. */
typedef struct stopper {
    vm_t *vm;
    sem_t running;
    int polls;
} stopper_t;

static void *stop_when_running(void *cookie)
{
    stopper_t *stopper = cookie;
    while (sem_wait(&stopper->running) != 0) {
    }
    hosted_vm_request_stop(stopper->vm);
    return NULL;
}

/* The guest runs between polls, so by the third it has run. */
static int tell_running(vm_t *vm, void *cookie)
{
    stopper_t *stopper = cookie;
    if (++stopper->polls == 3) {
        sem_post(&stopper->running);
    }
    return 0;
}

static void run_and_stop(machine_t *machine, unsigned guest)
{
    pthread_t thread;
    stopper_t stopper = {.vm = &machine->vm};
    assert_int_equal(sem_init(&stopper.running, 0, 0), 0);
    assert_int_equal(hosted_vm_set_poll(&machine->vm, tell_running, &stopper, 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, stop_when_running, &stopper), 0);
    assert_int_equal(machine_run(machine, guest, 0, 0), 0);
    pthread_join(thread, NULL);
    sem_destroy(&stopper.running);
    assert_int_equal(hosted_vm_set_poll(&machine->vm, NULL, NULL, 0), 0);
    check_end(machine, HOSTED_VM_STOPPED, "request");
}

static void a_stop_request_from_another_thread_ends_any_guest(void **state)
{
    machine_t *machine = *state;
    run_and_stop(machine, GUEST_SPIN);
    assert_true(machine_registers(machine).x10 > 0);
    run_and_stop(machine, GUEST_WAIT);
}

static void a_stop_request_before_the_run_ends_it(void **state)
{
    machine_t *machine = *state;
    hosted_vm_request_stop(&machine->vm);
    assert_int_equal(machine_run(machine, GUEST_OFF, 0, 0), 0);
    check_end(machine, HOSTED_VM_STOPPED, "request");
    assert_int_equal(vm_run(&machine->vm), 0);
    check_end(machine, HOSTED_VM_POWEROFF, "off");
}

/* What a debugger does is tested by tests/cli/test_gdb.py. */
static void a_guest_waits_for_its_debugger_unless_it_is_to_stop(void **state)
{
    machine_t *machine = *state;
    vm_t nothing = {0};
    char error[80] = "";
    assert_int_equal(hosted_gdb_listen(&nothing, ":0", error, sizeof(error)), -1);
    assert_string_equal(error, ":0: the VM is not initialised");
    assert_null(hosted_gdb_address(&machine->vm));
    assert_int_equal(hosted_gdb_listen(&machine->vm, "0", error, sizeof(error)), -1);
    assert_null(hosted_gdb_address(&machine->vm));
    assert_int_equal(hosted_gdb_listen(&machine->vm, ":0", error, sizeof(error)), 0);
    assert_int_equal(strncmp(hosted_gdb_address(&machine->vm), "127.0.0.1:", 10), 0);
    assert_int_equal(hosted_gdb_listen(&machine->vm, ":0", error, sizeof(error)), -1);
    assert_string_equal(error, ":0: the VM has a place for debuggers");
    run_and_stop(machine, GUEST_OFF);
}

static int poll_three_times(vm_t *vm, void *cookie)
{
    unsigned *calls = cookie;
    return ++*calls == 3;
}

static void the_poll_function_is_called_while_the_guest_runs(void **state)
{
    machine_t *machine = *state;
    unsigned calls = 0;
    assert_int_equal(hosted_vm_set_poll(&machine->vm, poll_three_times, &calls, 0), -1);
    assert_int_equal(hosted_vm_set_poll(&machine->vm, poll_three_times, &calls, 2), 0);
    assert_int_equal(machine_run(machine, GUEST_SPIN, 0, 0), 0);
    assert_int_equal(calls, 3);
    check_end(machine, HOSTED_VM_STOPPED, "poll");
}

static void polling_does_not_disturb_the_guest(void **state)
{
    machine_t *machine = *state;
    unsigned calls = 1000;
    for (uintptr_t i = 0; i < GUEST_STEPS; i++) {
        assert_int_equal(
            vm_ram_register_at(&machine->vm, GUEST_TOUCH_BASE + i * 0x2000, 0x1000, false), 0);
    }
    assert_int_equal(hosted_vm_set_poll(&machine->vm, poll_three_times, &calls, 1), 0);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(machine_run(machine, GUEST_TOUCH, 0, 0), 0);
        assert_int_equal(machine_registers(machine).x3, 0);
        assert_int_equal(machine_registers(machine).x10, 0);
        assert_int_equal(machine_registers(machine).x2, GUEST_TOUCH_BASE + GUEST_STEPS * 0x2000l);
    }
}

static void budget_and_deadline_end_a_guest_that_does_not(void **state)
{
    machine_t *machine = *state;
    assert_int_equal(hosted_vm_set_budget(&machine->vm, 100000, 0), 0);
    assert_int_equal(machine_run(machine, GUEST_SPIN, 0, 0), -1);
    check_end(machine, HOSTED_VM_BUDGET, "100000 instructions");
    assert_in_range(machine_registers(machine).x10, 40000, 50000);
    assert_int_equal(hosted_vm_set_budget(&machine->vm, 0, 20), 0);
    assert_int_equal(machine_run(machine, GUEST_SPIN, 0, 0), -1);
    check_end(machine, HOSTED_VM_BUDGET, "20 ms");
    assert_int_equal(machine_run(machine, GUEST_WAIT, 0, 0), -1);
    check_end(machine, HOSTED_VM_BUDGET, "20 ms");
}

/* In real time its clock stands still from the save to the restore. */
static void a_vm_that_is_restored_has_lost_no_time(void **state)
{
    machine_t *machine = *state;
    uintptr_t offset[3];
    assert_int_equal(hosted_vm_set_budget(&machine->vm, 100000, 0), 0);
    assert_int_equal(machine_run(machine, GUEST_SPIN, 0, 0), -1);
    assert_int_equal(hosted_vm_save(&machine->vm), 0);
    seL4_Word count = machine_registers(machine).x10;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(hosted_vm_set_budget(&machine->vm, 100000, 0), 0);
        assert_int_equal(vm_run(&machine->vm), -1);
        assert_in_range(machine_registers(machine).x10, count + 40000, count + 50000);
        assert_int_equal(hosted_vm_restore(&machine->vm), 0);
        assert_int_equal(machine_registers(machine).x10, count);
        assert_int_equal(vm_run(&machine->vm), -1); /* no instruction is left, now as then */
        assert_int_equal(machine_registers(machine).x10, count);
        assert_int_equal(vm_get_arm_vcpu_reg(machine->vcpu, seL4_VCPUReg_CNTVOFF, &offset[i]), 0);
        assert_true(offset[i] > (i > 0 ? offset[i - 1] : 0));
    }
}

static memory_fault_result_t change_registers(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t address,
                                              size_t length, void *cookie)
{
    seL4_UserContext context;
    uintptr_t value;
    assert_int_equal(vm_get_thread_context(vcpu, &context), 0);
    assert_int_equal(vm_get_thread_context_reg(vcpu, 0, &value), 0);
    assert_int_equal(value, context.pc);
    assert_int_equal(vm_get_thread_context_reg(vcpu, 1000, &value), -1);
    if (!is_vcpu_read_fault(vcpu)) {
        assert_int_equal(context.x10, 3);
        *(seL4_Word *)cookie = context.pc;
    } else {
        assert_int_equal(context.pc, *(seL4_Word *)cookie + 12);
    }
    context.x10 = 0x1000;
    assert_int_equal(vm_set_thread_context(vcpu, context), 0);
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

static void registers_set_in_a_callback_take_effect(void **state)
{
    machine_t *machine = *state;
    seL4_Word pc = 0;
    assert_non_null(vm_reserve_memory_at(&machine->vm, GUEST_DEVICE, 4, change_registers, &pc));
    /* GUEST_MIDDLE adds 0x20 to x10 between its accesses, and 0x100 behind them. */
    assert_int_equal(machine_run(machine, GUEST_MIDDLE, GUEST_DEVICE, 1), 0);
    assert_int_equal(machine_registers(machine).x10, 0x1100);
    assert_int_equal(machine_registers(machine).x11, 0);
    assert_true(pc > GUEST_BASE);
}

static void all_registers_can_be_set_and_read(void **state)
{
    machine_t *machine = *state;
    seL4_UserContext set;
    assert_int_equal(vm_get_thread_context(machine->vcpu, &set), 0);
    seL4_Word *words = (seL4_Word *)&set;
    for (size_t i = 0; i < sizeof(set) / sizeof(*words); i++) {
        words[i] = &words[i] != &set.spsr ? 0x1111111100000000 + i * 4 : 0x600003c5; /* Z and C */
    }
    assert_int_equal(vm_set_thread_context(machine->vcpu, set), 0);
    seL4_UserContext found = machine_registers(machine);
    assert_memory_equal(&found, &set, sizeof(set));
}

static void system_registers_are_those_of_the_guest(void **state)
{
    machine_t *machine = *state;
    uintptr_t value;
    assert_int_equal(vm_set_arm_vcpu_reg(machine->vcpu, seL4_VCPUReg_VBAR, 0x40001000), 0);
    assert_int_equal(machine_run(machine, GUEST_MMU, 0, 0), -1); /* no device, no tables' RAM */
    assert_int_equal(vm_get_arm_vcpu_reg(machine->vcpu, seL4_VCPUReg_VBAR, &value), 0);
    assert_int_equal(value, 0x40001000);
    assert_int_equal(vm_get_arm_vcpu_reg(machine->vcpu, seL4_VCPUReg_VMPIDR_EL2, &value), 0);
    assert_int_equal(value, 0x81000000);
    assert_int_equal(vm_ram_register_at(&machine->vm, GUEST_TABLES, 0x2000, false), 0);
    machine_add_device(machine, GUEST_DEVICE, 0x1000, "device");
    machine->answer = 0x600d;
    assert_int_equal(machine_run(machine, GUEST_MMU, 0, 0xbeef), 0);
    assert_int_equal(machine->count, 2);
    assert_int_equal(machine->seen[0].address, GUEST_DEVICE + 0x24);
    assert_int_equal(machine->seen[0].data, 0xbeef);
    assert_int_equal(machine_registers(machine).x10, 0x600d);
    assert_int_equal(vm_get_arm_vcpu_reg(machine->vcpu, seL4_VCPUReg_TTBR0, &value), 0);
    assert_int_equal(value, GUEST_TABLES);
}

static void a_vm_without_a_started_vcpu_does_not_run(void **state)
{
    machine_t *machine = *state;
    assert_int_equal(vm_run(&machine->vm), -1);
    check_end(machine, HOSTED_VM_ERROR, "VCPU");
    assert_int_equal(machine_run(machine, GUEST_OFF, 0, 0), 0);
    vm_vcpu_t *second = vm_create_vcpu(&machine->vm, 100);
    assert_non_null(second);
    assert_int_equal(vm_assign_vcpu_target(second, 0), -1);
    assert_int_equal(vm_assign_vcpu_target(second, 1), 0);
    assert_int_equal(vcpu_start(second), -1);
}

static void count_event(void *cookie, const hosted_event_t *event)
{
    assert_int_equal(event->kind, HOSTED_EVENT_INVOCATION);
    ++*(unsigned *)cookie;
}

/* Others in the system, which outlives the VM, go on to invoke its kernel. */
static void a_vm_that_ends_is_traced_no_more(void **state)
{
    machine_t *machine = *state;
    vka_t *vka = hosted_vka(machine->system);
    vka_object_t frame;
    unsigned count = 0;
    assert_int_equal(hosted_vm_trace(&machine->vm, HOSTED_EVENT_INVOCATION, count_event, &count),
                     0);
    vm_destroy(&machine->vm);
    assert_true(count > 0);
    count = 0;
    assert_int_equal(vka_alloc_frame(vka, 12, &frame), 0);
    vka_free_object(vka, &frame);
    assert_int_equal(count, 0);
}

static void engines_are_chosen_by_name(void **state)
{
    machine_t *machine = *state;
    assert_string_equal(hosted_engine_name(0), "unicorn");
    assert_null(hosted_engine_name(1));
    assert_int_equal(hosted_vm_set_engine(&machine->vm, "bochs"), -1);
    assert_int_equal(hosted_vm_set_engine(&machine->vm, "unicorn"), 0);
    assert_int_equal(machine_run(machine, GUEST_OFF, 0, 0), 0);
    assert_int_equal(hosted_vm_set_engine(&machine->vm, NULL), -1);
}

static void bad_arguments_are_refused(void **state)
{
    machine_t *machine = *state;
    hosted_vm_counters_t counters;
    vm_t vm = {0};
    assert_int_equal(vm_init(NULL, NULL, NULL, *hosted_vmm_vspace(machine->system), NULL, 0, ""),
                     -1);
    assert_int_equal(vm_run(&vm), -1);
    assert_null(vm_create_vcpu(&vm, 1));
    assert_int_equal(vcpu_start(NULL), -1);
    assert_int_equal(vm_assign_vcpu_target(NULL, 0), -1);
    assert_int_equal(hosted_vm_set_entry(NULL, 0, 0, 0, 0, 0), -1);
    assert_null(hosted_vm_get_report(&vm));
    assert_int_equal(hosted_vm_get_counters(&vm, &counters), -1);
    assert_int_equal(hosted_vm_set_budget(&vm, 1, 1), -1);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&machine->vm, NULL, NULL), -1);
    assert_int_equal(vm_register_notification_callback(&machine->vm, NULL, NULL), -1);
    assert_int_equal(vm_register_smc_handler_callback(&machine->vm, NULL), -1);
    assert_int_equal(vm_register_unhandled_vcpu_fault_callback(machine->vcpu, NULL, NULL), -1);
    hosted_vm_request_stop(&vm);
    vm_destroy(&vm);
    vm_destroy(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_make, machine_end)
    const struct CMUnitTest tests[] = {
        TEST(poweroff_and_reset_end_the_run),
        TEST(psci_answers_by_both_calls),
        TEST(a_registered_handler_takes_the_calls),
        TEST(the_vcpu_callback_sees_the_syndrome),
        TEST(unknown_instructions_and_exceptions_end_in_a_report),
        TEST(a_stop_request_from_another_thread_ends_any_guest),
        TEST(a_stop_request_before_the_run_ends_it),
        TEST(a_guest_waits_for_its_debugger_unless_it_is_to_stop),
        TEST(the_poll_function_is_called_while_the_guest_runs),
        TEST(polling_does_not_disturb_the_guest),
        TEST(budget_and_deadline_end_a_guest_that_does_not),
        TEST(a_vm_that_is_restored_has_lost_no_time),
        TEST(registers_set_in_a_callback_take_effect),
        TEST(all_registers_can_be_set_and_read),
        TEST(system_registers_are_those_of_the_guest),
        TEST(a_vm_without_a_started_vcpu_does_not_run),
        TEST(a_vm_that_ends_is_traced_no_more),
        TEST(engines_are_chosen_by_name),
        TEST(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
