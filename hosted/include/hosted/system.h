/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * An seL4 system (AArch64, hypervisor mode, 40-bit physical addresses) inside one Linux process.
 *
 * A system is made from a board's flattened device tree: its memory nodes become untyped memory,
 * all else but what the kernel keeps becomes device untypeds. The process plays the root task: the
 * handles below are what a root task builds from its boot information, and the seL4 invocations of
 * `<sel4/sel4.h>` go to the system that the calling thread has entered.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sel4/sel4.h>
#include <vka/vka.h>
#include <vspace/vspace.h>
#include <simple/simple.h>
#include <platsupport/io.h>

typedef struct hosted_system hosted_system_t;

/**
 * Make a system from a board description and enter it.
 *
 * @param board_dtb   flattened device tree of the board; only read during the call
 * @param size        bytes of `board_dtb`
 * @param error       receives one line when the call fails; may be NULL
 * @param error_size  bytes of `error`
 * @return the system, to be destroyed with hosted_system_destroy(); NULL on failure
 */
hosted_system_t *hosted_system_create(const void *board_dtb, size_t size, char *error,
                                      size_t error_size);

/** hosted_system_create() with the contents of the file at `path`. */
hosted_system_t *hosted_system_create_from_file(const char *path, char *error, size_t error_size);

/** Destroy a system: all of its objects, memory and mappings. @see hosted_system_create */
void hosted_system_destroy(hosted_system_t *system);

/** Direct the calling thread's seL4 invocations to `system` (NULL: to none). */
void hosted_system_enter(hosted_system_t *system);

/** The system that the calling thread has entered, or NULL. */
hosted_system_t *hosted_system_current(void);

/* The root task's handles. All live as long as the system. */
seL4_BootInfo *hosted_bootinfo(hosted_system_t *system);
vka_t *hosted_vka(hosted_system_t *system);
simple_t *hosted_simple(hosted_system_t *system);
vspace_t *hosted_vmm_vspace(hosted_system_t *system);
ps_io_ops_t *hosted_io_ops(hosted_system_t *system);

/** What a range of physical addresses is to the kernel. */
typedef enum hosted_physical_kind {
    HOSTED_MEMORY,   /* untypeds that the kernel can use itself */
    HOSTED_RESERVED, /* memory that the board or the kernel leaves alone: device untypeds */
    HOSTED_DEVICE,   /* registers, or nothing: device untypeds */
    HOSTED_KERNEL    /* the kernel's own: nobody gets a capability for it */
} hosted_physical_kind_t;

typedef struct hosted_physical_range {
    seL4_Word base, last;
    hosted_physical_kind_t kind;
    const char *name; /* of HOSTED_KERNEL: what it keeps there */
} hosted_physical_range_t;

/**
 * All of the board's physical address space, in ascending order.
 *
 * @param ranges  receives them; they live as long as the system
 * @return how many there are
 */
size_t hosted_physical_ranges(hosted_system_t *system, const hosted_physical_range_t **ranges);

/**
 * From now on, leave a page table in the VMM's address space when the last page of it is unmapped,
 * as libsel4utils does: no large page can be mapped there then. By default such a table goes away,
 * so that what a test counts does not depend on addresses that the host chose.
 */
void hosted_vmm_keep_tables(hosted_system_t *system);

/**
 * From now on, let seL4_ARM_Page_Map return seL4_DeleteFirst where a page is mapped already, even
 * by the same capability, in the VMM's address space and in guests'. seL4 16 replaces the page, or
 * maps it again with other rights; that a kernel may refuse is under discussion (seL4 issue 1526).
 */
void hosted_system_refuse_remaps(hosted_system_t *system);

/**
 * Let the VMM's data cache matter, as it does to a guest whose caches are off: what the VMM writes
 * through a cached mapping reaches memory, and that guest, only when the VMM cleans it
 * (seL4_ARM_Page_Clean_Data and its kind), in lines of 64 bytes. What is not cleaned never reaches
 * memory by itself, and is still there for the next cached mapping of the frame. Invalidating
 * forgets it. When a VCPU goes on with its caches and its MMU on, all is written back before.
 *
 * Right after the system was made: before any page is mapped.
 *
 * @return 0; -1 with a line in the log if it is too late, or the host has not enough memory
 */
int hosted_system_incoherent(hosted_system_t *system);

/** An endpoint capability of the root task, for vm_init()'s `host_endpoint`. */
seL4_CPtr hosted_host_endpoint(hosted_system_t *system);

/**
 * A pointer to the bytes of physical memory at `paddr`, as a debugger on the bus would see them:
 * always readable and writable, whoever has it mapped. Used by tests, and by models of devices.
 * In an incoherent system it is memory, not what the VMM's cache holds.
 *
 * @return NULL unless [paddr, paddr + size) is in the physical address space and lies within one
 *         range of RAM; outside of RAM, within 1 GiB
 */
void *hosted_physical_memory(hosted_system_t *system, seL4_Word paddr, size_t size);
