/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Guests that run while a thread of the process waits: an engine for each address space, and what
 * stops it as the fault message that the kernel would send. The syndromes are those of the Arm
 * architecture reference manual (ESR_EL2).
 */

#include <stdio.h>
#include <stdlib.h>
#include <hosted/processor.h>
#include <utils/zf_log.h>
#include "engine.h"
#include "gicv.h"

/* Exception classes and fields of a syndrome. */
enum {
    CLASS_WFI = 0x01,
    CLASS_SMC = 0x17,
    CLASS_FETCH = 0x20,
    CLASS_DATA = 0x24,
    WFI_CONDITION = 0x01e00000
};
#define LONG_INSTRUCTION (1u << 25)
#define VALID            (1u << 24)
#define TABLE_WALK       (1u << 7)
#define WRITE            (1u << 6)

typedef struct processor {
    hosted_system_t *system;
    engine_t *engine;
} processor_t;

static void mapped(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    engine_t *engine = ((processor_t *)cookie)->engine;
    hosted_stage2_mapping_t seen = *mapping;
    if (gicv_is(mapping)) {
        seen.read = seen.write = seen.execute = false; /* each access stops the engine */
    }
    engine->class->mapped(engine, &seen);
}

static void unmapped(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    engine_t *engine = ((processor_t *)cookie)->engine;
    engine->class->unmapped(engine, mapping);
}

static bool visit(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    mapped(cookie, mapping);
    return true;
}

static void *create(const void *engine, const hosted_guest_t *guest, char *error, size_t error_size)
{
    const engine_class_t *class = engine;
    processor_t *processor = malloc(sizeof(*processor));
    if (!processor) {
        snprintf(error, error_size, "the host is out of memory");
        return NULL;
    }
    processor->system = guest->system;
    processor->engine = class->create(error, error_size);
    if (!processor->engine) {
        free(processor);
        return NULL;
    }
    hosted_stage2_listener_t listener = {mapped, unmapped, processor};
    hosted_space_for_each(guest->system, guest->space, visit, processor);
    hosted_space_listen(guest->system, guest->space, &listener);
    return processor;
}

static void destroy(void *cookie)
{
    processor_t *processor = cookie;
    processor->engine->class->destroy(processor->engine);
    free(processor);
}

static void kick(void *cookie)
{
    engine_t *engine = ((processor_t *)cookie)->engine;
    engine->class->kick(engine);
}

/* The status of a fault: what is missing, and at which level of the tables of stage 2. */
static seL4_Word status(const hosted_guest_t *guest, const engine_fault_t *fault)
{
    enum { TRANSLATION = 0x04, PERMISSION = 0x0c };
    hosted_stage2_mapping_t mapping = {.size_bits = seL4_PageBits};
    bool found = hosted_space_translate(guest->system, guest->space, fault->address, &mapping);
    unsigned level = 3 - (mapping.size_bits - seL4_PageBits) / seL4_PageTableIndexBits;
    return (found ? PERMISSION : TRANSLATION) | level | (fault->table_walk ? TABLE_WALK : 0);
}

static seL4_Word syndrome(unsigned class, seL4_Word specific)
{
    return (seL4_Word) class << 26 | LONG_INSTRUCTION | specific;
}

/* What hardware says of a data abort: register and width, if the instruction has just these. */
static seL4_Word data_syndrome(const engine_fault_t *fault, seL4_Word iss)
{
    const a64_access_t *access = &fault->access;

    iss |= fault->write && !fault->table_walk ? WRITE : 0;
    if (fault->decoded && access->valid_syndrome && !fault->table_walk) {
        iss |= VALID | (seL4_Word)__builtin_ctz(access->width) << 22 |
               (seL4_Word)access->sign_extend << 21 | (seL4_Word)access->rt << 16 |
               (seL4_Word)access->sixty_four << 15;
    }
    return syndrome(CLASS_DATA, iss);
}

static void memory_fault(const hosted_guest_t *guest, const engine_exit_t *exit,
                         hosted_fault_t *fault)
{
    const engine_fault_t *access = &exit->fault;
    seL4_Word why = status(guest, access);
    fault->label = seL4_Fault_VMFault;
    fault->length = seL4_VMFault_Length;
    fault->words[seL4_VMFault_IP] = exit->pc;
    fault->words[seL4_VMFault_Addr] = access->address;
    fault->words[seL4_VMFault_PrefetchFault] = access->fetch;
    fault->words[seL4_VMFault_FSR] =
        access->fetch ? syndrome(CLASS_FETCH, why) : data_syndrome(access, why);
}

static void vcpu_fault(seL4_Word value, hosted_fault_t *fault)
{
    fault->label = seL4_Fault_VCPUFault;
    fault->length = seL4_VCPUFault_Length;
    fault->words[seL4_VCPUFault_HSR] = value;
}

