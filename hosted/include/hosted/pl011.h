/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * A model of the PL011 serial port (Arm PrimeCell UART, DDI 0183), for emulated devices and for
 * those of a board: data, flags and interrupts as the hardware has them, the configuration
 * registers as memory, and the identification registers. It knows nothing of virtual machines.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes that wait for the guest to read them. */
#define HOSTED_PL011_INPUT 4096

typedef struct hosted_pl011 {
    /** The guest has sent bytes; NULL loses them. */
    void (*output)(void *cookie, const char *bytes, size_t size);
    /** The interrupt line has changed; NULL: it leads nowhere. */
    void (*interrupt)(void *cookie, bool high);
    void *cookie;
    /* To be read only: */
    size_t count;         /**< bytes that wait for the guest */
    uint64_t empty_polls; /**< times that the guest has looked for input and found none */
    uint64_t bytes_sent;  /**< by the guest */
    /* The model's: */
    uint32_t registers[0x4c / 4]; /* what reads back as written */
    char input[HOSTED_PL011_INPUT];
    size_t first;     /* where in `input` the ring begins */
    bool transmitted; /* since the transmit interrupt was cleared */
    bool line;        /* of the interrupt */
} hosted_pl011_t;

/** Reset: with nothing in it, and without callbacks. */
void hosted_pl011_init(hosted_pl011_t *uart);

/** The guest reads the register at an offset. */
uint32_t hosted_pl011_read(hosted_pl011_t *uart, uint64_t offset);

/** The guest writes it. */
void hosted_pl011_write(hosted_pl011_t *uart, uint64_t offset, uint32_t value);

/**
 * Offer bytes to the guest. They wait until it reads them, so none is lost however slow it is.
 *
 * @return how many were taken: as many as there is room for
 */
size_t hosted_pl011_send(hosted_pl011_t *uart, const char *bytes, size_t size);

/** Whether input interrupts the guest: it need not look for it. */
bool hosted_pl011_input_interrupts(const hosted_pl011_t *uart);

#ifdef __cplusplus
}
#endif
