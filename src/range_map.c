/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Three levels: leaves of up to RANGE_MAP_LEAF ranges with their items; branches of up to
 * RANGE_MAP_BRANCH leaves; a sorted array of branches, into which a guide leads. A full leaf gives
 * a range to a neighbour with room, and is split in halves if neither has any. Neighbours are those
 * by address, in whatever branch. bench/ measures this against other maps.
 *
 * Invariants: no leaf is empty; two neighbours together hold more than RANGE_MAP_LEAF ranges, or
 * exactly that many of which one holds a single one. A removal that would break this merges them.
 * So removing a range right after its insert ends the leaf that the insert made, if it made one: a
 * split is of a leaf between full ones, and its halves fit in one again; giving a range away leaves
 * at least 1 and RANGE_MAP_LEAF - 1. The same holds of branches and their leaves, see
 * range_map_index.c: a branch that was split for the new leaf merges again when that leaf ends.
 */

#include "range_map.h"
#include <string.h>
#include "range_map_parts.h"

void range_map_init_items(range_map_t *map, heap_t *heap, size_t item_bytes)
{
    *map = (range_map_t){.heap = heap, .item_bytes = item_bytes};
}

void range_map_init(range_map_t *map, heap_t *heap)
{
    range_map_init_items(map, heap, sizeof(range_map_item_t));
}

static size_t leaf_bytes(const range_map_t *map)
{
    return sizeof(range_map_leaf_t) + RANGE_MAP_LEAF * map->item_bytes;
}

void range_map_destroy(range_map_t *map)
{
    range_map_cancel(map);
    range_map_free_branches(map);
    range_map_init_items(map, map->heap, map->item_bytes);
}

/* How many ranges of a leaf start at or below `address`. */
static inline size_t count_up_to(const range_map_t *map, range_map_place_t at, uintptr_t address)
{
    const range_map_leaf_t *leaf = range_map_leaf(map, at);
    size_t count = range_map_count(map, at);
    size_t found = 0;
    for (size_t i = 0; i < RANGE_MAP_LEAF; i++) {
        found += leaf->base[i] <= address;
    }
    return found < count ? found : count;
}

/* Where a full leaf finds room for one of its ranges. */
static bool neighbour_with_room(const range_map_t *map, range_map_place_t at,
                                range_map_place_t *neighbour)
{
    *neighbour = at;
    if (range_map_step_up(map, neighbour) && range_map_count(map, *neighbour) < RANGE_MAP_LEAF) {
        return true;
    }
    *neighbour = at;
    return range_map_step_down(map, neighbour) && range_map_count(map, *neighbour) < RANGE_MAP_LEAF;
}

range_map_place_t range_map_place(const range_map_t *map, uintptr_t address)
{
    if (map->num_branches == 0) {
        return (range_map_place_t){0, 0};
    }
    range_map_place_t at = range_map_find_leaf(map, address);
    const range_map_leaf_t *leaf = range_map_leaf(map, at);
    __builtin_prefetch(leaf);
    range_map_fetch_leaf(leaf, map->item_bytes);
    return at;
}

int range_map_prepare_at(range_map_t *map, range_map_place_t at)
{
    bool needs_branch = map->num_branches == 0;
    map->prepared = at;
    if (map->num_branches > 0) {
        range_map_place_t neighbour;
        if (range_map_count(map, at) < RANGE_MAP_LEAF || neighbour_with_room(map, at, &neighbour)) {
            return 0;
        }
        needs_branch = !range_map_branch_has_room(map, at.branch);
    }
    map->spare_leaf = heap_alloc_any(map->heap, leaf_bytes(map));
    if (map->spare_leaf == NULL || (needs_branch && range_map_prepare_branch(map) != 0)) {
        range_map_cancel(map);
        return -1;
    }
    return 0;
}

int range_map_prepare(range_map_t *map, uintptr_t base)
{
    return range_map_prepare_at(map, range_map_place(map, base));
}

