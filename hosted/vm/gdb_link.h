/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The connection to a debugger: a socket, and the packets of GDB's remote protocol on it. One
 * client at a time; the next one waits. Nothing blocks but gdb_link_wait().
 */

#include <stdbool.h>
#include <stddef.h>

enum { GDB_PACKET_SIZE = 0x4000 };

typedef struct gdb_link {
    int listener;      /* -1: none */
    int client;        /* -1: none */
    bool acknowledges; /* each packet */
    char address[128]; /* of the listener */
    char path[108];    /* of a Unix socket, to be removed; or "" */
    size_t received;
    char in[GDB_PACKET_SIZE]; /* a packet with all that is around it */
    char out[2 * GDB_PACKET_SIZE + 4];
} gdb_link_t;

typedef enum gdb_event {
    GDB_NOTHING,
    GDB_REQUEST,
    GDB_INTERRUPT, /* Ctrl-C */
    GDB_GONE,      /* the client is no longer there, or it is no debugger: it was dropped */
} gdb_event_t;

/** @param where  see hosted_gdb_listen(). @return 0; -1 with one line in `error` */
int gdb_link_listen(gdb_link_t *link, const char *where, char *error, size_t error_size);
void gdb_link_close(gdb_link_t *link);

/** Take the next client, if there is none now and one waits. @return whether there is a new one */
bool gdb_link_accept(gdb_link_t *link);

/** Wait for a client, or for what it sends. */
void gdb_link_wait(const gdb_link_t *link, int milliseconds);

/** @param packet  receives a request: GDB_PACKET_SIZE bytes, NUL-terminated. @param size  its bytes
 */
gdb_event_t gdb_link_receive(gdb_link_t *link, char *packet, size_t *size);

/** Send a packet; a client that does not take it is dropped, which the next receive notices. */
void gdb_link_send(gdb_link_t *link, const char *text);

void gdb_link_drop(gdb_link_t *link);
