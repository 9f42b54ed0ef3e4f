/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What the parser of VM descriptions promises: a model that says what the tree says, and one line
 * that names the file, the node, the property and the reason for anything else, whatever the bytes.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "description.h"
#include "dtb_strip.h"
#include "tree.h"

#include <stdio.h>
#include <string.h>

static tree_t tree;

static vm_description_t *parse(size_t size, cli_error_t *error)
{
    memset(error, 0, sizeof(*error));
    return vm_description_parse(tree.bytes, size, "vm.dtb", error);
}

static vm_description_t *parse_good(size_t size)
{
    cli_error_t error;
    vm_description_t *description = parse(size, &error);
    assert_string_equal(error.line, "");
    assert_non_null(description);
    return description;
}

static void an_empty_tree_is_a_vm_without_memory(void **state)
{
    vm_description_t *description;
    tree_begin(&tree);
    description = parse_good(tree_end(&tree));
    assert_int_equal(description->num_ranges, 0);
    assert_int_equal(description->entry, 0);
    assert_null(description->board);
    vm_description_free(description);
}

static void root_properties_are_read(void **state)
{
    vm_description_t *description;
    tree_begin(&tree);
    tree_string(&tree, "model", "a model");
    tree_string(&tree, "guestmem,board", "some-board");
    tree_string(&tree, "guestmem,engine", "unicorn");
    tree_u32(&tree, "guestmem,entry", 0x40080000);
    tree_u64(&tree, "guestmem,x0", UINT64_C(0x123456789abcdef0));
    tree_u32(&tree, "guestmem,x3", 3);
    description = parse_good(tree_end(&tree));
    assert_string_equal(description->model, "a model");
    assert_string_equal(description->board, "some-board");
    assert_string_equal(description->engine, "unicorn");
    assert_int_equal(description->entry, 0x40080000);
    assert_int_equal(description->x[0], UINT64_C(0x123456789abcdef0));
    assert_int_equal(description->x[1], 0);
    assert_int_equal(description->x[3], 3);
    vm_description_free(description);
}

static void every_backing_is_known(void **state)
{
    vm_description_t *description;
    tree_begin(&tree);
    for (unsigned i = 0; i < VM_NUM_BACKINGS; i++) {
        char name[32];
        snprintf(name, sizeof(name), "range@%x000", i);
        tree_open(&tree, name);
        tree_reg(&tree, (uint64_t)i * 0x1000, 0x1000);
        tree_string(&tree, "guestmem,backing", vm_backing_name(i));
        if (i == VM_BACKING_UNTYPED_AT) {
            tree_u32(&tree, "guestmem,paddr", 0x80000000);
        }
        if (i == VM_BACKING_EMULATED) {
            tree_string(&tree, "guestmem,device", "ones");
        }
        tree_close(&tree);
    }
    description = parse_good(tree_end(&tree));
    assert_int_equal(description->num_ranges, VM_NUM_BACKINGS);
    for (unsigned i = 0; i < VM_NUM_BACKINGS; i++) {
        assert_int_equal(description->ranges[i].backing, i);
        assert_int_equal(description->ranges[i].base, i * 0x1000);
        assert_int_equal(description->ranges[i].size, 0x1000);
        assert_int_equal(description->ranges[i].rights, VM_RIGHTS_READ_WRITE);
    }
    assert_int_equal(description->ranges[VM_BACKING_UNTYPED_AT].paddr, 0x80000000);
    assert_string_equal(description->ranges[VM_BACKING_EMULATED].device, "ones");
    assert_string_equal(description->ranges[VM_BACKING_RAM].name, "range@0000");
    assert_string_equal(description->ranges[VM_BACKING_RAM].path, "/range@0000");
    vm_description_free(description);
}

static void each_entry_of_reg_is_a_range(void **state)
{
    fdt64_t reg[4] = {cpu_to_fdt64(0x1000), cpu_to_fdt64(0x1000), cpu_to_fdt64(0x8000),
                      cpu_to_fdt64(0x2000)};
    vm_description_t *description;
    tree_begin(&tree);
    tree_open(&tree, "banks@1000");
    tree_must(fdt_property(tree.bytes, "reg", reg, sizeof(reg)));
    tree_string(&tree, "guestmem,backing", "untyped-at");
    tree_u64(&tree, "guestmem,paddr", 0x60000000);
    tree_string(&tree, "guestmem,load", "file");
    tree_close(&tree);
    description = parse_good(tree_end(&tree));
    assert_int_equal(description->num_ranges, 2);
    assert_string_equal(description->ranges[0].name, "banks@1000");
    assert_string_equal(description->ranges[1].name, "banks@1000[1]");
    assert_int_equal(description->ranges[1].base, 0x8000);
    assert_int_equal(description->ranges[1].size, 0x2000);
    /* The physical memory goes on; the file is for the first entry. */
    assert_int_equal(description->ranges[1].paddr, 0x60001000);
    assert_string_equal(description->ranges[0].load, "file");
    assert_null(description->ranges[1].load);
    vm_description_free(description);
}

