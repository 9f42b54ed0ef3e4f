/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What machines promise besides running guests: content is loaded into every kind of memory,
 * descriptions and boards are found in all their forms, and several machines do not meet.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "command.h"
#include "machine.h"

#include <guestmem/memory.h>
#include <libfdt.h>
#include <sel4vm/guest_ram.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static machine_t *make(const char *path)
{
    cli_error_t error = {0};
    machine_t *machine = machine_create(path, NULL, &error);

    assert_string_equal(error.line, "");
    assert_non_null(machine);
    return machine;
}

/** Read guest memory of any kind. */
static void read_guest(machine_t *machine, uint64_t gpa, void *bytes, size_t size)
{
    assert_int_equal(
        guestmem_access(machine_vm(machine), gpa, size, vm_guest_ram_read_callback, bytes), 0);
}

static void content_is_loaded_into_every_kind_of_memory(void **state)
{
    static const char *const backings[] = {
        "guestmem,backing = \"ram\";",
        "guestmem,backing = \"frames\";",
        "guestmem,backing = \"maybe-device\";",
        "guestmem,backing = \"untyped-at\"; guestmem,paddr = <0x60000000>;",
        "guestmem,backing = \"untyped\";",
        "guestmem,backing = \"ram-untyped\";",
        "guestmem,backing = \"allocated-frame\";",
        "guestmem,backing = \"allocated-frame\"; guestmem,rights = \"none\";",
    };
    static const char source[] = "/dts-v1/;\n/ { #address-cells = <2>; #size-cells = <2>;\n"
                                 "n { reg = <0 0x50000000 0 0x1000>; %s\n"
                                 "guestmem,load = \"text\"; guestmem,load-offset = <0x123>;\n"
                                 "guestmem,device-tree = \"self\";\n"
                                 "guestmem,device-tree-offset = <0x800>; }; };\n";
    char *folder = command_make_folder();

    (void)state;
    free(command_write_file(folder, "text", "some text", 9));
    for (size_t i = 0; i < sizeof(backings) / sizeof(backings[0]); i++) {
        char page[4096];
        char text[1024];
        int length = snprintf(text, sizeof(text), source, backings[i]);
        char *path = command_write_file(folder, "vm.dts", text, (size_t)length);
        machine_t *machine = make(path);
        read_guest(machine, 0x50000000, page, sizeof(page));
        assert_int_equal(page[0x122], 0);
        assert_int_equal(memcmp(page + 0x123, "some text\0", 10), 0);
        assert_int_equal(fdt_check_full(page + 0x800, 0x800), 0);
        assert_true(fdt_path_offset(page + 0x800, "/n") > 0);
        assert_int_equal(machine_destroy(machine), 0);
        free(path);
    }
    command_remove_folder(folder);
}

static void another_tree_can_be_given_to_the_guest(void **state)
{
    static const char source[] = "/dts-v1/;\n/ { #address-cells = <2>; #size-cells = <2>;\n"
                                 "n { reg = <0 0x50000000 0 0x1000>; guestmem,backing = \"ram\";\n"
                                 "guestmem,device-tree = \"other.dts\"; }; };\n";
    static const char other[] = "/dts-v1/; / { other { guestmem,kept; }; };";
    char *folder = command_make_folder();
    char *path = command_write_file(folder, "vm.dts", source, strlen(source));
    char page[4096];
    machine_t *machine;

    (void)state;
    free(command_write_file(folder, "other.dts", other, strlen(other)));
    machine = make(path);
    read_guest(machine, 0x50000000, page, sizeof(page));
    assert_int_equal(fdt_check_full(page, sizeof(page)), 0);
    assert_non_null(fdt_getprop(page, fdt_path_offset(page, "/other"), "guestmem,kept", NULL));
    assert_int_equal(machine_destroy(machine), 0);
    free(path);
    command_remove_folder(folder);
}

static void a_flattened_description_is_the_same_machine(void **state)
{
    static const char source[] = "/dts-v1/;\n/ { model = \"m\"; #address-cells = <1>;\n"
                                 "#size-cells = <1>; n { reg = <0x50000000 0x3000>;\n"
                                 "guestmem,backing = \"ram\"; }; };\n";
    char *folder = command_make_folder();
    char *path = command_write_file(folder, "vm.dts", source, strlen(source));
    const char *from_source[] = {"map", path, NULL};
    const char *from_flat[] = {"map", NULL, NULL};
    char *flat;
    char *command;
    command_result_t first;
    command_result_t second;

    (void)state;
    assert_true(asprintf(&flat, "%s/flat", folder) > 0);
    assert_true(asprintf(&command, "dtc -q -I dts -O dtb -o %s %s", flat, path) > 0);
    assert_int_equal(system(command), 0);
    from_flat[1] = flat;
    first = command_run(from_source, NULL);
    second = command_run(from_flat, NULL);
    assert_int_equal(first.status, 0);
    assert_string_equal(first.output, second.output);
    command_release(&first);
    command_release(&second);
    free(command);
    free(flat);
    free(path);
    command_remove_folder(folder);
}

