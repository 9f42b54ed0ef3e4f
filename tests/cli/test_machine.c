/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What machines promise: content is loaded into every kind of memory, machines do not meet, and the
 * example guest and the VMM see what the other writes.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "machine.h"

#include <guestmem/memory.h>
#include <libfdt.h>
#include <sel4vm/guest_ram.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>
#include "device/log.h"
#include "file.h"
#include "saved_file.h"

/** Make a folder for this test's files. @return its path, see remove_folder() */
static char *make_folder(void)
{
    char *folder = strdup("/tmp/guestmem-test-XXXXXX");
    if (folder == NULL || mkdtemp(folder) == NULL) {
        abort();
    }
    return folder;
}

/** Write a file. @return its path, to be freed */
static char *write_file(const char *folder, const char *name, const void *bytes, size_t size)
{
    char *path;
    FILE *file;
    if (asprintf(&path, "%s/%s", folder, name) < 0 || (file = fopen(path, "wb")) == NULL ||
        fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        abort();
    }
    return path;
}

/** Remove a folder with the files in it, and free the path. */
static void remove_folder(char *folder)
{
    DIR *directory = opendir(folder);
    struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        unlinkat(dirfd(directory), entry->d_name, 0);
    }
    if (directory != NULL) {
        closedir(directory);
    }
    rmdir(folder);
    free(folder);
}

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
    char *folder = make_folder();
    free(write_file(folder, "text", "some text", 9));
    for (size_t i = 0; i < sizeof(backings) / sizeof(backings[0]); i++) {
        char page[4096];
        char text[1024];
        int length = snprintf(text, sizeof(text), source, backings[i]);
        char *path = write_file(folder, "vm.dts", text, (size_t)length);
        machine_t *machine = make(path);
        read_guest(machine, 0x50000000, page, sizeof(page));
        assert_int_equal(page[0x122], 0);
        assert_int_equal(memcmp(page + 0x123, "some text\0", 10), 0);
        assert_int_equal(fdt_check_full(page + 0x800, 0x800), 0);
        assert_true(fdt_path_offset(page + 0x800, "/n") > 0);
        assert_int_equal(machine_destroy(machine), 0);
        free(path);
    }
    remove_folder(folder);
}

static void another_tree_can_be_given_to_the_guest(void **state)
{
    static const char source[] = "/dts-v1/;\n/ { #address-cells = <2>; #size-cells = <2>;\n"
                                 "n { reg = <0 0x50000000 0 0x1000>; guestmem,backing = \"ram\";\n"
                                 "guestmem,device-tree = \"other.dts\"; }; };\n";
    static const char other[] = "/dts-v1/; / { other { guestmem,kept; }; };";
    char *folder = make_folder();
    char *path = write_file(folder, "vm.dts", source, strlen(source));
    char page[4096];
    machine_t *machine;
    free(write_file(folder, "other.dts", other, strlen(other)));
    machine = make(path);
    read_guest(machine, 0x50000000, page, sizeof(page));
    assert_int_equal(fdt_check_full(page, sizeof(page)), 0);
    assert_non_null(fdt_getprop(page, fdt_path_offset(page, "/other"), "guestmem,kept", NULL));
    assert_int_equal(machine_destroy(machine), 0);
    free(path);
    remove_folder(folder);
}

/** An arm64 Image of `size` bytes (at least 64) that takes `memory` in all. */
static void make_image(unsigned char *bytes, size_t size, uint32_t memory)
{
    memset(bytes, 0xa5, size);
    memset(bytes + 16, 0, 8);
    for (unsigned i = 0; i < 4; i++) {
        bytes[16 + i] = (unsigned char)(memory >> (8 * i));
    }
    bytes[56] = 'A', bytes[57] = 'R', bytes[58] = 'M', bytes[59] = 0x64;
}

/** A folder with an Image of 0x2800 bytes that takes 0x6000, once compressed, and two files. */
static char *make_linux_folder(void)
{
    char *folder = make_folder();
    char command[256];
    unsigned char image[0x2800];
    make_image(image, sizeof(image), 0x6000);
    free(write_file(folder, "packed", image, sizeof(image)));
    snprintf(command, sizeof(command), "gzip '%s/packed'", folder);
    assert_int_equal(system(command), 0);
    free(write_file(folder, "Image", image, sizeof(image)));
    memset(image, 'i', sizeof(image));
    free(write_file(folder, "initrd", image, 0x1001));
    free(write_file(folder, "data", image, 0x100));
    return folder;
}

