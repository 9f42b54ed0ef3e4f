/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the guest's view of a description. The tree is written anew in one pass: nothing is edited
 * in place, so the cost is linear and what is left out leaves no trace (not even in the strings).
 */

#include "dtb_strip.h"

#include <inttypes.h>
#include <libfdt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/** A copy that is being made. */
typedef struct copy {
    const vm_description_t *description;
    const dtb_chosen_t *chosen;
    int chosen_offset; /* of /chosen in the description; negative: it has none */
    bool has_chosen;   /* the copy has it */
    void *to;
} copy_t;

/** The first range of the node at that offset, or NULL. */
static const vm_range_t *range_of(const vm_description_t *description, int offset)
{
    for (size_t i = 0; i < description->num_ranges; i++) {
        if (description->ranges[i].node == offset) {
            return &description->ranges[i];
        }
    }
    return NULL;
}

/** Whether that property of /chosen is written by write_chosen(). */
static bool is_written(const copy_t *copy, const char *name)
{
    return (copy->chosen->append != NULL && strcmp(name, "bootargs") == 0) ||
           (copy->description->initrd != NULL &&
            (strcmp(name, "linux,initrd-start") == 0 || strcmp(name, "linux,initrd-end") == 0));
}

static int copy_properties(const copy_t *copy, int offset)
{
    const void *from = copy->description->dtb;
    int property;

    fdt_for_each_property_offset(property, from, offset)
    {
        int length;
        const char *name;
        const void *value = fdt_getprop_by_offset(from, property, &name, &length);
        int result;

        if (value == NULL) {
            return length;
        }
        if (strncmp(name, "guestmem,", 9) == 0 ||
            (offset == copy->chosen_offset && is_written(copy, name))) {
            continue;
        }
        result = fdt_property(copy->to, name, value, length);
        if (result != 0) {
            return result;
        }
    }
    return 0;
}

/** Write `bootargs` with what is appended to those of the node at `offset`, if there is one. */
static int write_bootargs(const copy_t *copy, int offset)
{
    const char *append = copy->chosen->append;
    int length = 0;
    const char *given =
        offset >= 0 ? fdt_getprop(copy->description->dtb, offset, "bootargs", &length) : NULL;
    size_t kept = given != NULL ? strnlen(given, (size_t)length) : 0;
    size_t blank = kept > 0;
    char *value;
    int result = fdt_property_placeholder(
        copy->to, "bootargs", (int)(kept + blank + strlen(append) + 1), (void **)&value);

    if (result == 0) {
        if (kept > 0) {
            memcpy(value, given, kept);
            value[kept] = ' ';
        }
        memcpy(value + kept + blank, append, strlen(append) + 1);
    }
    return result;
}

/** Write what is added to /chosen, which is at `offset` of the description unless that is -1. */
static int write_chosen(copy_t *copy, int offset)
{
    const dtb_chosen_t *chosen = copy->chosen;
    int result = 0;

    copy->has_chosen = true;
    if (chosen->append != NULL) {
        result = write_bootargs(copy, offset);
    }
    if (result == 0 && copy->description->initrd != NULL) {
        result = fdt_property_u64(copy->to, "linux,initrd-start", chosen->initrd);
    }
    if (result == 0 && copy->description->initrd != NULL) {
        result =
            fdt_property_u64(copy->to, "linux,initrd-end", chosen->initrd + chosen->initrd_size);
    }
    return result;
}

/** Append a number as one or two cells. @return cells, or -FDT_ERR_BADVALUE if it does not fit */
static int append_number(fdt32_t *cells, int count, uint64_t value)
{
    if (count < 1 || count > 2 || (count == 1 && value > UINT32_MAX)) {
        return -FDT_ERR_BADVALUE;
    }
    if (count == 2) {
        fdt32_st(&cells[0], (uint32_t)(value >> 32));
    }
    fdt32_st(&cells[count - 1], (uint32_t)value);
    return count;
}

static int write_reg(const vm_description_t *description, const vm_range_t *range, void *to)
{
    int parent = fdt_parent_offset(description->dtb, range->node);
    int address_cells = parent < 0 ? parent : fdt_address_cells(description->dtb, parent);
    int size_cells = parent < 0 ? parent : fdt_size_cells(description->dtb, parent);
    fdt32_t cells[4];
    int first;
    int second;

    first = append_number(cells, address_cells, range->base);
    if (first < 0) {
        return first;
    }
    second = append_number(cells + first, size_cells, range->size);
    if (second < 0) {
        return second;
    }
    return fdt_property(to, "reg", cells, (first + second) * (int)sizeof(*cells));
}

