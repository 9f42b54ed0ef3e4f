/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Just enough of a flattened device tree reader for the guest: find a node, read its reg. */

#include <stdbool.h>
#include <stdint.h>

typedef struct fdt_range {
    uint64_t base;
    uint64_t size;
} fdt_range_t;

/**
 * Find a child of the root whose name is `name`, or begins with `name@`, and read the first entry
 * of its `reg` (two cells of address and two of size, as the root of our tree says).
 *
 * @param tree  the flattened tree
 * @return whether there is such a node with a `reg`
 */
bool fdt_find(const void *tree, const char *name, fdt_range_t *range);

/** Whether a string occurs in the tree's names of properties. */
bool fdt_has_property_name(const void *tree, const char *prefix);
