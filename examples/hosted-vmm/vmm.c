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

#define RAM             0x40000000
#define RAM_SIZE        (4 << 20)
#define TREE            RAM
#define IMAGE           (RAM + 0x80000)
#define UART            0x09000000
#define UART_DATA       0x00
#define UART_MASK       0x38 /* which interrupts it may make ... */
#define UART_TRANSMIT   0x20 /* ... among them: there is room to transmit */
#define UART_INTERRUPT  33
#define PAGE_BYTES      4096
#define REPLY           2048  /* where in the shared page the guest answers */
#define EL1_WITH_SP_EL1 0x3c5 /* PSTATE: EL1h, all interrupts masked */
#define PRIORITY        (seL4_MaxPrio - 1)

#define CLASS_SMC       0x17 /* exception class of a secure monitor call */
#define PSCI_SYSTEM_OFF 0x84000008

/* A PL011 that is always ready to print, and says so by an interrupt if the guest wants one. */
static memory_fault_result_t on_uart(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t length,
                                     void *cookie)
{
    (void)vm, (void)length, (void)cookie;
    if (is_vcpu_read_fault(vcpu)) {
        set_vcpu_fault_data(vcpu, 0);
    } else if (addr == UART + UART_DATA) {
        putchar((int)(get_vcpu_fault_data(vcpu) & 0xff));
    } else if (addr == UART + UART_MASK && get_vcpu_fault_data(vcpu) & UART_TRANSMIT) {
        vm_inject_irq(vcpu, UART_INTERRUPT);
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

/* The guest is done with the interrupt. */
static void on_uart_interrupt_end(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    (void)vcpu, (void)irq, (void)cookie;
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

/* Of the guest's calls this VMM knows one, to power off. None is handled here, so vm_run() returns.
 */
static int on_vcpu_fault(vm_vcpu_t *vcpu, uint32_t syndrome, void *cookie)
{
    seL4_UserContext context;
    if (syndrome >> 26 == CLASS_SMC && vm_get_thread_context(vcpu, &context) == 0 &&
        context.x0 == PSCI_SYSTEM_OFF) {
        *(bool *)cookie = true;
    }
    return -1;
}

int vmm_make(vmm_t *vmm, const vmm_env_t *env)
{
    vm_t *vm = &vmm->vm;
    if (vm_init(vm, env->vka, env->simple, *env->vspace, env->io_ops, env->endpoint, "vm0") != 0) {
        return -1;
    }
    vm->mem.clean_cache = true; /* the guest starts with its caches off */
    return vm_ram_register_at(vm, RAM, RAM_SIZE, false) == 0 &&
                   back_memory(vm, &vmm->shared) == 0 &&
                   vm_reserve_memory_at(vm, UART, PAGE_BYTES, on_uart, NULL) != NULL &&
                   vm_create_default_irq_controller(vm) == 0
               ? 0
               : -1;
}

static int load(vm_t *vm, uintptr_t addr, const vmm_file_t *file)
{
    vm_ram_mark_allocated(vm, addr, file->size);
    return vm_ram_touch(vm, addr, file->size, vm_guest_ram_write_callback, (void *)file->bytes);
}

int vmm_run(vmm_t *vmm, const vmm_file_t *image, const vmm_file_t *tree)
{
    vm_t *vm = &vmm->vm;
    seL4_UserContext context = {.pc = IMAGE, .spsr = EL1_WITH_SP_EL1, .x0 = TREE};
    vm_vcpu_t *vcpu = vm_create_vcpu(vm, PRIORITY);
    if (vcpu == NULL || vm_assign_vcpu_target(vcpu, 0) != 0 ||
        vm_register_irq(vcpu, UART_INTERRUPT, on_uart_interrupt_end, NULL) != 0 ||
        vm_register_unhandled_vcpu_fault_callback(vcpu, on_vcpu_fault, &vmm->powered_off) != 0 ||
        load(vm, TREE, tree) != 0 || load(vm, IMAGE, image) != 0 ||
        vm_set_thread_context(vcpu, context) != 0 || vcpu_start(vcpu) != 0) {
        return -1;
    }
    (void)vm_run(vm);
    seL4_TCB_Suspend(vm_get_vcpu_tcb(vcpu));
    return vmm->powered_off && strcmp(vmm->shared + REPLY, "the guest was here") == 0 ? 0 : -1;
}