void range_map_cancel(range_map_t *map)
{
    heap_free(map->heap, map->spare_leaf, leaf_bytes(map));
    map->spare_leaf = NULL;
    range_map_cancel_branch(map);
}

/* As memmove(), of words and inline: there are few, and a call would cost more. Two at a time. */
static inline void move_words(range_map_word_t *to, const range_map_word_t *from, size_t count)
{
    range_map_word_t low, high;
    if (to < from) {
        size_t i = 0;
        for (; i + 1 < count; i += 2) {
            low = from[i];
            high = from[i + 1];
            to[i] = low;
            to[i + 1] = high;
        }
        if (i < count) {
            to[i] = from[i];
        }
        return;
    }
    if (count % 2 != 0) {
        count--;
        to[count] = from[count];
    }
    while (count > 0) {
        count -= 2;
        low = from[count];
        high = from[count + 1];
        to[count] = low;
        to[count + 1] = high;
    }
}

static inline void move_items(const range_map_t *map, range_map_leaf_t *to, size_t target,
                              range_map_leaf_t *from, size_t source, size_t count)
{
    move_words((range_map_word_t *)range_map_item_at(map, to, target),
               (range_map_word_t *)range_map_item_at(map, from, source),
               count * (map->item_bytes / sizeof(range_map_word_t)));
}

/* Move `count` ranges from `source` of one leaf to `target` of the same or another one. */
static void move_ranges(const range_map_t *map, range_map_leaf_t *to, size_t target,
                        range_map_leaf_t *from, size_t source, size_t count)
{
    move_words((range_map_word_t *)&to->base[target], (range_map_word_t *)&from->base[source],
               count);
    move_items(map, to, target, from, source, count);
}

/* Make room for a range in front of the last `behind` ones of a leaf. */
static void open_gap(const range_map_t *map, range_map_leaf_t *leaf, size_t at, size_t behind)
{
    for (size_t i = RANGE_MAP_LEAF - 1; i > 0; i--) {
        leaf->base[i] = leaf->base[i - (i > at)];
    }
    move_items(map, leaf, at + 1, leaf, at, behind);
}

/* Close the gap that a range has left in front of the last `behind` ones of a leaf. */
static void close_gap(const range_map_t *map, range_map_leaf_t *leaf, size_t at, size_t behind)
{
    for (size_t i = 0; i < RANGE_MAP_LEAF - 1; i++) {
        leaf->base[i] = leaf->base[i + (i >= at)];
    }
    leaf->base[RANGE_MAP_LEAF - 1] = UINTPTR_MAX;
    move_items(map, leaf, at, leaf, at + 1, behind);
}

/* Set the number of a leaf's ranges, which have been moved already. */
static void set_count(range_map_t *map, range_map_place_t at, size_t count)
{
    range_map_branch_t *branch = map->index.slots[at.branch].branch;
    range_map_leaf_t *leaf = branch->leaf[at.leaf];
    for (size_t i = count; i < branch->count[at.leaf]; i++) {
        leaf->base[i] = UINTPTR_MAX;
    }
    branch->count[at.leaf] = (uint8_t)count;
    range_map_follow_first(map, at);
}

/* Move the last `count` ranges of a leaf to the front of the next, `to`. */
static void move_up(range_map_t *map, range_map_place_t from, range_map_place_t to, size_t count)
{
    range_map_leaf_t *leaf = range_map_leaf(map, to);
    size_t left = range_map_count(map, from) - count;
    move_ranges(map, leaf, count, leaf, 0, range_map_count(map, to));
    move_ranges(map, leaf, 0, range_map_leaf(map, from), left, count);
    set_count(map, from, left);
    set_count(map, to, range_map_count(map, to) + count);
    range_map_note_gap(map, to.branch, map->index.slots[from.branch].gap);
}

