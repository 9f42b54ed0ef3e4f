/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Any bytes as a board's tree, as an overlay on a board, as a tree that an overlay is applied to,
 * and, where they are text, as a source and as a source's overlay from a pipe, through the
 * preprocessor if they ask for it. Each is taken or refused with one line, and what comes of it is
 * a valid tree.
 */

#include "board.h"
#include "dtb_file.h"
#include "dtb_overlay.h"
#include "machine.h"
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TREE_ROOM = 4096, PIPE_ROOM = 4096 };

typedef struct tree {
    char bytes[TREE_ROOM];
} tree_t;

static void check_line(const char *line)
{
    must(line[0] != '\0', "a failure without a message");
    for (; *line != '\0'; line++) {
        must((unsigned char)*line >= ' ', "a control character in: %s", line);
    }
}

/** A board with a label for each kind of node. */
static tree_t make_board(void)
{
    const uint32_t memory[] = {cpu_to_fdt32(0x40000000), cpu_to_fdt32(0x10000000)};
    const uint32_t controller[] = {cpu_to_fdt32(0x8000000), cpu_to_fdt32(0x10000)};
    tree_t tree = {{0}};

    fdt_create(tree.bytes, sizeof(tree.bytes));
    fdt_finish_reservemap(tree.bytes);
    fdt_begin_node(tree.bytes, "");
    fdt_property_u32(tree.bytes, "#address-cells", 1);
    fdt_property_u32(tree.bytes, "#size-cells", 1);
    fdt_begin_node(tree.bytes, "memory@40000000");
    fdt_property_string(tree.bytes, "device_type", "memory");
    fdt_property(tree.bytes, "reg", memory, sizeof(memory));
    fdt_end_node(tree.bytes);
    fdt_begin_node(tree.bytes, "gic@8000000");
    fdt_property_string(tree.bytes, "compatible", "arm,gic-400");
    fdt_property(tree.bytes, "reg", controller, sizeof(controller));
    fdt_property_u32(tree.bytes, "phandle", 1);
    fdt_end_node(tree.bytes);
    fdt_begin_node(tree.bytes, "__symbols__");
    fdt_property_string(tree.bytes, "gic", "/gic@8000000");
    fdt_property_string(tree.bytes, "ram", "/memory@40000000");
    fdt_end_node(tree.bytes);
    fdt_end_node(tree.bytes);
    must(fdt_finish(tree.bytes) == 0, "no board");
    return tree;
}

/** An overlay that switches what has the label "gic" off. */
static tree_t make_overlay(void)
{
    tree_t tree = {{0}};

    fdt_create(tree.bytes, sizeof(tree.bytes));
    fdt_finish_reservemap(tree.bytes);
    fdt_begin_node(tree.bytes, "");
    fdt_begin_node(tree.bytes, "fragment@0");
    fdt_property_u32(tree.bytes, "target", 0xffffffff);
    fdt_begin_node(tree.bytes, "__overlay__");
    fdt_property_string(tree.bytes, "status", "disabled");
    fdt_end_node(tree.bytes);
    fdt_end_node(tree.bytes);
    fdt_begin_node(tree.bytes, "__fixups__");
    fdt_property_string(tree.bytes, "gic", "/fragment@0:target:0");
    fdt_end_node(tree.bytes);
    fdt_end_node(tree.bytes);
    must(fdt_finish(tree.bytes) == 0, "no overlay");
    return tree;
}

/** Only read: a system takes seconds where there is a sanitizer. */
static void check_board(const void *bytes, size_t size)
{
    char error[256] = "";
    board_t board;
    uint64_t next = 0;

    if (board_read(&board, bytes, size, error, sizeof(error)) != 0) {
        check_line(error);
        return;
    }
    for (size_t i = 0; i < board.num_ranges; i++) {
        must(board.map[i].base == next && board.map[i].last >= next, "a gap at 0x%lx", next);
        next = board.map[i].last + 1;
    }
    must(next == 1ul << 40 || next == 1ul << 44, "an end at 0x%lx", next);
    board_free(&board);
}

static void check_result(void *tree, size_t size, const cli_error_t *error)
{
    if (tree == NULL) {
        check_line(error->line);
        return;
    }
    check_board(tree, size);
    free(tree);
}

static void check_overlay(const void *tree, size_t size, const void *overlay, size_t overlay_size)
{
    cli_error_t error = {{0}};
    size_t result_size = 0;
    void *result =
        dtb_overlay_apply(&(dtb_named_t){tree, size, "tree"},
                          &(dtb_named_t){overlay, overlay_size, "overlay"}, &result_size, &error);

    must(result == NULL || fdt_check_full(result, result_size) == 0, "a damaged tree");
    check_result(result, result_size, &error);
}

/** The path of a pipe that has these bytes; the end to be closed. */
static int make_pipe(const void *bytes, size_t size, char path[32])
{
    int ends[2];

    must(pipe(ends) == 0, "no pipe");
    must(write(ends[1], bytes, size) == (ssize_t)size, "the pipe is full");
    close(ends[1]);
    snprintf(path, 32, "/proc/self/fd/%d", ends[0]);
    return ends[0];
}

/** As a source, or as the overlay of a source. */
static void check_source(const char *before, const void *bytes, size_t size)
{
    cli_error_t error = {{0}};
    char path[2][32];
    const char *overlays[] = {path[1], NULL};
    size_t result_size = 0;
    int source = make_pipe(before, before != NULL ? strlen(before) : 0, path[0]);
    int own = make_pipe(bytes, size, path[1]);
    void *result = before != NULL ? dtb_file_load_with(path[0], overlays, &result_size, &error)
                                  : dtb_file_load(path[1], &result_size, &error);

    check_result(result, result_size, &error);
    close(source);
    close(own);
}

static bool is_text(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((bytes[i] < ' ' && bytes[i] != '\n' && bytes[i] != '\t') || bytes[i] > '~') {
            return false;
        }
    }
    return size < PIPE_ROOM;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const tree_t board = make_board();
    const tree_t overlay = make_overlay();

    if (is_text(bytes, size)) {
        check_source(NULL, bytes, size);
        check_source("/dts-v1/; / { #address-cells = <1>; #size-cells = <1>; ram: memory {"
                     "device_type = \"memory\"; reg = <0x40000000 0x10000000>; }; };",
                     bytes, size);
        return 0;
    }
    void *aligned = malloc(size); /* libfdt wants trees aligned */
    must(aligned != NULL, "out of memory");
    memcpy(aligned, bytes, size);
    check_board(aligned, size);
    check_overlay(board.bytes, fdt_totalsize(board.bytes), aligned, size);
    check_overlay(aligned, size, overlay.bytes, fdt_totalsize(overlay.bytes));
    free(aligned);
    return 0;
}
