/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The trace of a run: a JSON object a line in a file, as documented in docs/debugging.md. */

#include "machine.h"

typedef struct trace trace_t;

/** Read a list of events, e.g. "faults,irqs".
 *  @return 0, and `*kinds` is a set of hosted_event_kind_t; -1 with a message on standard error */
int trace_parse_kinds(const char *list, unsigned *kinds);

/**
 * Trace a machine from now on.
 *
 * @param file   written anew
 * @param kinds  which events
 * @return to be ended with trace_end(); NULL with a message on standard error
 */
trace_t *trace_begin(machine_t *machine, const char *file, unsigned kinds);

/** End a trace, before its machine ends. NULL is allowed.
 *  @return 0; -1 with a message, if it could not be written */
int trace_end(trace_t *trace);
