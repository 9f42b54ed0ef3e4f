/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Invocations of objects: memory, threads, virtual processors, interrupts. */

#include "machine.h"
#include <string.h>

/* Mostly where there are tables, or are likely to be. */
static const seL4_Word addresses[] = {
    0x40000000, 0x40000000,   0x40001000,   0x40001000,
    0x40002000, 0x40003000,   0x40200000,   0x40200000,
    0x40201000, 0x40400000,   0x7fe00000,   0x80000000,
    0,          0x40000800,   0x40100000,   0x40201800,
    0x41000000, 0x8000000000, 0xfffffff000, 0x10000000000,
    ~0xffful,
};

static seL4_Word random_attributes(machine_t *machine)
{
    return machine_once_in(machine, 2) ? seL4_ARM_Default_VMAttributes : machine_below(machine, 8);
}

void step_page_map(machine_t *machine)
{
    seL4_CPtr frame = machine_service(machine, KIND_FRAME);
    seL4_CPtr space = machine_argument(machine, KIND_SPACE);
    seL4_Word address = MACHINE_CHOOSE(machine, addresses);
    seL4_Word rights = machine_below(machine, 16);
    seL4_ARM_VMAttributes attributes = (seL4_ARM_VMAttributes)random_attributes(machine);
    machine_write(machine, "Page_Map at=%lx rights=%lx attributes=%lx", (unsigned long)address,
                  (unsigned long)rights, (unsigned long)attributes);
    machine_write_cptr(machine, "frame", frame);
    machine_write_cptr(machine, "space", space);
    machine_write_error(machine, seL4_ARM_Page_Map(frame, space, address,
                                                   seL4_CapRights_new(rights >> 3, rights >> 2,
                                                                      rights >> 1, rights),
                                                   attributes));
}

typedef seL4_Error (*cache_fn)(seL4_CPtr service, seL4_Word start, seL4_Word end);

void step_page(machine_t *machine)
{
    static const cache_fn cache[] = {seL4_ARM_Page_Clean_Data, seL4_ARM_Page_Invalidate_Data,
                                     seL4_ARM_Page_CleanInvalidate_Data,
                                     seL4_ARM_Page_Unify_Instruction};
    static const seL4_Word offsets[] = {0, 0, 1, 64, 0xfff, 0x1000, 0x1000, 0x200000, 0x200001};
    seL4_CPtr frame = machine_service(machine, KIND_FRAME);
    if (machine_once_in(machine, 3)) {
        machine_write(machine, "Page_Unmap");
        machine_write_cptr(machine, "frame", frame);
        machine_write_error(machine, seL4_ARM_Page_Unmap(frame));
    } else if (machine_once_in(machine, 2)) {
        machine_write(machine, "Page_GetAddress");
        machine_write_cptr(machine, "frame", frame);
        seL4_ARM_Page_GetAddress_t result = seL4_ARM_Page_GetAddress(frame);
        if (machine_write_error(machine, (seL4_Error)result.error) == seL4_NoError &&
            machine_holds(machine, frame, KIND_FRAME)) {
            machine_write_address(machine, result.paddr);
        }
    } else {
        seL4_Word which = machine_below(machine, 4);
        seL4_Word start = MACHINE_CHOOSE(machine, offsets), end = MACHINE_CHOOSE(machine, offsets);
        machine_write(machine, "Page_Cache%lu %lx..%lx", (unsigned long)which, (unsigned long)start,
                      (unsigned long)end);
        machine_write_cptr(machine, "frame", frame);
        machine_write_error(machine, cache[which](frame, start, end));
    }
}

void step_page_table(machine_t *machine)
{
    seL4_CPtr table = machine_service(machine, KIND_PAGE_TABLE);
    if (machine_once_in(machine, 3)) {
        machine_write(machine, "PageTable_Unmap");
        machine_write_cptr(machine, "table", table);
        machine_write_error(machine, seL4_ARM_PageTable_Unmap(table));
        return;
    }
    seL4_CPtr space = machine_argument(machine, KIND_SPACE);
    seL4_Word address = MACHINE_CHOOSE(machine, addresses);
    machine_write(machine, "PageTable_Map at=%lx", (unsigned long)address);
    machine_write_cptr(machine, "table", table);
    machine_write_cptr(machine, "space", space);
    machine_write_error(
        machine, seL4_ARM_PageTable_Map(table, space, address, seL4_ARM_Default_VMAttributes));
}

