/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What the command promises for broken descriptions: exit status 1, nothing on standard output, and
 * exactly one line that names the file, the node, the range and the reason.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A node with a reg of 64-bit numbers, and its other properties. */
#define NODE(name, base, size, properties)                                                         \
    name " { reg = /bits/ 64 <" base " " size ">; " properties " };"
#define BACKING(name) "guestmem,backing = \"" name "\";"

typedef struct broken {
    const char *what;
    const char *nodes;   /* inside a root with two address and two size cells */
    const char *says[4]; /* each is in the line */
} broken_t;

static const broken_t cases[] = {
    {"overlap",
     NODE("ram@40000000", "0x40000000", "0x100000", BACKING("ram"))
         NODE("page@40001000", "0x40001000", "0x1000", BACKING("allocated-frame")),
     {"/page@40001000: reg [0x40001000, 0x40001fff]", "ram@40000000", "0x400fffff"}},
    {"overlap of emulated ranges",
     NODE("a@1000", "0x1000", "0x20", BACKING("emulated") "guestmem,device = \"ones\";")
         NODE("b@101f", "0x101f", "0x10", BACKING("emulated") "guestmem,device = \"ones\";"),
     {"/b@101f: reg [0x101f, 0x102e]", "a@1000"}},
    {"overlap with an anonymous region",
     NODE("region@80000000", "0x80000000", "0x100000", BACKING("anonymous"))
         NODE("ram@800ff000", "0x800ff000", "0x2000", BACKING("ram")),
     {"/ram@800ff000: reg [0x800ff000, 0x80100fff]", "0x80000000"}},
    {"a mapped range that shares a page",
     NODE("a@1000", "0x1000", "0x20", BACKING("emulated") "guestmem,device = \"ones\";")
         NODE("b@1800", "0x1800", "0x100", BACKING("frames")),
     {"/b@1800: reg [0x1800, 0x18ff]", "a@1000"}},
    {"misaligned frame",
     NODE("page@b000800", "0xb000800", "0x1000", BACKING("allocated-frame")),
     {"/page@b000800: reg [0xb000800, 0xb0017ff]"}},
    {"misaligned physical address",
     NODE("r@50000000", "0x50000000", "0x1000",
          BACKING("untyped-at") "guestmem,paddr = <0x60000800>;"),
     {"/r@50000000: guestmem,paddr [0x50000000, 0x50000fff]", "0x60000800"}},
    {"out of memory",
     NODE("ram@40000000", "0x40000000", "0x4000000000", BACKING("ram")),
     {"/ram@40000000: ", "[0x40000000, 0x403fffffff]"}},
    {"physical memory that no untyped has",
     NODE("r@50000000", "0x50000000", "0x1000",
          BACKING("untyped-at") "guestmem,paddr = /bits/ 64 <0x7f00000000>;"),
     {"/r@50000000: guestmem,paddr [0x50000000, 0x50000fff]", "0x7f00000000"}},
    {"1:1 where the board has nothing",
     NODE("r@7f00000000", "0x7f00000000", "0x1000", BACKING("untyped")),
     {"/r@7f00000000: guestmem,backing [0x7f00000000, 0x7f00000fff]"}},
    {"the same physical memory twice",
     NODE("a@50000000", "0x50000000", "0x1000",
          BACKING("untyped-at") "guestmem,paddr = <0x60000000>;")
         NODE("b@60000000", "0x60000000", "0x1000", BACKING("untyped")),
     {"/b@60000000: guestmem,backing [0x60000000, 0x60000fff]"}},
    {"a device that the board lacks",
     NODE("d@30000000", "0x30000000", "0x1000", BACKING("device-frame")),
     {"/d@30000000: guestmem,backing [0x30000000, 0x30000fff]"}},
    {"beyond the guest's address space",
     NODE("r@10000000000", "0x10000000000", "0x1000", BACKING("frames")),
     {"/r@10000000000: ", "[0x10000000000, 0x10000000fff]"}},
    {"missing file",
     NODE("ram@40000000", "0x40000000", "0x1000",
          BACKING("ram") "guestmem,load = \"no-such-file\";"),
     {"/ram@40000000: guestmem,load [0x40000000, 0x40000fff]", "no-such-file",
      "No such file or directory"}},
    {"a folder as file",
     NODE("ram@40000000", "0x40000000", "0x1000", BACKING("ram") "guestmem,load = \".\";"),
     {"/ram@40000000: guestmem,load [0x40000000, 0x40000fff]", "Is a directory"}},
    {"a file that is too large",
     NODE("ram@40000000", "0x40000000", "0x1000",
          BACKING("ram") "guestmem,load = \"vm.dts\"; guestmem,load-offset = <0xff8>;"),
     {"/ram@40000000: guestmem,load [0x40000000, 0x40000fff]", "do not fit",
      "8 from offset 0xff8"}},
    {"a tree that is too large",
     NODE("ram@40000000", "0x40000000", "0x1000",
          BACKING("ram") "guestmem,device-tree = \"self\"; guestmem,device-tree-offset = <0xff8>;"),
     {"/ram@40000000: guestmem,device-tree [0x40000000, 0x40000fff]", "do not fit"}},
    {"a tree over a file",
     NODE("ram@40000000", "0x40000000", "0x10000",
          BACKING("ram") "guestmem,load = \"vm.dts\"; guestmem,device-tree = \"self\";"),
     {"/ram@40000000: guestmem,device-tree-offset [0x40000000, 0x4000ffff]", "overlaps"}},
    {"content without frames",
     NODE("n@1000", "0x1000", "0x1000",
          BACKING("frames") "guestmem,load = \"vm.dts\"; guestmem,map-on-fault;"),
     {"/n@1000: guestmem,map-on-fault: ", "guestmem,load"}},
    {"unknown device",
     NODE("d@1000", "0x1000", "0x1000", BACKING("emulated") "guestmem,device = \"toaster\";"),
     {"/d@1000: guestmem,device [0x1000, 0x1fff]", "unknown device \"toaster\""}},
    {"unknown backing",
     NODE("d@1000", "0x1000", "0x1000", BACKING("wool")),
     {"/d@1000: guestmem,backing: unknown backing \"wool\""}},
    {"no reg", "n { " BACKING("ram") " };", {"/n: reg: missing"}},
    {"wrong cells", "n { reg = <0>; " BACKING("ram") " };", {"/n: reg: has 4 bytes"}},
    {"size 0", NODE("n", "0x1000", "0", BACKING("ram")), {"/n: reg: ", "0x1000 has size 0"}},
    {"wrap-around",
     NODE("n", "0xfffffffffffff000", "0x2000", BACKING("ram")),
     {"/n: reg: ", "0xfffffffffffff000", "wraps around"}},
    {"no region to place a range in",
     "n { guestmem,size = <0x1000>; " BACKING("frames") " };",
     {"/n: guestmem,size (4096 bytes): "}},
    {"a region that is too small",
     NODE("region@80000000", "0x80000000", "0x1000",
          BACKING("anonymous")) "n { guestmem,size = <0x2000>; " BACKING("ram") " };",
     {"/n: guestmem,size (8192 bytes): "}},
    {"unknown engine", "guestmem,engine = \"steam\";", {"/: guestmem,engine: ", "\"steam\""}},
    {"unknown board",
     "guestmem,board = \"surf-board\";",
     {"/: guestmem,board: ", "\"surf-board\""}},
    {"missing board file",
     "guestmem,board = \"./none.dts\";",
     {"/: guestmem,board: ", "none.dts: No such file or directory"}},
    {"a syntax error", "n { ", {"vm.dts:", "syntax error"}},
};

