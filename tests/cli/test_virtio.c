/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What virtio devices promise a driver, and what they refuse. The driver here is the smallest one:
 * each test writes descriptors and requests into RAM and rings the bell.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "device/virtio.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RAM = 0x10000, RAM_SIZE = 0x20000, GAP = 64 };
enum { RING_SIZE = 8, SECTOR = 512, SECTORS = 64 };
enum { TABLE = RAM, AVAILABLE = RAM + 0x1000, USED = RAM + 0x2000, DATA = RAM + 0x4000 };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };
enum { STATUS = 0x70, ACKNOWLEDGE = 0x64, INTERRUPTS = 0x60, NEEDS_RESET = 0x40 };
enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, OK = 0, IO_ERROR = 1, UNSUPPORTED = 2 };

typedef struct descriptor {
    uint64_t address;
    uint32_t size;
    uint16_t flags, next;
} descriptor_t;

typedef struct driver {
    device_t *device;
    uint64_t ram[(RAM_SIZE + GAP) / 8]; /* aligned as rings must be */
    bool line;
    unsigned refusals;
    const char *why;
    char output[256];
    size_t output_size;
    char path[32];
} driver_t;

static void *at(driver_t *driver, uint64_t gpa)
{
    return (uint8_t *)driver->ram + (gpa - RAM) + (gpa < RAM + RAM_SIZE / 2 ? 0 : GAP);
}

/* RAM is two ranges that meet in the middle, as the memory nodes of a VM may, and not here. */
static void *memory(void *cookie, uint64_t gpa, uint64_t size)
{
    driver_t *driver = cookie;
    const uint64_t middle = RAM + RAM_SIZE / 2;
    if (gpa < RAM || size > RAM_SIZE || gpa - RAM > RAM_SIZE - size ||
        (gpa < middle && gpa + size > middle)) {
        return NULL;
    }
    return at(driver, gpa);
}

static void interrupt(void *cookie, const device_t *device, bool high)
{
    driver_t *driver = cookie;
    assert_true(driver->line != high);
    driver->line = high;
}

static void refuse(void *cookie, const device_t *device, const char *why)
{
    driver_t *driver = cookie;
    driver->refusals++;
    driver->why = why;
}

static void output(void *cookie, const char *bytes, size_t size)
{
    driver_t *driver = cookie;
    assert_true(driver->output_size + size < sizeof(driver->output));
    memcpy(driver->output + driver->output_size, bytes, size);
    driver->output_size += size;
}

static uint32_t get(driver_t *driver, uint64_t offset)
{
    return (uint32_t)driver->device->class->read(driver->device, offset, 4);
}

static void set(driver_t *driver, uint64_t offset, uint32_t value)
{
    driver->device->class->write(driver->device, offset, 4, value);
}

static void set_up_queue(driver_t *driver, uint32_t queue)
{
    set(driver, 0x30, queue);
    assert_true(get(driver, 0x34) >= RING_SIZE);
    set(driver, 0x38, RING_SIZE);
    set(driver, 0x80, TABLE + queue * 0x200);
    set(driver, 0x90, AVAILABLE + queue * 0x200);
    set(driver, 0xa0, USED + queue * 0x200);
    set(driver, 0x44, 1);
    assert_int_equal(get(driver, 0x44), 1);
}

/* As the specification has it under "Device Initialization". */
static void start(driver_t *driver)
{
    set(driver, STATUS, 0);
    memset(driver->ram, 0, sizeof(driver->ram));
    set(driver, STATUS, 3);
    set(driver, 0x24, 1);
    set(driver, 0x20, 1);
    set(driver, 0x24, 0);
    set(driver, 0x20, 1u << 28);
    set(driver, STATUS, 3 | 8);
    assert_int_equal(get(driver, STATUS), 3 | 8);
    set_up_queue(driver, 0);
    if (get(driver, 8) == VIRTIO_CONSOLE_ID) {
        set_up_queue(driver, 1);
    }
    set(driver, STATUS, 3 | 8 | 4);
}

