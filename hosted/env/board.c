/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * See board.h. The tree is only read, with libfdt. What is physical memory is drawn as a map: all
 * of the address space is devices at first, then memory is painted over it, then what is reserved
 * of that, then what the kernel keeps. So no byte is left out, and none has two owners.
 *
 * Every complaint is one line that begins with the node's path. What the processor cannot reach, or
 * what is switched off, is nobody's fault: it is skipped.
 */

#include "board.h"

#include <libfdt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ranges.h"

enum {
    PAGE = 4096,
    MAX_DEPTH = 16,
    MAX_KERNEL_NODES = 16,
    USUAL_PHYSICAL_BITS = 40,
    LARGE_PHYSICAL_BITS = 44,
    KERNEL_ALIGN = 1 << 21,
    KERNEL_BOOT = 0x10000,  /* at the start of its image: given back once it has booted */
    KERNEL_IMAGE = 0x238000 /* in whole pages, with what it gives back */
};

/* The kernel sees memory below this: the last GiB of its window is for its own. */
#define KERNEL_WINDOW_END 0x7fc0000000ul

/* Host memory for what is no RAM comes in pieces of so many bytes, each when it is first used. */
#define DEVICE_BANK (1ul << 30)

typedef struct reader {
    const void *fdt;
    ranges_t memory, reserved, kernel; /* as the tree says */
    ranges_t map;
    int kernel_nodes[MAX_KERNEL_NODES]; /* that /chosen names; if none, those of a known kind */
    size_t num_kernel_nodes;
    bool names_kernel_nodes;
    unsigned physical_bits;
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
        for (char *c = reader->error; *c; c++) { /* names in a tree can be anything */
            if ((unsigned char)*c < ' ' || *c == 0x7f) {
                *c = ' ';
            }
        }
    }
    return -1;
}

