/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the making of a plan: the description, the board's memory, and what each part of the VM
 * takes of it, in the order in which a machine is made.
 */

#include "plan_internal.h"

#include "dtb_file.h"
#include "file.h"

#include <hosted/vm_needs.h>
#include <simple/simple.h>
#include <stdlib.h>
#include <string.h>

/* As machine.c has them: the VM's name, and what starting the VCPU takes beside making it. */
static const char vm_name[] = "guest";
static const char default_board[] = "qemu-arm-virt";
enum { START_TCB_CALLS = 2, START_VCPU_CALLS = 1 };

static int read_description(planner_t *planner, const char *file, cli_error_t *error)
{
    size_t size;
    void *dtb = dtb_file_load(file, &size, error);

    if (dtb == NULL) {
        return -1;
    }
    planner->description = vm_description_parse(dtb, size, file, error);
    free(dtb);
    return planner->description != NULL ? 0 : -1;
}

static int read_board(planner_t *planner, const char *board, cli_error_t *error)
{
    const vm_description_t *description = planner->description;
    const char *named = description->board != NULL ? description->board : default_board;
    cli_error_t reason = {0};
    size_t size;

    planner->board_file = board != NULL ? file_find_board("", board, &reason)
                                        : file_find_board(description->file, named, &reason);
    void *dtb =
        planner->board_file != NULL ? dtb_file_load(planner->board_file, &size, &reason) : NULL;
    if (dtb == NULL) {
        return cli_error_set(error, "%s: /: guestmem,board: %s", description->file,
                             reason.line[0] != '\0' ? reason.line : "out of memory");
    }
    planner->system = hosted_system_create(dtb, size, reason.line, sizeof(reason.line));
    free(dtb);
    if (planner->system == NULL) {
        return cli_error_set(error, "%s: %s", planner->board_file, reason.line);
    }
    return 0;
}

static bool take(void *cookie, size_t size_bits)
{
    planner_t *planner = cookie;
    return hosted_memory_plan_take(planner->memory, size_bits);
}

static bool take_device(void *cookie, size_t size_bits)
{
    planner_t *planner = cookie;
    return hosted_memory_plan_take_reserved(planner->memory, size_bits);
}

static bool take_at(void *cookie, uintptr_t paddr, size_t size_bits)
{
    planner_t *planner = cookie;
    return hosted_memory_plan_take_at(planner->memory, paddr, size_bits);
}

static bool is_device(void *cookie, uintptr_t paddr)
{
    simple_t *simple = hosted_simple(((planner_t *)cookie)->system);

    for (int i = 0; i < simple_get_untyped_count(simple); i++) {
        size_t size_bits = 0;
        uintptr_t base = 0;
        bool device = true;
        simple_get_nth_untyped(simple, i, &size_bits, &base, &device);
        if (paddr >= base && paddr - base < (uintptr_t)1 << size_bits) {
            return device;
        }
    }
    return true;
}

static int begin(planner_t *planner, cli_error_t *error)
{
    guestmem_plan_memory_t memory = {take, take_device, take_at, is_device, planner};

    planner->memory = hosted_memory_plan_create(planner->system);
    planner->ranges = guestmem_plan_create(&memory);
    return planner->memory != NULL && planner->ranges != NULL
               ? 0
               : cli_error_set(error, "%s: out of memory", planner->description->file);
}

/** Move the retypes of the allocator since the last call to a part. */
static void take_splits(plan_t *plan, planner_t *planner, plan_part_t part)
{
    hosted_memory_counts_t counts = hosted_memory_plan_counts(planner->memory);
    uint64_t before = 0;

    for (int other = 0; other < PLAN_NUM_PARTS; other++) {
        before += plan->counts[other][PLAN_SPLIT_RETYPES];
    }
    plan->counts[part][PLAN_SPLIT_RETYPES] += counts.split_retypes - before;
    plan->free_bytes = counts.regular_bytes;
}

/** What the runtime makes itself. */
static int plan_runtime(plan_t *plan, planner_t *planner, plan_part_t part,
                        const hosted_vm_needs_t *needs, cli_error_t *error)
{
    uint64_t *counts = plan->counts[part];

    for (size_t i = 0; i < needs->num_objects; i++) {
        if (!hosted_memory_plan_take(planner->memory, needs->object_bits[i])) {
            return cli_error_set(error, "%s: %s: the board has no memory for a VM",
                                 planner->description->file, planner->board_file);
        }
        counts[PLAN_UNTYPED_BYTES] += (uint64_t)1 << needs->object_bits[i];
    }
    counts[PLAN_SLOTS] = needs->num_objects;
    counts[PLAN_RETYPES] = needs->num_objects;
    counts[PLAN_HEAP_BLOCKS] = needs->heap_blocks;
    counts[PLAN_HEAP_BYTES] = needs->heap_bytes;
    counts[PLAN_MINTS] = needs->mints;
    counts[PLAN_ASID_ASSIGNS] = needs->asid_assigns;
    counts[PLAN_TCB_CALLS] = needs->tcb_calls;
    counts[PLAN_VCPU_CALLS] = needs->vcpu_calls;
    take_splits(plan, planner, part);
    return 0;
}