/* The kernel takes HVC for a system call of its own, whose number is in x7. */
static void unknown_syscall(const seL4_UserContext *regs, hosted_fault_t *fault)
{
    fault->label = seL4_Fault_UnknownSyscall;
    fault->length = seL4_UnknownSyscall_Length;
    const seL4_Word words[seL4_UnknownSyscall_Length] = {
        regs->x0, regs->x1, regs->x2, regs->x3,     regs->x4,   regs->x5, regs->x6,
        regs->x7, regs->pc, regs->sp, regs->pc + 4, regs->spsr, regs->x7,
    };
    for (size_t i = 0; i < seL4_UnknownSyscall_Length; i++) {
        fault->words[i] = words[i];
    }
}

/* What no hypervisor sees on hardware, because the guest handles it, or what the engine cannot. */
static void exception(const seL4_UserContext *regs, const engine_exit_t *exit,
                      hosted_fault_t *fault)
{
    ZF_LOGE("a guest at pc %#lx cannot go on: %s", exit->pc,
            exit->reason == ENGINE_UNDEFINED ? "undefined instruction" : exit->text);
    fault->label = seL4_Fault_UserException;
    fault->length = seL4_UserException_Length;
    fault->words[seL4_UserException_FaultIP] = exit->pc;
    fault->words[seL4_UserException_SP] = regs->sp;
    fault->words[seL4_UserException_SPSR] = regs->spsr;
    fault->words[seL4_UserException_Code] = exit->reason;
}

static void maintenance(int list_register, hosted_fault_t *fault)
{
    if (list_register >= 0) {
        fault->label = seL4_Fault_VGICMaintenance;
        fault->length = seL4_VGICMaintenance_Length;
        fault->words[seL4_VGICMaintenance_IDX] = (seL4_Word)list_register;
    }
}

/* Make an access to the virtual CPU interface. @return false if it is none of that */
static bool cpu_interface_access(const hosted_guest_t *guest, const engine_exit_t *exit,
                                 hosted_fault_t *fault)
{
    const engine_fault_t *access = &exit->fault;
    uint32_t *state = guest->cpu_interface;
    gicv_t gicv = {guest->list_registers, state[0], state[1], state[2], state[3]};
    hosted_stage2_mapping_t mapping;

    if (!access->decoded || !access->access.valid_syndrome || !access->aligned ||
        !hosted_space_translate(guest->system, guest->space, access->address, &mapping) ||
        !gicv_is(&mapping) || !(access->write ? mapping.write : mapping.read)) {
        return false;
    }
    seL4_Word none = 0;
    seL4_Word *reg = engine_register(guest->registers, access->access.rt);
    uint64_t offset = access->address - mapping.gpa;
    if (access->write) {
        maintenance(gicv_write(&gicv, offset, (uint32_t)(reg ? *reg : 0)), fault);
    } else {
        *(reg ? reg : &none) = a64_extend(&access->access, gicv_read(&gicv, offset));
    }
    state[0] = gicv.control;
    state[1] = gicv.priority_mask;
    state[2] = gicv.binary_point;
    state[3] = gicv.active;
    guest->registers->pc += 4;
    return true;
}

static void run_engine(engine_t *engine, const hosted_guest_t *guest, engine_exit_t *exit)
{
    engine->class->set_system_registers(engine, guest->system_registers);
    if (engine->class->set_registers(engine, guest->registers) != 0) {
        *exit = (engine_exit_t){.reason = ENGINE_ERROR, .pc = guest->registers->pc};
        snprintf(exit->text, sizeof(exit->text), "no engine for processor state %#lx",
                 guest->registers->spsr);
        return;
    }
    bool incoherent = hosted_guest_enters(guest->system, guest->system_registers);
    engine->class->run(engine, exit);
    engine->class->get_system_registers(engine, guest->system_registers);
    if (incoherent) {
        hosted_guest_stops(guest->system);
    }
    engine->class->get_registers(engine, guest->registers);
}

static void run(void *cookie, const hosted_guest_t *guest, hosted_fault_t *fault)
{
    engine_exit_t exit;
    do {
        run_engine(((processor_t *)cookie)->engine, guest, &exit);
    } while (exit.reason == ENGINE_FAULT && cpu_interface_access(guest, &exit, fault) &&
             fault->label == seL4_Fault_NullFault);
    if (fault->label != seL4_Fault_NullFault) {
        return;
    }
    switch (exit.reason) {
    case ENGINE_KICKED:
        break;
    case ENGINE_FAULT:
        memory_fault(guest, &exit, fault);
        break;
    case ENGINE_HVC:
        unknown_syscall(guest->registers, fault);
        break;
    case ENGINE_SMC:
        vcpu_fault(syndrome(CLASS_SMC, exit.syndrome & 0xffff), fault);
        break;
    case ENGINE_WFI:
        vcpu_fault(syndrome(CLASS_WFI, WFI_CONDITION), fault);
        break;
    default:
        exception(guest->registers, &exit, fault);
        break;
    }
}

int hosted_system_run_guests(hosted_system_t *system, const char *engine)
{
    static const hosted_processor_t processor = {create, run, kick, destroy};
    const engine_class_t *class = engine_find(engine);

    if (!class) {
        return -1;
    }
    hosted_system_use_processor(system, &processor, class);
    return 0;
}
