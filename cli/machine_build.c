/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the making of a VM's memory from the model: which of the library's calls each backing is,
 * and the error line when one refuses. Anonymous regions come first, then ranges with addresses,
 * then those that get an address from a region.
 */

#include "machine_internal.h"

#include "file.h"

#include <errno.h>
#include <guestmem/change.h>
#include <guestmem/error.h>
#include <guestmem/inspect.h>
#include <guestmem/memory.h>
#include <guestmem/policy.h>
#include <inttypes.h>
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>
#include <sel4vmmplatsupport/guest_memory_util.h>
#include <stdlib.h>
#include <string.h>

/** Whether a range wants physical memory at an address, and where. */
static bool wants_physical(const machine_host_t *host, const vm_range_t *range, uint64_t *first,
                           uint64_t *last)
{
    bool is_shared = range->backing == VM_BACKING_SHARED;
    const vm_shared_t *shared = is_shared ? &host->file->shared[range->shared] : NULL;

    *first = is_shared                                 ? shared->paddr
             : range->backing == VM_BACKING_UNTYPED_AT ? range->paddr
                                                       : range->base;
    *last = *first + (range->size - 1);
    return is_shared
               ? shared->has_paddr
               : range->backing == VM_BACKING_UNTYPED || range->backing == VM_BACKING_UNTYPED_AT ||
                     range->backing == VM_BACKING_DEVICE_FRAME ||
                     range->backing == VM_BACKING_RAM_UNTYPED;
}

/** A range of a VM before this one that wants some of the same physical memory, or NULL. */
static const vm_range_t *taken_by_other(const machine_t *machine, const vm_range_t *range)
{
    const machine_host_t *host = machine->host;
    uint64_t first;
    uint64_t last;

    if (!wants_physical(host, range, &first, &last)) {
        return NULL;
    }
    for (const machine_t *m = host->first; m != machine; m = m->next) {
        for (size_t i = 0; i < m->description->num_ranges; i++) {
            const vm_range_t *taken = &m->description->ranges[i];
            uint64_t taken_first;
            uint64_t taken_last;
            if (wants_physical(host, taken, &taken_first, &taken_last) && taken_first <= last &&
                first <= taken_last) {
                return taken;
            }
        }
    }
    return NULL;
}

/** What the kernel keeps of the physical memory that a range wants, or NULL. */
static const hosted_physical_range_t *kept_by_kernel(machine_t *machine, const vm_range_t *range)
{
    const hosted_physical_range_t *ranges;
    size_t count = hosted_physical_ranges(machine->system, &ranges);
    uint64_t first;
    uint64_t last;

    if (!wants_physical(machine->host, range, &first, &last)) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].kind == HOSTED_KERNEL && ranges[i].base <= last && first <= ranges[i].last) {
            return &ranges[i];
        }
    }
    return NULL;
}

static int library_error(machine_t *machine, const vm_range_t *range, cli_error_t *error)
{
    const hosted_physical_range_t *kept = kept_by_kernel(machine, range);
    const vm_range_t *taken = taken_by_other(machine, range);
    const guestmem_error_t *last = guestmem_last_error(machine->vm);
    const char *property = range->placed_by_library ? "guestmem,size" : "reg";

    if (last->code == GUESTMEM_NO_FRAME || last->code == GUESTMEM_NO_TABLE ||
        last->code == GUESTMEM_NO_SLOT || last->code == GUESTMEM_KERNEL) {
        property = "guestmem,backing";
    }
    if (range->backing == VM_BACKING_UNTYPED_AT &&
        (last->code == GUESTMEM_NO_FRAME || last->code == GUESTMEM_MISALIGNED)) {
        property = "guestmem,paddr";
    }
    if (last->code == GUESTMEM_NO_FRAME && kept != NULL) {
        return vm_range_error(machine->description, range, property, error,
                              "physical [0x%" PRIx64 ", 0x%" PRIx64
                              "] is not to be had, the kernel "
                              "keeps it (%s): leave it out, or emulate it",
                              (uint64_t)kept->base, (uint64_t)kept->last, kept->name);
    }
    if (last->code == GUESTMEM_NO_FRAME && taken != NULL) {
        return vm_range_error(machine->description, range, property, error,
                              "this physical memory is taken by %s: share it, or leave it out",
                              taken->path);
    }
    return vm_range_error(machine->description, range, property, error, "%s", last->message);
}

