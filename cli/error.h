/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The one line that the command prints when something is wrong. Whoever finds a fault first
 * describes it fully (file, node, property, range, reason); callers only pass it on.
 */

#include <stdarg.h>
#include <stddef.h>

/** Empty (`line[0] == 0`) while nothing is wrong. */
typedef struct cli_error {
    char line[768];
} cli_error_t;

/**
 * Describe what is wrong, in one line: control characters are replaced by spaces.
 *
 * @param error  NULL is allowed and ignores the text
 * @return -1, so that a failing function can end with it
 */
int cli_error_set(cli_error_t *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** As cli_error_set(), with an argument list. */
int cli_error_setv(cli_error_t *error, const char *format, va_list arguments);
