/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The parts of a range map, for its own files and for fault dispatch, which has its look-up inline:
 * leaves hold the ranges, branches the leaves, and an index the branches. range_map.c says what
 * holds of them.
 *
 * Searching is free of branches that depend on the data, so that the processor need not guess and
 * can begin the next search before this one's memory has arrived: how many instructions it takes
 * matters as much as how many lines it reads. Unused keys are UINTPTR_MAX, so that counts are not
 * needed for it.
 */

#include "range_map.h"

#define RANGE_MAP_LINE   8  /* keys in a cache line */
#define RANGE_MAP_LEAF   8  /* ranges in a leaf at most */
#define RANGE_MAP_BRANCH 32 /* leaves in a branch at most */
#define RANGE_MAP_GUIDED 3  /* branches that are looked at behind the one that the guide gives */

struct range_map_leaf {
    uintptr_t base[RANGE_MAP_LEAF]; /* UINTPTR_MAX behind the last */
    char items[];
};

struct range_map_branch {
    uintptr_t first[RANGE_MAP_BRANCH]; /* address of each leaf's first range; then UINTPTR_MAX */
    range_map_leaf_t *leaf[RANGE_MAP_BRANCH];
    uint8_t count[RANGE_MAP_BRANCH]; /* ranges of each leaf */
};

struct range_map_slot {
    range_map_branch_t *branch;
    size_t num_leaves;
    uintptr_t gap; /* no gap behind a range of the branch is larger; may be more than there is */
};

/** What keys and items are moved by. */
typedef uintptr_t __attribute__((may_alias)) range_map_word_t;

/** The last branch that starts at or below `address`, or the first. There is one. */
size_t range_map_search_index(const range_map_t *map, uintptr_t address) __attribute__((cold));

/** Whether a leaf can be added to a branch without a spare one. */
bool range_map_branch_has_room(const range_map_t *map, size_t branch);

/** Get the spare branch, and the spare index if it needs one. @return 0, or -1 */
int range_map_prepare_branch(range_map_t *map);

/** Give back the spare branch and index. */
void range_map_cancel_branch(range_map_t *map);

/** Put the spare branch into the index, without leaves; the guide is the first branch alone. */
void range_map_add_branch(range_map_t *map, size_t at);

/** Make room in a full branch: by a neighbour that has some, or by the spare branch. Leaves move.
 */
void range_map_make_room(range_map_t *map, size_t branch);

/** Put the spare leaf, empty, into a branch that has room. */
void range_map_add_leaf(range_map_t *map, range_map_place_t at);

/** Free a leaf, and merge its branch with others as they permit. Leaves move. */
void range_map_drop_leaf(range_map_t *map, range_map_place_t at);

/** Free all branches and the index, and the leaves. */
void range_map_free_branches(range_map_t *map);

/** Take over the first address of a leaf that changed. */
static inline void range_map_follow_first(range_map_t *map, range_map_place_t at)
{
    range_map_branch_t *branch = map->index.slots[at.branch].branch;
    branch->first[at.leaf] = branch->leaf[at.leaf]->base[0];
    if (at.leaf == 0) {
        map->index.first[at.branch] = branch->first[0];
    }
}

/** Note that a branch has a gap of that size. */
static inline void range_map_note_gap(const range_map_t *map, size_t branch, uintptr_t size)
{
    uintptr_t *gap = &map->index.slots[branch].gap;
    *gap = *gap > size ? *gap : size;
}

/** The ranges of a leaf. */
static inline size_t range_map_count(const range_map_t *map, range_map_place_t at)
{
    return map->index.slots[at.branch].branch->count[at.leaf];
}

static inline range_map_leaf_t *range_map_leaf(const range_map_t *map, range_map_place_t at)
{
    return map->index.slots[at.branch].branch->leaf[at.leaf];
}

static inline range_map_item_t *range_map_item_at(const range_map_t *map, range_map_leaf_t *leaf,
                                                  size_t at)
{
    return (range_map_item_t *)(void *)&leaf->items[at * map->item_bytes];
}

