/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The memory of a VM that does not run, on counting interfaces: made before a check, ended after
 * it, and then nothing may be held.
 */

#include "suite.h"
#include <guestmem/error.h>
#include <guestmem/inspect.h>
#include <guestmem/memory.h>
#include <guestmem/policy.h>
#include <guestmem/vspace.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>
#include <sel4vmmplatsupport/guest_memory_util.h>

/* Where guests have their memory in checks: anywhere, as no physical memory is meant. And what a
 * guest cannot address, where no memory is, and how many tables a page has. */
#ifdef CONFIG_ARCH_AARCH64
#define GPA      ((uintptr_t)0x80000000)
#define ABOVE    ((uintptr_t)1 << 40)
#define NO_PADDR (((uintptr_t)1 << 44) - PAGE)
#define TABLES   2
#else
#define GPA      ((uintptr_t)0x10000000)
#define ABOVE    ((uintptr_t)0xf0000000)
#define NO_PADDR ((uintptr_t)0x08000000) /* the kernel's interrupt controller */
#define TABLES   1
#endif
#define BLOCK_BITS 21 /* a frame of 2 MiB */

/* libsel4vm declares these two in headers of its own. */
int vm_memory_init(vm_t *vm);
memory_fault_result_t vm_memory_handle_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr,
                                             size_t size);

/** Make the memory of `suite->vm`. @return false with an unmet expectation */
bool memory_open(suite_t *suite);
/** End it; what is still held is an unmet expectation. */
void memory_close(suite_t *suite);

/** Make the memory of another VM on the same counting interfaces. @see vm_memory_destroy */
bool memory_make(suite_t *suite, vm_t *vm);

/** What a fault callback saw last, and what it answers. */
typedef struct faults {
    int count;
    uintptr_t addr;
    size_t length;
    memory_fault_result_t answer;
} faults_t;

/** A fault callback whose cookie is a faults_t. */
memory_fault_result_t record_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t length,
                                   void *cookie);

/** Reserve in `suite->vm` with a callback that answers FAULT_ERROR; NULL is an unmet expectation.
 */
vm_memory_reservation_t *reserve(suite_t *suite, uintptr_t addr, size_t size);

/** Expect that the last call of `suite->vm` that failed did so for that reason, and said so. */
bool suite_expect_reason(suite_t *suite, guestmem_error_code_t code, const char *file, int line);
#define EXPECT_REASON(code) suite_expect_reason(suite, code, __FILE__, __LINE__)

/** Expect that a call is refused, as `refusal` says, for that reason. */
#define EXPECT_REFUSED(refusal, code)                                                              \
    do {                                                                                           \
        EXPECT(refusal);                                                                           \
        EXPECT_REASON(code);                                                                       \
    } while (0)

/** The reservation's description, or zeroes with an unmet expectation. */
guestmem_reservation_info_t info_of(suite_t *suite, vm_memory_reservation_t *reservation);

/** The library's statistics of `suite->vm`. */
guestmem_statistics_t statistics_of(suite_t *suite);

/** Whether the library shows a frame there, through the guest's vspace_t. */
bool has_frame(suite_t *suite, uintptr_t gpa);

/** Expect that the same is held as `before`. */
bool suite_expect_held(suite_t *suite, const holdings_t *before, const char *file, int line);
#define EXPECT_HELD(before) suite_expect_held(suite, before, __FILE__, __LINE__)

/**
 * The physical address of `bytes` of regular memory that is free: the allocator's answer to a
 * question, so hold nothing of it for long. @return 0 with an unmet expectation
 */
uintptr_t free_paddr(suite_t *suite, size_t bytes);

/** A map iterator that hands out an array of frames, in order. */
typedef struct handout {
    vm_frame_t frames[8];
    uintptr_t asked[8];
    int next;
} handout_t;
vm_frame_t hand_out(uintptr_t addr, void *cookie);
