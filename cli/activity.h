/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What a guest touched and where it faulted, by 2 MiB, for pictures of a run. */

#include "machine.h"

typedef struct activity activity_t;

/** Look at the memory before the guest runs. @return NULL if memory is exhausted */
activity_t *activity_start(machine_t *machine);

/**
 * Look again: the machine's memory map, with pieces.
 *
 * @param map  to be released with memory_map_release()
 * @return 0; -1 if memory is exhausted
 */
int activity_end(const activity_t *activity, machine_t *machine, memory_map_t *map);

/** NULL is allowed. */
void activity_free(activity_t *activity);
