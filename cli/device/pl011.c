/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the PL011 model (Arm PrimeCell UART, DDI 0183): data, flags and interrupts as the hardware
 * has them, the configuration registers as memory, and the identification registers. A byte is
 * transmitted as soon as it is written. The receive side holds what pl011_send() took until the
 * guest reads it; of that, the guest's FIFO shows as much as it has room for. Bytes that wait have
 * always waited for longer than the receive timeout.
 */

#include "pl011.h"

#include <stdlib.h>

enum {
    REGISTER_DATA = 0x000,
    REGISTER_STATUS = 0x004,
    REGISTER_FLAGS = 0x018,
    REGISTER_LINE_CONTROL = 0x02c,
    REGISTER_CONTROL = 0x030,
    REGISTER_LEVELS = 0x034,
    REGISTER_INTERRUPT_MASK = 0x038,
    REGISTER_RAW_INTERRUPTS = 0x03c,
    REGISTER_MASKED_INTERRUPTS = 0x040,
    REGISTER_INTERRUPT_CLEAR = 0x044,
    REGISTER_CONFIGURATION_END = 0x04c,
    REGISTER_IDENTIFICATION = 0xfe0,
};

enum {
    FIFO_SIZE = 32,
    FIFO_ENABLE = 1 << 4, /* of the line control register */
    FLAG_RECEIVE_EMPTY = 1 << 4,
    FLAG_RECEIVE_FULL = 1 << 6,
    FLAG_TRANSMIT_EMPTY = 1 << 7,
    INTERRUPT_RECEIVE = 1 << 4,
    INTERRUPT_TRANSMIT = 1 << 5,
    INTERRUPT_RECEIVE_TIMEOUT = 1 << 6,
    INTERRUPTS = 0x7ff,
};

typedef struct pl011 {
    device_t device;
    uint32_t registers[REGISTER_CONFIGURATION_END / 4]; /* what reads back as written */
    char input[PL011_INPUT_SIZE];                       /* a ring */
    size_t first;
    size_t count;
    bool transmitted; /* since the transmit interrupt was cleared */
    bool line;        /* of the interrupt */
    uint64_t empty_polls;
    uint64_t bytes_sent;
} pl011_t;

static device_t *pl011_create(void)
{
    pl011_t *uart = calloc(1, sizeof(*uart));

    if (uart == NULL) {
        return NULL;
    }
    uart->registers[REGISTER_CONTROL / 4] = 0x300; /* transmit and receive enabled */
    uart->registers[REGISTER_LEVELS / 4] = 0x12;   /* half full */
    return &uart->device;
}

static void pl011_destroy(device_t *device)
{
    free(device);
}

static size_t fifo_size(const pl011_t *uart)
{
    return uart->registers[REGISTER_LINE_CONTROL / 4] & FIFO_ENABLE ? FIFO_SIZE : 1;
}

/** How many bytes make a receive interrupt. */
static size_t receive_level(const pl011_t *uart)
{
    static const uint8_t eighths[8] = {1, 2, 4, 6, 7, 7, 7, 7};
    size_t level = fifo_size(uart) * eighths[uart->registers[REGISTER_LEVELS / 4] >> 3 & 7] / 8;

    return level > 0 ? level : 1;
}

static uint32_t raw_interrupts(const pl011_t *uart)
{
    return (uart->transmitted ? INTERRUPT_TRANSMIT : 0u) |
           (uart->count >= receive_level(uart) ? INTERRUPT_RECEIVE : 0u) |
           (uart->count > 0 ? INTERRUPT_RECEIVE_TIMEOUT : 0u);
}

static uint32_t masked_interrupts(const pl011_t *uart)
{
    return raw_interrupts(uart) & uart->registers[REGISTER_INTERRUPT_MASK / 4];
}

/** Tell the host if the interrupt line has changed. */
static void update_line(pl011_t *uart)
{
    device_t *device = &uart->device;
    bool line = masked_interrupts(uart) != 0;

    if (line != uart->line) {
        uart->line = line;
        if (device->host.interrupt != NULL) {
            device->host.interrupt(device->host.cookie, device, line);
        }
    }
}

