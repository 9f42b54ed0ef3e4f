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
    memory(&board, "memory@0", 0, 0x200000);
    memory(&board, "memory@100000", 0x100000, 0x200000);
    assert_refused(&board, "overlap at 0x100000");
    begin(&board, 2, 1);
    memory(&board, "memory@0", 0, 0x200000);
    assert_refused(&board, "reg: 16 bytes");
}

static void buses_translate_and_are_checked(void **state)
{
    for (int good = 0; good < 2; good++) {
        board_t board;
        begin(&board, 2, 2);
        memory(&board, "memory@40000000", 0x40000000, 0x100000);
        fdt_begin_node(board.tree, "bus");
        fdt_property_string(board.tree, "compatible", "simple-bus");
        fdt_property_u32(board.tree, "#address-cells", 1);
        fdt_property_u32(board.tree, "#size-cells", 1);
        uint32_t ranges[] = {cpu_to_fdt32(0x1000), 0, cpu_to_fdt32(0x8000000),
                             cpu_to_fdt32(0x4000)};
        fdt_property(board.tree, "ranges", ranges, sizeof(ranges));
        fdt_begin_node(board.tree, "device");
        uint32_t reg[] = {cpu_to_fdt32(good ? 0x2100 : 0x9000), cpu_to_fdt32(0x100)};
        fdt_property(board.tree, "reg", reg, sizeof(reg));
        fdt_end_node(board.tree);
        fdt_end_node(board.tree);
        if (good) {
            hosted_system_t *system = boot(&board);
            assert_non_null(system);
            assert_non_null(hosted_physical_memory(system, 0x8001000, 0x1000));
            assert_null(hosted_physical_memory(system, 0x8002000, 1));
            hosted_system_destroy(system);
        } else {
            assert_refused(&board, "/bus: ranges: 0x9000 is in none");
        }
    }
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

static void reserved_and_device_ranges_are_cut_out(void **state)
{
    board_t board;
    memset(&board, 0, sizeof(board));
    fdt_create(board.tree, sizeof(board.tree));
    fdt_add_reservemap_entry(board.tree, 0x40010800, 0x100);
    fdt_finish_reservemap(board.tree);
    fdt_begin_node(board.tree, "");
    fdt_property_u32(board.tree, "#address-cells", 2);
    fdt_property_u32(board.tree, "#size-cells", 2);
    memory(&board, "memory@40000000", 0x40000000, 0x100000);
    fdt_begin_node(board.tree, "reserved-memory");
    fdt_property_u32(board.tree, "#address-cells", 2);
    fdt_property_u32(board.tree, "#size-cells", 2);
    fdt_property(board.tree, "ranges", NULL, 0);
    node(&board, "inside@40080000", 0x40080000, 0x1000);
    node(&board, "outside@50000000", 0x50000000, 0x2000);
    fdt_end_node(board.tree);
    node(&board, "first@10000200", 0x10000200, 0x200);
    node(&board, "second@10000e00", 0x10000e00, 0x400); /* shares the first's page */
    node(&board, "in-memory@40000000", 0x40000000, 0x1000);
    hosted_system_t *system = boot(&board);
    assert_non_null(system);
    assert_true(has_untyped(system, 0x10000000, 13, true));
    assert_true(has_untyped(system, 0x40000000, 16, false));
    assert_false(has_untyped(system, 0x40010000, 12, false));
    assert_true(has_untyped(system, 0x40011000, 12, false));
    assert_true(has_untyped(system, 0x40080000, 12, true));
    assert_true(has_untyped(system, 0x40081000, 12, false));
    assert_true(has_untyped(system, 0x50000000, 13, true));
    assert_non_null(hosted_physical_memory(system, 0x40000000, 0x100000));
    assert_null(hosted_physical_memory(system, 0x40000000, 0x100001));
    assert_null(hosted_physical_memory(system, 0x40000000, 0));
    hosted_system_destroy(system);
}

/* The kernel cleans memory where it sees it itself, which is below its last GiB. */
static void caches_end_with_the_kernels_window(void **state)
{
    static const uint64_t pages[] = {0x7fbffff000, 0x7fc0000000};
    board_t board;
    begin(&board, 2, 2);
    memory(&board, "memory@40000000", 0x40000000, 0x1000000);
    node(&board, "below@7fbffff000", pages[0], 0x1000);
    node(&board, "above@7fc0000000", pages[1], 0x1000);
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

static void too_many_untypeds_are_refused(void **state)
{
    board_t board;
    begin(&board, 2, 2);
    memory(&board, "memory@0", 0, 0x40000000);
    for (uint64_t i = 0; i < 60; i++) {
        char name[32];
        uint64_t base = 0x80001000 + i * 0x100000;
        snprintf(name, sizeof(name), "device@%lx", base);
        node(&board, name, base, 0x1e000);
    }
    assert_refused(&board, "untypeds are needed, but boot information holds 230");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_tree_is_refused),
        cmocka_unit_test(boards_without_sense_are_refused_by_name),
        cmocka_unit_test(buses_translate_and_are_checked),
        cmocka_unit_test(reserved_and_device_ranges_are_cut_out),
        cmocka_unit_test(caches_end_with_the_kernels_window),
        cmocka_unit_test(too_many_untypeds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