/** Make a machine with RAM of 64 KiB at 0x40000000. @return NULL: see error */
static machine_t *make_linux(const char *folder, const char *root, const char *ram,
                             const char *append, cli_error_t *error)
{
    const machine_options_t options = {.append = append};
    char *source;
    char *path;
    machine_t *machine;
    int length = asprintf(&source,
                          "/dts-v1/;\n/ { #address-cells = <2>; #size-cells = <2>; %s\n"
                          "ram { reg = <0 0x40000000 0 0x10000>; guestmem,backing = \"ram\"; %s };"
                          " chosen { bootargs = \"first\"; }; };\n",
                          root, ram);
    assert_true(length > 0);
    path = write_file(folder, "vm.dts", source, (size_t)length);
    machine = machine_create(path, &options, error);
    free(source);
    free(path);
    return machine;
}

static uint64_t chosen_number(const void *tree, const char *property)
{
    int length;
    const void *value = fdt_getprop(tree, fdt_path_offset(tree, "/chosen"), property, &length);
    assert_non_null(value);
    assert_int_equal(length, 8);
    return fdt64_ld(value);
}

/** Check what the guest finds: kernel at 0x2000, tree at `tree`, initrd at `initrd`. */
static void check_linux(const char *folder, const char *root, const char *ram, uint64_t tree,
                        uint64_t initrd)
{
    cli_error_t error = {0};
    machine_t *machine = make_linux(folder, root, ram, "second=1 third", &error);
    const uint64_t base = 0x40000000;
    char *memory = malloc(0x10000);
    assert_non_null(memory);
    assert_string_equal(error.line, "");
    assert_non_null(machine);
    read_guest(machine, base, memory, 0x10000);
    assert_int_equal(fdt_check_full(memory + tree, 0x1000), 0);
    assert_string_equal(
        fdt_getprop(memory + tree, fdt_path_offset(memory + tree, "/chosen"), "bootargs", NULL),
        "first second=1 third");
    assert_int_equal(chosen_number(memory + tree, "linux,initrd-start"), base + initrd);
    assert_int_equal(chosen_number(memory + tree, "linux,initrd-end"), base + initrd + 0x1001);
    assert_int_equal(memcmp(memory + initrd, "iiii", 4), 0);
    assert_int_equal(memcmp(memory + initrd + 0xffe, "iii\0", 4), 0);
    assert_int_equal(memcmp(memory + 0x2000 + 56, "ARMd", 4), 0);
    assert_int_equal(memory[0x2000 + 0x27ff], (char)0xa5);
    assert_int_equal(memory[0x2000 + 0x2800], 0);
    free(memory);
    assert_int_equal(machine_destroy(machine), 0);
}

#define KERNEL          "guestmem,load = \"Image\"; guestmem,load-offset = <0x2000>;"
#define INITRD          "guestmem,initrd = \"initrd\";"
#define SELF            "guestmem,device-tree = \"self\";"
#define SELF_AT(offset) SELF "guestmem,device-tree-offset = <" offset ">;"

static void a_kernel_finds_its_tree_and_initrd(void **state)
{
    char *folder = make_linux_folder();
    /* Without an offset the initrd begins at the first page above the kernel with room for it. */
    check_linux(folder, "", KERNEL SELF INITRD, 0, 0x8000);
    check_linux(folder, "", KERNEL SELF_AT("0x9000") INITRD, 0x9000, 0xa000);
    check_linux(folder, "", KERNEL SELF_AT("0xa000") INITRD, 0xa000, 0x8000);
    check_linux(
        folder, "",
        "guestmem,load = \"Image\", \"data\"; guestmem,load-offset = <0x2000 0x8ff0>;" SELF INITRD,
        0, 0xa000);
    check_linux(folder, "", KERNEL SELF INITRD "guestmem,initrd-offset = <0x8001>;", 0, 0x8001);
    check_linux(folder, "",
                "guestmem,load = \"packed.gz\"; guestmem,load-offset = <0x2000>;" SELF INITRD, 0,
                0x8000);
    remove_folder(folder);
}

