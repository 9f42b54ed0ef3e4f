/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A serial port of the board that a VMM passes through: the guest has its page, and the VMM its
 * interrupt, which it passes on as libsel4vm's users do. The guest is echo.S.
 */

#include "machine.h"
#include <hosted/device.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vmmplatsupport/guest_memory_util.h>
#include <vka/capops.h>
#include <vka/object.h>

enum { SERIAL = 0x9000000, SERIAL_INTERRUPT = 33, BADGE = 1 << 16, CODE = GUEST_BASE + 0x110000 };

typedef struct port {
    machine_t *machine;
    vka_object_t notification;
    cspacepath_t handler, badged;
    char output[32];
    const char *input; /* sent a byte at a time, as the guest echoes the one before */
    unsigned interrupts;
} port_t;

static void on_output(void *cookie, const char *bytes, size_t size)
{
    port_t *port = cookie;
    strncat(port->output, bytes, size);
    if (*port->input != '\0') {
        assert_int_equal(hosted_serial_send(port->machine->system, SERIAL, port->input++, 1), 1);
    }
}

static int on_notification(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t info, void *cookie)
{
    ((port_t *)cookie)->interrupts++;
    assert_int_equal(badge, BADGE);
    return vm_inject_irq(vm->vcpus[0], SERIAL_INTERRUPT);
}

static void on_end(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    seL4_IRQHandler_Ack(((port_t *)cookie)->handler.capPtr);
}

/** Have the interrupt signal what the VMM receives. */
static void take_interrupt(port_t *port)
{
    vka_t *vka = hosted_vka(port->machine->system);
    cspacepath_t notification;
    assert_int_equal(vka_alloc_notification(vka, &port->notification), 0);
    assert_int_equal(vka_cspace_alloc_path(vka, &port->handler), 0);
    assert_int_equal(vka_cspace_alloc_path(vka, &port->badged), 0);
    vka_cspace_make_path(vka, port->notification.cptr, &notification);
    assert_int_equal(vka_cnode_mint(&port->badged, &notification, seL4_AllRights, BADGE), 0);
    assert_int_equal(seL4_TCB_BindNotification(seL4_CapInitThreadTCB, port->notification.cptr), 0);
    assert_int_equal(seL4_IRQControl_Get(seL4_CapIRQControl, SERIAL_INTERRUPT, port->handler.root,
                                         port->handler.capPtr, (seL4_Uint8)port->handler.capDepth),
                     0);
    assert_int_equal(seL4_IRQHandler_SetNotification(port->handler.capPtr, port->badged.capPtr), 0);
}

static void give_interrupt_back(port_t *port)
{
    vka_t *vka = hosted_vka(port->machine->system);
    assert_int_equal(seL4_TCB_UnbindNotification(seL4_CapInitThreadTCB), 0);
    vka_cnode_delete(&port->handler);
    vka_cnode_delete(&port->badged);
    vka_cspace_free_path(vka, port->handler);
    vka_cspace_free_path(vka, port->badged);
    vka_free_object(vka, &port->notification);
}

static void load_echo(machine_t *machine)
{
    size_t size;
    void *image = read_file(ECHO_GUEST, &size);
    assert_int_equal(vm_ram_touch(&machine->vm, CODE, size, vm_guest_ram_write_callback, image), 0);
    free(image);
    assert_int_equal(hosted_vm_set_entry(machine->vcpu, CODE, 0, 0, 0, 0), 0);
    assert_int_equal(vcpu_start(machine->vcpu), 0);
}

static void a_guest_reads_and_writes_a_port_of_the_board(void **state)
{
    machine_t *machine = *state;
    vm_t *vm = &machine->vm;
    port_t port = {.machine = machine, .input = "abq"};
    vm_memory_reservation_t *page =
        vm_reserve_memory_at(vm, SERIAL, 0x1000, default_error_fault_callback, NULL);
    assert_int_equal(map_ut_alloc_reservation(vm, page), 0);
    assert_int_equal(vm_create_default_irq_controller(vm), 0);
    take_interrupt(&port);
    assert_int_equal(vm_register_irq(machine->vcpu, SERIAL_INTERRUPT, on_end, &port), 0);
    assert_int_equal(vm_register_notification_callback(vm, on_notification, &port), 0);
    assert_int_equal(hosted_serial_output(machine->system, SERIAL, on_output, &port), 0);
    load_echo(machine);
    assert_int_equal(vm_run(vm), 0);
    assert_int_equal(machine_report(machine)->reason, HOSTED_VM_POWEROFF);
    assert_string_equal(port.output, ">abq");
    assert_int_equal(port.interrupts, 3);
    give_interrupt_back(&port);
}

static void what_is_no_port_is_refused(void **state)
{
    machine_t *machine = *state;
    assert_int_equal(hosted_serial_output(machine->system, 0x9010000, on_output, NULL), -1);
    assert_int_equal(hosted_serial_output(machine->system, SERIAL, NULL, NULL), 0);
    assert_int_equal(hosted_serial_send(machine->system, 0x9010000, "x", 1), 0);
    assert_int_equal(hosted_serial_send(machine->system, SERIAL, "x", 1), 1);
}

static void an_interrupt_waits_for_its_handler(void **state)
{
    machine_t *machine = *state;
    port_t port = {.machine = machine, .input = ""};
    seL4_Word badge = 0;
    script_t unmask[] = {{SERIAL + 0x38, STORE, 0x50}, {0}};
    script_t read[] = {{SERIAL, LOAD, 0}, {0}};
    vm_memory_reservation_t *page =
        vm_reserve_memory_at(&machine->vm, SERIAL, 0x1000, default_error_fault_callback, NULL);
    assert_int_equal(map_ut_alloc_reservation(&machine->vm, page), 0);
    assert_int_equal(hosted_serial_send(machine->system, SERIAL, "ab", 2), 2);
    machine_run_script(machine, unmask); /* nobody has the interrupt */
    take_interrupt(&port);               /* it came at once, with nothing to be signalled */
    seL4_Poll(port.notification.cptr, &badge);
    assert_int_equal(badge, 0);
    for (int i = 0; i < 2; i++) { /* each acknowledgement lets it come again */
        assert_int_equal(seL4_IRQHandler_Ack(port.handler.capPtr), 0);
        assert_int_equal(hosted_serial_send(machine->system, SERIAL, "c", 1), 1);
        seL4_Poll(port.notification.cptr, &badge);
        assert_int_equal(badge, BADGE);
        seL4_Poll(port.notification.cptr, &badge);
        assert_int_equal(badge, 0);
    }
    for (const char *expected = "abcc"; *expected != '\0'; expected++) {
        machine_run_script(machine, read);
        assert_int_equal(read[0].value, *expected);
        read[0].value = 0;
    }
    assert_int_equal(seL4_IRQHandler_Ack(port.handler.capPtr), 0); /* the line is low */
    seL4_Poll(port.notification.cptr, &badge);
    assert_int_equal(badge, 0);
    give_interrupt_back(&port);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_make, machine_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_guest_reads_and_writes_a_port_of_the_board),
        TEST(what_is_no_port_is_refused),
        TEST(an_interrupt_waits_for_its_handler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
