/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Branches and the index of them. Invariants: no branch is empty; two neighbours together have more
 * than RANGE_MAP_BRANCH leaves, or exactly that many of which one has a single one. The guide has
 * two parts a branch, and each part names a branch that starts at or below it; it is made anew with
 * each change of the number of branches, and may be behind otherwise, which costs only time.
 */

#include <string.h>
#include "range_map_parts.h"

static size_t index_bytes(size_t capacity)
{
    return capacity * (sizeof(range_map_slot_t) + sizeof(uintptr_t) + 2 * sizeof(uint32_t)) +
           RANGE_MAP_GUIDED * sizeof(uintptr_t);
}

static bool index_alloc(range_map_t *map, range_map_index_t *index, size_t capacity)
{
    range_map_slot_t *block = heap_alloc(map->heap, index_bytes(capacity));
    if (block == NULL) {
        return false;
    }
    uintptr_t *first = (uintptr_t *)(block + capacity);
    *index = (range_map_index_t){
        .first = first,
        .slots = block,
        .guide = (uint32_t *)(first + capacity + RANGE_MAP_GUIDED),
        .capacity = capacity,
    };
    return true;
}

/* Put an index with the same entries and room for all in the place of the map's. */
static void index_replace(range_map_t *map, const range_map_index_t *index)
{
    if (map->num_branches > 0) {
        memcpy(index->first, map->index.first, map->num_branches * sizeof(index->first[0]));
        memcpy(index->slots, map->index.slots, map->num_branches * sizeof(index->slots[0]));
    }
    heap_free(map->heap, map->index.slots, index_bytes(map->index.capacity));
    map->index = *index;
}

/* It depends on the number of branches alone, and is less than half too large. */
static size_t capacity_for(size_t num_branches)
{
    size_t capacity = 1;
    while (capacity < num_branches) {
        capacity += (capacity + 1) / 2;
    }
    return capacity;
}

/* Make the guide, and the keys behind the last branch's. */
static void make_guide(range_map_t *map)
{
    range_map_index_t *index = &map->index;
    size_t num_parts = 2 * index->capacity;
    for (size_t i = 0; i < RANGE_MAP_GUIDED; i++) {
        index->first[map->num_branches + i] = UINTPTR_MAX;
    }
    index->origin = index->first[0];
    index->part_bits = 0;
    uintptr_t span = index->first[map->num_branches - 1] - index->origin;
    while (span >> index->part_bits >= num_parts) {
        index->part_bits++;
    }
    /* How many branches but the first start in a part before: that is the last of them. */
    memset(index->guide, 0, num_parts * sizeof(index->guide[0]));
    for (size_t i = 1; i < map->num_branches; i++) {
        size_t part = (index->first[i] - index->origin) >> index->part_bits;
        if (part + 1 < num_parts) {
            index->guide[part + 1]++;
        }
    }
    for (size_t part = 1; part < num_parts; part++) {
        index->guide[part] += index->guide[part - 1];
    }
}

size_t range_map_search_index(const range_map_t *map, uintptr_t address)
{
    size_t low = 0;
    for (size_t count = map->num_branches; count > 1;) {
        size_t half = count / 2;
        low += map->index.first[low + half] <= address ? half : 0;
        count -= half;
    }
    return low;
}

/* The neighbour to which a full branch can give a leaf, or the branch itself. */
static size_t branch_with_room(const range_map_t *map, size_t branch)
{
    const range_map_slot_t *slot = &map->index.slots[branch];
    if (branch + 1 < map->num_branches && slot[1].num_leaves < RANGE_MAP_BRANCH) {
        return branch + 1;
    }
    return branch > 0 && slot[-1].num_leaves < RANGE_MAP_BRANCH ? branch - 1 : branch;
}

bool range_map_branch_has_room(const range_map_t *map, size_t branch)
{
    return map->index.slots[branch].num_leaves < RANGE_MAP_BRANCH ||
           branch_with_room(map, branch) != branch;
}

int range_map_prepare_branch(range_map_t *map)
{
    map->spare_branch = heap_alloc(map->heap, sizeof(*map->spare_branch));
    if (map->spare_branch == NULL ||
        (map->num_branches == map->index.capacity &&
         !index_alloc(map, &map->spare_index, capacity_for(map->num_branches + 1)))) {
        range_map_cancel_branch(map);
        return -1;
    }
    return 0;
}

void range_map_cancel_branch(range_map_t *map)
{
    heap_free(map->heap, map->spare_branch, sizeof(*map->spare_branch));
    heap_free(map->heap, map->spare_index.slots, index_bytes(map->spare_index.capacity));
    map->spare_branch = NULL;
    map->spare_index = (range_map_index_t){0};
}

/* Follow a change of a branch's leaves, of which it has lost the last `lost`. */
static void follow_leaves(range_map_t *map, size_t at, size_t lost)
{
    const range_map_slot_t *slot = &map->index.slots[at];
    for (size_t i = slot->num_leaves; i < slot->num_leaves + lost; i++) {
        slot->branch->first[i] = UINTPTR_MAX;
    }
    map->index.first[at] = slot->branch->first[0];
}

void range_map_add_branch(range_map_t *map, size_t at)
{
    if (map->spare_index.slots != NULL) {
        index_replace(map, &map->spare_index);
        map->spare_index = (range_map_index_t){0};
    }
    size_t behind = map->num_branches++ - at;
    uintptr_t *first = &map->index.first[at];
    range_map_slot_t *slot = &map->index.slots[at];
    memmove(first + 1, first, behind * sizeof(*first));
    memmove(slot + 1, slot, behind * sizeof(*slot));
    *slot = (range_map_slot_t){.branch = map->spare_branch};
    map->spare_branch = NULL;
    follow_leaves(map, at, RANGE_MAP_BRANCH);
}

