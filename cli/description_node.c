/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the meaning of a node's `guestmem,...` properties: which go together with which backing, and
 * what they default to. A property that would have no effect is an error, so that a misspelt or
 * misplaced one is noticed.
 */

#include "description_internal.h"

#include <inttypes.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 0x1000 };

#define BIT(backing) (1u << (backing))
#define SINGLE_FRAME (BIT(VM_BACKING_ALLOCATED_FRAME) | BIT(VM_BACKING_DEVICE_FRAME))
#define RAM          (BIT(VM_BACKING_RAM) | BIT(VM_BACKING_RAM_UNTYPED))
#define MAPPED                                                                                     \
    (BIT(VM_BACKING_FRAMES) | BIT(VM_BACKING_UNTYPED) | BIT(VM_BACKING_UNTYPED_AT) |               \
     BIT(VM_BACKING_MAYBE_DEVICE))
#define EMULATED   BIT(VM_BACKING_EMULATED)
#define SHARED     BIT(VM_BACKING_SHARED)
#define HAS_MEMORY (SINGLE_FRAME | RAM | MAPPED | SHARED)
#define ALL        (BIT(VM_NUM_BACKINGS) - 1)
#define FLAG       BIT(VM_NUM_BACKINGS) /* a property that is there or not, without a value */

/** Every `guestmem,` property of a node other than the root, and the backings that it goes with. */
static const struct {
    const char *name;
    unsigned backings;
} properties[] = {
    {"guestmem,backing", ALL},
    {"guestmem,hidden", ALL | FLAG},
    {"guestmem,size",
     BIT(VM_BACKING_RAM) | BIT(VM_BACKING_FRAMES) | BIT(VM_BACKING_MAYBE_DEVICE) | EMULATED},
    {"guestmem,paddr", BIT(VM_BACKING_UNTYPED_AT)},
    {"guestmem,shared", SHARED},
    {"guestmem,rights", SINGLE_FRAME | SHARED},
    {"guestmem,device", SINGLE_FRAME | MAPPED | EMULATED},
    {"guestmem,file", EMULATED},
    {"guestmem,read-only", EMULATED | FLAG},
    {"guestmem,map-on-fault", MAPPED | FLAG},
    {"guestmem,load", HAS_MEMORY},
    {"guestmem,load-offset", HAS_MEMORY},
    {"guestmem,device-tree", HAS_MEMORY},
    {"guestmem,device-tree-offset", HAS_MEMORY},
    {"guestmem,initrd", RAM},
    {"guestmem,initrd-offset", RAM},
};

static const size_t num_properties = sizeof(properties) / sizeof(properties[0]);

static int check_property(const vm_node_t *node, const char *name, const char *backing_name,
                          vm_backing_t backing)
{
    for (size_t i = 0; i < num_properties; i++) {
        if (strcmp(name, properties[i].name) == 0) {
            if (backing_name != NULL && (properties[i].backings & BIT(backing)) == 0) {
                return vm_node_error(node, name, "has no effect with guestmem,backing = \"%s\"",
                                     backing_name);
            }
            if (backing_name == NULL && strcmp(name, "guestmem,hidden") != 0) {
                return vm_node_error(node, name, "has no effect without guestmem,backing");
            }
            return (properties[i].backings & FLAG) != 0 ? vm_node_flag(node, name) : 0;
        }
    }
    return vm_node_error(node, name, "no such property (see docs/vm-description.md)");
}

static int check_properties(const vm_node_t *node, const char *backing_name, vm_backing_t backing)
{
    const void *dtb = node->description->dtb;
    int property;

    fdt_for_each_property_offset(property, dtb, node->offset)
    {
        const char *name;
        if (fdt_getprop_by_offset(dtb, property, &name, NULL) != NULL &&
            strncmp(name, "guestmem,", 9) == 0 &&
            check_property(node, name, backing_name, backing) != 0) {
            return -1;
        }
    }
    return 0;
}

