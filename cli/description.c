/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the walk over a VM's tree and the life of its model. The tree is whole (structure, tags,
 * strings, lengths), so offsets and lengths are trusted, but no value of any property.
 */

#include "description.h"
#include "description_internal.h"

#include <inttypes.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const backing_names[VM_NUM_BACKINGS] = {
    [VM_BACKING_RAM] = "ram",
    [VM_BACKING_RAM_UNTYPED] = "ram-untyped",
    [VM_BACKING_FRAMES] = "frames",
    [VM_BACKING_UNTYPED] = "untyped",
    [VM_BACKING_UNTYPED_AT] = "untyped-at",
    [VM_BACKING_MAYBE_DEVICE] = "maybe-device",
    [VM_BACKING_ALLOCATED_FRAME] = "allocated-frame",
    [VM_BACKING_DEVICE_FRAME] = "device-frame",
    [VM_BACKING_EMULATED] = "emulated",
    [VM_BACKING_ANONYMOUS] = "anonymous",
    [VM_BACKING_SHARED] = "shared",
};

const char *vm_backing_name(vm_backing_t backing)
{
    return backing < VM_NUM_BACKINGS ? backing_names[backing] : "?";
}

int vm_range_error(const vm_description_t *description, const vm_range_t *range,
                   const char *property, cli_error_t *error, const char *format, ...)
{
    char reason[sizeof(error->line)];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    if (range->placed_by_library && range->base == 0) {
        return cli_error_set(error, "%s: %s: %s (%" PRIu64 " bytes): %s", description->file,
                             range->path, property, range->size, reason);
    }
    return cli_error_set(error, "%s: %s: %s [0x%" PRIx64 ", 0x%" PRIx64 "]: %s", description->file,
                         range->path, property, range->base, range->base + range->size - 1, reason);
}

/** Cells of the children's addresses or sizes: the binding's default when not given. */
static int read_cells(const void *dtb, int offset, const char *property, int fallback)
{
    int length;
    const fdt32_t *cells = fdt_getprop(dtb, offset, property, &length);

    if (cells == NULL) {
        return fallback;
    }
    if (length != sizeof(*cells) || fdt32_ld(cells) > 4) {
        return -1;
    }
    return (int)fdt32_ld(cells);
}

bool vm_node_is_off(const void *dtb, int offset)
{
    int length;
    const char *status = fdt_getprop(dtb, offset, "status", &length);

    return status != NULL && !(length == 5 && memcmp(status, "okay", 5) == 0) &&
           !(length == 3 && memcmp(status, "ok", 3) == 0);
}

static int walk(vm_description_t *description, const vm_system_t *system, const vm_node_t *parent,
                int offset, unsigned depth, cli_error_t *error)
{
    vm_node_t node = {
        .description = description,
        .system = system,
        .parent = parent,
        .offset = offset,
        .name = fdt_get_name(description->dtb, offset, NULL),
        .address_cells = read_cells(description->dtb, offset, "#address-cells", 2),
        .size_cells = read_cells(description->dtb, offset, "#size-cells", 1),
        .error = error,
    };
    int child;

    if (node.name == NULL) {
        return cli_error_set(error, "%s: the tree is damaged: a node without name",
                             description->file);
    }
    if (depth > VM_DESCRIPTION_MAX_DEPTH) {
        return vm_node_error(&node, "node", "nested deeper than %d nodes",
                             VM_DESCRIPTION_MAX_DEPTH);
    }
    if (parent != NULL && vm_node_is_off(description->dtb, offset)) {
        return 0; /* nor is anything below it there */
    }
    if (parent != NULL && vm_node_ranges(&node, description) != 0) {
        return -1;
    }
    fdt_for_each_subnode(child, description->dtb, offset)
    {
        if (walk(description, system, &node, child, depth + 1, error) != 0) {
            return -1;
        }
    }
    return 0;
}

