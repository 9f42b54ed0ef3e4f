/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A run loop as VMMs on the kernel have it: receive a guest's fault, look at it, reply. The VM is
 * made by the runtime, but runs by itself while the test waits for messages.
 */

#include "machine.h"
#include <hosted/device.h>
#include <hosted/processor.h>
#include <pthread.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/sel4_arch/processor.h>
#include <sel4vmmplatsupport/guest_memory_util.h>
#include <unistd.h>
#include <vka/object_capops.h>

#define BADGE       1 /* of the VCPU's fault endpoint */
#define FSR_VALID   (1u << 24)
#define FSR_WRITE   (1u << 6)
#define FSR_RT(f)   ((f) >> 16 & 31)
#define FSR_SIZE(f) (1u << ((f) >> 22 & 3))

static int make(void **state)
{
    machine_make(state);
    return hosted_system_run_guests(((machine_t *)*state)->system, NULL);
}

static void start(machine_t *machine, unsigned guest, seL4_Word x0, seL4_Word x1)
{
    uint64_t entry;
    assert_int_equal(guestmem_read(&machine->vm, GUEST_BASE + guest * 8, &entry, 8), 0);
    assert_int_equal(hosted_vm_set_entry(machine->vcpu, entry, x0, x1, 0, 0), 0);
    assert_int_equal(vcpu_start(machine->vcpu), 0);
}

/* The next message's label; its length and sender must be those. */
static seL4_Word next(machine_t *machine, unsigned length)
{
    seL4_Word sender = 0;
    seL4_MessageInfo_t info = seL4_Recv(machine->vm.host_endpoint, &sender);
    assert_int_equal(sender, BADGE);
    assert_int_equal(seL4_MessageInfo_get_length(info), length);
    return seL4_MessageInfo_get_label(info);
}

static void expect_none(machine_t *machine)
{
    seL4_Word sender = 99;
    seL4_MessageInfo_t info = seL4_NBRecv(machine->vm.host_endpoint, &sender);
    assert_int_equal(sender, 0);
    assert_int_equal(info.words[0], 0);
}

static void reply(seL4_Word label, unsigned length)
{
    seL4_Reply(seL4_MessageInfo_new(label, 0, 0, length));
}

static seL4_UserContext registers(machine_t *machine)
{
    seL4_UserContext regs;
    assert_int_equal(seL4_TCB_ReadRegisters(vm_get_vcpu_tcb(machine->vcpu), false, 0,
                                            sizeof(regs) / sizeof(seL4_Word), &regs),
                     0);
    return regs;
}

/* Go on after the instruction, with x10 set. */
static void step_over(machine_t *machine, seL4_Word x10)
{
    seL4_UserContext regs = registers(machine);
    regs.pc += 4;
    regs.x10 = x10;
    assert_int_equal(seL4_TCB_WriteRegisters(vm_get_vcpu_tcb(machine->vcpu), false, 0,
                                             sizeof(regs) / sizeof(seL4_Word), &regs),
                     0);
}

