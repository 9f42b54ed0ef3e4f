/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns `guestmem import`: a virtual machine of a system description of Microkit, as a description
 * that the other commands read. What a description cannot say (caching of free memory, further
 * VCPUs) is a comment in it, or an error where the guest would have another memory.
 */

#include "commands.h"

#include "file.h"
#include "microkit.h"

#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: guestmem import [options] FILE.system\n"
    "\n"
    "Read a system description of Microkit (AArch64), and print the memory of its virtual\n"
    "machine as a description for the other commands (docs/vm-description.md).\n"
    "\n"
    "  --vm NAME       the virtual machine, where the file has several\n"
    "  --board BOARD   the board, for the description; its default is qemu-arm-virt\n"
    "  --help          print this\n"
    "\n"
    "Exit status: 0; 1 if the file is wrong, or has what a description cannot say; 2 for wrong\n"
    "usage.\n";

enum { NAME_LENGTH = 31 }; /* of a node, by the devicetree specification */

/* Where libvmm's machines like QEMU's have the CPU interface of their interrupt controller: there
 * the guest gets the page that the board has for guests, and the VMM emulates the distributor. */
static const uint64_t gic_distributor = 0x8000000;
static const uint64_t gic_cpu_interface = 0x8010000;
static const uint64_t gic_virtual_interface = 0x8040000;

static bool is_gic(const microkit_map_t *map)
{
    return map->region->has_phys_addr && map->region->phys_addr == gic_virtual_interface &&
           map->vaddr == gic_cpu_interface && map->region->size == MICROKIT_SMALL_PAGE;
}

static bool is_one_to_one(const microkit_map_t *map)
{
    return map->region->has_phys_addr && map->region->phys_addr == map->vaddr;
}

/** A name as a node may have it. */
static void print_name(const char *name)
{
    for (int i = 0; i < NAME_LENGTH && name[i] != '\0'; i++) {
        bool good = isalnum((unsigned char)name[i]) || strchr(",._+-", name[i]) != NULL;
        putchar(good && (i > 0 || isalpha((unsigned char)name[i])) ? name[i] : '_');
    }
}

/** Text between quotes, or in a comment. */
static void print_quoted(const char *text)
{
    for (; *text != '\0'; text++) {
        bool good = (unsigned char)*text >= 0x20 && (unsigned char)*text < 0x7f &&
                    strchr("\"\\*", *text) == NULL;
        putchar(good ? *text : '_');
    }
}

static void print_cells(uint64_t value)
{
    printf("0x%" PRIx64 " 0x%08" PRIx64, value >> 32, value & UINT32_MAX);
}

static void print_gic(void)
{
    printf(
        "\n\t/* The interrupt controller. Its distributor is the VMM's, as it is with libvmm. */\n"
        "\tgic: intc@%" PRIx64 " {\n"
        "\t\tcompatible = \"arm,cortex-a15-gic\";\n"
        "\t\tinterrupt-controller;\n"
        "\t\t#interrupt-cells = <3>;\n"
        "\t\t#address-cells = <0>;\n"
        "\t\treg = <",
        gic_distributor);
    print_cells(gic_distributor);
    printf(" 0x0 0x10000>, <");
    print_cells(gic_cpu_interface);
    printf(" 0x0 0x1000>;\n"
           "\t\tguestmem,backing = \"emulated\";\n"
           "\t\tguestmem,device = \"gic\";\n"
           "\t};\n");
}

/** Memory that the guest only reads: a frame each, which alone can have rights. */
static void print_read_only(const microkit_map_t *map)
{
    printf("\t\treg = ");
    for (uint64_t offset = 0; offset < map->region->size; offset += MICROKIT_SMALL_PAGE) {
        printf("%s<", offset > 0 ? ", " : "");
        print_cells(map->vaddr + offset);
        printf(" 0x0 0x1000>");
    }
    printf(";\n\t\tguestmem,backing = \"%s\";\n\t\tguestmem,rights = \"ro\";\n",
           map->region->has_phys_addr ? "device-frame" : "allocated-frame");
}

static void print_backing(const microkit_map_t *map)
{
    const microkit_region_t *region = map->region;
    const char *backing = map->execute ? "ram" : "frames";

    if (is_one_to_one(map)) {
        backing = map->execute ? "ram-untyped" : "untyped";
    } else if (region->has_phys_addr) {
        backing = "untyped-at";
    }
    printf("\t\treg = <");
    print_cells(map->vaddr);
    putchar(' ');
    print_cells(region->size);
    printf(">;\n\t\tguestmem,backing = \"%s\";\n", backing);
    if (region->has_phys_addr && !is_one_to_one(map)) {
        printf("\t\tguestmem,paddr = /bits/ 64 <0x%" PRIx64 ">;\n", region->phys_addr);
    }
}

