/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the life of a file's machines: description, board, system, VMs, and destroying them in
 * reverse order. The library logs its failures; while a machine is made those lines are held back,
 * because the error line that the caller prints says the same and more.
 */

#include "machine_internal.h"

#include "dtb_file.h"
#include "file.h"

#include <hosted/log.h>
#include <hosted/vm.h>
#include <sel4vm/boot.h>
#include <stdlib.h>
#include <string.h>

static const char default_board[] = "qemu-arm-virt";

static void drop_log(void *cookie, int level, const char *line)
{
    (void)cookie;
    (void)level;
    (void)line;
}

static int load_file(machine_host_t *host, const char *file, cli_error_t *error)
{
    size_t size;
    void *dtb = dtb_file_load(file, &size, error);

    if (dtb == NULL) {
        return -1;
    }
    host->file = vm_system_parse(dtb, size, file, error);
    free(dtb);
    return host->file != NULL ? 0 : -1;
}

int machine_add_overlay(machine_options_t *options, const char *file)
{
    size_t count = 0;

    while (options->overlays[count] != NULL) {
        count++;
    }
    if (count == MACHINE_MAX_OVERLAYS) {
        fprintf(stderr, "guestmem: --overlay %s: there are %d already\n", file,
                MACHINE_MAX_OVERLAYS);
        return -1;
    }
    options->overlays[count] = file;
    return 0;
}

/**
 * Find the board's file and make its system: an option counts from the working directory, a
 * property from its description.
 */
static hosted_system_t *open_board(const machine_options_t *options,
                                   const vm_description_t *description, char **file,
                                   cli_error_t *error)
{
    const char *name = options->board != NULL ? options->board : default_board;
    const char *from = "";
    hosted_system_t *system = NULL;
    cli_error_t reason = {0};
    size_t size;
    void *dtb;

    if (options->board == NULL && description != NULL) {
        from = description->file;
        name = description->board != NULL ? description->board : name;
    }
    *file = file_find_board(from, name, &reason);
    dtb = *file != NULL ? dtb_file_load_with(*file, options->overlays, &size, &reason) : NULL;
    if (dtb == NULL && reason.line[0] == '\0') {
        cli_error_set(&reason, "out of memory");
    }
    if (dtb == NULL && *from != '\0' && options->overlays[0] == NULL) {
        cli_error_set(error, "%s: /: guestmem,board: %s", description->file, reason.line);
    } else if (dtb == NULL) {
        cli_error_set(error, "%s", reason.line); /* which names the file that an option named */
    }
    if (dtb != NULL) {
        system = hosted_system_create(dtb, size, reason.line, sizeof(reason.line));
        if (system == NULL) {
            cli_error_set(error, "%s: %s", *file, reason.line);
        }
    }
    free(dtb);
    return system;
}

int machine_board_map(const machine_options_t *options, memory_map_t *map, cli_error_t *error)
{
    static const char *const kinds[] = {[HOSTED_MEMORY] = "memory",
                                        [HOSTED_RESERVED] = "reserved",
                                        [HOSTED_DEVICE] = "device",
                                        [HOSTED_KERNEL] = "kernel"};
    const hosted_physical_range_t *ranges;
    char *file;
    hosted_system_t *system = open_board(options, NULL, &file, error);
    size_t count = system != NULL ? hosted_physical_ranges(system, &ranges) : 0;

    *map = (memory_map_t){.title = "the board", .rows = calloc(count + 1, sizeof(*map->rows))};
    for (size_t i = 0; map->rows != NULL && i < count; i++) {
        memory_map_row_t *row = &map->rows[map->num_rows++];
        *row = (memory_map_row_t){.base = ranges[i].base,
                                  .last = ranges[i].last,
                                  .reached_base = ranges[i].base,
                                  .reached_last = ranges[i].last,
                                  .backing = kinds[ranges[i].kind],
                                  .rights = ""};
        snprintf(row->name, sizeof(row->name), "%s", ranges[i].name != NULL ? ranges[i].name : "-");
    }
    map->board = options->board;
    if (system != NULL) {
        hosted_system_destroy(system);
    }
    free(file);
    return system != NULL && map->rows != NULL ? 0 : -1;
}

