/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* A linked list, as upstream keeps the reservations of an anonymous region. */

#include "candidate.h"
#include <stdlib.h>

typedef struct item {
    struct item *next;
    uintptr_t base, last;
    void *value;
} item_t;

static void *create(void)
{
    item_t **list = candidate_alloc(sizeof(item_t *));
    *list = NULL;
    return list;
}

static void insert(void *map, uintptr_t base, uintptr_t last, void *value)
{
    item_t **list = map;
    item_t *item = candidate_alloc(sizeof(*item));
    *item = (item_t){*list, base, last, value};
    *list = item;
}

static void remove_item(void *map, uintptr_t base)
{
    item_t **link = map;
    while (*link != NULL && (*link)->base != base) {
        link = &(*link)->next;
    }
    item_t *item = *link;
    if (item != NULL) {
        *link = item->next;
        free(item);
    }
}

static void *find(const void *map, uintptr_t address)
{
    for (const item_t *item = *(item_t *const *)map; item != NULL; item = item->next) {
        if (item->base <= address && address <= item->last) {
            return item->value;
        }
    }
    return NULL;
}

const candidate_t candidate_flat_list = {"linear list", 10000,       create, free,
                                         insert,        remove_item, find};
