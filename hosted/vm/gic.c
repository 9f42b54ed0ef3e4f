/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The guest's interrupt controller, a GICv2. The distributor is emulated here. The guest's CPU
 * interface is the virtual one of the board, whose page is mapped in its place; the kernel feeds it
 * by list registers.
 *
 * An interrupt that is pending is loaded into a list register as soon as it and the distributor are
 * enabled and a list register is free, the most urgent first. The guest takes it from there, and
 * when it has handled it, the kernel sends a maintenance fault with the number of the list register
 * (gic_maintenance()): the device's acknowledge function is called, and the next one is loaded.
 */

#include <guestmem/change.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_vcpu_fault.h>
#include <sel4vmmplatsupport/guest_memory_util.h>
#include <utils/util.h>
#include "trace.h"

#define NUM_SGIS           16
#define NUM_LOCAL          32 /* software-generated and private interrupts */
#define NUM_INTERRUPTS     1020
#define NUM_LIST_REGISTERS 4
#define NONE               (-1)

/* Fields of a list register, as the kernel has it. */
#define LIST_NUMBER 0x3ffull
#define LIST_HOLDS  0x30000000ull /* it is pending, or active */

/* Registers of the distributor that are not one field per interrupt. */
#define GICD_CTLR  0x000
#define GICD_TYPER 0x004
#define GICD_IIDR  0x008
#define GICD_SGIR  0xf00
#define GICD_ID    0xfd0

typedef struct line {
    irq_ack_fn_t ack;
    void *cookie;
    uint64_t count; /* times loaded */
    bool registered;
    bool enabled;
    bool pending;
    bool loaded; /* in a list register */
    uint8_t group;
    uint8_t priority; /* 0 is the most urgent */
    uint8_t targets;  /* CPUs, a bit each */
    uint8_t config;   /* bit 1: edge-triggered */
} line_t;

struct gic {
    struct gic *next; /* of all VMs */
    vm_t *vm;
    bool enabled;
    unsigned num_pending;
    line_t local[CONFIG_MAX_NUM_NODES][NUM_LOCAL];
    line_t shared[NUM_INTERRUPTS - NUM_LOCAL];
    int loaded[CONFIG_MAX_NUM_NODES][NUM_LIST_REGISTERS]; /* interrupt, or NONE */
};

static struct gic *all; /* the youngest first */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;

static struct gic *gic_of(const vm_t *vm)
{
    hosted_vm_t *runtime = runtime_of(vm);
    return runtime != NULL ? runtime->gic : NULL;
}

/* The interrupt as that VCPU sees it; NULL if there is none of that number. */
static line_t *find_line(vm_vcpu_t *vcpu, int irq)
{
    struct gic *gic = vcpu != NULL ? gic_of(vcpu->vm) : NULL;

    if (gic == NULL || irq < 0 || irq >= NUM_INTERRUPTS) {
        return NULL;
    }
    return irq < NUM_LOCAL ? &gic->local[vcpu->vcpu_id][irq] : &gic->shared[irq - NUM_LOCAL];
}

static uint8_t cpu_mask(const vm_vcpu_t *vcpu)
{
    int cpu = vcpu->target_cpu >= 0 ? vcpu->target_cpu : (int)vcpu->vcpu_id;
    return (uint8_t)(1u << cpu);
}

/* Whether that VCPU could be given the interrupt. One that targets no VCPU goes to the first. */
static bool waits_for(vm_vcpu_t *vcpu, int irq)
{
    const line_t *line = find_line(vcpu, irq);
    uint8_t present = 0;

    if (!line->pending || line->loaded || !line->enabled) {
        return false;
    }
    for (unsigned i = 0; i < vcpu->vm->num_vcpus; i++) {
        present |= cpu_mask(vcpu->vm->vcpus[i]);
    }
    return irq < NUM_LOCAL || (line->targets & present & cpu_mask(vcpu)) != 0 ||
           ((line->targets & present) == 0 && vcpu->vcpu_id == 0);
}

