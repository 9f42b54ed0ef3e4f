/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * See board.h. The tree is only read, with libfdt. Every complaint is one line that begins with the
 * node's path. Memory is cut inwards to whole pages, everything else outwards.
 */

#include "board.h"

#include <libfdt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "ranges.h"

enum { PAGE = 4096, PHYSICAL_BITS = 40, MAX_DEPTH = 16 };

typedef struct reader {
    const void *fdt;
    ranges_t memory, reserved, devices;
    uint64_t gicv_base;
    board_serial_t serials[BOARD_MAX_SERIALS];
    size_t num_serials;
    char *error;
    size_t error_size;
} reader_t;

static int complain(const reader_t *reader, int node, const char *format, ...)
{
    char path[128] = "", text[192];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (node >= 0 && fdt_get_path(reader->fdt, node, path, sizeof(path)) != 0) {
        snprintf(path, sizeof(path), "node %d", node);
    }
    if (reader->error && reader->error_size) {
        snprintf(reader->error, reader->error_size, "board%s%s: %s", *path ? " " : "", path, text);
    }
    return -1;
}

static uint64_t read_cells(const fdt32_t *cells, int count)
{
    uint64_t value = 0;
    for (int i = 0; i < count; i++) {
        value = value << 32 | fdt32_to_cpu(cells[i]);
    }
    return value;
}

/* A bus: how its children's addresses are written, and where they are. */
typedef struct bus {
    int node, address_cells, size_cells;
    const struct bus *parent;
} bus_t;

static int open_bus(const reader_t *reader, int node, const bus_t *parent, bus_t *bus)
{
    *bus = (bus_t){node, fdt_address_cells(reader->fdt, node), fdt_size_cells(reader->fdt, node),
                   parent};
    if (bus->address_cells < 1 || bus->address_cells > 2 || bus->size_cells < 0 ||
        bus->size_cells > 2) {
        return complain(reader, node, "#address-cells and #size-cells must be 1 or 2");
    }
    return 0;
}

/* From an address on the bus to the processor's. */
static int translate(const reader_t *reader, const bus_t *bus, uint64_t size, uint64_t *address)
{
    for (; bus->parent; bus = bus->parent) {
        int length = 0;
        const fdt32_t *cells = fdt_getprop(reader->fdt, bus->node, "ranges", &length);
        if (!cells) {
            return complain(reader, bus->node, "a bus without ranges has devices with reg");
        }
        int entry = bus->address_cells + bus->parent->address_cells + bus->size_cells;
        int left = length / 4;
        if (length % (entry * 4)) {
            return complain(reader, bus->node, "ranges: %d bytes are no whole entries", length);
        }
        bool found = left == 0; /* empty: the same addresses */
        for (; left > 0 && !found; left -= entry, cells += entry) {
            uint64_t child = read_cells(cells, bus->address_cells);
            uint64_t parent = read_cells(cells + bus->address_cells, bus->parent->address_cells);
            uint64_t span = read_cells(cells + entry - bus->size_cells, bus->size_cells);
            if (*address >= child && *address - child < span && size <= span - (*address - child)) {
                *address = *address - child + parent;
                found = true;
            }
        }
        if (!found) {
            return complain(reader, bus->node, "ranges: %#lx is in none of them", *address);
        }
    }
    return 0;
}

