/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The memory of the virtual machines in a system description of Microkit, for AArch64: its memory
 * regions, and where they are mapped. The format is that of Microkit 2.3.0, in its manual under
 * "System Description File"; what a virtual machine's memory does not depend on is passed over.
 *
 * Pure: no seL4 types, no files, no output. Any bytes may be given to microkit_parse().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"

/** Largest file that is read. */
#define MICROKIT_MAX_SIZE ((size_t)4 << 20)

/** Page sizes on AArch64. */
#define MICROKIT_SMALL_PAGE ((uint64_t)0x1000)
#define MICROKIT_LARGE_PAGE ((uint64_t)0x200000)

/** A <memory_region>. */
typedef struct microkit_region {
    char *name;    /* unique in the file */
    uint64_t size; /* at least a page */
    uint64_t page; /* bytes, that its addresses are multiples of */
    uint64_t phys_addr;
    bool has_phys_addr;
    char *prefill;      /* the file that it is filled with, or NULL */
    unsigned num_users; /* <map> elements that name it, of protection domains too */
    unsigned long line;
} microkit_region_t;

/** A <map> of a virtual machine. */
typedef struct microkit_map {
    char *mr;
    const microkit_region_t *region; /* which `mr` names */
    uint64_t vaddr;                  /* vaddr + region->size - 1 does not wrap */
    bool write;                      /* all maps let the guest read */
    bool execute;
    bool cached;
    unsigned long line;
} microkit_map_t;

/** A <virtual_machine>. */
typedef struct microkit_vm {
    char *name;
    size_t num_vcpus;     /* at least 1 */
    microkit_map_t *maps; /* by ascending address, and disjoint */
    size_t num_maps;
    unsigned long line;
} microkit_vm_t;

typedef struct microkit_system {
    microkit_region_t *regions; /* by name */
    size_t num_regions;
    microkit_vm_t *vms;
    size_t num_vms;
} microkit_system_t;

/**
 * Read a system description.
 *
 * @param text   its bytes; only read during the call
 * @param file   name for messages
 * @param error  receives one line on failure: `file:line: reason`
 * @return to be freed with microkit_free(); NULL if it is not well-formed, breaks a rule of the
 *         format that memory depends on, or memory is exhausted
 */
microkit_system_t *microkit_parse(const char *text, size_t size, const char *file,
                                  cli_error_t *error);

/** Free a system. NULL is allowed. */
void microkit_free(microkit_system_t *system);