static driver_t *make(const char *class)
{
    driver_t *driver = calloc(1, sizeof(*driver));
    assert_non_null(driver);
    driver->device = device_create(device_class_find(class));
    assert_non_null(driver->device);
    driver->device->host = (device_host_t){.output = output,
                                           .interrupt = interrupt,
                                           .refuse = refuse,
                                           .memory = memory,
                                           .cookie = driver};
    return driver;
}

static int make_disk(void **state)
{
    driver_t *driver = make("virtio-block");
    strcpy(driver->path, "/tmp/guestmem-disk-XXXXXX");
    int file = mkstemp(driver->path);
    assert_true(file >= 0);
    for (int i = 0; i < SECTORS; i++) {
        uint8_t sector[SECTOR];
        memset(sector, i, SECTOR);
        assert_int_equal(write(file, sector, SECTOR), SECTOR);
    }
    assert_int_equal(write(file, "part of a sector", 16), 16);
    close(file);
    assert_int_equal(driver->device->class->open(driver->device, driver->path, false), 0);
    start(driver);
    *state = driver;
    return 0;
}

static int make_console(void **state)
{
    *state = make("virtio-console");
    start(*state);
    return 0;
}

static int end(void **state)
{
    driver_t *driver = *state;
    device_destroy(driver->device);
    if (driver->path[0] != '\0') {
        unlink(driver->path);
    }
    free(driver);
    return 0;
}

static void describe(driver_t *driver, unsigned index, uint64_t address, uint32_t size,
                     uint16_t flags, uint16_t next)
{
    const descriptor_t descriptor = {address, size, flags, next};
    memcpy(at(driver, TABLE + index * sizeof(descriptor)), &descriptor, sizeof(descriptor));
}

/* Make the chain that begins at `head` available, and ring. */
static void offer(driver_t *driver, uint32_t queue, uint16_t head)
{
    uint16_t *ring = at(driver, AVAILABLE + queue * 0x200);
    ring[2 + ring[1] % RING_SIZE] = head;
    ring[1]++;
    set(driver, 0x50, queue);
}

static uint16_t used(driver_t *driver, uint32_t queue)
{
    return ((uint16_t *)at(driver, USED + queue * 0x200))[1];
}

static uint32_t used_bytes(driver_t *driver, uint32_t queue)
{
    return ((uint32_t *)at(driver, USED + queue * 0x200 +
                                       4))[(used(driver, queue) - 1) % RING_SIZE * 2 + 1];
}

/* Request, data and status in a descriptor each. @return the status */
static int ask(driver_t *driver, uint32_t type, uint64_t sector, uint64_t data, uint32_t size)
{
    const uint64_t request = DATA;
    const uint64_t status = DATA + 0x100;
    uint16_t before = used(driver, 0);
    memcpy(at(driver, request), &(uint64_t){type}, 8);
    memcpy(at(driver, request + 8), &sector, 8);
    *(uint8_t *)at(driver, status) = 0xff;
    describe(driver, 0, request, 16, NEXT, size > 0 ? 1 : 2);
    describe(driver, 1, data, size, NEXT | (type == OUT ? 0 : WRITE), 2);
    describe(driver, 2, status, 1, WRITE, 0);
    offer(driver, 0, 0);
    assert_int_equal(used(driver, 0), (uint16_t)(before + 1));
    return *(uint8_t *)at(driver, status);
}

static void a_disk_says_what_it_is(void **state)
{
    driver_t *driver = *state;
    assert_int_equal(get(driver, 0), 0x74726976);
    assert_int_equal(get(driver, 4), 2);
    assert_int_equal(get(driver, 8), 2);
    assert_int_equal(driver->device->class->read(driver->device, 0x100, 8), SECTORS);
    set(driver, 0x14, 1);
    assert_int_equal(get(driver, 0x10), 1);
    assert_int_equal(driver->device->class->read(driver->device, 0, 1), 0);
}

