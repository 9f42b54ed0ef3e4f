/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * See gdb_link.h. What a client sends is not trusted: it is looked at as GDB's manual describes it
 * (appendix "Remote Serial Protocol", "Overview"), and anything else ends the connection. A packet
 * that is damaged is not asked for again, because sockets do not damage any.
 */

#define _GNU_SOURCE
#include "gdb_link.h"
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CTRL_C = 0x03, ESCAPE = '}', ESCAPE_BIT = 0x20, CHECKSUM_BYTES = 3, BACKLOG = 4 };

static int listen_at(gdb_link_t *link, const struct sockaddr *address, socklen_t size)
{
    int yes = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
        bind(fd, address, size) == 0 && listen(fd, BACKLOG) == 0) {
        link->listener = fd;
        return 0;
    }
    int reason = errno;
    if (fd >= 0) {
        close(fd);
    }
    return reason;
}

static int listen_unix(gdb_link_t *link, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(address.sun_path)) {
        return ENAMETOOLONG;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int reason = listen_at(link, (const struct sockaddr *)&address, sizeof(address));
    if (reason == 0) {
        memcpy(link->path, path, strlen(path) + 1);
        snprintf(link->address, sizeof(link->address), "%s", path);
    }
    return reason;
}

/* Note the address that the system gave. */
static void name_address(gdb_link_t *link)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    char host[64] = "";
    char port[16] = "";

    getsockname(link->listener, (struct sockaddr *)&address, &size);
    getnameinfo((struct sockaddr *)&address, size, host, sizeof(host), port, sizeof(port),
                NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(link->address, sizeof(link->address), strchr(host, ':') ? "[%s]:%s" : "%s:%s", host,
             port);
}

/* @return 0 or an errno; -1 with `why` */
static int listen_tcp(gdb_link_t *link, const char *where, const char **why)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    char host[64] = "127.0.0.1";
    const char *port = strrchr(where, ':');
    size_t length = port != NULL ? (size_t)(port - where) : 0;

    if (port == NULL || port[1] == '\0' || length >= sizeof(host)) {
        *why = "must be [HOST]:PORT or a path with a \"/\"";
        return -1;
    }
    if (length > 0) {
        bool brackets = where[0] == '[' && where[length - 1] == ']';
        memcpy(host, where, length);
        host[length] = '\0';
        if (brackets) {
            memmove(host, host + 1, length - 2);
            host[length - 2] = '\0';
        }
    }
    int error = getaddrinfo(host, port + 1, &hints, &found);
    if (error != 0) {
        *why = gai_strerror(error);
        return -1;
    }
    error = listen_at(link, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    if (error == 0) {
        name_address(link);
    }
    return error;
}

int gdb_link_listen(gdb_link_t *link, const char *where, char *error, size_t error_size)
{
    const char *why = NULL;

    link->listener = link->client = -1;
    int reason =
        strchr(where, '/') != NULL ? listen_unix(link, where) : listen_tcp(link, where, &why);
    if (reason != 0) {
        snprintf(error, error_size, "%s: %s", where, reason > 0 ? strerror(reason) : why);
        return -1;
    }
    return 0;
}

void gdb_link_drop(gdb_link_t *link)
{
    if (link->client >= 0) {
        close(link->client);
        link->client = -1;
    }
}

void gdb_link_close(gdb_link_t *link)
{
    gdb_link_drop(link);
    close(link->listener);
    if (link->path[0] != '\0') {
        unlink(link->path);
    }
}

