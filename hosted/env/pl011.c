/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * See <hosted/pl011.h>. A byte is transmitted as soon as it is written. Of the bytes that wait, the
 * guest's FIFO shows as many as it has room for; they have always waited for longer than the
 * receive timeout.
 */

#include <hosted/pl011.h>

enum {
    DATA = 0x000,
    STATUS = 0x004,
    FLAGS = 0x018,
    LINE_CONTROL = 0x02c,
    CONTROL = 0x030,
    LEVELS = 0x034,
    INTERRUPT_MASK = 0x038,
    RAW_INTERRUPTS = 0x03c,
    MASKED_INTERRUPTS = 0x040,
    INTERRUPT_CLEAR = 0x044,
    IDENTIFICATION = 0xfe0,
};

enum {
    FIFO_SIZE = 32,
    FIFO_ENABLE = 1 << 4, /* of the line control register */
    FLAG_RECEIVE_EMPTY = 1 << 4,
    FLAG_RECEIVE_FULL = 1 << 6,
    FLAG_TRANSMIT_EMPTY = 1 << 7,
    RECEIVE = 1 << 4,
    TRANSMIT = 1 << 5,
    RECEIVE_TIMEOUT = 1 << 6,
    ALL_INTERRUPTS = 0x7ff,
};

void hosted_pl011_init(hosted_pl011_t *uart)
{
    *uart = (hosted_pl011_t){0};
    uart->registers[CONTROL / 4] = 0x300; /* transmit and receive enabled */
    uart->registers[LEVELS / 4] = 0x12;   /* half full */
}

static size_t fifo_size(const hosted_pl011_t *uart)
{
    return uart->registers[LINE_CONTROL / 4] & FIFO_ENABLE ? FIFO_SIZE : 1;
}

/* How many bytes make a receive interrupt. */
static size_t receive_level(const hosted_pl011_t *uart)
{
    static const uint8_t eighths[8] = {1, 2, 4, 6, 7, 7, 7, 7};
    size_t level = fifo_size(uart) * eighths[uart->registers[LEVELS / 4] >> 3 & 7] / 8;
    return level > 0 ? level : 1;
}

static uint32_t raw_interrupts(const hosted_pl011_t *uart)
{
    return (uart->transmitted ? TRANSMIT : 0u) |
           (uart->count >= receive_level(uart) ? RECEIVE : 0u) |
           (uart->count > 0 ? RECEIVE_TIMEOUT : 0u);
}

static uint32_t masked_interrupts(const hosted_pl011_t *uart)
{
    return raw_interrupts(uart) & uart->registers[INTERRUPT_MASK / 4];
}

static void update_line(hosted_pl011_t *uart)
{
    bool line = masked_interrupts(uart) != 0;
    if (line != uart->line) {
        uart->line = line;
        if (uart->interrupt) {
            uart->interrupt(uart->cookie, line);
        }
    }
}

static uint32_t read_data(hosted_pl011_t *uart)
{
    if (uart->count == 0) {
        uart->empty_polls++;
        return 0;
    }
    uint32_t byte = (unsigned char)uart->input[uart->first];
    uart->first = (uart->first + 1) % HOSTED_PL011_INPUT;
    uart->count--;
    update_line(uart);
    return byte;
}

static uint32_t read_flags(hosted_pl011_t *uart)
{
    if (uart->count > 0) {
        return FLAG_TRANSMIT_EMPTY | (uart->count >= fifo_size(uart) ? FLAG_RECEIVE_FULL : 0u);
    }
    uart->empty_polls++;
    return FLAG_TRANSMIT_EMPTY | FLAG_RECEIVE_EMPTY;
}

uint32_t hosted_pl011_read(hosted_pl011_t *uart, uint64_t offset)
{
    /* Peripheral 0x011 by Arm (0x41), revision 3; then the PrimeCell identification. */
    static const uint8_t identification[] = {0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1};

    if (offset % 4 != 0) {
        return 0;
    }
    if (offset >= IDENTIFICATION && offset - IDENTIFICATION < 4 * sizeof(identification)) {
        return identification[(offset - IDENTIFICATION) / 4];
    }
    switch (offset) {
    case DATA:
        return read_data(uart);
    case STATUS:
        return 0;
    case FLAGS:
        return read_flags(uart);
    case RAW_INTERRUPTS:
        return raw_interrupts(uart);
    case MASKED_INTERRUPTS:
        return masked_interrupts(uart);
    default:
        return offset < sizeof(uart->registers) ? uart->registers[offset / 4] : 0;
    }
}

void hosted_pl011_write(hosted_pl011_t *uart, uint64_t offset, uint32_t value)
{
    char byte = (char)value;

    if (offset == DATA) {
        uart->bytes_sent++;
        uart->transmitted = true;
        if (uart->output) {
            uart->output(uart->cookie, &byte, 1);
        }
    } else if (offset == INTERRUPT_CLEAR) {
        uart->transmitted = uart->transmitted && !(value & TRANSMIT);
    } else if (offset == INTERRUPT_MASK) {
        uart->registers[offset / 4] = value & ALL_INTERRUPTS;
    } else if (offset % 4 == 0 && offset < sizeof(uart->registers)) {
        uart->registers[offset / 4] = value;
    }
    update_line(uart);
}

size_t hosted_pl011_send(hosted_pl011_t *uart, const char *bytes, size_t size)
{
    size_t taken = 0;
    while (taken < size && uart->count < HOSTED_PL011_INPUT) {
        uart->input[(uart->first + uart->count) % HOSTED_PL011_INPUT] = bytes[taken++];
        uart->count++;
    }
    update_line(uart);
    return taken;
}

bool hosted_pl011_input_interrupts(const hosted_pl011_t *uart)
{
    return uart->registers[INTERRUPT_MASK / 4] & (RECEIVE | RECEIVE_TIMEOUT);
}
