/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the saved state of a machine's devices; that of its VM is the runtime's. As a stream, it
 * begins with what the machine that reads it must have in common with the one that wrote it. Then
 * come the devices, in the order of the description, and the VM.
 */

#include "machine_internal.h"

#include "dtb_strip.h"

#include <guestmem/version.h>
#include <hosted/vm.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

void machine_forget_saved(machine_t *machine)
{
    for (size_t i = 0; machine->ranges != NULL && i < machine->description->num_ranges; i++) {
        free(machine->ranges[i].saved);
        machine->ranges[i].saved = NULL;
    }
}

int machine_check_saved(const machine_t *machine, cli_error_t *error)
{
    for (size_t i = 0; i < machine->description->num_ranges; i++) {
        if (machine->ranges[i].device != NULL && machine->ranges[i].device->lasting) {
            return vm_range_error(machine->description, &machine->description->ranges[i],
                                  "guestmem,file", error,
                                  "the guest can write this disk, which would stay as it is then "
                                  "when the guest starts again; make it read-only");
        }
    }
    return 0;
}

static int save_device(machine_t *machine, size_t index, cli_error_t *error)
{
    const vm_range_t *range = &machine->description->ranges[index];
    machine_range_t *made = &machine->ranges[index];

    if (made->device == NULL) {
        return 0;
    }
    size_t size;
    made->saved = device_save(made->device, &size);
    made->saved_high = made->high;
    return made->saved != NULL ? 0
                               : vm_range_error(machine->description, range, "guestmem,device",
                                                error, "out of memory");
}

int machine_save(machine_t *machine, cli_error_t *error)
{
    if (machine_check_saved(machine, error) != 0) {
        return -1;
    }
    for (size_t i = 0; i < machine->description->num_ranges; i++) {
        if (save_device(machine, i, error) != 0) {
            machine_forget_saved(machine);
            return -1;
        }
    }
    if (hosted_vm_save(machine->vm) != 0) {
        machine_forget_saved(machine);
        return cli_error_set(error, "%s: the guest cannot be saved", machine->description->file);
    }
    return 0;
}

int machine_restore(machine_t *machine)
{
    if (hosted_vm_restore(machine->vm) != 0) {
        return -1;
    }
    for (size_t i = 0; i < machine->description->num_ranges; i++) {
        machine_range_t *made = &machine->ranges[i];
        if (made->saved != NULL) {
            device_restore(made->device, made->saved);
            made->high = made->saved_high;
        }
    }
    machine->ended = false;
    return 0;
}

/* Streams. What is written has no padding, and nothing of this process in it. */

#define MAGIC "guestmem saved\n"
enum { FORMAT = 1 };

typedef struct header {
    char magic[16];
    uint64_t format;
    char version[32]; /* of guestmem: what devices are made of may differ between them */
    uint64_t tree;    /* checksum of the guest's device tree, as the description has it */
    uint64_t num_ranges;
} header_t;

typedef struct range_record {
    char name[64];
    char backing[24];
    char device[24];
    uint64_t base, size;
    char rights[8], on_fault[8], trigger[8];
    uint64_t irq, high; /* of the device */
    uint64_t state;     /* bytes of the device's, which follow */
} range_record_t;

static int make_header(const machine_t *machine, header_t *header, cli_error_t *error)
{
    static const dtb_chosen_t nothing;
    size_t size = 0;
    void *tree = dtb_strip(machine->description, &nothing, &size, error);

    if (tree == NULL) {
        return -1;
    }
    *header = (header_t){.magic = MAGIC,
                         .format = FORMAT,
                         .version = GUESTMEM_VERSION,
                         .tree = crc32(0, tree, (unsigned)size),
                         .num_ranges = machine->description->num_ranges};
    free(tree);
    return 0;
}

