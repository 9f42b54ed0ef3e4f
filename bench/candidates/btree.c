/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A B+-tree whose nodes' keys fill two cache lines. Keys are the ranges' bases; an inner node has
 * the lowest key below each child. A full node is split on the way down; a node that becomes empty
 * is freed, and a root with one child goes: removal does not merge, which only makes it faster.
 */

#include "candidate.h"
#include <stdlib.h>
#include <string.h>

#define KEYS 16

typedef struct node {
    uintptr_t key[KEYS];
    void *child[KEYS];    /* nodes, or values in a leaf */
    uintptr_t last[KEYS]; /* in a leaf */
    size_t count;
} node_t;

typedef struct tree {
    node_t *root;
    size_t height; /* inner levels above the leaves */
} tree_t;

static node_t *new_node(void)
{
    node_t *node = aligned_alloc(64, (sizeof(node_t) + 63) / 64 * 64);
    if (node == NULL) {
        abort();
    }
    node->count = 0;
    return node;
}

static void *create(void)
{
    tree_t *tree = candidate_alloc(sizeof(*tree));
    *tree = (tree_t){new_node(), 0};
    return tree;
}

static void destroy(void *map)
{
    tree_t *tree = map;
    free(tree->root);
    free(tree);
}

/* How many keys are at or below `address`, without branches that depend on them. */
static inline size_t count_up_to(const node_t *node, uintptr_t address)
{
    size_t low = 0;
    for (size_t count = node->count; count > 0;) {
        size_t half = (count + 1) / 2;
        low += half & -(size_t)(node->key[low + half - 1] <= address);
        count = count == 1 ? 0 : count - half;
    }
    return low;
}

static inline size_t child_of(const node_t *node, uintptr_t address)
{
    size_t count = count_up_to(node, address);
    return count - (count > 0);
}

static void make_gap(node_t *node, size_t at)
{
    size_t behind = node->count - at;
    memmove(&node->key[at + 1], &node->key[at], behind * sizeof(node->key[0]));
    memmove(&node->child[at + 1], &node->child[at], behind * sizeof(node->child[0]));
    memmove(&node->last[at + 1], &node->last[at], behind * sizeof(node->last[0]));
    node->count++;
}

static void close_gap(node_t *node, size_t at)
{
    node->count--;
    size_t behind = node->count - at;
    memmove(&node->key[at], &node->key[at + 1], behind * sizeof(node->key[0]));
    memmove(&node->child[at], &node->child[at + 1], behind * sizeof(node->child[0]));
    memmove(&node->last[at], &node->last[at + 1], behind * sizeof(node->last[0]));
}

/* Split child `at` of a node that has room. */
static void split_child(node_t *parent, size_t at)
{
    node_t *lower = parent->child[at];
    node_t *upper = new_node();
    size_t half = KEYS / 2;
    upper->count = KEYS - half;
    lower->count = half;
    memcpy(upper->key, &lower->key[half], upper->count * sizeof(upper->key[0]));
    memcpy(upper->child, &lower->child[half], upper->count * sizeof(upper->child[0]));
    memcpy(upper->last, &lower->last[half], upper->count * sizeof(upper->last[0]));
    make_gap(parent, at + 1);
    parent->key[at + 1] = upper->key[0];
    parent->child[at + 1] = upper;
}

static void insert(void *map, uintptr_t base, uintptr_t last, void *value)
{
    tree_t *tree = map;
    if (tree->root->count == KEYS) {
        node_t *root = new_node();
        root->count = 1;
        root->key[0] = tree->root->key[0];
        root->child[0] = tree->root;
        tree->root = root;
        tree->height++;
        split_child(root, 0);
    }
    node_t *node = tree->root;
    for (size_t level = tree->height; level > 0; level--) {
        size_t at = child_of(node, base);
        if (((node_t *)node->child[at])->count == KEYS) {
            split_child(node, at);
            at = child_of(node, base);
        }
        node->key[at] = base < node->key[at] ? base : node->key[at];
        node = node->child[at];
    }
    size_t at = count_up_to(node, base);
    make_gap(node, at);
    node->key[at] = base;
    node->last[at] = last;
    node->child[at] = value;
}

/* Remove from below a node. @return whether it is empty now */
static bool remove_below(node_t *node, size_t level, uintptr_t base)
{
    size_t at = child_of(node, base);
    if (level > 0) {
        node_t *child = node->child[at];
        if (!remove_below(child, level - 1, base)) {
            return false;
        }
        free(child);
        close_gap(node, at);
    } else if (node->count > 0 && node->key[at] == base) {
        close_gap(node, at);
    }
    return node->count == 0;
}

static void remove_range(void *map, uintptr_t base)
{
    tree_t *tree = map;
    (void)remove_below(tree->root, tree->height, base);
    while (tree->height > 0 && tree->root->count <= 1) {
        node_t *root = tree->root;
        if (root->count == 0) {
            tree->height = 0;
            return;
        }
        tree->root = root->child[0];
        tree->height--;
        free(root);
    }
}

static void *find(const void *map, uintptr_t address)
{
    const tree_t *tree = map;
    const node_t *node = tree->root;
    for (size_t level = tree->height; level > 0; level--) {
        node = node->child[child_of(node, address)];
    }
    size_t count = count_up_to(node, address);
    return count > 0 && node->last[count - 1] >= address ? node->child[count - 1] : NULL;
}

const candidate_t candidate_btree = {"B+-tree", 1000000,      create, destroy,
                                     insert,    remove_range, find};
