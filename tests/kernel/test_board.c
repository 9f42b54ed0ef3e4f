/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Boards: what their device trees become, and one clear line for each that makes no sense. */

#include "world.h"

#include <libfdt.h>
#include <string.h>

typedef struct board {
    char tree[8192];
    char error[256];
} board_t;

static void begin(board_t *board, uint32_t address_cells, uint32_t size_cells)
{
    memset(board, 0, sizeof(*board));
    fdt_create(board->tree, sizeof(board->tree));
    fdt_finish_reservemap(board->tree);
    fdt_begin_node(board->tree, "");
    fdt_property_u32(board->tree, "#address-cells", address_cells);
    fdt_property_u32(board->tree, "#size-cells", size_cells);
}

/* A node with a reg of 64-bit address and size, and further properties to be added. */
static void open_node(board_t *board, const char *name, uint64_t base, uint64_t size)
{
    fdt64_t reg[] = {cpu_to_fdt64(base), cpu_to_fdt64(size)};
    fdt_begin_node(board->tree, name);
    fdt_property(board->tree, "reg", reg, sizeof(reg));
}

static void node(board_t *board, const char *name, uint64_t base, uint64_t size)
{
    open_node(board, name, base, size);
    fdt_end_node(board->tree);
}

static void memory(board_t *board, const char *name, uint64_t base, uint64_t size)
{
    open_node(board, name, base, size);
    fdt_property_string(board->tree, "device_type", "memory");
    fdt_end_node(board->tree);
}

static hosted_system_t *boot(board_t *board)
{
    fdt_end_node(board->tree);
    assert_int_equal(fdt_finish(board->tree), 0);
    return hosted_system_create(board->tree, fdt_totalsize(board->tree), board->error,
                                sizeof(board->error));
}

static void assert_refused(board_t *board, const char *why)
{
    assert_null(boot(board));
    if (!strstr(board->error, why)) {
        fail_msg("\"%s\" is not in \"%s\"", why, board->error);
    }
    assert_null(strchr(board->error, '\n'));
}

static void what_is_no_tree_is_refused(void **state)
{
    char error[128];
    board_t board;
    assert_null(hosted_system_create("not a tree", 10, error, sizeof(error)));
    assert_non_null(strstr(error, "device tree"));
    assert_null(hosted_system_create(NULL, 0, NULL, 0));
    begin(&board, 2, 2);
    memory(&board, "memory@0", 0, 0x100000);
    fdt_end_node(board.tree);
    fdt_finish(board.tree);
    for (size_t size = 0; size < fdt_totalsize(board.tree); size += 7) {
        assert_null(hosted_system_create(board.tree, size, error, sizeof(error)));
    }
    fdt_set_version(board.tree, 3);
    assert_null(hosted_system_create(board.tree, fdt_totalsize(board.tree), error, sizeof(error)));
    assert_non_null(strstr(error, "BADVERSION"));
    assert_null(hosted_system_create_from_file("/nowhere/board.dtb", error, sizeof(error)));
    assert_non_null(strstr(error, "/nowhere/board.dtb"));
}

static void boards_without_sense_are_refused_by_name(void **state)
{
    board_t board;
    begin(&board, 2, 2);
    assert_refused(&board, "memory");
    begin(&board, 3, 2);
    assert_refused(&board, "#address-cells");
    begin(&board, 2, 2);
    memory(&board, "memory@0", 0, 1ul << 41);
    assert_refused(&board, "/memory@0: reg: 0, 0x20000000000 is beyond 40");
    begin(&board, 2, 2);
    memory(&board, "memory@1000", 0x1000, -1ul);
    assert_refused(&board, "/memory@1000");
    begin(&board, 2, 2);
    memory(&board, "memory@100000", 0x100000, 0x300000);
    assert_refused(&board, "room for the kernel's image");
    begin(&board, 2, 2);
    memory(&board, "memory@0", 0, 0x1000000);
    fdt_begin_node(board.tree, "chosen");
    fdt_property_string(board.tree, "seL4,kernel-devices", "serial7\n");
    fdt_end_node(board.tree);
    assert_refused(&board, "/chosen: seL4,kernel-devices: there is no node \"serial7 \"");
    begin(&board, 2, 1);
    memory(&board, "memory@0", 0, 0x200000);
    assert_refused(&board, "reg: 16 bytes");
}

