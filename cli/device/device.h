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

/** What is seen of a serial port or console from outside. */
typedef struct device_serial {
    size_t waiting;       /* bytes of input that the guest has not read */
    size_t room;          /* for more of them */
    uint64_t empty_polls; /* times that the guest has looked for input and found none */
    uint64_t bytes_sent;  /* by the guest */
    bool interrupts;      /* input interrupts the guest: it need not look for it */
} device_serial_t;

/** A device's state on its way, see device_move(). */
typedef struct device_state {
    uint8_t *bytes; /* all of it; NULL: it is only counted */
    size_t size;    /* moved so far */
    bool in;        /* into the device; else out of it */
} device_state_t;

/** What a kind of device does. Each function gets offsets within the device's range. */
typedef struct device_class {
    const char *name;    /* as in `guestmem,device` */
    const char *summary; /* one line for --help and the manual */
    size_t size;         /* of its structure */
    /** For device_create() only, of a structure of zeros; NULL: that is it. */
    void (*init)(device_t *device);
    /**
     * Open the file that the device works on; NULL: it has none. `needs_file`: it must have one.
     * @return 0, or an errno
     */
    int (*open)(device_t *device, const char *path, bool read_only);
    bool needs_file;
    /** Read `width` (1, 2, 4, 8) bytes at `offset`. */
    uint64_t (*read)(device_t *device, uint64_t offset, unsigned width);
    /** Take a write; bits of `value` above the width are zero. */
    void (*write)(device_t *device, uint64_t offset, unsigned width, uint64_t value);
    /** Offer input. @return how many bytes were taken. NULL: this is no serial port or console */
    size_t (*send)(device_t *device, const char *bytes, size_t size);
    void (*serial_state)(const device_t *device, device_serial_t *state);
    /**
     * Move all that the guest can find out of the device or into it, field by field, the same ones
     * each time. NULL: there is nothing.
     * @return NULL; or why there can be no such state, of which a part is in the device then
     */
    const char *(*move)(device_t *device, device_state_t *state);
    /** For device_destroy() only; NULL: it has nothing open. */
    void (*close)(device_t *device);
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
    /** The guest has misused the device, which stops until it is reset; NULL keeps that quiet. */
    void (*refuse)(void *cookie, const device_t *device, const char *why);
    /** `size` bytes of the guest's RAM, good until the access ends; NULL: not all of it is RAM. */
    void *(*memory)(void *cookie, uint64_t gpa, uint64_t size);
    void *cookie;
} device_host_t;

/** What all devices have in common: the first member of each kind's own structure. */
struct device {
    const device_class_t *class;
    const char *name; /* of the range, for notes; owned by the caller */
    bool lasting;     /* the guest can write what lasts longer than the device, as a disk does */
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

/** Copy a device's state. @return `size` bytes, to be freed; NULL if memory is exhausted */
void *device_save(device_t *device, size_t *size);

/** The bytes of a device's state. */
size_t device_state_size(device_t *device);

/**
 * Make a device what it was, or what another one of its class was; it has been opened before.
 *
 * @param saved  of device_save(), perhaps of somebody else: device_state_size() bytes
 * @return NULL; or why there can be no such state: then the device is not to be used any more
 */
const char *device_restore(device_t *device, const void *saved);

/** For the device classes: move one field, which may be anything afterwards if it comes in. */
void device_move(device_state_t *state, void *field, size_t size);
void device_move_flag(device_state_t *state, bool *flag);

extern const device_class_t device_pl011;
extern const device_class_t device_ones;
extern const device_class_t device_zeros;
extern const device_class_t device_gic;
extern const device_class_t device_log;
extern const device_class_t device_virtio_block;
extern const device_class_t device_virtio_console;
extern const device_class_t device_virtio_empty;