static int no_memory(const reader_t *reader)
{
    return complain(reader, -1, "out of host memory");
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

/* @return whether addresses on it can be read */
static bool open_bus(const reader_t *reader, int node, const bus_t *parent, bus_t *bus)
{
    *bus = (bus_t){node, fdt_address_cells(reader->fdt, node), fdt_size_cells(reader->fdt, node),
                   parent};
    return bus->address_cells >= 1 && bus->address_cells <= 2 && bus->size_cells >= 1 &&
           bus->size_cells <= 2;
}

/* From an address on the bus to the processor's. @return whether it has one */
static bool translate(const reader_t *reader, const bus_t *bus, uint64_t size, uint64_t *address)
{
    for (; bus->parent; bus = bus->parent) {
        int length = 0;
        const fdt32_t *cells = fdt_getprop(reader->fdt, bus->node, "ranges", &length);
        int entry = bus->address_cells + bus->parent->address_cells + bus->size_cells;
        int left = length / 4;
        if (!cells || length % (entry * 4)) {
            return false;
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
            return false;
        }
    }
    return true;
}

/* How many whole entries the node's reg has; 0 without one. */
static int reg_count(const reader_t *reader, const bus_t *bus, int node)
{
    int length = 0;
    const void *cells = fdt_getprop(reader->fdt, node, "reg", &length);
    return cells ? length / ((bus->address_cells + bus->size_cells) * 4) : 0;
}

/* An entry of the node's reg. @return whether there is one that the processor can reach */
static bool read_reg(const reader_t *reader, const bus_t *bus, int node, int index, uint64_t *base,
                     uint64_t *size)
{
    if (index >= reg_count(reader, bus, node)) {
        return false;
    }
    const fdt32_t *cells = fdt_getprop(reader->fdt, node, "reg", NULL);
    cells += (ptrdiff_t)index * (bus->address_cells + bus->size_cells);
    *base = read_cells(cells, bus->address_cells);
    *size = read_cells(cells + bus->address_cells, bus->size_cells);
    return *size != 0 && translate(reader, bus, *size, base);
}

/* Add what the node's reg says of memory. */
static int add_memory(reader_t *reader, const bus_t *bus, int node, ranges_t *ranges)
{
    int length = 0;
    int entry = (bus->address_cells + bus->size_cells) * 4;
    fdt_getprop(reader->fdt, node, "reg", &length);
    if (length > 0 && length % entry) {
        return complain(reader, node, "reg: %d bytes are no whole entries of %d cells", length,
                        entry / 4);
    }
    for (int i = 0; i < reg_count(reader, bus, node); i++) {
        uint64_t base, size;
        if (!read_reg(reader, bus, node, i, &base, &size)) {
            continue;
        }
        if (base + size - 1 < base || (base + size - 1) >> reader->physical_bits) {
            return complain(reader, node, "reg: %#lx, %#lx is beyond %u physical address bits",
                            base, size, reader->physical_bits);
        }
        if (ranges_add(ranges, base, base + size - 1, HOSTED_MEMORY)) {
            return no_memory(reader);
        }
    }
    return 0;
}

/*
 * What the kernel keeps of devices for itself, on aarch64 with hypervisor support: so many bytes at
 * most of each entry of reg. See docs/kernel-model.md. The architecture's timer has no registers in
 * memory, and serial ports are their users' too.
 */
typedef struct kept {
    uint64_t size;
    const char *name;
} kept_t;

enum { MAX_KEPT = 3 };

static const kept_t gicv2[MAX_KEPT] = {{0x1000, "the interrupt distributor"},
                                       {0x1000, "the interrupt controller's CPU interface"},
                                       {0x1000, "the interrupt controller's virtual control"}};
static const kept_t gicv3[MAX_KEPT] = {{0x10000, "the interrupt distributor"},
                                       {0x100000, "the interrupt redistributors"}};
static const kept_t bcm2836[MAX_KEPT] = {{0x1000, "the cores' interrupt controller and timer"}};

static const struct {
    const char *compatible;
    const kept_t *kept;
} kernel_devices[] = {
    {"arm,cortex-a15-gic", gicv2},     {"arm,cortex-a7-gic", gicv2},
    {"arm,cortex-a9-gic", gicv2},      {"arm,gic-400", gicv2},
    {"qcom,msm-qgic2", gicv2},         {"arm,gic-v3", gicv3},
    {"brcm,bcm2836-l1-intc", bcm2836},
};

static const kept_t *kept_of(const reader_t *reader, int node)
{
    for (size_t i = 0; i < sizeof(kernel_devices) / sizeof(kernel_devices[0]); i++) {
        if (fdt_node_check_compatible(reader->fdt, node, kernel_devices[i].compatible) == 0) {
            return kernel_devices[i].kept;
        }
    }
    return NULL;
}

static bool is_kernel_node(const reader_t *reader, int node)
{
    for (size_t i = 0; i < reader->num_kernel_nodes; i++) {
        if (reader->kernel_nodes[i] == node) {
            return true;
        }
    }
    return !reader->names_kernel_nodes;
}

/* Note what the kernel keeps of a device. */
static int read_kernel_device(reader_t *reader, const bus_t *bus, int node)
{
    const kept_t *kept = is_kernel_node(reader, node) ? kept_of(reader, node) : NULL;
    for (int i = 0; kept && i < MAX_KEPT && kept[i].size; i++) {
        uint64_t base, size;
        if (!read_reg(reader, bus, node, i, &base, &size)) {
            continue;
        }
        uint64_t last = base + (size < kept[i].size ? size : kept[i].size) - 1;
        if (ranges_add(&reader->kernel, base & ~(uint64_t)(PAGE - 1), last | (PAGE - 1),
                       HOSTED_KERNEL)) {
            return no_memory(reader);
        }
        reader->kernel.items[reader->kernel.count - 1].name = kept[i].name;
    }
    return 0;
}

/* Of a GICv2's four ranges the last is its virtual CPU interface. */
static void read_gicv(reader_t *reader, const bus_t *bus, int node)
{
    uint64_t base, size;
    if ((fdt_node_check_compatible(reader->fdt, node, "arm,cortex-a15-gic") == 0 ||
         fdt_node_check_compatible(reader->fdt, node, "arm,gic-400") == 0) &&
        read_reg(reader, bus, node, 3, &base, &size)) {
        reader->gicv_base = base;
    }
}

/* Its interrupt, if it is one of those that processors share: <0 N FLAGS>. */
static void read_serial(reader_t *reader, const bus_t *bus, int node)
{
    enum { SPECIFIER = 3, FIRST_SHARED = 32 };
    uint64_t base, size;
    if (fdt_node_check_compatible(reader->fdt, node, "arm,pl011") != 0 ||
        reader->num_serials == BOARD_MAX_SERIALS || !read_reg(reader, bus, node, 0, &base, &size)) {
        return;
    }
    board_serial_t *serial = &reader->serials[reader->num_serials++];
    int length = 0;
    const fdt32_t *cells = fdt_getprop(reader->fdt, node, "interrupts", &length);
    *serial = (board_serial_t){.base = base};
    if (cells && length >= SPECIFIER * 4 && fdt32_to_cpu(cells[0]) == 0) {
        serial->irq = fdt32_to_cpu(cells[1]) + FIRST_SHARED;
    }
}

static bool is_memory(const reader_t *reader, int node)
{
    int length = 0;
    const char *type = fdt_getprop(reader->fdt, node, "device_type", &length);
    return type && length == sizeof("memory") && memcmp(type, "memory", sizeof("memory")) == 0;
}

static bool is_switched_off(const reader_t *reader, int node)
{
    int length = 0;
    const char *status = fdt_getprop(reader->fdt, node, "status", &length);
    return status && length > 0 && strncmp(status, "okay", (size_t)length) != 0 &&
           strncmp(status, "ok", (size_t)length) != 0;
}

/* Memory that Linux sets aside for itself is the kernel's to use; what has "no-map" is not. */
static int read_reserved(reader_t *reader, int parent, const bus_t *root)
{
    bus_t bus;
    int node;
    if (!open_bus(reader, parent, root, &bus)) {
        return 0;
    }
    fdt_for_each_subnode(node, reader->fdt, parent)
    {
        if (fdt_getprop(reader->fdt, node, "no-map", NULL) && !is_switched_off(reader, node) &&
            add_memory(reader, &bus, node, &reader->reserved)) {
            return -1;
        }
    }
    return 0;
}

static int read_bus(reader_t *reader, int parent, const bus_t *above, int depth)
{
    bus_t bus;
    int node;
    if (!open_bus(reader, parent, above, &bus)) {
        return above ? 0
                     : complain(reader, parent, "#address-cells and #size-cells must be 1 or 2");
    }
    fdt_for_each_subnode(node, reader->fdt, parent)
    {
        const char *name = fdt_get_name(reader->fdt, node, NULL);
        int failed = 0;
        if (is_switched_off(reader, node)) {
            continue;
        }
        if (!above && strcmp(name, "reserved-memory") == 0) {
            failed = read_reserved(reader, node, &bus);
        } else if (is_memory(reader, node)) {
            failed = add_memory(reader, &bus, node, &reader->memory);
        } else {
            failed = read_kernel_device(reader, &bus, node);
            read_gicv(reader, &bus, node);
            read_serial(reader, &bus, node);
            if (!failed && depth < MAX_DEPTH && fdt_getprop(reader->fdt, node, "ranges", NULL)) {
                failed = read_bus(reader, node, &bus, depth + 1);
            }
        }
        if (failed) {
            return -1;
        }
    }
    return 0;
}

/* The nodes that seL4's platform files name as the kernel's, by path or alias. */
static int read_chosen(reader_t *reader)
{
    static const char property[] = "seL4,kernel-devices";
    int chosen = fdt_path_offset(reader->fdt, "/chosen");
    int count = chosen < 0 ? 0 : fdt_stringlist_count(reader->fdt, chosen, property);
    reader->names_kernel_nodes = count >= 0 && chosen >= 0;
    for (int i = 0; i < count; i++) {
        int length = 0;
        const char *name = fdt_stringlist_get(reader->fdt, chosen, property, i, &length);
        int node = fdt_path_offset_namelen(reader->fdt, name, (int)strcspn(name, ":"));
        if (node < 0) {
            return complain(reader, chosen, "%s: there is no node \"%s\"", property, name);
        }
        if (reader->num_kernel_nodes == MAX_KERNEL_NODES) {
            return complain(reader, chosen, "%s: more than %d nodes", property, MAX_KERNEL_NODES);
        }
        reader->kernel_nodes[reader->num_kernel_nodes++] = node;
    }
    return 0;
}

/* The kernel's build knows its platform's processor; the smaller of two kinds counts. */
static unsigned physical_bits(const void *fdt)
{
    static const char *const small[] = {"arm,cortex-a35", "arm,cortex-a53", "arm,cortex-a55",
                                        "arm,cortex-a76"};
    static const char *const large[] = {"arm,cortex-a57", "arm,cortex-a57-64bit", "arm,cortex-a72"};
    bool is_large = fdt_node_check_compatible(fdt, 0, "arm,fvp-base") == 0;
    int cpus = fdt_path_offset(fdt, "/cpus"), cpu;
    fdt_for_each_subnode(cpu, fdt, cpus)
    {
        for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++) {
            if (fdt_node_check_compatible(fdt, cpu, small[i]) == 0) {
                return USUAL_PHYSICAL_BITS;
            }
        }
        for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++) {
            is_large |= fdt_node_check_compatible(fdt, cpu, large[i]) == 0;
        }
    }
    return is_large ? LARGE_PHYSICAL_BITS : USUAL_PHYSICAL_BITS;
}