/** A board with 64 MiB of memory at a place of its own. */
static const char board[] = "/dts-v1/;\n/ { #address-cells = <2>; #size-cells = <2>;\n"
                            "memory@200000000 { device_type = \"memory\";\n"
                            "reg = <2 0 0 0x4000000>; }; };\n";

static const char on_board[] = "/dts-v1/;\n/ { #address-cells = <2>; #size-cells = <2>; %s\n"
                               "n { reg = <2 0x100000 0 0x1000>;\n"
                               "guestmem,backing = \"untyped\"; }; };\n";

/** Print the map of `on_board` with that property, and an option, and expect a status. */
static void map_on_board(const char *folder, const char *property, const char *option,
                         const char *value, int status)
{
    char text[512];
    int length = snprintf(text, sizeof(text), on_board, property);
    char *path = command_write_file(folder, "vm.dts", text, (size_t)length);
    const char *arguments[] = {"map", path, option, value, NULL};
    command_result_t result = command_run(arguments, NULL);

    if (result.status != status) {
        fail_msg("%s %s: status %d: %s", property, option != NULL ? value : "", result.status,
                 result.messages);
    }
    command_release(&result);
    free(path);
}

static void boards_are_found_by_file_and_by_name(void **state)
{
    char *folder = command_make_folder();
    char *file = command_write_file(folder, "small.dts", board, strlen(board));

    (void)state;
    map_on_board(folder, "", NULL, NULL, 1); /* the default board has no memory there */
    map_on_board(folder, "guestmem,board = \"small.dts\";", NULL, NULL, 0);
    map_on_board(folder, "guestmem,board = \"./small.dts\";", NULL, NULL, 0);
    map_on_board(folder, "", "--board", file, 0);
    map_on_board(folder, "guestmem,board = \"small.dts\";", "--board", "qemu-arm-virt", 1);
    free(file);
    command_remove_folder(folder);
}

static void the_environment_adds_a_folder_of_boards(void **state)
{
    char *folder = command_make_folder();
    char *boards;
    char *file;

    (void)state;
    assert_true(asprintf(&boards, "%s/boards", folder) > 0);
    assert_int_equal(mkdir(boards, 0700), 0);
    file = command_write_file(boards, "tiny.dts", board, strlen(board));
    assert_int_equal(setenv("GUESTMEM_DATA", folder, 1), 0);
    map_on_board(folder, "guestmem,board = \"tiny\";", NULL, NULL, 0);
    assert_int_equal(unsetenv("GUESTMEM_DATA"), 0);
    map_on_board(folder, "guestmem,board = \"tiny\";", NULL, NULL, 1);
    free(file);
    command_remove_folder(boards);
    command_remove_folder(folder);
}

static void machines_do_not_meet(void **state)
{
    static const char source[] = "/dts-v1/;\n/ { #address-cells = <1>; #size-cells = <1>;\n"
                                 "page { reg = <0x50000000 0x1000>;\n"
                                 "guestmem,backing = \"allocated-frame\"; }; };\n";
    char *folder = command_make_folder();
    char *path = command_write_file(folder, "vm.dts", source, strlen(source));
    machine_t *first = make(path);
    machine_t *second = make(path);
    memory_map_t map;

    (void)state;
    memset(machine_find_frame(first, "page"), 1, 4096);
    memset(machine_find_frame(second, "page"), 2, 4096);
    assert_int_equal(*(char *)machine_find_frame(first, "page"), 1);
    assert_int_equal(machine_destroy(first), 0);
    assert_int_equal(*(char *)machine_find_frame(second, "page"), 2);
    assert_int_equal(machine_memory_map(second, &map), 0);
    assert_int_equal(map.num_rows, 1);
    assert_string_equal(map.rows[0].name, "page");
    memory_map_release(&map);
    assert_int_equal(machine_destroy(second), 0);
    free(path);
    command_remove_folder(folder);
}

static void what_is_not_there_is_not_found(void **state)
{
    static const char source[] = "/dts-v1/;\n/ { #address-cells = <1>; #size-cells = <1>;\n"
                                 "ram { reg = <0x50000000 0x1000>; guestmem,backing = \"ram\"; };\n"
                                 "};\n";
    char *folder = command_make_folder();
    char *path = command_write_file(folder, "vm.dts", source, strlen(source));
    machine_t *machine = make(path);

    (void)state;
    assert_null(machine_find_frame(machine, "ram"));
    assert_null(machine_find_frame(machine, "rom"));
    assert_null(machine_find_device(machine, "ram"));
    assert_null(machine_console(machine));
    assert_int_equal(machine_send(machine, "x", 1), 0);
    assert_string_equal(machine_output(machine), "");
    assert_int_equal(machine_destroy(machine), 0);
    assert_int_equal(machine_destroy(NULL), 0);
    free(path);
    command_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_is_loaded_into_every_kind_of_memory),
        cmocka_unit_test(another_tree_can_be_given_to_the_guest),
        cmocka_unit_test(a_flattened_description_is_the_same_machine),
        cmocka_unit_test(boards_are_found_by_file_and_by_name),
        cmocka_unit_test(the_environment_adds_a_folder_of_boards),
        cmocka_unit_test(machines_do_not_meet),
        cmocka_unit_test(what_is_not_there_is_not_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
