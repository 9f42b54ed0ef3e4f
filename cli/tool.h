/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Running the tools that device tree sources need: dtc, and the C preprocessor. */

#include <stddef.h>
#include "error.h"

typedef struct tool {
    const char *const *arguments; /* its name first; NULL at the end */
    const char *package;          /* Debian's that has it */
    const char *purpose;          /* what else to say when it is not installed */
    const char *folder;           /* that it works in */
    const char *path;             /* of what it reads, for messages */
} tool_t;

/**
 * Run a tool.
 *
 * @param input  what it reads on its standard input
 * @param size   receives the bytes of what it wrote
 * @param error  receives one line if it failed, or wrote nothing: what it said first
 * @return what it wrote, and a NUL that is not counted, to be freed; NULL on failure
 */
void *tool_run(const tool_t *tool, const void *input, size_t input_size, size_t *size,
               cli_error_t *error);
