/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Run the real `guestmem` command in a test. */

#include <stddef.h>

/** What a command did. */
typedef struct command_result {
    int status;   /* exit status; 128 + N for signal N; -1 if it could not be run */
    char *output; /* NUL-terminated; to be freed with command_release() */
    char *messages;
} command_result_t;

/**
 * Run the command of this build.
 *
 * @param arguments  NULL-terminated, without the program's name
 * @param input      text for its standard input, which then ends; NULL: an empty one
 */
command_result_t command_run(const char *const *arguments, const char *input);

void command_release(command_result_t *result);

/** Make a folder for this test's files. @return its path, to be freed; the test fails otherwise */
char *command_make_folder(void);

/** Write a text file, and return its path, to be freed. */
char *command_write_file(const char *folder, const char *name, const void *bytes, size_t size);

/** Remove a folder with the files in it, and free the path. */
void command_remove_folder(char *folder);
