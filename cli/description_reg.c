/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the meaning of `reg`: cell counts, and the translation of an address through the `ranges` of
 * the buses above a node to a guest-physical address.
 */

#include "description_internal.h"

#include <inttypes.h>
#include <libfdt.h>

static uint64_t read_cells(const fdt32_t *cells, int count)
{
    uint64_t value = 0;

    for (int i = 0; i < count; i++) {
        value = (value << 32) | fdt32_ld(&cells[i]);
    }
    return value;
}

/** Whether `reg` entries below this node can be read as numbers of up to 64 bits. */
static int check_cells(const vm_node_t *bus)
{
    if (bus->address_cells < 1 || bus->address_cells > 2) {
        return vm_node_error(bus, "#address-cells", "must be 1 or 2 above a node with %s",
                             "guestmem,backing");
    }
    if (bus->size_cells < 1 || bus->size_cells > 2) {
        return vm_node_error(bus, "#size-cells", "must be 1 or 2 above a node with %s",
                             "guestmem,backing");
    }
    return 0;
}

int vm_node_reg_count(const vm_node_t *node)
{
    const vm_node_t *bus = node->parent;
    int length;
    int entry;

    if (fdt_getprop(node->description->dtb, node->offset, "reg", &length) == NULL) {
        return vm_node_error(node, "reg", "missing, but the node has guestmem,backing");
    }
    if (check_cells(bus) != 0) {
        return -1;
    }
    entry = (bus->address_cells + bus->size_cells) * (int)sizeof(fdt32_t);
    if (length == 0 || length % entry != 0) {
        return vm_node_error(node, "reg",
                             "has %d bytes, not a multiple of the %d that #address-cells = <%d> "
                             "and #size-cells = <%d> of the parent make",
                             length, entry, bus->address_cells, bus->size_cells);
    }
    return length / entry;
}

/** Pass `[base, base + size)` from the children of `bus` to the children of its parent. */
static int translate(const vm_node_t *node, const vm_node_t *bus, uint64_t *base, uint64_t size)
{
    const vm_node_t *upper = bus->parent;
    int length;
    const fdt32_t *ranges = fdt_getprop(bus->description->dtb, bus->offset, "ranges", &length);
    int entry;

    if (ranges == NULL) {
        return vm_node_error(bus, "ranges",
                             "missing, so the range [0x%" PRIx64 ", 0x%" PRIx64
                             "] of %s below has no guest-physical address",
                             *base, *base + size - 1, node->name);
    }
    if (length == 0) {
        return 0;
    }
    if (check_cells(upper) != 0) {
        return -1;
    }
    entry = bus->address_cells + upper->address_cells + bus->size_cells;
    if (length % (entry * (int)sizeof(fdt32_t)) != 0) {
        return vm_node_error(bus, "ranges", "has %d bytes, not a multiple of %d", length,
                             entry * (int)sizeof(fdt32_t));
    }
    for (int i = 0; i < length / (entry * (int)sizeof(fdt32_t)); i++, ranges += entry) {
        uint64_t child = read_cells(ranges, bus->address_cells);
        uint64_t parent = read_cells(ranges + bus->address_cells, upper->address_cells);
        uint64_t window =
            read_cells(ranges + bus->address_cells + upper->address_cells, bus->size_cells);

        if (*base >= child && size <= window && *base - child <= window - size) {
            uint64_t offset = *base - child;
            if (parent > UINT64_MAX - offset || parent + offset > UINT64_MAX - (size - 1)) {
                return vm_node_error(bus, "ranges", "wraps around at the top of the address space");
            }
            *base = parent + offset;
            return 0;
        }
    }
    return vm_node_error(node, "reg",
                         "[0x%" PRIx64 ", 0x%" PRIx64 "] lies outside the ranges of its bus %s",
                         *base, *base + size - 1, bus->name);
}

int vm_node_reg(const vm_node_t *node, int index, uint64_t *base, uint64_t *size)
{
    const vm_node_t *bus = node->parent;
    const fdt32_t *reg = fdt_getprop(node->description->dtb, node->offset, "reg", NULL);

    reg += (ptrdiff_t)index * (bus->address_cells + bus->size_cells);
    *base = read_cells(reg, bus->address_cells);
    *size = read_cells(reg + bus->address_cells, bus->size_cells);
    if (*size == 0) {
        return vm_node_error(node, "reg", "entry %d at 0x%" PRIx64 " has size 0", index, *base);
    }
    if (*base > UINT64_MAX - (*size - 1)) {
        return vm_node_error(node, "reg",
                             "entry %d at 0x%" PRIx64 " with size 0x%" PRIx64
                             " wraps around at the top of the address space",
                             index, *base, *size);
    }
    for (; bus->parent != NULL; bus = bus->parent) {
        if (translate(node, bus, base, *size) != 0) {
            return -1;
        }
    }
    return 0;
}
