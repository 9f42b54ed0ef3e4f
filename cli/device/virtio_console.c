/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the virtio console, of one port: what the guest sends goes to a file, or to the machine's
 * console. Input waits here until the guest has buffers for it.
 */

#include "virtio.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { QUEUE_INPUT = 0, QUEUE_OUTPUT = 1, INPUT_SIZE = 4096, LONGEST_OUTPUT = 1 << 20 };

typedef struct console {
    virtio_t virtio;
    int file;     /* where output goes; -1: to the host */
    bool emptied; /* it has been, for what is sent here */
    char input[INPUT_SIZE];
    size_t waiting; /* bytes of it */
    uint64_t bytes_sent;
    virtio_chain_t chain; /* that is being worked on */
} console_t;

static void send_out(console_t *console, const char *bytes, size_t size)
{
    const device_host_t *host = &console->virtio.device.host;

    /* Emptied only now: a machine that is built and does not run leaves the file as it was. What
     * cannot be emptied, such as a pipe, has no old content. */
    if (console->file >= 0 && !console->emptied) {
        (void)!ftruncate(console->file, 0);
        console->emptied = true;
    }
    console->bytes_sent += size;
    if (console->file < 0 && host->output != NULL) {
        host->output(host->cookie, bytes, size);
    }
    while (console->file >= 0 && size > 0) {
        ssize_t done = write(console->file, bytes, size);
        if (done < 0 && errno != EINTR) {
            return; /* the guest need not know that the file takes no more */
        }
        bytes += done > 0 ? done : 0;
        size -= done > 0 ? (size_t)done : 0;
    }
}

/** Take all that the guest sends, but at most a queue full at once. */
static void take_output(console_t *console)
{
    bool any = false;

    for (int i = 0;
         i < VIRTIO_QUEUE_SIZE && virtio_take(&console->virtio, QUEUE_OUTPUT, &console->chain);
         i++) {
        if (console->chain.readable > LONGEST_OUTPUT) { /* it could name all RAM, again and again */
            virtio_refuse(&console->virtio, "more than 1 MiB is sent at once");
            break;
        }
        for (uint32_t p = 0; p < console->chain.num_readable; p++) {
            send_out(console, (const char *)console->chain.pieces[p].bytes,
                     console->chain.pieces[p].size);
        }
        virtio_give(&console->virtio, QUEUE_OUTPUT, &console->chain, 0);
        any = true;
    }
    if (any) {
        virtio_interrupt(&console->virtio, QUEUE_OUTPUT);
    }
}

/** Give the guest what waits, as far as it has buffers. */
static void give_input(console_t *console)
{
    virtio_chain_t *chain = &console->chain;
    bool any = false;

    while (console->waiting > 0 && virtio_take(&console->virtio, QUEUE_INPUT, chain)) {
        size_t given = 0;
        if (chain->writable == 0) { /* a ring could offer such without end */
            virtio_refuse(&console->virtio, "a buffer for input has no byte to write");
            break;
        }
        for (uint32_t p = chain->num_readable; p < chain->num_pieces; p++) {
            size_t left = console->waiting - given;
            size_t part = chain->pieces[p].size < left ? chain->pieces[p].size : left;
            memcpy(chain->pieces[p].bytes, console->input + given, part);
            given += part;
        }
        console->waiting -= given;
        memmove(console->input, console->input + given, console->waiting);
        virtio_give(&console->virtio, QUEUE_INPUT, chain, (uint32_t)given);
        any = true;
    }
    if (any) {
        virtio_interrupt(&console->virtio, QUEUE_INPUT);
    }
}

static void notify(virtio_t *virtio, unsigned queue)
{
    (queue == QUEUE_INPUT ? give_input : take_output)((console_t *)virtio);
}

static size_t console_send(device_t *device, const char *bytes, size_t size)
{
    console_t *console = (console_t *)device;
    size_t room = INPUT_SIZE - console->waiting;

    size = size < room ? size : room;
    memcpy(console->input + console->waiting, bytes, size);
    console->waiting += size;
    give_input(console);
    return size;
}

static void console_state(const device_t *device, device_serial_t *state)
{
    const console_t *console = (const console_t *)device;

    *state = (device_serial_t){
        .waiting = console->waiting,
        .room = INPUT_SIZE - console->waiting,
        .bytes_sent = console->bytes_sent,
        .interrupts = true,
    };
}

static const virtio_kind_t kind = {
    .id = VIRTIO_CONSOLE_ID,
    .num_queues = 2,
    .notify = notify,
};

static void console_init(device_t *device)
{
    console_t *console = (console_t *)device;

    console->file = -1;
    virtio_init(&console->virtio, &kind);
}

static void console_close(device_t *device)
{
    const console_t *console = (console_t *)device;

    if (console->file >= 0) {
        close(console->file);
    }
}

static int console_open(device_t *device, const char *path, bool read_only)
{
    console_t *console = (console_t *)device;

    (void)read_only;
    /* A pipe without a reader is an error, and nothing to wait for. */
    console->file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    return console->file >= 0 && fcntl(console->file, F_SETFL, 0) == 0 ? 0 : errno;
}

static const char *console_move(device_t *device, device_state_t *state)
{
    console_t *console = (console_t *)device;

    device_move(state, console->input, sizeof(console->input));
    device_move(state, &console->waiting, sizeof(console->waiting));
    device_move(state, &console->bytes_sent, sizeof(console->bytes_sent));
    return console->waiting <= INPUT_SIZE ? virtio_move(&console->virtio, state)
                                          : "more input waits than there can be";
}

const device_class_t device_virtio_console = {
    .name = "virtio-console",
    .summary = "a console by virtio: to a file, or the machine's where no pl011 is",
    .size = sizeof(console_t),
    .init = console_init,
    .open = console_open,
    .read = virtio_read,
    .write = virtio_write,
    .send = console_send,
    .serial_state = console_state,
    .move = console_move,
    .close = console_close,
};