static int choose_engine(machine_t *machine, cli_error_t *error)
{
    const char *chosen =
        machine->options.engine != NULL ? machine->options.engine : machine->description->engine;

    if (chosen == NULL || hosted_vm_set_engine(machine->vm, chosen) == 0) {
        return 0;
    }
    return cli_error_set(error,
                         "%s: /%s: guestmem,engine: this build has no engine \"%s\"; it has %s",
                         machine->description->file,
                         machine->description->name != NULL ? machine->description->name : "",
                         chosen, hosted_engine_name(0) != NULL ? hosted_engine_name(0) : "none");
}

static int make_vm(machine_t *machine, cli_error_t *error)
{
    hosted_system_t *system = machine->system;

    machine->vm = calloc(1, sizeof(*machine->vm));
    machine->ranges = calloc(machine->description->num_ranges + 1, sizeof(*machine->ranges));
    if (machine->vm == NULL || machine->ranges == NULL) {
        return cli_error_set(error, "%s: out of memory", machine->description->file);
    }
    if (vm_init(machine->vm, hosted_vka(system), hosted_simple(system), *hosted_vmm_vspace(system),
                hosted_io_ops(system), hosted_host_endpoint(system), "guest") != 0) {
        return cli_error_set(error, "%s: %s: a VM cannot be made on this board: vm_init() failed",
                             machine->description->file, machine->host->board_file);
    }
    machine->vm_made = true;
    if (machine->options.virtual_time) {
        hosted_vm_use_virtual_time(machine->vm);
    }
    return choose_engine(machine, error);
}

static void call_step(machine_t *machine)
{
    if (machine->options.step != NULL) {
        machine->options.step(machine->options.cookie, machine);
    }
}

/** Add the machine of a VM to its host's. */
static int add_machine(machine_host_t *host, vm_description_t *description,
                       const machine_options_t *options, cli_error_t *error)
{
    machine_t *machine = calloc(1, sizeof(*machine));
    machine_t **last = &host->first;

    if (machine == NULL) {
        return cli_error_set(error, "%s: out of memory", description->file);
    }
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = machine;
    machine->host = host;
    machine->system = host->system;
    machine->description = description;
    if (options != NULL) {
        machine->options = *options;
    }
    call_step(machine);
    if (make_vm(machine, error) != 0) {
        return -1;
    }
    call_step(machine);
    if (machine_build(machine, error) != 0 ||
        (!machine->options.unloaded && machine_load(machine, error) != 0)) {
        return -1;
    }
    call_step(machine);
    return 0;
}

/** Make all machines of a file. */
static int make_host(machine_host_t *host, const char *file, const machine_options_t *options,
                     cli_error_t *error)
{
    static const machine_options_t defaults;

    if (load_file(host, file, error) != 0) {
        return -1;
    }
    host->system = open_board(options != NULL ? options : &defaults, host->file->vms[0],
                              &host->board_file, error);
    host->shared = calloc(host->file->num_shared + 1, sizeof(*host->shared));
    if (host->system == NULL || host->shared == NULL) {
        return host->system == NULL ? -1 : cli_error_set(error, "%s: out of memory", file);
    }
    hosted_census_take(host->system, &host->census);
    host->counted = true;
    for (size_t i = 0; i < host->file->num_vms; i++) {
        if (add_machine(host, host->file->vms[i], options, error) != 0) {
            return -1;
        }
    }
    return 0;
}

static void destroy_machine(machine_t *machine)
{
    if (machine->vm_made) {
        vm_destroy(machine->vm);
    }
    for (size_t i = 0; machine->ranges != NULL && i < machine->description->num_ranges; i++) {
        device_destroy(machine->ranges[i].device);
    }
    machine_forget_saved(machine);
    free(machine->vm);
    free(machine->ranges);
    free(machine->output);
    free(machine);
}

