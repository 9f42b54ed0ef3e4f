/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns `guestmem plan`: say what a description will take, without making anything of it.
 */

#include "commands.h"

#include "plan.h"

#include <getopt.h>
#include <stdio.h>

static const char help[] =
    "Usage: guestmem plan [options] VM.dts|VM.dtb\n"
    "\n"
    "Print what the virtual machine that a device tree describes will take before it is\n"
    "made: frames, page tables, capability slots, memory, address space and heap of the\n"
    "VMM, and kernel invocations. guestmem map and guestmem run then take exactly that.\n"
    "Memory that the board has is assumed to be free.\n"
    "\n"
    "  --text          a table (the default)\n"
    "  --json          JSON\n"
    "  --board BOARD   a board's name or device tree, instead of the description's\n"
    "  --help          print this\n"
    "\n"
    "Exit status: 0; 1 if the description is wrong or does not fit the board; 2 for wrong usage.\n";

typedef void (*printer_t)(FILE *out, const plan_t *plan);

static int print_plan(const char *file, const char *board, printer_t print)
{
    cli_error_t error = {0};
    plan_t plan;

    if (plan_make(&plan, file, board, &error) != 0) {
        fprintf(stderr, "guestmem: %s\n", error.line);
        return STATUS_FAILED;
    }
    print(stdout, &plan);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "guestmem: the plan cannot be written to standard output\n");
        return STATUS_FAILED;
    }
    return STATUS_OK;
}

int cmd_plan(int argc, char **argv)
{
    enum { TEXT, JSON, BOARD, HELP };
    static const struct option options[] = {
        {"text", no_argument, NULL, TEXT},
        {"json", no_argument, NULL, JSON},
        {"board", required_argument, NULL, BOARD},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    const char *board = NULL;
    printer_t print = plan_print_text;
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case TEXT:
            print = plan_print_text;
            break;
        case JSON:
            print = plan_print_json;
            break;
        case BOARD:
            board = optarg;
            break;
        case HELP:
        case 'h':
            fputs(help, stdout);
            return STATUS_OK;
        default:
            return STATUS_USAGE;
        }
    }
    if (optind + 1 != argc) {
        fprintf(stderr, "guestmem plan: %s (see guestmem plan --help)\n",
                optind == argc ? "which description?" : "only one description, please");
        return STATUS_USAGE;
    }
    return print_plan(argv[optind], board, print);
}