static int read_tree(reader_t *reader)
{
    reader->physical_bits = physical_bits(reader->fdt);
    if (read_chosen(reader) || read_bus(reader, 0, NULL, 0)) {
        return -1;
    }
    return reader->memory.count
               ? 0
               : complain(reader, -1,
                          "no node with device_type \"memory\" has memory that the "
                          "processor can reach");
}

/* Let what is `from` in [base, last] be `to`. */
static int paint(reader_t *reader, uint64_t base, uint64_t last, memory_kind_t from,
                 memory_kind_t to, const char *name)
{
    ranges_t hits = {0};
    int failed = 0;
    for (size_t i = 0; i < reader->map.count && !failed; i++) {
        const board_range_t *item = &reader->map.items[i];
        uint64_t first = item->base > base ? item->base : base;
        uint64_t end = item->last < last ? item->last : last;
        failed = item->kind == from && first <= end && ranges_add(&hits, first, end, to);
    }
    for (size_t i = 0; i < hits.count && !failed; i++) {
        const board_range_t *hit = &hits.items[i];
        failed = ranges_subtract(&reader->map, hit->base, hit->last) ||
                 ranges_add(&reader->map, hit->base, hit->last, to);
        if (!failed) {
            reader->map.items[reader->map.count - 1].name = name;
        }
    }
    ranges_free(&hits);
    ranges_sort(&reader->map);
    ranges_join(&reader->map);
    return failed ? no_memory(reader) : 0;
}

