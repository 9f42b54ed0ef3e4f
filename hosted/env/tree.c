/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See tree.h. Insertion and removal walk down from the root; nothing needs parent pointers. */

#include "tree.h"

#include <stddef.h>

static uint64_t priority(const tree_node_t *node)
{
    uint64_t hash = node->key * 0x9e3779b97f4a7c15ul;
    hash ^= hash >> 29;
    return hash * 0xbf58476d1ce4e5b9ul;
}

/* Split by key: what is smaller goes to *left, the rest to *right. */
static void split(tree_node_t *root, uint64_t key, tree_node_t **left, tree_node_t **right)
{
    while (root) {
        if (root->key < key) {
            *left = root;
            left = &root->right;
            root = root->right;
        } else {
            *right = root;
            right = &root->left;
            root = root->left;
        }
    }
    *left = *right = NULL;
}

void tree_insert(tree_node_t **root, tree_node_t *node)
{
    uint64_t own = priority(node);
    while (*root && priority(*root) >= own) {
        root = node->key < (*root)->key ? &(*root)->left : &(*root)->right;
    }
    split(*root, node->key, &node->left, &node->right);
    *root = node;
}

void tree_remove(tree_node_t **root, tree_node_t *node)
{
    while (*root != node) {
        root = node->key < (*root)->key ? &(*root)->left : &(*root)->right;
    }
    tree_node_t *left = node->left, *right = node->right;
    while (left && right) {
        if (priority(left) >= priority(right)) {
            *root = left;
            root = &left->right;
            left = left->right;
        } else {
            *root = right;
            root = &right->left;
            right = right->left;
        }
    }
    *root = left ? left : right;
}

tree_node_t *tree_floor(tree_node_t *root, uint64_t key)
{
    tree_node_t *best = NULL;
    while (root) {
        if (root->key <= key) {
            best = root;
            root = root->right;
        } else {
            root = root->left;
        }
    }
    return best;
}

tree_node_t *tree_first(tree_node_t *root)
{
    while (root && root->left) {
        root = root->left;
    }
    return root;
}
