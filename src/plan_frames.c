/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The frames, page tables and windows of a plan: the same decisions as frame_source.c,
 * guest_mapping.c, page_tables.c and vmm_window.c take, with counters in place of their effects.
 */

#include "plan_frames.h"

_Static_assert(ARCH_NUM_TABLE_LEVELS <= GUESTMEM_MAX_TABLE_LEVELS, "a plan counts each level");

/* Take the memory of a frame. */
static bool take_frame(guestmem_plan_t *plan, const frame_source_t *source, uintptr_t base,
                       size_t size_bits, bool device_too)
{
    guestmem_plan_memory_t *memory = &plan->memory;
    if (source->backing == GUESTMEM_UNTYPED) {
        return memory->take_at == NULL ||
               memory->take_at(memory->cookie, base + source->paddr_offset, size_bits);
    }
    if (device_too) {
        return memory->take_device != NULL && memory->take_device(memory->cookie, size_bits);
    }
    return memory->take == NULL || memory->take(memory->cookie, size_bits);
}

/* Count a frame; one of uncleared memory that becomes RAM is cleared through the VMM. */
static void count_frame(guestmem_plan_t *plan, const frame_source_t *source, bool device,
                        plan_run_t *frame)
{
    guestmem_needs_t *needs = &plan->needs;
    frame->cacheable = !device || source->use == FRAME_USE_RAM;
    needs->frames[arch_frame_counter(frame->size_bits)]++;
    needs->slots++;
    needs->untyped_bytes += (uint64_t)1 << frame->size_bits;
    needs->retypes++;
    needs->page_maps++;
    if (device && source->use == FRAME_USE_RAM) {
        needs->page_maps++;
        needs->page_cleans++;
        needs->page_unmaps++;
    }
}

static bool acquire_largest(guestmem_plan_t *plan, const frame_source_t *source, bool device_too,
                            uintptr_t gpa, uintptr_t first, uintptr_t last, plan_run_t *frame)
{
    guestmem_plan_memory_t *memory = &plan->memory;
    for (int size = ARCH_NUM_FRAME_SIZES - 1; size >= 0; size--) {
        if (frame_source_fits(source, size, gpa, first, last, &frame->base) &&
            take_frame(plan, source, frame->base, arch_frames[size].bits, device_too)) {
            bool at_device = source->backing == GUESTMEM_UNTYPED && memory->is_device != NULL &&
                             memory->is_device(memory->cookie, frame->base + source->paddr_offset);
            frame->size_bits = arch_frames[size].bits;
            count_frame(plan, source, device_too || at_device, frame);
            return true;
        }
    }
    return false;
}

static int acquire(guestmem_plan_t *plan, const frame_source_t *source, uintptr_t gpa,
                   uintptr_t first, uintptr_t last, plan_run_t *frame)
{
    *frame = (plan_run_t){.count = 1};
    if (acquire_largest(plan, source, false, gpa, first, last, frame) ||
        (source->backing == GUESTMEM_MAYBE_DEVICE &&
         acquire_largest(plan, source, true, gpa, first, last, frame))) {
        return 0;
    }
    return plan_blame(plan, GUESTMEM_NO_FRAME, gpa, gpa | (ARCH_PAGE_SIZE - 1));
}

static uintptr_t run_last(const plan_run_t *run)
{
    return run->base + ((run->count << run->size_bits) - 1);
}

/* Add a frame to the runs, in the newest or as a new one. */
static int add_frame(guestmem_plan_t *plan, const frame_source_t *source, plan_run_t **newest,
                     const plan_run_t *frame, uintptr_t last)
{
    plan_run_t *run = *newest;
    if (run != NULL && run->count < run->capacity && run->size_bits == frame->size_bits &&
        run->cacheable == frame->cacheable) {
        run->count++;
        return 0;
    }
    plan_run_t *next = heap_alloc(&plan->scratch, sizeof(*next));
    if (next == NULL) {
        return plan_blame(plan, GUESTMEM_NO_HEAP, frame->base, frame->base);
    }
    *next = *frame;
    next->capacity = frame_source_expected(source, frame->base, frame->size_bits, last);
    plan_count_block(plan, frame_run_bytes(next->capacity));
    next->older = run;
    *newest = next;
    return 0;
}

