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
    ends_with(boot(), "reset\n", MACHINE_RESET);
}

static void the_shared_page_is_seen_from_both_sides(void **state)
{
    machine_t *machine = boot();
    volatile uint32_t *page = machine_find_frame(machine, "shared-page@b000000");
    assert_non_null((void *)page);
    page[0] = 0xcafef00d;
    command_says(machine, "md.l b000000 1", "cafef00d");
    command_says(machine, "mw.l b000ffc 600df00d 1", "mw.l");
    assert_int_equal(page[1023], 0x600df00d);
    ends_with(machine, "poweroff\n", MACHINE_POWERED_OFF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_boots_takes_commands_and_powers_off),
        cmocka_unit_test(reset_ends_the_run_too),
        cmocka_unit_test(the_shared_page_is_seen_from_both_sides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
