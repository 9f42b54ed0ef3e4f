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

/** The range that the library has placed for the node at that offset, or NULL. */
static const vm_range_t *placed_range(const vm_description_t *description, int offset)
{
    for (size_t i = 0; i < description->num_ranges; i++) {
        const vm_range_t *range = &description->ranges[i];
        if (range->node == offset && range->placed_by_library) {
            return range;
        }
    }
    return NULL;
}

static int copy_properties(const void *from, int offset, void *to)
{
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
        if (strncmp(name, "guestmem,", 9) == 0) {
            continue;
        }
        result = fdt_property(to, name, value, length);
        if (result != 0) {
            return result;
        }
    }
    return 0;
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

static int begin_node(const vm_description_t *description, int offset, void *to)
{
    const vm_range_t *placed = placed_range(description, offset);
    int result = fdt_begin_node(to, fdt_get_name(description->dtb, offset, NULL));

    if (result == 0) {
        result = copy_properties(description->dtb, offset, to);
    }
    if (result == 0 && placed != NULL) {
        result = write_reg(description, placed, to);
    }
    return result;
}

/** Copy all nodes; `depth` says how many of the copied ones are open. */
static int copy_nodes(const vm_description_t *description, void *to)
{
    const void *from = description->dtb;
    int depth = 0;
    int open = 0;
    int hidden = -1; /* the depth of the hidden node that we are in */
    int result = 0;

    for (int offset = 0; offset >= 0 && depth >= 0 && result == 0;
         offset = fdt_next_node(from, offset, &depth)) {
        for (; open > depth && result == 0; open--) {
            result = fdt_end_node(to);
        }
        if (hidden >= 0 && depth > hidden) {
            continue;
        }
        hidden = fdt_getprop(from, offset, "guestmem,hidden", NULL) != NULL ? depth : -1;
        if (hidden < 0 && result == 0) {
            result = begin_node(description, offset, to);
            open++;
        }
    }
    for (; open > 0 && result == 0; open--) {
        result = fdt_end_node(to);
    }
    return result;
}

void *dtb_strip(const vm_description_t *description, size_t *size, cli_error_t *error)
{
    /* Strings are shared in the copy too; a placed node's new `reg` is less than this each. */
    size_t room = description->dtb_size + 4096 + description->num_ranges * 64;
    void *tree = malloc(room);
    int result;

    if (tree == NULL) {
        cli_error_set(error, "%s: out of memory", description->file);
        return NULL;
    }
    result = fdt_create(tree, (int)room);
    if (result == 0) {
        result = copy_reservations(description->dtb, tree);
    }
    if (result == 0) {
        result = copy_nodes(description, tree);
    }
    if (result == 0) {
        result = fdt_finish(tree);
    }
    if (result != 0) {
        cli_error_set(error, "%s: guestmem,device-tree: the guest's tree cannot be made: %s",
                      description->file, fdt_strerror(result));
        free(tree);
        return NULL;
    }
    fdt_set_boot_cpuid_phys(tree, fdt_boot_cpuid_phys(description->dtb));
    *size = fdt_totalsize(tree);
    return tree;
}
