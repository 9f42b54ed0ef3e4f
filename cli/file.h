/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Files that a description names: reading them, and finding them. */

#include <stddef.h>
#include <stdint.h>
#include "error.h"

/** Largest file that is read. */
#define FILE_MAX_SIZE ((size_t)1 << 32)

/**
 * Read a whole file.
 *
 * @param size   receives the bytes
 * @param error  receives `PATH: reason`, with no more context
 * @return the bytes, to be freed; NULL on failure
 */
void *file_read(const char *path, size_t *size, cli_error_t *error);

/** As file_read(), of a file that has fewer bytes than `most`: a pipe may have no end. */
void *file_read_up_to(const char *path, size_t most, size_t *size, cli_error_t *error);

/**
 * The path of a file that `from` names: relative names count from the folder that `from` is in, and
 * from the working directory if that is a pipe (/dev/stdin, /proc/self/fd/...).
 *
 * @return to be freed; NULL if memory is exhausted
 */
char *file_relative_to(const char *from, const char *name);

/**
 * Find a board's description: a name without '/' and without an ending is looked up as
 * boards/NAME.dtb or .dts in $GUESTMEM_DATA, beside the program (../share/guestmem), where it was
 * installed, and where it was built; anything else is a path relative to `from`.
 *
 * @return to be freed; NULL with an error that lists where it was looked for
 */
char *file_find_board(const char *from, const char *name, cli_error_t *error);
