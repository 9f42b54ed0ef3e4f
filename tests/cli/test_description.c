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

/** Parse what is wrong: the line begins with the place and contains the reason. */
static void parse_bad(size_t size, const char *place, const char *reason)
{
    cli_error_t error;
    vm_description_t *description = parse(size, &error);

    assert_null(description);
    if (strncmp(error.line, place, strlen(place)) != 0 || strstr(error.line, reason) == NULL) {
        fail_msg("\"%s\" does not say \"%s\" ... \"%s\"", error.line, place, reason);
    }
    assert_null(strchr(error.line, '\n'));
}

static void an_empty_tree_is_a_vm_without_memory(void **state)
{
    vm_description_t *description;

    (void)state;
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

    (void)state;
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

    (void)state;
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

    (void)state;
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

    (void)state;
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

    (void)state;
    tree_begin(&tree);
    tree_range(&tree, "top", UINT64_MAX - 0xfff, 0x1000, "frames");
    description = parse_good(tree_end(&tree));
    assert_int_equal(description->ranges[0].base, UINT64_MAX - 0xfff);
    vm_description_free(description);
}

/** A node "n" with a reg, a backing and one more property. */
static size_t one_node(const char *backing, const char *property, const void *value, int size)
{
    tree_begin(&tree);
    tree_open(&tree, "n");
    tree_reg(&tree, 0x1000, 0x1000);
    tree_string(&tree, "guestmem,backing", backing);
    if (property != NULL) {
        tree_must(fdt_property(tree.bytes, property, value, size));
    }
    tree_close(&tree);
    return tree_end(&tree);
}

