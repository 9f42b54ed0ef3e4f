/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the applying of overlays: libfdt does it, and this file checks before what libfdt 1.6.1
 * takes for granted (that the places which an overlay wants changed lie inside its properties), and
 * finds the words for what is missing.
 */

#include "dtb_overlay.h"

#include "description.h"

#include <libfdt.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 32 };

/** What is worked on. */
typedef struct overlay {
    const dtb_named_t *tree;
    const dtb_named_t *overlay;
    cli_error_t *error;
} overlay_t;

static bool is_fragment(const void *dtb, int node)
{
    return fdt_subnode_offset(dtb, node, "__overlay__") >= 0;
}

static bool has_fragment(const void *dtb)
{
    int node;

    fdt_for_each_subnode(node, dtb, 0)
    {
        if (is_fragment(dtb, node)) {
            return true;
        }
    }
    return false;
}

bool dtb_is_overlay(const void *dtb, size_t size)
{
    return vm_tree_check(dtb, size, "", NULL) == 0 && has_fragment(dtb);
}

/** The length of a property, which must be in the tree as a whole; negative if it is not. */
static int property_length(const void *dtb, int node, const char *name, int name_length)
{
    int length = -1;
    const void *value = fdt_getprop_namelen(dtb, node, name, name_length, &length);

    return value == NULL || length > (int)fdt_totalsize(dtb) ? -1 : length;
}

/** One reference to a label: PATH:PROPERTY:OFFSET. @return whether a cell is there */
static bool check_reference(const void *dtb, const char *text)
{
    const char *property = strchr(text, ':');
    const char *offset = property != NULL ? strchr(property + 1, ':') : NULL;
    char *end;
    unsigned long at;
    int node;

    if (offset == NULL || offset[1] < '0' || offset[1] > '9') {
        return false;
    }
    node = fdt_path_offset_namelen(dtb, text, (int)(property - text));
    at = strtoul(offset + 1, &end, 10);
    return node >= 0 && *end == '\0' && at <= INT32_MAX - sizeof(fdt32_t) &&
           property_length(dtb, node, property + 1, (int)(offset - property - 1)) >=
               (int)(at + sizeof(fdt32_t));
}

/** All references of `__fixups__`, and that the tree has their labels. */
static int check_fixups(const overlay_t *self)
{
    const void *dtb = self->overlay->bytes;
    int fixups = fdt_path_offset(dtb, "/__fixups__");
    int symbols = fdt_path_offset(self->tree->bytes, "/__symbols__");
    int property;

    fdt_for_each_property_offset(property, dtb, fixups)
    {
        const char *label;
        int length;
        const char *value = fdt_getprop_by_offset(dtb, property, &label, &length);
        if (value == NULL || length <= 0 || length > (int)fdt_totalsize(dtb) ||
            value[length - 1] != '\0') {
            return cli_error_set(self->error, "%s: /__fixups__ is damaged", self->overlay->name);
        }
        for (const char *at = value; at < value + length; at += strlen(at) + 1) {
            if (!check_reference(dtb, at)) {
                return cli_error_set(self->error,
                                     "%s: /__fixups__: %s: there is no such place in the overlay",
                                     self->overlay->name, at);
            }
        }
        if (symbols < 0 || fdt_getprop(self->tree->bytes, symbols, label, NULL) == NULL) {
            return cli_error_set(self->error,
                                 "%s: the overlay refers to the label \"%s\", which %s does not "
                                 "have%s",
                                 self->overlay->name, label, self->tree->name,
                                 symbols < 0 ? ": it was compiled without dtc's option -@" : "");
        }
    }
    return 0;
}

