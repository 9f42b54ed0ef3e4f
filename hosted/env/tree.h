/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * An ordered set of nodes by a 64-bit key, embedded in what it holds. A treap whose priorities are
 * a hash of the keys: equal sets have equal shapes, and all operations are O(log n).
 */

#include <stdint.h>

typedef struct tree_node {
    uint64_t key;
    struct tree_node *left, *right;
} tree_node_t;

/** Add a node whose `key` is set and not in the tree yet. */
void tree_insert(tree_node_t **root, tree_node_t *node);

/** Take out a node that is in the tree. */
void tree_remove(tree_node_t **root, tree_node_t *node);

/** The node with the greatest key <= `key`, or NULL. */
tree_node_t *tree_floor(tree_node_t *root, uint64_t key);

/** The node with the smallest key, or NULL. */
tree_node_t *tree_first(tree_node_t *root);
