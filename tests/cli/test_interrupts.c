/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What machines promise about interrupts: where the controller can be, and that devices reach the
 * guest by them. The guest is ../vcpu/echo.S.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "machine.h"

#include <hosted/census.h>
#include <hosted/vm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GIC     "<0 0x8000000 0 0x10000>, <0 0x8010000 0 0x10000>"
#define LEVEL   "<0 1 4>"
#define EDGE    "<0 1 1>"
#define PRIVATE "<1 11 4>" /* the virtual timer's */

/** Make the machine of a description with that controller and interrupt. @return NULL: see error */
static machine_t *make_with(const machine_options_t *options, const char *gic,
                            const char *interrupts, cli_error_t *error)
{
    static const char source[] =
        "/dts-v1/;\n/ { #address-cells = <2>; #size-cells = <2>; interrupt-parent = <&gic>;\n"
        "guestmem,entry = <0x40000000>;\n"
        "ram@40000000 { reg = <0 0x40000000 0 0x10000>; guestmem,backing = \"ram\";\n"
        "guestmem,load = \"" ECHO_GUEST "\"; };\n"
        "gic: intc@8000000 { reg = %s; guestmem,backing = \"emulated\";\n"
        "interrupt-controller; #interrupt-cells = <3>; guestmem,device = \"gic\"; };\n"
        "none@a000000 { reg = <0 0xa000000 0 0x1000>; guestmem,backing = \"emulated\";\n"
        "guestmem,device = \"zeros\"; interrupts = <0 16 4>; };\n"
        "serial@9000000 { reg = <0 0x9000000 0 0x1000>; guestmem,backing = \"emulated\";\n"
        "interrupts = %s; guestmem,device = \"pl011\"; }; };\n";
    char path[] = "/tmp/guestmem-test-XXXXXX.dts";
    FILE *file = fdopen(mkstemps(path, 4), "w");
    machine_t *machine;
    assert_non_null(file);
    fprintf(file, source, gic, interrupts);
    fclose(file);
    machine = machine_create(path, options, error);
    unlink(path);
    return machine;
}

static machine_t *make(const char *gic, const char *interrupts, cli_error_t *error)
{
    return make_with(NULL, gic, interrupts, error);
}

/** Run until the guest has echoed that. */
static void expect(machine_t *machine, const char *output)
{
    machine_until_t until = {.output = output, .max_seconds = 60};
    assert_int_equal(machine_run(machine, &until), MACHINE_SAW_OUTPUT);
}

static void a_level_interrupts_until_the_device_is_served(void **state)
{
    cli_error_t error = {0};
    machine_t *machine = make(GIC, LEVEL, &error);
    assert_non_null(machine);
    assert_int_equal(machine_send(machine, "ab", 2), 2); /* before it runs */
    expect(machine, "ab");
    assert_int_equal(machine_send(machine, "cde", 3), 3);
    expect(machine, "cde");
    assert_int_equal(machine_send(machine, "q", 1), 1);
    assert_int_equal(machine_run(machine, NULL), MACHINE_POWERED_OFF);
    assert_string_equal(machine_output(machine), ">abcdeq");
    assert_int_equal(hosted_vm_interrupt_count(machine_vm(machine), 33), 6);
    assert_int_equal(hosted_vm_interrupt_count(machine_vm(machine), 48), 0);
    assert_int_equal(machine_destroy(machine), 0);
}

static void an_edge_interrupts_once(void **state)
{
    cli_error_t error = {0};
    machine_until_t soon = {.max_seconds = 0.3};
    machine_t *machine = make(GIC, EDGE, &error);
    assert_non_null(machine);
    assert_int_equal(machine_send(machine, "ab", 2), 2);
    expect(machine, "a");
    assert_int_equal(machine_send(machine, "q", 1), 1); /* the line is high since "ab" */
    assert_int_equal(machine_run(machine, &soon), MACHINE_OUT_OF_TIME);
    assert_string_equal(machine_output(machine), ">a");
    assert_int_equal(hosted_vm_interrupt_count(machine_vm(machine), 33), 1);
    assert_int_equal(machine_destroy(machine), 0);
}

static void a_machine_starts_again_from_where_it_was_saved(void **state)
{
    enum { RESTARTS = 1000 };
    cli_error_t error = {0};
    hosted_census_t saved;
    hosted_census_t census;
    char expected[RESTARTS * 4 + 8] = ">a";
    machine_t *machine = make(GIC, LEVEL, &error);
    assert_non_null(machine);
    assert_int_equal(machine_save(machine, &error), -1); /* it has not run */
    assert_non_null(strstr(error.line, "cannot be saved"));
    assert_int_equal(machine_send(machine, "ab", 2), 2);
    expect(machine, "a"); /* the other is waiting then, and interrupts */
    assert_int_equal(machine_save(machine, &error), 0);
    hosted_census_take(machine_system(machine), &saved);
    for (int i = 0; i < RESTARTS; i++) {
        if (i % 100 == 0) {
            assert_int_equal(machine_send(machine, "q", 1), 1);
            assert_int_equal(machine_run(machine, NULL), MACHINE_POWERED_OFF);
            strcat(expected, "bq");
        } else {
            assert_int_equal(machine_send(machine, "\n", 1), 1);
            expect(machine, "b\n>");
            strcat(expected, "b\n>");
        }
        assert_int_equal(machine_restore(machine), 0);
        hosted_census_take(machine_system(machine), &census);
        hosted_census_print_difference(stderr, &saved, &census);
        assert_true(hosted_census_equal(&saved, &census));
    }
    assert_string_equal(machine_output(machine), expected);
    assert_int_equal(machine_destroy(machine), 0);
}

