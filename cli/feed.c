/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the judgement of whether a guest waits for input. At a prompt a guest looks for input again
 * and again and sends nothing, and its last byte was not a line feed. A command that looks for
 * Ctrl-C while it works does so too, but after a line feed.
 */

#include "feed.h"

#include <string.h>

enum { POLLS_AT_PROMPT = 20 };

/** A guest that has not looked for input for so many seconds is busy. */
static const double busy_after = 0.25;

/** A guest without prompt gets its line after so many seconds. */
static const double patience = 3.0;

/** How many times longer the end of the input waits where no prompt stands. */
static const double without_prompt = 5.0;

void feed_observe(feed_t *feed, const feed_state_t *state)
{
    if (state->empty_polls != feed->seen_polls) {
        feed->seen_polls = state->empty_polls;
        feed->polled_at = state->now;
    }
    if (state->bytes_sent != feed->seen_sent || state->input_pending ||
        state->now - feed->polled_at > busy_after) {
        feed->seen_sent = state->bytes_sent;
        feed->quiet_polls = state->empty_polls;
        feed->quiet_since = state->now;
    }
}

bool feed_guest_waits(const feed_t *feed, const feed_state_t *state)
{
    if (state->input_pending || state->empty_polls - feed->quiet_polls < POLLS_AT_PROMPT) {
        return false;
    }
    return !state->at_line_start || state->now - feed->quiet_since >= patience;
}

bool feed_is_over(const feed_t *feed, const feed_state_t *state, double seconds)
{
    double wait = state->at_line_start ? seconds * without_prompt : seconds;

    return feed->ended && feed->count == 0 && !state->input_pending &&
           state->empty_polls - feed->quiet_polls >= POLLS_AT_PROMPT &&
           state->now - feed->quiet_since >= wait;
}

size_t feed_line(const feed_t *feed)
{
    for (size_t i = 0; i < feed->count; i++) {
        if (feed->bytes[i] == '\n' || feed->bytes[i] == '\r') {
            return i + 1;
        }
    }
    /* A line that fills the buffer goes out in parts. */
    return feed->ended || feed->count == FEED_SIZE ? feed->count : 0;
}

void feed_consume(feed_t *feed, size_t count)
{
    memmove(feed->bytes, feed->bytes + count, feed->count - count);
    feed->count -= count;
}
