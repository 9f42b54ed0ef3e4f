/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the guest's serial port: a PL011 that is polled.
 */

#include "io.h"

enum { DATA = 0x00, FLAGS = 0x18, FLAG_TRANSMIT_FULL = 1 << 5 };

static uint64_t port;

void serial_init(uint64_t base)
{
    port = base;
}

static void print_character(char c)
{
    while ((read32(port + FLAGS) & FLAG_TRANSMIT_FULL) != 0) {
    }
    write32(port + DATA, (unsigned char)c);
}

void print(const char *text)
{
    for (; *text != '\0'; text++) {
        print_character(*text);
    }
}

void print_hex(uint64_t value)
{
    int shift = 60;

    print("0x");
    while (shift > 0 && value >> shift == 0) {
        shift -= 4;
    }
    for (; shift >= 0; shift -= 4) {
        unsigned digit = value >> shift & 0xf;
        print_character((char)(digit < 10 ? '0' + digit : 'a' + digit - 10));
    }
}

void print_decimal(uint64_t value)
{
    char digits[21];
    int first = 20;

    digits[20] = '\0';
    do {
        digits[--first] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    print(&digits[first]);
}