static int copy_reservations(const void *from, void *to)
{
    int count = fdt_num_mem_rsv(from);

    for (int i = 0; i < count; i++) {
        uint64_t address;
        uint64_t size;
        int result = fdt_get_mem_rsv(from, i, &address, &size);
        if (result == 0) {
            result = fdt_add_reservemap_entry(to, address, size);
        }
        if (result != 0) {
            return result;
        }
    }
    return fdt_finish_reservemap(to);
}

/** What the range of a node adds to it. */
static int write_range(const copy_t *copy, const vm_range_t *range)
{
    const void *from = copy->description->dtb;
    bool is_ram = range->backing == VM_BACKING_RAM || range->backing == VM_BACKING_RAM_UNTYPED;
    int result = 0;

    if (range->placed_by_library) {
        result = write_reg(copy->description, range, copy->to);
    }
    if (result == 0 && is_ram && fdt_parent_offset(from, range->node) == 0 &&
        fdt_getprop(from, range->node, "device_type", NULL) == NULL) {
        result = fdt_property_string(copy->to, "device_type", "memory");
    }
    return result;
}

static int begin_node(copy_t *copy, int offset)
{
    const vm_range_t *range = range_of(copy->description, offset);
    int result = fdt_begin_node(copy->to, fdt_get_name(copy->description->dtb, offset, NULL));

    if (result == 0) {
        result = copy_properties(copy, offset);
    }
    if (result == 0 && range != NULL) {
        result = write_range(copy, range);
    }
    if (result == 0 && offset == copy->chosen_offset) {
        result = write_chosen(copy, offset);
    }
    return result;
}

/** End the root, with a /chosen if there is something for it and it has none. */
static int end_root(copy_t *copy)
{
    int result = 0;

    if (!copy->has_chosen && (copy->chosen->append != NULL || copy->description->initrd != NULL)) {
        result = fdt_begin_node(copy->to, "chosen");
        if (result == 0) {
            result = write_chosen(copy, -1);
        }
        if (result == 0) {
            result = fdt_end_node(copy->to);
        }
    }
    return result == 0 ? fdt_end_node(copy->to) : result;
}

/** Copy all nodes; `depth` says how many of the copied ones are open. */
static int copy_nodes(copy_t *copy)
{
    const void *from = copy->description->dtb;
    int depth = 0;
    int open = 0;
    int hidden = -1; /* the depth of the hidden node that we are in */
    int result = 0;

    for (int offset = 0; offset >= 0 && depth >= 0 && result == 0;
         offset = fdt_next_node(from, offset, &depth)) {
        for (; open > depth && result == 0; open--) {
            result = fdt_end_node(copy->to);
        }
        if (hidden >= 0 && depth > hidden) {
            continue;
        }
        hidden = fdt_getprop(from, offset, "guestmem,hidden", NULL) != NULL ? depth : -1;
        if (hidden < 0 && result == 0) {
            result = begin_node(copy, offset);
            open++;
        }
    }
    for (; open > 1 && result == 0; open--) {
        result = fdt_end_node(copy->to);
    }
    return result == 0 ? end_root(copy) : result;
}

void *dtb_strip(const vm_description_t *description, const dtb_chosen_t *chosen, size_t *size,
                cli_error_t *error)
{
    /* Strings are shared in the copy too; what a range adds is less than 64 bytes. */
    size_t room = description->dtb_size + 4096 + description->num_ranges * 64 +
                  (chosen->append != NULL ? strlen(chosen->append) : 0);
    copy_t copy = {
        .description = description,
        .chosen = chosen,
        .chosen_offset = fdt_path_offset(description->dtb, "/chosen"),
        .to = malloc(room),
    };
    int result;

    if (copy.to == NULL) {
        cli_error_set(error, "%s: out of memory", description->file);
        return NULL;
    }
    result = fdt_create(copy.to, (int)room);
    if (result == 0) {
        result = copy_reservations(description->dtb, copy.to);
    }
    if (result == 0) {
        result = copy_nodes(&copy);
    }
    if (result == 0) {
        result = fdt_finish(copy.to);
    }
    if (result != 0) {
        cli_error_set(error, "%s: guestmem,device-tree: the guest's tree cannot be made: %s",
                      description->file, fdt_strerror(result));
        free(copy.to);
        return NULL;
    }
    fdt_set_boot_cpuid_phys(copy.to, fdt_boot_cpuid_phys(description->dtb));
    *size = fdt_totalsize(copy.to);
    return copy.to;
}