/* Move the first `count` ranges of a leaf to the end of the previous, `to`. */
static void move_down(range_map_t *map, range_map_place_t from, range_map_place_t to, size_t count)
{
    range_map_leaf_t *leaf = range_map_leaf(map, from);
    size_t left = range_map_count(map, from) - count;
    move_ranges(map, range_map_leaf(map, to), range_map_count(map, to), leaf, 0, count);
    move_ranges(map, leaf, 0, leaf, count, left);
    set_count(map, from, left);
    set_count(map, to, range_map_count(map, to) + count);
    range_map_note_gap(map, to.branch, map->index.slots[from.branch].gap);
}

static bool is_full(const range_map_t *map, size_t branch)
{
    return map->index.slots[branch].num_leaves == RANGE_MAP_BRANCH;
}

/* Whether the leaf behind `at` can be the first of the next branch. */
static bool next_can_begin(const range_map_t *map, range_map_place_t at)
{
    return at.leaf + 1 == map->index.slots[at.branch].num_leaves &&
           at.branch + 1 < map->num_branches && !is_full(map, at.branch + 1);
}

/* Split a full leaf. @return the half that a range which starts at `base` goes to */
static range_map_place_t split(range_map_t *map, range_map_place_t at, uintptr_t base)
{
    if (is_full(map, at.branch) && !next_can_begin(map, at)) {
        range_map_make_room(map, at.branch);
        at = range_map_find_leaf(map, base);
    }
    /* Making room may have moved the leaf itself, to the last place of a branch. */
    range_map_place_t upper = is_full(map, at.branch) ? (range_map_place_t){at.branch + 1, 0}
                                                      : (range_map_place_t){at.branch, at.leaf + 1};
    bool in_front = range_map_leaf(map, at)->base[RANGE_MAP_LEAF - 1] < base;
    bool is_last =
        at.branch + 1 == map->num_branches && at.leaf + 1 == map->index.slots[at.branch].num_leaves;
    range_map_add_leaf(map, upper);
    if (in_front && is_last) {
        return upper; /* ranges that come in ascending order fill their leaves */
    }
    move_up(map, at, upper, RANGE_MAP_LEAF / 2);
    return range_map_leaf(map, upper)->base[0] <= base ? upper : at;
}

/* The leaf that a range which starts at `base` goes to, with room in it: range_map_prepare() has
 * foreseen what is needed. */
static range_map_place_t leaf_for(range_map_t *map, uintptr_t base)
{
    if (map->num_branches == 0) {
        range_map_add_branch(map, 0);
        range_map_add_leaf(map, (range_map_place_t){0, 0});
        return (range_map_place_t){0, 0};
    }
    range_map_place_t at = map->prepared;
    range_map_place_t neighbour;
    if (range_map_count(map, at) < RANGE_MAP_LEAF) {
        return at;
    }
    if (!neighbour_with_room(map, at, &neighbour)) {
        return split(map, at, base);
    }
    bool is_below =
        neighbour.branch < at.branch || (neighbour.branch == at.branch && neighbour.leaf < at.leaf);
    if (is_below) {
        move_down(map, at, neighbour, 1);
    } else if (range_map_leaf(map, at)->base[RANGE_MAP_LEAF - 1] < base) {
        return neighbour; /* in front of all that is there */
    } else {
        move_up(map, at, neighbour, 1);
    }
    return at;
}

/* The last address that is free behind range `i` of a leaf, or that range's own last. */
static uintptr_t gap_last(const range_map_t *map, range_map_place_t at, size_t i)
{
    if (i + 1 < range_map_count(map, at)) {
        return range_map_leaf(map, at)->base[i + 1] - 1;
    }
    /* The next leaf's branch knows its first address, so the leaf need not be read. */
    return range_map_step_up(map, &at) ? map->index.slots[at.branch].branch->first[at.leaf] - 1
                                       : UINTPTR_MAX;
}

