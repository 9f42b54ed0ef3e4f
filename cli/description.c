/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the walk over a description's tree and the life of the model. The tree is copied and checked
 * as a whole first (structure, tags, strings, lengths), so later code may trust offsets and
 * lengths, but no value of any property.
 */

#include "description.h"
#include "description_internal.h"

#include <inttypes.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the format of flattened device trees; dtc writes 17. */
#define OLDEST_VERSION 16

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

/** Whether a node is switched off, as the devicetree specification has it under "status". */
static bool is_off(const void *dtb, int offset)
{
    int length;
    const char *status = fdt_getprop(dtb, offset, "status", &length);

    return status != NULL && !(length == 5 && memcmp(status, "okay", 5) == 0) &&
           !(length == 3 && memcmp(status, "ok", 3) == 0);
}

static int walk(vm_description_t *description, const vm_node_t *parent, int offset, unsigned depth,
                cli_error_t *error)
{
    vm_node_t node = {
        .description = description,
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
    if (parent != NULL && is_off(description->dtb, offset)) {
        return 0; /* nor is anything below it there */
    }
    if (parent != NULL && vm_node_ranges(&node, description) != 0) {
        return -1;
    }
    fdt_for_each_subnode(child, description->dtb, offset)
    {
        if (walk(description, &node, child, depth + 1, error) != 0) {
            return -1;
        }
    }
    return 0;
}

/** Refuse a `guestmem,` property that the root does not have: it may be misspelt. */
static int check_root_properties(const vm_node_t *root)
{
    const void *dtb = root->description->dtb;
    int property;

    fdt_for_each_property_offset(property, dtb, root->offset)
    {
        const char *name;
        if (fdt_getprop_by_offset(dtb, property, &name, NULL) == NULL ||
            strncmp(name, "guestmem,", 9) != 0 || strcmp(name, "guestmem,board") == 0 ||
            strcmp(name, "guestmem,engine") == 0 || strcmp(name, "guestmem,entry") == 0 ||
            (strncmp(name, "guestmem,x", 10) == 0 && name[10] >= '0' &&
             name[10] < '0' + VM_MAX_ENTRY_REGISTERS && name[11] == '\0')) {
            continue;
        }
        return vm_node_error(root, name,
                             "no such property of the root node (see "
                             "docs/vm-description.md)");
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

/**
 * Whether the value of each property lies inside the tree: fdt_check_full() of libfdt 1.6.1 takes a
 * length of nearly 2^32 for a small negative one.
 */
static bool properties_fit(const void *dtb)
{
    int size = (int)fdt_size_dt_struct(dtb);
    int next = 0;

    for (;;) {
        int offset = next;
        uint32_t tag = fdt_next_tag(dtb, offset, &next);
        if (tag == FDT_END) {
            return next > offset; /* otherwise `next` is an error */
        }
        if (tag == FDT_PROP) {
            int length;
            if (fdt_get_property_by_offset(dtb, offset, &length) == NULL || length < 0 ||
                length > size - offset) {
                return false;
            }
        }
        if (next <= offset) {
            return false;
        }
    }
}

static int check_tree(const void *dtb, size_t size, const char *file, cli_error_t *error)
{
    int result;

    if (size < sizeof(struct fdt_header)) {
        return cli_error_set(error,
                             "%s: truncated: %zu bytes are less than a device tree's header of %zu",
                             file, size, sizeof(struct fdt_header));
    }
    if (fdt_magic(dtb) != FDT_MAGIC) {
        return cli_error_set(error, "%s: not a flattened device tree (it starts with 0x%08x)", file,
                             fdt_magic(dtb));
    }
    if (fdt_totalsize(dtb) > size) {
        return cli_error_set(error,
                             "%s: truncated: the device tree says %u bytes, the file has %zu", file,
                             fdt_totalsize(dtb), size);
    }
    if (fdt_totalsize(dtb) > VM_DESCRIPTION_MAX_SIZE) {
        return cli_error_set(error, "%s: the device tree has %u bytes, %u are allowed", file,
                             fdt_totalsize(dtb), VM_DESCRIPTION_MAX_SIZE);
    }
    /* In older trees nodes have their whole path as name, and libfdt 1.6.1 takes that for granted.
     */
    if (fdt_version(dtb) < OLDEST_VERSION) {
        return cli_error_set(error, "%s: the device tree has version %u, %d and later are read",
                             file, fdt_version(dtb), OLDEST_VERSION);
    }
    result = fdt_check_full(dtb, size);
    if (result != 0) {
        return cli_error_set(error, "%s: the device tree is damaged: %s", file,
                             fdt_strerror(result));
    }
    if (!properties_fit(dtb)) {
        return cli_error_set(error, "%s: the device tree is damaged: a property is larger than it",
                             file);
    }
    return 0;
}

vm_description_t *vm_description_parse(const void *dtb, size_t size, const char *file,
                                       cli_error_t *error)
{
    vm_description_t *description = calloc(1, sizeof(*description));
    void *copy;

    if (description == NULL) {
        cli_error_set(error, "%s: out of memory", file);
        return NULL;
    }
    /* libfdt wants 8-byte alignment, which a caller's buffer may lack. */
    description->file = strdup(file);
    copy = calloc(1, size + 1);
    description->dtb = copy;
    if (description->file == NULL || copy == NULL) {
        cli_error_set(error, "%s: out of memory", file);
        vm_description_free(description);
        return NULL;
    }
    if (size > 0) {
        memcpy(copy, dtb, size);
    }
    if (check_tree(copy, size, file, error) == 0) {
        description->dtb_size = fdt_totalsize(copy);
        if (read_root(description, error) == 0 && walk(description, NULL, 0, 0, error) == 0 &&
            find_initrd(description, error) == 0) {
            return description;
        }
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
    free(description->file);
    free(description);
}
