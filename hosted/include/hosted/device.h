/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Devices of the board with a model behind their registers: where a guest has their page mapped,
 * its loads and stores reach the model, as on hardware, without the VMM. In the VMM's own mapping
 * of such a page there is plain memory.
 */

#include <stdint.h>
#include <hosted/system.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hosted_device {
    /** A load or store of `width` bytes at `offset`; called with the kernel's lock held. */
    uint64_t (*read)(void *cookie, uint64_t offset, unsigned width);
    void (*write)(void *cookie, uint64_t offset, unsigned width, uint64_t value);
    void *cookie;
} hosted_device_t;

/**
 * Put registers behind whole pages of physical memory, before they are mapped. They stay until the
 * system is destroyed. The board's virtual CPU interface (GICV) and its serial ports have some from
 * the beginning.
 *
 * @return 0; -1 if there are some already, the range is no whole pages, or without memory
 */
int hosted_device_attach(hosted_system_t *system, seL4_Word paddr, seL4_Word size,
                         const hosted_device_t *device);

/** A guest has sent bytes; called with the kernel's lock held. */
typedef void (*hosted_output_fn)(void *cookie, const char *bytes, size_t size);

/**
 * Take what guests send by a serial port of the board.
 *
 * Each device of the board that is compatible with "arm,pl011", and has pages of its own, has a
 * model behind it from the beginning (the first eight do). What guests send goes to standard output
 * until this is called. Its interrupt, the first of its node, is a line like a board's: high, it
 * signals the notification of the line's handler, and again when that is acknowledged and the line
 * is still high.
 *
 * @param paddr   where its registers begin
 * @param output  NULL: standard output
 * @return 0; -1 if there is no such port
 */
int hosted_serial_output(hosted_system_t *system, seL4_Word paddr, hosted_output_fn output,
                         void *cookie);

/**
 * Send bytes to the guest by a serial port of the board; from any thread. They wait until it reads
 * them.
 *
 * @return how many were taken; 0 if there is no such port, or it is full
 */
size_t hosted_serial_send(hosted_system_t *system, seL4_Word paddr, const char *bytes, size_t size);

/** Whether a guest's driver has switched on the interrupt of input at that port: some, Linux's for
 * one, discard what was sent before. */
bool hosted_serial_listens(hosted_system_t *system, seL4_Word paddr);

#ifdef __cplusplus
}
#endif
