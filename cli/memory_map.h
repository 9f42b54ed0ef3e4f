/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file A VM's memory map as rows, for the printers: plain data, no seL4 types. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAP_FRAMES_4K, MAP_FRAMES_2M, MAP_FRAMES_1G, MAP_NUM_FRAME_SIZES };

typedef struct memory_map_row {
    uint64_t base; /* first and last GPA, as was asked */
    uint64_t last;
    uint64_t reached_base; /* and what the guest reaches: memory is mapped in whole pages */
    uint64_t reached_last;
    char name[64];       /* the reservation's */
    const char *backing; /* as in the description, or the library's word for what is not from it */
    const char *device;  /* that handles its faults, or NULL */
    const char *rights;  /* the guest's: "rw", "r-", "--"; "" where nothing is mapped */
    bool cacheable;      /* with frames: whether they are mapped cached */
    bool on_fault;       /* frames come at first access */
    bool placed;         /* its address was taken from an anonymous region */
    bool has_paddr;      /* backed by chosen physical memory, from `paddr` on */
    uint64_t paddr;
    const char *shared; /* the memory's name, where VMs share it, else NULL */
    bool backs_shared;  /* and it was allocated for this one */
    uint64_t frames[MAP_NUM_FRAME_SIZES];
    uint64_t faults; /* faults dispatched to it so far */
} memory_map_row_t;

/**
 * What happened in a run in 2 MiB of guest-physical addresses, or in that part of them that one row
 * has. Pages are of 4 KiB.
 */
typedef struct memory_map_piece {
    uint64_t base;
    unsigned loaded;  /* pages that had been written before the guest ran */
    unsigned touched; /* pages that were first read or written since */
    uint64_t faults;  /* that the guest took here */
} memory_map_piece_t;

/** Most bytes of a piece, and where it begins unless its row begins later. */
#define MAP_PIECE_SIZE ((uint64_t)0x200000)

typedef struct memory_map {
    const char *title; /* the VM's model, name or file */
    const char *name;  /* the VM's, where its file has several; else NULL */
    const char *board; /* the board's file */
    memory_map_row_t
        *rows; /* ascending; an anonymous region comes before what was carved from it */
    size_t num_rows;
    memory_map_piece_t *pieces; /* ascending, where anything happened; NULL: no run to be shown */
    size_t num_pieces;
} memory_map_t;

/** Free the rows and the pieces. */
void memory_map_release(memory_map_t *map);

/** memory_map_release() of an array of maps, and the array; NULL is allowed. */
void memory_maps_free(memory_map_t *maps, size_t count);

/** Bytes that the guest reaches through a row; 0 stands for all 2^64. */
uint64_t memory_map_row_size(const memory_map_row_t *row);

/** Where a row's first byte is in physical memory; false if its frames are at no chosen address. */
bool memory_map_row_paddr(const memory_map_row_t *row, uint64_t *paddr);

/** Frames of each size in all rows. */
void memory_map_frames(const memory_map_t *map, uint64_t frames[MAP_NUM_FRAME_SIZES]);

/** Longest text of memory_map_size_text(), with its NUL. */
#define MAP_SIZE_TEXT 32

/**
 * A size as people write it: "128 MiB", "4 KiB", "513 B"; exact in the largest unit that divides
 * it, or rounded ("~16.0 EiB") where that takes more than four digits.
 *
 * @return `text`
 */
const char *memory_map_size_text(char text[MAP_SIZE_TEXT], uint64_t size);

/** Longest text of memory_map_frames_text(), with its NUL. */
#define MAP_FRAMES_TEXT 80

/** Frames by size, e.g. "3 x 4K, 63 x 2M"; "on fault" or "-" if there are none. @return `text` */
const char *memory_map_frames_text(char text[MAP_FRAMES_TEXT], const memory_map_row_t *row);
