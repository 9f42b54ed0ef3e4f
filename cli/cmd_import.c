/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns `guestmem import`: the virtual machines of a system description of Microkit, as a
 * description that the other commands read. What it cannot say (caching of free memory, further
 * VCPUs) is a comment in it. Memory that is mapped more than once, or read-only, is shared memory
 * of several VMs there, even if there is but one.
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
    "machines as a description for the other commands (docs/vm-description.md).\n"
    "\n"
    "  --vm NAME       only this virtual machine\n"
    "  --board BOARD   the board, for the description; its default is qemu-arm-virt\n"
    "  --help          print this\n"
    "\n"
    "Exit status: 0; 1 if the file is wrong; 2 for wrong usage.\n";

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

/** What is imported. */
typedef struct selection {
    const microkit_system_t *system;
    const microkit_vm_t *vms; /* of the system's */
    size_t num_vms;
} selection_t;

/** A name as a node may have it. @return `node` */
static const char *node_name(char node[NAME_LENGTH + 1], const char *name)
{
    int length = 0;

    for (; length < NAME_LENGTH && name[length] != '\0'; length++) {
        char c = name[length];
        bool good = isalnum((unsigned char)c) || strchr(",._+-", c) != NULL;
        if (!good || (length == 0 && !isalpha((unsigned char)c))) {
            c = '_';
        }
        node[length] = c;
    }
    node[length] = '\0';
    return node;
}

/** Whether the guests have a region more often, or in another way, than a node of one VM can say.
 */
static bool is_shared(const selection_t *selection, const microkit_region_t *region)
{
    size_t maps = 0;

    for (size_t i = 0; i < selection->num_vms; i++) {
        const microkit_vm_t *vm = &selection->vms[i];
        for (size_t j = 0; j < vm->num_maps; j++) {
            const microkit_map_t *map = &vm->maps[j];
            if (map->region == region && is_gic(map)) {
                return false;
            }
            maps += map->region != region ? 0 : map->write ? 1 : 2;
        }
    }
    return maps > 1;
}

/** Print the name of a node below the root: with its number, if an earlier one has the same. */
static void print_root_name(const selection_t *selection, const char *name, size_t number)
{
    const microkit_system_t *system = selection->system;
    char node[NAME_LENGTH + 1];
    char other[NAME_LENGTH + 1];
    bool taken = false;

    node_name(node, name);
    for (size_t i = 0; i < number && !taken; i++) {
        taken =
            i < system->num_regions
                ? is_shared(selection, &system->regions[i]) &&
                      strcmp(node, node_name(other, system->regions[i].name)) == 0
                : strcmp(node, node_name(other, selection->vms[i - system->num_regions].name)) == 0;
    }
    if (taken) {
        printf("%.20s@%zu", node, number); /* no other name has an @ */
    } else {
        printf("%s", node);
    }
}

static bool is_printable(char c)
{
    return (unsigned char)c >= 0x20 && (unsigned char)c < 0x7f;
}

/** Whether a description can have it as a file's name. */
static bool can_be_said(const char *file)
{
    const char *c = file;

    while (is_printable(*c)) {
        c++;
    }
    return c > file && *c == '\0';
}

/** Text between quotes. */
static void print_quoted(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            putchar('\\');
        }
        putchar(is_printable(*text) ? *text : '_');
    }
}

static void print_cells(uint64_t value)
{
    printf("0x%" PRIx64 " 0x%08" PRIx64, value >> 32, value & UINT32_MAX);
}

/* Each line of a VM begins with `in`. */

