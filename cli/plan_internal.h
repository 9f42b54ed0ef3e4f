/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What the files of the plan share. */

#include <guestmem/plan.h>
#include <hosted/memory_plan.h>
#include "description.h"
#include "plan.h"

/** A plan while it is made. */
typedef struct planner {
    vm_description_t *description;
    char *board_file;
    hosted_system_t *system; /* for its board's memory; nothing is made in it */
    hosted_memory_plan_t *memory;
    guestmem_plan_t *ranges;
} planner_t;

/** Plan every range, in the order in which a machine makes them. @return 0; -1 with an error */
int plan_ranges(planner_t *planner, cli_error_t *error);

/** Plan the windows that files and trees are loaded through. @return 0; -1 with an error */
int plan_loads(planner_t *planner, cli_error_t *error);

/** Plan what the guest's faults take. @return 0; -1 with an error */
int plan_on_fault(planner_t *planner, cli_error_t *error);