static void the_guest_starts_as_the_files_say(void **state)
{
    static const struct {
        const char *root, *ram;
        uint64_t entry, x0;
    } cases[] = {
        {"", KERNEL SELF_AT("0x9000"), 0x40002000, 0x40009000},
        {"", KERNEL, 0x40002000, 0},
        {"", "guestmem,load = \"data\";", 0, 0},
        {"guestmem,entry = <0>;", KERNEL SELF_AT("0x9000"), 0, 0x40009000},
        {"guestmem,x0 = <0>;", KERNEL SELF_AT("0x9000"), 0x40002000, 0},
    };
    char *folder = make_linux_folder();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cli_error_t error = {0};
        machine_t *machine = make_linux(folder, cases[i].root, cases[i].ram, NULL, &error);
        assert_non_null(machine);
        assert_int_equal(machine_description(machine)->entry, cases[i].entry);
        assert_int_equal(machine_description(machine)->x[0], cases[i].x0);
        assert_int_equal(machine_destroy(machine), 0);
    }
    remove_folder(folder);
}

static void what_collides_is_named_on_both_sides(void **state)
{
    static const struct {
        const char *ram, *append, *says;
    } cases[] = {
        {KERNEL SELF_AT("0x7ff8"), NULL,
         "guestmem,device-tree [0x40000000, 0x4000ffff]: the device tree at [0x40007ff8, 0x400080"},
        {KERNEL SELF_AT("0x7ff8"), NULL,
         "] overlaps the BSS of \"Image\" at [0x40004800, 0x40007fff]"},
        {KERNEL SELF INITRD "guestmem,initrd-offset = <0x7fff>;", NULL,
         "guestmem,initrd [0x40000000, 0x4000ffff]: the initrd \"initrd\" at [0x40007fff, "
         "0x40008fff] overlaps the BSS of \"Image\" at [0x40004800, 0x40007fff]"},
        {SELF INITRD "guestmem,initrd-offset = <0>;", NULL,
         "the initrd \"initrd\" at [0x40000000, 0x40001000] overlaps the device tree at "
         "[0x40000000, 0x40000"},
        {"guestmem,load = \"data\", \"Image\"; guestmem,load-offset = <0x20ff 0x2000>;", NULL,
         "guestmem,load [0x40000000, 0x4000ffff]: \"Image\" at [0x40002000, 0x400047ff] overlaps "
         "\"data\" at [0x400020ff, 0x400021fe]"},
        {"guestmem,load = \"data\", \"Image\"; guestmem,load-offset = <0x7fff 0x2000>;", NULL,
         "guestmem,load [0x40000000, 0x4000ffff]: the BSS of \"Image\" at [0x40004800, 0x40007fff] "
         "overlaps \"data\" at [0x40007fff, 0x400080fe]"},
        {"guestmem,load = \"Image\"; guestmem,load-offset = <0xb000>;", NULL,
         "24576 bytes, with BSS, do not fit: the range has room for 20480 from offset 0xb000 on"},
        {"guestmem,load = \"Image\"; guestmem,load-offset = <0x9000>;" SELF INITRD, NULL,
         "guestmem,initrd [0x40000000, 0x4000ffff]: 4097 bytes do not fit: the range has room for "
         "4096 from offset 0xf000 on"},
        {"guestmem,load = \"broken.gz\";", NULL, "broken.gz: a compressed Image that is damaged"},
        {KERNEL, "quiet", "--append has no effect without guestmem,device-tree = \"self\""},
    };
    char *folder = make_linux_folder();
    char command[256];
    snprintf(command, sizeof(command), "cd '%s' && head -c -9 packed.gz >broken.gz", folder);
    assert_int_equal(system(command), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cli_error_t error = {0};
        assert_null(make_linux(folder, "", cases[i].ram, cases[i].append, &error));
        if (strstr(error.line, cases[i].says) == NULL) {
            fail_msg("\"%s\" is not in \"%s\"", cases[i].says, error.line);
        }
    }
    remove_folder(folder);
}

static void machines_do_not_meet(void **state)
{
    static const char source[] = "/dts-v1/;\n/ { #address-cells = <1>; #size-cells = <1>;\n"
                                 "page { reg = <0x50000000 0x1000>;\n"
                                 "guestmem,backing = \"allocated-frame\"; }; };\n";
    char *folder = make_folder();
    char *path = write_file(folder, "vm.dts", source, strlen(source));
    machine_t *first = make(path);
    machine_t *second = make(path);
    memory_map_t map;
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
    remove_folder(folder);
}