static void sectors_are_read_and_written(void **state)
{
    driver_t *driver = *state;
    uint8_t *data = at(driver, RAM + 0x8000);
    assert_int_equal(ask(driver, IN, 5, RAM + 0x8000, 3 * SECTOR), OK);
    assert_int_equal(used_bytes(driver, 0), 3 * SECTOR + 1);
    assert_int_equal(data[0], 5);
    assert_int_equal(data[3 * SECTOR - 1], 7);
    assert_int_equal(data[3 * SECTOR], 0);
    assert_true(driver->line);
    set(driver, ACKNOWLEDGE, 1);
    assert_false(driver->line);

    memset(data, 0xa5, SECTOR);
    assert_int_equal(ask(driver, OUT, SECTORS - 1, RAM + 0x8000, SECTOR), OK);
    assert_int_equal(used_bytes(driver, 0), 1);
    assert_int_equal(ask(driver, FLUSH, 0, 0, 0), OK);
    memset(data, 0, SECTOR);
    assert_int_equal(ask(driver, IN, SECTORS - 1, RAM + 0x8000, SECTOR), OK);
    assert_int_equal(data[SECTOR - 1], 0xa5);

    /* Across the two ranges of RAM. */
    assert_int_equal(ask(driver, IN, 9, RAM + RAM_SIZE / 2 - 700, 4 * SECTOR), OK);
    assert_int_equal(*(uint8_t *)at(driver, RAM + RAM_SIZE / 2 + 1), 10);
    assert_int_equal(driver->refusals, 0);
}

static void what_a_disk_cannot_do_is_an_error_of_the_request(void **state)
{
    driver_t *driver = *state;
    assert_int_equal(ask(driver, IN, SECTORS, RAM + 0x8000, SECTOR), IO_ERROR);
    assert_int_equal(ask(driver, IN, SECTORS - 1, RAM + 0x8000, 2 * SECTOR), IO_ERROR);
    assert_int_equal(ask(driver, IN, UINT64_MAX, RAM + 0x8000, SECTOR), IO_ERROR);
    assert_int_equal(ask(driver, IN, 0, RAM + 0x8000, SECTOR + 1), IO_ERROR);
    assert_int_equal(ask(driver, OUT, SECTORS, RAM + 0x8000, SECTOR), IO_ERROR);
    assert_int_equal(ask(driver, 77, 0, RAM + 0x8000, SECTOR), UNSUPPORTED);
    assert_int_equal(ask(driver, GET_ID, 0, RAM + 0x8000, 19), IO_ERROR);
    assert_int_equal(ask(driver, GET_ID, 0, RAM + 0x8000, 20), OK);
    assert_memory_equal(at(driver, RAM + 0x8000), "guestmem-disk-", 14);
    assert_int_equal(used_bytes(driver, 0), 21);
    assert_int_equal(driver->refusals, 0);
}

static void a_read_only_disk_is_not_written(void **state)
{
    driver_t *driver = *state;
    device_destroy(driver->device);
    driver_t *other = make("virtio-block");
    assert_int_equal(other->device->class->open(other->device, driver->path, true), 0);
    assert_int_equal(get(other, 0x10) & 1u << 5, 1u << 5);
    start(other);
    assert_int_equal(ask(other, OUT, 0, RAM + 0x8000, SECTOR), IO_ERROR);
    assert_int_equal(ask(other, IN, 3, RAM + 0x8000, SECTOR), OK);
    driver->device = other->device;
    free(other);
    driver->device->host.cookie = driver;
}

