/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the reading of the device tree (Devicetree Specification 0.4, chapter 5). The tree comes
 * from the VMM, which the guest has to trust, so only what the format itself needs is checked.
 */

#include "fdt.h"

#include <stddef.h>

enum { TOKEN_BEGIN_NODE = 1, TOKEN_END_NODE = 2, TOKEN_PROPERTY = 3, TOKEN_NOP = 4 };

enum { MAGIC = 0, STRUCTURE = 2, STRINGS = 3, STRINGS_SIZE = 8 };

static uint32_t cell(const uint32_t *cells, size_t index)
{
    return __builtin_bswap32(cells[index]);
}

static bool begins_with(const char *text, const char *start)
{
    while (*start != '\0' && *text == *start) {
        text++;
        start++;
    }
    return *start == '\0';
}

/** Whether a node's name is `name`, or `name` and a unit address. */
static bool is_called(const char *node, const char *name)
{
    size_t length = 0;

    while (name[length] != '\0') {
        length++;
    }
    return begins_with(node, name) && (node[length] == '\0' || node[length] == '@');
}

static size_t string_cells(const char *text)
{
    size_t length = 0;

    while (text[length] != '\0') {
        length++;
    }
    return length / 4 + 1;
}

bool fdt_find(const void *tree, const char *name, fdt_range_t *range)
{
    const uint32_t *header = tree;
    const uint32_t *at = header + cell(header, STRUCTURE) / 4;
    const char *strings = (const char *)tree + cell(header, STRINGS);
    unsigned depth = 0;
    bool inside = false;

    if (cell(header, MAGIC) != 0xd00dfeed) {
        return false;
    }
    for (;;) {
        uint32_t token = cell(at++, 0);
        if (token == TOKEN_BEGIN_NODE) {
            depth++;
            inside = depth == 2 && is_called((const char *)at, name);
            at += string_cells((const char *)at);
        } else if (token == TOKEN_END_NODE) {
            depth--;
            inside = false;
        } else if (token == TOKEN_PROPERTY) {
            uint32_t length = cell(at, 0);
            const char *property = strings + cell(at, 1);
            at += 2;
            if (inside && length >= 16 && is_called(property, "reg")) {
                range->base = (uint64_t)cell(at, 0) << 32 | cell(at, 1);
                range->size = (uint64_t)cell(at, 2) << 32 | cell(at, 3);
                return true;
            }
            at += (length + 3) / 4;
        } else if (token != TOKEN_NOP) {
            return false;
        }
    }
}

bool fdt_has_property_name(const void *tree, const char *prefix)
{
    const uint32_t *header = tree;
    const char *strings = (const char *)tree + cell(header, STRINGS);
    const char *end = strings + cell(header, STRINGS_SIZE);

    for (; strings < end; strings++) {
        if (begins_with(strings, prefix)) {
            return true;
        }
    }
    return false;
}
