/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the picture of memory maps: a column each, low addresses on top. Guests use from 4 KiB to
 * 1 TiB of address space, so a range's height grows with the logarithm of its size (the picture
 * says how), and the gaps between ranges have one height and their size in words. Every box is at
 * least as high as its two lines of text, so texts never overlap.
 */

#include "report.h"

#include <inttypes.h>
#include <string.h>

enum {
    WIDTH = 1060,
    MARGIN = 24,
    COLUMN_X = 210, /* the column of boxes */
    COLUMN_WIDTH = 400,
    DETAIL_X = COLUMN_X + COLUMN_WIDTH + 16,
    HEADER = 78,
    BOX_MIN = 36, /* up to 4 KiB */
    BOX_STEP = 5, /* more for each doubling */
    GAP = 30,
    INSET = 26, /* of what was carved from an anonymous region */
    LEGEND_ROW = 22,
    STRIP = 4,          /* height of one that shows a run */
    NAME_SQUEEZED = 27, /* a name with more characters is squeezed to 270 px */
    NAME_LENGTH = 36,   /* and with more than these it is cut */
};

typedef struct colour {
    const char *backing;
    const char *fill;
    const char *says;
} colour_t;

static const colour_t colours[] = {
    {"ram", "#8ecae6", "RAM of free frames"},
    {"ram-untyped", "#5fa8d3", "RAM, physical memory 1:1"},
    {"frames", "#b7e4c7", "free frames"},
    {"untyped", "#74c69d", "physical memory 1:1"},
    {"untyped-at", "#52b788", "physical memory at a chosen address"},
    {"maybe-device", "#d8e2a8", "frames, maybe of device memory"},
    {"allocated-frame", "#ffe08a", "one frame, shared with the VMM"},
    {"device-frame", "#f9b56d", "one device frame"},
    {"emulated", "#e3b7d3", "no frames, every access faults"},
    {"shared", "#ef8a62", "memory that VMs share"},
    {"anonymous", "#f3f3f3", "anonymous region"},
    {"", "#cfcfcf", "other"},
};

static const size_t num_colours = sizeof(colours) / sizeof(colours[0]);

static const colour_t *colour_of(const char *backing)
{
    size_t i = 0;

    while (i < num_colours - 1 && strcmp(colours[i].backing, backing) != 0) {
        i++;
    }
    return &colours[i];
}

/** At most `most` characters of a text, with what XML reserves, and what it forbids, replaced. */
static void print_text(FILE *out, const char *text, size_t most)
{
    for (size_t i = 0; *text != '\0'; text++, i++) {
        if (i == most) {
            fputs("...", out);
            return;
        }
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e ? '?' : *text, out);
        }
    }
}

static int box_height(const memory_map_row_t *row)
{
    uint64_t size = memory_map_row_size(row);
    int height = BOX_MIN;

    if (size == 0) {
        return BOX_MIN + 52 * BOX_STEP;
    }
    for (uint64_t step = 4096; step < size && step != 0; step <<= 1) {
        height += BOX_STEP;
    }
    return height;
}

/** Whether the row lies inside the anonymous region of an earlier row, which ends at `last`. */
static bool inside_region(const memory_map_row_t *row, bool have_region, uint64_t last)
{
    return have_region && row->reached_base <= last && strcmp(row->backing, "anonymous") != 0;
}

/** What a strip shows of each piece. */
typedef enum strip { FAULTS, TOUCHED, LOADED, NUM_STRIPS } strip_t;

enum { NUM_SHADES = 4, MOST_FAULTS = 1024 /* with the full colour */ };

static const struct {
    const char *fill;
    const char *says;
} strips[NUM_STRIPS] = {
    [FAULTS] = {"#d00000", "faults"},
    [TOUCHED] = {"#14213d", "touched first in the run"},
    [LOADED] = {"#6c757d", "written before the run"},
};

static bool piece_in_row(const memory_map_piece_t *piece, const memory_map_row_t *row)
{
    return strcmp(row->backing, "anonymous") != 0 &&
           piece->base >= (row->reached_base & ~(uint64_t)0xfff) &&
           piece->base <= row->reached_last;
}

