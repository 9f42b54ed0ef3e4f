/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A VMM as libsel4vm's users write theirs. Its guest is Linux, on RAM, pages and ranges that the
 * functions of guest_memory_util.h make, with a serial port of the board's or an emulated one.
 *
 * Nothing in this file knows whether seL4 is the real one or the hosted one, nor whose memory code
 * it is linked to; hosted_main.c and ../sel4/linux_main.c start it. linux.dts is what Linux is
 * told, and init.sh what it runs first.
 */

#include "vmm.h"
#include <sel4vm/arch/guest_arm_context.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>
#include <sel4vm/guest_vm_util.h>
#include <sel4vmmplatsupport/guest_image.h>
#include <sel4vmmplatsupport/guest_memory_util.h>
#include <stdio.h>
#include <string.h>
#include <vka/capops.h>

#define PAGE_BYTES 4096
#define REPLY      2048 /* where in the shared page the guest answers */
#define PRIORITY   (seL4_MaxPrio - 1)

/* Offsets in RAM. */
enum { KERNEL = 0x200000, INITRD = 0x8000000 };

/* Guest-physical addresses. Below UART are pages, from FRAMES on ranges. */
enum {
    UART = 0x09000000,
    DEVICE = 0x0a000000,
    SHARED = 0x0b000000,
    READ_ONLY = 0x0b001000,
    FRAMES = 0x20000000,
    MAYBE_DEVICE = 0x21000000,
    CHOSEN = 0x22000000,
};
/* What of them has the address of physical memory, each VM's own. */
#define SAME(number)      (0x90000000ul + 0x400000ul * (number))
#define CHOSEN_AT(number) (SAME(number) + 0x200000ul)
#define LARGE             0x200000 /* bytes of both */

enum { VIRTUAL_TIMER = 27, UART_IRQ = 33 };

/* Badges of the notification. The runtime's own are small. */
enum { UART_EVENT = 0x1000, END_EVENT = 0x2000 };

enum { PSCI_SYSTEM_OFF = 0x84000008, PSCI_SYSTEM_RESET };

/*
 * What depends on the architecture: classes of exceptions; the number of a call; how Linux wants to
 * be started, in the mode of a kernel with all interrupts masked. A kernel of 32 bits cleans no
 * memory from the caches but what lies in its own window, and 1:1 RAM does not; in QEMU, which has
 * no caches, that makes no difference.
 */
#ifdef CONFIG_ARCH_AARCH64
enum { WAIT_FOR_EVENT = 0x01, SECURE_MONITOR_CALL = 0x17, CLEANS_FIXED_RAM = true };

static seL4_Word call_of(const seL4_UserContext *context)
{
    return context->x0;
}

static seL4_UserContext start_of(uintptr_t kernel, uintptr_t tree)
{
    return (seL4_UserContext){.pc = kernel, .spsr = 0x3c5, .x0 = tree};
}
#else
enum { WAIT_FOR_EVENT = 0x01, SECURE_MONITOR_CALL = 0x13, CLEANS_FIXED_RAM = false };

static seL4_Word call_of(const seL4_UserContext *context)
{
    return context->r0;
}

static seL4_UserContext start_of(uintptr_t kernel, uintptr_t tree)
{
    return (seL4_UserContext){.pc = kernel, .cpsr = 0x1d3, .r1 = UINT32_MAX, .r2 = tree};
}
#endif

/* The emulated serial port: what Linux's driver of a PL011 needs to print. */

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

/* Whole lines, with the VM's number before them, as several VMs print on one console. */
static void print(vmm_t *vmm, char byte)
{
    if (byte != '\n' && byte != '\r') {
        vmm->line[vmm->line_size++] = byte;
    }
    if ((byte == '\n' && vmm->line_size > 0) || vmm->line_size == sizeof(vmm->line)) {
        printf("vm%u: %.*s\n", vmm->guest->number, (int)vmm->line_size, vmm->line);
        vmm->line_size = 0;
    }
}

