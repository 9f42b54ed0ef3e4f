/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns `guestmem map`: build a description's memory and print it, without running the guest.
 */

#include "commands.h"

#include "machine.h"
#include "report.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

typedef void (*printer_t)(FILE *out, const memory_map_t *map);

static const char help[] =
    "Usage: guestmem map [options] VM.dts|VM.dtb\n"
    "\n"
    "Build the memory of the virtual machine that a device tree describes, on a hosted\n"
    "seL4 system, and print its map. The guest does not run.\n"
    "\n"
    "  --text          a table (the default)\n"
    "  --json          JSON\n"
    "  --svg           a picture\n"
    "  --board BOARD   a board's name or device tree, instead of the description's\n"
    "  --help          print this\n"
    "\n"
    "Exit status: 0; 1 if the description is wrong or does not fit the board; 2 for wrong usage.\n";

static int print_map(const char *file, const machine_options_t *options, printer_t print)
{
    cli_error_t error = {0};
    memory_map_t map;
    machine_t *machine = machine_create(file, options, &error);
    int status = STATUS_OK;

    if (machine == NULL) {
        fprintf(stderr, "guestmem: %s\n", error.line);
        return STATUS_FAILED;
    }
    if (machine_memory_map(machine, &map) == 0) {
        print(stdout, &map);
        memory_map_release(&map);
    } else {
        fprintf(stderr, "guestmem: %s: out of memory\n", file);
        status = STATUS_FAILED;
    }
    if (machine_destroy(machine) != 0) {
        status = STATUS_FAILED;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "guestmem: the map cannot be written to standard output\n");
        status = STATUS_FAILED;
    }
    return status;
}

int cmd_map(int argc, char **argv)
{
    enum { TEXT, JSON, SVG, BOARD, HELP };
    static const struct option options[] = {
        {"text", no_argument, NULL, TEXT}, {"json", no_argument, NULL, JSON},
        {"svg", no_argument, NULL, SVG},   {"board", required_argument, NULL, BOARD},
        {"help", no_argument, NULL, HELP}, {NULL, 0, NULL, 0},
    };
    machine_options_t machine_options = {0};
    printer_t print = report_text;
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case TEXT:
            print = report_text;
            break;
        case JSON:
            print = report_json;
            break;
        case SVG:
            print = report_svg;
            break;
        case BOARD:
            machine_options.board = optarg;
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
        fprintf(stderr, "guestmem map: %s (see guestmem map --help)\n",
                optind == argc ? "which description?" : "only one description, please");
        return STATUS_USAGE;
    }
    return print_map(argv[optind], &machine_options, print);
}