/* Add what the node's reg says. */
static int add_reg(reader_t *reader, const bus_t *bus, int node, ranges_t *ranges,
                   memory_kind_t kind)
{
    int length = 0;
    const fdt32_t *cells = fdt_getprop(reader->fdt, node, "reg", &length);
    int entry = bus->address_cells + bus->size_cells;
    if (length % (entry * 4)) {
        return complain(reader, node, "reg: %d bytes are no whole entries of %d cells", length,
                        entry);
    }
    for (int i = 0; i < length / 4; i += entry) {
        uint64_t base = read_cells(cells + i, bus->address_cells);
        uint64_t size = read_cells(cells + i + bus->address_cells, bus->size_cells);
        if (size == 0) {
            continue;
        }
        if (translate(reader, bus, size, &base)) {
            return -1;
        }
        uint64_t last = base + size - 1;
        if (last < base || last >> PHYSICAL_BITS) {
            return complain(reader, node, "reg: %#lx, %#lx is beyond %d physical address bits",
                            base, size, PHYSICAL_BITS);
        }
        if (kind == MEMORY_REGULAR) {
            base = (base + PAGE - 1) & ~(uint64_t)(PAGE - 1);
            last = ((last + 1) & ~(uint64_t)(PAGE - 1)) - 1;
            if (base >= last) {
                continue;
            }
        } else {
            base &= ~(uint64_t)(PAGE - 1);
            last |= PAGE - 1;
        }
        if (ranges_add(ranges, base, last, kind)) {
            return complain(reader, node, "out of host memory");
        }
    }
    return 0;
}

/* Of a GICv2's four ranges the last is its virtual CPU interface. */
static int read_gic(reader_t *reader, const bus_t *bus, int node)
{
    int length = 0;
    const fdt32_t *cells = fdt_getprop(reader->fdt, node, "reg", &length);
    int entry = bus->address_cells + bus->size_cells;
    if ((fdt_node_check_compatible(reader->fdt, node, "arm,cortex-a15-gic") != 0 &&
         fdt_node_check_compatible(reader->fdt, node, "arm,gic-400") != 0) ||
        length < 4 * entry * 4) {
        return 0;
    }
    cells += (ptrdiff_t)3 * entry;
    reader->gicv_base = read_cells(cells, bus->address_cells);
    return translate(reader, bus, read_cells(cells + bus->address_cells, bus->size_cells),
                     &reader->gicv_base);
}

/* Its interrupt, if it is one of those that processors share: <0 N FLAGS>. */
static int read_serial(reader_t *reader, const bus_t *bus, int node)
{
    enum { SPECIFIER = 3, FIRST_SHARED = 32 };
    int length = 0;
    const fdt32_t *cells = fdt_getprop(reader->fdt, node, "reg", &length);
    if (fdt_node_check_compatible(reader->fdt, node, "arm,pl011") != 0 ||
        reader->num_serials == BOARD_MAX_SERIALS ||
        length < (bus->address_cells + bus->size_cells) * 4) {
        return 0;
    }
    board_serial_t *serial = &reader->serials[reader->num_serials++];
    serial->base = read_cells(cells, bus->address_cells);
    uint64_t size = read_cells(cells + bus->address_cells, bus->size_cells);
    cells = fdt_getprop(reader->fdt, node, "interrupts", &length);
    if (cells && length >= SPECIFIER * 4 && fdt32_to_cpu(cells[0]) == 0) {
        serial->irq = fdt32_to_cpu(cells[1]) + FIRST_SHARED;
    }
    return translate(reader, bus, size, &serial->base);
}

static bool is_memory(const reader_t *reader, int node)
{
    int length = 0;
    const char *type = fdt_getprop(reader->fdt, node, "device_type", &length);
    return type && length == sizeof("memory") && memcmp(type, "memory", sizeof("memory")) == 0;
}

static int read_reserved(reader_t *reader, int parent, const bus_t *root)
{
    bus_t bus;
    if (open_bus(reader, parent, root, &bus)) {
        return -1;
    }
    int node;
    fdt_for_each_subnode(node, reader->fdt, parent)
    {
        if (fdt_getprop(reader->fdt, node, "reg", NULL) &&
            add_reg(reader, &bus, node, &reader->reserved, MEMORY_RESERVED)) {
            return -1;
        }
    }
    return 0;
}

