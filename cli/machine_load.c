/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the initial content of ranges: files and device trees, written through the library's access
 * to guest memory.
 */

#include "machine_internal.h"

#include "dtb_file.h"
#include "dtb_strip.h"
#include "file.h"

#include <guestmem/error.h>
#include <guestmem/memory.h>
#include <inttypes.h>
#include <sel4vm/guest_ram.h>
#include <stdlib.h>
#include <string.h>

/** Write `bytes` at `offset` of a range. */
static int write_range(machine_t *machine, size_t index, const char *property, uint64_t offset,
                       void *bytes, size_t size, cli_error_t *error)
{
    const vm_range_t *range = &machine->description->ranges[index];
    machine_range_t *made = &machine->ranges[index];
    int result;

    if (size > range->size - offset) {
        return vm_range_error(machine->description, range, property, error,
                              "%zu bytes do not fit: the range has room for %" PRIu64
                              " from offset 0x%" PRIx64 " on",
                              size, range->size - offset, offset);
    }
    if (size == 0) {
        return 0;
    }
    if (made->frame != NULL) {
        memcpy((char *)made->frame + offset, bytes, size);
        return 0;
    }
    if (range->backing == VM_BACKING_RAM || range->backing == VM_BACKING_RAM_UNTYPED) {
        result = vm_ram_touch(machine->vm, range->base + offset, size, vm_guest_ram_write_callback,
                              bytes);
    } else {
        result = guestmem_access(machine->vm, range->base + offset, size,
                                 vm_guest_ram_write_callback, bytes);
    }
    if (result != 0) {
        return vm_range_error(machine->description, range, property, error, "%s",
                              guestmem_last_error(machine->vm)->message);
    }
    return 0;
}

/** Load a file of that property; `load` reads it. */
static void *read_named(machine_t *machine, const vm_range_t *range, const char *property,
                        const char *name,
                        void *(*load)(const char *path, size_t *size, cli_error_t *error),
                        size_t *size, cli_error_t *error)
{
    char *path = file_relative_to(machine->description->file, name);
    void *bytes = NULL;

    *error = (cli_error_t){0};
    if (path != NULL) {
        bytes = load(path, size, error);
        free(path);
    }
    if (bytes == NULL) {
        const cli_error_t reason = *error;
        vm_range_error(machine->description, range, property, error, "%s",
                       reason.line[0] != '\0' ? reason.line : "out of memory");
    }
    return bytes;
}

static int load_file(machine_t *machine, size_t index, size_t *size, cli_error_t *error)
{
    const vm_range_t *range = &machine->description->ranges[index];
    void *bytes = read_named(machine, range, "guestmem,load", range->load, file_read, size, error);
    int result;

    if (bytes == NULL) {
        return -1;
    }
    result = write_range(machine, index, "guestmem,load", range->load_offset, bytes, *size, error);
    free(bytes);
    return result;
}

static int load_tree(machine_t *machine, size_t index, size_t *size, cli_error_t *error)
{
    static const char property[] = "guestmem,device-tree";
    const vm_range_t *range = &machine->description->ranges[index];
    void *tree;
    int result;

    if (strcmp(range->tree, "self") == 0) {
        tree = dtb_strip(machine->description, size, error);
    } else {
        tree = read_named(machine, range, property, range->tree, dtb_file_load, size, error);
    }
    if (tree == NULL) {
        return -1;
    }
    result = write_range(machine, index, property, range->tree_offset, tree, *size, error);
    free(tree);
    return result;
}

static int load_range(machine_t *machine, size_t index, cli_error_t *error)
{
    const vm_range_t *range = &machine->description->ranges[index];
    size_t file_size = 0;
    size_t tree_size = 0;

    if (range->load != NULL && load_file(machine, index, &file_size, error) != 0) {
        return -1;
    }
    if (range->tree != NULL && load_tree(machine, index, &tree_size, error) != 0) {
        return -1;
    }
    if (file_size > 0 && tree_size > 0 && range->tree_offset < range->load_offset + file_size &&
        range->load_offset < range->tree_offset + tree_size) {
        return vm_range_error(machine->description, range, "guestmem,device-tree-offset", error,
                              "the device tree (0x%" PRIx64 ", %zu bytes) overlaps the loaded file "
                              "(0x%" PRIx64 ", %zu bytes)",
                              range->tree_offset, tree_size, range->load_offset, file_size);
    }
    return 0;
}

int machine_load(machine_t *machine, cli_error_t *error)
{
    for (size_t i = 0; i < machine->description->num_ranges; i++) {
        if (load_range(machine, i, error) != 0) {
            return -1;
        }
    }
    return 0;
}
