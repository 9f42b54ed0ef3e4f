/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the finding of what a run touched. The hosted system's memory is sparse files: a page that
 * nobody has read or written since it was given to the guest is a hole. So what is no hole before
 * the run was loaded, and what is no hole any more after it was touched in it. Which of the loaded
 * pages the guest looked at is not seen.
 */

#include "activity.h"

#include <hosted/stage2.h>
#include <hosted/vm.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_MASK ((uint64_t)0xfff)

enum { PAGE_BITS = 12, MOST_PAGES = 8192 };

struct activity {
    memory_map_t map;
    memory_map_piece_t *pieces; /* by ascending address */
    size_t num_pieces;
    size_t room;
    bool exhausted;
};

/** Where the piece of an address begins: a row's with its row, and outside of all rows a page. */
static uint64_t piece_base(const memory_map_t *map, uint64_t address)
{
    uint64_t base = address & ~(MAP_PIECE_SIZE - 1);

    for (size_t i = 0; i < map->num_rows; i++) {
        const memory_map_row_t *row = &map->rows[i];
        uint64_t first = row->base & ~PAGE_MASK;
        if (strcmp(row->backing, "anonymous") != 0 && first <= address &&
            (row->last | PAGE_MASK) >= address) {
            return base > first ? base : first;
        }
    }
    return address & ~PAGE_MASK;
}

/** The piece of an address; NULL without memory. Addresses come mostly in ascending order. */
static memory_map_piece_t *piece_at(activity_t *activity, uint64_t address)
{
    uint64_t base = piece_base(&activity->map, address);
    size_t at = activity->num_pieces;

    while (at > 0 && activity->pieces[at - 1].base > base) {
        at--;
    }
    if (at > 0 && activity->pieces[at - 1].base == base) {
        return &activity->pieces[at - 1];
    }
    if (activity->num_pieces == activity->room) {
        size_t room = activity->room == 0 ? 256 : activity->room * 2;
        memory_map_piece_t *larger = realloc(activity->pieces, room * sizeof(*larger));
        if (larger == NULL) {
            activity->exhausted = true;
            return NULL;
        }
        activity->pieces = larger;
        activity->room = room;
    }
    for (size_t i = activity->num_pieces++; i > at; i--) {
        activity->pieces[i] = activity->pieces[i - 1];
    }
    activity->pieces[at] = (memory_map_piece_t){.base = base};
    return &activity->pieces[at];
}

/** Note the pages of a frame that are no holes: data begins and ends at pages. */
static bool look(void *cookie, const hosted_stage2_mapping_t *frame)
{
    activity_t *activity = cookie;
    off_t begin = (off_t)frame->offset;
    off_t end = begin + ((off_t)1 << frame->size_bits);

    for (off_t at = begin; at < end && !activity->exhausted;) {
        off_t data = lseek(frame->fd, at, SEEK_DATA);
        off_t hole = data < 0 ? data : lseek(frame->fd, data, SEEK_HOLE);
        if (data < 0 || hole <= data || data >= end) {
            break;
        }
        at = hole < end ? hole : end;
        while (data < at) {
            uint64_t gpa = frame->gpa + (uint64_t)(data - begin);
            uint64_t rest = MAP_PIECE_SIZE - gpa % MAP_PIECE_SIZE;
            uint64_t now = (uint64_t)(at - data) < rest ? (uint64_t)(at - data) : rest;
            memory_map_piece_t *piece = piece_at(activity, gpa);
            if (piece != NULL) {
                piece->touched += (unsigned)(now >> PAGE_BITS);
            }
            data += (off_t)now;
        }
    }
    return !activity->exhausted;
}

static activity_t *look_at(machine_t *machine)
{
    activity_t *activity = calloc(1, sizeof(*activity));

    if (activity != NULL && machine_memory_map(machine, &activity->map) != 0) {
        activity->exhausted = true;
    } else if (activity != NULL) {
        hosted_stage2_for_each(machine_system(machine),
                               machine_vm(machine)->mem.vm_vspace_root.cptr, look, activity);
    }
    if (activity != NULL && activity->exhausted) {
        activity_free(activity);
        return NULL;
    }
    return activity;
}

activity_t *activity_start(machine_t *machine)
{
    return look_at(machine);
}

static void add_faults(activity_t *activity, machine_t *machine)
{
    hosted_vm_page_t *pages = calloc(MOST_PAGES, sizeof(*pages));
    size_t count = 0;

    if (pages == NULL) {
        activity->exhausted = true;
        return;
    }
    count = hosted_vm_faulting_pages(machine_vm(machine), pages, MOST_PAGES);
    for (size_t i = 0; i < count; i++) {
        memory_map_piece_t *piece = piece_at(activity, pages[i].address);
        if (piece != NULL) {
            piece->faults += pages[i].faults;
        }
    }
    free(pages);
}

/** What was there before the run was not touched first in it. */
static void take_loaded(activity_t *now, const activity_t *before)
{
    size_t b = 0;

    for (size_t i = 0; i < now->num_pieces; i++) {
        memory_map_piece_t *piece = &now->pieces[i];
        while (b < before->num_pieces && before->pieces[b].base < piece->base) {
            b++;
        }
        if (b < before->num_pieces && before->pieces[b].base == piece->base) {
            unsigned loaded = before->pieces[b].touched;
            piece->loaded = loaded < piece->touched ? loaded : piece->touched;
            piece->touched -= piece->loaded;
        }
    }
}

int activity_end(const activity_t *activity, machine_t *machine, memory_map_t *map)
{
    activity_t *now = look_at(machine);

    if (now == NULL) {
        return -1;
    }
    take_loaded(now, activity);
    add_faults(now, machine);
    if (now->exhausted) {
        activity_free(now);
        return -1;
    }
    *map = now->map;
    map->pieces = now->pieces;
    map->num_pieces = now->num_pieces;
    free(now);
    return 0;
}

void activity_free(activity_t *activity)
{
    if (activity != NULL) {
        memory_map_release(&activity->map);
        free(activity->pieces);
        free(activity);
    }
}