/** Count what the ranges take now and did not `before`. */
static void count_memory(plan_t *plan, planner_t *planner, plan_part_t part)
{
    guestmem_needs_t now = guestmem_plan_needs(planner->ranges);
    const uint64_t values[PLAN_NUM_COUNTS] = {
        [PLAN_RESERVATIONS] = now.reservations,
        [PLAN_FRAMES_4K] = now.frames[GUESTMEM_FRAME_4K],
        [PLAN_FRAMES_2M] = now.frames[GUESTMEM_FRAME_2M],
        [PLAN_FRAMES_1G] = now.frames[GUESTMEM_FRAME_1G],
        [PLAN_TABLES_1G] = now.page_tables[0],
        [PLAN_TABLES_2M] = now.page_tables[1],
        [PLAN_SLOTS] = now.slots,
        [PLAN_UNTYPED_BYTES] = now.untyped_bytes,
        [PLAN_WINDOWS] = now.windows,
        [PLAN_WINDOW_FRAMES] = now.window_frames,
        [PLAN_WINDOW_BYTES] = now.window_bytes,
        [PLAN_HEAP_BLOCKS] = now.heap_blocks,
        [PLAN_HEAP_BYTES] = now.heap_bytes,
        [PLAN_RETYPES] = now.retypes,
        [PLAN_COPIES] = now.cap_copies,
        [PLAN_PAGE_MAPS] = now.page_maps,
        [PLAN_PAGE_UNMAPS] = now.page_unmaps,
        [PLAN_PAGE_CLEANS] = now.page_cleans,
        [PLAN_TABLE_MAPS] = now.table_maps,
    };

    for (int count = 0; count < PLAN_NUM_COUNTS; count++) {
        uint64_t before = part == PLAN_ON_FAULT ? plan->counts[PLAN_MEMORY][count] : 0;
        if (count != PLAN_SPLIT_RETYPES) {
            plan->counts[part][count] = values[count] - before;
        }
    }
    take_splits(plan, planner, part);
}

static int plan_parts(plan_t *plan, planner_t *planner, cli_error_t *error)
{
    hosted_vm_needs_t vm = hosted_vm_needs(vm_name);
    hosted_vm_needs_t vcpu = hosted_vcpu_needs();

    vcpu.tcb_calls += START_TCB_CALLS;
    vcpu.vcpu_calls += START_VCPU_CALLS;
    if (plan_runtime(plan, planner, PLAN_VM, &vm, error) != 0 || plan_ranges(planner, error) != 0 ||
        plan_loads(planner, error) != 0) {
        return -1;
    }
    count_memory(plan, planner, PLAN_MEMORY);
    if (plan_runtime(plan, planner, PLAN_VCPU, &vcpu, error) != 0 ||
        plan_on_fault(planner, error) != 0) {
        return -1;
    }
    count_memory(plan, planner, PLAN_ON_FAULT);
    return 0;
}

int plan_make(plan_t *plan, const char *file, const char *board, cli_error_t *error)
{
    planner_t planner = {0};
    int result = -1;

    *plan = (plan_t){0};
    if (read_description(&planner, file, error) == 0 && read_board(&planner, board, error) == 0 &&
        begin(&planner, error) == 0) {
        const char *title = planner.description->model;
        const char *name = strrchr(planner.board_file, '/');
        snprintf(plan->title, sizeof(plan->title), "%s", title != NULL ? title : file);
        snprintf(plan->board, sizeof(plan->board), "%s",
                 name != NULL ? name + 1 : planner.board_file);
        result = plan_parts(plan, &planner, error);
    }
    guestmem_plan_destroy(planner.ranges);
    hosted_memory_plan_destroy(planner.memory);
    hosted_system_destroy(planner.system);
    free(planner.board_file);
    vm_description_free(planner.description);
    return result;
}

uint64_t plan_invocations(const plan_t *plan, plan_part_t part)
{
    uint64_t sum = 0;

    for (int count = PLAN_RETYPES; count < PLAN_NUM_COUNTS; count++) {
        sum += plan->counts[part][count];
    }
    return sum;
}
