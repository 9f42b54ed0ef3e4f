/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the devices that have no state: what reads as all ones (a PCI configuration space without
 * cards), as zeros (a window without a device), a virtio window without a device, and what follows
 * the registers of an interrupt controller, which are the VM's. Writes to them are lost.
 */

#include "device.h"

static void constant_write(device_t *device, uint64_t offset, unsigned width, uint64_t value)
{
    (void)device;
    (void)offset;
    (void)width;
    (void)value;
}

static uint64_t ones_read(device_t *device, uint64_t offset, unsigned width)
{
    (void)device;
    (void)offset;
    return width >= 8 ? UINT64_MAX : (UINT64_C(1) << (width * 8)) - 1;
}

static uint64_t zeros_read(device_t *device, uint64_t offset, unsigned width)
{
    (void)device;
    (void)offset;
    (void)width;
    return 0;
}

/** Virtio 1.2, 4.2.2: magic, version 2, and device 0, which a driver must leave alone. */
static uint64_t virtio_empty_read(device_t *device, uint64_t offset, unsigned width)
{
    /* Windows are 0x200 bytes; one range may hold many. */
    uint64_t word = offset % 0x200;

    (void)device;
    if (width != 4) {
        return 0;
    }
    return word == 0 ? 0x74726976 : word == 4 ? 2 : 0;
}

const device_class_t device_ones = {
    .name = "ones",
    .summary = "every bit reads as one; writes are lost",
    .size = sizeof(device_t),
    .read = ones_read,
    .write = constant_write,
};

const device_class_t device_zeros = {
    .name = "zeros",
    .summary = "every bit reads as zero; writes are lost",
    .size = sizeof(device_t),
    .read = zeros_read,
    .write = constant_write,
};

const device_class_t device_virtio_empty = {
    .name = "virtio-empty",
    .summary = "virtio windows of 0x200 bytes each, without a device",
    .size = sizeof(device_t),
    .read = virtio_empty_read,
    .write = constant_write,
};

const device_class_t device_gic = {
    .name = "gic",
    .summary = "the VM's interrupt controller, a GICv2: distributor and CPU interface",
    .size = sizeof(device_t),
    .read = zeros_read,
    .write = constant_write,
};
