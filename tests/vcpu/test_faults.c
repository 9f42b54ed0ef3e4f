/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* What a VMM sees of a running guest: accesses in callbacks, their answers, and how it ends. */

#include "machine.h"
#include <sel4vmmplatsupport/guest_memory_util.h>

static void loads_extend_into_the_whole_register(void **state)
{
    machine_t *machine = *state;
    machine_add_device(machine, GUEST_DEVICE, 0x1000, "device");
    machine->answer = 0x8899aabb;
    assert_int_equal(machine_run(machine, GUEST_LOADS, GUEST_DEVICE, 0), 0);
    seL4_UserContext regs = machine_registers(machine);
    assert_int_equal(regs.x10, 0xbb);
    assert_int_equal(regs.x11, 0xffffffbb);
    assert_int_equal(regs.x12, 0xffffffffffffffbb);
    assert_int_equal(regs.x13, 0xffffaabb);
    assert_int_equal(regs.x14, 0xffffffffffffaabb);
    assert_int_equal(regs.x15, 0x8899aabb);
    assert_int_equal(regs.x16, 0xffffffff8899aabb);
}

static void loads_and_stores_that_write_their_base_back_are_completed(void **state)
{
    machine_t *machine = *state;
    machine_add_device(machine, GUEST_DEVICE, 0x1000, "device");
    machine->answer = 0x55667788;
    assert_int_equal(machine_run(machine, GUEST_WRITE_BACK, GUEST_DEVICE, 0), 0);
    assert_int_equal(machine->count, 2);
    assert_int_equal(machine->seen[0].address, GUEST_DEVICE);
    assert_true(machine->seen[0].read);
    assert_int_equal(machine->seen[1].address, GUEST_DEVICE + 12);
    assert_int_equal(machine->seen[1].data, 0x55667788);
    assert_int_equal(machine->seen[1].size, 4);
    seL4_UserContext regs = machine_registers(machine);
    assert_int_equal(regs.x10, 0x55667788);
    assert_int_equal(regs.x12, 4);
    assert_int_equal(regs.x13, 12);
}

/* A device of one 32-bit register, written as device code for seL4 is. */
static memory_fault_result_t on_register(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t address,
                                         size_t length, void *cookie)
{
    seL4_Word *words = cookie;
    seL4_Word *word = &words[(address - GUEST_DEVICE) / 4];
    if (is_vcpu_read_fault(vcpu)) {
        set_vcpu_fault_data(vcpu, *word);
    } else {
        *word = emulate_vcpu_fault(vcpu, *word);
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

static void emulation_merges_bytes_into_their_lanes(void **state)
{
    machine_t *machine = *state;
    seL4_Word words[4] = {0};
    assert_non_null(vm_reserve_memory_at(&machine->vm, GUEST_DEVICE, 16, on_register, words));
    assert_int_equal(machine_run(machine, GUEST_WIDTHS, GUEST_DEVICE, 0x1122334455667788), 0);
    assert_int_equal(words[0], 0x77888888);
    assert_int_equal(words[1], 0x55667788);
    seL4_UserContext regs = machine_registers(machine);
    assert_int_equal(regs.x10, 0x88);
    assert_int_equal(regs.x11, 0x88);
    assert_int_equal(regs.x12, 0x7788);
    assert_int_equal(regs.x13, 0x55667788);
    assert_int_equal(regs.x14, 0x1122334455667788);
}

static memory_fault_result_t map_there(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t address, size_t length,
                                       void *cookie)
{
    unsigned *calls = cookie;
    (*calls)++;
    return vm_ram_register_at(vm, address & ~(uintptr_t)0xfff, 0x1000, false) == 0 ? FAULT_RESTART
                                                                                   : FAULT_ERROR;
}

static void restart_after_a_map_runs_the_access_again(void **state)
{
    machine_t *machine = *state;
    unsigned calls = 0;
    seL4_Word found = 0;
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&machine->vm, map_there, &calls), 0);
    assert_int_equal(machine_run(machine, GUEST_WRITE_DATA, 0x50000000, 0x1234567), 0);
    assert_int_equal(calls, 1);
    assert_int_equal(machine_registers(machine).x10, 0x1234567);
    assert_int_equal(vm_ram_touch(&machine->vm, 0x50000000, 8, vm_guest_ram_read_callback, &found),
                     0);
    assert_int_equal(found, 0x1234567);
    /* Pairs and accesses across pages too. */
    assert_int_equal(machine_run(machine, GUEST_PAIR, 0x50002000, 5), 0);
    assert_int_equal(machine_registers(machine).x10, 5);
    assert_int_equal(machine_run(machine, GUEST_CROSSING, 0x50004000, 0x1122334455667788), 0);
    assert_int_equal(machine_registers(machine).x10, 0x1122334455667788);
    assert_int_equal(calls, 4);
}