static seL4_CapRights_t rights_of(const vm_range_t *range)
{
    switch (range->rights) {
    case VM_RIGHTS_READ_ONLY:
        return seL4_CanRead;
    case VM_RIGHTS_NONE:
        return seL4_NoRights;
    default:
        return seL4_ReadWrite;
    }
}

/** The callback that handles a range's faults, and its cookie. */
static memory_fault_callback_fn callback_of(machine_range_t *made, void **cookie)
{
    if (made->device == NULL) {
        *cookie = NULL;
        return default_error_fault_callback;
    }
    *cookie = &made->window;
    return device_fault;
}

/** Reserve a range, at its address or wherever a region has room. */
static int reserve(machine_t *machine, vm_range_t *range, machine_range_t *made)
{
    void *cookie;
    memory_fault_callback_fn callback = callback_of(made, &cookie);
    uintptr_t base;

    if (!range->placed_by_library) {
        made->reservation =
            vm_reserve_memory_at(machine->vm, range->base, range->size, callback, cookie);
    } else {
        made->reservation =
            vm_reserve_anon_memory(machine->vm, range->size, 1, callback, cookie, &base);
        if (made->reservation != NULL) {
            range->base = base;
            made->window.base = base;
        }
    }
    return made->reservation != NULL ? 0 : -1;
}

static int map(machine_t *machine, const vm_range_t *range, vm_memory_reservation_t *reservation)
{
    switch (range->backing) {
    case VM_BACKING_FRAMES:
        return map_frame_alloc_reservation(machine->vm, reservation);
    case VM_BACKING_UNTYPED:
        return map_ut_alloc_reservation(machine->vm, reservation);
    case VM_BACKING_UNTYPED_AT:
        return map_ut_alloc_reservation_with_base_paddr(machine->vm, range->paddr, reservation);
    case VM_BACKING_MAYBE_DEVICE:
        return map_maybe_device_reservation(machine->vm, reservation);
    default:
        return 0; /* emulated: no frames */
    }
}

static int make_mapped(machine_t *machine, vm_range_t *range, machine_range_t *made)
{
    int result = reserve(machine, range, made);

    if (result == 0 && range->on_fault) {
        result = guestmem_set_map_time(machine->vm, GUESTMEM_MAP_ON_FAULT);
    }
    if (result == 0) {
        result = map(machine, range, made->reservation);
    }
    if (range->on_fault) {
        guestmem_set_map_time(machine->vm, GUESTMEM_MAP_NOW);
    }
    return result;
}

static int make_ram(machine_t *machine, vm_range_t *range, machine_range_t *made)
{
    if (range->placed_by_library) {
        uintptr_t base = vm_ram_register(machine->vm, range->size);
        if (base == 0) {
            return -1;
        }
        range->base = base;
    } else if (vm_ram_register_at(machine->vm, range->base, range->size,
                                  range->backing == VM_BACKING_RAM_UNTYPED) != 0) {
        return -1;
    }
    made->reservation = guestmem_find_reservation(machine->vm, range->base);
    return 0;
}

static int make_frame(machine_t *machine, const vm_range_t *range, machine_range_t *made)
{
    void *cookie;
    memory_fault_callback_fn callback = callback_of(made, &cookie);

    if (range->backing == VM_BACKING_ALLOCATED_FRAME) {
        made->frame = create_allocated_reservation_frame(machine->vm, range->base, rights_of(range),
                                                         callback, cookie);
    } else {
        made->frame = create_device_reservation_frame(machine->vm, range->base, rights_of(range),
                                                      callback, cookie);
    }
    if (made->frame == NULL) {
        return -1;
    }
    made->reservation = guestmem_find_reservation(machine->vm, range->base);
    return 0;
}

/** The largest frames that can be at all places of shared memory: where the VMs have it, and where
 * it is. */
