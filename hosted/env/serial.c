/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The board's serial ports: a PL011 each, behind the registers that guests may have mapped, with
 * the board's interrupt. See <hosted/device.h>.
 */

#include <hosted/device.h>
#include <hosted/pl011.h>
#include <stdio.h>
#include <stdlib.h>
#include "system.h"

enum { PAGE = 1 << seL4_PageBits };

struct serial {
    hosted_system_t *system;
    uint64_t base;
    unsigned irq;
    hosted_pl011_t uart;
    hosted_output_fn output;
    void *cookie;
};

static uint64_t read_register(void *cookie, uint64_t offset, unsigned width)
{
    (void)width;
    return hosted_pl011_read(&((serial_t *)cookie)->uart, offset);
}

static void write_register(void *cookie, uint64_t offset, unsigned width, uint64_t value)
{
    (void)width;
    hosted_pl011_write(&((serial_t *)cookie)->uart, offset, (uint32_t)value);
}

static void on_output(void *cookie, const char *bytes, size_t size)
{
    const serial_t *serial = cookie;
    serial->output(serial->cookie, bytes, size);
}

static void on_interrupt(void *cookie, bool high)
{
    const serial_t *serial = cookie;
    if (serial->irq != 0 && serial->irq <= LAST_IRQ) {
        irq_set_line(&serial->system->kernel, serial->irq, high);
    }
}

static void print(void *cookie, const char *bytes, size_t size)
{
    (void)cookie;
    fwrite(bytes, 1, size, stdout);
    fflush(stdout);
}

int serials_init(hosted_system_t *system, const board_serial_t *serials, size_t count)
{
    system->serials = calloc(count + 1, sizeof(*system->serials));
    if (!system->serials) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        serial_t *serial = &system->serials[system->num_serials];
        const hosted_device_t registers = {read_register, write_register, serial};
        *serial = (serial_t){
            .system = system, .base = serials[i].base, .irq = serials[i].irq, .output = print};
        hosted_pl011_init(&serial->uart);
        serial->uart.output = on_output;
        serial->uart.interrupt = on_interrupt;
        serial->uart.cookie = serial;
        /* One that shares its page with another device has nothing behind it. */
        system->num_serials += hosted_device_attach(system, serial->base, PAGE, &registers) == 0;
    }
    return 0;
}

static serial_t *find(hosted_system_t *system, seL4_Word paddr)
{
    for (size_t i = 0; i < system->num_serials; i++) {
        if (system->serials[i].base == paddr) {
            return &system->serials[i];
        }
    }
    return NULL;
}

int hosted_serial_output(hosted_system_t *system, seL4_Word paddr, hosted_output_fn output,
                         void *cookie)
{
    serial_t *serial = find(system, paddr);
    if (!serial) {
        return -1;
    }
    system_lock(system);
    serial->output = output ? output : print;
    serial->cookie = cookie;
    system_unlock(system);
    return 0;
}

bool hosted_serial_listens(hosted_system_t *system, seL4_Word paddr)
{
    const serial_t *serial = find(system, paddr);
    if (!serial) {
        return false;
    }
    system_lock(system);
    bool listens = hosted_pl011_input_interrupts(&serial->uart);
    system_unlock(system);
    return listens;
}

size_t hosted_serial_send(hosted_system_t *system, seL4_Word paddr, const char *bytes, size_t size)
{
    serial_t *serial = find(system, paddr);
    if (!serial) {
        return 0;
    }
    system_lock(system);
    size_t taken = hosted_pl011_send(&serial->uart, bytes, size);
    system_unlock(system);
    return taken;
}
