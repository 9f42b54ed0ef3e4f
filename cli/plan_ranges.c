/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the planning of a description's ranges: what machine_build.c and machine_load.c would ask of
 * the library, asked of its plan instead.
 */

#include "plan_internal.h"

#include "device/device.h"
#include "file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/** Say what is wrong in the words of the library. */
static int plan_error(planner_t *planner, const vm_range_t *range, cli_error_t *error)
{
    guestmem_plan_problem_t problem = guestmem_plan_problem(planner->ranges);
    const char *property = range->placed_by_library ? "guestmem,size" : "reg";
    bool by_address =
        range->backing == VM_BACKING_UNTYPED_AT || range->backing == VM_BACKING_UNTYPED ||
        range->backing == VM_BACKING_RAM_UNTYPED || range->backing == VM_BACKING_DEVICE_FRAME;

    switch (problem.code) {
    case GUESTMEM_NO_FRAME:
    case GUESTMEM_NO_TABLE:
        property = range->backing == VM_BACKING_UNTYPED_AT ? "guestmem,paddr" : "guestmem,backing";
        if (problem.code == GUESTMEM_NO_FRAME && by_address) {
            return vm_range_error(planner->description, range, property, error,
                                  "no free untyped memory for GPA 0x%" PRIxPTR
                                  "; the board has none there, or it is in use",
                                  problem.base);
        }
        return vm_range_error(planner->description, range, property, error,
                              "the board's memory is used up at GPA 0x%" PRIxPTR
                              "; make the VM smaller, or choose a board with more",
                              problem.base);
    case GUESTMEM_OVERLAP:
        return vm_range_error(planner->description, range, property, error,
                              "overlaps the range [0x%" PRIxPTR ", 0x%" PRIxPTR "]", problem.base,
                              problem.last);
    case GUESTMEM_PAGE_SHARED:
        return vm_range_error(planner->description, range, property, error,
                              "shares a page with the range [0x%" PRIxPTR ", 0x%" PRIxPTR
                              "], and one of them is mapped",
                              problem.base, problem.last);
    case GUESTMEM_NO_ADDRESS:
        return vm_range_error(planner->description, range, property, error,
                              "no anonymous region has room for it");
    case GUESTMEM_MISALIGNED:
        return vm_range_error(planner->description, range, "guestmem,paddr", error,
                              "the physical address and the range differ modulo 4 KiB");
    default:
        return vm_range_error(planner->description, range, property, error, "%s",
                              guestmem_error_name(problem.code));
    }
}

static guestmem_backing_t backing_of(const vm_range_t *range)
{
    switch (range->backing) {
    case VM_BACKING_RAM:
    case VM_BACKING_MAYBE_DEVICE:
        return GUESTMEM_MAYBE_DEVICE;
    case VM_BACKING_FRAMES:
    case VM_BACKING_ALLOCATED_FRAME:
        return GUESTMEM_FREE_FRAMES;
    case VM_BACKING_RAM_UNTYPED:
    case VM_BACKING_UNTYPED:
    case VM_BACKING_UNTYPED_AT:
    case VM_BACKING_DEVICE_FRAME:
        return GUESTMEM_UNTYPED;
    default:
        return GUESTMEM_EMULATED;
    }
}

static guestmem_plan_range_t request_of(const vm_range_t *range)
{
    return (guestmem_plan_range_t){
        .base = range->base,
        .size = range->size,
        .backing = backing_of(range),
        .ram = range->backing == VM_BACKING_RAM || range->backing == VM_BACKING_RAM_UNTYPED,
        .anonymous = range->placed_by_library,
        .on_fault = range->on_fault,
        .named = range->name[0] != '\0',
        .paddr = range->backing == VM_BACKING_UNTYPED_AT ? range->paddr : range->base,
    };
}

static int plan_range(planner_t *planner, vm_range_t *range, cli_error_t *error)
{
    guestmem_plan_range_t request = request_of(range);

    if (range->backing == VM_BACKING_ANONYMOUS) {
        return guestmem_plan_region(planner->ranges, range->base, range->size) == 0
                   ? 0
                   : plan_error(planner, range, error);
    }
    if (range->device != NULL && device_class_find(range->device) == NULL) {
        return vm_range_error(planner->description, range, "guestmem,device", error,
                              "unknown device \"%s\"", range->device);
    }
    if (guestmem_plan_range(planner->ranges, &request) != 0) {
        return plan_error(planner, range, error);
    }
    range->base = request.base;
    if ((range->backing == VM_BACKING_ALLOCATED_FRAME ||
         range->backing == VM_BACKING_DEVICE_FRAME) &&
        guestmem_plan_window(planner->ranges, range->base) != 0) {
        return plan_error(planner, range, error);
    }
    return 0;
}

/** The order in which ranges are made. */
static unsigned pass_of(const vm_range_t *range)
{
    return range->backing == VM_BACKING_ANONYMOUS ? 0 : range->placed_by_library ? 2 : 1;
}

int plan_ranges(planner_t *planner, cli_error_t *error)
{
    vm_description_t *description = planner->description;

    for (unsigned pass = 0; pass < 3; pass++) {
        for (size_t i = 0; i < description->num_ranges; i++) {
            vm_range_t *range = &description->ranges[i];
            if (pass_of(range) == pass && plan_range(planner, range, error) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

/** The bytes of the file that a range names. @return 0; -1 with an error */
static int loaded_size(planner_t *planner, const vm_range_t *range, size_t *size,
                       cli_error_t *error)
{
    char *path = file_relative_to(planner->description->file, range->load);
    cli_error_t reason = {0};
    void *bytes = path != NULL ? file_read(path, size, &reason) : NULL;

    free(path);
    free(bytes);
    if (bytes == NULL) {
        return vm_range_error(planner->description, range, "guestmem,load", error, "%s",
                              reason.line[0] != '\0' ? reason.line : "out of memory");
    }
    return 0;
}

int plan_loads(planner_t *planner, cli_error_t *error)
{
    for (size_t i = 0; i < planner->description->num_ranges; i++) {
        const vm_range_t *range = &planner->description->ranges[i];
        size_t size = 0;
        if (range->load != NULL && loaded_size(planner, range, &size, error) != 0) {
            return -1;
        }
        if ((size > 0 || range->tree != NULL) &&
            guestmem_plan_window(planner->ranges, range->base) != 0) {
            return plan_error(planner, range, error);
        }
    }
    return 0;
}

int plan_on_fault(planner_t *planner, cli_error_t *error)
{
    for (size_t i = 0; i < planner->description->num_ranges; i++) {
        const vm_range_t *range = &planner->description->ranges[i];
        guestmem_plan_range_t request = request_of(range);
        if (range->on_fault && guestmem_plan_faults(planner->ranges, &request) != 0) {
            return plan_error(planner, range, error);
        }
    }
    return 0;
}