/** How much of a row there is in a piece: from 0, nothing, to NUM_SHADES. */
static unsigned shade_of(strip_t strip, const memory_map_piece_t *piece,
                         const memory_map_row_t *row)
{
    uint64_t last = piece->base | (MAP_PIECE_SIZE - 1);
    uint64_t amount = strip == TOUCHED ? piece->touched : piece->loaded;
    uint64_t most =
        (((last < row->reached_last ? last : row->reached_last) - piece->base) >> 12) + 1;

    if (!piece_in_row(piece, row)) {
        return 0;
    }
    if (strip == FAULTS) { /* which are known by the page, that rows without any may share */
        amount = row->faults > 0 ? piece->faults : 0;
        most = MOST_FAULTS;
    }
    return amount >= most ? NUM_SHADES : (unsigned)((amount * NUM_SHADES + most - 1) / most);
}

/** A strip over a box: from its row's first address on the left to its last on the right. */
static void print_strip(FILE *out, const memory_map_t *map, const memory_map_row_t *row,
                        strip_t strip, int x, int y)
{
    double size = (double)row->reached_last - (double)row->reached_base + 1;
    double scale = (COLUMN_X + COLUMN_WIDTH - x) / size;

    for (size_t i = 0; i < map->num_pieces; i++) {
        const memory_map_piece_t *piece = &map->pieces[i];
        unsigned shade = shade_of(strip, piece, row);
        uint64_t end = (piece->base | (MAP_PIECE_SIZE - 1)) + 1;
        if (shade == 0) {
            continue;
        }
        while (i + 1 < map->num_pieces && map->pieces[i + 1].base == end &&
               shade_of(strip, &map->pieces[i + 1], row) == shade) {
            end += MAP_PIECE_SIZE;
            i++;
        }
        double from =
            piece->base > row->reached_base ? (double)(piece->base - row->reached_base) : 0;
        double to = end - 1 < row->reached_last ? (double)(end - row->reached_base) : size;
        double width = (to - from) * scale > STRIP ? (to - from) * scale : STRIP; /* to be seen */
        fprintf(out,
                "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\""
                " fill-opacity=\"%.2f\"/>\n",
                x + from * scale, y, width, STRIP, strips[strip].fill,
                (1.0 + shade) / (1 + NUM_SHADES));
    }
}

/** Sum up a run in a row's words, after its backing. */
static void print_run(FILE *out, const memory_map_t *map, const memory_map_row_t *row)
{
    uint64_t pages[NUM_STRIPS] = {0};
    uint64_t drawn = 0; /* faults: where pages with few of them are is forgotten */
    char size[MAP_SIZE_TEXT];

    for (size_t i = 0; i < map->num_pieces; i++) {
        pages[TOUCHED] += piece_in_row(&map->pieces[i], row) ? map->pieces[i].touched : 0;
        pages[LOADED] += piece_in_row(&map->pieces[i], row) ? map->pieces[i].loaded : 0;
        drawn += piece_in_row(&map->pieces[i], row) ? map->pieces[i].faults : 0;
    }
    for (unsigned s = TOUCHED; s < NUM_STRIPS; s++) {
        if (pages[s] > 0) {
            fprintf(out, "; %s %s", memory_map_size_text(size, pages[s] << 12),
                    s == TOUCHED ? "touched" : "loaded");
        }
    }
    if (row->faults > 0) {
        fprintf(out, "; %" PRIu64 " fault%s", row->faults, row->faults == 1 ? "" : "s");
    }
    if (map->num_pieces > 0 && drawn < row->faults) {
        fprintf(out, ", %" PRIu64 " of them not drawn", row->faults - drawn);
    }
}

/** Faults where there is no row, from `base` to `last`. */
static void print_stray_faults(FILE *out, const memory_map_t *map, uint64_t base, uint64_t last,
                               int y)
{
    const memory_map_piece_t *first = NULL;
    uint64_t faults = 0;

    for (size_t i = 0; i < map->num_pieces; i++) {
        const memory_map_piece_t *piece = &map->pieces[i];
        if (piece->faults > 0 && piece->base >= base && piece->base <= last) {
            first = first != NULL ? first : piece;
            faults += piece->faults;
        }
    }
    if (first != NULL) {
        fprintf(out,
                "<text class=\"d\" x=\"%d\" y=\"%d\" style=\"fill:%s\">%" PRIu64
                " fault%s, the first page 0x%" PRIx64 "</text>\n",
                DETAIL_X, y + GAP / 2 + 4, strips[FAULTS].fill, faults, faults == 1 ? "" : "s",
                first->base);
    }
}

