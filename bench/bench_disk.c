/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Reading a virtio disk: a GiB in requests of 128 KiB, the driver's part done here, the rings and
 * the data in guest RAM; against pread() of the same file into the same memory. After the first
 * round there is no kernel invocation, which is counted.
 */

#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "bench.h"
#include "device/virtio.h"
#include "world.h"

#define RAM      ((uintptr_t)0x40000000)
#define RAM_SIZE ((size_t)64 << 20)
#define REQUEST  ((size_t)128 << 10)
#define DISK     ((size_t)1 << 30)
#define ROUNDS   5

enum {
    TABLE = 0,
    AVAILABLE = 0x1000,
    RETURNED = 0x2000,
    HEADER = 0x3000,
    DATA = 0x200000,
    SIZE = 8
};

typedef struct driver {
    world_t world;
    device_t *device;
    char *ram; /* as guestmem_pointer() gives it */
    int file;
} driver_t;

static void *memory(void *cookie, uint64_t gpa, uint64_t size)
{
    return guestmem_pointer(&((driver_t *)cookie)->world.vm, gpa, size);
}

static void set(driver_t *driver, uint64_t offset, uint32_t value)
{
    driver->device->class->write(driver->device, offset, 4, value);
}

static void start(driver_t *driver)
{
    set(driver, 0x24, 1); /* version 1 */
    set(driver, 0x20, 1);
    set(driver, 0x38, SIZE);
    set(driver, 0x80, (uint32_t)RAM + TABLE);
    set(driver, 0x90, (uint32_t)RAM + AVAILABLE);
    set(driver, 0xa0, (uint32_t)RAM + RETURNED);
    set(driver, 0x44, 1);
    set(driver, 0x70, 15);
}

static void describe(driver_t *driver, int index, uint64_t offset, uint32_t size, uint16_t flags)
{
    char *at = driver->ram + TABLE + index * 16;
    const uint64_t address = RAM + offset;
    const uint16_t rest[2] = {flags, (uint16_t)(index + 1)};
    memcpy(at, &address, 8);
    memcpy(at + 8, &size, 4);
    memcpy(at + 12, rest, 4);
}

/* Where the data of a request goes: all over RAM, in turn. */
static uint64_t place(size_t request)
{
    return DATA + request * REQUEST % (RAM_SIZE - DATA);
}

static double read_by_device(driver_t *driver)
{
    uint64_t begin = measure_now();
    for (size_t i = 0; i < DISK / REQUEST; i++) {
        const uint64_t header[2] = {0, i * (REQUEST / 512)};
        uint16_t *available = (uint16_t *)(driver->ram + AVAILABLE);
        memcpy(driver->ram + HEADER, header, sizeof(header));
        driver->ram[HEADER + 16] = 1;
        describe(driver, 0, HEADER, 16, 1);
        describe(driver, 1, place(i), REQUEST, 3);
        describe(driver, 2, HEADER + 16, 1, 2);
        available[2 + available[1] % SIZE] = 0;
        available[1]++;
        set(driver, 0x50, 0);
        if (driver->ram[HEADER + 16] != 0) {
            world_fail("a read of the disk");
        }
    }
    return (double)(measure_now() - begin);
}

static double read_by_pread(driver_t *driver)
{
    uint64_t begin = measure_now();
    for (size_t i = 0; i < DISK / REQUEST; i++) {
        if (pread(driver->file, driver->ram + place(i), REQUEST, (off_t)(i * REQUEST)) !=
            (ssize_t)REQUEST) {
            world_fail("pread");
        }
    }
    return (double)(measure_now() - begin);
}

static void open_disk(driver_t *driver)
{
    char path[32];
    driver->file = memfd_create("disk", MFD_CLOEXEC);
    if (driver->file < 0 || ftruncate(driver->file, DISK) != 0) {
        world_fail("memfd_create");
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", driver->file);
    driver->device = device_create(device_class_find("virtio-block"));
    if (driver->device == NULL || driver->device->class->open(driver->device, path, true) != 0) {
        world_fail("the disk");
    }
    driver->device->host = (device_host_t){.memory = memory, .cookie = driver};
}

void bench_disk(report_t *report)
{
    static measure_t by_device, by_pread, speed;
    static driver_t driver;
    world_begin(&driver.world, 1);
    open_disk(&driver);
    if (vm_ram_register_at(&driver.world.vm, RAM, RAM_SIZE, false) != 0 ||
        (driver.ram = guestmem_pointer(&driver.world.vm, RAM, RAM_SIZE)) == NULL) {
        world_fail("vm_ram_register_at");
    }
    start(&driver);
    read_by_device(&driver);
    uint64_t before = hosted_invocation_total(driver.world.system);
    for (int round = 0; round < ROUNDS; round++) {
        double took = read_by_device(&driver);
        measure_add(&by_device, took);
        measure_add(&speed, (double)DISK * 1000 / took); /* MB/s */
        measure_add(&by_pread, read_by_pread(&driver));
    }
    report_measure(report, "1 GiB of a disk", "virtio-block", (double)DISK, &by_device);
    report_measure(report, "1 GiB of a disk", "pread", (double)DISK, &by_pread);
    report_at_least(report, "1 GiB read from a virtio disk, MB/s", measure_spread(&speed), 100);
    report_at_least(report, "1 GiB read from a virtio disk: speed / pread's",
                    measure_ratio(&by_pread, &by_device), 0.8);
    report_at_most(report, "kernel invocations of that, after the first",
                   report_exact((double)(hosted_invocation_total(driver.world.system) - before)),
                   0);
    device_destroy(driver.device);
    close(driver.file);
    world_end(&driver.world);
}
