/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What a kernel invocation returns. */

/** Details of an error are in the message registers; see the seL4 manual's chapter on errors. */
typedef enum {
    seL4_NoError = 0,
    seL4_InvalidArgument,   /* MR0: index of the argument */
    seL4_InvalidCapability, /* MR0: index of the capability argument */
    seL4_IllegalOperation,
    seL4_RangeError, /* MR0, MR1: least and greatest allowed value */
    seL4_AlignmentError,
    seL4_FailedLookup, /* MR0: whether a source, MR1: seL4_LookupFailureType, MR2: bits */
    seL4_TruncatedMessage,
    seL4_DeleteFirst,
    seL4_RevokeFirst,
    seL4_NotEnoughMemory, /* MR0: bytes that are left */
    seL4_NumErrors
} seL4_Error;