void step_space_cache(machine_t *machine)
{
    static const cache_fn cache[] = {seL4_ARM_VSpace_Clean_Data, seL4_ARM_VSpace_Invalidate_Data,
                                     seL4_ARM_VSpace_CleanInvalidate_Data,
                                     seL4_ARM_VSpace_Unify_Instruction};
    static const seL4_Word lengths[] = {0, 1, 64, 0x1000, 0x1001, 0x200000, 0x200001, ~0ul};
    seL4_CPtr space = machine_service(machine, KIND_SPACE);
    seL4_Word which = machine_below(machine, 4);
    seL4_Word start = MACHINE_CHOOSE(machine, addresses);
    seL4_Word end = start + MACHINE_CHOOSE(machine, lengths);
    machine_write(machine, "VSpace_Cache%lu %lx..%lx", (unsigned long)which, (unsigned long)start,
                  (unsigned long)end);
    machine_write_cptr(machine, "space", space);
    machine_write_error(machine, cache[which](space, start, end));
}

void step_asid(machine_t *machine)
{
    if (machine_once_in(machine, 2)) {
        seL4_CPtr pool = machine_service(machine, KIND_POOL);
        seL4_CPtr space = machine_argument(machine, KIND_SPACE);
        machine_write(machine, "ASIDPool_Assign");
        machine_write_cptr(machine, "pool", pool);
        machine_write_cptr(machine, "space", space);
        machine_write_error(machine, seL4_ARM_ASIDPool_Assign(pool, space));
        return;
    }
    seL4_CPtr control = machine_service(machine, KIND_ASID_CONTROL);
    seL4_CPtr untyped = machine_argument(machine, KIND_UNTYPED);
    place_t dest = machine_destination(machine);
    machine_write(machine, "ASIDControl_MakePool");
    machine_write_cptr(machine, "control", control);
    machine_write_cptr(machine, "untyped", untyped);
    machine_write_place(machine, "to", &dest);
    if (machine_write_error(machine, seL4_ARM_ASIDControl_MakePool(control, untyped, dest.root,
                                                                   dest.index, dest.depth)) ==
        seL4_NoError) {
        machine_put(machine, control, &dest, KIND_POOL);
    }
}

static const seL4_Word buffers[] = {0, 0x1000, 0x40000c00, 0x40000400, 0x123, 0x200, ~0x3fful};

static seL4_Word random_guard(machine_t *machine)
{
    return machine_once_in(machine, 2)
               ? 0
               : seL4_CNode_CapData_new(0, machine_below(machine, 66)).words[0];
}

void step_tcb_configure(machine_t *machine)
{
    seL4_CPtr tcb = machine_service(machine, KIND_TCB);
    seL4_CPtr cnode = machine_argument(machine, KIND_CNODE);
    seL4_CPtr space = machine_argument(machine, KIND_SPACE);
    seL4_CPtr frame = machine_argument(machine, KIND_FRAME);
    seL4_Word guard = random_guard(machine);
    seL4_Word space_data = machine_once_in(machine, 4);
    seL4_Word buffer = MACHINE_CHOOSE(machine, buffers);
    if (machine_once_in(machine, 8)) {
        frame = machine_argument(machine, KIND_UNTYPED);
    }
    seL4_Error error;
    if (machine_once_in(machine, 3)) {
        machine_write(machine, "TCB_SetIPCBuffer");
        error = seL4_TCB_SetIPCBuffer(tcb, buffer, frame);
    } else if (machine_once_in(machine, 2)) {
        machine_write(machine, "TCB_SetSpace");
        error = seL4_TCB_SetSpace(tcb, 0, cnode, guard, space, space_data);
    } else {
        machine_write(machine, "TCB_Configure");
        error = seL4_TCB_Configure(tcb, 0, cnode, guard, space, space_data, buffer, frame);
    }
    machine_write_cptr(machine, "tcb", tcb);
    machine_write_cptr(machine, "cnode", cnode);
    machine_write_cptr(machine, "space", space);
    machine_write_cptr(machine, "frame", frame);
    machine_write(machine, " data=%lx,%lx buffer=%lx", (unsigned long)guard,
                  (unsigned long)space_data, (unsigned long)buffer);
    machine_write_error(machine, error);
}

