/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The guest's interrupt controller, as a guest sees its registers. */

#include "machine.h"
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_memory_helpers.h>

#define GICD(offset) (0x8000000ul + (offset))

static int make_with_gic(void **state)
{
    machine_make(state);
    return vm_create_default_irq_controller(&((machine_t *)*state)->vm);
}

static void count(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    (*(int *)cookie)++;
}

static void enable_registers_answer_what_was_enabled(void **state)
{
    script_t script[] = {
        {GICD(0x104), STORE, 1u << 8 | 1u << 31},
        {GICD(0x17c), STORE, 1u << 5},
        {GICD(0x184), STORE, 1u << 31},
        {GICD(0x104), LOAD, 0},
        {GICD(0x184), LOAD, 0},
        {GICD(0x17c), LOAD, 0},
        {GICD(0x108), LOAD, 0},
        {GICD(0x105), LOAD_BYTE, 0},
        {GICD(0x180), STORE, 0xffffffff}, /* software-generated interrupts are always enabled */
        {GICD(0x100), LOAD, 0},
        {0},
    };
    machine_run_script(*state, script);
    assert_int_equal(script[3].value, 1u << 8);
    assert_int_equal(script[4].value, 1u << 8);
    assert_int_equal(script[5].value, 1u << 5);
    assert_int_equal(script[6].value, 0);
    assert_int_equal(script[7].value, 1);
    assert_int_equal(script[9].value, 0xffff);
}

static void fields_keep_what_is_written(void **state)
{
    script_t script[] = {
        {GICD(0x429), STORE_BYTE, 0xff},  {GICD(0x428), LOAD, 0},        /* priority of 41 */
        {GICD(0x82a), STORE_BYTE, 2},     {GICD(0x828), LOAD, 0},        /* targets of 42 */
        {GICD(0x800), STORE, 0},          {GICD(0x800), LOAD, 0},        /* of 0 to 3: this CPU */
        {GICD(0xc08), STORE, 0xffffffff}, {GICD(0xc08), LOAD, 0},        /* edge or level */
        {GICD(0x204), STORE, 1u << 9},    {GICD(0x284), STORE, 1u << 9}, /* pending, and not */
        {GICD(0x204), LOAD, 0},           {GICD(0x204), STORE, 1u << 9}, {GICD(0x284), LOAD, 0},
        {GICD(0xfe8), LOAD, 0},           {GICD(0x004), LOAD, 0},        {0},
    };
    machine_run_script(*state, script);
    assert_int_equal(script[1].value, 0xf800);
    assert_int_equal(script[3].value, 0x01020101);
    assert_int_equal(script[5].value, 0x01010101);
    assert_int_equal(script[7].value, 0xaaaaaaaa);
    assert_int_equal(script[10].value, 0);
    assert_int_equal(script[12].value, 1u << 9);
    assert_int_equal(script[13].value, 0x2b); /* GICv2 */
    assert_int_equal(script[14].value, 31);   /* 1,020 interrupts, one CPU */
}

static void registration_and_injection_check_their_arguments(void **state)
{
    machine_t *machine = *state;
    int acks = 0;
    assert_int_equal(vm_inject_irq(machine->vcpu, 40), -1);
    assert_int_equal(vm_register_irq(machine->vcpu, 1020, count, &acks), -1);
    assert_int_equal(vm_register_irq(NULL, 40, count, &acks), -1);
    assert_int_equal(vm_register_irq(machine->vcpu, 40, count, &acks), 0);
    assert_int_equal(vm_register_irq(machine->vcpu, 40, NULL, NULL), 0); /* shared */
    assert_int_equal(vm_register_irq(machine->vcpu, 27, count, &acks), 0);
    assert_int_equal(vm_register_irq(machine->vcpu, 27, count, &acks), -1);
    assert_int_equal(vm_create_default_irq_controller(&machine->vm), -1);
    assert_int_equal(vm_create_default_irq_controller(NULL), -1);
}

static void enabling_acknowledges_the_device_once(void **state)
{
    machine_t *machine = *state;
    int acks = 0;
    script_t script[] = {{GICD(0x104), STORE, 1u << 8}, {GICD(0x104), STORE, 1u << 8}, {0}};
    assert_int_equal(vm_register_irq(machine->vcpu, 40, count, &acks), 0);
    machine_run_script(machine, script);
    assert_int_equal(acks, 1);
}

static void what_comes_while_disabled_stays_pending(void **state)
{
    machine_t *machine = *state;
    int acks = 0;
    script_t before[] = {{GICD(0x204), LOAD, 0}, {0}};
    script_t after[] = {
        {GICD(0x000), STORE, 1}, {GICD(0x104), STORE, 1u << 8}, {GICD(0x204), LOAD, 0}, {0}};
    assert_int_equal(vm_register_irq(machine->vcpu, 40, count, &acks), 0);
    assert_int_equal(vm_inject_irq(machine->vcpu, 40), 0);
    machine_run_script(machine, before);
    assert_int_equal(before[0].value, 1u << 8);
    assert_int_equal(vm_set_irq_level(machine->vcpu, 40, 0), 0);
    machine_run_script(machine, before);
    assert_int_equal(before[0].value, 0);
    assert_int_equal(vm_inject_irq(machine->vcpu, 40), 0);
    machine_run_script(machine, after);
    assert_int_equal(after[2].value, 0); /* the CPU interface has it */
    assert_int_equal(acks, 0);
}

static void a_refused_controller_leaves_nothing_behind(void **state)
{
    machine_t *machine = *state;
    vm_memory_reservation_t *other =
        vm_reserve_memory_at(&machine->vm, 0x8010000, 0x1000, default_error_fault_callback, NULL);
    assert_non_null(other);
    assert_int_equal(vm_create_default_irq_controller(&machine->vm), -1);
    assert_int_equal(vm_free_reserved_memory(&machine->vm, other), 0);
    assert_int_equal(vm_create_default_irq_controller(&machine->vm), 0);
}

#define GIC_TEST(f) cmocka_unit_test_setup_teardown(f, make_with_gic, machine_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GIC_TEST(enable_registers_answer_what_was_enabled),
        GIC_TEST(fields_keep_what_is_written),
        GIC_TEST(registration_and_injection_check_their_arguments),
        GIC_TEST(enabling_acknowledges_the_device_once),
        GIC_TEST(what_comes_while_disabled_stays_pending),
        cmocka_unit_test_setup_teardown(a_refused_controller_leaves_nothing_behind, machine_make,
                                        machine_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
