/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the properties that say what is in a range's memory before the guest starts: files, device
 * trees, an initial RAM disk. Files are not looked at.
 */

#include "description_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *property;
    const char *offset_property;
} kinds[VM_NUM_CONTENT_KINDS] = {
    [VM_CONTENT_FILE] = {"guestmem,load", "guestmem,load-offset"},
    [VM_CONTENT_TREE] = {"guestmem,device-tree", "guestmem,device-tree-offset"},
    [VM_CONTENT_INITRD] = {"guestmem,initrd", "guestmem,initrd-offset"},
};

const char *vm_content_property(vm_content_kind_t kind)
{
    return kinds[kind].property;
}

const char *vm_content_offset_property(vm_content_kind_t kind)
{
    return kinds[kind].offset_property;
}

static int append(const vm_node_t *node, vm_description_t *description, const vm_content_t *content)
{
    size_t size = (description->num_contents + 1) * sizeof(*content);
    vm_content_t *contents = realloc(description->contents, size);

    if (contents == NULL) {
        return cli_error_set(node->error, "%s: out of memory", description->file);
    }
    description->contents = contents;
    contents[description->num_contents++] = *content;
    return 0;
}

/** Read the files of a kind that the node has. */
static int read_kind(const vm_node_t *node, vm_description_t *description, vm_content_t *content)
{
    const char *property = vm_content_property(content->kind);
    const char *offset_property = vm_content_offset_property(content->kind);
    const vm_range_t *range = &description->ranges[content->range];
    int count = vm_node_strings(node, property, &content->file);

    if (count > 1 && content->kind != VM_CONTENT_FILE) {
        return vm_node_error(node, property, "must be one string, is %d", count);
    }
    if (count == 0 && vm_node_has(node, offset_property)) {
        return vm_node_error(node, offset_property, "has no effect without %s", property);
    }
    if (count > 1 && !vm_node_has(node, offset_property)) {
        return vm_node_error(node, offset_property, "missing, but %s has %d files", property,
                             count);
    }
    if (count > 0 && range->on_fault) {
        return vm_node_error(node, "guestmem,map-on-fault",
                             "not allowed together with %s: content needs frames at once",
                             property);
    }
    for (int i = 0; i < count; i++) {
        content->offset = 0;
        if (vm_node_number_at(node, offset_property, i, count, &content->offset,
                              &content->has_offset) != 0) {
            return -1;
        }
        if (content->offset >= range->size) {
            return vm_range_error(description, range, offset_property, node->error,
                                  "0x%" PRIx64 " is not less than the size 0x%" PRIx64,
                                  content->offset, range->size);
        }
        if (append(node, description, content) != 0) {
            return -1;
        }
        content->file += strlen(content->file) + 1;
    }
    return count < 0 ? -1 : 0;
}

int vm_node_contents(const vm_node_t *node, vm_description_t *description, size_t index)
{
    for (unsigned kind = 0; kind < VM_NUM_CONTENT_KINDS; kind++) {
        vm_content_t content = {.kind = (vm_content_kind_t)kind, .range = index};
        if (read_kind(node, description, &content) != 0) {
            return -1;
        }
    }
    return 0;
}
