/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Device trees from files: flattened (.dtb) as they are, source (.dts) through dtc. */

#include <stddef.h>
#include "error.h"

/**
 * Load a device tree, from a file or a pipe. What begins with a flattened tree's magic number, or
 * is called .dtb, is taken as it is, and not checked; anything else is given to dtc, and to the C
 * preprocessor before if it has lines such as `#include`.
 *
 * @param size   receives the bytes
 * @param error  receives one line on failure: no file, no dtc, or dtc's first message
 * @return the flattened tree, to be freed; NULL on failure
 */
void *dtb_file_load(const char *path, size_t *size, cli_error_t *error);

/**
 * dtb_file_load() with overlays, one after the other: flattened ones and sources with `/plugin/`
 * are applied to the flattened tree, other sources are appended to its source, as seL4 does with
 * the overlays of its platforms.
 *
 * @param overlays  their files; NULL at the end. NULL: none
 */
void *dtb_file_load_with(const char *path, const char *const *overlays, size_t *size,
                         cli_error_t *error);