range_map_item_t *range_map_insert(range_map_t *map, uintptr_t base, uintptr_t last, void *value)
{
    range_map_place_t at = leaf_for(map, base);
    range_map_leaf_t *leaf = range_map_leaf(map, at);
    size_t count = range_map_count(map, at);
    size_t i = count_up_to(map, at, base);

    open_gap(map, leaf, i, count - i);
    range_map_item_t *item = range_map_item_at(map, leaf, i);
    *item = (range_map_item_t){last, value};
    leaf->base[i] = base;
    set_count(map, at, count + 1);
    map->num_ranges++;
    range_map_note_gap(map, at.branch, gap_last(map, at, i) - last);
    return item;
}

/* Whether the invariant asks for neighbours with so many ranges to be merged. */
static bool must_merge(size_t count, size_t other)
{
    bool one_is_single = count == 1 || other == 1;
    return count + other < RANGE_MAP_LEAF || (count + other == RANGE_MAP_LEAF && !one_is_single);
}

/* Merge a leaf, which will have `count` ranges, with a neighbour that must be: find the lower of
 * the two, and ask for the neighbour's memory. @return whether there is one */
static bool find_merge(const range_map_t *map, range_map_place_t at, size_t count,
                       range_map_place_t *lower)
{
    range_map_place_t other = *lower = at;
    if (!range_map_step_up(map, &other) || !must_merge(count, range_map_count(map, other))) {
        other = at;
        if (!range_map_step_down(map, &other) || !must_merge(count, range_map_count(map, other))) {
            return false;
        }
        *lower = other;
    }
    range_map_fetch_leaf(range_map_leaf(map, other), map->item_bytes);
    return true;
}

/* Merge a leaf with the next. */
static void merge_with_next(range_map_t *map, range_map_place_t at)
{
    range_map_place_t next = at;
    (void)range_map_step_up(map, &next);
    move_down(map, next, at, range_map_count(map, next));
    range_map_drop_leaf(map, next);
}

/* Note the gap that removing range `i` of a leaf leaves behind the one before. */
static void note_removal(const range_map_t *map, range_map_place_t at, size_t i)
{
    uintptr_t end = gap_last(map, at, i);
    if (i == 0) {
        if (!range_map_step_down(map, &at)) {
            return;
        }
        i = range_map_count(map, at);
    }
    uintptr_t last = range_map_item_at(map, range_map_leaf(map, at), i - 1)->last;
    range_map_note_gap(map, at.branch, end - last);
}

bool range_map_remove_at(range_map_t *map, range_map_place_t at, uintptr_t base)
{
    if (map->num_branches == 0) {
        return false;
    }
    range_map_leaf_t *leaf = range_map_leaf(map, at);
    size_t left = range_map_count(map, at) - 1;
    range_map_place_t lower = at;
    bool merge = left > 0 && find_merge(map, at, left, &lower);
    size_t behind = count_up_to(map, at, base);
    if (behind == 0 || leaf->base[behind - 1] != base) {
        return false;
    }
    if (map->num_ranges == 1) {
        range_map_destroy(map);
        return true;
    }
    note_removal(map, at, behind - 1);
    map->num_ranges--;
    close_gap(map, leaf, behind - 1, left + 1 - behind);
    set_count(map, at, left);
    if (left == 0) {
        range_map_drop_leaf(map, at); /* its neighbours hold RANGE_MAP_LEAF - 1 or more each */
    } else if (merge) {
        merge_with_next(map, lower);
    }
    return true;
}

bool range_map_remove(range_map_t *map, uintptr_t base)
{
    return range_map_remove_at(map, range_map_place(map, base), base);
}

range_map_item_t *range_map_item(const range_map_t *map, uintptr_t address)
{
    return range_map_find_item(map, address, map->item_bytes);
}

static void read_entry(const range_map_t *map, range_map_place_t at, size_t i,
                       range_map_entry_t *entry)
{
    range_map_leaf_t *leaf = range_map_leaf(map, at);
    const range_map_item_t *item = range_map_item_at(map, leaf, i);
    *entry = (range_map_entry_t){leaf->base[i], item->last, item->value};
}