static void write_uart(vmm_t *vmm, uintptr_t offset, unsigned value)
{
    if (offset == DATA) {
        print(vmm, (char)value);
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
            vm_inject_irq(vcpu, UART_IRQ);
        }
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

/* Pass on how a step went. */
static int done(const vmm_t *vmm, const char *step, int error)
{
    if (vmm->env->done != NULL) {
        vmm->env->done(step);
    }
    return error;
}

/* Interrupts and events. */

/* A capability to the VM's notification with a badge. */
static seL4_CPtr make_event(const vmm_t *vmm, seL4_Word badge)
{
    cspacepath_t from, to;
    vka_cspace_make_path(vmm->env->vka, vmm->env->events, &from);
    return vka_cspace_alloc_path(vmm->env->vka, &to) == 0 &&
                   vka_cnode_mint(&to, &from, seL4_AllRights, badge) == seL4_NoError
               ? to.capPtr
               : seL4_CapNull;
}

/* The guest is done with an interrupt. */
static void on_interrupt_end(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    const vmm_t *vmm = cookie;
    if (irq == VIRTUAL_TIMER) {
        seL4_ARM_VCPU_AckVPPI(vcpu->vcpu.cptr, (seL4_Word)irq);
    } else if (vmm->uart_irq != seL4_CapNull) {
        seL4_IRQHandler_Ack(vmm->uart_irq);
    }
}

static int on_event(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t info, void *cookie)
{
    vmm_t *vmm = cookie;
    (void)vm, (void)info;
    if (badge & UART_EVENT) {
        vm_inject_irq(vmm->vcpu, UART_IRQ);
    }
    return vmm->end == VMM_RUNS ? 0 : -1; /* -1 lets vm_run() return */
}

/*
 * Of the guest's calls this VMM knows two, which end it. A kernel that traps WFI sends it here; as
 * the guest's timer stands still until it goes on, it goes on at once.
 */
static int on_vcpu_fault(vm_vcpu_t *vcpu, uint32_t syndrome, void *cookie)
{
    vmm_t *vmm = cookie;
    seL4_UserContext context;
    if (syndrome >> 26 == WAIT_FOR_EVENT) {
        advance_vcpu_fault(vcpu);
        return 0;
    }
    if (syndrome >> 26 == SECURE_MONITOR_CALL && vm_get_thread_context(vcpu, &context) == 0 &&
        (call_of(&context) == PSCI_SYSTEM_OFF || call_of(&context) == PSCI_SYSTEM_RESET)) {
        vmm->end = call_of(&context) == PSCI_SYSTEM_OFF ? VMM_POWERED_OFF : VMM_RESET;
        advance_vcpu_fault(vcpu); /* the runtime is done with it */
        seL4_TCB_Suspend(vm_get_vcpu_tcb(vcpu));
        seL4_Signal(vmm->end_event);
        return 0;
    }
    return vmm->env->on_exception != NULL ? vmm->env->on_exception(vcpu, syndrome, NULL) : -1;
}

/* The board's serial port: its registers are the guest's, its interrupt comes through the VMM. */
static int pass_uart_through(vmm_t *vmm)
{
    vm_t *vm = &vmm->vm;
    cspacepath_t handler;
    vm_memory_reservation_t *page =
        vm_reserve_memory_at(vm, UART, PAGE_BYTES, default_error_fault_callback, NULL);
    seL4_CPtr event = make_event(vmm, UART_EVENT);
    if (page == NULL || map_ut_alloc_reservation(vm, page) != 0 || event == seL4_CapNull ||
        vka_cspace_alloc_path(vm->vka, &handler) != 0 ||
        simple_get_IRQ_handler(vm->simple, UART_IRQ, handler) != seL4_NoError ||
        seL4_IRQHandler_SetNotification(handler.capPtr, event) != seL4_NoError) {
        return -1;
    }
    vmm->uart_irq = handler.capPtr;
    return 0;
}

static int emulate_uart(vmm_t *vmm)
{
    vmm->uart_raw = TRANSMIT;
    return vm_reserve_memory_at(&vmm->vm, UART, PAGE_BYTES, on_uart, vmm) != NULL ? 0 : -1;
}

/* Memory. */

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

static int make_pages(vmm_t *vmm)
{
    vm_t *vm = &vmm->vm;
    char *text = create_allocated_reservation_frame(vm, READ_ONLY, seL4_CanRead, ignore, NULL);
    void *device = create_device_reservation_frame(vm, DEVICE + PAGE_BYTES * vmm->guest->number,
                                                   seL4_CanRead, ignore, NULL);
    vmm->shared = create_allocated_reservation_frame(vm, SHARED, seL4_AllRights, ignore, NULL);
    return text != NULL && device != NULL && vmm->shared != NULL
               ? write_page(vm, text, "read this only")
               : -1;
}

/* The VM and its VCPU, as the runtime has them. */
static int make_vm(vmm_t *vmm)
{
    vm_t *vm = &vmm->vm;
    const vmm_env_t *env = vmm->env;
    if (vm_init(vm, env->vka, env->simple, *env->vspace, env->io_ops, env->endpoint, "linux") !=
            0 ||
        vm_create_default_irq_controller(vm) != 0) {
        return -1;
    }
    vm->entry = vmm->guest->ram + KERNEL; /* where the runtime loads the kernel */
    /* The guest starts with its caches off. */
    vm->mem.clean_cache = CLEANS_FIXED_RAM || !vmm->guest->one_to_one;
    vmm->vcpu = vm_create_vcpu(vm, PRIORITY);
    vmm->end_event = make_event(vmm, END_EVENT);
    return vmm->vcpu != NULL && vmm->end_event != seL4_CapNull &&
                   vm_assign_vcpu_target(vmm->vcpu, 0) == 0 &&
                   vm_register_irq(vmm->vcpu, UART_IRQ, on_interrupt_end, vmm) == 0 &&
                   vm_register_irq(vmm->vcpu, VIRTUAL_TIMER, on_interrupt_end, vmm) == 0 &&
                   vm_register_unhandled_vcpu_fault_callback(vmm->vcpu, on_vcpu_fault, vmm) == 0
               ? vm_register_notification_callback(vm, on_event, vmm)
               : -1;
}

int vmm_make(vmm_t *vmm, const vmm_env_t *env, const vmm_guest_t *guest)
{
    vmm->env = env;
    vmm->guest = guest;
    if (done(vmm, "VM", make_vm(vmm)) != 0) {
        return -1;
    }
    int error = guest->number == 0 ? pass_uart_through(vmm) : emulate_uart(vmm);
    return done(vmm, "devices", error != 0 ? -1 : make_pages(vmm));
}

static int back_ranges(vmm_t *vmm)
{
    vm_t *vm = &vmm->vm;
    uintptr_t same = SAME(vmm->guest->number), chosen = CHOSEN_AT(vmm->guest->number);
    const struct {
        uintptr_t addr;
        size_t size;
    } ranges[] = {{FRAMES, 0x12000}, {MAYBE_DEVICE, 0x10000}, {same, LARGE}, {CHOSEN, LARGE}};
    for (int i = 0; i < 4; i++) {
        vmm->ranges[i] = vm_reserve_memory_at(vm, ranges[i].addr, ranges[i].size,
                                              default_error_fault_callback, NULL);
        if (vmm->ranges[i] == NULL) {
            return -1;
        }
    }
    int error = map_frame_alloc_reservation(vm, vmm->ranges[0]); /* free memory */
    error |= map_maybe_device_reservation(vm, vmm->ranges[1]);   /* any memory, device memory too */
    error |= map_ut_alloc_reservation(vm, vmm->ranges[2]);       /* memory at the same address */
    error |= map_ut_alloc_reservation_with_base_paddr(vm, chosen, vmm->ranges[3]);
    return error != 0 ? -1 : write_page(vm, vmm->shared, "hello from the VMM");
}

int vmm_back(vmm_t *vmm)
{
    const vmm_guest_t *guest = vmm->guest;
    vmm->shared[REPLY] = '\0';                        /* of the last run */
    if (done(vmm, "ranges", back_ranges(vmm)) != 0) { /* first, as they want certain addresses */
        return -1;
    }
    return done(vmm, "RAM",
                vm_ram_register_at(&vmm->vm, guest->ram, guest->ram_size, guest->one_to_one));
}

/* The VCPU as the kernel makes it: what the last run has left may not be there for the next. */
static int reset_vcpu(vm_vcpu_t *vcpu)
{
    int error = vm_set_arm_vcpu_reg(vcpu, seL4_VCPUReg_SCTLR, 0); /* MMU and caches off */
    error |= vm_set_arm_vcpu_reg(vcpu, seL4_VCPUReg_CNTV_CTL, 0);
    return error;
}

/* @param entry  receives where the kernel begins */
static int load(vmm_t *vmm, uintptr_t *entry)
{
    vm_t *vm = &vmm->vm;
    const vmm_guest_t *guest = vmm->guest;
    guest_kernel_image_t kernel = {0};
    guest_image_t image;
    int error = vm_load_guest_kernel(vm, guest->kernel, guest->ram, 0, &kernel);
    *entry = kernel.kernel_image.load_paddr;
    if (done(vmm, "kernel", error) == 0) {
        error = done(vmm, "tree", vm_load_guest_module(vm, guest->tree, guest->ram, 0, &image));
    }
    if (error == 0 && guest->initrd != NULL) {
        error = done(vmm, "initrd",
                     vm_load_guest_module(vm, guest->initrd, guest->ram + INITRD, 0, &image));
    }
    return error;
}

int vmm_start(vmm_t *vmm)
{
    uintptr_t entry;
    vmm->end = VMM_RUNS;
    if (load(vmm, &entry) != 0) {
        return -1;
    }
    if (vmm->uart_irq != seL4_CapNull) {
        seL4_IRQHandler_Ack(vmm->uart_irq);
    }
    seL4_UserContext context = start_of(entry, vmm->guest->ram);
    return reset_vcpu(vmm->vcpu) == 0 && vm_set_thread_context(vmm->vcpu, context) == 0
               ? vcpu_start(vmm->vcpu)
               : -1;
}

vmm_end_t vmm_run(vmm_t *vmm)
{
    while (vmm->end == VMM_RUNS && vm_run(&vmm->vm) == 0) {
        /* libsel4vm returns with 0 after each interrupt of the virtual timer */
    }
    return vmm->end;
}

bool vmm_has_reply(const vmm_t *vmm)
{
    return strcmp(vmm->shared + REPLY, "the guest was here") == 0;
}