static void print_box(FILE *out, const memory_map_t *map, const memory_map_row_t *row, int y,
                      int inset)
{
    char size[MAP_SIZE_TEXT];
    char frames[MAP_FRAMES_TEXT];
    int height = box_height(row);
    int x = COLUMN_X + inset;

    fprintf(out,
            "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"3\" fill=\"%s\" "
            "stroke=\"#333\"%s/>\n",
            x, y, COLUMN_WIDTH - inset, height, colour_of(row->backing)->fill,
            row->on_fault ? " stroke-dasharray=\"6 3\"" : "");
    print_strip(out, map, row, FAULTS, x, y + 1);
    print_strip(out, map, row, TOUCHED, x, y + height - 2 * STRIP - 1);
    print_strip(out, map, row, LOADED, x, y + height - STRIP - 1);
    fprintf(out, "<text class=\"a\" x=\"%d\" y=\"%d\" text-anchor=\"end\">0x%" PRIx64 "</text>\n",
            COLUMN_X - 10, y + 13, row->reached_base);
    fprintf(out, "<text class=\"a\" x=\"%d\" y=\"%d\" text-anchor=\"end\">0x%" PRIx64 "</text>\n",
            COLUMN_X - 10, y + height - 5, row->reached_last);
    fprintf(out, "<text class=\"n\" x=\"%d\" y=\"%d\"%s>", x + 10, y + height / 2 + 5,
            strlen(row->name) > NAME_SQUEEZED
                ? " textLength=\"270\" lengthAdjust=\"spacingAndGlyphs\""
                : "");
    print_text(out, row->name, NAME_LENGTH);
    fprintf(out, "</text>\n<text class=\"s\" x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n",
            COLUMN_X + COLUMN_WIDTH - 10, y + height / 2 + 5,
            memory_map_size_text(size, memory_map_row_size(row)));
    fprintf(out, "<text class=\"d\" x=\"%d\" y=\"%d\">", DETAIL_X, y + height / 2 - 3);
    print_text(out, row->backing, 32);
    if (row->device != NULL) {
        fputs(": ", out);
        print_text(out, row->device, 32);
    }
    if (row->shared != NULL) {
        fputs(": ", out);
        print_text(out, row->shared, 32);
    }
    if (row->has_paddr) {
        fprintf(out, " (physical 0x%" PRIx64 ")", row->paddr);
    }
    print_run(out, map, row);
    fprintf(out, "</text>\n<text class=\"f\" x=\"%d\" y=\"%d\">", DETAIL_X, y + height / 2 + 12);
    if (row->rights[0] != '\0') {
        fprintf(out, "%s, %s, %s", row->rights, row->cacheable ? "cached" : "uncached",
                memory_map_frames_text(frames, row));
    } else {
        fputs(row->on_fault ? "frames come at first access" : "no frames", out);
    }
    fputs("</text>\n", out);
}

static void print_gap(FILE *out, uint64_t size, int y)
{
    char text[MAP_SIZE_TEXT];

    fprintf(out,
            "<path d=\"M%d %d v%d M%d %d v%d\" stroke=\"#999\" stroke-dasharray=\"2 4\"/>\n"
            "<text class=\"g\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">nothing for %s</text>\n",
            COLUMN_X, y, GAP, COLUMN_X + COLUMN_WIDTH, y, GAP, COLUMN_X + COLUMN_WIDTH / 2,
            y + GAP / 2 + 4, memory_map_size_text(text, size));
}

/** Lay the column out from `y` on, drawing it if `out` is not NULL. @return its lower end */
static int column(FILE *out, const memory_map_t *map, int y)
{
    bool have_region = false;
    uint64_t region_last = 0;
    uint64_t last = 0;

    for (size_t i = 0; i < map->num_rows; i++) {
        const memory_map_row_t *row = &map->rows[i];
        bool inside = inside_region(row, have_region, region_last);
        uint64_t expected = i == 0 ? 0 : last + 1;

        if (!inside && row->reached_base > expected) {
            if (out != NULL) {
                print_gap(out, row->reached_base - expected, y);
                print_stray_faults(out, map, expected, row->reached_base - 1, y);
            }
            y += GAP;
        }
        if (out != NULL) {
            print_box(out, map, row, y, inside ? INSET : 0);
        }
        y += box_height(row);
        if (strcmp(row->backing, "anonymous") == 0) {
            have_region = true;
            region_last = row->reached_last;
        }
        last = i == 0 || row->reached_last > last ? row->reached_last : last;
    }
    if (map->num_pieces > 0 && last != UINT64_MAX && map->pieces[map->num_pieces - 1].base > last) {
        if (out != NULL) {
            print_stray_faults(out, map, map->num_rows > 0 ? last + 1 : 0, UINT64_MAX, y);
        }
        y += GAP;
    }
    return y;
}

