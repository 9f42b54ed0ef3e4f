/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What the pacing of piped input promises: a line reaches the guest when it waits at a prompt, not
 * while a command looks for Ctrl-C.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "feed.h"

#include <string.h>

/** Let 10 ms pass in which the guest looks for input `polls` times and sends `bytes` bytes. */
static void pass(feed_t *feed, feed_state_t *state, unsigned polls, unsigned bytes)
{
    state->now += 0.01;
    state->empty_polls += polls;
    state->bytes_sent += bytes;
    feed_observe(feed, state);
}

static void put(feed_t *feed, const char *text)
{
    memcpy(feed->bytes + feed->count, text, strlen(text));
    feed->count += strlen(text);
}

static void a_guest_at_its_prompt_waits(void **state)
{
    feed_t feed = {0};
    feed_state_t guest = {0};
    pass(&feed, &guest, 0, 3);
    assert_false(feed_guest_waits(&feed, &guest));
    pass(&feed, &guest, 1000, 0);
    assert_true(feed_guest_waits(&feed, &guest));
    guest.input_pending = true;
    assert_false(feed_guest_waits(&feed, &guest));
}

static void a_command_that_looks_for_ctrl_c_does_not_wait(void **state)
{
    feed_t feed = {0};
    feed_state_t guest = {.at_line_start = true};
    for (unsigned i = 0; i < 290; i++) {
        pass(&feed, &guest, 100, 0);
        assert_false(feed_guest_waits(&feed, &guest));
    }
    for (unsigned i = 0; i < 20; i++) {
        pass(&feed, &guest, 1000, 0);
    }
    assert_true(feed_guest_waits(&feed, &guest)); /* a guest without prompt, after all */
}

static void lines_come_one_by_one_and_the_last_needs_no_end(void **state)
{
    feed_t feed = {0};
    put(&feed, "one\ntwo\r\nthree");
    assert_int_equal(feed_line(&feed), 4);
    feed_consume(&feed, 4);
    assert_int_equal(feed_line(&feed), 4);
    feed_consume(&feed, 4);
    assert_int_equal(feed_line(&feed), 1);
    feed_consume(&feed, 1);
    assert_int_equal(feed_line(&feed), 0);
    feed.ended = true;
    assert_int_equal(feed_line(&feed), 5);
    feed_consume(&feed, 5);
    assert_int_equal(feed.count, 0);
}

static void it_is_over_when_the_guest_waits_in_vain(void **state)
{
    feed_t feed = {.ended = true};
    feed_state_t guest = {0};
    for (unsigned i = 0; i < 199; i++) {
        pass(&feed, &guest, 100, 0);
        assert_false(feed_is_over(&feed, &guest, 2.0));
    }
    for (unsigned i = 0; i < 3; i++) {
        pass(&feed, &guest, 100, 0);
    }
    assert_true(feed_is_over(&feed, &guest, 2.0));
    pass(&feed, &guest, 0, 1);
    assert_false(feed_is_over(&feed, &guest, 2.0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guest_at_its_prompt_waits),
        cmocka_unit_test(a_command_that_looks_for_ctrl_c_does_not_wait),
        cmocka_unit_test(lines_come_one_by_one_and_the_last_needs_no_end),
        cmocka_unit_test(it_is_over_when_the_guest_waits_in_vain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
