/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What the device models promise, without a virtual machine.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "device/device.h"
#include "device/log.h"
#include "device/pl011.h"

#include <stdio.h>
#include <string.h>

enum { DATA = 0x00, FLAGS = 0x18, MASK = 0x38, RAW = 0x3c, MASKED = 0x40, EMPTY = 1 << 4 };

static uint64_t device_read(device_t *device, uint64_t offset, unsigned width)
{
    return device->class->read(device, offset, width);
}

static void device_write(device_t *device, uint64_t offset, unsigned width, uint64_t value)
{
    device->class->write(device, offset, width, value);
}

static void every_class_is_found_by_its_name(void **state)
{
    size_t count = 0;
    for (; device_class_at(count) != NULL; count++) {
        assert_ptr_equal(device_class_find(device_class_at(count)->name), device_class_at(count));
    }
    assert_true(count >= 5);
    assert_null(device_class_find("toaster"));
    assert_null(device_class_find(""));
}

static void no_offset_or_width_breaks_a_device(void **state)
{
    static const unsigned widths[] = {1, 2, 4, 8};
    for (size_t i = 0; device_class_at(i) != NULL; i++) {
        device_t *device = device_create(device_class_at(i));
        assert_non_null(device);
        for (uint64_t offset = 0; offset < 0x2000; offset++) {
            for (unsigned w = 0; w < 4; w++) {
                device_write(device, offset, widths[w], 0);
                device_read(device, offset, widths[w]);
            }
        }
        device_read(device, UINT64_MAX - 7, 8);
        device_write(device, UINT64_MAX - 7, 8, UINT64_MAX);
        device_destroy(device);
    }
}

static void the_port_gives_each_byte_once_and_in_order(void **state)
{
    device_t *port = device_create(&device_pl011);
    assert_int_equal(device_read(port, FLAGS, 4) & EMPTY, EMPTY);
    assert_int_equal(pl011_send(port, "ab", 2), 2);
    assert_int_equal(device_read(port, FLAGS, 4) & EMPTY, 0);
    assert_int_equal(device_read(port, DATA, 4), 'a');
    assert_int_equal(device_read(port, DATA, 1), 'b');
    assert_int_equal(device_read(port, FLAGS, 4) & EMPTY, EMPTY);
    assert_int_equal(device_read(port, DATA, 4), 0);
    device_destroy(port);
}

static void the_port_loses_nothing_when_it_is_full(void **state)
{
    static char sent[3 * PL011_INPUT_SIZE];
    device_t *port = device_create(&device_pl011);
    size_t at = 0;
    size_t seen = 0;
    for (size_t i = 0; i < sizeof(sent); i++) {
        sent[i] = (char)(i * 7 % 251);
    }
    while (seen < sizeof(sent)) {
        at += pl011_send(port, sent + at, sizeof(sent) - at);
        assert_true(pl011_has_input(port));
        for (unsigned i = 0; i < 100 && pl011_has_input(port); i++, seen++) {
            assert_int_equal(device_read(port, DATA, 4), (unsigned char)sent[seen]);
        }
    }
    assert_int_equal(pl011_room(port), PL011_INPUT_SIZE);
    device_destroy(port);
}

static void take_output(void *cookie, const char *bytes, size_t size)
{
    strncat(cookie, bytes, size);
}

static void the_port_sends_what_is_written(void **state)
{
    device_t *port = device_create(&device_pl011);
    char text[8] = "";
    device_write(port, DATA, 4, 'x'); /* nobody listens */
    port->host.output = take_output;
    port->host.cookie = text;
    device_write(port, DATA, 4, 'o');
    device_write(port, DATA, 1, 'k');
    assert_string_equal(text, "ok");
    assert_int_equal(pl011_bytes_sent(port), 3);
    device_destroy(port);
}

static void the_port_raises_what_is_not_masked(void **state)
{
    device_t *port = device_create(&device_pl011);
    pl011_send(port, "a", 1);
    assert_int_equal(device_read(port, RAW, 4) & 0x10, 0x10);
    assert_int_equal(device_read(port, MASKED, 4), 0);
    device_write(port, MASK, 4, 0x10);
    assert_int_equal(device_read(port, MASKED, 4), 0x10);
    device_destroy(port);
}

static void count_note(void *cookie, const device_t *device, const device_access_t *access)
{
    *(uint64_t *)cookie += access->value;
}

static void the_log_keeps_the_latest_accesses(void **state)
{
    device_t *log = device_create(&device_log);
    uint64_t sum = 0;
    assert_null(device_log_access(log, 0));
    log->host.note = count_note;
    log->host.cookie = &sum;
    assert_int_equal(device_read(log, 0x20, 2), 0);
    for (unsigned i = 1; i <= LOG_KEPT; i++) {
        device_write(log, 0x10, 4, i);
    }
    assert_int_equal(sum, LOG_KEPT * (LOG_KEPT + 1) / 2);
    assert_int_equal(device_log_count(log), LOG_KEPT + 1);
    assert_null(device_log_access(log, 0));
    assert_int_equal(device_log_access(log, 1)->value, 1);
    assert_int_equal(device_log_access(log, LOG_KEPT)->value, LOG_KEPT);
    assert_int_equal(device_log_access(log, LOG_KEPT)->width, 4);
    assert_true(device_log_access(log, LOG_KEPT)->is_write);
    assert_null(device_log_access(log, LOG_KEPT + 1));
    device_destroy(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_class_is_found_by_its_name),
        cmocka_unit_test(no_offset_or_width_breaks_a_device),
        cmocka_unit_test(the_port_gives_each_byte_once_and_in_order),
        cmocka_unit_test(the_port_loses_nothing_when_it_is_full),
        cmocka_unit_test(the_port_sends_what_is_written),
        cmocka_unit_test(the_port_raises_what_is_not_masked),
        cmocka_unit_test(the_log_keeps_the_latest_accesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
