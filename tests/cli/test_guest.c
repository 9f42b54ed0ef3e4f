/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What the example guest promises: it touches every kind of backing, and its report is exactly the
 * expected one; and the VMM sees what the guest did.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "command.h"
#include "device/log.h"
#include "file.h"
#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static void the_report_is_exactly_the_expected_one(void **state)
{
    const char *arguments[] = {"run", "--quiet", "--max-seconds", "60", GUESTMEM_EXAMPLE, NULL};
    command_result_t result = command_run(arguments, NULL);
    char *output = read_expected("expected-output.txt");
    char *messages = read_expected("expected-messages.txt");

    (void)state;
    assert_string_equal(result.output, output);
    assert_string_equal(result.messages, messages);
    assert_int_equal(result.status, 0);
    command_release(&result);
    free(output);
    free(messages);
}

static machine_t *run_guest(void)
{
    machine_until_t until = {.max_seconds = 60};
    cli_error_t error = {0};
    machine_t *machine = machine_create(GUESTMEM_EXAMPLE, NULL, &error);

    assert_string_equal(error.line, "");
    assert_non_null(machine);
    assert_int_equal(machine_run(machine, &until), MACHINE_POWERED_OFF);
    return machine;
}

static void the_vmm_sees_what_the_guest_wrote(void **state)
{
    machine_t *machine = run_guest();
    char *page = machine_find_frame(machine, "allocated-frame@b000000");

    (void)state;
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

    (void)state;
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
    cli_error_t error = {0};
    machine_t *machine = machine_create(GUESTMEM_EXAMPLE, NULL, &error);
    char *expected = read_expected("expected-output.txt");

    (void)state;
    assert_non_null(machine);
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
    cli_error_t error = {0};
    machine_t *machine = machine_create(GUESTMEM_EXAMPLE, NULL, &error);

    (void)state;
    assert_non_null(machine);
    assert_int_equal(machine_run(machine, &few), MACHINE_OUT_OF_TIME);
    assert_int_equal(machine_destroy(machine), 0);
}

/** Run a description of a broken guest, which must end with status 1 and one line. */
static void fails_with(const char *nodes, const char *says)
{
    char *folder = command_make_folder();
    char *source;
    char *path;
    int length = asprintf(&source,
                          "/dts-v1/;\n/ { #address-cells = <2>; #size-cells = <2>;\n"
                          "guestmem,entry = <0x1000>;\n%s };\n",
                          nodes);
    const char *arguments[] = {"run", "--quiet", "--max-seconds", "60", NULL, NULL};
    command_result_t result;

    assert_true(length > 0);
    path = command_write_file(folder, "vm.dts", source, (size_t)length);
    arguments[4] = path;
    result = command_run(arguments, NULL);
    if (result.status != 1 || strstr(result.messages, says) == NULL ||
        strchr(result.messages, '\n') != result.messages + strlen(result.messages) - 1) {
        fail_msg("status %d, no \"%s\" in: %s", result.status, says, result.messages);
    }
    assert_string_equal(result.output, "");
    command_release(&result);
    free(source);
    free(path);
    command_remove_folder(folder);
}

static void a_guest_that_fails_is_status_1_and_one_line(void **state)
{
    (void)state;
    fails_with("", "0x1000");
    fails_with("n { reg = <0 0 0 0x2000>; guestmem,backing = \"frames\"; };", "undefined");
    fails_with("dev@1000 { reg = <0 0x1000 0 0x1000>; guestmem,backing = \"emulated\"; "
               "guestmem,device = \"ones\"; };",
               "dev@1000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_report_is_exactly_the_expected_one),
        cmocka_unit_test(the_vmm_sees_what_the_guest_wrote),
        cmocka_unit_test(writes_to_a_read_only_page_reach_the_callback),
        cmocka_unit_test(a_run_can_be_interrupted_at_any_output),
        cmocka_unit_test(budgets_end_a_run),
        cmocka_unit_test(a_guest_that_fails_is_status_1_and_one_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