static void change_pending(vm_t *vm, line_t *line, bool pending)
{
    struct gic *gic = gic_of(vm);

    gic->num_pending += pending;
    gic->num_pending -= line->pending;
    line->pending = pending;
}

static int most_urgent(vm_vcpu_t *vcpu)
{
    unsigned left = gic_of(vcpu->vm)->num_pending;
    int best = NONE;

    for (int irq = 0; irq < NUM_INTERRUPTS && left > 0; irq++) {
        left -= find_line(vcpu, irq)->pending;
        if (waits_for(vcpu, irq) &&
            (best == NONE || find_line(vcpu, irq)->priority < find_line(vcpu, best)->priority)) {
            best = irq;
        }
    }
    return best;
}

/* Load what waits into free list registers of that VCPU. */
static void deliver(vm_vcpu_t *vcpu)
{
    struct gic *gic = gic_of(vcpu->vm);
    int *loaded = gic->loaded[vcpu->vcpu_id];

    for (uint8_t i = 0; gic->enabled && gic->num_pending > 0 && i < NUM_LIST_REGISTERS; i++) {
        if (loaded[i] != NONE) {
            continue;
        }
        int irq = most_urgent(vcpu);
        if (irq == NONE) {
            return;
        }
        line_t *line = find_line(vcpu, irq);
        seL4_Error error =
            seL4_ARM_VCPU_InjectIRQ(vcpu->vcpu.cptr, (seL4_Uint16)irq, line->priority >> 3, 0, i);
        if (error != seL4_NoError) {
            ZF_LOGE("VM %s: the kernel refuses interrupt %d in list register %u: error %d",
                    vcpu->vm->vm_name, irq, i, error);
            return;
        }
        change_pending(vcpu->vm, line, false);
        line->loaded = true;
        line->count++;
        loaded[i] = irq;
        if (traces(runtime_of(vcpu->vm), HOSTED_EVENT_IRQ)) {
            trace_irq(vcpu->vm, irq, false);
        }
    }
}

static void deliver_all(vm_t *vm)
{
    for (unsigned i = 0; i < vm->num_vcpus; i++) {
        deliver(vm->vcpus[i]);
    }
}

int gic_maintenance(vm_vcpu_t *vcpu, seL4_Word list_register)
{
    struct gic *gic = gic_of(vcpu->vm);
    int *loaded = gic != NULL ? gic->loaded[vcpu->vcpu_id] : NULL;

    if (loaded == NULL || list_register >= NUM_LIST_REGISTERS || loaded[list_register] == NONE) {
        ZF_LOGE("VM %s: maintenance of list register %lu, which holds no interrupt",
                vcpu->vm->vm_name, list_register);
        return -1;
    }
    int irq = loaded[list_register];
    line_t *line = find_line(vcpu, irq);
    loaded[list_register] = NONE;
    line->loaded = false;
    if (traces(runtime_of(vcpu->vm), HOSTED_EVENT_IRQ)) {
        trace_irq(vcpu->vm, irq, true);
    }
    if (line->ack != NULL) {
        line->ack(vcpu, irq, line->cookie);
    }
    deliver(vcpu);
    return 0;
}

/* The fields of an interrupt. Each is read and written by the registers of `blocks` below. */

static uint8_t get_group(vm_vcpu_t *vcpu, int irq)
{
    return find_line(vcpu, irq)->group;
}

static void set_group(vm_vcpu_t *vcpu, int irq, uint8_t value)
{
    find_line(vcpu, irq)->group = value;
}

static uint8_t get_enabled(vm_vcpu_t *vcpu, int irq)
{
    return find_line(vcpu, irq)->enabled;
}

/* A device may wait for its acknowledgement since before its interrupt was enabled. */
static void set_enabled(vm_vcpu_t *vcpu, int irq, uint8_t value)
{
    line_t *line = find_line(vcpu, irq);

    if (value == 0 || line->enabled) {
        return;
    }
    line->enabled = true;
    if (line->ack != NULL && !line->pending && !line->loaded) {
        line->ack(vcpu, irq, line->cookie);
    }
}