static bool used(const memory_map_t *map, const colour_t *colour)
{
    for (size_t i = 0; i < map->num_rows; i++) {
        if (colour_of(map->rows[i].backing) == colour) {
            return true;
        }
    }
    return false;
}

/** Say what the strips are. @return the lower end */
static int strips_legend(FILE *out, int y)
{
    for (int i = 0, x = MARGIN; i < NUM_STRIPS && out != NULL; i++, x += WIDTH / 4) {
        fprintf(out,
                "<rect x=\"%d\" y=\"%d\" width=\"22\" height=\"%d\" fill=\"%s\"/>\n"
                "<text class=\"d\" x=\"%d\" y=\"%d\">%s</text>\n",
                x, y + 5, STRIP, strips[i].fill, x + 32, y + 12, strips[i].says);
    }
    if (out != NULL) {
        fprintf(
            out,
            "<text class=\"h\" x=\"%d\" y=\"%d\">A strip goes from a range's first address to its "
            "last, in steps of 2 MiB; the darker, the more of it.</text>\n",
            MARGIN, y + LEGEND_ROW + 12);
    }
    return y + 2 * LEGEND_ROW;
}

/** Draw the legend in two columns, or only measure it. @return its lower end */
static int legend(FILE *out, const memory_map_t *map, int y)
{
    int count = 0;

    for (size_t i = 0; i < num_colours; i++) {
        int x = MARGIN + (count % 2) * (WIDTH / 2);
        int row_y = y + count / 2 * LEGEND_ROW;

        if (!used(map, &colours[i])) {
            continue;
        }
        count++;
        if (out == NULL) {
            continue;
        }
        fprintf(out,
                "<rect x=\"%d\" y=\"%d\" width=\"22\" height=\"14\" rx=\"2\" fill=\"%s\" "
                "stroke=\"#333\"/>\n<text class=\"d\" x=\"%d\" y=\"%d\">%s%s%s</text>\n",
                x, row_y, colours[i].fill, x + 32, row_y + 12, colours[i].backing,
                colours[i].backing[0] != '\0' ? ": " : "", colours[i].says);
    }
    y += (count + 1) / 2 * LEGEND_ROW;
    return map->pieces == NULL ? y : strips_legend(out, y);
}

static int page_height(const memory_map_t *map)
{
    return legend(NULL, map, column(NULL, map, HEADER) + 28) + MARGIN / 2;
}

/** Draw a map with all that is said of it. */
static void page(FILE *out, const memory_map_t *map)
{
    fprintf(out, "<text class=\"t\" x=\"%d\" y=\"34\">Memory of ", MARGIN);
    print_text(out, map->title, 80);
    fprintf(out,
            "</text>\n<text class=\"h\" x=\"%d\" y=\"56\">Low addresses on top. A range of up to "
            "4 KiB is %d px high, and %d px higher for each doubling of its size; gaps are not to "
            "scale.</text>\n",
            MARGIN, BOX_MIN, BOX_STEP);
    legend(out, map, column(out, map, HEADER) + 28);
}

void report_svg(FILE *out, const memory_map_t *maps, size_t count)
{
    int width = WIDTH * (int)count;
    int height = 0;

    for (size_t i = 0; i < count; i++) {
        height = page_height(&maps[i]) > height ? page_height(&maps[i]) : height;
    }
    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\">\n"
            "<style>text{font-family:'DejaVu Sans',Arial,sans-serif;fill:#111}"
            ".t{font-size:18px;font-weight:bold}.h{font-size:12px;fill:#555}"
            ".a{font-family:'DejaVu Sans Mono',monospace;font-size:11px;fill:#333}"
            ".n{font-size:13px;font-weight:bold}.s{font-size:12px}.d{font-size:12px}"
            ".f{font-size:11px;fill:#555}.g{font-size:11px;fill:#777;font-style:italic}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<title>Memory of ",
            width, height, width, height);
    for (size_t i = 0; i < count; i++) {
        fputs(i > 0 ? ", " : "", out);
        print_text(out, maps[i].title, 80);
    }
    fputs("</title>\n", out);
    for (size_t i = 0; i < count; i++) {
        int x = WIDTH * (int)i;
        fprintf(out, "<g transform=\"translate(%d 0)\">\n", x);
        page(out, &maps[i]);
        fputs("</g>\n", out);
    }
    fputs("</svg>\n", out);
}
