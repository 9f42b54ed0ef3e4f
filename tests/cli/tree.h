/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Small device trees for tests, written with libfdt. */

#include <libfdt.h>
#include <stdint.h>
#include <stdlib.h>

#define TREE_SIZE 65536

/** A tree under construction. Calls that fail end the test program. */
typedef struct tree {
    char bytes[TREE_SIZE];
} tree_t;

static inline void tree_must(int result)
{
    if (result != 0) {
        abort();
    }
}

/** Begin a tree; its root is open, with two address and two size cells. */
static inline void tree_begin(tree_t *tree)
{
    tree_must(fdt_create(tree->bytes, TREE_SIZE));
    tree_must(fdt_finish_reservemap(tree->bytes));
    tree_must(fdt_begin_node(tree->bytes, ""));
    tree_must(fdt_property_u32(tree->bytes, "#address-cells", 2));
    tree_must(fdt_property_u32(tree->bytes, "#size-cells", 2));
}

static inline void tree_open(tree_t *tree, const char *name)
{
    tree_must(fdt_begin_node(tree->bytes, name));
}

static inline void tree_close(tree_t *tree)
{
    tree_must(fdt_end_node(tree->bytes));
}

static inline void tree_string(tree_t *tree, const char *name, const char *value)
{
    tree_must(fdt_property_string(tree->bytes, name, value));
}

static inline void tree_u32(tree_t *tree, const char *name, uint32_t value)
{
    tree_must(fdt_property_u32(tree->bytes, name, value));
}

static inline void tree_u64(tree_t *tree, const char *name, uint64_t value)
{
    tree_must(fdt_property_u64(tree->bytes, name, value));
}

/** A `reg` of one entry, with two cells each. */
static inline void tree_reg(tree_t *tree, uint64_t base, uint64_t size)
{
    fdt64_t reg[2] = {cpu_to_fdt64(base), cpu_to_fdt64(size)};
    tree_must(fdt_property(tree->bytes, "reg", reg, sizeof(reg)));
}

/** A whole node with a range. */
static inline void tree_range(tree_t *tree, const char *name, uint64_t base, uint64_t size,
                              const char *backing)
{
    tree_open(tree, name);
    tree_reg(tree, base, size);
    tree_string(tree, "guestmem,backing", backing);
    tree_close(tree);
}

/** End the tree. @return its size */
static inline size_t tree_end(tree_t *tree)
{
    tree_must(fdt_end_node(tree->bytes));
    tree_must(fdt_finish(tree->bytes));
    return fdt_totalsize(tree->bytes);
}