void step_tcb_schedule(machine_t *machine)
{
    /* Never as urgent as the task that makes the invocations. */
    static const seL4_Word priorities[] = {0, 0, 1, 5, 100, 254, 256, 1000};
    seL4_CPtr tcb = machine_service(machine, KIND_TCB);
    seL4_CPtr authority =
        machine_once_in(machine, 2) ? seL4_CapInitThreadTCB : machine_argument(machine, KIND_TCB);
    seL4_Word max = MACHINE_CHOOSE(machine, priorities);
    seL4_Word priority = MACHINE_CHOOSE(machine, priorities);
    seL4_Word which = machine_below(machine, 3);
    machine_write(machine, "TCB_Schedule%lu %lu,%lu", (unsigned long)which, (unsigned long)max,
                  (unsigned long)priority);
    machine_write_cptr(machine, "tcb", tcb);
    machine_write_cptr(machine, "authority", authority);
    machine_write_error(machine, which == 0 ? seL4_TCB_SetPriority(tcb, authority, priority)
                                 : which == 1
                                     ? seL4_TCB_SetMCPriority(tcb, authority, max)
                                     : seL4_TCB_SetSchedParams(tcb, authority, max, priority));
}

enum { NUM_REGISTERS = sizeof(seL4_UserContext) / sizeof(seL4_Word) };

static void read_registers(machine_t *machine, seL4_CPtr tcb)
{
    static const seL4_Word counts[] = {NUM_REGISTERS, NUM_REGISTERS, 1, 3, 17, 18, 0, 37};
    seL4_UserContext context;
    seL4_Word words[NUM_REGISTERS], sum = 0;
    seL4_Word count = MACHINE_CHOOSE(machine, counts);
    machine_write(machine, "TCB_ReadRegisters count=%lu", (unsigned long)count);
    machine_write_cptr(machine, "tcb", tcb);
    seL4_Error error =
        seL4_TCB_ReadRegisters(tcb, (seL4_Bool)machine_once_in(machine, 4), 0, count, &context);
    if (machine_write_error(machine, error) != seL4_NoError ||
        !machine_holds(machine, tcb, KIND_TCB)) {
        return; /* a notification says NoError too */
    }
    memcpy(words, &context, sizeof(words));
    for (seL4_Word i = 0; i < count; i++) {
        sum = sum * 31 + words[i];
    }
    machine_write(machine, " sum=%lx", (unsigned long)sum);
    if (count > 2) {
        machine_write(machine, " spsr=%lx", (unsigned long)context.spsr);
    }
}

static void write_registers(machine_t *machine, seL4_CPtr tcb)
{
    static const seL4_Word counts[] = {NUM_REGISTERS, NUM_REGISTERS, 1, 3, 17, 18, 0, 37, 200};
    static const seL4_Word states[] = {0, 0x3c5, 0x3c4, 0x3c9, 0x1f, 0xf0000340, 0xa00003c5, ~0ul};
    seL4_UserContext context;
    seL4_Word words[NUM_REGISTERS] = {0};
    for (int i = 0; i < NUM_REGISTERS; i++) {
        words[i] = machine_below(machine, 1ul << 40);
    }
    memcpy(&context, words, sizeof(context));
    context.spsr = MACHINE_CHOOSE(machine, states);
    seL4_Word count = MACHINE_CHOOSE(machine, counts);
    seL4_Bool resume = (seL4_Bool)machine_once_in(machine, 4);
    machine_write(machine, "TCB_WriteRegisters count=%lu spsr=%lx resume=%d", (unsigned long)count,
                  (unsigned long)context.spsr, (int)resume);
    machine_write_cptr(machine, "tcb", tcb);
    machine_write_error(machine, seL4_TCB_WriteRegisters(tcb, resume, 0, count, &context));
}

