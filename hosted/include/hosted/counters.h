/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file How often each kind of kernel invocation was made, successful or not. */

#include <stdint.h>
#include <hosted/system.h>

typedef enum hosted_invocation {
    HOSTED_UNTYPED_RETYPE,
    HOSTED_CNODE_COPY,
    HOSTED_CNODE_MINT,
    HOSTED_CNODE_MOVE, /* and Mutate, Rotate, SaveCaller */
    HOSTED_CNODE_DELETE,
    HOSTED_CNODE_REVOKE, /* and CancelBadgedSends */
    HOSTED_PAGE_MAP,
    HOSTED_PAGE_UNMAP,
    HOSTED_PAGE_GET_ADDRESS,
    HOSTED_PAGE_CACHE, /* clean, invalidate, unify; of an address space as well */
    HOSTED_PAGE_TABLE_MAP,
    HOSTED_PAGE_TABLE_UNMAP,
    HOSTED_ASID_POOL_ASSIGN,
    HOSTED_TCB,  /* any invocation of a TCB */
    HOSTED_VCPU, /* any invocation of a VCPU */
    HOSTED_ASID_CONTROL,
    HOSTED_IRQ,    /* any invocation of the interrupt control or of a handler */
    HOSTED_DOMAIN, /* any invocation of the domain control */
    HOSTED_NUM_INVOCATIONS
} hosted_invocation_t;

/** The invocation's name as the seL4 manual has it, e.g. "ARM_Page_Map". */
const char *hosted_invocation_name(hosted_invocation_t invocation);

/** Invocations of that kind since the system was made. */
uint64_t hosted_invocation_count(hosted_system_t *system, hosted_invocation_t invocation);

/** Invocations of all kinds since the system was made. */
uint64_t hosted_invocation_total(hosted_system_t *system);

/** Invocations of that kind that returned an error since the system was made. */
uint64_t hosted_invocation_failures(hosted_system_t *system, hosted_invocation_t invocation);

/** Called after an invocation, on its thread. It may make others, of which it is told as well. */
typedef void (*hosted_invocation_fn)(void *cookie, hosted_invocation_t invocation,
                                     seL4_Error error);

/** Observe all invocations in a system from now on, in place of who did so before. @param observer
 *  NULL: nobody does */
void hosted_observe_invocations(hosted_system_t *system, hosted_invocation_fn observer,
                                void *cookie);
