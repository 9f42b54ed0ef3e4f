/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What the parser of VM descriptions promises: a model that says what the tree says, one line for
 * anything else, whatever the bytes; and a tree for the guest that has nothing of guestmem.
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
#include <stdbool.h>

static tree_t tree;

/* What the guest's tree is made with. */
static dtb_chosen_t chosen;

static vm_system_t *file; /* what was parsed last */

static vm_description_t *parse_bytes(const void *bytes, size_t size, cli_error_t *error)
{
    memset(error, 0, sizeof(*error));
    file = vm_system_parse(bytes, size, "vm.dtb", error);
    return file != NULL ? file->vms[0] : NULL;
}

static vm_description_t *parse(size_t size, cli_error_t *error)
{
    return parse_bytes(tree.bytes, size, error);
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
    assert_false(description->has_entry || description->has_x0);
    assert_null(description->board);
    vm_system_free(file);
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
    assert_true(description->has_entry && description->has_x0);
    vm_system_free(file);
}

static void every_backing_is_known(void **state)
{
    vm_description_t *description;
    tree_begin(&tree);
    for (unsigned i = 0; i < VM_BACKING_SHARED; i++) { /* which is of several VMs */
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
    assert_int_equal(description->num_ranges, VM_BACKING_SHARED);
    for (unsigned i = 0; i < VM_BACKING_SHARED; i++) {
        assert_int_equal(description->ranges[i].backing, i);
        assert_int_equal(description->ranges[i].base, i * 0x1000);
        assert_int_equal(description->ranges[i].size, 0x1000);
        assert_int_equal(description->ranges[i].rights, VM_RIGHTS_READ_WRITE);
    }
    assert_int_equal(description->ranges[VM_BACKING_UNTYPED_AT].paddr, 0x80000000);
    assert_string_equal(description->ranges[VM_BACKING_EMULATED].device, "ones");
    assert_string_equal(description->ranges[VM_BACKING_RAM].name, "range@0000");
    assert_string_equal(description->ranges[VM_BACKING_RAM].path, "/range@0000");
    vm_system_free(file);
}

static void nodes_that_are_off_are_left_out_with_all_below(void **state)
{
    static const char *const status[] = {"disabled", "okay", "ok", "fail", "okay "};
    vm_description_t *description;
    tree_begin(&tree);
    for (unsigned i = 0; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof(name), "bus@%u", i);
        tree_open(&tree, name);
        tree_string(&tree, "status", status[i]);
        tree_u32(&tree, "#address-cells", 2);
        tree_u32(&tree, "#size-cells", 2);
        tree_must(fdt_property(tree.bytes, "ranges", "", 0));
        snprintf(name, sizeof(name), "range@%u000", i);
        tree_open(&tree, name);
        tree_reg(&tree, (uint64_t)i * 0x1000, 0x1000);
        tree_string(&tree, "guestmem,backing", "ram");
        tree_close(&tree);
        tree_close(&tree);
    }
    description = parse_good(tree_end(&tree));
    assert_int_equal(description->num_ranges, 2);
    assert_string_equal(description->ranges[0].path, "/bus@1/range@1000");
    assert_string_equal(description->ranges[1].path, "/bus@2/range@2000");
    vm_system_free(file);
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
    assert_int_equal(description->num_contents, 1);
    assert_string_equal(description->contents[0].file, "file");
    assert_int_equal(description->contents[0].range, 0);
    vm_system_free(file);
}

static void contents_are_read_in_the_order_of_the_tree(void **state)
{
    static const vm_content_t expected[] = {
        {"kernel", 0, 0x200000, VM_CONTENT_FILE, true}, {"data", 0, 0x123, VM_CONTENT_FILE, true},
        {"self", 0, 0, VM_CONTENT_TREE, false},         {"initrd", 1, 0, VM_CONTENT_INITRD, false},
        {"more", 2, 0x10, VM_CONTENT_FILE, true},
    };
    fdt64_t offsets[] = {cpu_to_fdt64(0x200000), cpu_to_fdt64(0x123)};
    vm_description_t *description;
    tree_begin(&tree);
    tree_open(&tree, "a@0");
    tree_reg(&tree, 0, 0x400000);
    tree_string(&tree, "guestmem,backing", "ram");
    tree_string(&tree, "guestmem,device-tree", "self");
    tree_must(fdt_property(tree.bytes, "guestmem,load", "kernel\0data", 12));
    tree_must(fdt_property(tree.bytes, "guestmem,load-offset", offsets, sizeof(offsets)));
    tree_open(&tree, "b");
    tree_u32(&tree, "guestmem,size", 0x1000);
    tree_string(&tree, "guestmem,backing", "ram");
    tree_string(&tree, "guestmem,initrd", "initrd");
    tree_close(&tree);
    tree_close(&tree);
    tree_open(&tree, "c@800000");
    tree_reg(&tree, 0x800000, 0x1000);
    tree_string(&tree, "guestmem,backing", "frames");
    tree_string(&tree, "guestmem,load", "more");
    tree_u32(&tree, "guestmem,load-offset", 0x10);
    tree_close(&tree);
    description = parse_good(tree_end(&tree));
    assert_int_equal(description->num_contents, 5);
    for (size_t i = 0; i < 5; i++) {
        const vm_content_t *content = &description->contents[i];
        assert_int_equal(content->kind, expected[i].kind);
        assert_string_equal(content->file, expected[i].file);
        assert_int_equal(content->range, expected[i].range);
        assert_int_equal(content->offset, expected[i].offset);
        assert_int_equal(content->has_offset, expected[i].has_offset);
    }
    assert_ptr_equal(description->initrd, &description->contents[3]);
    vm_system_free(file);
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
    vm_system_free(file);
}

