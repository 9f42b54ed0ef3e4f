/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What can be asked of a simple_t by going through its lists. */

#include <stdbool.h>
#include <sel4/sel4.h>
#include <simple/simple.h>
#include <vka/vka.h>

/** Whether `pos` is one of the untypeds that the task was started with. */
bool simple_is_untyped_cap(simple_t *simple, seL4_CPtr pos);

/** The greatest slot that is used at the start: those after it are free then. */
seL4_CPtr simple_last_valid_cap(simple_t *simple);
