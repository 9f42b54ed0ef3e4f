/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * All that the library keeps for one VM (`vm->mem.reservation_cookie`), and the way in: each public
 * function asks memory_of() for it first.
 */

#include <guestmem/error.h>
#include <guestmem/inspect.h>
#include <guestmem/policy.h>
#include <sel4vm/guest_vm.h>
#include "guest_space.h"
#include "heap.h"
#include "range_alloc.h"
#include "range_map.h"
#include "reservation_pool.h"

/** A range from which reservations are carved at free addresses. */
typedef struct anon_region {
    struct anon_region *next; /* in order of age */
    range_alloc_t pages;      /* its whole pages */
    uintptr_t base;
    uintptr_t last;
} anon_region_t;

/** Why the current call fails: filled in where it is seen, reported by the public function. */
typedef struct memory_failure {
    guestmem_error_code_t code;
    seL4_Error kernel_error;
    uintptr_t other_base;
    uintptr_t other_last;
    const char *other_name;
    const char *advice; /* what to do about it, behind what is in the way; may be NULL */
    char text[160];
} memory_failure_t;

/** The window of RAM that was used last; of length 0 if it is closed. */
typedef struct recent_window {
    uintptr_t base; /* GPA */
    size_t length;
    char *pointer;
} recent_window_t;

typedef struct vm_memory_reservation_cookie {
    vm_t *vm;
    heap_t heap;
    reservation_pool_t pool;
    range_map_t reservations; /* of all kinds; disjoint */
    range_map_t regions;      /* anonymous regions; disjoint, and from reservations not of them */
    anon_region_t *oldest_region;
    guest_space_t space;
    struct io_space *io_spaces; /* the youngest first */
    guestmem_map_time_t map_time;
    size_t largest_frame_bits;
    size_t ram_capacity;     /* entries that vm->mem.ram_regions has room for */
    size_t ram_reservations; /* reservations that are RAM */
    uint64_t access;         /* number of the current access, see guest_access.c */
    recent_window_t recent;
    guestmem_windows_t windows;
    guestmem_statistics_t counts; /* only what is counted up; the rest is computed when asked */
    memory_failure_t failure;
    guestmem_error_t error;
} vm_memory_t;

/** Log that the VM which was given to `function` is NULL or not initialised. @return NULL */
vm_memory_t *memory_missing(const char *function) __attribute__((cold));

/**
 * The memory of a VM.
 *
 * @return NULL, with a log line that names `function`, if the VM is NULL or not initialised
 */
static inline vm_memory_t *memory_of(const vm_t *vm, const char *function)
{
    return vm != NULL && vm->mem.reservation_cookie != NULL ? vm->mem.reservation_cookie
                                                            : memory_missing(function);
}

/** Say why the current call fails. @return -1 */
int memory_blame(vm_memory_t *memory, guestmem_error_code_t code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** As memory_blame(), where the kernel answered `error`. */
int memory_blame_kernel(vm_memory_t *memory, seL4_Error error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** As memory_blame(), where `[base, last]` is in the way. `name` may be NULL. The text ends where
 *  the range is named; `advice` is constant and says what to do. */
int memory_blame_other(vm_memory_t *memory, guestmem_error_code_t code, uintptr_t base,
                       uintptr_t last, const char *name, const char *text, const char *advice);

/** Turn the blame into the VM's last error and one log line. @return -1 */
int memory_report(vm_memory_t *memory, const char *function, uintptr_t base, uintptr_t last);

/** Check a reservation handle; blames if it is none of this VM's. */
bool memory_check_reservation(vm_memory_t *memory, const vm_memory_reservation_t *reservation);

/** Check `[addr, addr + size)` and give its last address; blames. */
bool memory_check_range(vm_memory_t *memory, uintptr_t addr, size_t size, uintptr_t *last);
