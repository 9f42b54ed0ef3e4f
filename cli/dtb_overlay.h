/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Overlays: flattened device trees that change another. Any bytes may be given. */

#include <stdbool.h>
#include <stddef.h>
#include "error.h"

/** A flattened tree, and what to call it. */
typedef struct dtb_named {
    const void *bytes;
    size_t size;
    const char *name;
} dtb_named_t;

/** Whether that is a valid tree whose nodes are an overlay's fragments. */
bool dtb_is_overlay(const void *dtb, size_t size);

/**
 * Apply an overlay.
 *
 * @param size   receives the bytes
 * @param error  receives one line on failure: one of them is damaged, or the tree has not what the
 *               overlay refers to
 * @return the changed tree, to be freed; NULL on failure
 */
void *dtb_overlay_apply(const dtb_named_t *tree, const dtb_named_t *overlay, size_t *size,
                        cli_error_t *error);
