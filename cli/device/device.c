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

void device_move(device_state_t *state, void *field, size_t size)
{
    if (state->bytes != NULL && state->in) {
        memcpy(field, state->bytes + state->size, size);
    } else if (state->bytes != NULL) {
        memcpy(state->bytes + state->size, field, size);
    }
    state->size += size;
}

void device_move_flag(device_state_t *state, bool *flag)
{
    uint8_t byte = *flag;

    device_move(state, &byte, sizeof(byte));
    *flag = byte != 0;
}

static const char *move(device_t *device, device_state_t *state)
{
    return device->class->move != NULL ? device->class->move(device, state) : NULL;
}

size_t device_state_size(device_t *device)
{
    device_state_t state = {0};

    move(device, &state);
    return state.size;
}

void *device_save(device_t *device, size_t *size)
{
    device_state_t state = {0};

    *size = device_state_size(device);
    state.bytes = malloc(*size + 1); /* there may be nothing */
    if (state.bytes != NULL) {
        move(device, &state);
    }
    return state.bytes;
}

const char *device_restore(device_t *device, const void *saved)
{
    device_state_t state = {.bytes = (uint8_t *)saved, .in = true};

    return move(device, &state);
}