static int paint_all(reader_t *reader, const ranges_t *ranges, memory_kind_t from, memory_kind_t to)
{
    for (size_t i = 0; i < ranges->count; i++) {
        const board_range_t *item = &ranges->items[i];
        if (paint(reader, item->base, item->last, from, to, item->name)) {
            return -1;
        }
    }
    return 0;
}

/*
 * The kernel's image begins at the first memory, on a boundary of its own; memory below is not
 * used. Its first part is only needed to boot.
 */
static int place_kernel(reader_t *reader)
{
    for (size_t i = 0; i < reader->map.count; i++) {
        const board_range_t item = reader->map.items[i];
        uint64_t base = (item.base + KERNEL_ALIGN - 1) & ~(uint64_t)(KERNEL_ALIGN - 1);
        if (item.kind != HOSTED_MEMORY || base < item.base || item.last < base ||
            item.last - base < KERNEL_IMAGE) {
            continue;
        }
        return (base > item.base &&
                paint(reader, item.base, base - 1, HOSTED_MEMORY, HOSTED_RESERVED, NULL)) ||
                       paint(reader, base + KERNEL_BOOT, base + KERNEL_IMAGE - 1, HOSTED_MEMORY,
                             HOSTED_KERNEL, "the kernel's image")
                   ? -1
                   : 0;
    }
    return complain(reader, -1,
                    "no memory has room for the kernel's image: %#x bytes on a boundary "
                    "of 2 MiB",
                    KERNEL_IMAGE);
}