/* Move `count` leaves from `source` of one branch to `target` of the same or another one. */
static void move_leaves(range_map_branch_t *to, size_t target, const range_map_branch_t *from,
                        size_t source, size_t count)
{
    memmove(&to->first[target], &from->first[source], count * sizeof(to->first[0]));
    memmove(&to->leaf[target], &from->leaf[source], count * sizeof(to->leaf[0]));
    memmove(&to->count[target], &from->count[source], count * sizeof(to->count[0]));
}

/* Move the last `count` leaves of a branch to the front of the next. */
static void move_up(range_map_t *map, size_t at, size_t count)
{
    range_map_slot_t *from = &map->index.slots[at];
    range_map_slot_t *to = from + 1;
    move_leaves(to->branch, count, to->branch, 0, to->num_leaves);
    from->num_leaves -= count;
    move_leaves(to->branch, 0, from->branch, from->num_leaves, count);
    to->num_leaves += count;
    range_map_note_gap(map, at + 1, from->gap);
    follow_leaves(map, at, count);
    follow_leaves(map, at + 1, 0);
}

/* Move the first `count` leaves of a branch to the end of the previous. */
static void move_down(range_map_t *map, size_t at, size_t count)
{
    range_map_slot_t *from = &map->index.slots[at];
    range_map_slot_t *to = from - 1;
    move_leaves(to->branch, to->num_leaves, from->branch, 0, count);
    to->num_leaves += count;
    from->num_leaves -= count;
    move_leaves(from->branch, 0, from->branch, count, from->num_leaves);
    range_map_note_gap(map, at - 1, from->gap);
    follow_leaves(map, at, count);
}

void range_map_make_room(range_map_t *map, size_t branch)
{
    size_t neighbour = branch_with_room(map, branch);
    if (neighbour < branch) {
        move_down(map, branch, 1);
    } else if (neighbour > branch) {
        move_up(map, branch, 1);
    } else {
        range_map_add_branch(map, branch + 1);
        move_up(map, branch, RANGE_MAP_BRANCH / 2);
        make_guide(map);
    }
}

void range_map_add_leaf(range_map_t *map, range_map_place_t at)
{
    range_map_slot_t *slot = &map->index.slots[at.branch];
    range_map_branch_t *branch = slot->branch;
    move_leaves(branch, at.leaf + 1, branch, at.leaf, slot->num_leaves - at.leaf);
    slot->num_leaves++;
    branch->leaf[at.leaf] = map->spare_leaf;
    branch->count[at.leaf] = 0;
    map->spare_leaf = NULL;
    for (size_t i = 0; i < RANGE_MAP_LEAF; i++) {
        branch->leaf[at.leaf]->base[i] = UINTPTR_MAX;
    }
    range_map_follow_first(map, at);
}

/* Remove a branch that has no leaves. */
static void remove_branch(range_map_t *map, size_t at)
{
    uintptr_t *first = &map->index.first[at];
    range_map_slot_t *slot = &map->index.slots[at];
    heap_free(map->heap, slot->branch, sizeof(*slot->branch));
    map->num_branches--;
    memmove(first, first + 1, (map->num_branches - at) * sizeof(*first));
    memmove(slot, slot + 1, (map->num_branches - at) * sizeof(*slot));
    size_t capacity = capacity_for(map->num_branches);
    range_map_index_t smaller;
    /* If there is no heap for the smaller index, the larger one serves as well. */
    if (capacity != map->index.capacity && index_alloc(map, &smaller, capacity)) {
        index_replace(map, &smaller);
    }
    make_guide(map);
}

/* Merge a branch with the next, if there is one and the invariant asks for it. */
static bool merge_with_next(range_map_t *map, size_t at)
{
    if (at + 1 >= map->num_branches) {
        return false;
    }
    const range_map_slot_t *slot = &map->index.slots[at];
    size_t sum = slot[0].num_leaves + slot[1].num_leaves;
    bool one_is_single = slot[0].num_leaves == 1 || slot[1].num_leaves == 1;
    if (sum > RANGE_MAP_BRANCH || (sum == RANGE_MAP_BRANCH && one_is_single)) {
        return false;
    }
    move_down(map, at + 1, slot[1].num_leaves);
    remove_branch(map, at + 1);
    return true;
}

static void free_leaf(range_map_t *map, range_map_leaf_t *leaf)
{
    heap_free(map->heap, leaf, sizeof(*leaf) + RANGE_MAP_LEAF * map->item_bytes);
}

void range_map_drop_leaf(range_map_t *map, range_map_place_t at)
{
    range_map_slot_t *slot = &map->index.slots[at.branch];
    free_leaf(map, slot->branch->leaf[at.leaf]);
    slot->num_leaves--;
    move_leaves(slot->branch, at.leaf, slot->branch, at.leaf + 1, slot->num_leaves - at.leaf);
    follow_leaves(map, at.branch, 1);
    if (slot->num_leaves == 0) {
        remove_branch(map, at.branch); /* its neighbours have RANGE_MAP_BRANCH - 1 or more each */
    } else if (!merge_with_next(map, at.branch) && at.branch > 0) {
        (void)merge_with_next(map, at.branch - 1);
    }
}

void range_map_free_branches(range_map_t *map)
{
    for (size_t i = 0; i < map->num_branches; i++) {
        range_map_branch_t *branch = map->index.slots[i].branch;
        for (size_t leaf = 0; leaf < map->index.slots[i].num_leaves; leaf++) {
            free_leaf(map, branch->leaf[leaf]);
        }
        heap_free(map->heap, branch, sizeof(*branch));
    }
    heap_free(map->heap, map->index.slots, index_bytes(map->index.capacity));
}
