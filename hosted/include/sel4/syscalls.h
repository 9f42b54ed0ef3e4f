/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Messages and notifications. A host thread that has entered a system can receive, send and wait;
 * the first one that receives is the root task's thread, and gets its bound notification too.
 *
 * While a thread waits, VCPUs of threads that are resumed run. Waiting for a fault endpoint is how
 * a guest is entered. No capabilities are transferred. A call of another object by its label is not
 * one of these: use its invocation.
 */

#include <sel4/functions.h>
#include <sel4/types.h>

/** Send a message to an endpoint, wait until it is received. A reply capability is replied to. */
void seL4_Send(seL4_CPtr dest, seL4_MessageInfo_t info);

/** seL4_Send(), but nothing is sent if nobody waits for it. */
void seL4_NBSend(seL4_CPtr dest, seL4_MessageInfo_t info);

/** Send and wait for the reply. */
seL4_MessageInfo_t seL4_Call(seL4_CPtr dest, seL4_MessageInfo_t info);

/** Wait for a message of an endpoint, or a notification. `sender` receives its badge, or is NULL.
 */
seL4_MessageInfo_t seL4_Recv(seL4_CPtr src, seL4_Word *sender);

/** seL4_Recv(), but the badge is 0 if there is nothing. */
seL4_MessageInfo_t seL4_NBRecv(seL4_CPtr src, seL4_Word *sender);

/** Reply to who called last; a fault's reply lets the thread go on as the kernel says. */
void seL4_Reply(seL4_MessageInfo_t info);

/** seL4_Reply(), then seL4_Recv(). */
seL4_MessageInfo_t seL4_ReplyRecv(seL4_CPtr src, seL4_MessageInfo_t info, seL4_Word *sender);

/** Let other threads run. */
void seL4_Yield(void);

/** Add the capability's badge to the notification's word and wake who waits for it. */
void seL4_Signal(seL4_CPtr dest);

/** Wait for a notification and take its word. `sender` may be NULL. */
void seL4_Wait(seL4_CPtr src, seL4_Word *sender);

/** Take the notification's word, 0 if nobody signalled; never waits. `sender` may be NULL. */
seL4_MessageInfo_t seL4_Poll(seL4_CPtr src, seL4_Word *sender);
