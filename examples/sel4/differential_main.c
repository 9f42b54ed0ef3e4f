/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* A root task that prints the hashes of random invocations: see docs/kernel-model.md. */

#include <differential.h>
#include <sel4platsupport/bootinfo.h>
#include <stdio.h>
#include <utils/util.h>
#include "layout.h"
#include "root_task.h"

static void print_line(const char *line)
{
    puts(line);
}

int main(void)
{
    static root_task_t task;
    static differential_env_t env;
    root_task_start(&task, true);
    int error = differential_start(&env, &task.vka, platsupport_get_bootinfo()->empty.end,
                                   DEVICE_PAGE, print_line);
    ZF_LOGF_IF(error != 0, "no untyped memory");
    printf("== differential: %d seeds from %lu on\n", NUM_SEEDS, (unsigned long)FIRST_SEED);
    if (NUM_SEEDS == 0) {
        differential_run(&env, FIRST_SEED, DIFFERENTIAL_PRINT);
    }
    for (uint64_t i = 0; i < NUM_SEEDS; i++) {
        printf("%016lx\n",
               (unsigned long)differential_run(&env, FIRST_SEED + i, DIFFERENTIAL_QUIET));
    }
    printf("== all as it must be\n");
    root_task_stop();
}
