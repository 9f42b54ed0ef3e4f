/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A VMM as libsel4vm's users write theirs: memory by the six functions, an emulated serial port,
 * one VCPU, a guest that is loaded and run. Nothing in this file knows whether seL4 is the real one
 * or the hosted one; hosted_main.c and ../sel4/vmm_main.c start it. The guest is ../guest, and
 * guest.dts its device tree.
 */

#include "vmm.h"
#include <sel4vm/arch/guest_arm_context.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>
#include <sel4vm/guest_vm_util.h>
#include <sel4vmmplatsupport/guest_memory_util.h>
#include <stdio.h>
#include <string.h>

#define UART            0x09000000
#define UART_INTERRUPT  33
#define VIRTUAL_TIMER   27
#define PAGE_BYTES      4096
#define REPLY           2048  /* where in the shared page the guest answers */
#define EL1_WITH_SP_EL1 0x3c5 /* PSTATE: EL1h, all interrupts masked */
#define PRIORITY        (seL4_MaxPrio - 1)

#define CLASS_SMC 0x17 /* exception class of a secure monitor call */
enum { PSCI_SYSTEM_OFF = 0x84000008, PSCI_SYSTEM_RESET };

const vmm_guest_t vmm_small_guest = {.ram = 0x40000000, .ram_size = 4 << 20, .image_at = 0x80000};
const vmm_guest_t vmm_linux_guest = {
    .ram = 0x100000000, .ram_size = 512 << 20, .image_at = 0x200000, .initrd_at = 0x8000000};

/* The registers of a PL011 that Linux's driver needs to print. */
enum {
    DATA = 0x00,
    FLAGS = 0x18,
    MASK = 0x38,
    RAW = 0x3c,
    MASKED = 0x40,
    CLEAR = 0x44,
    ID = 0xfe0
};
enum { NO_INPUT_AND_NOTHING_TO_SEND = 0x90, TRANSMIT = 0x20 };

static unsigned read_uart(const vmm_t *vmm, uintptr_t offset)
{
    static const unsigned char id[] = {0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1};
    switch (offset) {
    case FLAGS:
        return NO_INPUT_AND_NOTHING_TO_SEND;
    case MASK:
        return vmm->uart_mask;
    case RAW:
        return vmm->uart_raw;
    case MASKED:
        return vmm->uart_raw & vmm->uart_mask;
    default:
        return offset >= ID && offset < PAGE_BYTES ? id[(offset - ID) / 4] : 0;
    }
}

static void write_uart(vmm_t *vmm, uintptr_t offset, unsigned value)
{
    if (offset == DATA) {
        putchar((int)(value & 0xff));
        vmm->uart_raw |= TRANSMIT; /* there is room again */
    } else if (offset == MASK) {
        vmm->uart_mask = value;
    } else if (offset == CLEAR) {
        vmm->uart_raw &= ~value;
    }
}