static void print_map(const microkit_map_t *map)
{
    const microkit_region_t *region = map->region;

    if (is_gic(map)) {
        print_gic();
        return;
    }
    putchar('\n');
    if (!region->has_phys_addr && !map->cached) {
        printf("\t/* Uncached with Microkit; guestmem maps free memory cached. */\n");
    }
    if (region->num_users > 1 && !map->execute && !region->has_phys_addr) {
        printf("\t/* Mapped %u times with Microkit; here it is this VM's alone. */\n",
               region->num_users);
    }
    putchar('\t');
    print_name(region->name);
    printf("@%" PRIx64 " {\n", map->vaddr);
    (map->write ? print_backing : print_read_only)(map);
    if (region->prefill != NULL) {
        printf("\t\tguestmem,load = \"");
        print_quoted(region->prefill);
        printf("\";\n");
    }
    printf("\t};\n");
}

static void print_description(const char *file, const microkit_vm_t *vm, const char *board)
{
    const char *name = strrchr(file, '/') != NULL ? strrchr(file, '/') + 1 : file;

    printf("/dts-v1/;\n/ {\n\tmodel = \"");
    print_quoted(vm->name);
    printf(" of ");
    print_quoted(name);
    printf("\";\n\t#address-cells = <2>;\n\t#size-cells = <2>;\n");
    if (board != NULL) {
        printf("\tguestmem,board = \"");
        print_quoted(board);
        printf("\";\n");
    }
    if (vm->num_vcpus > 1) {
        printf("\n\t/* %zu VCPUs with Microkit; here the guest has one. */\n", vm->num_vcpus);
    }
    for (size_t i = 0; i < vm->num_maps; i++) {
        print_map(&vm->maps[i]);
    }
    printf("};\n");
}

/** Whether a description can say what a map is. @return 0; -1 with an error */
static int check_map(const microkit_vm_t *vm, size_t index, const char *file, cli_error_t *error)
{
    const microkit_map_t *map = &vm->maps[index];
    const microkit_region_t *region = map->region;

    for (size_t i = 0; i < index && !region->has_phys_addr; i++) {
        if (vm->maps[i].region == region) {
            return cli_error_set(error,
                                 "%s:%lu: <map>: \"%s\" is in this VM twice, which a description "
                                 "cannot say of free memory",
                                 file, map->line, map->mr);
        }
    }
    if (!map->write && region->has_phys_addr && !is_one_to_one(map)) {
        return cli_error_set(error,
                             "%s:%lu: <map>: \"%s\" is read-only at another address than its "
                             "phys_addr, which a description cannot say",
                             file, map->line, map->mr);
    }
    if (!map->write && region->size > MICROKIT_LARGE_PAGE) {
        return cli_error_set(error,
                             "%s:%lu: <map>: \"%s\" is read-only and larger than 2 MiB, which a "
                             "description cannot say",
                             file, map->line, map->mr);
    }
    return 0;
}

static const microkit_vm_t *find_vm(const microkit_system_t *system, const char *name,
                                    const char *file, cli_error_t *error)
{
    char names[512] = "";

    if (name == NULL && system->num_vms == 1) {
        return &system->vms[0];
    }
    for (size_t i = 0; i < system->num_vms; i++) {
        size_t length = strlen(names);
        if (name != NULL && strcmp(system->vms[i].name, name) == 0) {
            return &system->vms[i];
        }
        snprintf(names + length, sizeof(names) - length, " %s", system->vms[i].name);
    }
    if (system->num_vms == 0) {
        cli_error_set(error, "%s: no virtual_machine", file);
    } else if (name != NULL) {
        cli_error_set(error, "%s: no virtual_machine \"%s\"; it has:%s", file, name, names);
    } else {
        cli_error_set(error, "%s: which virtual_machine? --vm one of:%s", file, names);
    }
    return NULL;
}

static int import(const char *file, const char *vm_name, const char *board, cli_error_t *error)
{
    size_t size = 0;
    char *text = file_read(file, &size, error);
    microkit_system_t *system = text != NULL ? microkit_parse(text, size, file, error) : NULL;
    const microkit_vm_t *vm = system != NULL ? find_vm(system, vm_name, file, error) : NULL;
    int result = vm != NULL ? 0 : -1;

    for (size_t i = 0; result == 0 && i < vm->num_maps; i++) {
        result = check_map(vm, i, file, error);
    }
    if (result == 0) {
        print_description(file, vm, board);
        if (fflush(stdout) != 0 || ferror(stdout)) {
            result = cli_error_set(error, "standard output cannot be written");
        }
    }
    microkit_free(system);
    free(text);
    return result;
}

int cmd_import(int argc, char **argv)
{
    enum { VM, BOARD, HELP };
    static const struct option options[] = {
        {"vm", required_argument, NULL, VM},
        {"board", required_argument, NULL, BOARD},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    const char *vm = NULL;
    const char *board = NULL;
    cli_error_t error = {0};
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case VM:
            vm = optarg;
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
        fprintf(stderr, "guestmem import: %s (see guestmem import --help)\n",
                optind == argc ? "which system description?" : "only one file, please");
        return STATUS_USAGE;
    }
    if (import(argv[optind], vm, board, &error) != 0) {
        fprintf(stderr, "guestmem: %s\n", error.line);
        return STATUS_FAILED;
    }
    return STATUS_OK;
}