static int put(void *cookie, const void *bytes, size_t size)
{
    return fwrite(bytes, 1, size, cookie) == size ? 0 : -1;
}

static int get(void *cookie, void *bytes, size_t size)
{
    return fread(bytes, 1, size, cookie) == size ? 0 : -1;
}

static void a_machine_goes_on_in_another_one(void **state)
{
    const machine_options_t unloaded = {.unloaded = true};
    cli_error_t error = {0};
    FILE *saved = tmpfile();
    machine_t *machine = make(GIC, LEVEL, &error);
    machine_t *other = make_with(&unloaded, GIC, LEVEL, &error);
    assert_non_null(machine);
    assert_non_null(other);
    hosted_system_enter(machine_system(machine));
    assert_int_equal(machine_send(machine, "ab", 2), 2);
    expect(machine, "a"); /* the other is waiting then, and interrupts */
    assert_int_equal(machine_write_saved(machine, put, saved, &error), 0);
    expect(machine, "b"); /* it has not noticed */
    rewind(saved);
    assert_int_equal(machine_read_saved(other, get, saved, &error), 0);
    expect(other, "b");
    assert_int_equal(machine_send(other, "q", 1), 1);
    assert_int_equal(machine_run(other, NULL), MACHINE_POWERED_OFF);
    assert_string_equal(machine_output(other), "bq");
    assert_int_equal(machine_destroy(other), 0);
    hosted_system_enter(machine_system(machine));
    assert_int_equal(machine_destroy(machine), 0);

    other = make_with(&unloaded, GIC, EDGE, &error);
    assert_non_null(other);
    rewind(saved);
    assert_int_equal(machine_read_saved(other, get, saved, &error), -1);
    assert_non_null(strstr(error.line, "serial@9000000: interrupts"));
    assert_int_equal(machine_destroy(other), 0);
    fclose(saved);
}

static void expect_error(const char *gic, const char *interrupts, const char *text)
{
    cli_error_t error = {0};
    if (make(gic, interrupts, &error) != NULL || strstr(error.line, text) == NULL) {
        fail_msg("gic %s, interrupts %s: \"%s\" is not in \"%s\"", gic, interrupts, text,
                 error.line);
    }
}

static void what_cannot_be_is_refused(void **state)
{
    static const char where[] = "the distributor at 0x8000000 and the CPU interface at 0x8010000";
    expect_error("<0 0x8000000 0 0x10000>", LEVEL, where);
    expect_error("<0 0x8000000 0 0x800>, <0 0x8010000 0 0x1000>", LEVEL, where);
    expect_error("<0 0x2c000000 0 0x1000>, <0 0x2c001000 0 0x1000>", LEVEL, where);
    expect_error("<0 0x8000000 0 0x1000>, <0 0x8020000 0 0x1000>", LEVEL, where);
    expect_error(GIC ", <0 0x8030000 0 0x10000>", LEVEL, where);
    expect_error(GIC, "<0 988 4>", "serial@9000000: interrupts");
    expect_error(GIC, "<1 16 4>", "serial@9000000: interrupts");
    expect_error(GIC, "<2 1 4>", "serial@9000000: interrupts");
    expect_error(GIC, "<0 1>", "serial@9000000: interrupts");
    expect_error(GIC, PRIVATE, "serial@9000000: interrupts");
}

static void the_map_shows_the_controller(void **state)
{
    cli_error_t error = {0};
    machine_t *machine = make(GIC, LEVEL, &error);
    memory_map_t map;
    assert_non_null(machine);
    assert_int_equal(machine_memory_map(machine, &map), 0);
    assert_int_equal(map.num_rows, 7);
    assert_string_equal(map.rows[0].name, "intc@8000000");
    assert_int_equal(map.rows[0].last, 0x8000fff);
    assert_int_equal(map.rows[1].last, 0x800ffff);
    assert_string_equal(map.rows[2].name, "intc@8000000[1]");
    assert_int_equal(map.rows[2].frames[MAP_FRAMES_4K], 1);
    assert_string_equal(map.rows[2].rights, "rw");
    assert_int_equal(map.rows[3].last, 0x801ffff);
    memory_map_release(&map);
    assert_int_equal(machine_destroy(machine), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_level_interrupts_until_the_device_is_served),
        cmocka_unit_test(an_edge_interrupts_once),
        cmocka_unit_test(a_machine_starts_again_from_where_it_was_saved),
        cmocka_unit_test(a_machine_goes_on_in_another_one),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(the_map_shows_the_controller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