/* The driver may cut a request as it likes, also in a table of its own. */
static void requests_are_taken_as_they_are_cut(void **state)
{
    driver_t *driver = *state;
    memcpy(at(driver, DATA), &(uint64_t){IN}, 8);
    memcpy(at(driver, DATA + 8), &(uint64_t){2}, 8);
    describe(driver, 0, DATA, 5, NEXT, 3);
    describe(driver, 3, DATA + 5, 11, NEXT, 1);
    describe(driver, 1, RAM + 0x8000, 500, WRITE | NEXT, 2);
    describe(driver, 2, RAM + 0x9000, 13, WRITE, 0);
    offer(driver, 0, 0);
    assert_int_equal(used_bytes(driver, 0), 513);
    assert_int_equal(*(uint8_t *)at(driver, RAM + 0x9000 + 11), 2);
    assert_int_equal(*(uint8_t *)at(driver, RAM + 0x9000 + 12), OK);

    memcpy(at(driver, RAM + 0xa000), at(driver, TABLE), 4 * sizeof(descriptor_t));
    memcpy(at(driver, DATA + 8), &(uint64_t){4}, 8);
    describe(driver, 7, RAM + 0xa000, 4 * sizeof(descriptor_t), INDIRECT, 0);
    offer(driver, 0, 7);
    assert_int_equal(used(driver, 0), 2);
    assert_int_equal(*(uint8_t *)at(driver, RAM + 0x8000), 4);
    assert_int_equal(driver->refusals, 0);
}

static void interrupts_come_only_where_they_are_wanted(void **state)
{
    driver_t *driver = *state;
    *(uint16_t *)at(driver, AVAILABLE) = 1;
    assert_int_equal(ask(driver, FLUSH, 0, 0, 0), OK);
    assert_false(driver->line);
    *(uint16_t *)at(driver, AVAILABLE) = 0;
    assert_int_equal(ask(driver, FLUSH, 0, 0, 0), OK);
    assert_true(driver->line);
    assert_int_equal(get(driver, INTERRUPTS), 1);
    set(driver, STATUS, 0);
    assert_false(driver->line);
}

static void features_that_are_not_offered_are_not_accepted(void **state)
{
    driver_t *driver = *state;
    for (int i = 0; i < 2; i++) { /* an unknown one; without version 1 */
        set(driver, STATUS, 0);
        set(driver, STATUS, 3);
        set(driver, 0x24, i == 0);
        set(driver, 0x20, i == 0 ? 3 : 0);
        set(driver, STATUS, 3 | 8);
        assert_int_equal(get(driver, STATUS), 3);
    }
    set_up_queue(driver, 0);
    offer(driver, 0, 0); /* not started: nothing happens */
    assert_int_equal(used(driver, 0), 0);
}

/* After a refusal the device is as dead as it says, until it is reset. */
static void check_refused(driver_t *driver, const char *why)
{
    assert_int_equal(driver->refusals, 1);
    assert_non_null(strstr(driver->why, why));
    assert_int_equal(get(driver, STATUS) & NEEDS_RESET, NEEDS_RESET);
    assert_int_equal(get(driver, INTERRUPTS) & 2, 2);
    assert_true(driver->line);
    uint16_t before = used(driver, 0);
    set(driver, 0x50, 0);
    assert_int_equal(used(driver, 0), before);
    driver->refusals = 0;
    start(driver);
    assert_int_equal(ask(driver, FLUSH, 0, 0, 0), OK);
    start(driver);
}

