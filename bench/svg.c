/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Cost against n, both logarithmic: a chart for each figure that was measured at several sizes in
 * nanoseconds, with a line and a legend entry for each series.
 */

#include <math.h>
#include <string.h>
#include "report.h"

#define WIDTH      420.0
#define HEIGHT     260.0
#define LEFT       60.0
#define TOP        50.0
#define GAP        190.0 /* to the right of a chart: its legend */
#define ROW        350.0
#define CHARTS     8
#define MAX_SERIES 8

static const char *const colours[MAX_SERIES] = {"#0b62a4", "#d1495b", "#3a7d44", "#edae49",
                                                "#6a4c93", "#00798c", "#8d6a4f", "#444444"};

typedef struct chart {
    const char *figure;
    const char *series[MAX_SERIES];
    size_t num_series;
    double n_low, n_high, cost_low, cost_high; /* powers of ten */
    double x, y;                               /* of the upper left corner */
} chart_t;

static double scaled(double value, double low, double high)
{
    return (log10(value) - low) / (high - low);
}

static double x_of(const chart_t *chart, double n)
{
    return chart->x + WIDTH * scaled(n, chart->n_low, chart->n_high);
}

static double y_of(const chart_t *chart, double cost)
{
    return chart->y + HEIGHT * (1 - scaled(cost, chart->cost_low, chart->cost_high));
}

static void add_series(chart_t *chart, const char *series)
{
    for (size_t i = 0; i < chart->num_series; i++) {
        if (strcmp(chart->series[i], series) == 0) {
            return;
        }
    }
    if (chart->num_series < MAX_SERIES) {
        chart->series[chart->num_series++] = series;
    }
}

/* Gather a figure's series and limits. */
static void survey(const report_t *report, chart_t *chart)
{
    chart->n_low = chart->cost_low = 100;
    chart->n_high = chart->cost_high = -100;
    for (size_t i = 0; i < report->num_points; i++) {
        const point_t *point = &report->points[i];
        if (strcmp(point->figure, chart->figure) == 0) {
            add_series(chart, point->series);
            chart->n_low = fmin(chart->n_low, floor(log10(point->n)));
            chart->n_high = fmax(chart->n_high, ceil(log10(point->n)));
            chart->cost_low = fmin(chart->cost_low, floor(log10(point->spread.low)));
            chart->cost_high = fmax(chart->cost_high, ceil(log10(point->spread.high)));
        }
    }
}

static void draw_axes(FILE *out, const chart_t *chart)
{
    fprintf(out,
            "<text x='%.0f' y='%.0f' font-weight='bold'>%s</text>\n"
            "<text x='%.0f' y='%.0f' text-anchor='middle'>n</text>\n"
            "<text x='%.0f' y='%.0f' text-anchor='end'>ns</text>\n",
            chart->x, chart->y - 22, chart->figure, chart->x + WIDTH / 2, chart->y + HEIGHT + 36,
            chart->x - 8, chart->y - 8);
    for (double power = chart->n_low; power <= chart->n_high; power++) {
        double x = x_of(chart, pow(10, power));
        fprintf(out,
                "<line x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f' stroke='#ddd'/>\n"
                "<text x='%.1f' y='%.1f' text-anchor='middle'>%.0f</text>\n",
                x, x, chart->y, chart->y + HEIGHT, x, chart->y + HEIGHT + 18, pow(10, power));
    }
    for (double power = chart->cost_low; power <= chart->cost_high; power++) {
        double y = y_of(chart, pow(10, power));
        fprintf(out,
                "<line x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f' stroke='#ddd'/>\n"
                "<text x='%.1f' y='%.1f' text-anchor='end'>%g</text>\n",
                chart->x, chart->x + WIDTH, y, y, chart->x - 8, y + 4, pow(10, power));
    }
}

/* A line through the medians, and a bar from quartile to quartile at each. */
static void draw_series(FILE *out, const report_t *report, const chart_t *chart, size_t series)
{
    const char *colour = colours[series];
    fprintf(out, "<polyline fill='none' stroke='%s' stroke-width='2' points='", colour);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < report->num_points; i++) {
            const point_t *point = &report->points[i];
            if (strcmp(point->figure, chart->figure) != 0 ||
                strcmp(point->series, chart->series[series]) != 0) {
                continue;
            }
            double x = x_of(chart, point->n);
            double y = y_of(chart, point->spread.median);
            if (pass == 0) {
                fprintf(out, "%.1f,%.1f ", x, y);
            } else {
                fprintf(out,
                        "<circle cx='%.1f' cy='%.1f' r='3' fill='%s'/>\n"
                        "<line x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f' stroke='%s'/>\n",
                        x, y, colour, x, x, y_of(chart, point->spread.low),
                        y_of(chart, point->spread.high), colour);
            }
        }
        fprintf(out, pass == 0 ? "'/>\n" : "");
    }
    double y = chart->y + 12 + 20 * (double)series;
    fprintf(out,
            "<line x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f' stroke='%s' stroke-width='3'/>\n"
            "<text x='%.1f' y='%.1f'>%s</text>\n",
            chart->x + WIDTH + 12, chart->x + WIDTH + 32, y, y, colour, chart->x + WIDTH + 38,
            y + 4, chart->series[series]);
}

/* The figures that have a chart: in nanoseconds, at more than one size. */
static size_t find_charts(const report_t *report, chart_t *charts)
{
    size_t count = 0;
    for (size_t i = 0; i + 1 < report->num_points && count < CHARTS; i++) {
        const point_t *point = &report->points[i];
        bool first = i == 0 || strcmp(point[-1].figure, point->figure) != 0;
        bool several = false;
        for (size_t j = i; j < report->num_points; j++) {
            several |= strcmp(report->points[j].figure, point->figure) == 0 &&
                       report->points[j].n != point->n;
        }
        if (first && several && strcmp(point->unit, "ns") == 0) {
            chart_t *chart = &charts[count];
            *chart = (chart_t){.figure = point->figure,
                               .x = LEFT + (double)(count % 2) * (WIDTH + GAP + LEFT),
                               .y = TOP + (double)(count / 2) * ROW};
            survey(report, chart);
            count++;
        }
    }
    return count;
}

int report_write_svg(const report_t *report, const char *path)
{
    chart_t charts[CHARTS];
    size_t count = find_charts(report, charts);
    FILE *out = fopen(path, "w");
    if (out == NULL) {
        return -1;
    }
    fprintf(out,
            "<svg xmlns='http://www.w3.org/2000/svg' width='%.0f' height='%.0f' "
            "font-family='sans-serif' font-size='12'>\n<rect width='100%%' height='100%%' "
            "fill='white'/>\n",
            2 * (LEFT + WIDTH + GAP), TOP + ROW * (double)((count + 1) / 2));
    for (size_t i = 0; i < count; i++) {
        draw_axes(out, &charts[i]);
        for (size_t series = 0; series < charts[i].num_series; series++) {
            draw_series(out, report, &charts[i], series);
        }
    }
    fprintf(out, "</svg>\n");
    return fclose(out) == 0 ? 0 : -1;
}