static void clear_enabled(vm_vcpu_t *vcpu, int irq, uint8_t value)
{
    if (value != 0 && irq >= NUM_SGIS) {
        find_line(vcpu, irq)->enabled = false;
    }
}

static uint8_t get_pending(vm_vcpu_t *vcpu, int irq)
{
    return find_line(vcpu, irq)->pending;
}

static void set_pending(vm_vcpu_t *vcpu, int irq, uint8_t value)
{
    if (value != 0) {
        change_pending(vcpu->vm, find_line(vcpu, irq), true);
    }
}

static void clear_pending(vm_vcpu_t *vcpu, int irq, uint8_t value)
{
    if (value != 0) {
        change_pending(vcpu->vm, find_line(vcpu, irq), false);
    }
}

static uint8_t get_priority(vm_vcpu_t *vcpu, int irq)
{
    return find_line(vcpu, irq)->priority;
}

static void set_priority(vm_vcpu_t *vcpu, int irq, uint8_t value)
{
    find_line(vcpu, irq)->priority = value & 0xf8;
}

static uint8_t get_targets(vm_vcpu_t *vcpu, int irq)
{
    return irq < NUM_LOCAL ? cpu_mask(vcpu) : find_line(vcpu, irq)->targets;
}

static void set_targets(vm_vcpu_t *vcpu, int irq, uint8_t value)
{
    find_line(vcpu, irq)->targets = value;
}

static uint8_t get_config(vm_vcpu_t *vcpu, int irq)
{
    return find_line(vcpu, irq)->config;
}

static void set_config(vm_vcpu_t *vcpu, int irq, uint8_t value)
{
    if (irq >= NUM_SGIS) {
        find_line(vcpu, irq)->config = value & 2;
    }
}

/* Registers with a field of so many bits for each interrupt from 0 on. */
static const struct block {
    uint16_t base;
    uint16_t end;
    uint8_t bits;
    uint8_t (*get)(vm_vcpu_t *vcpu, int irq);
    void (*set)(vm_vcpu_t *vcpu, int irq, uint8_t value);
} blocks[] = {
    {0x080, 0x100, 1, get_group, set_group},       {0x100, 0x180, 1, get_enabled, set_enabled},
    {0x180, 0x200, 1, get_enabled, clear_enabled}, {0x200, 0x280, 1, get_pending, set_pending},
    {0x280, 0x300, 1, get_pending, clear_pending}, {0x400, 0x800, 8, get_priority, set_priority},
    {0x800, 0xc00, 8, get_targets, set_targets},   {0xc00, 0xd00, 2, get_config, set_config},
    {0xf10, 0xf20, 8, get_pending, clear_pending}, {0xf20, 0xf30, 8, get_pending, set_pending},
};

static const struct block *find_block(size_t offset)
{
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
        if (offset >= blocks[i].base && offset < blocks[i].end) {
            return &blocks[i];
        }
    }
    return NULL;
}

/* A software-generated interrupt for the VCPUs that the value names. */
static void generate(vm_vcpu_t *vcpu, seL4_Word value)
{
    enum { LISTED, OTHERS, SELF };
    seL4_Word filter = value >> 24 & 3;

    for (unsigned i = 0; i < vcpu->vm->num_vcpus; i++) {
        vm_vcpu_t *target = vcpu->vm->vcpus[i];
        if ((filter == LISTED && (value >> 16 & cpu_mask(target)) != 0) ||
            (filter == OTHERS && target != vcpu) || (filter == SELF && target == vcpu)) {
            set_pending(target, (int)(value & (NUM_SGIS - 1)), 1);
        }
    }
}