static void check_report(machine_t *machine, const char *name, uintptr_t address, size_t width,
                         bool read, const char *words)
{
    const hosted_vm_report_t *report = machine_report(machine);
    if (report->reason != HOSTED_VM_FAULT || !report->has_access || report->address != address ||
        report->width != width || report->is_read != read ||
        report->has_reservation != (name != NULL) || strstr(report->text, words) == NULL ||
        (name != NULL && strcmp(report->reservation_name, name) != 0) ||
        (name != NULL && strstr(report->text, name) == NULL) ||
        strchr(report->text, '\n') != NULL) {
        fail_msg("%s; address 0x%lx width %zu", report->text, (unsigned long)report->address,
                 report->width);
    }
}

static void what_cannot_be_emulated_ends_in_a_report(void **state)
{
    machine_t *machine = *state;
    machine_add_device(machine, GUEST_DEVICE, 0x2000, "uart");
    assert_int_equal(machine_run(machine, GUEST_UNALIGNED, GUEST_DEVICE, 0), -1);
    check_report(machine, "uart", GUEST_DEVICE + 1, 4, true, "unaligned");
    assert_int_equal(machine_report(machine)->pc, machine->seen[0].ip);
    assert_int_equal(machine->seen[0].size, 0);
    assert_int_equal(machine_run(machine, GUEST_CROSSING, GUEST_DEVICE, 0), -1);
    check_report(machine, "uart", GUEST_DEVICE + 0xffc, 4, false, "across a page");
    assert_int_equal(machine_run(machine, GUEST_PAIR, GUEST_DEVICE, 0), -1);
    check_report(machine, "uart", GUEST_DEVICE, 16, false, "pair");
    assert_int_equal(machine_run(machine, GUEST_EXCLUSIVE, GUEST_DEVICE, 0), -1);
    check_report(machine, "uart", GUEST_DEVICE, 4, true, "exclusive");
    assert_int_equal(machine_run(machine, GUEST_VECTOR, GUEST_DEVICE, 0), -1);
    check_report(machine, "uart", GUEST_DEVICE, 8, false, "vector");
    assert_int_equal(machine_run(machine, GUEST_BRANCH, GUEST_DEVICE, 0), -1);
    check_report(machine, "uart", GUEST_DEVICE, 4, true, "fetch");
    assert_true(machine_report(machine)->is_fetch);
}

static void what_nobody_handles_ends_in_a_report(void **state)
{
    machine_t *machine = *state;
    assert_int_equal(machine_run(machine, GUEST_WRITE_DATA, GUEST_DEVICE, 0), -1);
    check_report(machine, NULL, GUEST_DEVICE, 8, false, "no reservation");
    machine_add_device(machine, GUEST_DEVICE, 4, "small");
    assert_int_equal(machine_run(machine, GUEST_WRITE_DATA, GUEST_DEVICE, 0), -1);
    check_report(machine, "small", GUEST_DEVICE, 8, false, "end");
    machine_add_device(machine, GUEST_DEVICE + 0x1000, 0x1000, "broken");
    machine->result = FAULT_ERROR;
    assert_int_equal(machine_run(machine, GUEST_WRITE_DATA, GUEST_DEVICE + 0x1000, 0), -1);
    check_report(machine, "broken", GUEST_DEVICE + 0x1000, 8, false, "failed");
    machine->result = FAULT_UNHANDLED;
    assert_int_equal(machine_run(machine, GUEST_WRITE_DATA, GUEST_DEVICE + 0x1000, 0), -1);
    check_report(machine, "broken", GUEST_DEVICE + 0x1000, 8, false, "nobody");
}

static memory_fault_result_t forget(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t address, size_t length,
                                    void *cookie)
{
    return FAULT_HANDLED;
}

static void a_callback_that_forgets_to_advance_is_told(void **state)
{
    machine_t *machine = *state;
    assert_non_null(vm_reserve_memory_at(&machine->vm, GUEST_DEVICE, 4096, forget, NULL));
    assert_int_equal(machine_run(machine, GUEST_WRITE_DATA, GUEST_DEVICE, 0), -1);
    assert_non_null(strstr(machine_report(machine)->text, "neither advanced nor restarted"));
}