/** The places that `__local_fixups__` names, in a node and below. */
static bool check_local_fixups(const void *dtb, int fixups, int node, int depth)
{
    int property;
    int child;

    fdt_for_each_property_offset(property, dtb, fixups)
    {
        const char *name;
        int length;
        const fdt32_t *places = fdt_getprop_by_offset(dtb, property, &name, &length);
        int room = places != NULL && length >= 0 && length <= (int)fdt_totalsize(dtb)
                       ? property_length(dtb, node, name, (int)strlen(name))
                       : -1;
        if (room < 0 || length % (int)sizeof(*places) != 0) {
            return false;
        }
        for (int i = 0; i < length / (int)sizeof(*places); i++) {
            uint32_t at = fdt32_ld(&places[i]);
            if (at > (uint32_t)room || (uint32_t)room - at < sizeof(fdt32_t)) {
                return false;
            }
        }
    }
    fdt_for_each_subnode(child, dtb, fixups)
    {
        int below = fdt_subnode_offset(dtb, node, fdt_get_name(dtb, child, NULL));
        if (below < 0 || depth == MAX_DEPTH || !check_local_fixups(dtb, child, below, depth + 1)) {
            return false;
        }
    }
    return true;
}

/** That the nodes which fragments name by path are there. */
static int check_targets(const overlay_t *self)
{
    const void *dtb = self->overlay->bytes;
    int node;

    fdt_for_each_subnode(node, dtb, 0)
    {
        int length = 0;
        const char *path = fdt_getprop(dtb, node, "target-path", &length);
        if (!is_fragment(dtb, node) || path == NULL) {
            continue;
        }
        if (length <= 0 || length > (int)fdt_totalsize(dtb) || path[length - 1] != '\0' ||
            fdt_path_offset(self->tree->bytes, path) < 0) {
            return cli_error_set(self->error, "%s: /%s: target-path: %s has no node \"%.*s\"",
                                 self->overlay->name, fdt_get_name(dtb, node, NULL),
                                 self->tree->name, length > 0 ? (int)strnlen(path, 80) : 0, path);
        }
    }
    return 0;
}

static int check(const overlay_t *self)
{
    const void *dtb = self->overlay->bytes;
    int local;

    if (vm_tree_check(self->tree->bytes, self->tree->size, self->tree->name, self->error) != 0 ||
        vm_tree_check(dtb, self->overlay->size, self->overlay->name, self->error) != 0) {
        return -1;
    }
    if (!has_fragment(dtb)) {
        return cli_error_set(self->error,
                             "%s: no overlay: no node below the root has __overlay__ (a source "
                             "needs /plugin/; after /dts-v1/)",
                             self->overlay->name);
    }
    local = fdt_path_offset(dtb, "/__local_fixups__");
    if (local >= 0 && !check_local_fixups(dtb, local, 0, 0)) {
        return cli_error_set(self->error,
                             "%s: /__local_fixups__ names a place that the overlay does not have",
                             self->overlay->name);
    }
    return check_fixups(self) != 0 || check_targets(self) != 0 ? -1 : 0;
}

void *dtb_overlay_apply(const dtb_named_t *tree, const dtb_named_t *overlay, size_t *size,
                        cli_error_t *error)
{
    const overlay_t self = {tree, overlay, error};
    size_t room;
    char *result;
    char *changes; /* libfdt writes to it */
    int problem = -FDT_ERR_NOSPACE;

    if (check(&self) != 0) {
        return NULL;
    }
    /* Names and values come over once; labels get the path of their fragment's target before. */
    room = fdt_totalsize(tree->bytes) + 4 * (size_t)fdt_totalsize(overlay->bytes) + 65536;
    result = malloc(room);
    changes = malloc(overlay->size);
    if (result != NULL && changes != NULL) {
        memcpy(changes, overlay->bytes, overlay->size);
        problem = fdt_open_into(tree->bytes, result, (int)room);
        problem = problem != 0 ? problem : fdt_overlay_apply(result, changes);
        problem = problem != 0 ? problem : fdt_pack(result);
    }
    free(changes);
    if (problem != 0) {
        cli_error_set(error, "%s: the overlay cannot be applied to %s: %s", overlay->name,
                      tree->name, fdt_strerror(problem));
        free(result);
        return NULL;
    }
    *size = fdt_totalsize(result);
    return result;
}