static bool has_untyped(hosted_system_t *system, seL4_Word paddr, unsigned bits, bool device)
{
    const seL4_BootInfo *info = hosted_bootinfo(system);
    for (seL4_Word i = 0; i < info->untyped.end - info->untyped.start; i++) {
        const seL4_UntypedDesc *untyped = &info->untypedList[i];
        if (untyped->paddr == paddr && untyped->sizeBits == bits && untyped->isDevice == device) {
            return true;
        }
    }
    return false;
}

/* What [base, last] is, as a whole. */
static bool is(hosted_system_t *system, hosted_physical_kind_t kind, seL4_Word base, seL4_Word last)
{
    const hosted_physical_range_t *ranges;
    size_t count = hosted_physical_ranges(system, &ranges), i = 0;
    while (i < count && ranges[i].last < base) {
        i++;
    }
    return i < count && ranges[i].base <= base && ranges[i].last >= last && ranges[i].kind == kind;
}

/* Each address is something, once; and what is not the kernel's is in untypeds, once. */
static void assert_complete(hosted_system_t *system, unsigned physical_bits)
{
    const hosted_physical_range_t *ranges;
    size_t count = hosted_physical_ranges(system, &ranges);
    seL4_Word next = 0, kept = 0, given = 0;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ranges[i].base, next);
        next = ranges[i].last + 1;
        assert_int_equal(ranges[i].name != NULL, ranges[i].kind == HOSTED_KERNEL);
        kept += ranges[i].kind == HOSTED_KERNEL ? next - ranges[i].base : 0;
    }
    assert_int_equal(next, 1ul << physical_bits);
    simple_t *simple = hosted_simple(system);
    for (int i = 0; i < simple_get_untyped_count(simple); i++) {
        size_t bits;
        uintptr_t paddr;
        bool device;
        assert_int_not_equal(simple_get_nth_untyped(simple, i, &bits, &paddr, &device), 0);
        given += 1ul << bits;
        assert_true(is(system, device ? HOSTED_DEVICE : HOSTED_MEMORY, paddr, paddr) ||
                    (device && is(system, HOSTED_RESERVED, paddr, paddr)));
    }
    assert_int_equal(kept + given, next);
}

static void every_address_is_something(void **state)
{
    board_t board;
    memset(&board, 0, sizeof(board));
    fdt_create(board.tree, sizeof(board.tree));
    fdt_add_reservemap_entry(board.tree, 0x41010000, 0x1000); /* for boot loaders: not the kernel */
    fdt_finish_reservemap(board.tree);
    fdt_begin_node(board.tree, "");
    fdt_property_u32(board.tree, "#address-cells", 2);
    fdt_property_u32(board.tree, "#size-cells", 2);
    memory(&board, "memory@40100000", 0x40100000, 0xff00000);
    memory(&board, "memory@48000000", 0x48000000, 0x10000000); /* overlaps */
    open_node(&board, "memory@80000000", 0x80000000, 0x10000000);
    fdt_property_string(board.tree, "device_type", "memory");
    fdt_property_string(board.tree, "status", "disabled");
    fdt_end_node(board.tree);
    fdt_begin_node(board.tree, "memory"); /* without reg */
    fdt_property_string(board.tree, "device_type", "memory");
    fdt_end_node(board.tree);
    fdt_begin_node(board.tree, "reserved-memory");
    fdt_property_u32(board.tree, "#address-cells", 2);
    fdt_property_u32(board.tree, "#size-cells", 2);
    fdt_property(board.tree, "ranges", NULL, 0);
    open_node(&board, "firmware@42000800", 0x42000800, 0x800);
    fdt_property(board.tree, "no-map", NULL, 0);
    fdt_end_node(board.tree);
    node(&board, "pool@44000000", 0x44000000, 0x4000000); /* Linux's, not the kernel's */
    fdt_end_node(board.tree);
    open_node(&board, "distributor@8000000", 0x8000000, 0x10000);
    fdt_property_string(board.tree, "compatible", "arm,gic-v3");
    fdt_end_node(board.tree);
    hosted_system_t *system = boot(&board);
    assert_non_null(system);
    assert_complete(system, 40);
    assert_true(is(system, HOSTED_DEVICE, 0, 0x7ffffff));
    assert_true(is(system, HOSTED_KERNEL, 0x8000000, 0x800ffff));
    assert_true(is(system, HOSTED_DEVICE, 0x8010000, 0x400fffff));
    assert_true(
        is(system, HOSTED_RESERVED, 0x40100000, 0x401fffff)); /* below a boundary of 2 MiB */
    assert_true(is(system, HOSTED_MEMORY, 0x40200000, 0x4020ffff));
    assert_true(is(system, HOSTED_KERNEL, 0x40210000, 0x40437fff));
    assert_true(is(system, HOSTED_MEMORY, 0x40438000, 0x420007ff));
    assert_true(is(system, HOSTED_RESERVED, 0x42000800, 0x42000fff));
    assert_true(is(system, HOSTED_MEMORY, 0x42001000, 0x57ffffff));
    assert_true(is(system, HOSTED_DEVICE, 0x58000000, 0xffffffffff));
    assert_true(has_untyped(system, 0x40200000, 16, false));
    assert_true(has_untyped(system, 0x8000000000, 39, true));
    assert_non_null(hosted_physical_memory(system, 0x40200000, 0x17e00000));
    assert_null(hosted_physical_memory(system, 0x40200000, 0x17e00001));
    assert_null(hosted_physical_memory(system, 0x40200000, 0));
    assert_non_null(hosted_physical_memory(system, 0xfffffff000, 0x1000));
    assert_null(hosted_physical_memory(system, 0x10000000000, 1));
    hosted_system_destroy(system);
}

