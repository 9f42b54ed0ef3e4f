/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What Debian's U-Boot, unmodified, shows of the memory that guestmem built: it reaches its prompt
 * and takes commands, piped into the command or sent by a test.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "command.h"
#include "device/log.h"
#include "machine.h"

#include <stdlib.h>
#include <string.h>

static const char prompt[] = "\n=> ";

static machine_t *boot(void)
{
    machine_until_t until = {.output = prompt, .max_seconds = 120};
    cli_error_t error = {0};
    machine_t *machine = machine_create(GUESTMEM_BOARDS "/u-boot-vm.dts", NULL, &error);

    assert_string_equal(error.line, "");
    assert_non_null(machine);
    if (machine_run(machine, &until) != MACHINE_SAW_OUTPUT) {
        fail_msg("no prompt: %s; output: %s", machine_reason(machine), machine_output(machine));
    }
    return machine;
}

/** Type a command. @return what it printed, up to the next prompt; to be freed */
static char *command(machine_t *machine, const char *line)
{
    machine_until_t until = {.output = prompt, .max_seconds = 120};
    size_t before = strlen(machine_output(machine));

    assert_int_equal(machine_send(machine, line, strlen(line)), strlen(line));
    assert_int_equal(machine_send(machine, "\n", 1), 1);
    if (machine_run(machine, &until) != MACHINE_SAW_OUTPUT) {
        fail_msg("%s: %s; output: %s", line, machine_reason(machine),
                 machine_output(machine) + before);
    }
    return strdup(machine_output(machine) + before);
}

/** Type a command whose output must contain a text. */
static void command_says(machine_t *machine, const char *line, const char *text)
{
    char *output = command(machine, line);

    if (strstr(output, text) == NULL) {
        fail_msg("%s does not say \"%s\" but: %s", line, text, output);
    }
    free(output);
}

/** Type the command that ends the guest. */
static void ends_with(machine_t *machine, const char *line, machine_end_t end)
{
    machine_until_t until = {.max_seconds = 60};

    assert_int_equal(machine_send(machine, line, strlen(line)), strlen(line));
    assert_int_equal(machine_run(machine, &until), end);
    assert_int_equal(machine_destroy(machine), 0);
}

static void it_boots_takes_commands_and_powers_off(void **state)
{
    machine_t *machine = boot();

    (void)state;
    command_says(machine, "version", "U-Boot 20");
    command_says(machine, "bdinfo", "0x0000000008000000");
    command_says(machine, "mw.l 41000000 12345678 4", "mw.l");
    command_says(machine, "md.l 41000000 4", "12345678 12345678 12345678 12345678");
    command_says(machine, "cp.b 41000000 42000000 10", "cp.b");
    command_says(machine, "cmp.b 41000000 42000000 10", "Total of 16 byte(s) were the same");
    command_says(machine, "mw.b 42000008 0 1", "mw.b");
    command_says(machine, "cmp.b 41000000 42000000 10", "Total of 8 byte(s) were the same");
    ends_with(machine, "poweroff\n", MACHINE_POWERED_OFF);
}

static void reset_ends_the_run_too(void **state)
{
    (void)state;
    ends_with(boot(), "reset\n", MACHINE_RESET);
}

static void random_bytes_are_copied_and_have_the_same_sum(void **state)
{
    machine_t *machine = boot();
    char *first;
    char *second;

    (void)state;
    command_says(machine, "random 41000000 100000", "1048576 bytes filled");
    command_says(machine, "cp.b 41000000 42000000 100000", "cp.b");
    command_says(machine, "cmp.b 41000000 42000000 100000", "1048576 byte(s) were the same");
    first = command(machine, "crc32 41000000 100000");
    second = command(machine, "crc32 42000000 100000");
    assert_non_null(strstr(first, "==> "));
    assert_non_null(strstr(second, "==> "));
    assert_int_equal(strncmp(strstr(first, "==> "), strstr(second, "==> "), 12), 0);
    free(first);
    free(second);
    ends_with(machine, "poweroff\n", MACHINE_POWERED_OFF);
}

