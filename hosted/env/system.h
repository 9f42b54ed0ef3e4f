/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * A hosted system: the kernel model, and around it what a root task has made of its boot
 * information. Every call into the environment holds the kernel's lock.
 */

#include <hosted/system.h>
#include "bitmap.h"
#include "board.h"
#include "kernel.h"
#include "memory.h"
#include "slots.h"
#include "tree.h"

typedef struct heap {
    size_t blocks;
    uint64_t bytes;
} heap_t;

/** The VMM's address space: reservations by address, and where those of one page are. */
typedef struct vmm_space {
    tree_node_t *reservations;
    size_t num_reservations;
    uint64_t bytes;
    bitmap_t arena_free; /* pages below arena_used that are no reservation's */
    size_t arena_used;
} vmm_space_t;

/** A serial port of the board, see serial.c. */
typedef struct serial serial_t;

struct hosted_system {
    kernel_t kernel;
    board_t board;
    seL4_BootInfo *bootinfo;    /* has the first of the untypeds, as many as there is room for */
    seL4_UntypedDesc *untypeds; /* all, in the order of their slots, from its untyped.start on */
    void *board_dtb;
    size_t board_dtb_size;
    slots_t slots;
    memory_t memory;
    heap_t heap;
    vmm_space_t vmm;
    serial_t *serials;
    size_t num_serials;
    seL4_CPtr endpoint;
    vka_t vka;
    simple_t simple;
    vspace_t vspace;
    ps_io_ops_t io_ops;
};

static inline void system_lock(hosted_system_t *system)
{
    pthread_mutex_lock(&system->kernel.lock);
}

static inline void system_unlock(hosted_system_t *system)
{
    pthread_mutex_unlock(&system->kernel.lock);
}

/* Each fills in its interface of the system. */
void vka_init(hosted_system_t *system);
void simple_init(hosted_system_t *system);
void vmm_vspace_init(hosted_system_t *system);
void io_ops_init(hosted_system_t *system);

/** Put models behind the registers of serial ports. @return 0, or -1 without memory */
int serials_init(hosted_system_t *system, const board_serial_t *serials, size_t count);

/** Free all reservations of the VMM. */
void vmm_vspace_free(hosted_system_t *system);

/** Whether the VMM has reserved all of [vaddr, vaddr + size): the kernel maps nowhere else. */
bool vmm_vspace_holds(kernel_t *kernel, uint64_t vaddr, uint64_t size);