static void the_last_byte_of_the_address_space_can_be_described(void **state)
{
    vm_description_t *description;
    tree_begin(&tree);
    tree_range(&tree, "top", UINT64_MAX - 0xfff, 0x1000, "frames");
    description = parse_good(tree_end(&tree));
    assert_int_equal(description->ranges[0].base, UINT64_MAX - 0xfff);
    vm_system_free(file);
}

static size_t sample_tree(void)
{
    tree_begin(&tree);
    tree_string(&tree, "guestmem,board", "some-board");
    tree_open(&tree, "memory@40000000");
    tree_reg(&tree, 0x40000000, 0x8000000);
    tree_string(&tree, "guestmem,backing", "ram");
    tree_string(&tree, "guestmem,device-tree", "self");
    tree_must(fdt_property(tree.bytes, "guestmem,load", "a\0b", 4));
    tree_u64(&tree, "guestmem,load-offset", 0x10000000200000);
    tree_u32(&tree, "guestmem,initrd-offset", 0x4000000);
    tree_string(&tree, "guestmem,initrd", "c");
    tree_close(&tree);
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
        assert_null(parse_bytes(part, length, &error));
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
            description = parse_bytes(tree.bytes, size, &error);
            refused += description == NULL;
            assert_true((description == NULL) == (error.line[0] != '\0'));
            if (description != NULL) {
                free(dtb_strip(description, &chosen, &stripped_size, &error));
            }
            vm_system_free(file);
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
    assert_null(parse_bytes(tree.bytes, size, &error));
    assert_non_null(strstr(error.line, "version 3"));
}

/* Whose header has no size of the structure: there is what follows. */
static void trees_of_version_16_are_read(void **state)
{
    size_t size = sample_tree();
    fdt_set_version(tree.bytes, 16);
    fdt_set_size_dt_struct(tree.bytes, 0);
    assert_true(parse_good(size)->num_ranges > 0);
    vm_system_free(file);
}

static void names_cannot_drive_the_terminal(void **state)
{
    cli_error_t error;
    tree_begin(&tree);
    tree_range(&tree, "n\x1b[2J", 0x1000, 0x1000, "ram");
    assert_null(parse(tree_end(&tree), &error));
    assert_null(strchr(error.line, '\x1b'));
    tree_begin(&tree);
    tree_open(&tree, "n\x1b[2J");
    tree_must(fdt_property(tree.bytes, "guestmem,vm", NULL, 0));
    tree_close(&tree);
    assert_null(parse(tree_end(&tree), &error));
    assert_non_null(strstr(error.line, "printable"));
}

