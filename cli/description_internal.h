/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What the files of the description parser share. */

#include "description.h"

/** Deepest nesting of nodes that is accepted. */
#define VM_DESCRIPTION_MAX_DEPTH 32

/** A node that is being read, and the way up from it. */
typedef struct vm_node {
    const vm_description_t *description;
    const vm_system_t *system;    /* with all that is shared */
    const struct vm_node *parent; /* NULL for the root */
    int offset;                   /* in the tree */
    const char *name;
    int address_cells; /* for the children's `reg`; -1 if the property is malformed */
    int size_cells;
    cli_error_t *error;
} vm_node_t;

/**
 * Read a VM from a tree that is whole.
 *
 * @param dtb     becomes the description's, also on failure
 * @param name    the VM's node, or NULL; copied
 * @param system  what the VM may share
 * @return to be freed with vm_description_free(); NULL with an error
 */
vm_description_t *vm_description_read(void *dtb, const char *file, const char *name,
                                      const vm_system_t *system, cli_error_t *error);

/** Free a description. NULL is allowed. */
void vm_description_free(vm_description_t *description);

/** Describe what is wrong with a node: `file: node: property: reason`. @return -1 */
int vm_node_error(const vm_node_t *node, const char *property, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Refuse a node whose name cannot be printed, in maps. @return 0; -1 with an error */
int vm_node_name(const vm_node_t *node);

/** A node's path in the file, to be freed; NULL if memory is exhausted. */
char *vm_node_path(const vm_node_t *node);

/**
 * Read a property that is one printable string.
 *
 * @param value  receives the string (in the tree), or NULL if there is no such property
 * @return 0; -1 with an error if it is something else
 */
int vm_node_string(const vm_node_t *node, const char *property, const char **value);

/**
 * Read a property that is a list of printable strings, none empty.
 *
 * @param first  receives the first string (in the tree), the others follow it; NULL if there is no
 *               such property
 * @return how many there are; -1 with an error if it is something else
 */
int vm_node_strings(const vm_node_t *node, const char *property, const char **first);

/**
 * Read one of so many numbers, all of 32 or all of 64 bits, that a property is.
 *
 * @param present  receives whether there is such a property; `value` is written only then
 * @return 0; -1 with an error if it is something else
 */
int vm_node_number_at(const vm_node_t *node, const char *property, int index, int count,
                      uint64_t *value, bool *present);

/**
 * Read a property that is one number of 32 or 64 bits.
 *
 * @param present  receives whether there is such a property; `value` is written only then
 * @return 0; -1 with an error if it is something else
 */
int vm_node_number(const vm_node_t *node, const char *property, uint64_t *value, bool *present);

/** Whether a node is switched off, as the devicetree specification has it under "status". */
bool vm_node_is_off(const void *dtb, int offset);

/** Refuse a value of a property that is there or not. @return 0; -1 with an error */
int vm_node_flag(const vm_node_t *node, const char *property);

/** Whether the node has that property. */
bool vm_node_has(const vm_node_t *node, const char *property);

/**
 * How many entries the node's `reg` has.
 *
 * @return at least 1, or -1 with an error: no `reg`, cells that cannot be used, a wrong length
 */
int vm_node_reg_count(const vm_node_t *node);

/**
 * Read an entry of the node's `reg` as the range of GPAs that it is: through the `ranges` of all
 * buses above.
 *
 * @param index  less than vm_node_reg_count()
 * @return 0; -1 with an error if the size is 0, the range wraps, or a bus does not pass it on
 */
int vm_node_reg(const vm_node_t *node, int index, uint64_t *base, uint64_t *size);

/**
 * Append the files and trees of a node, which go into that range.
 *
 * @param index  of the range that the node's first entry is
 * @return 0; -1 with an error
 */
int vm_node_contents(const vm_node_t *node, vm_description_t *description, size_t index);

/**
 * Append the ranges that a node describes (none if it has no `guestmem,backing`), and their
 * contents.
 *
 * @return 0; -1 with an error
 */
int vm_node_ranges(const vm_node_t *node, vm_description_t *description);
