/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What the commands have in common that build a machine and print it. */

#include "machine.h"

enum { PRINTER_MAX_FORMS = 4 };

typedef struct printer {
    const char *help;
    const char *forms[PRINTER_MAX_FORMS]; /* an option each; the first is the default */
    /** See machine_options_t; may be NULL. */
    void (*step)(void *cookie, machine_t *machine);
    /** Print a file's machines in that form to stdout. @return 0; -1 with an error, and nothing
     * printed */
    int (*print)(void *cookie, machine_t *machine, int form, cli_error_t *error);
    /** Print a board's map, when no description is given; NULL: a description is needed. */
    int (*print_board)(const machine_options_t *options, int form, cli_error_t *error);
    void *cookie;
} printer_t;

/** The command itself. @return its exit status */
int build_and_print(int argc, char **argv, const printer_t *printer);
