/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See processor.h. */

#include "processor.h"
#include <stdio.h>
#include <stdlib.h>

enum { ZERO_REGISTER = 31, INSTRUCTION_BYTES = 4 };

/* Syndromes: class, and the instruction's length, which is always 32 bits. */
#define SYNDROME(class) ((uint64_t)(class) << 26 | 1ul << 25)
enum { CLASS_UNKNOWN = 0, CLASS_WAIT = 1, CLASS_SMC = 0x17, CLASS_FETCH = 0x20, CLASS_DATA = 0x24 };
enum { STAGE_1_WALK = 1 << 7, WRITE = 1 << 6, ALWAYS = 0x01e00000 };

seL4_Word *processor_register(seL4_UserContext *regs, unsigned number)
{
    seL4_Word *const registers[] = {
        &regs->x0,  &regs->x1,  &regs->x2,  &regs->x3,  &regs->x4,  &regs->x5,  &regs->x6,
        &regs->x7,  &regs->x8,  &regs->x9,  &regs->x10, &regs->x11, &regs->x12, &regs->x13,
        &regs->x14, &regs->x15, &regs->x16, &regs->x17, &regs->x18, &regs->x19, &regs->x20,
        &regs->x21, &regs->x22, &regs->x23, &regs->x24, &regs->x25, &regs->x26, &regs->x27,
        &regs->x28, &regs->x29, &regs->x30,
    };
    return number < ZERO_REGISTER ? registers[number] : NULL;
}

/*
 * An instruction can be completed by its syndrome, or as if it had one: a load or store that writes
 * its base register back has none on hardware, but what it does is as plain.
 */
bool processor_can_complete(const engine_fault_t *fault)
{
    bool understood = fault->access.valid_syndrome ||
                      (fault->access.kind == A64_WRITE_BACK && fault->access.base < ZERO_REGISTER);
    return fault->decoded && understood && !fault->fetch && !fault->table_walk && fault->aligned &&
           !fault->crosses_page;
}

uint64_t processor_stored(const engine_fault_t *fault, seL4_UserContext *registers)
{
    const seL4_Word *source = processor_register(registers, fault->access.rt);
    return source != NULL ? *source : 0;
}

void processor_complete(const engine_fault_t *fault, seL4_UserContext *registers, uint64_t data)
{
    const a64_access_t *access = &fault->access;
    seL4_Word *target = processor_register(registers, access->rt);

    if (access->kind == A64_WRITE_BACK) {
        *processor_register(registers, access->base) += (seL4_Word)access->base_change;
    }
    if (!access->store && target != NULL) {
        *target = a64_extend(access, data);
    }
}

processor_t *processor_create(const engine_class_t *class, char *error, size_t error_size)
{
    class = class != NULL ? class : engine_find(NULL);
    if (class == NULL) {
        snprintf(error, error_size, "this build has no engine (see GUESTMEM_UNICORN)");
        return NULL;
    }
    processor_t *processor = calloc(1, sizeof(*processor));
    if (processor == NULL) {
        snprintf(error, error_size, "no memory for a processor");
        return NULL;
    }
    processor->engine = class->create(error, error_size);
    if (processor->engine == NULL) {
        free(processor);
        return NULL;
    }
    return processor;
}

/* As on a kernel that was not configured otherwise, WFI is trapped. */
static void *create(const void *engine, char *error, size_t error_size)
{
    processor_t *processor = processor_create(engine, error, error_size);
    if (processor != NULL) {
        processor->traps_waits = true;
    }
    return processor;
}

static void destroy(void *cookie)
{
    processor_t *processor = cookie;
    processor->engine->class->destroy(processor->engine);
    free(processor);
}

static void mapped(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    engine_t *engine = ((processor_t *)cookie)->engine;
    engine->class->mapped(engine, mapping);
}

static void unmapped(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    engine_t *engine = ((processor_t *)cookie)->engine;
    engine->class->unmapped(engine, mapping);
}

static void unify(void *cookie, uint64_t gpa, uint64_t size)
{
    engine_t *engine = ((processor_t *)cookie)->engine;
    engine->class->unify(engine, gpa, size);
}

static void kick(void *cookie)
{
    engine_t *engine = ((processor_t *)cookie)->engine;
    engine->class->kick(engine);
}

static void fetch(void *cookie, seL4_Word registers[seL4_VCPUReg_Num])
{
    engine_t *engine = ((processor_t *)cookie)->engine;
    engine->class->get_system_registers(engine, registers);
}

static void complete(void *cookie, seL4_UserContext *registers, uint64_t data)
{
    processor_complete(&((processor_t *)cookie)->exit.fault, registers, data);
    registers->pc += INSTRUCTION_BYTES;
}

/* The syndrome of a data abort, to which the kernel's side adds what is missing in stage 2; width
 * and register only where hardware gives them. */
static uint64_t data_syndrome(const engine_fault_t *fault)
{
    const a64_access_t *access = &fault->access;
    uint64_t syndrome =
        SYNDROME(CLASS_DATA) | (fault->write ? WRITE : 0) | (fault->table_walk ? STAGE_1_WALK : 0);
    if (fault->decoded && access->valid_syndrome && !fault->table_walk) {
        syndrome |= 1ul << 24 | (uint64_t)__builtin_ctz(access->width) << 22 |
                    (uint64_t)access->sign_extend << 21 | (uint64_t)access->rt << 16 |
                    (uint64_t)access->sixty_four << 15;
    }
    return syndrome;
}

