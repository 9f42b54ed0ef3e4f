/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * U-Boot and the VMM see the same memory: what U-Boot fills, copies and sums, the VMM reads through
 * vm_ram_touch() with the same bytes and the same sum, and what the VMM writes U-Boot sees.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <guestmem/inspect.h>
#include <sel4vm/guest_ram.h>
#include "machine.h"

#define SIZE   ((size_t)16 << 20)
#define SOURCE ((uintptr_t)0x41000000)
#define COPY   ((uintptr_t)0x42000000)

static const char prompt[] = "\n=> ";

static void run_to_prompt(machine_t *machine)
{
    machine_until_t until = {.output = prompt, .max_seconds = 300};
    if (machine_run(machine, &until) != MACHINE_SAW_OUTPUT) {
        fail_msg("no prompt: %s; output: %s", machine_reason(machine), machine_output(machine));
    }
}

/* Type a command and wait for the next prompt. @return what came, valid until the next command */
static const char *command(machine_t *machine, const char *line)
{
    size_t before = strlen(machine_output(machine));
    assert_int_equal(machine_send(machine, line, strlen(line)), strlen(line));
    assert_int_equal(machine_send(machine, "\n", 1), 1);
    run_to_prompt(machine);
    return machine_output(machine) + before;
}

static int setup(void **state)
{
    cli_error_t error = {0};
    machine_t *machine = machine_create(DESCRIPTION, NULL, &error);
    if (machine == NULL) {
        fail_msg("%s", error.line);
    }
    run_to_prompt(machine);
    *state = machine;
    return 0;
}

static int teardown(void **state)
{
    machine_t *machine = *state;
    machine_until_t until = {.max_seconds = 60};
    assert_int_equal(machine_send(machine, "poweroff\n", 9), 9);
    assert_int_equal(machine_run(machine, &until), MACHINE_POWERED_OFF);
    /* The machine compares the census with that before vm_init(). */
    assert_int_equal(machine_destroy(machine), 0);
    return 0;
}

/* U-Boot's CRC of a range, from its answer "crc32 for ... ==> 1234abcd". */
static unsigned long crc_by_u_boot(machine_t *machine, uintptr_t addr)
{
    char line[64];
    snprintf(line, sizeof(line), "crc32 %" PRIxPTR " %zx", addr, SIZE);
    const char *sum = strstr(command(machine, line), "==> ");
    assert_non_null(sum);
    return strtoul(sum + 4, NULL, 16);
}

static int add_to_crc(vm_t *vm, uintptr_t guest_addr, void *vmm_vaddr, size_t size, size_t offset,
                      void *cookie)
{
    unsigned long *crc = cookie;
    *crc = crc32(*crc, vmm_vaddr, (unsigned)size);
    return 0;
}

static void what_u_boot_fills_copies_and_sums_the_vmm_sees(void **state)
{
    machine_t *machine = *state;
    vm_t *vm = machine_vm(machine);
    command(machine, "random 41000000 1000000");
    command(machine, "cp.b 41000000 42000000 1000000");
    assert_non_null(strstr(command(machine, "cmp.b 41000000 42000000 1000000"),
                           "Total of 16777216 byte(s) were the same"));
    unsigned long source = crc_by_u_boot(machine, SOURCE);
    assert_int_equal(crc_by_u_boot(machine, COPY), source);
    unsigned long crc = crc32(0, NULL, 0);
    assert_int_equal(vm_ram_touch(vm, SOURCE, SIZE, add_to_crc, &crc), 0);
    assert_int_equal(crc, source);

    unsigned char *bytes = malloc(2 * SIZE);
    assert_non_null(bytes);
    assert_int_equal(vm_ram_touch(vm, SOURCE, SIZE, vm_guest_ram_read_callback, bytes), 0);
    assert_int_equal(vm_ram_touch(vm, COPY, SIZE, vm_guest_ram_read_callback, bytes + SIZE), 0);
    assert_memory_equal(bytes, bytes + SIZE, SIZE);
    size_t different = 0;
    for (size_t i = 1; i < SIZE; i++) {
        different += bytes[i] != bytes[i - 1];
    }
    assert_true(different > SIZE / 2); /* they are random bytes, not zeroes */
    free(bytes);
}

static void what_the_vmm_writes_u_boot_sums(void **state)
{
    machine_t *machine = *state;
    vm_t *vm = machine_vm(machine);
    unsigned char *bytes = malloc(SIZE);
    assert_non_null(bytes);
    for (size_t i = 0; i < SIZE; i++) {
        bytes[i] = (unsigned char)(i * 7 + (i >> 10));
    }
    assert_int_equal(vm_ram_touch(vm, SOURCE, SIZE, vm_guest_ram_write_callback, bytes), 0);
    assert_int_equal(crc_by_u_boot(machine, SOURCE), crc32(0, bytes, (unsigned)SIZE));
    free(bytes);
}

/* Type a command whose output must contain a text. */
static void command_says(machine_t *machine, const char *line, const char *text)
{
    const char *output = command(machine, line);
    if (strstr(output, text) == NULL) {
        fail_msg("%s does not say \"%s\" but: %s", line, text, output);
    }
}

static void commands_read_and_write_memory(void **state)
{
    machine_t *machine = *state;
    command_says(machine, "version", "U-Boot 20");
    command_says(machine, "bdinfo", "0x0000000008000000");
    command_says(machine, "mw.l 41000000 12345678 4", "mw.l");
    command_says(machine, "md.l 41000000 4", "12345678 12345678 12345678 12345678");
    command_says(machine, "cp.b 41000000 42000000 10", "cp.b");
    command_says(machine, "cmp.b 41000000 42000000 10", "Total of 16 byte(s) were the same");
    command_says(machine, "mw.b 42000008 0 1", "mw.b");
    command_says(machine, "cmp.b 41000000 42000000 10", "Total of 8 byte(s) were the same");
}

static void the_shared_page_is_seen_from_both_sides(void **state)
{
    machine_t *machine = *state;
    volatile uint32_t *page = machine_find_frame(machine, "shared-page@b000000");
    assert_non_null((void *)page);
    page[0] = 0xcafef00d;
    command_says(machine, "md.l b000000 1", "cafef00d");
    command_says(machine, "mw.l b000ffc 600df00d 1", "mw.l");
    assert_int_equal(page[1023], 0x600df00d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_u_boot_fills_copies_and_sums_the_vmm_sees, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_the_vmm_writes_u_boot_sums, setup, teardown),
        cmocka_unit_test_setup_teardown(commands_read_and_write_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(the_shared_page_is_seen_from_both_sides, setup, teardown),
    };
    return cmocka_run_group_tests_name("u-boot memory", tests, NULL, NULL);
}