static void make_record(const machine_t *machine, size_t index, range_record_t *record)
{
    static const char *const rights[] = {"rw", "ro", "none"};
    const vm_range_t *range = &machine->description->ranges[index];
    const machine_range_t *made = &machine->ranges[index];

    memset(record, 0, sizeof(*record));
    snprintf(record->name, sizeof(record->name), "%s", range->name);
    snprintf(record->backing, sizeof(record->backing), "%s", vm_backing_name(range->backing));
    snprintf(record->device, sizeof(record->device), "%s",
             range->device != NULL ? range->device : "none");
    record->base = range->base;
    record->size = range->size;
    snprintf(record->rights, sizeof(record->rights), "%s", rights[range->rights]);
    snprintf(record->on_fault, sizeof(record->on_fault), "%s", range->on_fault ? "yes" : "no");
    snprintf(record->trigger, sizeof(record->trigger), "%s", made->edge ? "edge" : "level");
    record->irq = (uint64_t)made->irq;
    record->high = made->high;
    record->state = made->device != NULL ? device_state_size(made->device) : 0;
}

static int write_range(machine_t *machine, size_t index, hosted_vm_write_fn write, void *cookie)
{
    device_t *device = machine->ranges[index].device;
    range_record_t record;
    size_t size = 0;
    void *state = device != NULL ? device_save(device, &size) : NULL;
    int result = device == NULL || state != NULL ? 0 : -1;

    make_record(machine, index, &record);
    if (result == 0) {
        result = write(cookie, &record, sizeof(record));
    }
    if (result == 0 && size > 0) {
        result = write(cookie, state, size);
    }
    free(state);
    return result;
}

int machine_write_saved(machine_t *machine, hosted_vm_write_fn write, void *cookie,
                        cli_error_t *error)
{
    header_t header;

    if (machine_check_saved(machine, error) != 0 || make_header(machine, &header, error) != 0) {
        return -1;
    }
    int result = write(cookie, &header, sizeof(header));
    for (size_t i = 0; result == 0 && i < machine->description->num_ranges; i++) {
        result = write_range(machine, i, write, cookie);
    }
    if (result == 0) {
        result = hosted_vm_write_saved(machine->vm, write, cookie);
    }
    return result == 0
               ? 0
               : cli_error_set(error, "%s: the guest cannot be saved", machine->description->file);
}

#define SAVE_AGAIN "save the guest again"
#define WHAT_TO_DO "use that description, or " SAVE_AGAIN

/** The stream has failed: whose it is says why. */
static int fail_to_read(cli_error_t *error)
{
    error->line[0] = '\0';
    return -1;
}

static int read_header(const header_t *own, hosted_vm_read_fn read, void *cookie, header_t *saved,
                       cli_error_t *error)
{
    if (read(cookie, saved, sizeof(*saved)) != 0) {
        return fail_to_read(error);
    }
    saved->version[sizeof(saved->version) - 1] = '\0';
    if (memcmp(saved->magic, own->magic, sizeof(own->magic)) != 0) {
        return cli_error_set(error, "it is no saved guest");
    }
    if (saved->format != own->format || strcmp(saved->version, own->version) != 0) {
        return cli_error_set(error, "it is of guestmem %s, and this is %s: " SAVE_AGAIN,
                             saved->version, own->version);
    }
    return 0;
}

/** What is left, and least clear, when all ranges that both have are the same. */
static int check_rest(const machine_t *machine, const header_t *saved, const header_t *own,
                      cli_error_t *error)
{
    const char *file = machine->description->file;

    if (saved->num_ranges != own->num_ranges) {
        return cli_error_set(error,
                             "%s has %" PRIu64 " ranges, and the VM that was saved had %" PRIu64
                             ": " WHAT_TO_DO,
                             file, own->num_ranges, saved->num_ranges);
    }
    if (saved->tree != own->tree) {
        return cli_error_set(
            error,
            "%s has another device tree for the guest than the VM that was saved: " WHAT_TO_DO,
            file);
    }
    return 0;
}

static int compare_text(const machine_t *machine, size_t index, const char *property,
                        const char *saved, const char *own, cli_error_t *error)
{
    return strcmp(saved, own) == 0
               ? 0
               : vm_range_error(
                     machine->description, &machine->description->ranges[index], property, error,
                     "\"%s\" is \"%s\" in the VM that was saved: " WHAT_TO_DO, own, saved);
}

