/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The kernel's errors and faults by name. */

/** Print an error with its place on stderr and abort; seL4_NoError is none. */
#define sel4_error(e, str)                                                                         \
    ((e) == seL4_NoError ? (void)0 : __sel4_error(e, __FILE__, __func__, __LINE__, str))

void __sel4_error(int error, const char *file, const char *function, int line, char *text);

/** The name of an seL4_Error, e.g. "seL4_DeleteFirst"; a text for what is none. */
const char *sel4_strerror(int errcode);

/** The name of a fault message's label, e.g. "seL4_Fault_VMFault"; a text for what is none. */
const char *sel4_strfault(int errcode);
