/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Models of devices for emulated ranges. A model sees offsets, widths and values only; what an
 * access means for a virtual machine is the business of fault.h.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct device device_t;

/** What a kind of device does. Each function gets offsets within the device's range. */
typedef struct device_class {
    const char *name;    /* as in `guestmem,device` */
    const char *summary; /* one line for --help and the manual */
    /** For device_create() only. */
    device_t *(*create)(void);
    /** Read `width` (1, 2, 4, 8) bytes at `offset`. */
    uint64_t (*read)(device_t *device, uint64_t offset, unsigned width);
    /** Take a write; bits of `value` above the width are zero. */
    void (*write)(device_t *device, uint64_t offset, unsigned width, uint64_t value);
    /** For device_destroy() only. */
    void (*destroy)(device_t *device);
} device_class_t;

/** One access, as a log device notes it. */
typedef struct device_access {
    uint64_t offset;
    uint64_t value; /* written; 0 for a read */
    unsigned width;
    bool is_write;
} device_access_t;

/** What a device may do to the outside. The owner of a device sets it after device_create(). */
typedef struct device_host {
    /** A serial port sends bytes; NULL loses them. */
    void (*output)(void *cookie, const char *bytes, size_t size);
    /** A log device was accessed; NULL keeps it quiet. */
    void (*note)(void *cookie, const device_t *device, const device_access_t *access);
    /** The device's interrupt line changed to `high`; NULL: it has none. */
    void (*interrupt)(void *cookie, const device_t *device, bool high);
    /** `size` bytes of the guest's RAM, good until the access ends; NULL: not all of it is RAM. */
    void *(*memory)(void *cookie, uint64_t gpa, uint64_t size);
    void *cookie;
} device_host_t;

/** What all devices have in common: the first member of each kind's own structure. */
struct device {
    const device_class_t *class;
    const char *name; /* of the range, for notes; owned by the caller */
    device_host_t host;
};

/** The class called `name`, or NULL. */
const device_class_t *device_class_find(const char *name);

/** All classes, in alphabetical order; NULL after the last. */
const device_class_t *device_class_at(size_t index);

/**
 * Make a device, all reset, without a host.
 *
 * @return to be freed with device_destroy(); NULL if memory is exhausted
 */
device_t *device_create(const device_class_t *class);

/** Free a device. NULL is allowed. */
void device_destroy(device_t *device);

extern const device_class_t device_pl011;
extern const device_class_t device_ones;
extern const device_class_t device_zeros;
extern const device_class_t device_gic;
extern const device_class_t device_log;
extern const device_class_t device_virtio_empty;