static size_t shared_frame_bits(const machine_host_t *host, size_t index)
{
    const vm_shared_t *shared = &host->file->shared[index];
    uint64_t base = host->shared[index].base;
    uint64_t differences = shared->has_paddr ? base ^ shared->paddr : 0;

    for (size_t i = 0; i < host->file->num_vms; i++) {
        const vm_description_t *vm = host->file->vms[i];
        for (size_t j = 0; j < vm->num_ranges; j++) {
            const vm_range_t *range = &vm->ranges[j];
            differences |= range->backing == VM_BACKING_SHARED && range->shared == index
                               ? base ^ range->base
                               : 0;
        }
    }
    return differences % ((uint64_t)1 << seL4_LargePageBits) == 0 ? seL4_LargePageBits
                                                                  : seL4_PageBits;
}

/** Back shared memory, in the first VM that has it. */
static int back_shared(machine_t *machine, const vm_range_t *range, machine_range_t *made)
{
    machine_host_t *host = machine->host;
    const vm_shared_t *shared = &host->file->shared[range->shared];
    vm_t *vm = machine->vm;
    int result;

    host->shared[range->shared] = (machine_shared_t){vm, range->base};
    made->reservation =
        vm_reserve_memory_at(vm, range->base, range->size, default_error_fault_callback, NULL);
    if (made->reservation == NULL ||
        guestmem_set_reservation_largest_frame(vm, made->reservation,
                                               shared_frame_bits(host, range->shared)) != 0) {
        return -1;
    }
    result = shared->has_paddr
                 ? map_ut_alloc_reservation_with_base_paddr(vm, shared->paddr, made->reservation)
                 : map_frame_alloc_reservation(vm, made->reservation);
    return result == 0 && range->rights != VM_RIGHTS_READ_WRITE
               ? guestmem_protect(vm, range->base, range->size, rights_of(range))
               : result;
}

static int make_shared(machine_t *machine, const vm_range_t *range, machine_range_t *made)
{
    const machine_shared_t *shared = &machine->host->shared[range->shared];

    if (shared->vm == NULL) {
        return back_shared(machine, range, made);
    }
    made->reservation =
        guestmem_share(shared->vm, shared->base, range->size, machine->vm, range->base,
                       rights_of(range), default_error_fault_callback, NULL);
    return made->reservation != NULL ? 0 : -1;
}

static int make_range(machine_t *machine, vm_range_t *range, machine_range_t *made,
                      cli_error_t *error)
{
    int result;

    switch (range->backing) {
    case VM_BACKING_ANONYMOUS:
        result = vm_memory_make_anon(machine->vm, range->base, range->size);
        break;
    case VM_BACKING_RAM:
    case VM_BACKING_RAM_UNTYPED:
        result = make_ram(machine, range, made);
        break;
    case VM_BACKING_ALLOCATED_FRAME:
    case VM_BACKING_DEVICE_FRAME:
        result = make_frame(machine, range, made);
        break;
    case VM_BACKING_SHARED:
        result = make_shared(machine, range, made);
        break;
    default:
        result = made->device != NULL && made->device->class == &device_gic
                     ? machine_make_gic(machine, range, made)
                     : make_mapped(machine, range, made);
    }
    if (result == 0 && made->reservation != NULL) {
        result = guestmem_name_reservation(machine->vm, made->reservation, range->name);
    }
    return result == 0 ? 0 : library_error(machine, range, error);
}

static void console_output(void *cookie, const char *bytes, size_t size)
{
    machine_take_output(cookie, bytes, size);
}

static void device_note(void *cookie, const device_t *device, const device_access_t *access)
{
    machine_t *machine = cookie;
    const device_window_t *window = NULL;
    char line[160];

    for (size_t i = 0; i < machine->description->num_ranges; i++) {
        if (machine->ranges[i].device == device) {
            window = &machine->ranges[i].window;
        }
    }
    if (machine->options.note == NULL || window == NULL) {
        return;
    }
    if (access->is_write) {
        snprintf(line, sizeof(line), "%s: write of %u byte%s at 0x%lx: 0x%lx", device->name,
                 access->width, access->width == 1 ? "" : "s",
                 (unsigned long)(window->base + access->offset), (unsigned long)access->value);
    } else {
        snprintf(line, sizeof(line), "%s: read of %u byte%s at 0x%lx", device->name, access->width,
                 access->width == 1 ? "" : "s", (unsigned long)(window->base + access->offset));
    }
    machine->options.note(machine->options.cookie, line);
}

static void *device_memory(void *cookie, uint64_t gpa, uint64_t size)
{
    return guestmem_pointer(((machine_t *)cookie)->vm, gpa, size);
}