static void wrong_properties_are_named(void **state)
{
    static const struct {
        const char *backing;
        const char *property;
        const char *value;
        int size;
        const char *reason;
    } cases[] = {
        {"wool", NULL, NULL, 0, "/n: guestmem,backing: unknown backing \"wool\""},
        {"ram", "guestmem,colour", "red", 4, "/n: guestmem,colour: no such property"},
        {"ram", "guestmem,rights", "ro", 3, "/n: guestmem,rights: has no effect"},
        {"ram", "guestmem,paddr", "\0\0\0\0", 4, "/n: guestmem,paddr: has no effect"},
        {"ram", "guestmem,load-offset", "\0\0\0\0", 4, "has no effect without guestmem,load"},
        {"ram", "guestmem,load", "a\0b", 4, "/n: guestmem,load: must be one string"},
        {"ram", "guestmem,load", "a\nb", 4, "printable"},
        {"ram", "guestmem,load", "ab", 2, "/n: guestmem,load: must be one string"},
        {"ram", "guestmem,load", "", 1, "/n: guestmem,load: must be one string"},
        {"ram", "guestmem,load", "", 0, "/n: guestmem,load: must be one string"},
        {"allocated-frame", "guestmem,rights", "rwx", 4, "\"rwx\" is none of"},
        {"untyped-at", NULL, NULL, 0, "/n: guestmem,paddr: missing"},
        {"untyped-at", "guestmem,paddr", "abc", 3, "one number of 32 or 64 bits"},
        {"untyped-at", "guestmem,paddr", "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "wraps around"},
        {"emulated", NULL, NULL, 0, "/n: guestmem,device: missing"},
        {"ram", "guestmem,size", "\0\0\x10\0", 4, "not allowed together with reg"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        parse_bad(one_node(cases[i].backing, cases[i].property, cases[i].value, cases[i].size),
                  "vm.dtb: /n: ", cases[i].reason);
    }
}

static void a_property_without_backing_is_refused(void **state)
{
    (void)state;
    tree_begin(&tree);
    tree_open(&tree, "n");
    tree_reg(&tree, 0, 0x1000);
    tree_string(&tree, "guestmem,load", "file");
    tree_close(&tree);
    parse_bad(tree_end(&tree), "vm.dtb: /n: guestmem,load: ", "without guestmem,backing");
}

static void unknown_root_properties_are_refused(void **state)
{
    static const char *const names[] = {"guestmem,x4",      "guestmem,x",      "guestmem,x10",
                                        "guestmem,backing", "guestmem,hidden", "guestmem,boards"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        tree_begin(&tree);
        tree_u32(&tree, names[i], 0);
        parse_bad(tree_end(&tree), "vm.dtb: /: guestmem,", "no such property of the root node");
    }
}

static void an_entry_between_instructions_is_refused(void **state)
{
    (void)state;
    tree_begin(&tree);
    tree_u32(&tree, "guestmem,entry", 2);
    parse_bad(tree_end(&tree), "vm.dtb: /: guestmem,entry: ", "0x2 is not a multiple of 4");
}

static void ranges_that_are_none_are_refused(void **state)
{
    (void)state;
    tree_begin(&tree);
    tree_range(&tree, "n", 0x1000, 0, "ram");
    parse_bad(tree_end(&tree), "vm.dtb: /n: reg: ", "at 0x1000 has size 0");

    tree_begin(&tree);
    tree_range(&tree, "n", UINT64_MAX - 0xfff, 0x1001, "ram");
    parse_bad(tree_end(&tree), "vm.dtb: /n: reg: ", "wraps around");

    tree_begin(&tree);
    tree_range(&tree, "n", 0x1000, 0x2000, "allocated-frame");
    parse_bad(tree_end(&tree), "vm.dtb: /n: reg [0x1000, 0x2fff]: ", "must be 0x1000");

    tree_begin(&tree);
    tree_open(&tree, "n");
    tree_string(&tree, "guestmem,backing", "ram");
    tree_close(&tree);
    parse_bad(tree_end(&tree), "vm.dtb: /n: reg: ", "missing");

    tree_begin(&tree);
    tree_open(&tree, "n");
    tree_string(&tree, "guestmem,backing", "ram");
    tree_u32(&tree, "guestmem,size", 0);
    tree_close(&tree);
    parse_bad(tree_end(&tree), "vm.dtb: /n: guestmem,size: ", "must not be 0");
}

static void cells_that_make_no_range_are_refused(void **state)
{
    (void)state;
    tree_begin(&tree);
    tree_open(&tree, "n");
    tree_u32(&tree, "reg", 0);
    tree_string(&tree, "guestmem,backing", "ram");
    tree_close(&tree);
    parse_bad(tree_end(&tree), "vm.dtb: /n: reg: ", "has 4 bytes, not a multiple of the 16");

    for (unsigned cells = 0; cells < 6; cells += 3) {
        tree_begin(&tree);
        tree_open(&tree, "bus");
        tree_u32(&tree, "#address-cells", cells);
        tree_must(fdt_property(tree.bytes, "ranges", "", 0));
        tree_range(&tree, "n", 0, 0x1000, "ram");
        tree_close(&tree);
        parse_bad(tree_end(&tree), "vm.dtb: /bus: #address-cells: ", "must be 1 or 2");
    }
}

static void a_bus_that_passes_nothing_on_is_named(void **state)
{
    fdt64_t ranges[3] = {0, cpu_to_fdt64(0x10000000), cpu_to_fdt64(0x1000)};

    (void)state;
    tree_begin(&tree);
    tree_open(&tree, "bus");
    tree_u32(&tree, "#address-cells", 2);
    tree_u32(&tree, "#size-cells", 2);
    tree_range(&tree, "n", 0x3000, 0x1000, "ram");
    tree_close(&tree);
    parse_bad(tree_end(&tree), "vm.dtb: /bus: ranges: ", "no guest-physical address");

    tree_begin(&tree);
    tree_open(&tree, "bus");
    tree_u32(&tree, "#address-cells", 2);
    tree_u32(&tree, "#size-cells", 2);
    tree_must(fdt_property(tree.bytes, "ranges", ranges, sizeof(ranges)));
    tree_range(&tree, "n", 0x3000, 0x1000, "ram");
    tree_close(&tree);
    parse_bad(tree_end(&tree), "vm.dtb: /bus/n: reg: ", "outside the ranges of its bus");
}

static void nesting_has_a_limit(void **state)
{
    (void)state;
    tree_begin(&tree);
    for (unsigned i = 0; i < 40; i++) {
        tree_open(&tree, "n");
    }
    for (unsigned i = 0; i < 40; i++) {
        tree_close(&tree);
    }
    parse_bad(tree_end(&tree), "vm.dtb: /n/n/", "nested deeper");
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

    (void)state;
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

static void no_damaged_byte_breaks_the_parser(void **state)
{
    size_t size = sample_tree();
    unsigned refused = 0;

    (void)state;
    for (size_t i = 0; i < size; i++) {
        for (unsigned flip = 1; flip < 256; flip <<= 1) {
            cli_error_t error = {0};
            vm_description_t *description;
            tree.bytes[i] = (char)(tree.bytes[i] ^ flip);
            description = vm_description_parse(tree.bytes, size, "vm.dtb", &error);
            refused += description == NULL;
            assert_true((description == NULL) == (error.line[0] != '\0'));
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

    (void)state;
    fdt_set_version(tree.bytes, 3);
    assert_null(vm_description_parse(tree.bytes, size, "vm.dtb", &error));
    assert_non_null(strstr(error.line, "version 3"));
}

static void names_cannot_drive_the_terminal(void **state)
{
    cli_error_t error;

    (void)state;
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
        cmocka_unit_test(wrong_properties_are_named),
        cmocka_unit_test(a_property_without_backing_is_refused),
        cmocka_unit_test(unknown_root_properties_are_refused),
        cmocka_unit_test(an_entry_between_instructions_is_refused),
        cmocka_unit_test(ranges_that_are_none_are_refused),
        cmocka_unit_test(cells_that_make_no_range_are_refused),
        cmocka_unit_test(a_bus_that_passes_nothing_on_is_named),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(no_damaged_byte_breaks_the_parser),
        cmocka_unit_test(trees_of_old_versions_are_refused),
        cmocka_unit_test(names_cannot_drive_the_terminal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
