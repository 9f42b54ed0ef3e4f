/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the command line of `guestmem map` and `guestmem plan`, and their way from a description to
 * an exit status: build the machine, print it, destroy it.
 */

#include "build_and_print.h"

#include "commands.h"

#include <getopt.h>
#include <stdio.h>

static int build(const char *file, const machine_options_t *options, int form,
                 const printer_t *printer)
{
    cli_error_t error = {0};
    machine_t *machine = file != NULL ? machine_create(file, options, &error) : NULL;
    int status = STATUS_OK;
    int result = -1;

    if (machine != NULL) {
        result = printer->print(printer->cookie, machine, form, &error);
    } else if (file == NULL && printer->print_board != NULL) {
        result = printer->print_board(options, form, &error);
    }
    if (result != 0) {
        fprintf(stderr, "guestmem: %s\n", error.line);
        status = STATUS_FAILED;
    }
    if (machine_destroy(machine) != 0) {
        status = STATUS_FAILED;
    }
    return status;
}

int build_and_print(int argc, char **argv, const printer_t *printer)
{
    enum { BOARD = PRINTER_MAX_FORMS, OVERLAY, HELP, NUM_OPTIONS };
    struct option options[NUM_OPTIONS + 1] = {
        {"board", required_argument, NULL, BOARD},
        {"overlay", required_argument, NULL, OVERLAY},
        {"help", no_argument, NULL, HELP},
    };
    machine_options_t machine = {.step = printer->step, .cookie = printer->cookie};
    bool board_alone;
    int form = 0;
    int option;

    for (int i = 0; i < PRINTER_MAX_FORMS && printer->forms[i] != NULL; i++) {
        options[3 + i] = (struct option){printer->forms[i], no_argument, NULL, i};
    }
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case BOARD:
            machine.board = optarg;
            break;
        case OVERLAY:
            if (machine_add_overlay(&machine, optarg) != 0) {
                return STATUS_USAGE;
            }
            break;
        case HELP:
        case 'h':
            fputs(printer->help, stdout);
            return STATUS_OK;
        case '?':
            return STATUS_USAGE;
        default:
            form = option;
        }
    }
    board_alone = optind == argc && machine.board != NULL && printer->print_board != NULL;
    if (optind + 1 != argc && !board_alone) {
        fprintf(stderr, "%s: %s (see %s --help)\n", argv[0],
                optind == argc ? "which description?" : "only one description, please", argv[0]);
        return STATUS_USAGE;
    }
    return build(board_alone ? NULL : argv[optind], &machine, form, printer);
}