static int compare(const machine_t *machine, size_t index, const char *property, uint64_t saved,
                   uint64_t own, cli_error_t *error)
{
    return saved == own ? 0
                        : vm_range_error(machine->description, &machine->description->ranges[index],
                                         property, error,
                                         "0x%" PRIx64 " is 0x%" PRIx64
                                         " in the VM that was saved: " WHAT_TO_DO,
                                         own, saved);
}

static int check_record(const machine_t *machine, size_t index, range_record_t *record,
                        cli_error_t *error)
{
    range_record_t own;

    make_record(machine, index, &own);
    record->name[sizeof(record->name) - 1] = '\0';
    record->backing[sizeof(record->backing) - 1] = '\0';
    record->device[sizeof(record->device) - 1] = '\0';
    record->rights[sizeof(record->rights) - 1] = '\0';
    record->on_fault[sizeof(record->on_fault) - 1] = '\0';
    record->trigger[sizeof(record->trigger) - 1] = '\0';
    return compare_text(machine, index, "name", record->name, own.name, error) != 0 ||
                   compare_text(machine, index, "guestmem,backing", record->backing, own.backing,
                                error) != 0 ||
                   compare_text(machine, index, "guestmem,device", record->device, own.device,
                                error) != 0 ||
                   compare(machine, index, "reg", record->base, own.base, error) != 0 ||
                   compare(machine, index, "reg (size)", record->size, own.size, error) != 0 ||
                   compare_text(machine, index, "guestmem,rights", record->rights, own.rights,
                                error) != 0 ||
                   compare_text(machine, index, "guestmem,map-on-fault", record->on_fault,
                                own.on_fault, error) != 0 ||
                   compare(machine, index, "interrupts", record->irq, own.irq, error) != 0 ||
                   compare_text(machine, index, "interrupts", record->trigger, own.trigger,
                                error) != 0 ||
                   compare(machine, index, "guestmem,device", record->state, own.state, error) != 0
               ? -1
               : 0;
}

static int read_range(machine_t *machine, size_t index, hosted_vm_read_fn read, void *cookie,
                      cli_error_t *error)
{
    machine_range_t *made = &machine->ranges[index];
    range_record_t record;
    const char *wrong;
    void *state;
    int result;

    if (read(cookie, &record, sizeof(record)) != 0) {
        return fail_to_read(error);
    }
    if (check_record(machine, index, &record, error) != 0) {
        return -1;
    }
    made->high = record.high != 0;
    if (record.state == 0) {
        return 0;
    }
    state = malloc(record.state);
    if (state == NULL) {
        return cli_error_set(error, "out of memory");
    }
    result = read(cookie, state, record.state) == 0 ? 0 : fail_to_read(error);
    wrong = result == 0 ? device_restore(made->device, state) : NULL;
    free(state);
    return wrong == NULL
               ? result
               : vm_range_error(machine->description, &machine->description->ranges[index],
                                "guestmem,device", error, "%s", wrong);
}

int machine_read_saved(machine_t *machine, hosted_vm_read_fn read, void *cookie, cli_error_t *error)
{
    header_t own = {0};
    header_t saved = {0};

    hosted_system_enter(machine->system);
    if (machine_check_saved(machine, error) != 0) {
        return -1;
    }
    if (machine_start(machine) != 0) {
        return cli_error_set(error, "%s", machine->reason);
    }
    if (make_header(machine, &own, error) != 0 ||
        read_header(&own, read, cookie, &saved, error) != 0) {
        return -1;
    }
    for (size_t i = 0; i < own.num_ranges && i < saved.num_ranges; i++) {
        if (read_range(machine, i, read, cookie, error) != 0) {
            return -1;
        }
    }
    return check_rest(machine, &saved, &own, error) == 0
               ? hosted_vm_read_saved(machine->vm, read, cookie, error->line, sizeof(error->line))
               : -1;
}
