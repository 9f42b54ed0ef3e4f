/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns what the printers of memory maps share: sizes and frame counts as text.
 */

#include "memory_map.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void memory_map_release(memory_map_t *map)
{
    free(map->rows);
    free(map->pieces);
    map->rows = NULL;
    map->num_rows = 0;
}

void memory_maps_free(memory_map_t *maps, size_t count)
{
    for (size_t i = 0; maps != NULL && i < count; i++) {
        memory_map_release(&maps[i]);
    }
    free(maps);
}

uint64_t memory_map_row_size(const memory_map_row_t *row)
{
    return row->reached_last - row->reached_base + 1;
}

bool memory_map_row_paddr(const memory_map_row_t *row, uint64_t *paddr)
{
    *paddr = row->has_paddr ? row->paddr : row->base;
    return row->has_paddr || strcmp(row->backing, "untyped") == 0 ||
           strcmp(row->backing, "ram-untyped") == 0 || strcmp(row->backing, "device-frame") == 0;
}

void memory_map_frames(const memory_map_t *map, uint64_t frames[MAP_NUM_FRAME_SIZES])
{
    for (unsigned size = 0; size < MAP_NUM_FRAME_SIZES; size++) {
        frames[size] = 0;
        for (size_t i = 0; i < map->num_rows; i++) {
            frames[size] += map->rows[i].frames[size];
        }
    }
}

const char *memory_map_size_text(char text[MAP_SIZE_TEXT], uint64_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;

    if (size == 0) {
        snprintf(text, MAP_SIZE_TEXT, "16 EiB");
        return text;
    }
    while (unit < 6 && size % 1024 == 0) {
        size /= 1024;
        unit++;
    }
    if (size > 9999 && unit < 6) {
        /* Four digits say enough of 2^64 - 4096 and the like; the exact addresses stand beside it.
         */
        double value = (double)size;
        while (value >= 1024 && unit < 6) {
            value /= 1024;
            unit++;
        }
        snprintf(text, MAP_SIZE_TEXT, "~%.1f %s", value, units[unit]);
        return text;
    }
    snprintf(text, MAP_SIZE_TEXT, "%" PRIu64 " %s", size, units[unit]);
    return text;
}

const char *memory_map_frames_text(char text[MAP_FRAMES_TEXT], const memory_map_row_t *row)
{
    static const char *const names[] = {"4K", "2M", "1G"};
    int length = 0;

    text[0] = '\0';
    for (unsigned size = 0; size < MAP_NUM_FRAME_SIZES; size++) {
        if (row->frames[size] > 0) {
            length +=
                snprintf(text + length, MAP_FRAMES_TEXT - (size_t)length, "%s%" PRIu64 " x %s",
                         length > 0 ? ", " : "", row->frames[size], names[size]);
        }
    }
    if (length == 0) {
        snprintf(text, MAP_FRAMES_TEXT, row->on_fault ? "on fault" : "-");
    }
    return text;
}
