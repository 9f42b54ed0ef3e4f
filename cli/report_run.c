/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the summary that follows a run. Only what happened is listed: a reservation without faults,
 * or an invocation that was never made, would only bury the rest.
 */

#include "report_run.h"

#include <guestmem/inspect.h>
#include <hosted/counters.h>
#include <inttypes.h>

static void print_faults(FILE *out, machine_t *machine, const memory_map_t *map)
{
    guestmem_statistics_t statistics = {0};

    guestmem_get_statistics(machine_vm(machine), &statistics);
    fprintf(out, "faults: %" PRIu64 "\n", statistics.faults);
    for (size_t i = 0; i < map->num_rows; i++) {
        const memory_map_row_t *row = &map->rows[i];
        if (row->faults > 0) {
            fprintf(out, "%12" PRIu64 "  %s at 0x%" PRIx64 "\n", row->faults, row->name, row->base);
        }
    }
    if (statistics.faults_unhandled > 0) {
        fprintf(out, "%12" PRIu64 "  outside of all reservations\n", statistics.faults_unhandled);
    }
}

static void print_invocations(FILE *out, hosted_system_t *system)
{
    fprintf(out, "invocations: %" PRIu64 "\n", hosted_invocation_total(system));
    for (int i = 0; i < HOSTED_NUM_INVOCATIONS; i++) {
        uint64_t count = hosted_invocation_count(system, i);
        uint64_t failures = hosted_invocation_failures(system, i);
        if (count == 0) {
            continue;
        }
        fprintf(out, "%12" PRIu64 "  %s", count, hosted_invocation_name(i));
        if (failures > 0) {
            fprintf(out, " (%" PRIu64 " refused)", failures);
        }
        fputc('\n', out);
    }
}

void report_run(FILE *out, machine_t *machine, double seconds)
{
    uint64_t frames[MAP_NUM_FRAME_SIZES];
    memory_map_t map;

    if (machine_memory_map(machine, &map) != 0) {
        return;
    }
    print_faults(out, machine, &map);
    memory_map_frames(&map, frames);
    fprintf(out, "frames: %" PRIu64 " x 4K, %" PRIu64 " x 2M, %" PRIu64 " x 1G\n",
            frames[MAP_FRAMES_4K], frames[MAP_FRAMES_2M], frames[MAP_FRAMES_1G]);
    print_invocations(out, machine_system(machine));
    fprintf(out, "time: %.3f s\n", seconds);
    memory_map_release(&map);
}