static void faults_are_messages_and_replies_go_on(void **state)
{
    machine_t *machine = *state;
    start(machine, GUEST_WRITE_DATA, GUEST_DEVICE + 8, 0x1234);
    assert_int_equal(next(machine, seL4_VMFault_Length), seL4_Fault_VMFault);
    seL4_Word fsr = seL4_GetMR(seL4_VMFault_FSR);
    assert_int_equal(seL4_GetMR(seL4_VMFault_Addr), GUEST_DEVICE + 8);
    assert_int_equal(seL4_GetMR(seL4_VMFault_PrefetchFault), 0);
    assert_int_equal(seL4_GetMR(seL4_VMFault_IP), registers(machine).pc);
    assert_int_equal(HSR_EXCEPTION_CLASS(fsr), HSR_DABT_LOW_EXCEPTION);
    assert_int_equal(fsr & 0x3f, 5); /* the table of 2 MiB entries is missing */
    assert_int_equal(fsr & (FSR_VALID | FSR_WRITE), FSR_VALID | FSR_WRITE);
    assert_int_equal(FSR_RT(fsr), 1);
    assert_int_equal(FSR_SIZE(fsr), 8);
    step_over(machine, 0);
    expect_none(machine);                                       /* it waits for the reply */
    start(machine, GUEST_WRITE_DATA, GUEST_DEVICE + 8, 0x1234); /* or is started anew */
    next(machine, seL4_VMFault_Length);
    step_over(machine, 0);
    reply(0, 0);
    assert_int_equal(next(machine, seL4_VMFault_Length), seL4_Fault_VMFault);
    fsr = seL4_GetMR(seL4_VMFault_FSR);
    assert_int_equal(fsr & (FSR_VALID | FSR_WRITE), FSR_VALID);
    assert_int_equal(FSR_RT(fsr), 10);
    step_over(machine, 0x77);
    reply(0, 0);
    assert_int_equal(next(machine, seL4_UnknownSyscall_Length), seL4_Fault_UnknownSyscall);
    assert_int_equal(seL4_GetMR(seL4_UnknownSyscall_X0), 0x84000008);
    assert_int_equal(seL4_GetMR(seL4_UnknownSyscall_FaultIP), registers(machine).pc);
    assert_int_equal(seL4_GetMR(seL4_UnknownSyscall_LR), registers(machine).pc + 4);
    assert_int_equal(registers(machine).x10, 0x77);
    seL4_SetMR(seL4_UnknownSyscall_X0, 5);
    reply(1, 1); /* registers are taken over, and it stays where it is */
    assert_int_equal(registers(machine).x0, 5);
    expect_none(machine);
}

static void a_saved_reply_capability_replies_once(void **state)
{
    machine_t *machine = *state;
    vka_t *vka = hosted_vka(machine->system);
    cspacepath_t slot;
    cspacepath_t copy;
    assert_int_equal(vka_cspace_alloc_path(vka, &slot), 0);
    assert_int_equal(vka_cspace_alloc_path(vka, &copy), 0);
    start(machine, GUEST_WRITE_DATA, GUEST_DEVICE, 0);
    next(machine, seL4_VMFault_Length);
    assert_int_equal(vka_cnode_saveCaller(&slot), 0);
    assert_int_equal(vka_cnode_saveCaller(&slot), seL4_DeleteFirst);
    assert_int_equal(vka_cnode_copy(&copy, &slot, seL4_AllRights), seL4_IllegalOperation);
    assert_int_equal(vka_cnode_move(&copy, &slot), 0);
    reply(0, 0); /* nobody is to be replied to by that */
    step_over(machine, 0);
    expect_none(machine);
    seL4_Send(copy.capPtr, seL4_MessageInfo_new(0, 0, 0, 0));
    next(machine, seL4_VMFault_Length);
    assert_int_equal(vka_cnode_saveCaller(&copy), 0); /* the slot was emptied */
    assert_int_equal(seL4_TCB_Suspend(vm_get_vcpu_tcb(machine->vcpu)), 0);
    assert_int_equal(vka_cnode_saveCaller(&copy), 0); /* and again: nothing waits for it */
    vka_cspace_free_path(vka, slot);
    vka_cspace_free_path(vka, copy);
}

static void traps_come_with_their_syndrome(void **state)
{
    machine_t *machine = *state;
    start(machine, GUEST_WAIT, 0, 0);
    assert_int_equal(next(machine, seL4_VCPUFault_Length), seL4_Fault_VCPUFault);
    assert_int_equal(HSR_EXCEPTION_CLASS(seL4_GetMR(seL4_VCPUFault_HSR)), HSR_WFx_EXCEPTION);
    start(machine, GUEST_RESET, 0, 0);
    assert_int_equal(next(machine, seL4_VCPUFault_Length), seL4_Fault_VCPUFault);
    assert_int_equal(HSR_EXCEPTION_CLASS(seL4_GetMR(seL4_VCPUFault_HSR)), HSR_SMC_64_EXCEPTION);
    start(machine, GUEST_UNDEFINED, 0, 0);
    assert_int_equal(next(machine, seL4_UserException_Length), seL4_Fault_UserException);
}

