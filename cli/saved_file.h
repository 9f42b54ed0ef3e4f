/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The file that a guest is saved in: a gzip stream, with a checksum over all of it. It is there as
 * a whole or not at all.
 */

#include <stddef.h>
#include "error.h"

typedef struct saved_file saved_file_t;

/** Find out now whether saved_file_create() can make a file later. @return 0; -1 with an error */
int saved_file_check(const char *path, cli_error_t *error);

/**
 * Begin a file beside the one that is meant, readable by its owner only: all of a guest's memory is
 * in it. What is no regular file, such as a pipe, is written at once.
 *
 * @return to be ended with saved_file_commit() or saved_file_close(); NULL with an error
 */
saved_file_t *saved_file_create(const char *path, cli_error_t *error);

/** Write bytes. @param cookie  the file @return 0 or -1 */
int saved_file_write(void *cookie, const void *bytes, size_t size);

/** Let it take the place of what was there, and free it. @return 0; -1 with an error: that stays */
int saved_file_commit(saved_file_t *file, cli_error_t *error);

/** @return to be freed with saved_file_close(); NULL with an error */
saved_file_t *saved_file_open(const char *path, cli_error_t *error);

/** Read the bytes that come next. @param cookie  the file @return 0; -1: there are not that many */
int saved_file_read(void *cookie, void *bytes, size_t size);

/** Whether all has been read that there is, and is what was written. @return 0 or -1 */
int saved_file_end(saved_file_t *file);

/** What was wrong when a read or write has failed. Owned by the file. */
const char *saved_file_reason(const saved_file_t *file);

/** Free it; what was begun and not committed is deleted. NULL is allowed. */
void saved_file_close(saved_file_t *file);