bool range_map_previous(const range_map_t *map, uintptr_t address, range_map_entry_t *entry)
{
    if (map->num_branches == 0) {
        return false;
    }
    range_map_place_t at = range_map_find_leaf(map, address);
    size_t count = count_up_to(map, at, address);
    if (count == 0) {
        return false;
    }
    read_entry(map, at, count - 1, entry);
    return true;
}

bool range_map_next_from(const range_map_t *map, range_map_place_t at, uintptr_t address,
                         range_map_entry_t *entry)
{
    if (map->num_branches == 0) {
        return false;
    }
    size_t i = count_up_to(map, at, address);
    if (i > 0 && range_map_item_at(map, range_map_leaf(map, at), i - 1)->last >= address) {
        i--;
    } else if (i == range_map_count(map, at)) {
        if (!range_map_step_up(map, &at)) {
            return false;
        }
        i = 0;
    }
    read_entry(map, at, i, entry);
    return true;
}

bool range_map_next(const range_map_t *map, uintptr_t address, range_map_entry_t *entry)
{
    return range_map_next_from(map, range_map_place(map, address), address, entry);
}

/* Set `gap` to what `[base, last]` has at or above `from`. @return whether that is large enough */
static bool fits(range_map_entry_t *gap, uintptr_t base, uintptr_t last, uintptr_t from,
                 uintptr_t size)
{
    *gap = (range_map_entry_t){base > from ? base : from, last, NULL};
    return gap->base <= last && last - gap->base >= size - 1;
}

/* Find a gap behind the ranges of a branch from range `i` of leaf `at` on, and make the bound of
 * the branch's gaps what they are from there on. */
static bool gap_in_branch(const range_map_t *map, range_map_place_t at, size_t i, uintptr_t from,
                          uintptr_t size, range_map_entry_t *gap)
{
    for (; at.leaf < map->index.slots[at.branch].num_leaves; at.leaf++, i = 0) {
        range_map_leaf_t *leaf = range_map_leaf(map, at);
        for (; i < range_map_count(map, at); i++) {
            uintptr_t range_last = range_map_item_at(map, leaf, i)->last;
            if (range_last < UINTPTR_MAX &&
                fits(gap, range_last + 1, gap_last(map, at, i), from, size)) {
                return true;
            }
        }
    }
    return false;
}

/* Make the bound of a branch's gaps what it is; their sizes are all that changes. */
static void tighten(const range_map_t *map, size_t branch)
{
    range_map_place_t at = {branch, 0};
    map->index.slots[branch].gap = 0;
    for (; at.leaf < map->index.slots[branch].num_leaves; at.leaf++) {
        for (size_t i = 0; i < range_map_count(map, at); i++) {
            uintptr_t last = range_map_item_at(map, range_map_leaf(map, at), i)->last;
            range_map_note_gap(map, branch, gap_last(map, at, i) - last);
        }
    }
}

bool range_map_gap(const range_map_t *map, uintptr_t from, uintptr_t size, range_map_entry_t *gap)
{
    if (map->num_branches == 0) {
        return fits(gap, 0, UINTPTR_MAX, from, size);
    }
    range_map_place_t at = range_map_find_leaf(map, from);
    size_t count = count_up_to(map, at, from);
    if ((count == 0 && fits(gap, 0, range_map_leaf(map, at)->base[0] - 1, from, size)) ||
        gap_in_branch(map, at, count - (count > 0), from, size, gap)) {
        return true;
    }
    for (size_t branch = at.branch + 1; branch < map->num_branches; branch++) {
        if (map->index.slots[branch].gap >= size) {
            if (gap_in_branch(map, (range_map_place_t){branch, 0}, 0, from, size, gap)) {
                return true;
            }
            tighten(map, branch);
        }
    }
    return false;
}