static void the_end_of_an_interrupt_is_a_message(void **state)
{
    machine_t *machine = *state;
    script_t script[] = {{0x8010004, STORE, 0xf0}, {0x8010000, STORE, 1}, {0x801000c, LOAD, 0},
                         {0x8010010, STORE, 40},   {0x801000c, LOAD, 0},  {0}};
    assert_int_equal(vm_create_default_irq_controller(&machine->vm), 0);
    assert_int_equal(guestmem_write(&machine->vm, GUEST_DATA, script, sizeof(script)), 0);
    assert_int_equal(seL4_ARM_VCPU_InjectIRQ(machine->vcpu->vcpu.cptr, 40, 0, 0, 2), 0);
    start(machine, GUEST_SCRIPT, GUEST_DATA, 0);
    assert_int_equal(next(machine, seL4_VGICMaintenance_Length), seL4_Fault_VGICMaintenance);
    assert_int_equal(seL4_GetMR(seL4_VGICMaintenance_IDX), 2);
    reply(0, 0);
    assert_int_equal(next(machine, seL4_UnknownSyscall_Length), seL4_Fault_UnknownSyscall);
    assert_int_equal(guestmem_read(&machine->vm, GUEST_DATA, script, sizeof(script)), 0);
    assert_int_equal(script[2].value, 40);
    assert_int_equal(script[4].value, 1023); /* none */
}

static void an_active_list_register_is_not_filled_again(void **state)
{
    machine_t *machine = *state;
    seL4_CPtr vcpu = machine->vcpu->vcpu.cptr;
    script_t script[] = {{0x8010004, STORE, 0xf0}, {0x8010000, STORE, 1},  {0x801000c, LOAD, 0},
                         {GUEST_DEVICE, STORE, 0}, {0x8010010, STORE, 41}, {0}};
    assert_int_equal(vm_create_default_irq_controller(&machine->vm), 0);
    assert_int_equal(guestmem_write(&machine->vm, GUEST_DATA, script, sizeof(script)), 0);
    assert_int_equal(seL4_ARM_VCPU_InjectIRQ(vcpu, 40, 0, 0, 1), 0);
    assert_int_equal(seL4_ARM_VCPU_InjectIRQ(vcpu, 41, 0, 0, 1), 0); /* it was pending only */
    start(machine, GUEST_SCRIPT, GUEST_DATA, 0);
    assert_int_equal(next(machine, seL4_VMFault_Length), seL4_Fault_VMFault);
    assert_int_equal(seL4_ARM_VCPU_InjectIRQ(vcpu, 42, 0, 0, 1), seL4_DeleteFirst);
    step_over(machine, 0);
    reply(0, 0);
    assert_int_equal(next(machine, seL4_VGICMaintenance_Length), seL4_Fault_VGICMaintenance);
    assert_int_equal(seL4_ARM_VCPU_InjectIRQ(vcpu, 42, 0, 0, 1), 0);
}

static void the_timers_event_is_masked_until_it_is_acknowledged(void **state)
{
    machine_t *machine = *state;
    seL4_CPtr vcpu = machine->vcpu->vcpu.cptr;
    assert_int_equal(seL4_ARM_VCPU_WriteRegs(vcpu, seL4_VCPUReg_CNTV_CTL, 1), 0);
    start(machine, GUEST_OFF, 0, 0);
    assert_int_equal(next(machine, seL4_VPPIEvent_Length), seL4_Fault_VPPIEvent);
    assert_int_equal(seL4_GetMR(seL4_VPPIEvent_IRQ), 27);
    reply(0, 0);
    assert_int_equal(next(machine, seL4_UnknownSyscall_Length), seL4_Fault_UnknownSyscall);
    assert_int_equal(seL4_ARM_VCPU_AckVPPI(vcpu, 27), 0);
    reply(0, 0); /* the guest calls again, but the event comes first */
    assert_int_equal(next(machine, seL4_VPPIEvent_Length), seL4_Fault_VPPIEvent);
    assert_int_equal(seL4_ARM_VCPU_WriteRegs(vcpu, seL4_VCPUReg_CNTV_CTL, 0), 0);
    assert_int_equal(seL4_ARM_VCPU_AckVPPI(vcpu, 27), 0);
    reply(0, 0);
    assert_int_equal(next(machine, seL4_UnknownSyscall_Length), seL4_Fault_UnknownSyscall);
}

static uint64_t read_device(void *cookie, uint64_t offset, unsigned width)
{
    return *(uint64_t *)cookie + offset + width;
}

static void write_device(void *cookie, uint64_t offset, unsigned width, uint64_t value)
{
    *(uint64_t *)cookie = value << 8 | offset | width;
}

