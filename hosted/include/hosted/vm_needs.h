/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What a hosted VM and its VCPU take themselves, beside their memory: for plans. */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The most kernel objects that one part of a VM makes. */
#define HOSTED_VM_MAX_OBJECTS 2

typedef struct hosted_vm_needs {
    size_t object_bits[HOSTED_VM_MAX_OBJECTS]; /**< log2 bytes, in the order that they are made */
    size_t num_objects;                        /**< each takes a slot and a retype */
    size_t heap_blocks;
    size_t heap_bytes;
    uint64_t mints; /**< kernel invocations */
    uint64_t asid_assigns;
    uint64_t tcb_calls;
    uint64_t vcpu_calls;
} hosted_vm_needs_t;

/** What vm_init() takes for a VM of that name, but for what vm_memory_init() does. */
hosted_vm_needs_t hosted_vm_needs(const char *name);

/** What vm_create_vcpu() takes. */
hosted_vm_needs_t hosted_vcpu_needs(void);

#ifdef __cplusplus
}
#endif
