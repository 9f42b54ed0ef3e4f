/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the `guestmem` command's first word, and the check that its output was written.
 */

#include "commands.h"

#include "device/device.h"

#include <guestmem/version.h>
#include <stdio.h>
#include <string.h>

static void print_help(void)
{
    printf("Usage: guestmem COMMAND [options] VM.dts|VM.dtb\n"
           "\n"
           "Guest-physical memory of seL4 virtual machines, on a hosted seL4 system.\n"
           "\n"
           "Commands:\n"
           "  run        build a virtual machine from its description and run its guest\n"
           "  map        print the memory map of a virtual machine, as text, JSON or SVG\n"
           "  plan       print what a virtual machine takes: memory, slots, kernel invocations\n"
           "  import     print a description of a virtual machine of a Microkit system\n"
           "\n"
           "  --help     print this; guestmem COMMAND --help prints a command's options\n"
           "  --version  print the version\n"
           "\n"
           "A description is a device tree with guestmem,... properties (docs/vm-description.md).\n"
           "Devices for guestmem,device:\n");
    for (size_t i = 0; device_class_at(i) != NULL; i++) {
        printf("  %-14s  %s\n", device_class_at(i)->name, device_class_at(i)->summary);
    }
}

/** Judge what became of what was printed, unless something else was wrong. @return the status */
static int finish(int status)
{
    if (status == STATUS_OK && (fflush(stdout) != 0 || ferror(stdout))) {
        fprintf(stderr, "guestmem: standard output cannot be written\n");
        status = STATUS_FAILED;
    }
    return status;
}

int main(int argc, char **argv)
{
    static struct {
        const char *word;
        int (*run)(int argc, char **argv);
        char name[16]; /* what getopt's messages begin with */
    } commands[] = {
        {"run", cmd_run, "guestmem run"},
        {"map", cmd_map, "guestmem map"},
        {"plan", cmd_plan, "guestmem plan"},
        {"import", cmd_import, "guestmem import"},
    };

    for (size_t i = 0; argc >= 2 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].word) == 0) {
            argv[1] = commands[i].name;
            return finish(commands[i].run(argc - 1, argv + 1));
        }
    }
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_help();
        return finish(STATUS_OK);
    }
    if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
        printf("guestmem %s\n", GUESTMEM_VERSION);
        return finish(STATUS_OK);
    }
    if (argc >= 2) {
        fprintf(stderr, "guestmem: no command \"%s\" (see guestmem --help)\n", argv[1]);
    } else {
        fprintf(stderr, "guestmem: which command? (see guestmem --help)\n");
    }
    return STATUS_USAGE;
}