/* A page of RAM with two instructions, of a frame of its own. @return its reservation */
static vm_memory_reservation_t *add_code(machine_t *machine, uint32_t move)
{
    const uint32_t code[] = {move, 0x52b08000, 0x72800100, 0xd4000002}; /* then SYSTEM_OFF */
    assert_int_equal(
        vm_ram_register_at(&machine->vm, GUEST_DATA + MACHINE_RAM_BYTES, 0x1000, false), 0);
    assert_int_equal(vm_ram_touch(&machine->vm, GUEST_DATA + MACHINE_RAM_BYTES, sizeof(code),
                                  vm_guest_ram_write_callback, (void *)code),
                     0);
    return guestmem_find_reservation(&machine->vm, GUEST_DATA + MACHINE_RAM_BYTES);
}

static void code_of_a_page_that_was_replaced_is_read_again(void **state)
{
    static const uint32_t moves[] = {0xd2800029, 0xd2800049}; /* mov x9, #1; mov x9, #2 */
    machine_t *machine = *state;
    for (unsigned i = 0; i < 2; i++) {
        vm_memory_reservation_t *page = add_code(machine, moves[i]);
        assert_int_equal(machine_run(machine, GUEST_BRANCH, GUEST_DATA + MACHINE_RAM_BYTES, 0), 0);
        assert_int_equal(machine_registers(machine).x9, i + 1);
        assert_int_equal(vm_free_reserved_memory(&machine->vm, page), 0);
    }
}

static void code_that_the_guest_changes_is_read_again(void **state)
{
    static const uintptr_t places[] = {GUEST_DATA, GUEST_DATA + 0x800, GUEST_DATA + 0x2ffc};
    machine_t *machine = *state; /* in the last place the function crosses a page's end */
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned times = 0; times < 2; times++) {
            assert_int_equal(machine_run(machine, GUEST_MODIFY, places[i], 0), 0);
            assert_int_equal(machine_registers(machine).x10, 1);
            assert_int_equal(machine_registers(machine).x11, 2);
            assert_int_equal(machine_registers(machine).x12, 3);
        }
    }
}

static void device_memory_is_not_executable(void **state)
{
    machine_t *machine = *state;
    vm_memory_reservation_t *r = machine_add_device(machine, GUEST_DEVICE, 0x1000, "frame");
    assert_int_equal(map_ut_alloc_reservation(&machine->vm, r), 0);
    assert_int_equal(machine_run(machine, GUEST_BRANCH, GUEST_DEVICE, 0), -1);
    assert_true(machine_report(machine)->is_fetch);
    assert_int_equal(machine_report(machine)->address, GUEST_DEVICE);
}

static memory_fault_result_t go_on(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t address, size_t length,
                                   void *cookie)
{
    return FAULT_IGNORE;
}

static void the_pages_with_the_most_faults_are_known(void **state)
{
    enum { PAGES = 6000, BUSY = PAGES + 3 };
    static script_t script[BUSY + 1]; /* each page once, but the 11th page from the end 4 times */
    const uintptr_t base = 0x10000000;
    const uintptr_t busy = base + (PAGES - 11) * 0x1000ul;
    machine_t *machine = *state;
    hosted_vm_page_t pages[3];
    assert_non_null(vm_reserve_memory_at(&machine->vm, base, PAGES * 0x1000ul, go_on, NULL));
    assert_int_equal(hosted_vm_faulting_pages(&machine->vm, pages, 3), 0);
    for (unsigned i = 0; i < BUSY; i++) {
        script[i] = (script_t){i < PAGES ? base + i * 0x1000ul : busy + 8, LOAD, 0};
    }
    script[20].address = busy + 4;
    machine_run_script(machine, script);
    assert_int_equal(hosted_vm_faulting_pages(&machine->vm, pages, 3), 3);
    assert_int_equal(pages[0].address, busy);
    assert_in_range(pages[0].faults, 4, 5); /* the first one may be forgotten */
    assert_int_equal(pages[1].faults, 1);
    assert_int_equal(hosted_vm_faulting_pages(&machine->vm, pages, 1), 1);
    assert_int_equal(pages[0].address, busy);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_make, machine_end)
    const struct CMUnitTest tests[] = {
        TEST(loads_extend_into_the_whole_register),
        TEST(loads_and_stores_that_write_their_base_back_are_completed),
        TEST(emulation_merges_bytes_into_their_lanes),
        TEST(restart_after_a_map_runs_the_access_again),
        TEST(what_cannot_be_emulated_ends_in_a_report),
        TEST(what_nobody_handles_ends_in_a_report),
        TEST(a_callback_that_forgets_to_advance_is_told),
        TEST(code_of_a_page_that_was_replaced_is_read_again),
        TEST(code_that_the_guest_changes_is_read_again),
        TEST(device_memory_is_not_executable),
        TEST(the_pages_with_the_most_faults_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