static void count_note(void *cookie, const char *line)
{
    assert_non_null(strstr(line, "console@1000: stops until the guest resets it: "));
    ++*(unsigned *)cookie;
}

/* A guest that misuses a device and resets it, again and again. */
static void a_guest_cannot_flood_the_notes(void **state)
{
    static const char source[] =
        "/dts-v1/;\n/ { #address-cells = <1>; #size-cells = <1>;\n"
        "console@1000 { reg = <0x1000 0x200>; guestmem,backing = \"emulated\";\n"
        "guestmem,device = \"virtio-console\"; }; };\n";
    char *folder = make_folder();
    char *path = write_file(folder, "vm.dts", source, strlen(source));
    unsigned notes = 0;
    const machine_options_t options = {.note = count_note, .cookie = &notes};
    cli_error_t error = {0};
    machine_t *machine = machine_create(path, &options, &error);
    assert_non_null(machine);
    device_t *device = machine_find_device(machine, "console@1000");
    for (int i = 0; i < 100; i++) {
        device->class->write(device, 0x38, 4, 3); /* no size of a queue */
        device->class->write(device, 0x44, 4, 1);
        device->class->write(device, 0x70, 4, 0);
    }
    assert_int_equal(notes, 8 + 3); /* the 16th, the 32nd, the 64th */
    assert_int_equal(machine_destroy(machine), 0);
    free(path);
    remove_folder(folder);
}

/* The limit of the process's files stands for a full disk. */
static void a_saved_file_that_finds_no_room_leaves_the_old_one(void **state)
{
    static char bytes[100000];
    char *folder = make_folder();
    char *path = write_file(folder, "saved", "old", 3);
    const struct rlimit limit = {sizeof(bytes) / 2, RLIM_INFINITY};
    const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    cli_error_t error = {0};
    size_t size;
    signal(SIGXFSZ, SIG_IGN);
    saved_file_t *file = saved_file_create(path, &error);
    assert_non_null(file);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(saved_file_write(file, bytes, sizeof(bytes)), 0); /* it has a buffer */
    assert_int_equal(saved_file_commit(file, &error), -1);
    assert_non_null(strstr(error.line, "saved: File too large"));

    file = saved_file_create(path, &error);
    int result = 0;
    for (int i = 0; result == 0 && i < 100; i++) {
        result = saved_file_write(file, bytes, sizeof(bytes));
    }
    assert_int_equal(result, -1);
    assert_string_equal(saved_file_reason(file), "File too large");
    saved_file_close(file);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    char *old = file_read(path, &size, &error);
    assert_int_equal(size, 3);
    assert_memory_equal(old, "old", 3);
    free(old);
    unlink(path);
    assert_int_equal(rmdir(folder), 0); /* nothing else is there */
    free(path);
    free(folder);
}

static void what_is_not_there_is_not_found(void **state)
{
    static const char source[] = "/dts-v1/;\n/ { #address-cells = <1>; #size-cells = <1>;\n"
                                 "ram { reg = <0x50000000 0x1000>; guestmem,backing = \"ram\"; };\n"
                                 "};\n";
    char *folder = make_folder();
    char *path = write_file(folder, "vm.dts", source, strlen(source));
    machine_t *machine = make(path);
    assert_null(machine_find_frame(machine, "ram"));
    assert_null(machine_find_frame(machine, "rom"));
    assert_null(machine_find_device(machine, "ram"));
    assert_null(machine_console(machine));
    assert_int_equal(machine_send(machine, "x", 1), 0);
    assert_string_equal(machine_output(machine), "");
    assert_int_equal(machine_destroy(machine), 0);
    assert_int_equal(machine_destroy(NULL), 0);
    free(path);
    remove_folder(folder);
}

#ifdef GUESTMEM_EXAMPLE /* needs an engine, and a compiler for guests */

static char *read_expected(const char *name)
{
    char path[4096];
    cli_error_t error = {0};
    size_t size;
    char *bytes;
    char *text;
    snprintf(path, sizeof(path), "%s/%s", GUESTMEM_EXPECTED, name);
    bytes = file_read(path, &size, &error);
    assert_non_null(bytes);
    text = realloc(bytes, size + 1);
    assert_non_null(text);
    text[size] = '\0';
    return text;
}

