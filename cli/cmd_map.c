/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns `guestmem map`: build a description's memory and print it, without running the guest.
 */

#include "commands.h"

#include "build_and_print.h"
#include "report.h"

static const char help[] =
    "Usage: guestmem map [options] VM.dts|VM.dtb\n"
    "       guestmem map --board BOARD [options]\n"
    "\n"
    "Build the memory of the virtual machine that a device tree describes, or of several,\n"
    "on a hosted seL4 system, and print its map. The guest does not run.\n"
    "\n"
    "  --text          a table (the default)\n"
    "  --json          JSON\n"
    "  --svg           a picture\n"
    "  --board BOARD   a board's name or device tree, instead of the description's; without\n"
    "                  a description, print what the board's physical addresses are\n"
    "  --overlay FILE  an overlay for the board's tree; can be given again\n"
    "  --help          print this\n"
    "\n"
    "Exit status: 0; 1 if the description is wrong or does not fit the board; 2 for wrong usage.\n";

static void (*const printers[])(FILE *out, const memory_map_t *maps,
                                size_t count) = {report_text, report_json, report_svg};

static int print_board(const machine_options_t *options, int form, cli_error_t *error)
{
    memory_map_t map;
    int result = machine_board_map(options, &map, error);

    if (result == 0) {
        printers[form](stdout, &map, 1);
    }
    memory_map_release(&map);
    return result;
}

static int print_map(void *cookie, machine_t *machine, int form, cli_error_t *error)
{
    size_t count;
    memory_map_t *maps = machine_memory_maps(machine, &count);

    (void)cookie;
    if (maps == NULL) {
        return cli_error_set(error, "%s: out of memory", machine_description(machine)->file);
    }
    printers[form](stdout, maps, count);
    memory_maps_free(maps, count);
    return 0;
}

int cmd_map(int argc, char **argv)
{
    static const printer_t printer = {
        .help = help,
        .forms = {"text", "json", "svg"},
        .print = print_map,
        .print_board = print_board,
    };

    return build_and_print(argc, argv, &printer);
}
