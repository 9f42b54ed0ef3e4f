/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The running guest: one VM for all checks of the areas that need it, since libsel4vm can run but
 * one VCPU of a task. It is made with the first check. A check makes reservations of its own in it,
 * lists accesses, lets the guest make them, and frees what it made; then the same must be held as
 * before.
 */

#include "guest_program.h"
#include "suite.h"
#include "vm_memory.h"
#include <sel4vm/boot.h>
#include <sel4vm/guest_vcpu_fault.h>

/* Where the guest has its own memory. Checks use other addresses. */
#define GUEST_RAM      ((uintptr_t)0x40000000)
#define GUEST_RAM_SIZE ((size_t)0x10000)
#define GUEST_LIST     (GUEST_RAM + 0x4000)
#define GUEST_EXIT     ((uintptr_t)0x3fff0000)
/* Half of what it can address, far from all that it has. */
#define GUEST_FAR ((uintptr_t)1 << (GUEST_WORD == 8 ? 39 : 31))

enum { GUEST_MOST_OPS = 256 };

/** What loads of registers hold before; narrower loads may leave some of it. */
#define GUEST_UNTOUCHED ((seL4_Word)0x5e5e5e5e5e5e5e5e)

/** A value for stores whose bytes all differ, the widths of accesses up to the guest's word, and
 * the bits of a width. */
#define GUEST_VALUE ((seL4_Word)0x8182838485868788)
#define GUEST_WORD  sizeof(seL4_Word)
enum { GUEST_NUM_WIDTHS = GUEST_WORD == 8 ? 4 : 3 };
extern const size_t guest_widths[GUEST_NUM_WIDTHS];
uint64_t guest_width_mask(size_t width);

typedef enum guest_state { GUEST_NOT_STARTED, GUEST_READY, GUEST_LOST } guest_state_t;

typedef struct guest {
    guest_state_t state;
    counting_t counting;
    vm_t vm;
    vm_vcpu_t *vcpu;
    bool ended; /* the list came to its end */
    guest_op_t ops[GUEST_MOST_OPS];
    size_t num_ops;
} guest_t;

/** Run a check of the suite with the guest. */
void guest_run_check(suite_t *suite);
/** End the guest, if it was started and the runtime can. */
void guest_end(suite_t *suite);

/* The list of accesses. Each answers its index. */
void guest_clear(suite_t *suite);
size_t guest_load(suite_t *suite, size_t width, uintptr_t address);
size_t guest_store(suite_t *suite, size_t width, uintptr_t address, uint64_t value);

/** Let the guest make the accesses; whether it made all is an expectation. */
bool guest_go(suite_t *suite);

/**
 * Let the guest make accesses of which one ends it with an error, and expect that. The guest cannot
 * be used afterwards, so this is for the last check.
 */
void guest_go_to_its_end(suite_t *suite);

/** Let the guest, whose caches are off, see what the VMM wrote there: within one page of 4 KiB. */
void guest_clean(suite_t *suite, void *vaddr, size_t size);

/** What that load found, of its width. */
uint64_t guest_loaded(suite_t *suite, size_t index);

/** guest_clear(), one load, guest_go(): what it found. */
uint64_t guest_load_now(suite_t *suite, size_t width, uintptr_t address);
/** The same with a store. */
void guest_store_now(suite_t *suite, size_t width, uintptr_t address, uint64_t value);

/** What a device saw of accesses, and how it answers. */
typedef struct device {
    int count;
    struct {
        uintptr_t address, ip;
        size_t length, size;
        uint64_t data, mask;
        bool read;
    } seen[16];                   /* the first of them */
    uint64_t answer;              /* what loads find, in its lanes */
    memory_fault_result_t result; /* FAULT_HANDLED: completed; else that is answered */
} device_t;

/** A fault callback whose cookie is a device_t. */
memory_fault_result_t device_access(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t length,
                                    void *cookie);

/** Reserve a range of the guest for a device; NULL is an unmet expectation. */
vm_memory_reservation_t *guest_device(suite_t *suite, uintptr_t addr, size_t size,
                                      device_t *device);
