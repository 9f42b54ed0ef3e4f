/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Device registers behind physical pages: see <hosted/device.h>; and the virtual CPU interface. */

#include "kernel.h"

#include <stdlib.h>

enum { PAGE_MASK = (1 << seL4_PageBits) - 1 };

static bool in_gicv(const kernel_t *kernel, uint64_t base, uint64_t last)
{
    return kernel->gicv_base != 0 && last >= kernel->gicv_base &&
           base <= (kernel->gicv_base | PAGE_MASK);
}

static device_t *find(const kernel_t *kernel, uint64_t base, uint64_t last)
{
    device_t *device = kernel->devices;
    while (device && (device->last < base || device->base > last)) {
        device = device->next;
    }
    return device;
}

bool device_covers(const kernel_t *kernel, uint64_t base, uint64_t last)
{
    return in_gicv(kernel, base, last) || find(kernel, base, last);
}

bool device_register_access(kernel_t *kernel, vcpu_object_t *vcpu, uint64_t paddr,
                            hosted_access_t *access, int *maintenance)
{
    *maintenance = -1;
    if (in_gicv(kernel, paddr, paddr)) {
        uint64_t offset = paddr & PAGE_MASK;
        if (access->write) {
            *maintenance = gicv_write(&vcpu->gicv, offset, (uint32_t)access->data);
        } else {
            access->data = gicv_read(&vcpu->gicv, offset);
        }
        return true;
    }
    const device_t *device = find(kernel, paddr, paddr);
    if (!device) {
        return false;
    }
    const hosted_device_t *registers = &device->registers;
    if (access->write) {
        registers->write(registers->cookie, paddr - device->base, access->width, access->data);
    } else {
        access->data = registers->read(registers->cookie, paddr - device->base, access->width);
    }
    return true;
}

int hosted_device_attach(hosted_system_t *system, seL4_Word paddr, seL4_Word size,
                         const hosted_device_t *registers)
{
    kernel_t *kernel = hosted_system_kernel(system);
    uint64_t last = paddr + size - 1;
    device_t *device = calloc(1, sizeof(*device));
    pthread_mutex_lock(&kernel->lock);
    bool attached = device && size != 0 && last > paddr && !((paddr | size) & PAGE_MASK) &&
                    !device_covers(kernel, paddr, last);
    if (attached) {
        *device = (device_t){paddr, last, *registers, kernel->devices};
        kernel->devices = device;
    }
    pthread_mutex_unlock(&kernel->lock);
    if (!attached) {
        free(device);
    }
    return attached ? 0 : -1;
}

void device_free(kernel_t *kernel)
{
    while (kernel->devices) {
        device_t *device = kernel->devices;
        kernel->devices = device->next;
        free(device);
    }
}
