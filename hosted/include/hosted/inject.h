/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Make the k-th operation fail, to see what a caller does not undo.
 *
 * Operations are counted from the call of hosted_inject_fail(). An operation that is made to fail
 * changes nothing: a kernel invocation returns `seL4_NotEnoughMemory` (with a bytes-left of 0), an
 * allocator call returns non-zero, a heap allocation ENOMEM. Operations that undo (see
 * HOSTED_OPERATION_UNDO) cannot fail on the kernel and are made to fail only when asked for.
 */

#include <stdbool.h>
#include <stdint.h>
#include <hosted/system.h>

typedef enum hosted_operation {
    HOSTED_OPERATION_INVOCATION = 1 << 0, /* kernel invocations, but for undo */
    HOSTED_OPERATION_ALLOCATOR = 1 << 1,  /* vka and VMM vspace calls that acquire */
    HOSTED_OPERATION_HEAP = 1 << 2,       /* malloc_ops malloc and calloc */
    HOSTED_OPERATION_UNDO = 1 << 3,       /* Page_Unmap, PageTable_Unmap, CNode_Delete, Revoke */
    HOSTED_OPERATION_FORWARD =
        HOSTED_OPERATION_INVOCATION | HOSTED_OPERATION_ALLOCATOR | HOSTED_OPERATION_HEAP
} hosted_operation_t;

/**
 * Let the k-th (from 1) operation among `operations` fail, once.
 *
 * @param operations  HOSTED_OPERATION_ bits
 * @param k           which one; 0 only counts
 */
void hosted_inject_fail(hosted_system_t *system, unsigned operations, uint64_t k);

/** As hosted_inject_fail(), but those after the k-th fail as well: the resource is exhausted. */
void hosted_inject_fail_from(hosted_system_t *system, unsigned operations, uint64_t k);

/**
 * After hosted_inject_fail(): once its operation has failed, let the k-th (from 1) of those that
 * follow among `operations` fail too, once. So undo can be made to fail.
 */
void hosted_inject_then_fail(hosted_system_t *system, unsigned operations, uint64_t k);

/** Stop. @return operations seen since hosted_inject_fail(), the failed one included */
uint64_t hosted_inject_stop(hosted_system_t *system);

/** Whether the operation was made to fail since hosted_inject_fail(). */
bool hosted_inject_fired(hosted_system_t *system);

/** Whether the operation of hosted_inject_then_fail() was made to fail as well. */
bool hosted_inject_fired_twice(hosted_system_t *system);
