/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the text table of a memory map.
 */

#include "report.h"

#include <inttypes.h>
#include <string.h>

/** How a row is backed, with what belongs to it: "emulated: pl011", "untyped-at 0x48000000",
 * "shared: ring". */
static void backing_text(char *text, size_t size, const memory_map_row_t *row)
{
    int length = snprintf(text, size, "%s", row->backing);

    if (row->has_paddr && length >= 0 && (size_t)length < size) {
        length += snprintf(text + length, size - (size_t)length, " 0x%" PRIx64, row->paddr);
    }
    if (row->device != NULL && length >= 0 && (size_t)length < size) {
        snprintf(text + length, size - (size_t)length, ": %s", row->device);
    }
    if (row->shared != NULL && length >= 0 && (size_t)length < size) {
        snprintf(text + length, size - (size_t)length, ": %s", row->shared);
    }
}

static void print_map(FILE *out, const memory_map_t *map)
{
    uint64_t frames[MAP_NUM_FRAME_SIZES];
    size_t name_width = 4;
    size_t backing_width = 7;
    size_t size_width = 9;
    char backing[128];
    char size[MAP_SIZE_TEXT];
    char count[MAP_FRAMES_TEXT];

    for (size_t i = 0; i < map->num_rows; i++) {
        size_t length = strlen(map->rows[i].name);
        name_width = length > name_width ? length : name_width;
        length = strlen(memory_map_size_text(size, memory_map_row_size(&map->rows[i])));
        size_width = length > size_width ? length : size_width;
        backing_text(backing, sizeof(backing), &map->rows[i]);
        length = strlen(backing);
        backing_width = length > backing_width ? length : backing_width;
    }
    fprintf(out, "Memory of %s on %s\n", map->title, map->board);
    fprintf(out, "%-35s %*s  %-*s  %-*s  %-6s  %s\n", "range", (int)size_width, "size",
            (int)name_width, "name", (int)backing_width, "backing", "rights", "frames");
    for (size_t i = 0; i < map->num_rows; i++) {
        const memory_map_row_t *row = &map->rows[i];
        backing_text(backing, sizeof(backing), row);
        fprintf(out, "0x%016" PRIx64 "-%016" PRIx64 " %*s  %-*s  %-*s  %-6s  %s\n",
                row->reached_base, row->reached_last, (int)size_width,
                memory_map_size_text(size, memory_map_row_size(row)), (int)name_width, row->name,
                (int)backing_width, backing, row->rights[0] != '\0' ? row->rights : "-",
                memory_map_frames_text(count, row));
    }
    for (size_t i = 0; i < map->num_rows; i++) {
        const memory_map_row_t *row = &map->rows[i];
        if (row->base != row->reached_base || row->last != row->reached_last) {
            fprintf(out,
                    "%s: 0x%" PRIx64 "-%" PRIx64 " was asked for; memory is mapped in whole pages, "
                    "so the guest reaches all else in them too\n",
                    row->name, row->base, row->last);
        }
    }
    memory_map_frames(map, frames);
    fprintf(out, "%zu ranges; frames: %" PRIu64 " x 4K, %" PRIu64 " x 2M, %" PRIu64 " x 1G\n",
            map->num_rows, frames[MAP_FRAMES_4K], frames[MAP_FRAMES_2M], frames[MAP_FRAMES_1G]);
}

void report_text(FILE *out, const memory_map_t *maps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fputs(i > 0 ? "\n" : "", out);
        print_map(out, &maps[i]);
    }
}