static int read_bus(reader_t *reader, int parent, const bus_t *above, int depth)
{
    bus_t bus;
    if (depth > MAX_DEPTH) {
        return complain(reader, parent, "buses are nested too deeply");
    }
    if (open_bus(reader, parent, above, &bus)) {
        return -1;
    }
    int node;
    fdt_for_each_subnode(node, reader->fdt, parent)
    {
        const char *name = fdt_get_name(reader->fdt, node, NULL);
        int failed = 0;
        if (!above && strcmp(name, "reserved-memory") == 0) {
            failed = read_reserved(reader, node, &bus);
        } else if (is_memory(reader, node)) {
            failed = add_reg(reader, &bus, node, &reader->memory, MEMORY_REGULAR);
        } else if (fdt_getprop(reader->fdt, node, "reg", NULL)) {
            failed = add_reg(reader, &bus, node, &reader->devices, MEMORY_DEVICE) ||
                     read_gic(reader, &bus, node) || read_serial(reader, &bus, node);
        }
        if (!failed && fdt_node_check_compatible(reader->fdt, node, "simple-bus") == 0) {
            failed = read_bus(reader, node, &bus, depth + 1);
        }
        if (failed) {
            return -1;
        }
    }
    return 0;
}

/* Naturally aligned powers of two, as large as possible, as the kernel hands them out. */
static int cut(const reader_t *reader, ranges_t *pieces, const board_range_t *range)
{
    for (uint64_t base = range->base; base <= range->last;) {
        unsigned bits = seL4_MaxUntypedBits;
        while (base & ((1ul << bits) - 1) || (1ul << bits) - 1 > range->last - base) {
            bits--;
        }
        if (ranges_add(pieces, base, base + ((1ul << bits) - 1), range->kind)) {
            return complain(reader, -1, "out of host memory");
        }
        base += 1ul << bits;
    }
    return 0;
}

static int check_memory(reader_t *reader)
{
    ranges_sort(&reader->memory);
    if (reader->memory.count == 0) {
        return complain(reader, -1, "no node with device_type \"memory\" has a page of memory");
    }
    for (size_t i = 1; i < reader->memory.count; i++) {
        if (reader->memory.items[i].base <= reader->memory.items[i - 1].last) {
            return complain(reader, -1, "two memory nodes overlap at %#lx",
                            reader->memory.items[i].base);
        }
    }
    return 0;
}

static int subtract_all(ranges_t *from, const ranges_t *what)
{
    for (size_t i = 0; i < what->count; i++) {
        if (ranges_subtract(from, what->items[i].base, what->items[i].last)) {
            return -1;
        }
    }
    return 0;
}

/* Devices may share pages with each other, and lie next to memory; each page has one owner. */
static int make_disjoint(ranges_t *ranges)
{
    ranges_t result = {0};
    for (size_t i = 0; i < ranges->count; i++) {
        board_range_t item = ranges->items[i];
        if (ranges_subtract(&result, item.base, item.last) ||
            ranges_add(&result, item.base, item.last, item.kind)) {
            ranges_free(&result);
            return -1;
        }
    }
    ranges_free(ranges);
    *ranges = result;
    ranges_sort(ranges);
    ranges_join(ranges);
    return 0;
}

/* Banks: memory as its nodes say, and around it reserved memory and devices on their own. */
static int make_banks(reader_t *reader, ranges_t *banks)
{
    ranges_t outside = {0};
    int failed = make_disjoint(&reader->reserved) || make_disjoint(&reader->devices) ||
                 subtract_all(&reader->devices, &reader->memory) ||
                 subtract_all(&reader->devices, &reader->reserved);
    for (size_t i = 0; i < reader->reserved.count && !failed; i++) {
        const board_range_t *item = &reader->reserved.items[i];
        failed = ranges_add(&outside, item->base, item->last, item->kind);
    }
    failed = failed || subtract_all(&outside, &reader->memory);
    const ranges_t *sources[] = {&reader->memory, &outside, &reader->devices};
    for (size_t s = 0; s < 3 && !failed; s++) {
        for (size_t i = 0; i < sources[s]->count && !failed; i++) {
            const board_range_t *item = &sources[s]->items[i];
            failed = ranges_add(banks, item->base, item->last, item->kind);
        }
    }
    ranges_free(&outside);
    ranges_sort(banks);
    return failed ? complain(reader, -1, "out of host memory") : 0;
}

