/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What happened in a run. */

#include <stdio.h>
#include "machine.h"

/** Print faults by reservation and by page, interrupts by number, frames by size, invocations by
 * kind, and the time. */
void report_run(FILE *out, machine_t *machine, double seconds);
