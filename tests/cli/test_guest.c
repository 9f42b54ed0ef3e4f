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
    cli_error_t error = {0};
    machine_t *machine = machine_create(GUESTMEM_EXAMPLE, NULL, &error);
    char *expected = read_expected("expected-output.txt");
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
    assert_non_null(machine);
    assert_int_equal(machine_run(machine, &few), MACHINE_OUT_OF_TIME);
    assert_int_equal(machine_destroy(machine), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vmm_sees_what_the_guest_wrote),
        cmocka_unit_test(writes_to_a_read_only_page_reach_the_callback),
        cmocka_unit_test(a_run_can_be_interrupted_at_any_output),
        cmocka_unit_test(budgets_end_a_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
