/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Why the last call that failed did so.
 *
 * A call that fails logs one line, too. Where a guest can make calls fail (its descriptors point at
 * what is no RAM, it accesses what it may not), not all are logged: of each code the first eight,
 * then each that doubles their number. guestmem_statistics_t counts the others.
 */

#include <stddef.h>
#include <stdint.h>
#include <sel4/sel4.h>
#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What went wrong. */
typedef enum guestmem_error_code {
    GUESTMEM_OK,              /**< no call has failed yet */
    GUESTMEM_BAD_ARGUMENT,    /**< NULL, or a value that is not allowed */
    GUESTMEM_BAD_RANGE,       /**< size 0, wraps, or outside the guest's address space */
    GUESTMEM_MISALIGNED,      /**< an address that must be aligned is not */
    GUESTMEM_OVERLAP,         /**< another reservation or region is in the way */
    GUESTMEM_PAGE_SHARED,     /**< a mapped reservation would share a page with another one */
    GUESTMEM_ALREADY_MAPPED,  /**< the reservation is mapped */
    GUESTMEM_NO_RESERVATION,  /**< no such reservation: NULL, or another VM's */
    GUESTMEM_BAD_FRAME,       /**< an iterator's frame does not fit */
    GUESTMEM_NOT_MAPPED,      /**< the memory has no frame */
    GUESTMEM_NOT_RAM,         /**< the range is not all RAM, or not in the state that it must be */
    GUESTMEM_NO_HEAP,         /**< malloc_ops has no memory */
    GUESTMEM_NO_SLOT,         /**< the allocator has no capability slot */
    GUESTMEM_NO_FRAME,        /**< the allocator, or that physical address, has no frame */
    GUESTMEM_NO_TABLE,        /**< the allocator has no page table object */
    GUESTMEM_NO_ADDRESS,      /**< no room in anonymous regions, RAM, or the VMM's address space */
    GUESTMEM_KERNEL,          /**< the kernel refused; see `kernel_error` */
    GUESTMEM_NOT_INITIALISED, /**< vm_memory_init() has not succeeded for this VM */
    GUESTMEM_IN_ITERATOR,     /**< a map iterator called the library for the VM it is asked for */
    GUESTMEM_NO_RIGHT,        /**< a frame's rights, or its reservation, do not allow the access */
    GUESTMEM_NUM_ERRORS
} guestmem_error_code_t;

/** Longest reservation name that is kept, and a byte for its NUL. */
#define GUESTMEM_NAME_SIZE 32

/** The reason of a call that failed. */
typedef struct guestmem_error {
    guestmem_error_code_t code;          /**< what went wrong */
    const char *function;                /**< the public function that failed */
    uintptr_t base;                      /**< the range that it was about: first address */
    uintptr_t last;                      /**< and last address (inclusive) */
    uintptr_t other_base;                /**< the range in the way, if there is one: else both 0 */
    uintptr_t other_last;                /**< and its last address (inclusive) */
    char other_name[GUESTMEM_NAME_SIZE]; /**< its name, or "" */
    seL4_Error kernel_error;             /**< what the kernel returned, else seL4_NoError */
    char message[512];                   /**< all of this in one line, as for the log */
} guestmem_error_t;

/**
 * The reason of the last call that failed for this VM. Calls that succeed leave it alone.
 *
 * @param vm  the VM; NULL is allowed
 * @return owned by the VM, valid until its next failure; a constant with GUESTMEM_NOT_INITIALISED
 * if the VM is NULL or has no memory management
 */
const guestmem_error_t *guestmem_last_error(const vm_t *vm);

/**
 * A code's name, e.g. "overlap".
 *
 * @param code  any code
 * @return a constant; "unknown" if there is no such code
 */
const char *guestmem_error_name(guestmem_error_code_t code);

#ifdef __cplusplus
}
#endif