static void the_shared_page_is_seen_from_both_sides(void **state)
{
    machine_t *machine = boot();
    volatile uint32_t *page = machine_find_frame(machine, "shared-page@b000000");

    (void)state;
    assert_non_null((void *)page);
    page[0] = 0xcafef00d;
    command_says(machine, "md.l b000000 1", "cafef00d");
    command_says(machine, "mw.l b000ffc 600df00d 1", "mw.l");
    assert_int_equal(page[1023], 0x600df00d);
    ends_with(machine, "poweroff\n", MACHINE_POWERED_OFF);
}

static void a_write_to_the_read_only_page_reaches_its_device(void **state)
{
    static const device_access_t expected[] = {
        {.offset = 0x10, .width = 1, .value = 0xab, .is_write = true},
        {.offset = 0x10, .width = 2, .value = 0xabcd, .is_write = true},
        {.offset = 0x14, .width = 4, .value = 0x89abcdef, .is_write = true},
        {.offset = 0x18, .width = 8, .value = UINT64_C(0x1122334455667788), .is_write = true},
    };
    machine_t *machine = boot();
    device_t *log = machine_find_device(machine, "read-only-page@b001000");
    volatile uint32_t *page = machine_find_frame(machine, "read-only-page@b001000");

    (void)state;
    page[4] = 0x11223344;
    /* mw writes bytes and 64-bit words with plain stores, and the others with write-back. */
    command_says(machine, "mw.b b001010 ab 1", "mw.b");
    command_says(machine, "mw.w b001010 abcd 1", "mw.w");
    command_says(machine, "mw.l b001014 89abcdef 1", "mw.l");
    command_says(machine, "mw.q b001018 1122334455667788 1", "mw.q");
    assert_int_equal(device_log_count(log), 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(device_log_access(log, i)->offset, expected[i].offset);
        assert_int_equal(device_log_access(log, i)->width, expected[i].width);
        assert_int_equal(device_log_access(log, i)->value, expected[i].value);
        assert_true(device_log_access(log, i)->is_write);
    }
    command_says(machine, "md.l b001010 4", "11223344 00000000 00000000 00000000");
    assert_int_equal(page[4], 0x11223344);
    ends_with(machine, "poweroff\n", MACHINE_POWERED_OFF);
}

static void piped_commands_lose_nothing(void **state)
{
    const char *arguments[] = {"run", "--max-seconds", "120", GUESTMEM_BOARDS "/u-boot-vm.dts",
                               NULL};
    /* md looks for Ctrl-C while it prints, and would eat what follows. */
    command_result_t result = command_run(arguments, "md.l 40000000 100\n"
                                                     "echo first; md.l 40000000 40\n"
                                                     "echo second\nversion\npoweroff\n");

    (void)state;
    if (result.status != 0 || strstr(result.output, "\nfirst") == NULL ||
        strstr(result.output, "\nsecond") == NULL || strstr(result.output, "\nU-Boot 20") == NULL ||
        strstr(result.output, "edfe0dd0") == NULL || strstr(result.output, "Unknown command")) {
        fail_msg("status %d: %s%s", result.status, result.output, result.messages);
    }
    assert_non_null(strstr(result.output, "memory@40000000"));
    assert_non_null(strstr(result.output, "ARM_Page_Map"));
    assert_non_null(strstr(result.output, "pl011@9000000"));
    command_release(&result);
}

static void the_end_of_piped_input_ends_an_idle_guest(void **state)
{
    const char *arguments[] = {
        "run", "--quiet", "--max-seconds", "120", GUESTMEM_BOARDS "/u-boot-vm.dts", NULL};
    command_result_t result = command_run(arguments, "echo still here");

    (void)state;
    assert_int_equal(result.status, 0);
    assert_non_null(strstr(result.output, "=> "));
    assert_string_equal(result.messages, "");
    command_release(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_boots_takes_commands_and_powers_off),
        cmocka_unit_test(reset_ends_the_run_too),
        cmocka_unit_test(random_bytes_are_copied_and_have_the_same_sum),
        cmocka_unit_test(the_shared_page_is_seen_from_both_sides),
        cmocka_unit_test(a_write_to_the_read_only_page_reaches_its_device),
        cmocka_unit_test(piped_commands_lose_nothing),
        cmocka_unit_test(the_end_of_piped_input_ends_an_idle_guest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
