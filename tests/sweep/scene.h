/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * What is there before a call under test: the VM, what else lives in the system, and how full the
 * library's records are. A scene is made and ended again and again in one hosted system, so each
 * call meets the same state.
 */

#include "world.h"
#include <simple/simple.h>

#define GPA      ((uintptr_t)0x80000000)
#define FLASH    ((uintptr_t)0)          /* a large device of the board */
#define RESERVED ((uintptr_t)0x48800000) /* memory that the kernel does not clear */

/** What surrounds a call. */
typedef enum scene_kind {
    SCENE_ALONE,         /* nothing; frames of mixed sizes */
    SCENE_SMALL,         /* nothing; 4 KiB frames only */
    SCENE_CROWDED,       /* other VMs, neighbours that share tables, windows, RAM, regions */
    SCENE_CROWDED_SMALL, /* the same with 4 KiB frames only */
    SCENE_FULL_RECORDS,  /* the next reservation needs new records; 4 KiB frames */
    SCENE_FULL_RUNS,     /* so do the next frames and page tables; 4 KiB frames */
    SCENE_NUM_KINDS
} scene_kind_t;

/** A page that the VMM sees. */
typedef struct scene_window {
    vm_t *vm;
    uintptr_t gpa;
    volatile unsigned char *page;
} scene_window_t;

typedef struct scene {
    world_t world; /* its VM is the one under test */
    scene_kind_t kind;
    vm_t others[3];
    size_t num_others;
    vm_t fresh; /* for calls that make a VM; zeroed where it is not used */
    scene_window_t windows[4];
    size_t num_windows;
    vka_object_t frames[8]; /* the caller's, for iterators and simple_get_frame_cap() */
    size_t num_frames;
    uintptr_t frames_at; /* address of the first of them: GPA or physical */
    simple_t simple;     /* hands out `frames` */
    int misuse;          /* lines of the allocator about what was given back twice */
    hosted_census_t before;
} scene_t;

/** A name for tables. */
const char *scene_name(scene_kind_t kind);

/** Make the system that scenes live in, and end it. */
void scene_open(scene_t *scene);
void scene_close(scene_t *scene);

/** Make all that is there before the call. @see scene_unmake */
void scene_make(scene_t *scene, scene_kind_t kind);

/** Fill the records, where that kind of scene has them full: after the last reservation. */
void scene_fill(scene_t *scene);

/** End all VMs, and give the caller's frames back. */
void scene_unmake(scene_t *scene);

/** Whether frames are 4 KiB only. */
bool scene_is_small(const scene_t *scene);

/**
 * The range that calls map. It lies across a 2 MiB boundary, with small frames, or with large ones
 * between small ones.
 *
 * @param origin  GPA, RAM_PADDR, FLASH or RESERVED: what it is near to
 */
uintptr_t scene_span(const scene_t *scene, uintptr_t origin, size_t *size);

/** Reserve that range. */
vm_memory_reservation_t *scene_reserve(scene_t *scene, uintptr_t origin);

/** Allocate frames for the caller, the first of them for `at`. */
void scene_take_frames(scene_t *scene, size_t count, size_t size_bits, uintptr_t at);

/** Let the VM's simple hand out every other page of the small span at RAM_PADDR. */
void scene_use_simple(scene_t *scene);

/** A page that the VMM sees, which must go on working. */
void scene_watch(scene_t *scene, vm_t *vm, uintptr_t gpa, void *page);