void step_tcb_registers(machine_t *machine)
{
    seL4_CPtr tcb = machine_service(machine, KIND_TCB);
    if (machine_once_in(machine, 2)) {
        read_registers(machine, tcb);
    } else if (machine_once_in(machine, 2)) {
        write_registers(machine, tcb);
    } else {
        seL4_CPtr source = machine_argument(machine, KIND_TCB);
        unsigned flags = (unsigned)machine_below(machine, 16);
        machine_write(machine, "TCB_CopyRegisters flags=%x", flags);
        machine_write_cptr(machine, "tcb", tcb);
        machine_write_cptr(machine, "source", source);
        seL4_Bool on[4];
        for (unsigned i = 0; i < 4; i++) {
            on[i] = (seL4_Bool)(flags >> i & 1);
        }
        machine_write_error(machine,
                            seL4_TCB_CopyRegisters(tcb, source, on[0], on[1], on[2], on[3], 0));
    }
}

void step_tcb_other(machine_t *machine)
{
    seL4_CPtr tcb = machine_service(machine, KIND_TCB);
    seL4_CPtr notification = machine_argument(machine, KIND_NOTIFICATION);
    seL4_Word which = machine_below(machine, 6);
    seL4_Word set = machine_below(machine, 4), clear = machine_below(machine, 4);
    seL4_TCB_SetFlags_t flags = {0};
    seL4_Error error;
    switch (which) {
    case 0:
        error = seL4_TCB_Resume(tcb);
        break;
    case 1:
        error = seL4_TCB_Suspend(tcb);
        break;
    case 2:
        error = seL4_TCB_BindNotification(tcb, notification);
        break;
    case 3:
        error = seL4_TCB_UnbindNotification(tcb);
        break;
    case 4:
        error = seL4_TCB_SetTLSBase(tcb, set * 0x1000);
        break;
    default:
        flags = seL4_TCB_SetFlags(tcb, clear, set);
        error = (seL4_Error)flags.error;
        break;
    }
    machine_write(machine, "TCB_%lu clear=%lx set=%lx", (unsigned long)which, (unsigned long)clear,
                  (unsigned long)set);
    machine_write_cptr(machine, "tcb", tcb);
    machine_write_cptr(machine, "notification", notification);
    if (machine_write_error(machine, error) == seL4_NoError && which == 5 &&
        machine_holds(machine, tcb, KIND_TCB)) {
        machine_write(machine, " flags=%lx", (unsigned long)flags.flags);
    }
}

static void inject(machine_t *machine, seL4_CPtr vcpu)
{
    seL4_Uint16 irq = (seL4_Uint16)machine_below(machine, 1100);
    seL4_Uint8 priority = (seL4_Uint8)machine_below(machine, 34);
    seL4_Uint8 group = (seL4_Uint8)machine_below(machine, 3);
    seL4_Uint8 index = (seL4_Uint8)machine_below(machine, 6);
    machine_write(machine, "VCPU_InjectIRQ %u,%u,%u,%u", irq, priority, group, index);
    machine_write_cptr(machine, "vcpu", vcpu);
    machine_write_error(machine, seL4_ARM_VCPU_InjectIRQ(vcpu, irq, priority, group, index));
}

