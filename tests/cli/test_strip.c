/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What the guest's device tree promises: all that is for the guest, and nothing of guestmem.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "description.h"
#include "dtb_strip.h"
#include "tree.h"

#include <stdbool.h>
#include <string.h>

static tree_t tree;

/** Parse the finished tree, let `place` choose addresses, and strip it. */
static void *strip(size_t size, uint64_t placed_base)
{
    cli_error_t error = {0};
    vm_description_t *description = vm_description_parse(tree.bytes, size, "vm.dtb", &error);
    size_t stripped_size;
    void *stripped;
    assert_non_null(description);
    for (size_t i = 0; i < description->num_ranges; i++) {
        if (description->ranges[i].placed_by_library) {
            description->ranges[i].base = placed_base;
        }
    }
    stripped = dtb_strip(description, &stripped_size, &error);
    if (stripped != NULL) {
        assert_int_equal(fdt_check_full(stripped, stripped_size), 0);
    } else {
        assert_non_null(strstr(error.line, "guestmem,device-tree"));
    }
    vm_description_free(description);
    return stripped;
}

static void no_guestmem_property_is_left(void **state)
{
    void *stripped;
    size_t size;
    tree_begin(&tree);
    tree_string(&tree, "compatible", "kept");
    tree_string(&tree, "guestmem,board", "some-board");
    tree_range(&tree, "memory@0", 0, 0x1000, "ram");
    stripped = strip(tree_end(&tree), 0);
    assert_non_null(stripped);
    size = fdt_totalsize(stripped);
    for (size_t i = 0; i + 9 <= size; i++) {
        assert_int_not_equal(memcmp((char *)stripped + i, "guestmem,", 9), 0);
    }
    assert_string_equal(fdt_getprop(stripped, 0, "compatible", NULL), "kept");
    assert_true(fdt_path_offset(stripped, "/memory@0") >= 0);
    free(stripped);
}

static void hidden_nodes_are_left_out_with_all_below(void **state)
{
    void *stripped;
    tree_begin(&tree);
    tree_open(&tree, "before");
    tree_close(&tree);
    tree_open(&tree, "secret");
    tree_must(fdt_property(tree.bytes, "guestmem,hidden", "", 0));
    tree_open(&tree, "below");
    tree_open(&tree, "deeper");
    tree_close(&tree);
    tree_close(&tree);
    tree_close(&tree);
    tree_open(&tree, "after");
    tree_open(&tree, "below");
    tree_close(&tree);
    tree_close(&tree);
    stripped = strip(tree_end(&tree), 0);
    assert_non_null(stripped);
    assert_true(fdt_path_offset(stripped, "/before") >= 0);
    assert_true(fdt_path_offset(stripped, "/after/below") >= 0);
    assert_int_equal(fdt_path_offset(stripped, "/secret"), -FDT_ERR_NOTFOUND);
    assert_int_equal(fdt_path_offset(stripped, "/secret/below"), -FDT_ERR_NOTFOUND);
    free(stripped);
}

static void memory_reservations_are_kept(void **state)
{
    void *stripped;
    uint64_t address;
    uint64_t size;
    tree_must(fdt_create(tree.bytes, TREE_SIZE));
    tree_must(fdt_add_reservemap_entry(tree.bytes, 0x1000, 0x2000));
    tree_must(fdt_finish_reservemap(tree.bytes));
    tree_must(fdt_begin_node(tree.bytes, ""));
    stripped = strip(tree_end(&tree), 0);
    assert_non_null(stripped);
    assert_int_equal(fdt_num_mem_rsv(stripped), 1);
    assert_int_equal(fdt_get_mem_rsv(stripped, 0, &address, &size), 0);
    assert_int_equal(address, 0x1000);
    assert_int_equal(size, 0x2000);
    free(stripped);
}

/** A node that gets its address from a region. */
static size_t placed_tree(unsigned address_cells)
{
    tree_must(fdt_create(tree.bytes, TREE_SIZE));
    tree_must(fdt_finish_reservemap(tree.bytes));
    tree_must(fdt_begin_node(tree.bytes, ""));
    tree_u32(&tree, "#address-cells", address_cells);
    tree_u32(&tree, "#size-cells", 1);
    tree_open(&tree, "placed");
    tree_u32(&tree, "guestmem,size", 0x5000);
    tree_string(&tree, "guestmem,backing", "frames");
    tree_close(&tree);
    return tree_end(&tree);
}

static void placed_nodes_tell_their_address(void **state)
{
    void *stripped = strip(placed_tree(2), UINT64_C(0x8012345000));
    const fdt32_t *reg;
    int length;
    assert_non_null(stripped);
    reg = fdt_getprop(stripped, fdt_path_offset(stripped, "/placed"), "reg", &length);
    assert_non_null(reg);
    assert_int_equal(length, 12);
    assert_int_equal(fdt32_ld(&reg[0]), 0x80);
    assert_int_equal(fdt32_ld(&reg[1]), 0x12345000);
    assert_int_equal(fdt32_ld(&reg[2]), 0x5000);
    free(stripped);
}

static void an_address_that_does_not_fit_its_cells_is_an_error(void **state)
{
    assert_null(strip(placed_tree(1), UINT64_C(0x8012345000)));
}

/** Parse and strip a tree, whatever comes of it. @return whether it was accepted */
static bool try_tree(size_t size)
{
    cli_error_t error = {0};
    vm_description_t *description = vm_description_parse(tree.bytes, size, "vm.dtb", &error);
    size_t stripped_size;
    if (description == NULL) {
        assert_true(error.line[0] != '\0');
        return false;
    }
    free(dtb_strip(description, &stripped_size, &error));
    vm_description_free(description);
    return true;
}

/* libfdt 1.6.1 finds nothing wrong with the length -1 of a property without value. */
static void a_negative_length_is_refused(void **state)
{
    size_t size;
    int offset;
    int length;
    void *property;
    tree_begin(&tree);
    tree_must(fdt_property(tree.bytes, "empty", "", 0));
    size = tree_end(&tree);
    offset = fdt_first_property_offset(tree.bytes, 0);
    while (fdt_get_property_by_offset(tree.bytes, offset, &length)->len != 0) {
        offset = fdt_next_property_offset(tree.bytes, offset);
    }
    assert_true(try_tree(size));
    property = (void *)(uintptr_t)fdt_get_property_by_offset(tree.bytes, offset, &length);
    ((struct fdt_property *)property)->len = cpu_to_fdt32(UINT32_MAX);
    assert_false(try_tree(size));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_guestmem_property_is_left),
        cmocka_unit_test(hidden_nodes_are_left_out_with_all_below),
        cmocka_unit_test(memory_reservations_are_kept),
        cmocka_unit_test(placed_nodes_tell_their_address),
        cmocka_unit_test(an_address_that_does_not_fit_its_cells_is_an_error),
        cmocka_unit_test(a_negative_length_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