static void print_gic(const char *in)
{
    printf("\n%s\t/* The interrupt controller. Its distributor is the VMM's, as with libvmm. */\n"
           "%s\t%sintc@%" PRIx64 " {\n"
           "%s\t\tcompatible = \"arm,cortex-a15-gic\";\n"
           "%s\t\tinterrupt-controller;\n"
           "%s\t\t#interrupt-cells = <3>;\n"
           "%s\t\t#address-cells = <0>;\n"
           "%s\t\treg = <",
           in, in, in[0] == '\0' ? "gic: " : "", gic_distributor, in, in, in, in, in);
    print_cells(gic_distributor);
    printf(" 0x0 0x10000>, <");
    print_cells(gic_cpu_interface);
    printf(" 0x0 0x1000>;\n"
           "%s\t\tguestmem,backing = \"emulated\";\n"
           "%s\t\tguestmem,device = \"gic\";\n"
           "%s\t};\n",
           in, in, in);
}

static void print_backing(const selection_t *selection, const microkit_map_t *map, const char *in)
{
    const microkit_region_t *region = map->region;
    const char *backing = map->execute ? "ram" : "frames";

    if (is_shared(selection, region)) {
        printf("%s\t\tguestmem,backing = \"shared\";\n%s\t\tguestmem,shared = <&mr%zu>;\n", in, in,
               (size_t)(region - selection->system->regions));
        printf("%s%s", map->write ? "" : in, map->write ? "" : "\t\tguestmem,rights = \"ro\";\n");
        return;
    }
    if (is_one_to_one(map)) {
        backing = map->execute ? "ram-untyped" : "untyped";
    } else if (region->has_phys_addr) {
        backing = "untyped-at";
    }
    printf("%s\t\tguestmem,backing = \"%s\";\n", in, backing);
    if (region->has_phys_addr && !is_one_to_one(map)) {
        printf("%s\t\tguestmem,paddr = /bits/ 64 <0x%" PRIx64 ">;\n", in, region->phys_addr);
    }
}

/** Whether it is the first map of its region, which loads what is in it. */
static bool is_first(const selection_t *selection, const microkit_map_t *map)
{
    for (size_t i = 0; i < selection->num_vms; i++) {
        for (size_t j = 0; j < selection->vms[i].num_maps; j++) {
            if (selection->vms[i].maps[j].region == map->region) {
                return &selection->vms[i].maps[j] == map;
            }
        }
    }
    return false;
}

static void print_map(const selection_t *selection, const microkit_map_t *map, const char *in)
{
    const microkit_region_t *region = map->region;
    char node[NAME_LENGTH + 1];

    if (is_gic(map)) {
        print_gic(in);
        return;
    }
    putchar('\n');
    if (!region->has_phys_addr && !map->cached) {
        printf("%s\t/* Uncached with Microkit; guestmem maps free memory cached. */\n", in);
    }
    if (region->num_users > 1 && !map->execute && !region->has_phys_addr &&
        !is_shared(selection, region)) {
        printf("%s\t/* Mapped %u times with Microkit; here it is this VM's alone. */\n", in,
               region->num_users);
    }
    printf("%s\t%s@%" PRIx64 " {\n%s\t\treg = <", in, node_name(node, region->name), map->vaddr,
           in);
    print_cells(map->vaddr);
    putchar(' ');
    print_cells(region->size);
    printf(">;\n");
    print_backing(selection, map, in);
    if (region->prefill != NULL && is_first(selection, map)) {
        printf("%s\t\tguestmem,load = \"", in);
        print_quoted(region->prefill);
        printf("\";\n");
    }
    printf("%s\t};\n", in);
}

/** What is in a VM's root. */
static void print_vm(const selection_t *selection, const microkit_vm_t *vm, const char *file,
                     const char *in)
{
    const char *name = strrchr(file, '/') != NULL ? strrchr(file, '/') + 1 : file;

    printf("%s\tmodel = \"", in);
    print_quoted(vm->name);
    printf(" of ");
    print_quoted(name);
    printf("\";\n%s\t#address-cells = <2>;\n%s\t#size-cells = <2>;\n", in, in);
    if (vm->num_vcpus > 1) {
        printf("\n%s\t/* %zu VCPUs with Microkit; here the guest has one. */\n", in, vm->num_vcpus);
    }
    for (size_t i = 0; i < vm->num_maps; i++) {
        print_map(selection, &vm->maps[i], in);
    }
}

