/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the PL011 as a device of an emulated range; the model is the hosted system's.
 */

#include "device.h"

#include <hosted/pl011.h>

typedef struct port {
    device_t device;
    hosted_pl011_t uart;
} port_t;

static void on_output(void *cookie, const char *bytes, size_t size)
{
    const device_host_t *host = &((port_t *)cookie)->device.host;

    if (host->output != NULL) {
        host->output(host->cookie, bytes, size);
    }
}

static void on_interrupt(void *cookie, bool high)
{
    const device_t *device = &((port_t *)cookie)->device;

    if (device->host.interrupt != NULL) {
        device->host.interrupt(device->host.cookie, device, high);
    }
}

static hosted_pl011_t *pl011_of(device_t *device)
{
    return &((port_t *)device)->uart;
}

static void pl011_init(device_t *device)
{
    hosted_pl011_t *uart = pl011_of(device);

    hosted_pl011_init(uart);
    uart->output = on_output;
    uart->interrupt = on_interrupt;
    uart->cookie = device;
}

static uint64_t pl011_read(device_t *device, uint64_t offset, unsigned width)
{
    (void)width;
    return hosted_pl011_read(pl011_of(device), offset);
}

static void pl011_write(device_t *device, uint64_t offset, unsigned width, uint64_t value)
{
    (void)width;
    hosted_pl011_write(pl011_of(device), offset, (uint32_t)value);
}

static size_t pl011_send(device_t *device, const char *bytes, size_t size)
{
    return hosted_pl011_send(pl011_of(device), bytes, size);
}

static void pl011_state(const device_t *device, device_serial_t *state)
{
    const hosted_pl011_t *uart = &((const port_t *)device)->uart;

    *state = (device_serial_t){
        .waiting = uart->count,
        .room = HOSTED_PL011_INPUT - uart->count,
        .empty_polls = uart->empty_polls,
        .bytes_sent = uart->bytes_sent,
        .interrupts = hosted_pl011_input_interrupts(uart),
    };
}

static const char *pl011_move(device_t *device, device_state_t *state)
{
    hosted_pl011_t *uart = pl011_of(device);

    device_move(state, uart->registers, sizeof(uart->registers));
    device_move(state, uart->input, sizeof(uart->input));
    device_move(state, &uart->first, sizeof(uart->first));
    device_move(state, &uart->count, sizeof(uart->count));
    device_move(state, &uart->empty_polls, sizeof(uart->empty_polls));
    device_move(state, &uart->bytes_sent, sizeof(uart->bytes_sent));
    device_move_flag(state, &uart->transmitted);
    device_move_flag(state, &uart->line);
    return uart->first < HOSTED_PL011_INPUT && uart->count <= HOSTED_PL011_INPUT
               ? NULL
               : "more input waits than there can be";
}

const device_class_t device_pl011 = {
    .name = "pl011",
    .summary = "a serial port; the first one of a description is the console",
    .size = sizeof(port_t),
    .init = pl011_init,
    .read = pl011_read,
    .write = pl011_write,
    .send = pl011_send,
    .serial_state = pl011_state,
    .move = pl011_move,
};