bool gdb_link_accept(gdb_link_t *link)
{
    if (link->client < 0) {
        link->client = accept4(link->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        link->acknowledges = true;
        link->received = 0;
        return link->client >= 0;
    }
    return false;
}

void gdb_link_wait(const gdb_link_t *link, int milliseconds)
{
    struct pollfd fd = {.fd = link->client >= 0 ? link->client : link->listener, .events = POLLIN};
    poll(&fd, 1, milliseconds);
}

static void send_bytes(gdb_link_t *link, const char *bytes, size_t size)
{
    while (link->client >= 0 && size > 0) {
        ssize_t sent = send(link->client, bytes, size, MSG_NOSIGNAL);
        if (sent > 0) {
            bytes += sent;
            size -= (size_t)sent;
        } else if (errno != EINTR) {
            gdb_link_drop(link); /* it has gone, or asks and does not read */
        }
    }
}

void gdb_link_send(gdb_link_t *link, const char *text)
{
    size_t size = 0;
    uint8_t sum = 0;

    link->out[size++] = '$';
    for (; *text != '\0' && size < sizeof(link->out) - CHECKSUM_BYTES - 2; text++) {
        bool special = strchr("#$}*", *text) != NULL;
        if (special) {
            link->out[size++] = ESCAPE;
        }
        link->out[size++] = (char)(special ? *text ^ ESCAPE_BIT : *text);
    }
    for (size_t i = 1; i < size; i++) {
        sum = (uint8_t)(sum + (uint8_t)link->out[i]);
    }
    size += (size_t)snprintf(link->out + size, CHECKSUM_BYTES + 1, "#%02x", sum);
    send_bytes(link, link->out, size);
}

/* Take bytes off the front of what was received. */
static void consume(gdb_link_t *link, size_t size)
{
    link->received -= size;
    memmove(link->in, link->in + size, link->received);
}

/* The packet that `in` begins with, up to `end`, its "#". @return whether it is none */
static bool unpack(const gdb_link_t *link, const char *end, char *packet, size_t *size)
{
    char digits[CHECKSUM_BYTES] = {end[1], end[2], '\0'};
    char *rest;
    uint8_t sum = 0;

    *size = 0;
    for (const char *at = link->in + 1; at < end; at++) {
        bool escaped = *at == ESCAPE && at + 1 < end;
        sum = (uint8_t)(sum + (uint8_t)*at);
        if (escaped) {
            at++;
            sum = (uint8_t)(sum + (uint8_t)*at);
        }
        packet[(*size)++] = (char)(escaped ? *at ^ ESCAPE_BIT : *at);
    }
    packet[*size] = '\0';
    return strtoul(digits, &rest, 16) != sum || rest != digits + 2;
}

/* Look at what was received. @return GDB_NOTHING: more is needed */
static gdb_event_t take(gdb_link_t *link, char *packet, size_t *size)
{
    while (link->received > 0 && link->in[0] == '+') {
        consume(link, 1);
    }
    if (link->received == 0) {
        return GDB_NOTHING;
    }
    if (link->in[0] == CTRL_C) {
        consume(link, 1);
        return GDB_INTERRUPT;
    }
    const char *end = memchr(link->in, '#', link->received);
    size_t length = end != NULL ? (size_t)(end - link->in) + CHECKSUM_BYTES : 0;
    if (link->in[0] != '$' || (end == NULL && link->received == sizeof(link->in)) ||
        length > sizeof(link->in)) {
        return GDB_GONE;
    }
    if (end == NULL || length > link->received) {
        return GDB_NOTHING;
    }
    if (unpack(link, end, packet, size)) {
        return GDB_GONE;
    }
    consume(link, length);
    if (link->acknowledges) {
        send_bytes(link, "+", 1);
    }
    return GDB_REQUEST;
}

gdb_event_t gdb_link_receive(gdb_link_t *link, char *packet, size_t *size)
{
    gdb_event_t event = link->client >= 0 ? take(link, packet, size) : GDB_GONE;

    if (event == GDB_NOTHING) {
        ssize_t got =
            recv(link->client, link->in + link->received, sizeof(link->in) - link->received, 0);
        if (got > 0) {
            link->received += (size_t)got;
            event = take(link, packet, size);
        } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            event = GDB_GONE;
        }
    }
    if (event == GDB_GONE) {
        gdb_link_drop(link);
    }
    return event;
}
