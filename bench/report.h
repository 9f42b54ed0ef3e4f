/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What was measured, as a table with verdicts, as JSON, and as a picture. */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include "measure.h"

/** One figure at one size. */
typedef struct point {
    const char *figure; /* what is measured; constant */
    const char *series; /* who is measured; constant */
    double n;           /* the size that it is measured at */
    const char *unit;
    spread_t spread;
} point_t;

/** One promise of the project and what came of it. */
typedef struct verdict {
    const char *what;
    spread_t value;
    double limit;
    bool at_least; /* the value must be the limit or more, not the limit or less */
} verdict_t;

#define REPORT_POINTS   256
#define REPORT_VERDICTS 64

typedef struct report {
    point_t points[REPORT_POINTS];
    size_t num_points;
    verdict_t verdicts[REPORT_VERDICTS];
    size_t num_verdicts;
} report_t;

/** Add a figure and print its row. */
void report_point(report_t *report, const char *figure, const char *series, double n,
                  const char *unit, spread_t spread);

/** As report_point(), of a figure's rounds. */
void report_measure(report_t *report, const char *figure, const char *series, double n,
                    const measure_t *measure);

/** Add a promise: `value` must be `limit` or less, or `limit` or more. */
void report_at_most(report_t *report, const char *what, spread_t value, double limit);
void report_at_least(report_t *report, const char *what, spread_t value, double limit);

/** A value that was counted, so that it has no spread. */
static inline spread_t report_exact(double value)
{
    return (spread_t){value, value, value};
}

/** The median of a figure's series at a size; 0 if it was not measured. */
double report_median(const report_t *report, const char *figure, const char *series, double n);

bool report_is_met(const verdict_t *verdict);

/** Print the promises. @return how many are missed */
size_t report_print_verdicts(const report_t *report, FILE *out);

/** Write all of it. @return 0, or -1 if the file cannot be written */
int report_write_json(const report_t *report, const char *path);

/** Draw cost against n. @return as report_write_json() */
int report_write_svg(const report_t *report, const char *path);