static void print_shared(const selection_t *selection, size_t number)
{
    const microkit_region_t *region = &selection->system->regions[number];

    printf("\n\tmr%zu: ", number);
    print_root_name(selection, region->name, number);
    printf(" {\n\t\tguestmem,shared;\n\t\tguestmem,size = /bits/ 64 <0x%" PRIx64 ">;\n",
           region->size);
    if (region->has_phys_addr) {
        printf("\t\tguestmem,paddr = /bits/ 64 <0x%" PRIx64 ">;\n", region->phys_addr);
    }
    printf("\t};\n");
}

static void print_description(const selection_t *selection, const char *file, const char *board)
{
    const microkit_system_t *system = selection->system;
    bool several = selection->num_vms > 1;

    printf("/dts-v1/;\n/ {\n");
    if (board != NULL) {
        printf("\tguestmem,board = \"");
        print_quoted(board);
        printf("\";\n");
    }
    for (size_t i = 0; i < system->num_regions; i++) {
        if (is_shared(selection, &system->regions[i])) {
            print_shared(selection, i);
            several = true;
        }
    }
    for (size_t i = 0; i < selection->num_vms; i++) {
        if (several) {
            printf("\n\t");
            print_root_name(selection, selection->vms[i].name, system->num_regions + i);
            printf(" {\n\t\tguestmem,vm;\n");
        }
        print_vm(selection, &selection->vms[i], file, several ? "\t" : "");
        printf("%s", several ? "\t};\n" : "");
    }
    printf("};\n");
}

/** Select the VM of that name, or all. */
static int find_vms(selection_t *selection, const char *name, const char *file, cli_error_t *error)
{
    const microkit_system_t *system = selection->system;
    char names[512] = "";

    if (system->num_vms == 0) {
        return cli_error_set(error, "%s: no virtual_machine", file);
    }
    selection->vms = system->vms;
    selection->num_vms = system->num_vms;
    for (size_t i = 0; i < system->num_vms && name != NULL; i++) {
        size_t length = strlen(names);
        if (strcmp(system->vms[i].name, name) == 0) {
            selection->vms = &system->vms[i];
            selection->num_vms = 1;
            return 0;
        }
        snprintf(names + length, sizeof(names) - length, " %s", system->vms[i].name);
    }
    return name == NULL ? 0
                        : cli_error_set(error, "%s: no virtual_machine \"%s\"; it has:%s", file,
                                        name, names);
}

/** Whether a description can have the names of the files. @return 0; -1 with an error */
static int check_names(const selection_t *selection, const char *file, const char *board,
                       cli_error_t *error)
{
    static const char reason[] =
        "empty or other than printable ASCII, which a description cannot say";

    if (board != NULL && !can_be_said(board)) {
        return cli_error_set(error, "--board \"%s\": %s", board, reason);
    }
    for (size_t i = 0; i < selection->num_vms; i++) {
        for (size_t j = 0; j < selection->vms[i].num_maps; j++) {
            const microkit_region_t *region = selection->vms[i].maps[j].region;
            if (region->prefill != NULL && !can_be_said(region->prefill)) {
                return cli_error_set(error, "%s:%lu: <memory_region>: prefill_path: %s", file,
                                     region->line, reason);
            }
        }
    }
    return 0;
}

static int import(const char *file, const char *vm_name, const char *board, cli_error_t *error)
{
    size_t size = 0;
    char *text = file_read_up_to(file, MICROKIT_MAX_SIZE + 1, &size, error);
    microkit_system_t *system = text != NULL ? microkit_parse(text, size, file, error) : NULL;
    selection_t selection = {.system = system};
    int result = system != NULL ? find_vms(&selection, vm_name, file, error) : -1;

    result = result == 0 ? check_names(&selection, file, board, error) : -1;
    if (result == 0) {
        print_description(&selection, file, board);
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
