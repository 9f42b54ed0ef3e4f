/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the machine's interrupts: the controller that a description asks for, and the lines from
 * devices to it. A node's first `interrupts` entry counts, and only if its interrupt parent is that
 * controller. A level-triggered interrupt that the guest has ended comes again while a device of
 * that number has its line high.
 */

#include "machine_internal.h"

#include <guestmem/inspect.h>
#include <hosted/vm.h>
#include <libfdt.h>
#include <sel4vm/guest_irq_controller.h>

enum {
    PAGE_SIZE = 0x1000,
    VIRTUAL_TIMER = 27,
    SPECIFIER = 3, /* cells: kind, number, flags */
    KIND_PRIVATE = 1,
    FIRST_PRIVATE = 16,
    FIRST_SHARED = 32,
    NUM_INTERRUPTS = 1020,
    EDGES = 3, /* of the flags */
};

int machine_check_gic(machine_t *machine, const vm_range_t *range, cli_error_t *error)
{
    static const uint64_t bases[] = {HOSTED_GIC_DISTRIBUTOR, HOSTED_GIC_CPU_INTERFACE};
    const vm_description_t *description = machine->description;
    bool followed =
        range + 1 < description->ranges + description->num_ranges && range[1].node == range->node;

    if (range->backing != VM_BACKING_EMULATED || range->placed_by_library || range->entry > 1 ||
        followed != (range->entry == 0) || range->base != bases[range->entry] ||
        range->size < PAGE_SIZE || range->size % PAGE_SIZE != 0) {
        return vm_range_error(description, range, "guestmem,device", error,
                              "\"gic\" is two emulated ranges in whole pages: the distributor at "
                              "0x%lx and the CPU interface at 0x%lx",
                              HOSTED_GIC_DISTRIBUTOR, HOSTED_GIC_CPU_INTERFACE);
    }
    return 0;
}

int machine_make_gic(machine_t *machine, const vm_range_t *range, machine_range_t *made)
{
    vm_memory_reservation_t *rest;

    if (range->entry == 0 && vm_create_default_irq_controller(machine->vm) != 0) {
        return -1;
    }
    made->reservation = guestmem_find_reservation(machine->vm, range->base);
    if (range->size == PAGE_SIZE) {
        return 0;
    }
    rest = vm_reserve_memory_at(machine->vm, range->base + PAGE_SIZE, range->size - PAGE_SIZE,
                                device_fault, &made->window);
    return rest != NULL ? guestmem_name_reservation(machine->vm, rest, range->name) : -1;
}

/** The node that gets a node's interrupts; negative if there is none. */
static int interrupt_parent(const void *dtb, int node)
{
    for (int at = node; at >= 0; at = fdt_parent_offset(dtb, at)) {
        int length;
        const fdt32_t *phandle = fdt_getprop(dtb, at, "interrupt-parent", &length);
        if (phandle != NULL && length == sizeof(*phandle)) {
            return fdt_node_offset_by_phandle(dtb, fdt32_to_cpu(*phandle));
        }
        if (at != node && fdt_getprop(dtb, at, "interrupt-controller", NULL) != NULL) {
            return at;
        }
    }
    return -1;
}

static int find_interrupt(machine_t *machine, const vm_range_t *range, machine_range_t *made,
                          cli_error_t *error)
{
    int length;
    const fdt32_t *cells =
        fdt_getprop(machine->description->dtb, range->node, "interrupts", &length);
    uint32_t kind;
    uint32_t number;
    uint32_t count;

    if (cells == NULL) {
        return 0;
    }
    kind = length >= (int)(SPECIFIER * sizeof(*cells)) ? fdt32_to_cpu(cells[0]) : UINT32_MAX;
    number = kind <= KIND_PRIVATE ? fdt32_to_cpu(cells[1]) : UINT32_MAX;
    count = kind == KIND_PRIVATE ? FIRST_SHARED - FIRST_PRIVATE : NUM_INTERRUPTS - FIRST_SHARED;
    if (number >= count || (kind == KIND_PRIVATE && number == VIRTUAL_TIMER - FIRST_PRIVATE)) {
        return vm_range_error(machine->description, range, "interrupts", error,
                              "must be <0 N FLAGS>, N from 0 to 987, or <1 N FLAGS>, N from 0 to "
                              "15 but not 11, the virtual timer");
    }
    made->irq = (int)number + (kind == KIND_PRIVATE ? FIRST_PRIVATE : FIRST_SHARED);
    made->edge = (fdt32_to_cpu(cells[2]) & EDGES) != 0;
    return 0;
}

/** Whether a device of that interrupt, which is signalled by its level, wants it. */
static bool level_of(const machine_t *machine, int irq)
{
    for (size_t i = 0; i < machine->description->num_ranges; i++) {
        const machine_range_t *made = &machine->ranges[i];
        if (made->irq == irq && !made->edge && made->high) {
            return true;
        }
    }
    return false;
}

static void on_line(void *cookie, const device_t *device, bool high)
{
    machine_t *machine = cookie;

    for (size_t i = 0; i < machine->description->num_ranges; i++) {
        machine_range_t *made = &machine->ranges[i];
        if (made->device != device) {
            continue;
        }
        made->high = high;
        if (made->irq != 0 && machine->vcpu != NULL && (high || !made->edge)) {
            vm_set_irq_level(machine->vcpu, made->irq, high || level_of(machine, made->irq));
        }
    }
}

int machine_find_interrupts(machine_t *machine, cli_error_t *error)
{
    const vm_description_t *description = machine->description;

    for (size_t i = 0; i < description->num_ranges; i++) {
        if (machine->ranges[i].device != NULL && machine->ranges[i].device->class == &device_gic) {
            machine->gic = &description->ranges[i];
        }
    }
    for (size_t i = 0; machine->gic != NULL && i < description->num_ranges; i++) {
        const vm_range_t *range = &description->ranges[i];
        machine_range_t *made = &machine->ranges[i];
        if (made->device == NULL || range->node == machine->gic->node ||
            interrupt_parent(description->dtb, range->node) != machine->gic->node) {
            continue;
        }
        if (find_interrupt(machine, range, made, error) != 0) {
            return -1;
        }
        made->device->host.interrupt = on_line;
    }
    return 0;
}

/** The guest has ended a device's interrupt, or let it in. */
static void on_end(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    if (level_of(cookie, irq)) {
        vm_inject_irq(vcpu, irq);
    }
}

static void on_timer_end(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    (void)cookie;
    seL4_ARM_VCPU_AckVPPI(vcpu->vcpu.cptr, (seL4_Word)irq);
}

int machine_start_interrupts(machine_t *machine)
{
    if (machine->gic == NULL) {
        return 0;
    }
    if (vm_register_irq(machine->vcpu, VIRTUAL_TIMER, on_timer_end, NULL) != 0) {
        return -1;
    }
    for (size_t i = 0; i < machine->description->num_ranges; i++) {
        const machine_range_t *made = &machine->ranges[i];
        if (made->irq != 0) {
            vm_register_irq(machine->vcpu, made->irq, on_end, machine);
            if (made->high) {
                vm_inject_irq(machine->vcpu, made->irq);
            }
        }
    }
    return 0;
}

const char *machine_interrupt_name(const machine_t *machine, int irq)
{
    for (size_t i = 0; i < machine->description->num_ranges; i++) {
        if (irq != 0 && machine->ranges[i].irq == irq) {
            return machine->description->ranges[i].name;
        }
    }
    return irq == VIRTUAL_TIMER ? "virtual timer" : "";
}
