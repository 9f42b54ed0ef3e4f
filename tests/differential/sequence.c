/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* A sequence: the state that it starts from, and its steps. */

#include "machine.h"
#include <vka/object.h>

static const seL4_Word memory_bits[] = DIFFERENTIAL_MEMORY_BITS;

int differential_start(differential_env_t *env, vka_t *vka, seL4_CPtr end_slot,
                       uintptr_t device_paddr, void (*print)(const char *line))
{
    env->print = print;
    env->first_slot = end_slot - DIFFERENTIAL_SLOTS;
    for (int i = 0; i < DIFFERENTIAL_MEMORIES; i++) {
        vka_object_t memory;
        int error =
            i < DIFFERENTIAL_MEMORIES - 1
                ? vka_alloc_untyped(vka, (uint32_t)memory_bits[i], &memory)
                : vka_alloc_untyped_at(vka, (uint32_t)memory_bits[i], device_paddr, &memory);
        if (error) {
            return error;
        }
        env->memory[i] = memory.cptr;
        seL4_Untyped_Retype(env->memory[i], seL4_ARM_SmallPageObject, 0, seL4_CapInitThreadCNode, 0,
                            0, env->first_slot, 1);
        env->base[i] = seL4_ARM_Page_GetAddress(env->first_slot).paddr;
        seL4_CNode_Delete(seL4_CapInitThreadCNode, env->first_slot, seL4_WordBits);
    }
    return 0;
}

/* An empty world but for untypeds in the first slots. */
static void reset(machine_t *machine)
{
    const differential_env_t *env = machine->env;
    for (int i = 0; i < DIFFERENTIAL_SLOTS; i++) {
        seL4_CNode_Delete(seL4_CapInitThreadCNode, machine_cptr(machine, i), seL4_WordBits);
    }
    for (int i = 0; i < DIFFERENTIAL_MEMORIES; i++) {
        seL4_CNode_Revoke(seL4_CapInitThreadCNode, env->memory[i], seL4_WordBits);
    }
    seL4_DomainSet_ScheduleConfigure(seL4_CapDomain, 0, 0, 1000);
    for (int i = 0; i < DIFFERENTIAL_MEMORIES; i++) {
        seL4_Untyped_Retype(env->memory[i], seL4_UntypedObject, memory_bits[i],
                            seL4_CapInitThreadCNode, 0, 0, machine_cptr(machine, i), 1);
        machine->kinds[i] = KIND_UNTYPED;
    }
}

/* What a furnished sequence has in its slots after the untypeds. */
enum { CNODE = DIFFERENTIAL_MEMORIES, SPACE = CNODE + 3, TABLES, FRAMES = TABLES + 3 };

static const struct {
    uint8_t untyped;
    seL4_Word type, bits;
} furniture[] = {
    {1, seL4_CapTableObject, 3},      {1, seL4_CapTableObject, 2},
    {1, seL4_CapTableObject, 2},      {1, seL4_ARM_VSpaceObject, 0},
    {1, seL4_ARM_PageTableObject, 0}, {1, seL4_ARM_PageTableObject, 0},
    {1, seL4_ARM_PageTableObject, 0}, {1, seL4_ARM_SmallPageObject, 0},
    {1, seL4_ARM_SmallPageObject, 0}, {0, seL4_ARM_LargePageObject, 0},
    {1, seL4_TCBObject, 0},           {1, seL4_TCBObject, 0},
    {1, seL4_ARM_VCPUObject, 0},      {1, seL4_EndpointObject, 0},
    {1, seL4_NotificationObject, 0},  {2, seL4_UntypedObject, 12},
    {1, seL4_UntypedObject, 12},
};

/* Some of everything, so that fewer steps are refused for want of an object; mostly an address
   space in which pages can be mapped. */
static void furnish(machine_t *machine)
{
    for (size_t i = 0; i < sizeof(furniture) / sizeof(furniture[0]); i++) {
        if (!machine_once_in(machine, 10)) {
            step_retype_as(machine, furniture[i].untyped, furniture[i].type, furniture[i].bits,
                           DIFFERENTIAL_MEMORIES + (int)i);
            machine_end_line(machine);
        }
    }
    if (machine_once_in(machine, 6)) {
        return;
    }
    seL4_CPtr space = machine_cptr(machine, SPACE);
    machine_write(machine, "furnish");
    machine_write_error(machine, seL4_ARM_ASIDPool_Assign(seL4_CapInitThreadASIDPool, space));
    for (int i = 0; i < 2; i++) {
        machine_write_error(machine,
                            seL4_ARM_PageTable_Map(machine_cptr(machine, TABLES + i), space,
                                                   0x40000000, seL4_ARM_Default_VMAttributes));
        machine_write_error(machine,
                            seL4_ARM_Page_Map(machine_cptr(machine, FRAMES + i), space,
                                              0x40000000 + 0x1000ul * (seL4_Word)i, seL4_AllRights,
                                              seL4_ARM_Default_VMAttributes));
    }
    machine_end_line(machine);
}

/* A sequence is mostly about one thing, so that its steps meet each other's results. */
typedef enum theme { CAPABILITIES, MEMORY, THREADS, SIGNALS, NUM_THEMES } theme_t;

static const struct {
    void (*step)(machine_t *machine);
    unsigned weight;
    theme_t theme;
} steps[] = {
    {step_retype, 12, CAPABILITIES}, {step_copy, 16, CAPABILITIES},
    {step_move, 10, CAPABILITIES},   {step_nest, 8, CAPABILITIES},
    {step_rotate, 4, CAPABILITIES},  {step_delete, 10, CAPABILITIES},
    {step_revoke, 4, CAPABILITIES},  {step_other_cnode, 2, CAPABILITIES},
    {step_page_map, 14, MEMORY},     {step_page, 10, MEMORY},
    {step_page_table, 8, MEMORY},    {step_space_cache, 5, MEMORY},
    {step_asid, 8, MEMORY},          {step_tcb_configure, 10, THREADS},
    {step_tcb_schedule, 4, THREADS}, {step_tcb_registers, 12, THREADS},
    {step_tcb_other, 8, THREADS},    {step_vcpu, 10, THREADS},
    {step_irq, 10, SIGNALS},         {step_domain, 3, SIGNALS},
    {step_badge, 24, SIGNALS},
};

static unsigned weight(size_t i, theme_t theme)
{
    return steps[i].weight * (steps[i].theme == theme ? 4 : 1);
}

static void step(machine_t *machine, theme_t theme)
{
    unsigned total = 0;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        total += weight(i, theme);
    }
    uint64_t at = machine_below(machine, total);
    size_t i = 0;
    while (at >= weight(i, theme)) {
        at -= weight(i++, theme);
    }
    steps[i].step(machine);
}

uint64_t differential_run(const differential_env_t *env, uint64_t seed,
                          differential_output_t output)
{
    machine_t machine = {.env = env,
                         .output = output,
                         .random = seed * 0xd1342543de82ef95ul,
                         .hash = 0xcbf29ce484222325};
    reset(&machine);
    theme_t theme = (theme_t)machine_below(&machine, NUM_THEMES);
    machine.favourite = (kind_t)machine_below(&machine, NUM_KINDS);
    if (!machine_once_in(&machine, 8)) {
        furnish(&machine);
    }
    for (int i = 0; i < DIFFERENTIAL_STEPS; i++) {
        machine_write(&machine, "%d ", i);
        step(&machine, theme);
        if (i % 20 == 19) {
            machine_write_slots(&machine);
        }
        machine_end_line(&machine);
    }
    return machine.hash;
}