static int add_bank(ranges_t *banks, uint64_t base, uint64_t last)
{
    return ranges_add(banks, base, last, HOSTED_MEMORY);
}

/* Banks: memory in whole pages, and all that is around it in pieces. */
static int make_banks(reader_t *reader, ranges_t *banks)
{
    uint64_t next = 0, top = (1ul << reader->physical_bits) - 1;
    int failed = 0;
    for (size_t i = 0; i <= reader->map.count && !failed; i++) {
        bool end = i == reader->map.count;
        if (!end && reader->map.items[i].kind != HOSTED_MEMORY) {
            continue;
        }
        uint64_t base = end ? top + 1 : reader->map.items[i].base & ~(uint64_t)(PAGE - 1);
        while (next < base && !failed) {
            uint64_t last = next | (DEVICE_BANK - 1);
            last = last < base ? last : base - 1;
            failed = add_bank(banks, next, last);
            next = last + 1;
        }
        if (!end && !failed) {
            uint64_t last = reader->map.items[i].last | (PAGE - 1);
            base = base > next ? base : next;
            failed = base <= last && add_bank(banks, base, last);
            next = last + 1;
        }
    }
    return failed ? no_memory(reader) : 0;
}

static int make_map(reader_t *reader, ranges_t *banks)
{
    uint64_t top = (1ul << reader->physical_bits) - 1;
    if (ranges_add(&reader->map, 0, top, HOSTED_DEVICE)) {
        return no_memory(reader);
    }
    return paint_all(reader, &reader->memory, HOSTED_DEVICE, HOSTED_MEMORY) ||
                   make_banks(reader, banks) ||
                   paint_all(reader, &reader->reserved, HOSTED_MEMORY, HOSTED_RESERVED) ||
                   paint(reader, KERNEL_WINDOW_END, top, HOSTED_MEMORY, HOSTED_RESERVED, NULL) ||
                   paint_all(reader, &reader->kernel, HOSTED_DEVICE, HOSTED_KERNEL) ||
                   place_kernel(reader)
               ? -1
               : 0;
}

/* Naturally aligned powers of two, as large as possible, as the kernel hands them out; what is too
 * small to be made into anything it leaves out. */
static int cut(const reader_t *reader, ranges_t *pieces, const board_range_t *range)
{
    for (uint64_t base = range->base; base <= range->last;) {
        unsigned bits = seL4_MaxUntypedBits;
        while (base & ((1ul << bits) - 1) || (1ul << bits) - 1 > range->last - base) {
            bits--;
        }
        if (bits >= seL4_MinUntypedBits &&
            ranges_add(pieces, base, base + ((1ul << bits) - 1), range->kind)) {
            return no_memory(reader);
        }
        base += 1ul << bits;
    }
    return 0;
}

static int make_untypeds(reader_t *reader, ranges_t *untypeds)
{
    for (size_t i = 0; i < reader->map.count; i++) {
        const board_range_t *item = &reader->map.items[i];
        if (item->kind != HOSTED_KERNEL && cut(reader, untypeds, item)) {
            return -1;
        }
    }
    return 0;
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
        problem
            ? complain(&reader, -1, "no valid flattened device tree: %s", fdt_strerror(problem))
            : read_tree(&reader) || make_map(&reader, &banks) || make_untypeds(&reader, &untypeds);
    ranges_free(&reader.memory);
    ranges_free(&reader.reserved);
    ranges_free(&reader.kernel);
    *board = (board_t){.map = reader.map.items,
                       .num_ranges = reader.map.count,
                       .banks = banks.items,
                       .num_banks = banks.count,
                       .untypeds = untypeds.items,
                       .num_untypeds = untypeds.count,
                       .gicv_base = reader.gicv_base,
                       .num_serials = reader.num_serials};
    memcpy(board->serials, reader.serials, sizeof(board->serials));
    if (failed) {
        board_free(board);
    }
    return failed ? -1 : 0;
}

void board_free(board_t *board)
{
    free(board->map);
    free(board->banks);
    free(board->untypeds);
    *board = (board_t){0};
}
