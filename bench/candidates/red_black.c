/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The red-black tree of a well-known library: what most VMMs use for their devices. */

#include "candidate.h"
#include <bsd/sys/tree.h>
#include <stdlib.h>

typedef struct node {
    RB_ENTRY(node) entry;
    uintptr_t base, last;
    void *value;
} node_t;

static int compare(const node_t *a, const node_t *b)
{
    return a->base > b->last ? 1 : a->last < b->base ? -1 : 0;
}

RB_HEAD(nodes, node);
RB_GENERATE(nodes, node, entry, compare)

static void *create(void)
{
    struct nodes *nodes = candidate_alloc(sizeof(*nodes));
    RB_INIT(nodes);
    return nodes;
}

static void insert(void *map, uintptr_t base, uintptr_t last, void *value)
{
    node_t *node = candidate_alloc(sizeof(*node));
    *node = (node_t){.base = base, .last = last, .value = value};
    RB_INSERT(nodes, map, node);
}

static node_t *node_at(const void *map, uintptr_t address)
{
    node_t key = {.base = address, .last = address};
    return RB_FIND(nodes, (struct nodes *)map, &key);
}

static void remove_node(void *map, uintptr_t base)
{
    node_t *node = node_at(map, base);
    if (node != NULL) {
        RB_REMOVE(nodes, map, node);
        free(node);
    }
}

static void *find(const void *map, uintptr_t address)
{
    const node_t *node = node_at(map, address);
    return node != NULL ? node->value : NULL;
}

const candidate_t candidate_red_black = {"red-black tree", 1000000,     create, free,
                                         insert,           remove_node, find};
