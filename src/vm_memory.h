/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The state of one VM's memory (`vm->mem.reservation_cookie`), and how calls fail: where something
 * goes wrong, gm_fail() notes why and returns -1; the public function that fails for it calls
 * gm_report(), which makes the VM's last error and the log line of it.
 */

#include <guestmem/error.h>
#include <guestmem/inspect.h>
#include <guestmem/policy.h>
#include <sel4vm/guest_vm.h>
#include "address.h"
#include "arch.h"
#include "heap.h"
#include "range_map.h"

/** Why the current call fails. */
typedef struct gm_failure {
    guestmem_error_code_t code;
    seL4_Error kernel_error;
    uintptr_t other_base; /* the range in the way, else both 0 */
    uintptr_t other_last;
    const char *other_name;
    const char *advice; /* what to do about it, logged after the range in the way; may be NULL */
    char text[160];
} gm_failure_t;

/** RAM that the VMM has mapped and used last, cached and writable; of length 0 if there is none. */
typedef struct gm_recent {
    uintptr_t base; /* GPA */
    size_t length;
    char *pointer;
    bool kept; /* it is in the frame that stays mapped, which another access may replace */
    struct gm_mapping *tracked; /* whose written pages are noted; NULL if they are not */
} gm_recent_t;

/** A guest frame that the VMM has mapped by itself, for an access. */
typedef struct gm_temporary {
    void *vaddr; /* NULL: none */
    seL4_CPtr cap;
    size_t size_bits;
    reservation_t range; /* of the VMM's address space, for a large frame */
    uintptr_t gpa;       /* of the frame */
    bool kept;           /* it is the one that stays mapped */
} gm_temporary_t;

/** The untyped that was looked up last; base > last if there is none. */
typedef struct gm_recent_untyped {
    uintptr_t base;
    uintptr_t last;
    bool device;
} gm_recent_untyped_t;

typedef struct vm_memory_reservation_cookie {
    vm_t *vm;
    gm_heap_t heap;

    /* reservation.c */
    gm_range_map_t reservations; /* of all kinds */
    gm_range_map_t regions;      /* anonymous ones; other reservations are disjoint from them */
    struct gm_region *oldest_region;
    bool in_iterator; /* a caller's map iterator is running: no call for this VM is allowed */
    size_t tracked;   /* mappings whose written pages are noted */

    struct guestmem_saved *saved; /* guest_save.c; NULL if nothing is saved */

    /* guest_space.c, page_table.c, iospace.c */
    seL4_CPtr root;      /* of the guest's VSpace object; null until vm_init_guest_vspace() */
    gm_range_map_t runs; /* the frames that are mapped in the guest: gm_run_t */
    gm_range_map_t tables[ARCH_NUM_TABLE_LEVELS]; /* by what they span; outermost level first */
    struct gm_iospace *iospaces;                  /* the youngest first */

    /* guest_ram.c, guest_access.c */
    size_t ram_capacity;     /* entries that vm->mem.ram_regions has room for */
    size_t ram_reservations; /* reservations that are RAM */
    gm_recent_t recent;

    /* window.c */
    gm_temporary_t kept;     /* the frame that was mapped last, or none */
    unsigned kept_users;     /* accesses that use it now */
    bool remap_refused;      /* the kernel does not map a capability where it is mapped already */
    uint64_t windows_closed; /* and so the VMM may have room for others */

    gm_recent_untyped_t untyped; /* frame.c */

    /* info.c */
    guestmem_map_time_t map_time;
    size_t largest_frame_bits;
    guestmem_windows_t windows;
    guestmem_fixed_ram_t fixed_ram;
    guestmem_discarded_t discarded;
    guestmem_statistics_t counts; /* faults: of freed reservations; what can be read elsewhere: 0 */

    /* error.c */
    gm_failure_t failure;
    guestmem_error_t error;
    uint32_t guest_errors[GUESTMEM_NUM_ERRORS]; /* by code, of what a guest can cause */
} gm_memory_t;

/*@ // A VM of the caller's, or NULL; its memory, if it has any.
    predicate gm_vm_ok(vm_t *vm) = vm == \null || (\valid_read(vm) &&
        (vm->mem.reservation_cookie == \null || (\valid(vm->mem.reservation_cookie) &&
            \separated(vm, vm->mem.reservation_cookie))));
 */

/*@ // A VM's record is there, and so is what it leads to.
    predicate gm_memory_ok(gm_memory_t *memory) =
        \valid(memory) && \valid_read(memory->vm) && \valid(memory->vm->vka) &&
        \separated(memory, memory->vm, memory->vm->vka) && gm_arch_ok &&
        !gm_is_run(\base_addr(memory)) && !gm_is_run(\base_addr(memory->vm));
 */

/** Log and record why a call of `function` is refused. @return NULL */
/*@ requires gm_vm_ok(vm);
    assigns vm->mem.reservation_cookie->failure, vm->mem.reservation_cookie->error;
    ensures \result == \null;
 */
gm_memory_t *gm_memory_refuse(const vm_t *vm, const char *function) __attribute__((cold));

/**
 * The memory of a VM: each public function begins with this.
 *
 * @return NULL, with a log line that names `function`, if the VM is NULL or not initialised, or the
 * call comes from a map iterator of the same VM
 */
/*@ requires gm_vm_ok(vm);
    assigns vm->mem.reservation_cookie->failure, vm->mem.reservation_cookie->error;
    ensures \result == \null || (vm != \null && \result == vm->mem.reservation_cookie &&
        \valid(\result) && !\result->in_iterator);
 */
static inline gm_memory_t *gm_memory_of(const vm_t *vm, const char *function)
{
    gm_memory_t *memory = vm != NULL ? vm->mem.reservation_cookie : NULL;
    return memory != NULL && !memory->in_iterator ? memory : gm_memory_refuse(vm, function);
}

/** Note why the current call fails. @return -1 */
/*@ requires \valid(memory);
    assigns memory->failure;
    ensures \result == -1;
 */
int gm_fail(gm_memory_t *memory, guestmem_error_code_t code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** gm_fail() where the kernel returned `error`. */
/*@ requires \valid(memory);
    assigns memory->failure;
    ensures \result == -1;
 */
int gm_fail_kernel(gm_memory_t *memory, seL4_Error error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** gm_fail() where `[base, last]` is in the way. `name` may be NULL. The range is logged after
 *  `text`; `advice` is constant and says what to do. */
/*@ requires \valid(memory);
    assigns memory->failure;
    ensures \result == -1;
 */
int gm_fail_range(gm_memory_t *memory, guestmem_error_code_t code, uintptr_t base, uintptr_t last,
                  const char *name, const char *text, const char *advice);

/** Make the VM's last error of the failure, and no log line. @return -1 */
int gm_note(gm_memory_t *memory, const char *function, uintptr_t base, uintptr_t last);

/** Make the VM's last error and one log line of the failure. @return -1 */
/*@ requires \valid(memory);
    assigns memory->error;
    ensures \result == -1;
 */
int gm_report(gm_memory_t *memory, const char *function, uintptr_t base, uintptr_t last);

/** gm_report() of what a guest can cause as often as it likes: few of them are logged, the others
 *  are counted. @return -1 */
int gm_report_guest(gm_memory_t *memory, const char *function, uintptr_t base, uintptr_t last);
