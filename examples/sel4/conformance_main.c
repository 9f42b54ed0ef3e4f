/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A root task that runs the conformance suite. It is one of its own, since libsel4vm can run but
 * one VCPU of a task, and the suite needs that for its guest.
 */

#include <conformance.h>
#include <stdio.h>
#include "layout.h"
#include "root_task.h"

#define GUEST_PRIORITY 100 /* below that of a root task */

static void print_line(const char *line)
{
    puts(line);
}

int main(void)
{
    static root_task_t task;
    root_task_start(&task, true);
    printf("== the conformance suite\n");
    const conformance_env_t env = {
        .vka = &task.vka,
        .simple = &task.simple,
        .vspace = &task.vspace,
        .io_ops = &task.io_ops,
        .endpoint = task.endpoint,
        .guest_priority = GUEST_PRIORITY,
        .device_paddr = DEVICE_PAGE,
        .scratch_device_paddr = SCRATCH_MEMORY,
        .print = print_line,
    };
    int failed = conformance_run(&env);
    printf("== %s\n", failed == 0 ? "all as it must be" : "NOT all as it must be");
    root_task_stop();
}