static machine_t *run_guest(void)
{
    machine_until_t until = {.max_seconds = 60};
    machine_t *machine = make(GUESTMEM_EXAMPLE);
    assert_int_equal(machine_run(machine, &until), MACHINE_POWERED_OFF);
    return machine;
}

static void the_vmm_sees_what_the_guest_wrote(void **state)
{
    machine_t *machine = run_guest();
    char *page = machine_find_frame(machine, "allocated-frame@b000000");
    assert_non_null(page);
    assert_string_equal(page + 2048, "the guest was here");
    assert_int_equal(strncmp(page, "hello from the VMM", 18), 0);
    assert_int_equal(machine_destroy(machine), 0);
}

static void writes_to_a_read_only_page_reach_the_callback(void **state)
{
    static const device_access_t expected[] = {
        {.offset = 1, .width = 1, .value = 0xa1, .is_write = true},
        {.offset = 2, .width = 2, .value = 0xa2a2, .is_write = true},
        {.offset = 4, .width = 4, .value = 0xa4a4a4a4, .is_write = true},
        {.offset = 0, .width = 8, .value = UINT64_C(0xa8a8a8a8a8a8a8a8), .is_write = true},
    };
    machine_t *machine = run_guest();
    device_t *log = machine_find_device(machine, "read-only-frame@b001000");
    char *page = machine_find_frame(machine, "read-only-frame@b001000");
    assert_int_equal(device_log_count(log), 4);
    for (unsigned i = 0; i < 4; i++) {
        const device_access_t *access = device_log_access(log, i);
        assert_int_equal(access->offset, expected[i].offset);
        assert_int_equal(access->width, expected[i].width);
        assert_int_equal(access->value, expected[i].value);
        assert_true(access->is_write);
    }
    assert_string_equal(page, "hello from the VMM\n");
    assert_int_equal(machine_destroy(machine), 0);
}

static void a_run_can_be_interrupted_at_any_output(void **state)
{
    machine_until_t first = {.output = "tree: ", .max_seconds = 60};
    machine_until_t second = {.output = "zeros ", .max_seconds = 60};
    machine_t *machine = make(GUESTMEM_EXAMPLE);
    char *expected = read_expected("expected-output.txt");
    assert_int_equal(machine_run(machine, &first), MACHINE_SAW_OUTPUT);
    assert_null(strstr(machine_output(machine), "zeros "));
    assert_int_equal(machine_run(machine, &second), MACHINE_SAW_OUTPUT);
    assert_int_equal(machine_run(machine, NULL), MACHINE_POWERED_OFF);
    assert_int_equal(machine_run(machine, NULL), MACHINE_POWERED_OFF);
    assert_string_equal(machine_output(machine), expected);
    free(expected);
    assert_int_equal(machine_destroy(machine), 0);
}

static void budgets_end_a_run(void **state)
{
    machine_until_t few = {.max_instructions = 1000};
    machine_t *machine = make(GUESTMEM_EXAMPLE);
    assert_int_equal(machine_run(machine, &few), MACHINE_OUT_OF_TIME);
    assert_int_equal(machine_destroy(machine), 0);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_is_loaded_into_every_kind_of_memory),
        cmocka_unit_test(another_tree_can_be_given_to_the_guest),
        cmocka_unit_test(a_kernel_finds_its_tree_and_initrd),
        cmocka_unit_test(the_guest_starts_as_the_files_say),
        cmocka_unit_test(what_collides_is_named_on_both_sides),
        cmocka_unit_test(machines_do_not_meet),
        cmocka_unit_test(a_guest_cannot_flood_the_notes),
        cmocka_unit_test(what_is_not_there_is_not_found),
        cmocka_unit_test(a_saved_file_that_finds_no_room_leaves_the_old_one),
#ifdef GUESTMEM_EXAMPLE
        cmocka_unit_test(the_vmm_sees_what_the_guest_wrote),
        cmocka_unit_test(writes_to_a_read_only_page_reach_the_callback),
        cmocka_unit_test(a_run_can_be_interrupted_at_any_output),
        cmocka_unit_test(budgets_end_a_run),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