/* Have the tables at `gpa`, of all levels down to `innermost`. */
static int add_tables(guestmem_plan_t *plan, int innermost, uintptr_t gpa)
{
    range_map_entry_t entry;
    for (int level = 0; level <= innermost; level++) {
        uintptr_t mask = ((uintptr_t)1 << arch_tables[level].span_bits) - 1;
        if (range_map_find(&plan->tables[level], gpa, &entry)) {
            continue;
        }
        if (plan->memory.take != NULL &&
            !plan->memory.take(plan->memory.cookie, arch_tables[level].bits)) {
            return plan_blame(plan, GUESTMEM_NO_TABLE, gpa, gpa | mask);
        }
        if (plan_insert(plan, &plan->tables[level], gpa & ~mask, gpa | mask, NULL) != 0) {
            return -1;
        }
        plan_count_block(plan, page_tables_record_bytes());
        plan->needs.page_tables[level]++;
        plan->needs.slots++;
        plan->needs.untyped_bytes += (uint64_t)1 << arch_tables[level].bits;
        plan->needs.retypes++;
        plan->needs.table_maps++;
    }
    return 0;
}

/* Map a run: its tables, and its place in the map of runs. */
static int map_run(guestmem_plan_t *plan, plan_run_t *run)
{
    int level = page_tables_level(run->size_bits);
    if (plan_insert(plan, &plan->runs, run->base, run_last(run), run) != 0) {
        heap_free(&plan->scratch, run, sizeof(*run));
        return -1;
    }
    if (level < 0) {
        return 0;
    }
    uintptr_t mask = ((uintptr_t)1 << arch_tables[level].span_bits) - 1;
    uintptr_t gpa = run->base;
    for (;;) {
        if (add_tables(plan, level, gpa) != 0) {
            return -1;
        }
        if ((gpa | mask) >= run_last(run)) {
            return 0;
        }
        gpa = (gpa | mask) + 1;
    }
}

/* Map runs, the newest first as the library does: the order decides how full its records are. What
 * cannot be mapped is freed. */
static int map_runs(guestmem_plan_t *plan, plan_run_t *run, int result)
{
    while (run != NULL) {
        plan_run_t *older = run->older;
        run->older = NULL;
        if (result == 0) {
            result = map_run(plan, run);
        } else {
            heap_free(&plan->scratch, run, sizeof(*run));
        }
        run = older;
    }
    return result;
}

int plan_frames(guestmem_plan_t *plan, const frame_source_t *source, uintptr_t first,
                uintptr_t last)
{
    plan_run_t *newest = NULL;
    uintptr_t gpa = first;
    int result;
    for (;;) {
        plan_run_t frame;
        result = acquire(plan, source, gpa, gpa, last, &frame);
        if (result == 0) {
            result = add_frame(plan, source, &newest, &frame, last);
        }
        if (result != 0 || run_last(&frame) >= last) {
            return map_runs(plan, newest, result);
        }
        gpa = run_last(&frame) + 1;
    }
}

int plan_faults(guestmem_plan_t *plan, const frame_source_t *source, uintptr_t first,
                uintptr_t last)
{
    uintptr_t gpa = first;
    for (;;) {
        plan_run_t frame;
        plan_run_t *run = NULL;
        if (acquire(plan, source, gpa, gpa, last, &frame) != 0 ||
            add_frame(plan, source, &run, &frame, run_last(&frame)) != 0 ||
            map_runs(plan, run, 0) != 0) {
            return -1;
        }
        if (run_last(&frame) >= last) {
            return 0;
        }
        gpa = run_last(&frame) + 1;
    }
}

int plan_window(guestmem_plan_t *plan, uintptr_t first, uintptr_t last)
{
    guestmem_needs_t *needs = &plan->needs;
    size_t largest_bits = ARCH_PAGE_BITS;
    range_map_entry_t entry;
    uintptr_t gpa = first;
    while (range_map_overlap(&plan->runs, gpa, last, &entry) && entry.base == gpa) {
        const plan_run_t *run = entry.value;
        largest_bits = run->size_bits > largest_bits ? run->size_bits : largest_bits;
        needs->window_frames += run->count;
        needs->slots += run->count;
        needs->cap_copies += run->count;
        /* Whether a large frame can be mapped there is found out by mapping it, see vmm_frame.c. */
        needs->page_maps += run->size_bits > ARCH_PAGE_BITS ? 2 * run->count : run->count;
        if (entry.last >= last) {
            /* Large frames lie at multiples of their size in the VMM as well. */
            needs->windows++;
            needs->window_bytes +=
                (first & (((uintptr_t)1 << largest_bits) - 1)) + (last - first) + 1;
            return 0;
        }
        gpa = entry.last + 1;
    }
    return plan_blame(plan, GUESTMEM_NOT_MAPPED, gpa, gpa | (ARCH_PAGE_SIZE - 1));
}
