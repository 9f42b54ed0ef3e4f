/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The forms of `guestmem plan` that other systems' builders read, on standard output. */

#include "memory_map.h"

/** What a VM takes, with all of its RAM in windows if a device for the guest works on it. */
typedef struct plan_needs {
    unsigned vm;                  /* which of the file's VMs it is */
    uint64_t free_bytes;          /* of objects that are at no chosen address */
    uint64_t objects;             /* all of them */
    uint64_t windows;             /* ranges of the VMM's address space */
    uint64_t window_bytes;        /* bytes of them */
    uint64_t window_frames;       /* frames mapped there */
    uint64_t window_small_frames; /* of 4 KiB, at most, among them */
    uint64_t heap_bytes;
    uint64_t heap_blocks;
} plan_needs_t;

/** Attributes of a virtual machine of camkes-vm. */
void plan_camkes(const memory_map_t *map, const plan_needs_t *needs);

/** A system description of Microkit with the VMs' memory. */
void plan_microkit(const memory_map_t *maps, size_t count);