/** Refuse a `guestmem,` property that a VM's root does not have: it may be misspelt. */
static int check_root_properties(const vm_node_t *root)
{
    const void *dtb = root->description->dtb;
    bool alone = root->description->name == NULL;
    int property;

    fdt_for_each_property_offset(property, dtb, root->offset)
    {
        const char *name;
        if (fdt_getprop_by_offset(dtb, property, &name, NULL) == NULL ||
            strncmp(name, "guestmem,", 9) != 0 ||
            strcmp(name, alone ? "guestmem,board" : "guestmem,vm") == 0 ||
            strcmp(name, "guestmem,engine") == 0 || strcmp(name, "guestmem,entry") == 0 ||
            (strncmp(name, "guestmem,x", 10) == 0 && name[10] >= '0' &&
             name[10] < '0' + VM_MAX_ENTRY_REGISTERS && name[11] == '\0')) {
            continue;
        }
        return vm_node_error(root, name, "no such property of %s (see docs/vm-description.md)",
                             alone ? "the root node" : "a VM's node");
    }
    return 0;
}

/** Read the properties of the root, which describe the VM as a whole. */
static int read_root(vm_description_t *description, cli_error_t *error)
{
    vm_node_t root = {.description = description, .name = "", .error = error};
    bool present;

    if (check_root_properties(&root) != 0 ||
        vm_node_string(&root, "guestmem,board", &description->board) != 0 ||
        vm_node_string(&root, "guestmem,engine", &description->engine) != 0 ||
        vm_node_string(&root, "model", &description->model) != 0 ||
        vm_node_number(&root, "guestmem,entry", &description->entry, &description->has_entry) !=
            0) {
        return -1;
    }
    if (description->entry % 4 != 0) {
        return vm_node_error(&root, "guestmem,entry", "0x%" PRIx64 " is not a multiple of 4",
                             description->entry);
    }
    for (unsigned i = 0; i < VM_MAX_ENTRY_REGISTERS; i++) {
        char property[16];
        snprintf(property, sizeof(property), "guestmem,x%u", i);
        if (vm_node_number(&root, property, &description->x[i], &present) != 0) {
            return -1;
        }
        description->has_x0 |= i == 0 && present;
    }
    return 0;
}

/** Find the initrd, of which the guest's tree can name one. */
static int find_initrd(vm_description_t *description, cli_error_t *error)
{
    bool has_tree = false;

    for (size_t i = 0; i < description->num_contents; i++) {
        const vm_content_t *content = &description->contents[i];
        if (content->kind == VM_CONTENT_INITRD && description->initrd != NULL) {
            return vm_range_error(description, &description->ranges[content->range],
                                  "guestmem,initrd", error, "%s has one already",
                                  description->ranges[description->initrd->range].path);
        }
        if (content->kind == VM_CONTENT_INITRD) {
            description->initrd = content;
        }
        has_tree |= content->kind == VM_CONTENT_TREE && strcmp(content->file, "self") == 0;
    }
    if (description->initrd != NULL && !has_tree) {
        return vm_range_error(description, &description->ranges[description->initrd->range],
                              "guestmem,initrd", error,
                              "has no effect without guestmem,device-tree = \"self\"");
    }
    return 0;
}

vm_description_t *vm_description_read(void *dtb, const char *file, const char *name,
                                      const vm_system_t *system, cli_error_t *error)
{
    vm_description_t *description = calloc(1, sizeof(*description));

    if (description == NULL) {
        cli_error_set(error, "%s: out of memory", file);
        free(dtb);
        return NULL;
    }
    description->dtb = dtb;
    description->dtb_size = fdt_totalsize(dtb);
    description->file = strdup(file);
    description->name = name != NULL ? strdup(name) : NULL;
    if (description->file == NULL || (name != NULL && description->name == NULL)) {
        cli_error_set(error, "%s: out of memory", file);
    } else if (read_root(description, error) == 0 &&
               walk(description, system, NULL, 0, 0, error) == 0 &&
               find_initrd(description, error) == 0) {
        return description;
    }
    vm_description_free(description);
    return NULL;
}

void vm_description_free(vm_description_t *description)
{
    if (description == NULL) {
        return;
    }
    for (size_t i = 0; i < description->num_ranges; i++) {
        free(description->ranges[i].name);
        free(description->ranges[i].path);
    }
    free(description->ranges);
    free(description->contents);
    free(description->dtb);
    free(description->name);
    free(description->file);
    free(description);
}