/* A device on a bus with addresses of its own, one outside of the bus's ranges, a bus without
 * addresses, one that leads nowhere, and PCI's three cells: nobody's fault. */
static void what_the_processor_cannot_reach_is_skipped(void **state)
{
    static const struct {
        const char *bus;
        uint32_t cells, reg;
        bool ranges;
    } buses[] = {{"good", 1, 0x2000, true},
                 {"outside", 1, 0x9000, true},
                 {"nowhere", 1, 0x2000, false},
                 {"pci", 3, 0x2000, true}};
    for (size_t i = 0; i < sizeof(buses) / sizeof(buses[0]); i++) {
        board_t board;
        uint32_t ranges[] = {cpu_to_fdt32(0x1000), 0, cpu_to_fdt32(0x8000000),
                             cpu_to_fdt32(0x4000)};
        uint32_t reg[] = {cpu_to_fdt32(buses[i].reg), cpu_to_fdt32(0x100)};
        begin(&board, 2, 2);
        memory(&board, "memory@40000000", 0x40000000, 0x1000000);
        fdt_begin_node(board.tree, buses[i].bus);
        fdt_property_u32(board.tree, "#address-cells", buses[i].cells);
        fdt_property_u32(board.tree, "#size-cells", 1);
        if (buses[i].ranges) {
            fdt_property(board.tree, "ranges", ranges, sizeof(ranges));
        }
        fdt_begin_node(board.tree, "controller");
        fdt_property_string(board.tree, "compatible", "brcm,bcm2836-l1-intc");
        fdt_property(board.tree, "reg", reg, sizeof(reg));
        fdt_end_node(board.tree);
        fdt_begin_node(board.tree, "firmware");
        fdt_property_string(board.tree, "compatible", "simple-bus");
        fdt_end_node(board.tree);
        fdt_end_node(board.tree);
        hosted_system_t *system = boot(&board);
        assert_non_null(system);
        assert_complete(system, 40);
        assert_int_equal(is(system, HOSTED_KERNEL, 0x8001000, 0x8001fff), i == 0);
        hosted_system_destroy(system);
    }
}

/* Of two controllers the kernel has that one which its platform names; a large processor's physical
 * addresses have 44 bits. */
