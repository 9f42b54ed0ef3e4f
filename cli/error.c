/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the making of error lines. Text from files (node names, dtc's messages) ends up in them, so
 * nothing that could break the line or drive a terminal passes.
 */

#include "error.h"

#include <stdio.h>

int cli_error_setv(cli_error_t *error, const char *format, va_list arguments)
{
    if (error == NULL) {
        return -1;
    }
    vsnprintf(error->line, sizeof(error->line), format, arguments);
    for (char *c = error->line; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = ' ';
        }
    }
    return -1;
}

int cli_error_set(cli_error_t *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    cli_error_setv(error, format, arguments);
    va_end(arguments);
    return -1;
}