static seL4_Word read_register(vm_vcpu_t *vcpu, size_t offset, size_t size)
{
    /* Peripheral and component identification of a GICv2, from GICD_ID on. */
    static const uint8_t identification[] = {4, 0, 0, 0, 0x90, 0xb4, 0x2b, 0, 0xd, 0xf0, 5, 0xb1};
    const struct block *block = find_block(offset);
    seL4_Word value = 0;

    if (block != NULL) {
        size_t first = (offset - block->base) * 8 / block->bits;
        for (size_t i = 0; i < size * 8 / block->bits && first + i < NUM_INTERRUPTS; i++) {
            value |= (seL4_Word)block->get(vcpu, (int)(first + i)) << (i * block->bits);
        }
        return value;
    }
    switch (offset) {
    case GICD_CTLR:
        return gic_of(vcpu->vm)->enabled;
    case GICD_TYPER:
        return (seL4_Word)(vcpu->vm->num_vcpus - 1) << 5 | NUM_INTERRUPTS / 32;
    case GICD_IIDR:
        return 0x43b; /* implemented by Arm */
    default:
        return offset >= GICD_ID ? identification[(offset - GICD_ID) / 4] : 0;
    }
}

static void write_register(vm_vcpu_t *vcpu, size_t offset, size_t size, seL4_Word value)
{
    const struct block *block = find_block(offset);

    if (block != NULL) {
        size_t first = (offset - block->base) * 8 / block->bits;
        for (size_t i = 0; i < size * 8 / block->bits && first + i < NUM_INTERRUPTS; i++) {
            uint8_t field = (uint8_t)(value >> (i * block->bits) & MASK(block->bits));
            block->set(vcpu, (int)(first + i), field);
        }
    } else if (offset == GICD_CTLR) {
        gic_of(vcpu->vm)->enabled = value & 1;
    } else if (offset == GICD_SGIR) {
        generate(vcpu, value);
    }
    deliver_all(vcpu->vm);
}

