/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the JSON form of a memory map. Addresses are strings with hexadecimal digits, because many
 * readers of JSON hold numbers in 53 bits.
 */

#include "report.h"

#include <inttypes.h>

void report_json_string(FILE *out, const char *text)
{
    if (text == NULL) {
        fputs("null", out);
        return;
    }
    fputc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            fprintf(out, "\\%c", c);
        } else if (c < 0x20 || c >= 0x7f) {
            /* Bytes outside ASCII have no known encoding here: written as their value. */
            fprintf(out, "\\u%04x", c);
        } else {
            fputc(c, out);
        }
    }
    fputc('"', out);
}

static void print_member(FILE *out, const char *name, const char *text)
{
    fprintf(out, "      \"%s\": ", name);
    report_json_string(out, text);
    fputs(",\n", out);
}

static void print_frames(FILE *out, const uint64_t frames[MAP_NUM_FRAME_SIZES])
{
    fprintf(out, "{\"4k\": %" PRIu64 ", \"2m\": %" PRIu64 ", \"1g\": %" PRIu64 "}",
            frames[MAP_FRAMES_4K], frames[MAP_FRAMES_2M], frames[MAP_FRAMES_1G]);
}

static void print_row(FILE *out, const memory_map_row_t *row)
{
    uint64_t size = row->last - row->base + 1;

    fputs("    {\n", out);
    print_member(out, "name", row->name);
    fprintf(out, "      \"base\": \"0x%" PRIx64 "\",\n", row->base);
    fprintf(out, "      \"last\": \"0x%" PRIx64 "\",\n", row->last);
    if (size == 0) {
        fputs("      \"size\": 18446744073709551616,\n", out);
    } else {
        fprintf(out, "      \"size\": %" PRIu64 ",\n", size);
    }
    fprintf(out, "      \"reached_base\": \"0x%" PRIx64 "\",\n", row->reached_base);
    fprintf(out, "      \"reached_last\": \"0x%" PRIx64 "\",\n", row->reached_last);
    print_member(out, "backing", row->backing);
    if (row->has_paddr) {
        fprintf(out, "      \"paddr\": \"0x%" PRIx64 "\",\n", row->paddr);
    } else {
        print_member(out, "paddr", NULL);
    }
    print_member(out, "device", row->device);
    print_member(out, "shared", row->shared);
    print_member(out, "rights", row->rights[0] != '\0' ? row->rights : NULL);
    fprintf(out, "      \"cacheable\": %s,\n", row->cacheable ? "true" : "false");
    fprintf(out, "      \"map_on_fault\": %s,\n", row->on_fault ? "true" : "false");
    fprintf(out, "      \"anonymous\": %s,\n", row->placed ? "true" : "false");
    fputs("      \"frames\": ", out);
    print_frames(out, row->frames);
    fprintf(out, ",\n      \"faults\": %" PRIu64 "\n    }", row->faults);
}

static void print_map(FILE *out, const memory_map_t *map)
{
    uint64_t frames[MAP_NUM_FRAME_SIZES];

    fputs("{\n  \"title\": ", out);
    report_json_string(out, map->title);
    fputs(",\n  \"name\": ", out);
    report_json_string(out, map->name);
    fputs(",\n  \"board\": ", out);
    report_json_string(out, map->board);
    fputs(",\n  \"ranges\": [\n", out);
    for (size_t i = 0; i < map->num_rows; i++) {
        print_row(out, &map->rows[i]);
        fputs(i + 1 < map->num_rows ? ",\n" : "\n", out);
    }
    fputs("  ],\n  \"frames\": ", out);
    memory_map_frames(map, frames);
    print_frames(out, frames);
    fputs("\n}", out);
}

void report_json(FILE *out, const memory_map_t *maps, size_t count)
{
    fputs(count > 1 ? "[\n" : "", out);
    for (size_t i = 0; i < count; i++) {
        fputs(i > 0 ? ",\n" : "", out);
        print_map(out, &maps[i]);
    }
    fputs(count > 1 ? "\n]\n" : "\n", out);
}
