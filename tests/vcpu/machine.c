/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See machine.h. */

#include "machine.h"

static void drop_line(void *cookie, int level, const char *line)
{
}

static void load_guests(machine_t *machine)
{
    size_t size;
    void *image = read_file(GUESTS, &size);
    assert_int_equal(vm_ram_register_at(&machine->vm, GUEST_BASE, MACHINE_RAM_BYTES, false), 0);
    assert_int_equal(
        vm_ram_touch(&machine->vm, GUEST_BASE, size, vm_guest_ram_write_callback, image), 0);
    free(image);
}

int machine_make(void **state)
{
    char error[256] = "";
    machine_t *machine = calloc(1, sizeof(*machine));
    assert_non_null(machine);
    machine->system = hosted_system_create_from_file(BOARD_DTB, error, sizeof(error));
    if (machine->system == NULL) {
        fail_msg("%s", error);
    }
    hosted_log_to(drop_line, NULL);
    hosted_census_take(machine->system, &machine->before);
    assert_int_equal(vm_init(&machine->vm, hosted_vka(machine->system),
                             hosted_simple(machine->system), *hosted_vmm_vspace(machine->system),
                             hosted_io_ops(machine->system), hosted_host_endpoint(machine->system),
                             "test"),
                     0);
    machine->vcpu = vm_create_vcpu(&machine->vm, 100);
    assert_non_null(machine->vcpu);
    assert_int_equal(vm_assign_vcpu_target(machine->vcpu, 0), 0);
    load_guests(machine);
    machine->result = FAULT_HANDLED;
    *state = machine;
    return 0;
}

int machine_end(void **state)
{
    machine_t *machine = *state;
    hosted_census_t after;
    vm_destroy(&machine->vm);
    hosted_census_take(machine->system, &after);
    hosted_census_print_difference(stderr, &machine->before, &after);
    assert_true(hosted_census_equal(&machine->before, &after));
    hosted_system_destroy(machine->system);
    hosted_log_to(NULL, NULL);
    free(machine);
    return 0;
}

static memory_fault_result_t on_access(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t address, size_t length,
                                       void *cookie)
{
    machine_t *machine = cookie;
    assert_ptr_equal(vm, &machine->vm);
    assert_ptr_equal(vcpu, machine->vcpu);
    assert_true(machine->count < sizeof(machine->seen) / sizeof(machine->seen[0]));
    assert_int_equal(get_vcpu_fault_address(vcpu), address);
    machine->seen[machine->count++] = (seen_t){
        .address = address,
        .length = length,
        .size = get_vcpu_fault_size(vcpu),
        .data = get_vcpu_fault_data(vcpu),
        .mask = get_vcpu_fault_data_mask(vcpu),
        .ip = get_vcpu_fault_ip(vcpu),
        .read = is_vcpu_read_fault(vcpu),
    };
    if (machine->result != FAULT_HANDLED) {
        return machine->result;
    }
    if (is_vcpu_read_fault(vcpu)) {
        set_vcpu_fault_data(vcpu, machine->answer);
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

vm_memory_reservation_t *machine_add_device(machine_t *machine, uintptr_t base, size_t size,
                                            const char *name)
{
    vm_memory_reservation_t *reservation =
        vm_reserve_memory_at(&machine->vm, base, size, on_access, machine);
    assert_non_null(reservation);
    assert_int_equal(guestmem_name_reservation(&machine->vm, reservation, name), 0);
    return reservation;
}

int machine_run(machine_t *machine, unsigned guest, seL4_Word x0, seL4_Word x1)
{
    seL4_Word entry;
    assert_int_equal(vm_ram_touch(&machine->vm, GUEST_BASE + guest * sizeof(entry), sizeof(entry),
                                  vm_guest_ram_read_callback, &entry),
                     0);
    assert_int_equal(hosted_vm_set_entry(machine->vcpu, entry, x0, x1, 0, 0), 0);
    assert_int_equal(vcpu_start(machine->vcpu), 0);
    return vm_run(&machine->vm);
}

seL4_UserContext machine_registers(machine_t *machine)
{
    seL4_UserContext context;
    assert_int_equal(vm_get_thread_context(machine->vcpu, &context), 0);
    return context;
}

const hosted_vm_report_t *machine_report(machine_t *machine)
{
    return hosted_vm_get_report(&machine->vm);
}

void machine_run_script(machine_t *machine, script_t *script)
{
    size_t size = sizeof(*script);
    while (script[size / sizeof(*script) - 1].address != 0) {
        size += sizeof(*script);
    }
    assert_int_equal(guestmem_write(&machine->vm, GUEST_DATA, script, size), 0);
    assert_int_equal(machine_run(machine, GUEST_SCRIPT, GUEST_DATA, 0), 0);
    assert_int_equal(guestmem_read(&machine->vm, GUEST_DATA, script, size), 0);
}