static memory_fault_result_t distributor_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t fault_addr,
                                               size_t fault_length, void *cookie)
{
    size_t offset = fault_addr - HOSTED_GIC_DISTRIBUTOR;

    (void)vm, (void)cookie;
    if (fault_length != 1 && fault_length != 4) {
        return FAULT_ERROR; /* the architecture has bytes and words */
    }
    if (is_vcpu_read_fault(vcpu)) {
        seL4_Word value = read_register(vcpu, offset, fault_length);
        set_vcpu_fault_data(vcpu, value << (fault_addr & 3) * 8);
    } else {
        write_register(vcpu, offset, fault_length, get_vcpu_fault_data(vcpu));
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

static struct gic *make_gic(vm_t *vm)
{
    void *memory = NULL;

    if (ps_calloc(&vm->io_ops->malloc_ops, 1, sizeof(struct gic), &memory) != 0) {
        return NULL;
    }
    struct gic *gic = memory;
    gic->vm = vm;
    memset(gic->loaded, NONE, sizeof(gic->loaded));
    for (int cpu = 0; cpu < CONFIG_MAX_NUM_NODES; cpu++) {
        for (int irq = 0; irq < NUM_SGIS; irq++) {
            gic->local[cpu][irq].enabled = true;
            gic->local[cpu][irq].config = 2;
        }
    }
    for (int i = 0; i < NUM_INTERRUPTS - NUM_LOCAL; i++) {
        gic->shared[i].targets = 1;
    }
    return gic;
}

static void add_gic(struct gic *gic)
{
    pthread_mutex_lock(&all_lock);
    gic->next = all;
    all = gic;
    pthread_mutex_unlock(&all_lock);
}

/* A VM of the system that has a controller, or NULL. */
static vm_t *find_other(const hosted_system_t *system)
{
    vm_t *found = NULL;

    pthread_mutex_lock(&all_lock);
    for (const struct gic *gic = all; gic != NULL && found == NULL; gic = gic->next) {
        found = runtime_of(gic->vm)->system == system ? gic->vm : NULL;
    }
    pthread_mutex_unlock(&all_lock);
    return found;
}

/* What the guest makes of an interrupt, and of the controller; bytes that are all there are. */
typedef struct line_state {
    uint64_t count;
    uint8_t enabled, pending, group, priority, targets, config;
    uint8_t unused[2];
} line_state_t;

typedef struct gic_state {
    uint32_t enabled;
    int32_t loaded[CONFIG_MAX_NUM_NODES][NUM_LIST_REGISTERS];
    uint32_t unused;
    line_state_t local[CONFIG_MAX_NUM_NODES][NUM_LOCAL];
    line_state_t shared[NUM_INTERRUPTS - NUM_LOCAL];
} gic_state_t;

static line_state_t line_state(const line_t *line)
{
    return (line_state_t){
        .count = line->count,
        .enabled = line->enabled,
        .pending = line->pending,
        .group = line->group,
        .priority = line->priority,
        .targets = line->targets,
        .config = line->config,
    };
}

/* Which list register it is in, the caller knows. Who waits for it stays. */
static void set_line_state(struct gic *gic, line_t *line, const line_state_t *state)
{
    line->count = state->count;
    line->enabled = state->enabled != 0;
    line->pending = state->pending != 0;
    line->loaded = false;
    line->group = state->group & 1;
    line->priority = state->priority & 0xf8;
    line->targets = state->targets;
    line->config = state->config & 2;
    gic->num_pending += line->pending;
}

size_t gic_state_size(const vm_t *vm)
{
    return gic_of(vm) != NULL ? sizeof(gic_state_t) : 0;
}

void gic_save(const vm_t *vm, void *bytes)
{
    const struct gic *gic = gic_of(vm);
    gic_state_t *state = bytes;

    if (gic == NULL) {
        return;
    }
    memset(state, 0, sizeof(*state));
    state->enabled = gic->enabled;
    for (int cpu = 0; cpu < CONFIG_MAX_NUM_NODES; cpu++) {
        for (int i = 0; i < NUM_LIST_REGISTERS; i++) {
            state->loaded[cpu][i] = gic->loaded[cpu][i];
        }
        for (int irq = 0; irq < NUM_LOCAL; irq++) {
            state->local[cpu][irq] = line_state(&gic->local[cpu][irq]);
        }
    }
    for (int i = 0; i < NUM_INTERRUPTS - NUM_LOCAL; i++) {
        state->shared[i] = line_state(&gic->shared[i]);
    }
}

bool gic_state_is_sound(const vm_vcpu_t *vcpu, const void *bytes, const uint64_t *list_registers)
{
    const gic_state_t *state = bytes;

    for (unsigned cpu = 0; gic_of(vcpu->vm) != NULL && cpu < CONFIG_MAX_NUM_NODES; cpu++) {
        for (int i = 0; i < NUM_LIST_REGISTERS; i++) {
            const int loaded = state->loaded[cpu][i];
            const uint64_t entry = list_registers[i];
            const int held = entry & LIST_HOLDS ? (int)(entry & LIST_NUMBER) : NONE;
            if (loaded < NONE || loaded >= NUM_INTERRUPTS ||
                (cpu == vcpu->vcpu_id && loaded != held)) {
                return false;
            }
        }
    }
    return true;
}

void gic_restore(const vm_t *vm, const void *bytes)
{
    struct gic *gic = gic_of(vm);
    const gic_state_t *state = bytes;

    if (gic == NULL) {
        return;
    }
    gic->enabled = state->enabled != 0;
    gic->num_pending = 0;
    for (int i = 0; i < NUM_INTERRUPTS - NUM_LOCAL; i++) {
        set_line_state(gic, &gic->shared[i], &state->shared[i]);
    }
    for (int cpu = 0; cpu < CONFIG_MAX_NUM_NODES; cpu++) {
        for (int irq = 0; irq < NUM_LOCAL; irq++) {
            set_line_state(gic, &gic->local[cpu][irq], &state->local[cpu][irq]);
        }
        for (int i = 0; i < NUM_LIST_REGISTERS; i++) {
            int irq = gic->loaded[cpu][i] = state->loaded[cpu][i];
            if (irq != NONE) {
                (irq < NUM_LOCAL ? &gic->local[cpu][irq] : &gic->shared[irq - NUM_LOCAL])->loaded =
                    true;
            }
        }
    }
}

void gic_destroy(vm_t *vm)
{
    hosted_vm_t *runtime = runtime_of(vm);

    if (runtime->gic != NULL) {
        pthread_mutex_lock(&all_lock);
        for (struct gic **gic = &all; *gic != NULL; gic = &(*gic)->next) {
            if (*gic == runtime->gic) {
                *gic = runtime->gic->next;
                break;
            }
        }
        pthread_mutex_unlock(&all_lock);
        ps_free(&vm->io_ops->malloc_ops, sizeof(*runtime->gic), runtime->gic);
        runtime->gic = NULL;
    }
}

/* Give the guest the page that the board has for guests' CPU interfaces. It is one for all VMs of a
 * system: a second one shares the first one's. */
static vm_memory_reservation_t *map_interface(vm_t *vm, const hosted_system_t *system)
{
    vm_t *other = find_other(system);
    vm_memory_reservation_t *interface;

    if (other != NULL) {
        return guestmem_share(other, HOSTED_GIC_CPU_INTERFACE, PAGE_SIZE_4K, vm,
                              HOSTED_GIC_CPU_INTERFACE, seL4_AllRights,
                              default_error_fault_callback, NULL);
    }
    interface = vm_reserve_memory_at(vm, HOSTED_GIC_CPU_INTERFACE, PAGE_SIZE_4K,
                                     default_error_fault_callback, NULL);
    if (interface != NULL &&
        map_ut_alloc_reservation_with_base_paddr(vm, VIRTUAL_CPU_INTERFACE, interface) != 0) {
        vm_free_reserved_memory(vm, interface);
        return NULL;
    }
    return interface;
}

int vm_create_default_irq_controller(vm_t *vm)
{
    hosted_vm_t *runtime = runtime_of(vm);
    vm_memory_reservation_t *distributor;
    vm_memory_reservation_t *interface;

    if (runtime == NULL || runtime->gic != NULL) {
        ZF_LOGE("vm_create_default_irq_controller: %s",
                runtime == NULL ? "the VM is not initialised" : "the VM has one");
        return -1;
    }
    distributor =
        vm_reserve_memory_at(vm, HOSTED_GIC_DISTRIBUTOR, PAGE_SIZE_4K, distributor_fault, NULL);
    interface = map_interface(vm, runtime->system);
    runtime->gic = make_gic(vm);
    if (distributor != NULL && interface != NULL && runtime->gic != NULL) {
        add_gic(runtime->gic);
        return 0;
    }
    gic_destroy(vm);
    if (interface != NULL) {
        vm_free_reserved_memory(vm, interface);
    }
    if (distributor != NULL) {
        vm_free_reserved_memory(vm, distributor);
    }
    return -1;
}

int vm_register_irq(vm_vcpu_t *vcpu, int irq, irq_ack_fn_t ack_fn, void *cookie)
{
    line_t *line = find_line(vcpu, irq);

    if (line == NULL) {
        ZF_LOGE("vm_register_irq: no interrupt %d, or the VM has no controller", irq);
        return -1;
    }
    if (line->registered) {
        return irq < NUM_LOCAL ? -1 : 0; /* shared between devices */
    }
    line->registered = true;
    line->ack = ack_fn;
    line->cookie = cookie;
    return 0;
}

int vm_set_irq_level(vm_vcpu_t *vcpu, int irq, int irq_level)
{
    line_t *line = find_line(vcpu, irq);

    if (line == NULL || !line->registered) {
        return -1;
    }
    change_pending(vcpu->vm, line, irq_level != 0);
    deliver_all(vcpu->vm);
    return 0;
}

int vm_inject_irq(vm_vcpu_t *vcpu, int irq)
{
    return vm_set_irq_level(vcpu, irq, 1);
}

uint64_t hosted_vm_interrupt_count(const vm_t *vm, int irq)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < vm->num_vcpus; i++) {
        const line_t *line = find_line(vm->vcpus[i], irq);
        count = line == NULL ? 0 : irq < NUM_LOCAL ? count + line->count : line->count;
    }
    return count;
}