/** Check the promise for one run. */
static void check(const char *what, const char *path, const char *const says[4])
{
    static const char *const commands[] = {"map", "run"};

    for (size_t c = 0; c < 2; c++) {
        const char *arguments[] = {commands[c], path, NULL};
        command_result_t result = command_run(arguments, NULL);
        char *end = strchr(result.messages, '\n');

        if (result.status != 1 || result.output[0] != '\0' || end == NULL || end[1] != '\0' ||
            strncmp(result.messages, "guestmem: ", 10) != 0 ||
            strstr(result.messages, path) == NULL) {
            fail_msg("%s: status %d, messages: %s", what, result.status, result.messages);
        }
        for (size_t i = 0; i < 4 && says[i] != NULL; i++) {
            if (strstr(result.messages, says[i]) == NULL) {
                fail_msg("%s: \"%s\" is not in: %s", what, says[i], result.messages);
            }
        }
        command_release(&result);
    }
}

static void each_broken_description_gets_one_clear_line(void **state)
{
    char *folder = command_make_folder();

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *source;
        char *path;
        int length =
            asprintf(&source, "/dts-v1/;\n/ { #address-cells = <2>; #size-cells = <2>;\n%s\n};\n",
                     cases[i].nodes);
        assert_true(length > 0);
        path = command_write_file(folder, "vm.dts", source, (size_t)length);
        check(cases[i].what, path, cases[i].says);
        free(source);
        free(path);
    }
    command_remove_folder(folder);
}