/** Parse the finished tree, let `place` choose addresses, and strip it. */
static void *strip(size_t size, uint64_t placed_base)
{
    cli_error_t error = {0};
    vm_description_t *description = parse_bytes(tree.bytes, size, &error);
    size_t stripped_size;
    void *stripped;
    assert_non_null(description);
    for (size_t i = 0; i < description->num_ranges; i++) {
        if (description->ranges[i].placed_by_library) {
            description->ranges[i].base = placed_base;
        }
    }
    stripped = dtb_strip(description, &chosen, &stripped_size, &error);
    if (stripped != NULL) {
        assert_int_equal(fdt_check_full(stripped, stripped_size), 0);
    } else {
        assert_non_null(strstr(error.line, "guestmem,device-tree"));
    }
    vm_system_free(file);
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

/** RAM with an initrd, and a /chosen with these arguments unless that is NULL. */
static size_t linux_tree(const char *bootargs)
{
    tree_begin(&tree);
    tree_open(&tree, "ram");
    tree_reg(&tree, 0x40000000, 0x8000000);
    tree_string(&tree, "guestmem,backing", "ram");
    tree_string(&tree, "guestmem,device-tree", "self");
    tree_string(&tree, "guestmem,initrd", "initrd");
    tree_close(&tree);
    if (bootargs != NULL) {
        tree_open(&tree, "chosen");
        tree_string(&tree, "bootargs", bootargs);
        tree_u32(&tree, "linux,initrd-start", 1);
        tree_string(&tree, "stdout-path", "serial0");
        tree_close(&tree);
    }
    tree_range(&tree, "after@0", 0, 0x1000, "frames");
    return tree_end(&tree);
}

static void expect_chosen(const char *bootargs, const char *append, const char *expected)
{
    void *stripped;
    int node;
    int length;
    const void *value;
    chosen = (dtb_chosen_t){append, 0x42345000, 0x1001};
    stripped = strip(linux_tree(bootargs), 0);
    chosen = (dtb_chosen_t){0};
    assert_non_null(stripped);
    node = fdt_path_offset(stripped, "/chosen");
    assert_true(node >= 0);
    value = fdt_getprop(stripped, node, "linux,initrd-start", &length);
    assert_int_equal(length, 8);
    assert_int_equal(fdt64_ld(value), 0x42345000);
    value = fdt_getprop(stripped, node, "linux,initrd-end", &length);
    assert_int_equal(length, 8);
    assert_int_equal(fdt64_ld(value), 0x42346001);
    value = fdt_getprop(stripped, node, "bootargs", &length);
    if (expected == NULL) {
        assert_null(value);
    } else {
        assert_string_equal(value, expected);
        assert_int_equal(length, strlen(expected) + 1);
    }
    value = fdt_getprop(stripped, node, "stdout-path", NULL);
    assert_int_equal(value != NULL, bootargs != NULL);
    assert_true(fdt_path_offset(stripped, "/after@0") >= 0);
    free(stripped);
}

static void chosen_says_where_the_initrd_is_and_what_is_appended(void **state)
{
    expect_chosen("console=ttyAMA0", "quiet", "console=ttyAMA0 quiet");
    expect_chosen("console=ttyAMA0", NULL, "console=ttyAMA0");
    expect_chosen("", "quiet", "quiet");
    expect_chosen(NULL, "quiet", "quiet");
    expect_chosen(NULL, NULL, NULL);
}

static void ram_is_memory_for_the_guest(void **state)
{
    void *stripped;
    tree_begin(&tree);
    tree_range(&tree, "a@0", 0, 0x1000, "ram");
    tree_range(&tree, "b@1000", 0x1000, 0x1000, "ram-untyped");
    tree_range(&tree, "c@2000", 0x2000, 0x1000, "frames");
    tree_open(&tree, "d@3000");
    tree_reg(&tree, 0x3000, 0x1000);
    tree_string(&tree, "device_type", "own");
    tree_string(&tree, "guestmem,backing", "ram");
    tree_close(&tree);
    tree_open(&tree, "e"); /* below a node guests look for no memory */
    tree_u32(&tree, "#size-cells", 2);
    tree_must(fdt_property(tree.bytes, "ranges", "", 0));
    tree_range(&tree, "f@4000", 0x4000, 0x1000, "ram");
    tree_close(&tree);
    stripped = strip(tree_end(&tree), 0);
    assert_non_null(stripped);
    for (size_t i = 0; i < 5; i++) {
        static const char *const expected[][2] = {{"/a@0", "memory"},
                                                  {"/b@1000", "memory"},
                                                  {"/c@2000", NULL},
                                                  {"/d@3000", "own"},
                                                  {"/e/f@4000", NULL}};
        const char *type =
            fdt_getprop(stripped, fdt_path_offset(stripped, expected[i][0]), "device_type", NULL);
        assert_true(expected[i][1] == NULL ? type == NULL
                                           : type != NULL && strcmp(type, expected[i][1]) == 0);
    }
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

/* libfdt 1.6.1 finds nothing wrong with the length -1 of a property without value. */
static void a_negative_length_is_refused(void **state)
{
    cli_error_t error = {0};
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
    parse_good(size);
    vm_system_free(file);
    property = (void *)(uintptr_t)fdt_get_property_by_offset(tree.bytes, offset, &length);
    ((struct fdt_property *)property)->len = cpu_to_fdt32(UINT32_MAX);
    assert_null(parse(size, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_tree_is_a_vm_without_memory),
        cmocka_unit_test(root_properties_are_read),
        cmocka_unit_test(every_backing_is_known),
        cmocka_unit_test(nodes_that_are_off_are_left_out_with_all_below),
        cmocka_unit_test(each_entry_of_reg_is_a_range),
        cmocka_unit_test(contents_are_read_in_the_order_of_the_tree),
        cmocka_unit_test(addresses_pass_through_the_ranges_of_buses),
        cmocka_unit_test(the_last_byte_of_the_address_space_can_be_described),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(no_damaged_byte_breaks_the_parser_or_the_copy),
        cmocka_unit_test(trees_of_old_versions_are_refused),
        cmocka_unit_test(trees_of_version_16_are_read),
        cmocka_unit_test(names_cannot_drive_the_terminal),
        cmocka_unit_test(no_guestmem_property_is_left),
        cmocka_unit_test(chosen_says_where_the_initrd_is_and_what_is_appended),
        cmocka_unit_test(ram_is_memory_for_the_guest),
        cmocka_unit_test(hidden_nodes_are_left_out_with_all_below),
        cmocka_unit_test(memory_reservations_are_kept),
        cmocka_unit_test(placed_nodes_tell_their_address),
        cmocka_unit_test(an_address_that_does_not_fit_its_cells_is_an_error),
        cmocka_unit_test(a_negative_length_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