static void descriptors_that_cannot_be_are_refused(void **state)
{
    static const struct {
        descriptor_t descriptor;
        const char *why;
    } wrong[] = {
        {{0, 16, 0, 0}, "outside of RAM"},
        {{RAM + RAM_SIZE - 8, 16, 0, 0}, "outside of RAM"},
        {{UINT64_MAX - 3, 16, 0, 0}, "outside of RAM"},
        {{DATA, UINT32_MAX, 0, 0}, "outside of RAM"},
        {{DATA, 0, 0, 0}, "no bytes"},
        {{DATA, 16, NEXT, RING_SIZE}, "does not exist"},
        {{DATA, 16, NEXT, 0xffff}, "does not exist"},
        {{DATA, 16, NEXT, 0}, "circle"},
        {{DATA, 16, INDIRECT | NEXT, 1}, "indirect"},
        {{DATA, 17, INDIRECT, 0}, "indirect"},
        {{DATA, 0, INDIRECT, 0}, "indirect"},
        {{RAM + RAM_SIZE, 16, INDIRECT, 0}, "table"},
        {{TABLE, 16, INDIRECT, 0}, "indirect"}, /* a table that names a table: itself */
        {{DATA, 16, 0, 0}, "too short"},        /* no status */
        {{DATA, 16, WRITE, 0}, "too short"},    /* no request */
        {{DATA, 15, NEXT, 2}, "too short"},
        {{DATA, 16, WRITE | NEXT, 1}, "follows one to write"},
    };
    driver_t *driver = *state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const descriptor_t *d = &wrong[i].descriptor;
        describe(driver, 0, d->address, d->size, d->flags, d->next);
        describe(driver, 1, DATA, 16, 0, 0);
        describe(driver, 2, DATA + 64, 1, WRITE, 0);
        offer(driver, 0, 0);
        check_refused(driver, wrong[i].why);
    }
}

