/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the list of device classes: a new model is added here and nowhere else.
 */

#include "device.h"

#include <stdlib.h>
#include <string.h>

static const device_class_t *const classes[] = {
    &device_gic,          &device_log,          &device_ones,
    &device_pl011,        &device_virtio_block, &device_virtio_console,
    &device_virtio_empty, &device_zeros,
};

static const size_t num_classes = sizeof(classes) / sizeof(classes[0]);

const device_class_t *device_class_at(size_t index)
{
    return index < num_classes ? classes[index] : NULL;
}

const device_class_t *device_class_find(const char *name)
{
    for (size_t i = 0; i < num_classes; i++) {
        if (strcmp(classes[i]->name, name) == 0) {
            return classes[i];
        }
    }
    return NULL;
}

device_t *device_create(const device_class_t *class)
{
    device_t *device = calloc(1, class->size);

    if (device == NULL) {
        return NULL;
    }
    if (class->init != NULL) {
        class->init(device);
    }
    device->class = class;
    return device;
}

void device_destroy(device_t *device)
{
    if (device != NULL && device->class->close != NULL) {
        device->class->close(device);
    }
    free(device);
}

void *device_save(const device_t *device)
{
    void *saved = malloc(device->class->size);

    return saved != NULL ? memcpy(saved, device, device->class->size) : NULL;
}

void device_restore(device_t *device, const void *saved)
{
    memcpy(device, saved, device->class->size);
}
