/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The host's side of a PL011 serial port. */

#include "device.h"

/** Bytes that wait for the guest to read them. */
#define PL011_INPUT_SIZE 4096

/**
 * Offer bytes to the guest. They wait until it reads them, so none is lost however slow it is.
 *
 * @return how many were taken: as many as there is room for
 */
size_t pl011_send(device_t *device, const char *bytes, size_t size);

/** How many more bytes pl011_send() would take. */
size_t pl011_room(const device_t *device);

/** Whether bytes wait that the guest has not read. */
bool pl011_has_input(const device_t *device);

/** How often the guest has looked for input and found none, since the device was made. */
uint64_t pl011_empty_polls(const device_t *device);

/** Whether input interrupts the guest: it need not look for it. */
bool pl011_interrupts_on_input(const device_t *device);

/** Bytes that the guest has sent, since the device was made. */
uint64_t pl011_bytes_sent(const device_t *device);
