/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file See <sel4vmmplatsupport/guest_image.h>. */

/** What a file is, by its first bytes. */
enum img_type {
    IMG_BIN, /**< anything else */
    IMG_ELF,
    IMG_UIMAGE,
    IMG_ABOOT,
    IMG_ZIMAGE,    /**< Linux for 32-bit Arm */
    IMG_INITRD_GZ, /**< compressed by gzip */
    IMG_DTB,       /**< flattened device tree */
};

/** Nothing on ARM. */
struct guest_kernel_image_arch {
};