static void platform_files_say_what_is_the_kernels(void **state)
{
    for (int named = 0; named < 2; named++) {
        board_t board;
        begin(&board, 2, 2);
        memory(&board, "memory@40000000", 0x40000000, 0x1000000);
        fdt_begin_node(board.tree, "aliases");
        fdt_property_string(board.tree, "gic", "/gic@8000000");
        fdt_end_node(board.tree);
        fdt_begin_node(board.tree, "chosen");
        if (named) {
            fdt_property_string(board.tree, "seL4,kernel-devices", "gic");
        }
        fdt_end_node(board.tree);
        fdt_begin_node(board.tree, "cpus");
        fdt_begin_node(board.tree, "cpu@0");
        fdt_property_string(board.tree, "compatible", named ? "arm,cortex-a72" : "arm,cortex-a53");
        fdt_end_node(board.tree);
        fdt_end_node(board.tree);
        for (uint64_t base = 0x8000000; base <= 0x8100000; base += 0x100000) {
            char name[32];
            snprintf(name, sizeof(name), "gic@%lx", base);
            open_node(&board, name, base, 0x20000);
            fdt_property_string(board.tree, "compatible", "arm,gic-400");
            fdt_end_node(board.tree);
        }
        hosted_system_t *system = boot(&board);
        assert_non_null(system);
        assert_complete(system, named ? 44 : 40);
        assert_true(is(system, HOSTED_KERNEL, 0x8000000, 0x8000fff));
        assert_true(is(system, HOSTED_DEVICE, 0x8001000, 0x80fffff)); /* not all of the node's */
        assert_int_equal(is(system, HOSTED_KERNEL, 0x8100000, 0x8100fff), !named);
        hosted_system_destroy(system);
    }
}

/* The kernel cleans memory where it sees it itself, which is below its last GiB. */
static void caches_end_with_the_kernels_window(void **state)
{
    static const uint64_t pages[] = {0x7fbffff000, 0x7fc0000000};
    board_t board;
    begin(&board, 2, 2);
    memory(&board, "memory@40000000", 0x40000000, 0x1000000);
    world = boot(&board);
    assert_non_null(world);
    vka = hosted_vka(world);
    seL4_CPtr space = new_space();
    make_tables(space, 0, seL4_PageBits);
    for (seL4_Word i = 0; i < 2; i++) {
        vka_object_t frame;
        assert_int_equal(vka_alloc_object_at(vka, seL4_ARM_SmallPageObject, 12, pages[i], &frame),
                         0);
        assert_error(map(frame.cptr, space, i << seL4_PageBits), seL4_NoError);
        assert_error(seL4_ARM_Page_Clean_Data(frame.cptr, 0, 0x1000),
                     i == 0 ? seL4_NoError : seL4_IllegalOperation);
    }
    hosted_system_destroy(world);
}

/* Boot information has room for 230, in its page; the rest is there all the same. */
static void there_may_be_any_number_of_untypeds(void **state)
{
    board_t board;
    begin(&board, 2, 2);
    memory(&board, "memory@0", 0, 0x40000000);
    fdt_begin_node(board.tree, "reserved-memory");
    fdt_property_u32(board.tree, "#address-cells", 2);
    fdt_property_u32(board.tree, "#size-cells", 2);
    fdt_property(board.tree, "ranges", NULL, 0);
    for (uint64_t i = 0; i < 60; i++) {
        char name[32];
        uint64_t base = 0x1001000 + i * 0x100000;
        snprintf(name, sizeof(name), "hole@%lx", base);
        open_node(&board, name, base, 0x1e000);
        fdt_property(board.tree, "no-map", NULL, 0);
        fdt_end_node(board.tree);
    }
    fdt_end_node(board.tree);
    world = boot(&board);
    assert_non_null(world);
    assert_complete(world, 40);
    simple_t *simple = hosted_simple(world);
    const seL4_BootInfo *info = hosted_bootinfo(world);
    int count = simple_get_untyped_count(simple);
    assert_true(count > CONFIG_MAX_NUM_BOOTINFO_UNTYPED_CAPS);
    assert_int_equal(info->untyped.end - info->untyped.start, CONFIG_MAX_NUM_BOOTINFO_UNTYPED_CAPS);
    assert_int_equal(info->empty.start, info->untyped.start + count + 1);
    vka_object_t frame;
    assert_int_equal(vka_alloc_frame_at(hosted_vka(world), 21, 0x3fe00000, &frame), 0);
    hosted_system_destroy(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_tree_is_refused),
        cmocka_unit_test(boards_without_sense_are_refused_by_name),
        cmocka_unit_test(every_address_is_something),
        cmocka_unit_test(what_the_processor_cannot_reach_is_skipped),
        cmocka_unit_test(platform_files_say_what_is_the_kernels),
        cmocka_unit_test(caches_end_with_the_kernels_window),
        cmocka_unit_test(there_may_be_any_number_of_untypeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