static int make_untypeds(reader_t *reader, const ranges_t *banks, ranges_t *untypeds)
{
    ranges_t regular = {0};
    int failed = 0;
    for (size_t i = 0; i < reader->memory.count && !failed; i++) {
        const board_range_t *item = &reader->memory.items[i];
        failed = ranges_add(&regular, item->base, item->last, MEMORY_REGULAR);
    }
    failed = failed || subtract_all(&regular, &reader->reserved);
    for (int i = 0; i < fdt_num_mem_rsv(reader->fdt) && !failed; i++) {
        uint64_t base = 0, size = 0;
        if (fdt_get_mem_rsv(reader->fdt, i, &base, &size) == 0 && size && base + size > base) {
            failed = ranges_subtract(&regular, base & ~(uint64_t)(PAGE - 1),
                                     (base + size - 1) | (PAGE - 1));
        }
    }
    const ranges_t *sources[] = {&regular, &reader->reserved, &reader->devices};
    for (size_t s = 0; s < 3 && !failed; s++) {
        for (size_t i = 0; i < sources[s]->count && !failed; i++) {
            /* A reserved range can begin in one bank and end in another. */
            for (size_t b = 0; b < banks->count && !failed; b++) {
                board_range_t piece = sources[s]->items[i];
                const board_range_t *bank = &banks->items[b];
                piece.base = piece.base > bank->base ? piece.base : bank->base;
                piece.last = piece.last < bank->last ? piece.last : bank->last;
                failed = piece.base <= piece.last && cut(reader, untypeds, &piece);
            }
        }
    }
    ranges_free(&regular);
    ranges_sort(untypeds);
    if (!failed && untypeds->count > CONFIG_MAX_NUM_BOOTINFO_UNTYPED_CAPS) {
        return complain(reader, -1, "%zu untypeds are needed, but boot information holds %d",
                        untypeds->count, CONFIG_MAX_NUM_BOOTINFO_UNTYPED_CAPS);
    }
    return failed ? complain(reader, -1, "out of host memory") : 0;
}

/* Whether all of the tree can be read. In trees older than version 16 nodes have their whole path
 * as name, and libfdt 1.6.1 takes that for granted. @return 0 or libfdt's error */
static int check_tree(const void *dtb, size_t size)
{
    if (dtb == NULL || size < sizeof(struct fdt_header)) {
        return dtb == NULL ? -FDT_ERR_BADMAGIC : -FDT_ERR_TRUNCATED;
    }
    return fdt_version(dtb) < 16 ? -FDT_ERR_BADVERSION : fdt_check_full(dtb, size);
}

int board_read(board_t *board, const void *dtb, size_t size, char *error, size_t error_size)
{
    reader_t reader = {.fdt = dtb, .error = error, .error_size = error_size};
    ranges_t banks = {0}, untypeds = {0};
    int problem = check_tree(dtb, size);
    int failed =
        problem ? complain(&reader, -1, "no valid flattened device tree: %s", fdt_strerror(problem))
                : read_bus(&reader, 0, NULL, 0) || check_memory(&reader) ||
                      make_banks(&reader, &banks) || make_untypeds(&reader, &banks, &untypeds);
    ranges_free(&reader.memory);
    ranges_free(&reader.reserved);
    ranges_free(&reader.devices);
    if (failed) {
        ranges_free(&banks);
        ranges_free(&untypeds);
        return -1;
    }
    *board = (board_t){.banks = banks.items,
                       .num_banks = banks.count,
                       .untypeds = untypeds.items,
                       .num_untypeds = untypeds.count,
                       .gicv_base = reader.gicv_base,
                       .num_serials = reader.num_serials};
    memcpy(board->serials, reader.serials, sizeof(board->serials));
    return 0;
}

void board_free(board_t *board)
{
    ranges_t banks = {board->banks, board->num_banks};
    ranges_t untypeds = {board->untypeds, board->num_untypeds};
    ranges_free(&banks);
    ranges_free(&untypeds);
}
