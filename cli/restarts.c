/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the restarts of `guestmem run --restarts`. What the system holds must be the same after each
 * of them.
 */

#include "restarts.h"

#include <hosted/census.h>
#include <stdlib.h>
#include <time.h>

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int restart(restarts_t *restarts, machine_t *machine, const hosted_census_t *saved)
{
    hosted_census_t census;
    double start = seconds_now();

    if (machine_restore(machine) != 0) {
        fprintf(stderr, "guestmem: the guest cannot be started again\n");
        return -1;
    }
    restarts->seconds[restarts->made++] = seconds_now() - start;
    hosted_census_take(machine_system(machine), &census);
    if (!hosted_census_equal(saved, &census)) {
        fprintf(stderr, "guestmem: a restart has left something behind:\n");
        hosted_census_print_difference(stderr, saved, &census);
        return -1;
    }
    return 0;
}

static bool can_go_on(machine_end_t end)
{
    return end != MACHINE_FAILED && end != MACHINE_OUT_OF_TIME;
}

int restarts_make(restarts_t *restarts, machine_t *machine, console_t *console,
                  const machine_until_t *until, machine_end_t *end)
{
    cli_error_t error = {0};
    hosted_census_t saved;

    if (restarts->wanted == 0 || !can_go_on(*end)) {
        return 0;
    }
    if (!console_guest_waits(console)) {
        fprintf(stderr, "guestmem: %s: the guest never waited for input at a prompt\n",
                machine_description(machine)->file);
        return -1;
    }
    restarts->seconds = calloc(restarts->wanted, sizeof(*restarts->seconds));
    if (restarts->seconds == NULL) {
        fprintf(stderr, "guestmem: out of memory\n");
        return -1;
    }
    if (machine_save(machine, &error) != 0) {
        fprintf(stderr, "guestmem: %s\n", error.line);
        return -1;
    }
    hosted_census_take(machine_system(machine), &saved);
    for (;;) {
        console_rewind(console);
        *end = machine_run(machine, until);
        if (restarts->made == restarts->wanted || !can_go_on(*end)) {
            return 0;
        }
        if (restart(restarts, machine, &saved) != 0) {
            return -1;
        }
    }
}

static int compare(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;

    return difference < 0 ? -1 : difference > 0;
}

void restarts_print(FILE *out, restarts_t *restarts)
{
    const double *seconds = restarts->seconds;

    if (restarts->made > 0) {
        qsort(restarts->seconds, restarts->made, sizeof(*seconds), compare);
        fprintf(out, "restarts: %llu, each in %.3f ms (median; the longest: %.3f ms)\n",
                (unsigned long long)restarts->made, seconds[restarts->made / 2] * 1e3,
                seconds[restarts->made - 1] * 1e3);
    }
}

void restarts_free(restarts_t *restarts)
{
    free(restarts->seconds);
}