static void registers_behind_a_page_are_reached_without_the_vmm(void **state)
{
    machine_t *machine = *state;
    uint64_t value = 0;
    const hosted_device_t device = {read_device, write_device, &value};
    script_t script[] = {{GUEST_DEVICE + 0x10, STORE_BYTE, 7}, {GUEST_DEVICE + 0x20, LOAD, 0}, {0}};
    vm_memory_reservation_t *reservation =
        machine_add_device(machine, GUEST_DEVICE, 0x1000, "registers");
    assert_int_equal(hosted_device_attach(machine->system, 0x9010000, 0x1000, &device), 0);
    assert_int_equal(hosted_device_attach(machine->system, 0x9010000, 0x1000, &device), -1);
    assert_int_equal(hosted_device_attach(machine->system, 0x9000000, 0x1000, &device), -1);
    assert_int_equal(hosted_device_attach(machine->system, 0x9030000, 0x800, &device), -1);
    assert_int_equal(hosted_device_attach(machine->system, 0x8040000, 0x1000, &device), -1);
    assert_int_equal(map_ut_alloc_reservation_with_base_paddr(&machine->vm, 0x9010000, reservation),
                     0);
    machine_run_script(machine, script);
    assert_int_equal(value, 7 << 8 | 0x10 | 1);
    assert_int_equal(script[1].value, value + 0x20 + 4);
    assert_int_equal(machine->count, 0);
}

/* Another thread of the process. */
typedef struct other {
    machine_t *machine;
    seL4_CPtr cptr;
} other_t;

static void *signal_soon(void *cookie)
{
    other_t *other = cookie;
    hosted_system_enter(other->machine->system);
    usleep(10000);
    seL4_Signal(other->cptr);
    return NULL;
}

static void *send_two(void *cookie)
{
    other_t *other = cookie;
    hosted_system_enter(other->machine->system);
    seL4_SetMR(0, 41);
    seL4_SetMR(1, 42);
    seL4_Send(other->cptr, seL4_MessageInfo_new(7, 0, 0, 2));
    seL4_SetMR(0, 43);
    seL4_Send(other->cptr, seL4_MessageInfo_new(8, 0, 0, 1));
    return NULL;
}

static void *inject_soon(void *cookie)
{
    other_t *other = cookie;
    hosted_system_enter(other->machine->system);
    usleep(10000);
    assert_int_equal(seL4_ARM_VCPU_InjectIRQ(other->cptr, 40, 0, 0, 3), 0);
    return NULL;
}

static void an_interrupt_enters_a_guest_that_lets_it_in(void **state)
{
    machine_t *machine = *state;
    pthread_t thread;
    other_t other = {machine, machine->vcpu->vcpu.cptr};
    assert_int_equal(vm_create_default_irq_controller(&machine->vm), 0);
    start(machine, GUEST_INTERRUPTS, 0x8010000, 0);
    assert_int_equal(pthread_create(&thread, NULL, inject_soon, &other), 0);
    assert_int_equal(next(machine, seL4_VGICMaintenance_Length), seL4_Fault_VGICMaintenance);
    assert_int_equal(seL4_GetMR(seL4_VGICMaintenance_IDX), 3);
    pthread_join(thread, NULL);
    reply(0, 0);
    assert_int_equal(next(machine, seL4_UnknownSyscall_Length), seL4_Fault_UnknownSyscall);
    assert_int_equal(registers(machine).x10, 40);
    assert_int_equal(registers(machine).x12, 0x3c0); /* all masked in the vector ... */
    assert_int_equal(registers(machine).x11, 0x340); /* ... and as before after it */
}

static void *call_once(void *cookie)
{
    other_t *other = cookie;
    hosted_system_enter(other->machine->system);
    seL4_SetMR(0, 20);
    seL4_MessageInfo_t answer = seL4_Call(other->cptr, seL4_MessageInfo_new(5, 0, 0, 1));
    assert_int_equal(seL4_MessageInfo_get_label(answer), 6);
    assert_int_equal(seL4_GetMR(0), 21);
    return NULL;
}