static int read_backing(const vm_node_t *node, const char *text, vm_backing_t *backing)
{
    for (unsigned i = 0; i < VM_NUM_BACKINGS; i++) {
        if (strcmp(text, vm_backing_name(i)) == 0) {
            *backing = i;
            return 0;
        }
    }
    return vm_node_error(node, "guestmem,backing", "unknown backing \"%s\"", text);
}

static int read_rights(const vm_node_t *node, vm_rights_t *rights)
{
    const char *text;

    if (vm_node_string(node, "guestmem,rights", &text) != 0) {
        return -1;
    }
    if (text == NULL || strcmp(text, "rw") == 0) {
        *rights = VM_RIGHTS_READ_WRITE;
    } else if (strcmp(text, "ro") == 0) {
        *rights = VM_RIGHTS_READ_ONLY;
    } else if (strcmp(text, "none") == 0) {
        *rights = VM_RIGHTS_NONE;
    } else {
        return vm_node_error(node, "guestmem,rights", "\"%s\" is none of \"rw\", \"ro\", \"none\"",
                             text);
    }
    return 0;
}

/** Find the memory that a node shares. */
static int read_shared(const vm_node_t *node, vm_range_t *range)
{
    const vm_system_t *system = node->system;
    uint64_t phandle;
    bool present;

    if (vm_node_number(node, "guestmem,shared", &phandle, &present) != 0) {
        return -1;
    }
    if (!present) {
        return vm_node_error(node, "guestmem,shared",
                             "missing, but guestmem,backing = \"shared\" needs it");
    }
    for (size_t i = 0; i < system->num_shared; i++) {
        if (system->shared[i].phandle == phandle && phandle != 0) {
            range->shared = i;
            return 0;
        }
    }
    return vm_node_error(node, "guestmem,shared",
                         "must be <&LABEL> of a node with guestmem,shared below the root");
}

/** Read what all entries of the node share. */
static int read_common(const vm_node_t *node, vm_range_t *range)
{
    bool has_paddr;

    if (read_rights(node, &range->rights) != 0 ||
        vm_node_string(node, "guestmem,device", &range->device) != 0 ||
        vm_node_string(node, "guestmem,file", &range->file) != 0 ||
        vm_node_number(node, "guestmem,paddr", &range->paddr, &has_paddr) != 0) {
        return -1;
    }
    if (range->backing == VM_BACKING_SHARED && read_shared(node, range) != 0) {
        return -1;
    }
    range->on_fault = vm_node_has(node, "guestmem,map-on-fault");
    range->read_only = vm_node_has(node, "guestmem,read-only");
    range->node = node->offset;
    if (range->backing == VM_BACKING_UNTYPED_AT && !has_paddr) {
        return vm_node_error(node, "guestmem,paddr",
                             "missing, but guestmem,backing = \"untyped-at\" needs it");
    }
    if (range->backing == VM_BACKING_EMULATED && range->device == NULL) {
        return vm_node_error(node, "guestmem,device",
                             "missing, but guestmem,backing = \"emulated\" needs it");
    }
    if (range->read_only && range->file == NULL) {
        return vm_node_error(node, "guestmem,read-only", "has no effect without guestmem,file");
    }
    return 0;
}

static int check_range(const vm_node_t *node, const vm_range_t *range)
{
    const vm_description_t *description = node->description;

    if ((BIT(range->backing) & SINGLE_FRAME) != 0 && range->size != 4096) {
        return vm_range_error(description, range, "reg", node->error,
                              "guestmem,backing = \"%s\" is one page: the size must be 0x1000",
                              vm_backing_name(range->backing));
    }
    if (range->backing == VM_BACKING_SHARED) {
        const vm_shared_t *shared = &node->system->shared[range->shared];
        if (range->entry > 0 || range->size != shared->size || range->base % PAGE != 0) {
            return vm_range_error(description, range, "reg", node->error,
                                  "must be all of \"%s\", 0x%" PRIx64
                                  " bytes at a multiple of 4 KiB",
                                  shared->name, shared->size);
        }
    }
    if (range->backing == VM_BACKING_UNTYPED_AT && range->paddr > UINT64_MAX - (range->size - 1)) {
        return vm_range_error(description, range, "guestmem,paddr", node->error,
                              "0x%" PRIx64 " plus the size wraps around", range->paddr);
    }
    return 0;
}

