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

#include <hosted/pl011.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A PL011's registers, and bits of them. */
enum { DATA = 0x00, FLAGS = 0x18, LINE_CONTROL = 0x2c, LEVELS = 0x34 };
enum { MASK = 0x38, RAW = 0x3c, MASKED = 0x40, CLEAR = 0x44 };
enum { EMPTY = 1 << 4, FULL = 1 << 6, FIFOS = 1 << 4 };
enum { RECEIVE = 1 << 4, TRANSMIT = 1 << 5, TIMEOUT = 1 << 6 };

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
    hosted_pl011_t *port = *state;
    assert_int_equal(hosted_pl011_read(port, FLAGS) & EMPTY, EMPTY);
    assert_int_equal(hosted_pl011_send(port, "ab", 2), 2);
    assert_int_equal(hosted_pl011_read(port, FLAGS) & EMPTY, 0);
    assert_int_equal(hosted_pl011_read(port, DATA), 'a');
    assert_int_equal(hosted_pl011_read(port, DATA), 'b');
    assert_int_equal(hosted_pl011_read(port, FLAGS) & EMPTY, EMPTY);
    assert_int_equal(hosted_pl011_read(port, DATA), 0);
    assert_int_equal(port->empty_polls, 3);
}

static void the_port_loses_nothing_when_it_is_full(void **state)
{
    static char sent[3 * HOSTED_PL011_INPUT];
    hosted_pl011_t *port = *state;
    size_t at = 0;
    size_t seen = 0;
    for (size_t i = 0; i < sizeof(sent); i++) {
        sent[i] = (char)(i * 7 % 251);
    }
    while (seen < sizeof(sent)) {
        at += hosted_pl011_send(port, sent + at, sizeof(sent) - at);
        assert_true(port->count > 0);
        for (unsigned i = 0; i < 100 && port->count > 0; i++, seen++) {
            assert_int_equal(hosted_pl011_read(port, DATA), (unsigned char)sent[seen]);
        }
    }
    assert_int_equal(port->count, 0);
}

static void the_port_is_full_as_its_fifo_is(void **state)
{
    hosted_pl011_t *port = *state;
    hosted_pl011_send(port, "0123456789abcdef0123456789abcdef", 31);
    assert_int_equal(hosted_pl011_read(port, FLAGS) & FULL, FULL);
    hosted_pl011_write(port, LINE_CONTROL, FIFOS);
    assert_int_equal(hosted_pl011_read(port, FLAGS) & FULL, 0);
    hosted_pl011_send(port, "x", 1);
    assert_int_equal(hosted_pl011_read(port, FLAGS) & FULL, FULL);
}

static void take_output(void *cookie, const char *bytes, size_t size)
{
    strncat(cookie, bytes, size);
}

static void the_port_sends_what_is_written(void **state)
{
    hosted_pl011_t *port = *state;
    char text[8] = "";
    hosted_pl011_write(port, DATA, 'x'); /* nobody listens */
    port->output = take_output;
    port->cookie = text;
    hosted_pl011_write(port, DATA, 'o');
    hosted_pl011_write(port, DATA, 'k');
    assert_string_equal(text, "ok");
    assert_int_equal(port->bytes_sent, 3);
}

static void the_device_passes_the_port_on(void **state)
{
    device_t *device = device_create(&device_pl011);
    char text[8] = "";
    device_write(device, DATA, 4, 'x');
    device->host.output = take_output;
    device->host.cookie = text;
    device_write(device, DATA, 1, 'k');
    assert_string_equal(text, "k");
    device->class->send(device, "a", 1);
    assert_int_equal(device_read(device, DATA, 4), 'a');
    device_destroy(device);
}

/** What a line does, as text: H for each rise, L for each fall. */
static void take_line(void *cookie, bool high)
{
    strcat(cookie, high ? "H" : "L");
}

static void input_interrupts_by_level_and_by_timeout(void **state)
{
    static const unsigned levels[] = {4, 8, 16, 24, 28}; /* of 32 */
    hosted_pl011_t *port = *state;
    hosted_pl011_write(port, LINE_CONTROL, FIFOS);
    for (unsigned i = 0; i < 5; i++) {
        hosted_pl011_write(port, LEVELS, i << 3);
        for (unsigned count = 1; count <= 32; count++) {
            hosted_pl011_send(port, "x", 1);
            assert_int_equal(hosted_pl011_read(port, RAW),
                             TIMEOUT | (count >= levels[i] ? RECEIVE : 0));
        }
        for (unsigned count = 0; count < 32; count++) {
            hosted_pl011_read(port, DATA);
        }
    }
    hosted_pl011_write(port, LINE_CONTROL, 0); /* no FIFO: each byte */
    hosted_pl011_send(port, "x", 1);
    assert_int_equal(hosted_pl011_read(port, RAW), TIMEOUT | RECEIVE);
}