static void a_truncated_or_wrong_file_gets_one_clear_line(void **state)
{
    static const unsigned char header[] = {0xd0, 0x0d, 0xfe, 0xed, 0, 0, 1, 0};
    static const struct {
        const char *name;
        const void *bytes;
        size_t size;
        const char *says;
    } files[] = {
        {"empty.dtb", "", 0, "truncated"},
        {"cut.dtb", header, sizeof(header), "truncated"},
        {"text.dtb", "this is no device tree, though it is long enough for a header", 61,
         "not a flattened device tree"},
        {"empty.dts", "", 0, "syntax error"},
    };
    char *folder = command_make_folder();

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        const char *says[4] = {files[i].says};
        char *path = command_write_file(folder, files[i].name, files[i].bytes, files[i].size);
        check(files[i].name, path, says);
        free(path);
    }
    check("no file", "/no/such/vm.dts", (const char *const[4]){"No such file or directory"});
    check("a folder", "/", (const char *const[4]){"Is a directory"});
    command_remove_folder(folder);
}

static void a_missing_dtc_names_its_package(void **state)
{
    static const char *const says[4] = {"device-tree-compiler"};
    char *folder = command_make_folder();
    char *path = command_write_file(folder, "vm.dts", "/dts-v1/; / {};", 15);
    char *old = strdup(getenv("PATH"));

    (void)state;
    assert_int_equal(setenv("PATH", folder, 1), 0);
    check("no dtc", path, says);
    assert_int_equal(setenv("PATH", old, 1), 0);
    free(old);
    free(path);
    command_remove_folder(folder);
}

static void wrong_usage_is_status_2_and_one_line(void **state)
{
    static const char *const usages[][4] = {
        {NULL},
        {"fly", NULL},
        {"run", NULL},
        {"map", NULL},
        {"run", "a.dts", "b.dts", NULL},
        {"map", "--yaml", "a.dts", NULL},
        {"run", "--max-seconds", "soon", NULL},
        {"run", "--max-seconds", "-1", NULL},
        {"run", "--max-instructions", "0", NULL},
        {"run", "--max-instructions", "-5", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(usages) / sizeof(usages[0]); i++) {
        command_result_t result = command_run(usages[i], NULL);
        char *end = strchr(result.messages, '\n');
        assert_int_equal(result.status, 2);
        assert_string_equal(result.output, "");
        assert_non_null(end);
        assert_int_equal(end[1], '\0');
        assert_int_equal(strncmp(result.messages, "guestmem", 8), 0);
        command_release(&result);
    }
}

static void help_and_version_are_printed(void **state)
{
    static const struct {
        const char *arguments[4];
        const char *says;
    } cases[] = {
        {{"--help"}, "Usage: guestmem COMMAND"},
        {{"-h"}, "pl011"},
        {{"run", "--help"}, "Usage: guestmem run"},
        {{"map", "--help"}, "Usage: guestmem map"},
        {{"--version"}, "guestmem 0."},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        command_result_t result = command_run(cases[i].arguments, NULL);
        assert_int_equal(result.status, 0);
        assert_string_equal(result.messages, "");
        assert_non_null(strstr(result.output, cases[i].says));
        command_release(&result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_broken_description_gets_one_clear_line),
        cmocka_unit_test(a_truncated_or_wrong_file_gets_one_clear_line),
        cmocka_unit_test(a_missing_dtc_names_its_package),
        cmocka_unit_test(wrong_usage_is_status_2_and_one_line),
        cmocka_unit_test(help_and_version_are_printed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