static void addresses_pass_through_the_ranges_of_buses(void **state)
{
    fdt32_t ranges[4] = {cpu_to_fdt32(0x100), cpu_to_fdt32(0x40), cpu_to_fdt32(0x10000000),
                         cpu_to_fdt32(0x1000)};
    fdt32_t reg[2] = {cpu_to_fdt32(0x180), cpu_to_fdt32(0x10)};
    vm_description_t *description;
    tree_begin(&tree);
    tree_open(&tree, "bus@4010000000");
    tree_u32(&tree, "#address-cells", 1);
    tree_u32(&tree, "#size-cells", 1);
    tree_must(fdt_property(tree.bytes, "ranges", ranges, sizeof(ranges)));
    tree_open(&tree, "device@180");
    tree_must(fdt_property(tree.bytes, "reg", reg, sizeof(reg)));
    tree_string(&tree, "guestmem,backing", "frames");
    tree_close(&tree);
    tree_close(&tree);
    description = parse_good(tree_end(&tree));
    assert_int_equal(description->ranges[0].base, UINT64_C(0x4010000080));
    assert_int_equal(description->ranges[0].size, 0x10);
    assert_string_equal(description->ranges[0].path, "/bus@4010000000/device@180");
    vm_description_free(description);
}

static void the_last_byte_of_the_address_space_can_be_described(void **state)
{
    vm_description_t *description;
    tree_begin(&tree);
    tree_range(&tree, "top", UINT64_MAX - 0xfff, 0x1000, "frames");
    description = parse_good(tree_end(&tree));
    assert_int_equal(description->ranges[0].base, UINT64_MAX - 0xfff);
    vm_description_free(description);
}

static size_t sample_tree(void)
{
    tree_begin(&tree);
    tree_string(&tree, "guestmem,board", "some-board");
    tree_range(&tree, "memory@40000000", 0x40000000, 0x8000000, "ram");
    tree_open(&tree, "page@b000000");
    tree_reg(&tree, 0x0b000000, 0x1000);
    tree_string(&tree, "guestmem,backing", "allocated-frame");
    tree_string(&tree, "guestmem,rights", "ro");
    tree_string(&tree, "guestmem,device", "log");
    tree_close(&tree);
    return tree_end(&tree);
}

static void every_truncation_is_refused(void **state)
{
    size_t size = sample_tree();
    for (size_t length = 0; length < size; length++) {
        /* In a buffer of its own, so that a sanitizer sees a read past its end. */
        char *part = malloc(length + 1);
        cli_error_t error = {0};
        assert_non_null(part);
        memcpy(part, tree.bytes, length);
        assert_null(vm_description_parse(part, length, "vm.dtb", &error));
        assert_non_null(strstr(error.line, "truncated"));
        free(part);
    }
}

static void no_damaged_byte_breaks_the_parser_or_the_copy(void **state)
{
    size_t size = sample_tree();
    unsigned refused = 0;
    size_t stripped_size;
    for (size_t i = 0; i < size; i++) {
        for (unsigned flip = 1; flip < 256; flip <<= 1) {
            cli_error_t error = {0};
            vm_description_t *description;
            tree.bytes[i] = (char)(tree.bytes[i] ^ flip);
            description = vm_description_parse(tree.bytes, size, "vm.dtb", &error);
            refused += description == NULL;
            assert_true((description == NULL) == (error.line[0] != '\0'));
            if (description != NULL) {
                free(dtb_strip(description, &stripped_size, &error));
            }
            vm_description_free(description);
            tree.bytes[i] = (char)(tree.bytes[i] ^ flip);
        }
    }
    assert_true(refused > 0);
}

/* libfdt 1.6.1 would follow a null pointer here: the root's name is no path. */
static void trees_of_old_versions_are_refused(void **state)
{
    size_t size = sample_tree();
    cli_error_t error = {0};
    fdt_set_version(tree.bytes, 3);
    assert_null(vm_description_parse(tree.bytes, size, "vm.dtb", &error));
    assert_non_null(strstr(error.line, "version 3"));
}

static void names_cannot_drive_the_terminal(void **state)
{
    cli_error_t error;
    tree_begin(&tree);
    tree_range(&tree, "n\x1b[2J", 0, 0, "ram");
    assert_null(parse(tree_end(&tree), &error));
    assert_null(strchr(error.line, '\x1b'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_tree_is_a_vm_without_memory),
        cmocka_unit_test(root_properties_are_read),
        cmocka_unit_test(every_backing_is_known),
        cmocka_unit_test(each_entry_of_reg_is_a_range),
        cmocka_unit_test(addresses_pass_through_the_ranges_of_buses),
        cmocka_unit_test(the_last_byte_of_the_address_space_can_be_described),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(no_damaged_byte_breaks_the_parser_or_the_copy),
        cmocka_unit_test(trees_of_old_versions_are_refused),
        cmocka_unit_test(names_cannot_drive_the_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