static void the_line_is_high_while_input_waits(void **state)
{
    hosted_pl011_t *port = *state;
    char line[16] = "";
    port->interrupt = take_line;
    port->cookie = line;
    hosted_pl011_send(port, "ab", 2);
    assert_false(hosted_pl011_input_interrupts(port));
    assert_int_equal(hosted_pl011_read(port, MASKED), 0);
    assert_string_equal(line, "");
    hosted_pl011_write(port, MASK, TIMEOUT);
    assert_true(hosted_pl011_input_interrupts(port));
    assert_int_equal(hosted_pl011_read(port, MASKED), TIMEOUT);
    assert_string_equal(line, "H");
    hosted_pl011_write(port, CLEAR, 0x7ff); /* what has waited goes on waiting */
    hosted_pl011_read(port, DATA);
    assert_string_equal(line, "H");
    hosted_pl011_read(port, DATA);
    assert_string_equal(line, "HL");
    hosted_pl011_send(port, "c", 1);
    hosted_pl011_write(port, MASK, 0);
    assert_string_equal(line, "HLHL");
}

static void each_byte_that_is_sent_makes_a_transmit_interrupt(void **state)
{
    hosted_pl011_t *port = *state;
    char line[16] = "";
    port->interrupt = take_line;
    port->cookie = line;
    hosted_pl011_write(port, MASK, TRANSMIT);
    assert_string_equal(line, ""); /* as nothing was transmitted yet */
    hosted_pl011_write(port, DATA, 'a');
    assert_int_equal(hosted_pl011_read(port, MASKED), TRANSMIT);
    hosted_pl011_write(port, CLEAR, RECEIVE);
    assert_string_equal(line, "H");
    hosted_pl011_write(port, CLEAR, TRANSMIT);
    hosted_pl011_write(port, DATA, 'b');
    assert_string_equal(line, "HLH");
}

static void the_port_says_what_it_is(void **state)
{
    static const uint8_t expected[] = {0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1};
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(hosted_pl011_read(*state, 0xfe0 + 4 * i), expected[i]);
    }
    assert_int_equal(hosted_pl011_read(*state, 0x1000), 0);
}

static int make_port(void **state)
{
    static hosted_pl011_t port;
    hosted_pl011_init(&port);
    *state = &port;
    return 0;
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

static uint64_t next(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return *random >> 33;
}

/** Let a driver of little sense have the device for a while. */
static void use(device_t *device, uint64_t *random)
{
    for (unsigned i = 0; i < 2000; i++) {
        device_write(device, next(random) % 0x50 * 4, 4, next(random) % 512);
        device_read(device, next(random) % 0x50 * 4, 4);
        if (device->class->send != NULL && i % 16 == 0) {
            device->class->send(device, "some input", 10);
        }
    }
}

static void a_state_goes_on_in_another_device(void **state)
{
    uint64_t random = 1;
    for (size_t i = 0; device_class_at(i) != NULL; i++) {
        device_t *from = device_create(device_class_at(i));
        device_t *to = device_create(device_class_at(i));
        size_t size;
        use(from, &random);
        use(to, &random);
        void *saved = device_save(from, &size);
        assert_int_equal(size, device_state_size(to));
        assert_null(device_restore(to, saved));
        uint64_t same = random;
        use(from, &random);
        use(to, &same);
        void *first = device_save(from, &size);
        void *second = device_save(to, &size);
        assert_memory_equal(first, second, size);
        for (uint64_t offset = 0; offset < 0x1000; offset += 4) {
            assert_int_equal(device_read(from, offset, 4), device_read(to, offset, 4));
        }
        free(first);
        free(second);
        free(saved);
        device_destroy(from);
        device_destroy(to);
    }
}

/* All states: each is refused, or the device works on with it, somehow. */
static void no_state_breaks_a_device(void **state)
{
    uint64_t random = 2;
    for (size_t i = 0; device_class_at(i) != NULL; i++) {
        unsigned refused = 0;
        for (unsigned round = 0; round < 400; round++) {
            device_t *device = device_create(device_class_at(i));
            size_t size;
            use(device, &random);
            uint8_t *saved = device_save(device, &size);
            for (unsigned changes = 0; size > 0 && changes < 1 + round % 9; changes++) {
                saved[next(&random) % size] = (uint8_t)next(&random);
            }
            if (device_restore(device, saved) != NULL) {
                refused++;
            } else {
                use(device, &random);
            }
            free(saved);
            device_destroy(device);
        }
        assert_true(refused < 400);
    }
}

#define PORT_TEST(f) cmocka_unit_test_setup(f, make_port)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_class_is_found_by_its_name),
        cmocka_unit_test(no_offset_or_width_breaks_a_device),
        cmocka_unit_test(a_state_goes_on_in_another_device),
        cmocka_unit_test(no_state_breaks_a_device),
        PORT_TEST(the_port_gives_each_byte_once_and_in_order),
        PORT_TEST(the_port_loses_nothing_when_it_is_full),
        PORT_TEST(the_port_is_full_as_its_fifo_is),
        PORT_TEST(the_port_sends_what_is_written),
        PORT_TEST(input_interrupts_by_level_and_by_timeout),
        PORT_TEST(the_line_is_high_while_input_waits),
        PORT_TEST(each_byte_that_is_sent_makes_a_transmit_interrupt),
        PORT_TEST(the_port_says_what_it_is),
        cmocka_unit_test(the_device_passes_the_port_on),
        cmocka_unit_test(the_log_keeps_the_latest_accesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