/** Say why a device stopped: the first times, and then each time that there were twice as many. */
static void device_refuse(void *cookie, const device_t *device, const char *why)
{
    enum { ALL_OF = 8 };
    machine_t *machine = cookie;
    unsigned count = 0;
    char line[160];

    for (size_t i = 0; i < machine->description->num_ranges; i++) {
        if (machine->ranges[i].device == device) {
            count = ++machine->ranges[i].refusals;
        }
    }
    if (machine->options.note != NULL && (count <= ALL_OF || (count & (count - 1)) == 0)) {
        snprintf(line, sizeof(line), "%s: stops until the guest resets it: %s", device->name, why);
        machine->options.note(machine->options.cookie, line);
    }
}

/** Open what a device works on. */
static int open_file(machine_t *machine, const vm_range_t *range, device_t *device,
                     cli_error_t *error)
{
    const vm_description_t *description = machine->description;
    const device_class_t *class = device->class;
    char *path;
    int reason;

    if (range->file == NULL) {
        return !class->needs_file
                   ? 0
                   : vm_range_error(description, range, "guestmem,file", error,
                                    "missing, but guestmem,device = \"%s\" needs it", class->name);
    }
    if (class->open == NULL) {
        return vm_range_error(description, range, "guestmem,file", error,
                              "has no effect with guestmem,device = \"%s\"", class->name);
    }
    path = file_relative_to(description->file, range->file);
    reason = path != NULL ? class->open(device, path, range->read_only) : ENOMEM;
    if (reason != 0) {
        vm_range_error(description, range, "guestmem,file", error, "%s: %s",
                       path != NULL ? path : range->file, strerror(reason));
    }
    free(path);
    return reason == 0 ? 0 : -1;
}

static int make_device(machine_t *machine, const vm_range_t *range, machine_range_t *made,
                       cli_error_t *error)
{
    const device_class_t *class = device_class_find(range->device);

    if (class == NULL) {
        return vm_range_error(machine->description, range, "guestmem,device", error,
                              "unknown device \"%s\"", range->device);
    }
    if (class == &device_gic && machine_check_gic(machine, range, error) != 0) {
        return -1;
    }
    made->device = device_create(class);
    if (made->device == NULL) {
        return vm_range_error(machine->description, range, "guestmem,device", error,
                              "out of memory");
    }
    made->device->name = range->name;
    made->device->host.cookie = machine;
    made->device->host.note = device_note;
    made->device->host.memory = device_memory;
    made->window = (device_window_t){.device = made->device, .base = range->base};
    made->device->host.refuse = device_refuse;
    return open_file(machine, range, made->device, error);
}

/** The first serial port is the console, or without one the first virtio console without a file. */
static void choose_console(machine_t *machine)
{
    const vm_description_t *description = machine->description;

    for (size_t i = 0; i < description->num_ranges; i++) {
        device_t *device = machine->ranges[i].device;
        if (device == NULL || device->class->send == NULL || description->ranges[i].file != NULL) {
            continue;
        }
        if (machine->console == NULL ||
            (machine->console->class != &device_pl011 && device->class == &device_pl011)) {
            machine->console = device;
        }
    }
    if (machine->console != NULL) {
        machine->console->host.output = console_output;
    }
}

/** The order in which ranges are made. */
static unsigned pass_of(const vm_range_t *range)
{
    return range->backing == VM_BACKING_ANONYMOUS ? 0 : range->placed_by_library ? 2 : 1;
}

int machine_build(machine_t *machine, cli_error_t *error)
{
    vm_description_t *description = machine->description;

    for (size_t i = 0; i < description->num_ranges; i++) {
        if (description->ranges[i].device != NULL &&
            make_device(machine, &description->ranges[i], &machine->ranges[i], error) != 0) {
            return -1;
        }
    }
    choose_console(machine);
    for (unsigned pass = 0; pass < 3; pass++) {
        for (size_t i = 0; i < description->num_ranges; i++) {
            vm_range_t *range = &description->ranges[i];
            if (pass_of(range) == pass &&
                make_range(machine, range, &machine->ranges[i], error) != 0) {
                return -1;
            }
        }
    }
    return machine_find_interrupts(machine, error);
}