static char *entry_name(const vm_node_t *node, unsigned entry)
{
    size_t length = strlen(node->name) + 16;
    char *name = malloc(length);

    if (name != NULL) {
        snprintf(name, length, entry == 0 ? "%s" : "%s[%u]", node->name, entry);
    }
    return name;
}

/** Append a range; the description owns it also if what follows fails. */
static int append(const vm_node_t *node, vm_description_t *description, const vm_range_t *common,
                  unsigned entry)
{
    vm_range_t *ranges = description->ranges;
    vm_range_t *range;

    /* Grown when the count is a power of two: doubling. */
    if ((description->num_ranges & (description->num_ranges - 1)) == 0) {
        size_t room = description->num_ranges == 0 ? 1 : description->num_ranges * 2;
        ranges = realloc(ranges, room * sizeof(*ranges));
        if (ranges == NULL) {
            return cli_error_set(node->error, "%s: out of memory", description->file);
        }
        description->ranges = ranges;
    }
    range = &ranges[description->num_ranges++];
    *range = *common;
    range->entry = entry;
    range->name = entry_name(node, entry);
    range->path = vm_node_path(node);
    if (range->name == NULL || range->path == NULL) {
        return cli_error_set(node->error, "%s: out of memory", description->file);
    }
    return check_range(node, range);
}

/** A node without `reg`, which gets its address from an anonymous region. */
static int append_placed(const vm_node_t *node, vm_description_t *description, vm_range_t *common)
{
    bool present;

    if (vm_node_has(node, "reg")) {
        return vm_node_error(node, "guestmem,size", "not allowed together with reg");
    }
    if (vm_node_number(node, "guestmem,size", &common->size, &present) != 0) {
        return -1;
    }
    if (common->size == 0) {
        return vm_node_error(node, "guestmem,size", "must not be 0");
    }
    common->placed_by_library = true;
    return append(node, description, common, 0);
}

/** One range for each entry of `reg`; physical addresses go on from one to the next. */
static int append_entries(const vm_node_t *node, vm_description_t *description, vm_range_t *range)
{
    int count = vm_node_reg_count(node);

    for (int i = 0; i < count; i++) {
        if (vm_node_reg(node, i, &range->base, &range->size) != 0 ||
            append(node, description, range, (unsigned)i) != 0) {
            return -1;
        }
        if (range->backing == VM_BACKING_UNTYPED_AT && range->paddr <= UINT64_MAX - range->size) {
            range->paddr += range->size;
        }
    }
    return count < 0 ? -1 : 0;
}

int vm_node_ranges(const vm_node_t *node, vm_description_t *description)
{
    vm_range_t common = {0};
    const char *backing;
    size_t first = description->num_ranges;

    if (vm_node_string(node, "guestmem,backing", &backing) != 0) {
        return -1;
    }
    if (backing != NULL && read_backing(node, backing, &common.backing) != 0) {
        return -1;
    }
    if (check_properties(node, backing, common.backing) != 0) {
        return -1;
    }
    if (backing == NULL) {
        return 0;
    }
    if (vm_node_name(node) != 0 || read_common(node, &common) != 0) {
        return -1;
    }
    if ((vm_node_has(node, "guestmem,size") ? append_placed : append_entries)(node, description,
                                                                              &common) != 0) {
        return -1;
    }
    return vm_node_contents(node, description, first);
}
