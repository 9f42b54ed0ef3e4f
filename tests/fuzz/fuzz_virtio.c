/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A driver of any bytes on the virtio devices: registers written in any order, rings and requests
 * of any content. The device reads and writes no memory but the guest's, and every call returns.
 */

#define _GNU_SOURCE
#include "device/virtio.h"
#include "machine.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RAM = 0x8000, RAM_SIZE = 0x4000, DISK_SIZE = 0x4000, MOST_STEPS = 400 };

/* Just as large as the guest's RAM: a sanitizer sees what is outside. */
static uint8_t *ram;

static void *memory(void *cookie, uint64_t gpa, uint64_t size)
{
    must(size > 0 && gpa + (size - 1) >= gpa, "memory of %lu bytes is asked for", (long)size);
    return gpa >= RAM && size <= RAM_SIZE && gpa - RAM <= RAM_SIZE - size ? ram + (gpa - RAM)
                                                                          : NULL;
}

static void output(void *cookie, const char *bytes, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++) {
        sum = (uint8_t)(sum + bytes[i]); /* each is read */
    }
    *(volatile uint8_t *)cookie = sum;
}

static void refuse(void *cookie, const device_t *device, const char *why)
{
    must(why[0] != '\0', "a refusal without a reason");
}

typedef struct input {
    const uint8_t *bytes;
    size_t size;
} input_t;

static uint32_t take(input_t *input, unsigned count)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < count && input->size > 0; i++) {
        value |= (uint32_t)*input->bytes++ << i * 8;
        input->size--;
    }
    return value;
}

static void set(device_t *device, uint64_t offset, uint32_t value)
{
    device->class->write(device, offset, 4, value);
}

/* As a driver does it, so that the fuzzer need not find it out each time. */
static void start(device_t *device)
{
    set(device, 0x70, 0);
    set(device, 0x24, 1);
    set(device, 0x20, 1);
    set(device, 0x24, 0);
    set(device, 0x20, 1u << 28);
    for (uint32_t queue = 0; queue < 2; queue++) {
        set(device, 0x30, queue);
        set(device, 0x38, 8);
        set(device, 0x80, RAM + queue * 0x200);
        set(device, 0x90, RAM + 0x80 + queue * 0x200);
        set(device, 0xa0, RAM + 0x100 + queue * 0x200);
        set(device, 0x44, 1);
    }
    set(device, 0x70, 15);
}

static void step(device_t *device, input_t *input)
{
    enum { WRITE, READ, FILL, START, NOTIFY, SEND, DESCRIBE, STEPS };
    uint32_t where;
    switch (take(input, 1) % STEPS) {
    case WRITE:
        where = take(input, 2) % 0x200;
        device->class->write(device, where, 1u << take(input, 1) % 4, take(input, 4));
        break;
    case READ:
        device->class->read(device, take(input, 2) % 0x300, 1u << take(input, 1) % 4);
        break;
    case FILL:
        where = take(input, 2) % RAM_SIZE;
        for (uint32_t count = take(input, 1) % 64; count > 0; count--) {
            ram[where++ % RAM_SIZE] = (uint8_t)take(input, 1);
        }
        break;
    case START:
        start(device);
        break;
    case NOTIFY:
        set(device, 0x50, take(input, 1) % 3);
        break;
    case SEND:
        if (device->class->send != NULL) {
            device->class->send(device, (const char *)input->bytes, input->size % 128);
        }
        break;
    default: /* a descriptor that leads somewhere, made available */
        where = take(input, 1) % 16;
        const uint64_t address = RAM + take(input, 2) % RAM_SIZE;
        const uint32_t rest[2] = {take(input, 2), take(input, 1) % 8 | take(input, 1) % 8 << 16};
        uint8_t *ring = ram + 0x80 + where / 8 * 0x200;
        memcpy(ram + where / 8 * 0x200 + where % 8 * 16, &address, 8);
        memcpy(ram + where / 8 * 0x200 + where % 8 * 16 + 8, rest, 8);
        ring[4 + ring[2] % 8 * 2] = (uint8_t)(where % 8);
        ring[5 + ring[2] % 8 * 2] = 0;
        ring[2]++;
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static int disk = -1;
    static uint8_t sink;
    char path[32];
    input_t input = {bytes, size};
    device_t *device = device_create(
        device_class_find(take(&input, 1) % 2 == 0 ? "virtio-block" : "virtio-console"));
    must(device != NULL, "no device");
    if (disk < 0) {
        disk = memfd_create("disk", MFD_CLOEXEC);
        must(disk >= 0 && ftruncate(disk, DISK_SIZE) == 0, "no disk");
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", disk);
    must(!device->class->needs_file || device->class->open(device, path, false) == 0, "no disk");
    ram = calloc(1, RAM_SIZE);
    must(ram != NULL, "no RAM");
    device->host =
        (device_host_t){.output = output, .refuse = refuse, .memory = memory, .cookie = &sink};
    for (int i = 0; input.size > 0 && i < MOST_STEPS; i++) {
        step(device, &input);
    }
    device_destroy(device);
    free(ram);
    return 0;
}
