/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Piped input for a guest that throws away what it is not waiting for (as boot loaders do when they
 * look for Ctrl-C): a line is sent once the guest has read the line before and waits at a prompt.
 * Pure: from the guest's state and the time it says what to send.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What is seen of the guest at one moment. */
typedef struct feed_state {
    double now;           /* seconds of a clock that only goes forward */
    uint64_t empty_polls; /* times that the guest has looked for input and found none, or was
                             found asleep until input comes */
    uint64_t bytes_sent;  /* bytes that it has sent */
    bool input_pending;   /* whether it has not read all that it was given */
    bool at_line_start;   /* whether its last byte was a line feed: no prompt stands */
} feed_state_t;

#define FEED_SIZE 4096

typedef struct feed {
    char bytes[FEED_SIZE];
    size_t count;
    bool ended; /* no more input will come */
    uint64_t seen_sent;
    uint64_t seen_polls;
    uint64_t quiet_polls; /* empty_polls when the quiet began */
    double quiet_since;   /* since then the guest only looks for input */
    double polled_at;     /* when it was last seen to look */
} feed_t;

/** Take `state` in; call it before the functions below, every few milliseconds. */
void feed_observe(feed_t *feed, const feed_state_t *state);

/** Whether the guest waits for input at a prompt, or has been waiting for three seconds anywhere.
 */
bool feed_guest_waits(const feed_t *feed, const feed_state_t *state);

/**
 * Whether the input has ended and the guest has waited for more of it for `seconds` at a prompt, or
 * for five times as long anywhere.
 */
bool feed_is_over(const feed_t *feed, const feed_state_t *state, double seconds);

/** Bytes of the first line with its end; all bytes if there is no line end and none will come. */
size_t feed_line(const feed_t *feed);

/** Remove the first `count` bytes. */
void feed_consume(feed_t *feed, size_t count);
