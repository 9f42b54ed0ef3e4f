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
#include <hosted/vm.h>
#include <inttypes.h>
#include <sel4vm/guest_ram.h>
#include <string.h>
#include <zlib.h>

enum { PAGES_LISTED = 10, PAGE_MASK = 0xfff };

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

/** The pages with the most faults, each with the reservations that had them. */
static void print_pages(FILE *out, machine_t *machine, const memory_map_t *map)
{
    hosted_vm_page_t pages[PAGES_LISTED];
    size_t count = hosted_vm_faulting_pages(machine_vm(machine), pages, PAGES_LISTED);

    if (count > 0) {
        fprintf(out, "pages with the most faults:\n");
    }
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "%12" PRIu64 "  0x%" PRIxPTR, pages[i].faults, pages[i].address);
        for (size_t r = 0; r < map->num_rows; r++) {
            const memory_map_row_t *row = &map->rows[r];
            if (row->faults > 0 && row->base <= (pages[i].address | PAGE_MASK) &&
                row->last >= pages[i].address) {
                fprintf(out, "  %s", row->name);
            }
        }
        fputc('\n', out);
    }
}

static void print_interrupts(FILE *out, machine_t *machine)
{
    enum { NUM_INTERRUPTS = 1020 };
    uint64_t counts[NUM_INTERRUPTS];
    uint64_t total = 0;

    for (int irq = 0; irq < NUM_INTERRUPTS; irq++) {
        counts[irq] = hosted_vm_interrupt_count(machine_vm(machine), irq);
        total += counts[irq];
    }
    if (total > 0) {
        fprintf(out, "interrupts: %" PRIu64 "\n", total);
    }
    for (int irq = 0; irq < NUM_INTERRUPTS; irq++) {
        if (counts[irq] > 0) {
            fprintf(out, "%12" PRIu64 "  %3d %s\n", counts[irq], irq,
                    machine_interrupt_name(machine, irq));
        }
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

static int add_to_checksum(vm_t *vm, uintptr_t address, void *bytes, size_t size, size_t offset,
                           void *cookie)
{
    uLong *checksum = cookie;

    (void)vm, (void)address, (void)offset;
    *checksum = crc32_z(*checksum, bytes, size);
    return 0;
}

/** What can be compared with another run of the same description in virtual time. */
static void print_virtual_time(FILE *out, machine_t *machine, const memory_map_t *map)
{
    uLong checksum = crc32_z(0, NULL, 0);

    for (size_t i = 0; i < map->num_rows; i++) {
        const memory_map_row_t *row = &map->rows[i];
        if (strncmp(row->backing, "ram", 3) == 0) {
            vm_ram_touch(machine_vm(machine), row->base, row->last - row->base + 1, add_to_checksum,
                         &checksum);
        }
    }
    fprintf(out, "virtual time: %.6f s, RAM's CRC-32 then 0x%08lx\n",
            (double)hosted_vm_time(machine_vm(machine)) * 1e-9, checksum);
}

void report_run(FILE *out, machine_t *machine, double seconds)
{
    uint64_t frames[MAP_NUM_FRAME_SIZES];
    memory_map_t map;

    if (machine_memory_map(machine, &map) != 0) {
        return;
    }
    print_faults(out, machine, &map);
    print_pages(out, machine, &map);
    print_interrupts(out, machine);
    memory_map_frames(&map, frames);
    fprintf(out, "frames: %" PRIu64 " x 4K, %" PRIu64 " x 2M, %" PRIu64 " x 1G\n",
            frames[MAP_FRAMES_4K], frames[MAP_FRAMES_2M], frames[MAP_FRAMES_1G]);
    print_invocations(out, machine_system(machine));
    if (machine_options(machine)->virtual_time) {
        print_virtual_time(out, machine, &map);
    }
    fprintf(out, "time: %.3f s\n", seconds);
    memory_map_release(&map);
}