/** Go to the next leaf. @return whether there is one */
static inline bool range_map_step_up(const range_map_t *map, range_map_place_t *at)
{
    if (at->leaf + 1 < map->index.slots[at->branch].num_leaves) {
        at->leaf++;
        return true;
    }
    if (at->branch + 1 == map->num_branches) {
        return false;
    }
    *at = (range_map_place_t){at->branch + 1, 0};
    return true;
}

/** Go to the previous leaf. @return whether there is one */
static inline bool range_map_step_down(const range_map_t *map, range_map_place_t *at)
{
    if (at->leaf > 0) {
        at->leaf--;
        return true;
    }
    if (at->branch == 0) {
        return false;
    }
    *at = (range_map_place_t){at->branch - 1, map->index.slots[at->branch - 1].num_leaves - 1};
    return true;
}

/** How many keys of a line, but for the first, are at or below `address`. */
static inline size_t range_map_line_up_to(const uintptr_t *line, uintptr_t address)
{
    size_t found = 0;
    for (size_t i = 1; i < RANGE_MAP_LINE; i++) {
        found += line[i] <= address;
    }
    return found;
}

/** As range_map_search_index(). The guide is only believed where the keys agree with it. */
static inline size_t range_map_find_branch(const range_map_t *map, uintptr_t address)
{
    const range_map_index_t *index = &map->index;
    if (map->num_branches == 1) {
        return 0;
    }
    size_t part = (address - index->origin) >> index->part_bits;
    size_t last_part = 2 * index->capacity - 1;
    size_t at = index->guide[part < last_part ? part : last_part];
    const uintptr_t *first = &index->first[at];
    size_t found = 0;
    for (size_t i = 1; i <= RANGE_MAP_GUIDED; i++) {
        found += first[i] <= address;
    }
    if (first[0] > address || found == RANGE_MAP_GUIDED) {
        return range_map_search_index(map, address);
    }
    return at + found;
}

/** The last leaf of a branch that starts at or below `address`, or the first. */
static inline size_t range_map_leaf_in(const range_map_slot_t *slot, uintptr_t address)
{
    const uintptr_t *first = slot->branch->first;
    size_t leaf = 0;
    for (size_t i = RANGE_MAP_LINE; i < RANGE_MAP_BRANCH; i += RANGE_MAP_LINE) {
        leaf += first[i] <= address;
    }
    leaf *= RANGE_MAP_LINE;
    leaf += range_map_line_up_to(&first[leaf], address);
    return leaf < slot->num_leaves ? leaf : slot->num_leaves - 1;
}

/** The last leaf that starts at or below `address`, or the first. There is one. */
static inline range_map_place_t range_map_find_leaf(const range_map_t *map, uintptr_t address)
{
    size_t branch = range_map_find_branch(map, address);
    return (range_map_place_t){branch, range_map_leaf_in(&map->index.slots[branch], address)};
}

/** Ask for all lines of a leaf at the same time: which of them is needed shows in the first. */
static inline void range_map_fetch_leaf(const range_map_leaf_t *leaf, size_t item_bytes)
{
    for (size_t at = 0; at < RANGE_MAP_LEAF * item_bytes; at += 64) {
        __builtin_prefetch(&leaf->items[at]);
    }
}

/** As range_map_item(), inline, for an owner that knows the size of its items. */
static inline range_map_item_t *range_map_find_item(const range_map_t *map, uintptr_t address,
                                                    size_t item_bytes)
{
    if (map->num_branches == 0) {
        return NULL;
    }
    range_map_place_t at = range_map_find_leaf(map, address);
    range_map_leaf_t *leaf = range_map_leaf(map, at);
    range_map_fetch_leaf(leaf, item_bytes);
    size_t i = range_map_line_up_to(leaf->base, address);
    if (__builtin_expect(address == UINTPTR_MAX, 0)) {
        i = range_map_count(map, at) - 1;
    }
    return leaf->base[i] <= address ? (range_map_item_t *)(void *)&leaf->items[i * item_bytes]
                                    : NULL;
}
