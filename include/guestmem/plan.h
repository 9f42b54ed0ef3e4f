/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * What a VM's memory will take, before anything is made: arithmetic over ranges, policy, and what
 * memory there is. Nothing of it calls the kernel, an allocator or a VM.
 *
 * Ranges are added in the order in which they will be made. The counts are what the library then
 * uses, exactly, as long as memory is found where the plan was told that it is. Only the heap's
 * count can differ by a few bytes a reservation above some thousand reservations, since the records
 * are found again by their own addresses.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <guestmem/error.h>
#include <guestmem/inspect.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct guestmem_plan guestmem_plan_t;

/** What memory there is. Each function takes what it answers for, so that it is not there twice. */
typedef struct guestmem_plan_memory {
    /** Take 2^size_bits bytes of any memory that the kernel clears. @return whether there are */
    bool (*take)(void *cookie, size_t size_bits);
    /** As take(), of the memory that the kernel does not clear as well. */
    bool (*take_device)(void *cookie, size_t size_bits);
    /** Take the 2^size_bits bytes at a physical address. @return whether they are there */
    bool (*take_at)(void *cookie, uintptr_t paddr, size_t size_bits);
    /** Whether the kernel does not clear the memory at a physical address. */
    bool (*is_device)(void *cookie, uintptr_t paddr);
    void *cookie;
} guestmem_plan_memory_t;

/** One range that is to be reserved. All zero but for base and size is an emulated one. */
typedef struct guestmem_plan_range {
    uintptr_t base;             /**< first GPA; of an anonymous reservation chosen by the plan */
    size_t size;                /**< bytes, at least 1 */
    guestmem_backing_t backing; /**< any but GUESTMEM_CALLER */
    bool ram;                   /**< registered as RAM */
    bool anonymous;             /**< at a free address of an anonymous region */
    bool on_fault;              /**< mapped at the guest's first accesses */
    bool named;                 /**< gets a name of its own */
    uintptr_t paddr;     /**< with GUESTMEM_UNTYPED, the physical address of the first byte */
    size_t largest_bits; /**< largest frame to acquire; 0: the architecture's largest */
} guestmem_plan_range_t;

/** Levels of page tables below the root, at most. */
#define GUESTMEM_MAX_TABLE_LEVELS 3

/** What ranges take. */
typedef struct guestmem_needs {
    size_t reservations;
    size_t frames[GUESTMEM_NUM_FRAME_SIZES];
    size_t page_tables[GUESTMEM_MAX_TABLE_LEVELS]; /**< by level, below the root first */
    size_t slots;           /**< capability slots, but for those of the allocator itself */
    uint64_t untyped_bytes; /**< of frames and page tables */
    size_t windows;         /**< ranges of the VMM's address space */
    uint64_t window_bytes;  /**< bytes in them */
    size_t window_frames;   /**< frames that the VMM maps as well */
    size_t heap_blocks;     /**< held at the end, from malloc_ops */
    size_t heap_bytes;
    /* kernel invocations, but for those of the allocator to cut memory up */
    uint64_t retypes;
    uint64_t page_maps; /**< in the guest and in the VMM */
    uint64_t page_unmaps;
    uint64_t page_cleans;
    uint64_t table_maps;
    uint64_t cap_copies;
} guestmem_needs_t;

/** Why the last call of a plan failed. */
typedef struct guestmem_plan_problem {
    guestmem_error_code_t code;
    uintptr_t base; /**< the range in the way, or the first page without memory */
    uintptr_t last;
} guestmem_plan_problem_t;

/**
 * Begin the plan of one VM's memory.
 *
 * @param memory  copied; its cookie must outlive the plan. NULL: any memory, all of it cleared
 * @return to be ended with guestmem_plan_destroy(); NULL if the heap is exhausted
 */
guestmem_plan_t *guestmem_plan_create(const guestmem_plan_memory_t *memory);

/** End a plan. NULL is allowed. @see guestmem_plan_create */
void guestmem_plan_destroy(guestmem_plan_t *plan);

/** Add what vm_memory_make_anon() takes. @return 0; -1 with a problem, and the plan is spent */
int guestmem_plan_region(guestmem_plan_t *plan, uintptr_t base, size_t size);

/**
 * Add what reserving and mapping a range takes.
 *
 * @param range  `base` receives the address of an anonymous one
 * @return 0; -1 with a problem, and the plan is spent
 */
int guestmem_plan_range(guestmem_plan_t *plan, guestmem_plan_range_t *range);

/**
 * Add what the window of a mapped range takes: the VMM's first access to RAM, or a page that the
 * VMM shares. A range has one window.
 *
 * @param base  an address in the range
 * @return 0; -1 with a problem
 */
int guestmem_plan_window(guestmem_plan_t *plan, uintptr_t base);

/**
 * Add what the guest's faults take until all frames of an `on_fault` range are mapped. Its heap
 * depends on the order of the faults by a few bytes a frame.
 *
 * @return 0; -1 with a problem, and the plan is spent
 */
int guestmem_plan_faults(guestmem_plan_t *plan, const guestmem_plan_range_t *range);

/** What all that was added takes so far. */
guestmem_needs_t guestmem_plan_needs(const guestmem_plan_t *plan);

/** Why the last call failed. */
guestmem_plan_problem_t guestmem_plan_problem(const guestmem_plan_t *plan);

#ifdef __cplusplus
}
#endif