static void rings_that_cannot_be_are_refused(void **state)
{
    driver_t *driver = *state;
    ((uint16_t *)at(driver, AVAILABLE))[1] = RING_SIZE + 1;
    set(driver, 0x50, 0);
    check_refused(driver, "more is available");
    offer(driver, 0, RING_SIZE);
    check_refused(driver, "does not exist");
    static const struct {
        uint32_t offset, value;
        const char *why;
    } wrong[] = {
        {0x38, 0, "size"},         {0x38, 7, "size"},
        {0x38, 1024, "size"},      {0x80, TABLE + 8, "alignment"},
        {0x90, USED + 1, "align"}, {0xa0, USED + 2, "align"},
        {0x84, 1, "not in RAM"},   {0x94, 0xffffffff, "not in RAM"},
        {0xa4, 4, "not in RAM"},   {0x80, RAM + RAM_SIZE - 16, "not in RAM"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        set(driver, 0x44, 0);
        set(driver, wrong[i].offset, wrong[i].value);
        set(driver, 0x44, 1);
        set(driver, 0x50, 0);
        check_refused(driver, wrong[i].why);
    }
    /* The other queues, and what is no queue. */
    set(driver, 0x30, 1);
    assert_int_equal(get(driver, 0x34), 0);
    set(driver, 0x44, 1);
    assert_int_equal(get(driver, 0x44), 0);
    set(driver, 0x50, 1);
    set(driver, 0x50, UINT32_MAX);
    assert_int_equal(driver->refusals, 0);
}

static void a_chain_has_so_many_parts_and_no_more(void **state)
{
    driver_t *driver = *state;
    const unsigned count = VIRTIO_PIECES + 1;
    memcpy(at(driver, DATA), &(uint64_t){FLUSH}, 8);
    for (unsigned i = 0; i < count; i++) {
        const descriptor_t part = {DATA + i * 32, 16, i + 1 < count ? NEXT : WRITE,
                                   (uint16_t)(i + 1)};
        memcpy(at(driver, RAM + 0xa000 + i * sizeof(part)), &part, sizeof(part));
    }
    describe(driver, 0, RAM + 0xa000, count * sizeof(descriptor_t), INDIRECT, 0);
    offer(driver, 0, 0);
    check_refused(driver, "too many");

    /* Parts that are one here count too: each byte follows the one before. */
    for (unsigned i = 0; i < 1000; i++) {
        const descriptor_t part = {DATA + 16 + i, 1, i < 999 ? NEXT | WRITE : WRITE,
                                   (uint16_t)(i + 1)};
        memcpy(at(driver, RAM + 0xa000 + i * sizeof(part)), &part, sizeof(part));
    }
    memcpy(at(driver, RAM + 0xa000), &(descriptor_t){DATA, 16, NEXT, 1}, sizeof(descriptor_t));
    describe(driver, 0, RAM + 0xa000, 1000 * sizeof(descriptor_t), INDIRECT, 0);
    offer(driver, 0, 0);
    check_refused(driver, "too many");

    /* What the disk says that it takes, it takes wherever it lies. */
    const uint64_t middle = RAM + RAM_SIZE / 2;
    const uint32_t segments = get(driver, 0x10c);
    memset(at(driver, DATA), 0, 16);
    for (unsigned i = 0; i < segments + 2; i++) {
        const descriptor_t part = {middle - SECTOR / 2, SECTOR, NEXT | WRITE, (uint16_t)(i + 1)};
        memcpy(at(driver, RAM + 0xa000 + i * sizeof(part)), &part, sizeof(part));
    }
    memcpy(at(driver, RAM + 0xa000), &(descriptor_t){DATA, 16, NEXT, 1}, sizeof(descriptor_t));
    memcpy(at(driver, RAM + 0xa000 + (segments + 1) * sizeof(descriptor_t)),
           &(descriptor_t){DATA + 64, 1, WRITE, 0}, sizeof(descriptor_t));
    *(uint8_t *)at(driver, DATA + 64) = 0xff;
    describe(driver, 0, RAM + 0xa000, (segments + 2) * sizeof(descriptor_t), INDIRECT, 0);
    offer(driver, 0, 0);
    assert_int_equal(driver->refusals, 0);
    assert_int_equal(used(driver, 0), 1); /* with an error: it is more than the disk has */
    assert_int_equal(*(uint8_t *)at(driver, DATA + 64), IO_ERROR);
}

static void a_console_sends_and_receives(void **state)
{
    driver_t *driver = *state;
    device_serial_t serial;
    strcpy(at(driver, DATA), "out of the guest");
    memcpy(at(driver, TABLE + 0x200), &(descriptor_t){DATA, 3, NEXT, 1}, 16);
    memcpy(at(driver, TABLE + 0x210), &(descriptor_t){DATA + 3, 13, 0, 0}, 16);
    offer(driver, 1, 0);
    assert_memory_equal(driver->output, "out of the guest", 16);
    assert_int_equal(used(driver, 1), 1);

    /* Input waits until there is room for it, and is cut as the room is. */
    assert_int_equal(driver->device->class->send(driver->device, "into it", 7), 7);
    driver->device->class->serial_state(driver->device, &serial);
    assert_int_equal(serial.waiting, 7);
    assert_int_equal(serial.bytes_sent, 16);
    describe(driver, 0, DATA + 0x100, 3, WRITE, 0);
    describe(driver, 1, DATA + 0x200, 64, WRITE, 0);
    offer(driver, 0, 0);
    offer(driver, 0, 1);
    assert_memory_equal(at(driver, DATA + 0x100), "int", 3);
    assert_memory_equal(at(driver, DATA + 0x200), "o it", 5);
    assert_int_equal(used_bytes(driver, 0), 4);
    driver->device->class->serial_state(driver->device, &serial);
    assert_int_equal(serial.waiting, 0);
    static char much[8192];
    assert_int_equal(driver->device->class->send(driver->device, much, sizeof(much)), 4096);
    assert_int_equal(driver->device->class->send(driver->device, much, 1), 0);
}

/* A ring that is its own used ring has a chain available for each that is given back. */
static void input_without_room_does_not_go_on_for_ever(void **state)
{
    driver_t *driver = *state;
    set(driver, 0x30, 0);
    set(driver, 0x44, 0);
    set(driver, 0xa0, AVAILABLE);
    set(driver, 0x44, 1);
    describe(driver, 0, DATA, 16, 0, 0);
    assert_int_equal(driver->device->class->send(driver->device, "x", 1), 1);
    alarm(60); /* ends a test that would not */
    offer(driver, 0, 0);
    alarm(0);
    assert_int_equal(driver->refusals, 1);
    assert_non_null(strstr(driver->why, "no byte to write"));
}

static void a_chain_cannot_send_ram_again_and_again(void **state)
{
    driver_t *driver = *state;
    for (uint16_t i = 0; i < 40; i++) {
        const descriptor_t part = {RAM, RAM_SIZE / 2, i < 39 ? NEXT : 0, (uint16_t)(i + 1)};
        memcpy(at(driver, RAM + 0xa000 + i * sizeof(part)), &part, sizeof(part));
    }
    memcpy(at(driver, TABLE + 0x200),
           &(descriptor_t){RAM + 0xa000, 40 * sizeof(descriptor_t), INDIRECT, 0}, 16);
    offer(driver, 1, 0);
    assert_int_equal(driver->refusals, 1);
    assert_non_null(strstr(driver->why, "1 MiB"));
    assert_int_equal(driver->output_size, 0);
}

static void what_is_no_disk_is_not_opened(void **state)
{
    driver_t *driver = *state;
    char pipe[] = "/tmp/guestmem-pipe-XXXXXX";
    assert_non_null(mkdtemp(pipe));
    device_t *disk = device_create(device_class_find("virtio-block"));
    assert_int_equal(disk->class->open(disk, pipe, true), EISDIR);
    assert_int_equal(rmdir(pipe), 0);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_int_equal(disk->class->open(disk, pipe, true), ENOTBLK);
    assert_int_equal(disk->class->open(disk, pipe, false), ENOTBLK);
    assert_int_equal(disk->class->open(disk, "/dev/zero", false), ENOTBLK);
    unlink(pipe);
    device_destroy(disk);
    assert_int_equal(driver->refusals, 0);
}

static void a_console_empties_its_file_when_the_guest_sends(void **state)
{
    driver_t *driver = *state;
    char content[16] = "";
    strncpy(driver->path, "/tmp/guestmem-console-XXXXXX", sizeof(driver->path) - 1);
    int file = mkstemp(driver->path);
    assert_int_equal(write(file, "old content", 11), 11);
    assert_int_equal(driver->device->class->open(driver->device, driver->path, false), 0);
    assert_int_equal(pread(file, content, 11, 0), 11);
    assert_string_equal(content, "old content");
    memcpy(at(driver, DATA), "new", 3);
    memcpy(at(driver, TABLE + 0x200), &(descriptor_t){DATA, 3, 0, 0}, 16);
    offer(driver, 1, 0);
    assert_int_equal(pread(file, content, sizeof(content), 0), 3);
    assert_memory_equal(content, "new", 3);
    close(file);
}

#define DISK(test) cmocka_unit_test_setup_teardown(test, make_disk, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DISK(a_disk_says_what_it_is),
        DISK(sectors_are_read_and_written),
        DISK(what_a_disk_cannot_do_is_an_error_of_the_request),
        DISK(a_read_only_disk_is_not_written),
        DISK(requests_are_taken_as_they_are_cut),
        DISK(interrupts_come_only_where_they_are_wanted),
        DISK(features_that_are_not_offered_are_not_accepted),
        DISK(descriptors_that_cannot_be_are_refused),
        DISK(rings_that_cannot_be_are_refused),
        DISK(a_chain_has_so_many_parts_and_no_more),
        DISK(what_is_no_disk_is_not_opened),
        cmocka_unit_test_setup_teardown(a_console_sends_and_receives, make_console, end),
        cmocka_unit_test_setup_teardown(input_without_room_does_not_go_on_for_ever, make_console,
                                        end),
        cmocka_unit_test_setup_teardown(a_chain_cannot_send_ram_again_and_again, make_console, end),
        cmocka_unit_test_setup_teardown(a_console_empties_its_file_when_the_guest_sends,
                                        make_console, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