/** Destroy all machines, and compare what is alive in the system with what was before them. */
static int destroy_host(machine_host_t *host)
{
    hosted_census_t after;
    int result = 0;

    if (host->system != NULL) {
        hosted_system_enter(host->system);
    }
    while (host->first != NULL) {
        machine_t *machine = host->first;
        host->first = machine->next;
        destroy_machine(machine);
    }
    if (host->counted) {
        hosted_census_take(host->system, &after);
        if (!hosted_census_equal(&host->census, &after)) {
            fprintf(stderr, "guestmem: the VM did not free all that it took from the system:\n");
            hosted_census_print_difference(stderr, &host->census, &after);
            result = -1;
        }
    }
    if (host->system != NULL) {
        hosted_system_destroy(host->system);
    }
    free(host->shared);
    free(host->board_file);
    vm_system_free(host->file);
    free(host);
    return result;
}

/** The machine of the VM of that name, or the first. */
static machine_t *find_machine(const machine_host_t *host, const char *name, const char *file,
                               cli_error_t *error)
{
    char names[256] = "";
    machine_t *machine = host->first;

    while (name != NULL && machine != NULL &&
           (machine->description->name == NULL || strcmp(machine->description->name, name) != 0)) {
        size_t length = strlen(names);
        snprintf(names + length, sizeof(names) - length, " %s",
                 machine->description->name != NULL ? machine->description->name
                                                    : "one, without a name");
        machine = machine->next;
    }
    if (machine == NULL) {
        cli_error_set(error, "%s: no VM \"%s\"; it has:%s", file, name, names);
    }
    return machine;
}

machine_t *machine_create(const char *file, const machine_options_t *options, cli_error_t *error)
{
    machine_host_t *host = calloc(1, sizeof(*host));
    machine_t *machine = NULL;

    if (host == NULL) {
        cli_error_set(error, "%s: out of memory", file);
        return NULL;
    }
    hosted_log_to(drop_log, NULL);
    if (make_host(host, file, options, error) == 0) {
        machine = find_machine(host, options != NULL ? options->vm : NULL, file, error);
    }
    hosted_log_to(NULL, NULL);
    if (machine == NULL) {
        destroy_host(host);
        return NULL;
    }
    machine->host = host; /* as it is already, for static analysers */
    return machine;
}

int machine_destroy(machine_t *machine)
{
    return machine != NULL ? destroy_host(machine->host) : 0;
}

machine_t *machine_first(machine_t *machine)
{
    return machine->host->first;
}

machine_t *machine_next(machine_t *machine)
{
    return machine->next;
}

const vm_system_t *machine_file(const machine_t *machine)
{
    return machine->host->file;
}

const machine_options_t *machine_options(const machine_t *machine)
{
    return &machine->options;
}

static machine_range_t *find_range(machine_t *machine, const char *name)
{
    for (size_t i = 0; i < machine->description->num_ranges; i++) {
        if (strcmp(machine->description->ranges[i].name, name) == 0) {
            return &machine->ranges[i];
        }
    }
    return NULL;
}

device_t *machine_find_device(machine_t *machine, const char *name)
{
    machine_range_t *range = find_range(machine, name);

    return range != NULL ? range->device : NULL;
}

void *machine_find_frame(machine_t *machine, const char *name)
{
    machine_range_t *range = find_range(machine, name);

    return range != NULL ? range->frame : NULL;
}

device_t *machine_console(machine_t *machine)
{
    return machine->console;
}

vm_t *machine_vm(machine_t *machine)
{
    return machine->vm;
}

hosted_system_t *machine_system(machine_t *machine)
{
    return machine->system;
}

const vm_description_t *machine_description(const machine_t *machine)
{
    return machine->description;
}
