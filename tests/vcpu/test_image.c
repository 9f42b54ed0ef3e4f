/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Files in guest RAM, by what their first bytes say that they are. */

#include "machine.h"
#include <sel4vm/guest_ram.h>
#include <sel4vmmplatsupport/guest_image.h>
#include <unistd.h>

#define RAM       0x80000000ul
#define RAM_BYTES 0x10000ul

/* A file of `size` bytes that begins with `bytes`, and has 0x5a behind. */
static const char *make_file(const void *bytes, size_t length, size_t size)
{
    static char path[] = "guestmem-image-XXXXXX";
    strcpy(path, "guestmem-image-XXXXXX");
    int file = mkstemp(path);
    assert_true(file >= 0);
    for (size_t i = 0; i < size; i++) {
        const char *byte = i < length ? (const char *)bytes + i : "\x5a";
        assert_int_equal(write(file, byte, 1), 1);
    }
    close(file);
    return path;
}

static unsigned log_lines;
static char last_line[512];

static void note_line(void *cookie, int level, const char *line)
{
    (void)cookie, (void)level;
    log_lines++;
    snprintf(last_line, sizeof(last_line), "%s", line);
}

static vm_t *make_ram(void **state)
{
    machine_t *machine = *state;
    assert_int_equal(vm_ram_register_at(&machine->vm, RAM, RAM_BYTES, false), 0);
    machine->vm.entry = RAM + 0x1000;
    log_lines = 0;
    hosted_log_to(note_line, NULL);
    return &machine->vm;
}

static bool is_allocated(const vm_t *vm, uintptr_t addr)
{
    for (int i = 0; i < vm->mem.num_ram_regions; i++) {
        const struct vm_ram_region *region = &vm->mem.ram_regions[i];
        if (addr >= region->start && addr - region->start < region->size) {
            return region->allocated;
        }
    }
    return false;
}

static unsigned char byte_at(vm_t *vm, uintptr_t addr)
{
    unsigned char byte = 0;
    assert_int_equal(guestmem_read(vm, addr, &byte, 1), 0);
    return byte;
}

static int load_kernel(vm_t *vm, const char *path, guest_kernel_image_t *kernel)
{
    int error = vm_load_guest_kernel(vm, path, RAM, 0, kernel);
    unlink(path);
    return error;
}

static void a_flat_binary_goes_to_the_entry(void **state)
{
    guest_kernel_image_t kernel;
    vm_t *vm = make_ram(state);
    assert_int_equal(load_kernel(vm, make_file("kernel", 6, 5000), &kernel), 0);
    assert_int_equal(kernel.kernel_image.load_paddr, RAM + 0x1000);
    assert_int_equal(kernel.kernel_image.size, 5000);
    assert_int_equal(byte_at(vm, RAM + 0x1000), 'k');
    assert_int_equal(byte_at(vm, RAM + 0x1000 + 4999), 0x5a);
    assert_int_equal(byte_at(vm, RAM + 0x1000 + 5000), 0);
    assert_true(is_allocated(vm, RAM + 0x2fff) && !is_allocated(vm, RAM + 0x3000));
    assert_int_equal(log_lines, 0);
}

/* One of one byte, less than a header, as well. */
static void a_zimage_goes_where_its_header_says(void **state)
{
    guest_kernel_image_t kernel;
    uint32_t header[12] = {[9] = 0x016f2818};
    vm_t *vm = make_ram(state);
    assert_int_equal(load_kernel(vm, make_file("k", 1, 1), &kernel), 0);
    assert_int_equal(load_kernel(vm, make_file(header, sizeof(header), 100), &kernel), 0);
    assert_int_equal(kernel.kernel_image.load_paddr, RAM + 0x8000);
    header[10] = RAM + 0x4000;
    assert_int_equal(load_kernel(vm, make_file(header, sizeof(header), 100), &kernel), 0);
    assert_int_equal(kernel.kernel_image.load_paddr, RAM + 0x4000);
}

static void trees_and_initrds_are_modules(void **state)
{
    guest_image_t image;
    vm_t *vm = make_ram(state);
    const char *path = make_file("\xd0\x0d\xfe\xed", 4, 100);
    assert_int_equal(vm_load_guest_module(vm, path, RAM, 0, &image), 0);
    assert_int_equal(image.load_paddr, RAM);
    assert_int_equal(image.size, 100);
    unlink(path);
    path = make_file("\x1f\x8b", 2, 0x2000);
    assert_int_equal(vm_load_guest_module(vm, path, RAM + 0x4000, 0, &image), 0);
    assert_int_equal(byte_at(vm, RAM + 0x5fff), 0x5a);
    unlink(path);
    assert_int_equal(log_lines, 0);
}

/* One line each, and no RAM is marked. */
static void what_cannot_be_loaded_is_refused(void **state)
{
    guest_kernel_image_t kernel;
    guest_image_t image;
    vm_t *vm = make_ram(state);
    static const char *const others[] = {"\177ELF", "\x27\x05\x19\x56", "\xd0\x0d\xfe\xed",
                                         "\x1f\x8b"};
    for (size_t i = 0; i < 4; i++) {
        const char *path = make_file(others[i], i < 3 ? 4 : 2, 100);
        assert_int_equal(load_kernel(vm, path, &kernel), -1);
        assert_non_null(strstr(last_line, "not a kernel"));
    }
    const char *path = make_file("text", 4, 100);
    assert_int_equal(vm_load_guest_module(vm, path, RAM, 0, &image), -1);
    assert_non_null(strstr(last_line, "neither a device tree"));
    unlink(path);
    assert_int_equal(load_kernel(vm, make_file("", 0, 0), &kernel), -1);
    assert_non_null(strstr(last_line, "empty"));
    assert_int_equal(vm_load_guest_kernel(vm, "/nonexistent", RAM, 0, &kernel), -1);
    assert_non_null(strstr(last_line, "/nonexistent: No such file"));
    assert_int_equal(vm_load_guest_module(vm, "/nonexistent", RAM, 0, &image), -1);
    assert_int_equal(log_lines, 8);
    assert_int_equal(load_kernel(vm, make_file("k", 1, RAM_BYTES), &kernel), -1);
    assert_non_null(strstr(last_line, "is there RAM"));
    assert_int_equal(vm_load_guest_kernel(NULL, "x", RAM, 0, &kernel), -1);
    assert_int_equal(vm_load_guest_module(vm, "x", RAM, 0, NULL), -1);
    assert_false(is_allocated(vm, RAM + 0x1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_flat_binary_goes_to_the_entry, machine_make, machine_end),
        cmocka_unit_test_setup_teardown(a_zimage_goes_where_its_header_says, machine_make,
                                        machine_end),
        cmocka_unit_test_setup_teardown(trees_and_initrds_are_modules, machine_make, machine_end),
        cmocka_unit_test_setup_teardown(what_cannot_be_loaded_is_refused, machine_make,
                                        machine_end),
    };
    return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
