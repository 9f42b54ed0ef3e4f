/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See report.h. */

#include "report.h"
#include <stdlib.h>
#include <string.h>

void report_point(report_t *report, const char *figure, const char *series, double n,
                  const char *unit, spread_t spread)
{
    if (report->num_points == REPORT_POINTS) {
        fprintf(stderr, "bench: more than %d figures; raise REPORT_POINTS\n", REPORT_POINTS);
        exit(1);
    }
    if (report->num_points == 0 ||
        strcmp(report->points[report->num_points - 1].figure, figure) != 0) {
        printf("\n%-36s %10s %12s  %-24s %s\n", figure, "n", "median", "quartiles", "unit");
    }
    report->points[report->num_points++] = (point_t){figure, series, n, unit, spread};
    printf("  %-34s %10.0f %12.2f  %10.2f .. %-10.2f %s\n", series, n, spread.median, spread.low,
           spread.high, unit);
    fflush(stdout);
}

void report_measure(report_t *report, const char *figure, const char *series, double n,
                    const measure_t *measure)
{
    report_point(report, figure, series, n, "ns", measure_spread(measure));
}

static void add_verdict(report_t *report, const verdict_t *verdict)
{
    if (report->num_verdicts == REPORT_VERDICTS) {
        fprintf(stderr, "bench: more than %d promises; raise REPORT_VERDICTS\n", REPORT_VERDICTS);
        exit(1);
    }
    report->verdicts[report->num_verdicts++] = *verdict;
}

void report_at_most(report_t *report, const char *what, spread_t value, double limit)
{
    add_verdict(report, &(verdict_t){what, value, limit, false});
}

void report_at_least(report_t *report, const char *what, spread_t value, double limit)
{
    add_verdict(report, &(verdict_t){what, value, limit, true});
}

double report_median(const report_t *report, const char *figure, const char *series, double n)
{
    for (size_t i = 0; i < report->num_points; i++) {
        const point_t *point = &report->points[i];
        if (strcmp(point->figure, figure) == 0 && strcmp(point->series, series) == 0 &&
            point->n == n) {
            return point->spread.median;
        }
    }
    return 0;
}

bool report_is_met(const verdict_t *verdict)
{
    double value = verdict->value.median;
    return verdict->at_least ? value >= verdict->limit : value <= verdict->limit;
}

size_t report_print_verdicts(const report_t *report, FILE *out)
{
    size_t missed = 0;
    fprintf(out, "\n%-62s %9s %21s  %-10s %s\n", "promise", "measured", "quartiles", "limit", "");
    for (size_t i = 0; i < report->num_verdicts; i++) {
        const verdict_t *verdict = &report->verdicts[i];
        bool met = report_is_met(verdict);
        fprintf(out, "%-62s %9.2f %9.2f .. %-9.2f %s%-8g %s\n", verdict->what,
                verdict->value.median, verdict->value.low, verdict->value.high,
                verdict->at_least ? ">=" : "<=", verdict->limit, met ? "met" : "MISSED");
        missed += !met;
    }
    fprintf(out, "%zu of %zu promises met\n", report->num_verdicts - missed, report->num_verdicts);
    return missed;
}

static void json_spread(FILE *out, spread_t spread)
{
    fprintf(out, "\"median\": %.4f, \"low\": %.4f, \"high\": %.4f", spread.median, spread.low,
            spread.high);
}

int report_write_json(const report_t *report, const char *path)
{
    FILE *out = fopen(path, "w");
    if (out == NULL) {
        return -1;
    }
    fprintf(out, "{\n  \"figures\": [\n");
    for (size_t i = 0; i < report->num_points; i++) {
        const point_t *point = &report->points[i];
        fprintf(out, "    {\"figure\": \"%s\", \"series\": \"%s\", \"n\": %.0f, ", point->figure,
                point->series, point->n);
        json_spread(out, point->spread);
        fprintf(out, ", \"unit\": \"%s\"}%s\n", point->unit, i + 1 < report->num_points ? "," : "");
    }
    fprintf(out, "  ],\n  \"promises\": [\n");
    for (size_t i = 0; i < report->num_verdicts; i++) {
        const verdict_t *verdict = &report->verdicts[i];
        fprintf(out, "    {\"what\": \"%s\", ", verdict->what);
        json_spread(out, verdict->value);
        fprintf(out, ", \"limit\": %g, \"at_least\": %s, \"met\": %s}%s\n", verdict->limit,
                verdict->at_least ? "true" : "false", report_is_met(verdict) ? "true" : "false",
                i + 1 < report->num_verdicts ? "," : "");
    }
    fprintf(out, "  ]\n}\n");
    return fclose(out) == 0 ? 0 : -1;
}
