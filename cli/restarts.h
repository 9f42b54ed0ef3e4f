/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file A guest that is started again and again from where it first waits for input. */

#include <stdio.h>
#include "console.h"

typedef struct restarts {
    uint64_t wanted;
    uint64_t made;
    double *seconds; /* of each that was made */
} restarts_t;

/**
 * After the first run, with a console that was held: save the machine, let it have its input, and
 * restart it for that as often as is wanted. Nothing happens if none is wanted.
 *
 * @param end  why the first run has stopped; receives why the last one has
 * @return 0; -1 with a message
 */
int restarts_make(restarts_t *restarts, machine_t *machine, console_t *console,
                  const machine_until_t *until, machine_end_t *end);

/** Say how many there were, and how long they took; nothing if there was none. */
void restarts_print(FILE *out, restarts_t *restarts);

void restarts_free(restarts_t *restarts);
