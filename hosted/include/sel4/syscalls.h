/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Messages. Words are in the message registers of the calling thread (seL4_GetMR(), seL4_SetMR());
 * capabilities are not sent. Each thread of the process is the root task's thread: its capability
 * and its bound notification are those of all. Without a current system (see hosted_system_enter())
 * nothing is sent, and what is received is empty.
 *
 * Guests run while a thread waits here, see <hosted/processor.h>.
 */

#include <sel4/types.h>

/**
 * Send to an endpoint, and wait until it is received; to a notification, as seL4_Signal(); to a
 * reply capability, as seL4_Reply().
 */
void seL4_Send(seL4_CPtr dest, seL4_MessageInfo_t msgInfo);

/** As seL4_Send(), but what nobody waits for at an endpoint is lost. */
void seL4_NBSend(seL4_CPtr dest, seL4_MessageInfo_t msgInfo);

/**
 * Wait for a message at an endpoint or for the bound notification, or for a notification.
 *
 * @param sender  receives the badge, or the notification's word; may be NULL
 */
seL4_MessageInfo_t seL4_Recv(seL4_CPtr src, seL4_Word *sender);

/** As seL4_Recv(), but does not wait: an empty message with badge 0 if there is none. */
seL4_MessageInfo_t seL4_NBRecv(seL4_CPtr src, seL4_Word *sender);

/** Reply to the thread whose message was received last: a guest that faulted goes on. */
void seL4_Reply(seL4_MessageInfo_t msgInfo);

seL4_MessageInfo_t seL4_ReplyRecv(seL4_CPtr dest, seL4_MessageInfo_t msgInfo, seL4_Word *sender);

/** Wait for a notification. */
static inline void seL4_Wait(seL4_CPtr src, seL4_Word *sender)
{
    seL4_Recv(src, sender);
}

/** Let other threads of the process run. */
void seL4_Yield(void);
