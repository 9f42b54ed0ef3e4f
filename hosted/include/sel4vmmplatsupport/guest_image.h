/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Load files into guest RAM. On seL4 they are in the VMM's archive, here they are the
 * host's. */

#include <sel4vm/guest_vm.h>
#include <sel4vmmplatsupport/arch/guest_image_arch.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct guest_kernel_image_arch guest_kernel_image_arch_t;

/** Where a file is in guest RAM. */
typedef struct guest_image {
    uintptr_t load_paddr; /**< guest-physical address */
    size_t alignment;     /**< not used */
    size_t size;          /**< bytes */
} guest_image_t;

typedef struct guest_kernel_image {
    guest_image_t kernel_image;
    guest_kernel_image_arch_t kernel_image_arch;
} guest_kernel_image_t;

/**
 * Load a kernel: a flat binary (Linux's arm64 Image is one) to `vm->entry`, a zImage to 32 KiB
 * above `load_address` or where its header says. The RAM is marked as allocated.
 *
 * @param kernel_name         path of the file
 * @param load_address        GPA, see above
 * @param alignment           not used
 * @param guest_kernel_image  receives where it is
 * @return 0; -1 if the file cannot be read, is of another type (ELF, a U-Boot image, a device tree,
 *         an initrd), or there is no RAM for it
 */
int vm_load_guest_kernel(vm_t *vm, const char *kernel_name, uintptr_t load_address,
                         size_t alignment, guest_kernel_image_t *guest_kernel_image);

/**
 * Load a device tree or an initrd that gzip has compressed to `load_address`. The RAM is marked as
 * allocated.
 *
 * @param module_name   path of the file
 * @param load_address  GPA
 * @param alignment     not used
 * @param guest_image   receives where it is
 * @return 0; -1 if the file cannot be read, is of another type, or there is no RAM for it
 */
int vm_load_guest_module(vm_t *vm, const char *module_name, uintptr_t load_address,
                         size_t alignment, guest_image_t *guest_image);

#ifdef __cplusplus
}
#endif
