/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the log device: reads return zero, writes are lost, and each access is kept (the latest
 * LOG_KEPT of them) and passed to the host.
 */

#include "log.h"

typedef struct log_device {
    device_t device;
    uint64_t count;
    device_access_t kept[LOG_KEPT]; /* the n-th is at n modulo LOG_KEPT */
} log_device_t;

static void log_add(device_t *device, device_access_t access)
{
    log_device_t *log = (log_device_t *)device;

    log->kept[log->count % LOG_KEPT] = access;
    log->count++;
    if (device->host.note != NULL) {
        device->host.note(device->host.cookie, device, &access);
    }
}

static uint64_t log_read(device_t *device, uint64_t offset, unsigned width)
{
    log_add(device, (device_access_t){.offset = offset, .width = width});
    return 0;
}

static void log_write(device_t *device, uint64_t offset, unsigned width, uint64_t value)
{
    log_add(device,
            (device_access_t){.offset = offset, .width = width, .value = value, .is_write = true});
}

uint64_t device_log_count(const device_t *device)
{
    return ((const log_device_t *)device)->count;
}

const device_access_t *device_log_access(const device_t *device, uint64_t index)
{
    const log_device_t *log = (const log_device_t *)device;

    if (index >= log->count || log->count - index > LOG_KEPT) {
        return NULL;
    }
    return &log->kept[index % LOG_KEPT];
}

const device_class_t device_log = {
    .name = "log",
    .summary = "logs each access; reads return zero, writes are lost",
    .size = sizeof(log_device_t),
    .read = log_read,
    .write = log_write,
};