static uint32_t read_data(pl011_t *uart)
{
    uint32_t byte;

    if (uart->count == 0) {
        uart->empty_polls++;
        return 0;
    }
    byte = (unsigned char)uart->input[uart->first];
    uart->first = (uart->first + 1) % PL011_INPUT_SIZE;
    uart->count--;
    update_line(uart);
    return byte;
}

static uint32_t read_flags(pl011_t *uart)
{
    if (uart->count > 0) {
        return FLAG_TRANSMIT_EMPTY | (uart->count >= fifo_size(uart) ? FLAG_RECEIVE_FULL : 0u);
    }
    uart->empty_polls++;
    return FLAG_TRANSMIT_EMPTY | FLAG_RECEIVE_EMPTY;
}

static uint64_t pl011_read(device_t *device, uint64_t offset, unsigned width)
{
    /* Peripheral 0x011 by Arm (0x41), revision 3; then the PrimeCell identification. */
    static const uint8_t identification[] = {0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1};
    pl011_t *uart = (pl011_t *)device;

    (void)width;
    if (offset % 4 != 0) {
        return 0;
    }
    if (offset >= REGISTER_IDENTIFICATION && offset < REGISTER_IDENTIFICATION + 32) {
        return identification[(offset - REGISTER_IDENTIFICATION) / 4];
    }
    switch (offset) {
    case REGISTER_DATA:
        return read_data(uart);
    case REGISTER_STATUS:
        return 0;
    case REGISTER_FLAGS:
        return read_flags(uart);
    case REGISTER_RAW_INTERRUPTS:
        return raw_interrupts(uart);
    case REGISTER_MASKED_INTERRUPTS:
        return masked_interrupts(uart);
    default:
        return offset < REGISTER_CONFIGURATION_END ? uart->registers[offset / 4] : 0;
    }
}

static void pl011_write(device_t *device, uint64_t offset, unsigned width, uint64_t value)
{
    pl011_t *uart = (pl011_t *)device;
    char byte = (char)value;

    (void)width;
    if (offset == REGISTER_DATA) {
        uart->bytes_sent++;
        uart->transmitted = true;
        if (device->host.output != NULL) {
            device->host.output(device->host.cookie, &byte, 1);
        }
    } else if (offset == REGISTER_INTERRUPT_CLEAR) {
        uart->transmitted = uart->transmitted && !(value & INTERRUPT_TRANSMIT);
    } else if (offset == REGISTER_INTERRUPT_MASK) {
        uart->registers[offset / 4] = (uint32_t)value & INTERRUPTS;
    } else if (offset % 4 == 0 && offset < REGISTER_CONFIGURATION_END) {
        uart->registers[offset / 4] = (uint32_t)value;
    }
    update_line(uart);
}

size_t pl011_room(const device_t *device)
{
    return PL011_INPUT_SIZE - ((const pl011_t *)device)->count;
}

size_t pl011_send(device_t *device, const char *bytes, size_t size)
{
    pl011_t *uart = (pl011_t *)device;
    size_t taken = 0;

    while (taken < size && uart->count < PL011_INPUT_SIZE) {
        uart->input[(uart->first + uart->count) % PL011_INPUT_SIZE] = bytes[taken++];
        uart->count++;
    }
    update_line(uart);
    return taken;
}

bool pl011_interrupts_on_input(const device_t *device)
{
    return (((const pl011_t *)device)->registers[REGISTER_INTERRUPT_MASK / 4] &
            (INTERRUPT_RECEIVE | INTERRUPT_RECEIVE_TIMEOUT)) != 0;
}

bool pl011_has_input(const device_t *device)
{
    return ((const pl011_t *)device)->count > 0;
}

uint64_t pl011_empty_polls(const device_t *device)
{
    return ((const pl011_t *)device)->empty_polls;
}

uint64_t pl011_bytes_sent(const device_t *device)
{
    return ((const pl011_t *)device)->bytes_sent;
}

const device_class_t device_pl011 = {
    .name = "pl011",
    .summary = "a serial port; the first one of a description is the console",
    .create = pl011_create,
    .read = pl011_read,
    .write = pl011_write,
    .destroy = pl011_destroy,
};
