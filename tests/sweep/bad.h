/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Calls with bad arguments: for each public function how it is called, and a row for each bad
 * value. Arguments that a row leaves zero are given as in the function's good call.
 */

#include "scene.h"

/** Which reservation a call is given. */
typedef enum handle {
    HANDLE_FREE, /* emulated, and it could be mapped */
    HANDLE_NULL,
    HANDLE_FOREIGN, /* another VM's */
    HANDLE_MAPPED,
    HANDLE_SHARED, /* it shares a page with another one */
    HANDLE_ABOVE,  /* above the guest's address space */
    HANDLE_HIGH,   /* where no physical memory is */
    HANDLE_NUM
} handle_t;

/** What is wrong with a frame that an iterator or an array hands out. */
typedef enum frame_fault {
    FRAME_GOOD,
    FRAME_NO_ITERATOR, /* the iterator or the array is NULL */
    FRAME_NULL,
    FRAME_SIZE_0,
    FRAME_SIZE_13,
    FRAME_SIZE_64,
    FRAME_MISALIGNED,
    FRAME_ELSEWHERE, /* it does not hold the address */
    FRAME_TOO_LARGE, /* it reaches beyond the reservation */
    FRAME_NO_CAP,    /* the capability is of no frame */
    FRAME_TWICE,     /* the same frame again */
    FRAME_IN_USE,    /* mapped elsewhere */
    FRAME_TOO_FEW
} frame_fault_t;

/** An argument that is a pointer or a function, and is NULL. */
typedef enum missing { MISSING_NONE, MISSING_FIRST, MISSING_SECOND, MISSING_THIRD } missing_t;

typedef struct bad_row {
    const char *what;
    guestmem_error_code_t code; /* GUESTMEM_OK where the function keeps no reason */
    uintptr_t addr;
    size_t size;
    size_t extra; /* an alignment, a second address, or a size in bits */
    handle_t handle;
    frame_fault_t frame;
    missing_t missing;
} bad_row_t;

/** A scene with one reservation of each kind. */
typedef struct bad_scene {
    scene_t scene;
    vm_memory_reservation_t *handles[HANDLE_NUM];
} bad_scene_t;

/** A function with its rows. */
typedef struct bad_entry {
    const char *name;
    int (*call)(bad_scene_t *b, vm_t *vm, const bad_row_t *row); /* 0: it was accepted */
    const bad_row_t *rows;
    size_t num_rows;
} bad_entry_t;

typedef struct bad_list {
    const bad_entry_t *entries;
    size_t count;
} bad_list_t;

/** Functions that take a VM first, whose reasons guestmem_last_error() tells. */
extern const bad_list_t bad_reservations;
extern const bad_list_t bad_mapping;
extern const bad_list_t bad_ram;
/** Functions that log only. */
extern const bad_list_t bad_runtime;

#define BAD_ENTRY(function)                                                                        \
    {                                                                                              \
#function, call_##function, rows_##function,                                               \
            sizeof(rows_##function) / sizeof(rows_##function[0])                                   \
    }

/** Rows for each handle that is no reservation of the VM. */
#define BAD_HANDLES                                                                                \
    {.what = "NULL", .code = GUESTMEM_NO_RESERVATION, .handle = HANDLE_NULL},                      \
    {                                                                                              \
        .what = "another VM's", .code = GUESTMEM_NO_RESERVATION, .handle = HANDLE_FOREIGN          \
    }

/** Rows for each reservation that cannot be mapped. */
#define BAD_TO_MAP                                                                                 \
    {.what = "mapped", .code = GUESTMEM_ALREADY_MAPPED, .handle = HANDLE_MAPPED},                  \
        {.what = "shares a page", .code = GUESTMEM_PAGE_SHARED, .handle = HANDLE_SHARED},          \
    {                                                                                              \
        .what = "unreachable", .code = GUESTMEM_BAD_RANGE, .handle = HANDLE_ABOVE                  \
    }

/* Addresses of the scene, see test_bad_calls.c. */
#define BAD_FREE   (GPA + 0x20000000)    /* 6 pages, HANDLE_FREE */
#define BAD_MAPPED (GPA + 0x20010000)    /* HANDLE_MAPPED: 3 pages less 8 bytes */
#define BAD_EMPTY  (GPA + 0x20020000)    /* nothing */
#define BAD_RAM    (GPA + 64 * MEGABYTE) /* 4 pages, the second allocated */
#define BAD_REGION (GPA + 0x8000000)     /* anonymous, and full */
#define BAD_HIGH   ((uintptr_t)0x7000000000)
#define BAD_ABOVE  ((uintptr_t)1 << 40)
