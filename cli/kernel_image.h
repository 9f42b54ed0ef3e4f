/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Files for the guest's memory, and the header by which arm64 kernels say what they need. */

#include <stddef.h>
#include <stdint.h>
#include "error.h"

/**
 * Read a file as the guest wants it: an arm64 Image that is compressed with gzip is unpacked, any
 * other file is taken as it is.
 *
 * @param size   receives the bytes
 * @param error  receives `PATH: reason`
 * @return the bytes, to be freed; NULL on failure
 */
void *kernel_image_load(const char *path, size_t *size, cli_error_t *error);

/**
 * How much memory the arm64 Image at the start of `bytes` takes, with what it clears before it
 * looks at anything else (BSS).
 *
 * @return at least `size`; 0 if it is no Image
 */
uint64_t kernel_image_memory(const void *bytes, size_t size);