static memory_fault_result_t on_uart(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t length,
                                     void *cookie)
{
    vmm_t *vmm = cookie;
    (void)vm, (void)length;
    if (is_vcpu_read_fault(vcpu)) {
        set_vcpu_fault_data(vcpu, read_uart(vmm, addr - UART));
    } else {
        write_uart(vmm, addr - UART, (unsigned)get_vcpu_fault_data(vcpu));
        if (vmm->uart_raw & vmm->uart_mask) {
            vm_inject_irq(vcpu, UART_INTERRUPT);
        }
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

/* The guest is done with an interrupt. */
static void on_interrupt_end(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    (void)cookie;
    if (irq == VIRTUAL_TIMER) {
        seL4_ARM_VCPU_AckVPPI(vcpu->vcpu.cptr, (seL4_Word)irq);
    }
}

/* Stores to what the guest may only read. */
static memory_fault_result_t ignore(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t length,
                                    void *cookie)
{
    (void)vm, (void)vcpu, (void)addr, (void)length, (void)cookie;
    return FAULT_IGNORE;
}

/* Let the guest see what is written in a page, even while its caches are off. */
static int write_page(vm_t *vm, char *page, const char *text)
{
    strcpy(page, text);
    return (int)seL4_ARM_Page_Clean_Data(vspace_get_cap(vm_get_vmm_vspace(vm), page), 0,
                                         PAGE_BYTES);
}

static int back_memory(vm_t *vm, char **shared)
{
    memory_fault_callback_fn on_fault = default_error_fault_callback;
    vm_memory_reservation_t *frames = vm_reserve_memory_at(vm, 0x48000000, 0x12000, on_fault, NULL);
    vm_memory_reservation_t *same = vm_reserve_memory_at(vm, 0x90000000, 2 << 20, on_fault, NULL);
    vm_memory_reservation_t *dma = vm_reserve_memory_at(vm, 0x50000000, 2 << 20, on_fault, NULL);
    vm_memory_reservation_t *any = vm_reserve_memory_at(vm, 0x4a000000, 0x10000, on_fault, NULL);
    int error = map_frame_alloc_reservation(vm, frames);                    /* free memory */
    error |= map_ut_alloc_reservation(vm, same);                            /* GPA = address */
    error |= map_ut_alloc_reservation_with_base_paddr(vm, 0x90200000, dma); /* chosen memory */
    error |= map_maybe_device_reservation(vm, any);                         /* any memory */
    char *both = create_allocated_reservation_frame(vm, 0xb000000, seL4_AllRights, ignore, NULL);
    char *text = create_allocated_reservation_frame(vm, 0xb001000, seL4_CanRead, ignore, NULL);
    void *clock = create_device_reservation_frame(vm, 0x9010000, seL4_CanRead, ignore, NULL);
    if (error || both == NULL || text == NULL || clock == NULL) {
        return -1; /* the log says why, and guestmem_last_error(vm) */
    }
    *shared = both;
    return write_page(vm, both, "hello from the VMM") | write_page(vm, text, "read this only");
}

/* Of the guest's calls this VMM knows two, which end it: not handled, they make vm_run() return. */
static int on_vcpu_fault(vm_vcpu_t *vcpu, uint32_t syndrome, void *cookie)
{
    vmm_t *vmm = cookie;
    seL4_UserContext context;
    if (syndrome >> 26 == CLASS_SMC && vm_get_thread_context(vcpu, &context) == 0 &&
        (context.x0 == PSCI_SYSTEM_OFF || context.x0 == PSCI_SYSTEM_RESET)) {
        vmm->ended_by = context.x0;
        return -1;
    }
    return vmm->on_exception != NULL ? vmm->on_exception(vcpu, syndrome, NULL) : -1;
}

int vmm_make(vmm_t *vmm, const vmm_env_t *env, const vmm_guest_t *guest)
{
    vm_t *vm = &vmm->vm;
    if (vm_init(vm, env->vka, env->simple, *env->vspace, env->io_ops, env->endpoint, "vm0") != 0) {
        return -1;
    }
    vm->mem.clean_cache = true; /* the guest starts with its caches off */
    vmm->on_exception = env->on_exception;
    vmm->uart_raw = TRANSMIT;
    return vm_ram_register_at(vm, guest->ram, guest->ram_size, false) == 0 &&
                   back_memory(vm, &vmm->shared) == 0 &&
                   vm_reserve_memory_at(vm, UART, PAGE_BYTES, on_uart, vmm) != NULL &&
                   vm_create_default_irq_controller(vm) == 0
               ? 0
               : -1;
}

static int load(vm_t *vm, uintptr_t addr, const vmm_file_t *file)
{
    if (file->size == 0) {
        return 0;
    }
    vm_ram_mark_allocated(vm, addr, file->size);
    return vm_ram_touch(vm, addr, file->size, vm_guest_ram_write_callback, (void *)file->bytes);
}

int vmm_run(vmm_t *vmm, const vmm_guest_t *guest)
{
    vm_t *vm = &vmm->vm;
    uintptr_t entry = guest->ram + guest->image_at;
    seL4_UserContext context = {.pc = entry, .spsr = EL1_WITH_SP_EL1, .x0 = guest->ram};
    vm_vcpu_t *vcpu = vm_create_vcpu(vm, PRIORITY);
    if (vcpu == NULL || vm_assign_vcpu_target(vcpu, 0) != 0 ||
        vm_register_irq(vcpu, UART_INTERRUPT, on_interrupt_end, NULL) != 0 ||
        vm_register_irq(vcpu, VIRTUAL_TIMER, on_interrupt_end, NULL) != 0 ||
        vm_register_unhandled_vcpu_fault_callback(vcpu, on_vcpu_fault, vmm) != 0 ||
        load(vm, guest->ram, &guest->tree) != 0 || load(vm, entry, &guest->image) != 0 ||
        load(vm, guest->ram + guest->initrd_at, &guest->initrd) != 0 ||
        vm_set_thread_context(vcpu, context) != 0 || vcpu_start(vcpu) != 0) {
        return -1;
    }
    while (vmm->ended_by == 0 && vm_run(vm) == 0) {
        /* libsel4vm returns with 0 after each interrupt of the virtual timer */
    }
    seL4_TCB_Suspend(vm_get_vcpu_tcb(vcpu));
    return vmm->ended_by == PSCI_SYSTEM_OFF &&
                   strcmp(vmm->shared + REPLY, "the guest was here") == 0
               ? 0
               : -1;
}