static void a_call_waits_for_its_reply(void **state)
{
    machine_t *machine = *state;
    vka_object_t endpoint;
    pthread_t thread;
    assert_int_equal(vka_alloc_endpoint(hosted_vka(machine->system), &endpoint), 0);
    other_t other = {machine, endpoint.cptr};
    assert_int_equal(pthread_create(&thread, NULL, call_once, &other), 0);
    assert_int_equal(seL4_MessageInfo_get_label(seL4_Recv(endpoint.cptr, NULL)), 5);
    seL4_SetMR(0, seL4_GetMR(0) + 1);
    seL4_Reply(seL4_MessageInfo_new(6, 0, 0, 1));
    pthread_join(thread, NULL);
    vka_free_object(hosted_vka(machine->system), &endpoint);
}

static void a_bound_notification_interrupts_a_running_guest(void **state)
{
    machine_t *machine = *state;
    vka_t *vka = hosted_vka(machine->system);
    vka_object_t notification;
    cspacepath_t badged;
    pthread_t thread;
    seL4_Word sender = 0;
    assert_int_equal(vka_alloc_notification(vka, &notification), 0);
    assert_int_equal(vka_mint_object(vka, &notification, &badged, seL4_AllRights, 0x50), 0);
    assert_int_equal(seL4_TCB_BindNotification(seL4_CapInitThreadTCB, notification.cptr), 0);
    other_t other = {machine, badged.capPtr};
    start(machine, GUEST_SPIN, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, signal_soon, &other), 0);
    seL4_MessageInfo_t info = seL4_Recv(machine->vm.host_endpoint, &sender);
    assert_int_equal(sender, 0x50);
    assert_int_equal(info.words[0], 0);
    pthread_join(thread, NULL);
    seL4_Signal(notification.cptr);
    seL4_Signal(badged.capPtr);
    seL4_Wait(notification.cptr, &sender);
    assert_int_equal(sender, 0x50);
    assert_int_equal(seL4_TCB_UnbindNotification(seL4_CapInitThreadTCB), 0);
    vka_cnode_delete(&badged);
    vka_cspace_free_path(vka, badged);
    vka_free_object(vka, &notification);
}

static int on_notification(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t tag, void *cookie)
{
    machine_t *machine = cookie;
    assert_int_equal(tag.words[0], 0);
    machine->count++;
    hosted_vm_request_stop(&machine->vm);
    return badge == 0x60 ? 0 : -1;
}

static void vm_run_calls_the_notification_callback(void **state)
{
    machine_t *machine = *state;
    vka_t *vka = hosted_vka(machine->system);
    vka_object_t notification;
    cspacepath_t badged;
    pthread_t thread;
    assert_int_equal(vka_alloc_notification(vka, &notification), 0);
    assert_int_equal(vka_mint_object(vka, &notification, &badged, seL4_AllRights, 0x60), 0);
    assert_int_equal(seL4_TCB_BindNotification(seL4_CapInitThreadTCB, notification.cptr), 0);
    other_t other = {machine, badged.capPtr};
    seL4_Signal(badged.capPtr);
    assert_int_equal(machine_run(machine, GUEST_SPIN, 0, 0), -1); /* nobody takes it */
    assert_int_equal(machine_report(machine)->reason, HOSTED_VM_ERROR);
    assert_int_equal(vm_register_notification_callback(&machine->vm, on_notification, machine), 0);
    assert_int_equal(pthread_create(&thread, NULL, signal_soon, &other), 0);
    assert_int_equal(machine_run(machine, GUEST_SPIN, 0, 0), 0);
    assert_int_equal(machine_report(machine)->reason, HOSTED_VM_STOPPED);
    assert_int_equal(machine->count, 1);
    pthread_join(thread, NULL);
    vka_cnode_delete(&badged);
    vka_cspace_free_path(vka, badged);
    assert_int_equal(vka_mint_object(vka, &notification, &badged, seL4_AllRights, 0x70), 0);
    seL4_Signal(badged.capPtr);
    assert_int_equal(machine_run(machine, GUEST_SPIN, 0, 0), -1); /* it fails */
    vka_cnode_delete(&badged);
    vka_cspace_free_path(vka, badged);
    vka_free_object(vka, &notification); /* and is bound no more */
}

static void vm_run_goes_on_with_a_guest_that_was_received_from(void **state)
{
    machine_t *machine = *state;
    start(machine, GUEST_LOADS, GUEST_DEVICE, 0);
    assert_int_equal(next(machine, seL4_VMFault_Length), seL4_Fault_VMFault);
    assert_int_equal(machine_run(machine, GUEST_OFF, 0, 0), 0);
}

