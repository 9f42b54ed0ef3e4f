/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the reading of single properties, and the error line that names a node and a property.
 * Whatever the bytes are, nothing is read past a property's length.
 */

#include "description_internal.h"

#include <ctype.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *vm_node_path(const vm_node_t *node)
{
    const char *vm = node->description->name;
    size_t vm_length = vm != NULL ? 1 + strlen(vm) : 0;
    size_t length = 1 + vm_length;
    char *path;

    for (const vm_node_t *n = node; n->parent != NULL; n = n->parent) {
        length += 1 + strlen(n->name);
    }
    if (length == 1) {
        return strdup("/");
    }
    path = malloc(length);
    if (path == NULL) {
        return NULL;
    }
    path[--length] = '\0';
    for (const vm_node_t *n = node; n->parent != NULL; n = n->parent) {
        size_t name_length = strlen(n->name);
        length -= name_length;
        memcpy(path + length, n->name, name_length);
        path[--length] = '/';
    }
    if (vm != NULL) {
        path[0] = '/';
        memcpy(path + 1, vm, vm_length - 1);
    }
    return path;
}

int vm_node_error(const vm_node_t *node, const char *property, const char *format, ...)
{
    char reason[512];
    char *path = vm_node_path(node);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    cli_error_set(node->error, "%s: %s: %s: %s", node->description->file,
                  path != NULL ? path : node->name, property, reason);
    free(path);
    return -1;
}

int vm_node_name(const vm_node_t *node)
{
    for (const char *c = node->name; *c != '\0'; c++) {
        if (!isgraph((unsigned char)*c)) {
            return vm_node_error(node, "node", "its name has other than printable characters");
        }
    }
    return 0;
}

int vm_node_flag(const vm_node_t *node, const char *property)
{
    int length;

    fdt_getprop(node->description->dtb, node->offset, property, &length);
    return length > 0
               ? vm_node_error(node, property, "must have no value; it is off where it is not")
               : 0;
}

bool vm_node_has(const vm_node_t *node, const char *property)
{
    return fdt_getprop(node->description->dtb, node->offset, property, NULL) != NULL;
}

int vm_node_strings(const vm_node_t *node, const char *property, const char **first)
{
    int length;
    const char *text = fdt_getprop(node->description->dtb, node->offset, property, &length);
    int count = 0;

    *first = text;
    if (text == NULL) {
        return 0;
    }
    for (int i = 0; i < length; i++) {
        bool at_start = i == 0 || text[i - 1] == '\0';
        count += at_start;
        if (at_start ? !isprint((unsigned char)text[i])
                     : text[i] != '\0' && !isprint((unsigned char)text[i])) {
            count = 0;
            break;
        }
    }
    if (count == 0 || text[length - 1] != '\0') {
        return vm_node_error(node, property,
                             "must be one string or more, of printable characters, none empty");
    }
    return count;
}

int vm_node_string(const vm_node_t *node, const char *property, const char **value)
{
    int count = vm_node_strings(node, property, value);

    if (count > 1) {
        return vm_node_error(node, property, "must be one string, is %d", count);
    }
    return count < 0 ? -1 : 0;
}

int vm_node_number_at(const vm_node_t *node, const char *property, int index, int count,
                      uint64_t *value, bool *present)
{
    int length;
    const char *cells = fdt_getprop(node->description->dtb, node->offset, property, &length);

    *present = cells != NULL;
    if (cells == NULL) {
        return 0;
    }
    if (length == count * (int)sizeof(fdt32_t)) {
        *value = fdt32_ld((const fdt32_t *)cells + index);
    } else if (length == count * (int)sizeof(fdt64_t)) {
        *value = fdt64_ld((const fdt64_t *)cells + index);
    } else {
        return vm_node_error(node, property, "must be %d number%s of 32 or 64 bits, has %d bytes",
                             count, count == 1 ? "" : "s", length);
    }
    return 0;
}

int vm_node_number(const vm_node_t *node, const char *property, uint64_t *value, bool *present)
{
    return vm_node_number_at(node, property, 0, 1, value, present);
}
