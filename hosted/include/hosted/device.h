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
 * system is destroyed. The board's virtual CPU interface (GICV) has some from the beginning.
 *
 * @return 0; -1 if there are some already, the range is no whole pages, or without memory
 */
int hosted_device_attach(hosted_system_t *system, seL4_Word paddr, seL4_Word size,
                         const hosted_device_t *device);

#ifdef __cplusplus
}
#endif
