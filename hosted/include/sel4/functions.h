/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The calling thread's message registers. */

#include <sel4/types.h>

/** The calling thread's IPC buffer; every thread of the process has one. Never NULL. */
seL4_IPCBuffer *seL4_GetIPCBuffer(void);

/** Let the calling thread use `buffer`, which it owns; NULL goes back to its own. */
void seL4_SetIPCBuffer(seL4_IPCBuffer *buffer);

/** Message register `i`: after a failed invocation, the details of its error. */
static inline seL4_Word seL4_GetMR(int i)
{
    return seL4_GetIPCBuffer()->msg[i];
}

static inline void seL4_SetMR(int i, seL4_Word mr)
{
    seL4_GetIPCBuffer()->msg[i] = mr;
}

static inline seL4_Word seL4_GetUserData(void)
{
    return seL4_GetIPCBuffer()->userData;
}

static inline void seL4_SetUserData(seL4_Word data)
{
    seL4_GetIPCBuffer()->userData = data;
}