static void threads_send_each_other_messages(void **state)
{
    machine_t *machine = *state;
    vka_t *vka = hosted_vka(machine->system);
    vka_object_t endpoint;
    cspacepath_t badged;
    pthread_t thread;
    seL4_Word sender = 0;
    assert_int_equal(vka_alloc_endpoint(vka, &endpoint), 0);
    assert_int_equal(vka_mint_object(vka, &endpoint, &badged, seL4_CanWrite, 9), 0);
    seL4_NBSend(badged.capPtr, seL4_MessageInfo_new(1, 0, 0, 0)); /* nobody waits: lost */
    other_t other = {machine, badged.capPtr};
    assert_int_equal(pthread_create(&thread, NULL, send_two, &other), 0);
    seL4_MessageInfo_t info = seL4_Recv(endpoint.cptr, &sender);
    assert_int_equal(sender, 9);
    assert_int_equal(seL4_MessageInfo_get_label(info), 7);
    assert_int_equal(seL4_GetMR(1), 42);
    info = seL4_ReplyRecv(endpoint.cptr, info, &sender);
    assert_int_equal(seL4_MessageInfo_get_label(info), 8);
    assert_int_equal(seL4_GetMR(0), 43);
    pthread_join(thread, NULL);
    info = seL4_NBRecv(badged.capPtr, &sender); /* no right to receive */
    assert_int_equal(info.words[0], 0);
    vka_cnode_delete(&badged);
    vka_cspace_free_path(vka, badged);
    vka_free_object(vka, &endpoint);
}

/* Once the guest runs, write a register of it, and stop it. */
static void *write_and_stop(void *cookie)
{
    other_t *other = cookie;
    seL4_UserContext regs = {0};
    seL4_CPtr tcb = vm_get_vcpu_tcb(other->machine->vcpu);
    hosted_system_enter(other->machine->system);
    usleep(10000);
    seL4_TCB_ReadRegisters(tcb, false, 0, 1, &regs);
    seL4_ARM_VCPU_WriteRegs(other->machine->vcpu->vcpu.cptr, seL4_VCPUReg_TPIDR_EL1, 99);
    seL4_TCB_Suspend(tcb);
    seL4_Signal(other->cptr);
    return NULL;
}

static void a_guest_stands_still_for_invocations_of_other_threads(void **state)
{
    machine_t *machine = *state;
    vka_t *vka = hosted_vka(machine->system);
    vka_object_t notification;
    pthread_t thread;
    assert_int_equal(vka_alloc_notification(vka, &notification), 0);
    other_t other = {machine, notification.cptr};
    start(machine, GUEST_SPIN, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, write_and_stop, &other), 0);
    seL4_Wait(notification.cptr, NULL);
    pthread_join(thread, NULL);
    assert_int_equal(seL4_ARM_VCPU_ReadRegs(machine->vcpu->vcpu.cptr, seL4_VCPUReg_TPIDR_EL1).value,
                     99);
    vka_free_object(vka, &notification);
}

#define MESSAGE_TEST(f) cmocka_unit_test_setup_teardown(f, make, machine_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MESSAGE_TEST(faults_are_messages_and_replies_go_on),
        MESSAGE_TEST(a_saved_reply_capability_replies_once),
        MESSAGE_TEST(traps_come_with_their_syndrome),
        MESSAGE_TEST(the_end_of_an_interrupt_is_a_message),
        MESSAGE_TEST(an_active_list_register_is_not_filled_again),
        MESSAGE_TEST(the_timers_event_is_masked_until_it_is_acknowledged),
        MESSAGE_TEST(registers_behind_a_page_are_reached_without_the_vmm),
        MESSAGE_TEST(an_interrupt_enters_a_guest_that_lets_it_in),
        MESSAGE_TEST(a_call_waits_for_its_reply),
        MESSAGE_TEST(a_bound_notification_interrupts_a_running_guest),
        MESSAGE_TEST(vm_run_goes_on_with_a_guest_that_was_received_from),
        MESSAGE_TEST(vm_run_calls_the_notification_callback),
        MESSAGE_TEST(threads_send_each_other_messages),
        MESSAGE_TEST(a_guest_stands_still_for_invocations_of_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