static void memory_fault(const engine_exit_t *exit, hosted_run_t *run)
{
    const engine_fault_t *fault = &exit->fault;
    uint64_t syndrome = fault->fetch
                            ? SYNDROME(CLASS_FETCH) | (fault->table_walk ? STAGE_1_WALK : 0)
                            : data_syndrome(fault);
    run->fault = (hosted_fault_t){
        .label = seL4_Fault_VMFault,
        .length = seL4_VMFault_Length,
        .words = {exit->pc, fault->address, fault->fetch, syndrome},
    };
    run->access = (hosted_access_t){
        .possible = processor_can_complete(fault),
        .gpa = fault->address,
        .width = fault->decoded ? fault->access.width : 0,
        .write = fault->write,
    };
    if (run->access.possible && fault->write) {
        run->access.data = processor_stored(fault, run->registers);
        if (fault->access.width < 8) {
            run->access.data &= ((uint64_t)1 << (fault->access.width * 8)) - 1;
        }
    }
}

/* The kernel takes HVC for a system call, whose number is in x7; none of its own is made here. */
static void hypercall(const seL4_UserContext *regs, hosted_fault_t *fault)
{
    *fault = (hosted_fault_t){
        .label = seL4_Fault_UnknownSyscall,
        .length = seL4_UnknownSyscall_Length,
        .words = {regs->x0, regs->x1, regs->x2, regs->x3, regs->x4, regs->x5, regs->x6, regs->x7,
                  regs->pc, regs->sp, regs->pc + 4, regs->spsr, regs->x7},
    };
}

static void trap(uint64_t syndrome, hosted_fault_t *fault)
{
    *fault = (hosted_fault_t){
        .label = seL4_Fault_VCPUFault, .length = seL4_VCPUFault_Length, .words = {syndrome}};
}

static void report(const processor_t *processor, hosted_run_t *run)
{
    const engine_exit_t *exit = &processor->exit;
    const seL4_UserContext *regs = run->registers;
    run->stop = HOSTED_STOP_FAULT;
    switch (exit->reason) {
    case ENGINE_KICKED:
    case ENGINE_DEBUG: /* the run loop sees that before it goes on */
        run->stop = HOSTED_STOP_KICKED;
        break;
    case ENGINE_FAULT:
        memory_fault(exit, run);
        break;
    case ENGINE_HVC:
        hypercall(regs, &run->fault);
        break;
    case ENGINE_SMC:
        trap(SYNDROME(CLASS_SMC) | (exit->syndrome & 0xffff), &run->fault);
        break;
    case ENGINE_UNDEFINED:
        run->fault =
            (hosted_fault_t){.label = seL4_Fault_UserException,
                             .length = seL4_UserException_Length,
                             .words = {exit->pc, regs->sp, regs->spsr, SYNDROME(CLASS_UNKNOWN), 0}};
        break;
    case ENGINE_WFI:
        run->stop = processor->traps_waits ? HOSTED_STOP_FAULT : HOSTED_STOP_IDLE;
        trap(SYNDROME(CLASS_WAIT) | ALWAYS, &run->fault);
        break;
    default:
        run->stop = HOSTED_STOP_FAILED;
        /* The report of vm_run() has it. */
        run->text = exit->reason == ENGINE_BUDGET || !processor->traps_waits ? NULL : exit->text;
        break;
    }
}

static void run(void *cookie, hosted_run_t *run)
{
    processor_t *processor = cookie;
    engine_t *engine = processor->engine;

    engine->class->set_system_registers(engine, run->vcpu_registers);
    if (engine->class->set_registers(engine, run->registers) != 0) {
        processor->exit = (engine_exit_t){.reason = ENGINE_ERROR, .pc = run->registers->pc};
        snprintf(processor->exit.text, sizeof(processor->exit.text),
                 "engine %s cannot start in the mode of processor state 0x%lx", engine->class->name,
                 (unsigned long)run->registers->spsr);
    } else {
        engine->class->set_interrupts(engine, run->interrupt, run->timer_masked);
        engine->class->run(engine, &processor->exit);
        engine->class->get_registers(engine, run->registers);
    }
    processor->stops++;
    run->timer = processor->exit.timer;
    run->rest = processor->exit.rest;
    report(processor, run);
}

static const hosted_processor_class_t processors = {create, destroy, mapped, unmapped, run,
                                                    unify,  kick,    fetch,  complete};

int hosted_system_run_guests(hosted_system_t *system, const char *engine)
{
    const engine_class_t *class = engine_find(engine);

    if (class == NULL) {
        return -1;
    }
    hosted_system_use_processors(system, &processors, class);
    return 0;
}

int processor_attach(processor_t *processor, hosted_system_t *system, seL4_CPtr vcpu)
{
    if (hosted_vcpu_attach(system, vcpu, &processors, processor) != 0) {
        destroy(processor);
        return -1;
    }
    return 0;
}