void step_vcpu(machine_t *machine)
{
    static const seL4_Word irqs[] = {27, 27, 0, 26, 30, 100, 159, 160, 1000, ~0ul};
    seL4_CPtr vcpu = machine_service(machine, KIND_VCPU);
    seL4_VCPUReg field = (seL4_VCPUReg)machine_below(machine, seL4_VCPUReg_Num + 1);
    seL4_Word value = machine_below(machine, 1ul << 32), irq = MACHINE_CHOOSE(machine, irqs);
    switch (machine_below(machine, 5)) {
    case 0:
        inject(machine, vcpu);
        break;
    case 1: {
        seL4_CPtr tcb = machine_argument(machine, KIND_TCB);
        machine_write(machine, "VCPU_SetTCB");
        machine_write_cptr(machine, "vcpu", vcpu);
        machine_write_cptr(machine, "tcb", tcb);
        machine_write_error(machine, seL4_ARM_VCPU_SetTCB(vcpu, tcb));
        break;
    }
    case 2:
        machine_write(machine, "VCPU_AckVPPI %lx", (unsigned long)irq);
        machine_write_cptr(machine, "vcpu", vcpu);
        machine_write_error(machine, seL4_ARM_VCPU_AckVPPI(vcpu, irq));
        break;
    case 3:
        machine_write(machine, "VCPU_WriteRegs %d=%lx", (int)field, (unsigned long)value);
        machine_write_cptr(machine, "vcpu", vcpu);
        machine_write_error(machine, seL4_ARM_VCPU_WriteRegs(vcpu, field, value));
        break;
    default: {
        seL4_ARM_VCPU_ReadRegs_t result = seL4_ARM_VCPU_ReadRegs(vcpu, field);
        machine_write(machine, "VCPU_ReadRegs %d", (int)field);
        machine_write_cptr(machine, "vcpu", vcpu);
        if (machine_write_error(machine, (seL4_Error)result.error) == seL4_NoError &&
            machine_holds(machine, vcpu, KIND_VCPU)) {
            machine_write(machine, " value=%lx", (unsigned long)result.value);
        }
        break;
    }
    }
}

static void get_handler(machine_t *machine)
{
    /* Lines without a device, one that the kernel keeps, and some that are not there. */
    static const seL4_Word irqs[] = {100, 101, 101, 102, 159, 27, 160, ~0ul};
    seL4_CPtr control = machine_service(machine, KIND_IRQ_CONTROL);
    seL4_Word irq = MACHINE_CHOOSE(machine, irqs);
    place_t dest = machine_destination(machine);
    bool trigger = irq >= 32 && machine_once_in(machine, 2);
    machine_write(machine, "IRQControl_Get%s %lx", trigger ? "Trigger" : "", (unsigned long)irq);
    machine_write_cptr(machine, "control", control);
    machine_write_place(machine, "to", &dest);
    seL4_Error error =
        trigger ? seL4_IRQControl_GetTrigger(control, irq, 1, dest.root, dest.index, dest.depth)
                : seL4_IRQControl_Get(control, irq, dest.root, dest.index, dest.depth);
    if (machine_write_error(machine, error) == seL4_NoError) {
        machine_put(machine, control, &dest, KIND_HANDLER);
    }
}

void step_irq(machine_t *machine)
{
    if (machine_once_in(machine, 2)) {
        get_handler(machine);
        return;
    }
    seL4_CPtr handler = machine_service(machine, KIND_HANDLER);
    seL4_CPtr notification = machine_argument(machine, KIND_NOTIFICATION);
    seL4_Word which = machine_below(machine, 4);
    machine_write(machine, "IRQHandler_%lu", (unsigned long)which);
    machine_write_cptr(machine, "handler", handler);
    machine_write_cptr(machine, "notification", notification);
    machine_write_error(machine, which == 0 ? seL4_IRQHandler_Ack(handler)
                                 : which == 1
                                     ? seL4_IRQHandler_Clear(handler)
                                     : seL4_IRQHandler_SetNotification(handler, notification));
}

void step_domain(machine_t *machine)
{
    static const seL4_Time durations[] = {0, 1000, 100000, 1ul << 56, ~0ul};
    seL4_CPtr control = machine_service(machine, KIND_DOMAIN);
    seL4_CPtr tcb = machine_argument(machine, KIND_TCB);
    seL4_Word which = machine_below(machine, 4), index = machine_below(machine, 4) / 2;
    seL4_Uint8 domain = (seL4_Uint8)(machine_below(machine, 4) / 3);
    seL4_Time duration = MACHINE_CHOOSE(machine, durations);
    machine_write(machine, "DomainSet_%lu domain=%u index=%lu duration=%lx", (unsigned long)which,
                  domain, (unsigned long)index, (unsigned long)duration);
    machine_write_cptr(machine, "control", control);
    machine_write_cptr(machine, "tcb", tcb);
    machine_write_error(
        machine, which == 0   ? seL4_DomainSet_ScheduleSetStart(control, index)
                 : which == 1 ? seL4_DomainSet_ScheduleConfigure(control, index, domain, duration)
                              : seL4_DomainSet_Set(control, domain, tcb));
}
