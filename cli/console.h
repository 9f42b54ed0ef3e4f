/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The user's side of the guest's serial port: a terminal, or piped input. */

#include <stdbool.h>
#include "machine.h"

typedef struct console console_t;

/**
 * Take standard input for the guest. A terminal is put in raw mode until console_close(), and gets
 * its modes back also when a signal kills the process.
 *
 * @param max_seconds  after which nothing waits for input any longer; 0: no limit
 * @return to be freed with console_close(); NULL if memory is exhausted
 */
console_t *console_open(double max_seconds);

/**
 * Read all of piped input, and send none of it before console_rewind(). From now on the machine is
 * stopped when the guest waits for input at a prompt, and there is none to be sent.
 *
 * @return 0; -1 with a message
 */
int console_hold(console_t *console);

/** No input comes from a terminal, which gets its modes back. Before console_hold(). */
void console_leave_terminal(console_t *console);

/** Send the input that is held, where the guest has not been yet. */
void console_send(console_t *console);

/** The guest, which has not run here, stands where it waits for input at a prompt. After
 * console_hold() and console_send(). */
void console_stand_at_prompt(console_t *console);

/** Send the input from its beginning, where the guest stands as it stood when it first waited. */
void console_rewind(console_t *console);

/** Whether the machine was stopped because the guest waits, see console_hold(). */
bool console_guest_waits(const console_t *console);

/** Give the terminal back. NULL is allowed. */
void console_close(console_t *console);

/** Whether a person types. */
bool console_is_interactive(const console_t *console);

/** Move input to the guest; stop the machine when the user leaves, or piped input is over. */
void console_poll(console_t *console, machine_t *machine);

/** Pass on what the guest has sent. @return false if not all of it could be written */
bool console_write(console_t *console, const char *bytes, size_t size);

/** How the user, or the end of the input, stopped the machine; NULL if neither did. */
const char *console_why_stopped(const console_t *console);
