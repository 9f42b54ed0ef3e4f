/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The public calls of <guestmem/plan.h>. A plan keeps what the library would keep to decide the
 * next step: which ranges, regions, frames and tables there are. Where the library has a pure
 * module for that (maps, the pool), the plan stands on the same one, and so the heap is counted
 * rather than estimated. All other blocks of the library are counted by their size alone.
 */

#include <stdlib.h>
#include "plan_frames.h"
#include "reservations.h"

static void *allocate(void *cookie, size_t size)
{
    (void)cookie;
    return calloc(1, size);
}

static void release(void *cookie, void *block, size_t size)
{
    (void)cookie;
    (void)size;
    free(block);
}

int plan_blame(guestmem_plan_t *plan, guestmem_error_code_t code, uintptr_t base, uintptr_t last)
{
    plan->problem = (guestmem_plan_problem_t){code, base, last};
    return -1;
}

void plan_count_block(guestmem_plan_t *plan, size_t bytes)
{
    plan->needs.heap_bytes += bytes;
    plan->needs.heap_blocks++;
}

int plan_insert(guestmem_plan_t *plan, range_map_t *map, uintptr_t base, uintptr_t last,
                void *value)
{
    if (range_map_prepare(map, base) != 0) {
        return plan_blame(plan, GUESTMEM_NO_HEAP, base, last);
    }
    range_map_insert(map, base, last, value);
    return 0;
}

guestmem_plan_t *guestmem_plan_create(const guestmem_plan_memory_t *memory)
{
    guestmem_plan_t *plan = calloc(1, sizeof(*plan));
    if (plan == NULL) {
        return NULL;
    }
    if (memory != NULL) {
        plan->memory = *memory;
    }
    plan->heap = (heap_t){.allocate = allocate, .release = release};
    plan->scratch = plan->heap;
    reservation_pool_init(&plan->pool, &plan->heap);
    range_map_init_items(&plan->reservations, &plan->heap, sizeof(reservation_item_t));
    range_map_init(&plan->regions, &plan->heap);
    range_map_init(&plan->runs, &plan->heap);
    range_map_init(&plan->ram, &plan->scratch);
    for (int level = 0; level < ARCH_NUM_TABLE_LEVELS; level++) {
        range_map_init(&plan->tables[level], &plan->heap);
    }
    plan_count_block(plan, sizeof(vm_memory_t));
    return plan;
}

void guestmem_plan_destroy(guestmem_plan_t *plan)
{
    range_map_entry_t entry;
    if (plan == NULL) {
        return;
    }
    while (range_map_next(&plan->runs, 0, &entry)) {
        range_map_remove(&plan->runs, entry.base);
        heap_free(&plan->scratch, entry.value, sizeof(plan_run_t));
    }
    while (range_map_next(&plan->reservations, 0, &entry)) {
        plan_range_t *range = entry.value;
        range_map_remove(&plan->reservations, entry.base);
        reservation_pool_put(&plan->pool, range->record);
        heap_free(&plan->scratch, range, sizeof(*range));
    }
    while (plan->oldest_region != NULL) {
        anon_region_t *region = plan->oldest_region;
        plan->oldest_region = region->next;
        heap_free(&plan->heap, region, sizeof(*region));
    }
    for (int level = 0; level < ARCH_NUM_TABLE_LEVELS; level++) {
        range_map_destroy(&plan->tables[level]);
    }
    range_map_destroy(&plan->regions);
    range_map_destroy(&plan->ram);
    free(plan);
}

/* Check `[base, base + size)` and give its last address. */
static int check_range(guestmem_plan_t *plan, uintptr_t base, size_t size, uintptr_t *last)
{
    *last = base + (size - 1);
    return size > 0 && *last >= base ? 0 : plan_blame(plan, GUESTMEM_BAD_RANGE, base, *last);
}

/* Check that no entry of a map is in the way. */
static int check_none(guestmem_plan_t *plan, const range_map_t *map, uintptr_t base, uintptr_t last)
{
    range_map_entry_t entry;
    return range_map_overlap(map, base, last, &entry)
               ? plan_blame(plan, GUESTMEM_OVERLAP, entry.base, entry.last)
               : 0;
}

int guestmem_plan_region(guestmem_plan_t *plan, uintptr_t base, size_t size)
{
    uintptr_t last;
    if (check_range(plan, base, size, &last) != 0 ||
        check_none(plan, &plan->regions, base, last) != 0 ||
        check_none(plan, &plan->reservations, base, last) != 0) {
        return -1;
    }
    anon_region_t *region = heap_alloc(&plan->heap, sizeof(*region));
    if (region == NULL || plan_insert(plan, &plan->regions, base, last, region) != 0) {
        heap_free(&plan->heap, region, sizeof(*region));
        return plan_blame(plan, GUESTMEM_NO_HEAP, base, last);
    }
    reservations_init_region(region, base, last);
    reservations_link_region(&plan->oldest_region, region);
    return 0;
}

/* The pages of a range that is to be mapped have no other range, and those of others no mapped. */
static int check_pages(guestmem_plan_t *plan, uintptr_t base, uintptr_t last, bool mapped)
{
    range_map_entry_t entry;
    uintptr_t from = base & ~(ARCH_PAGE_SIZE - 1);
    uintptr_t to = last | (ARCH_PAGE_SIZE - 1);
    while (range_map_overlap(&plan->reservations, from, to, &entry)) {
        if (mapped || ((const plan_range_t *)entry.value)->mapped) {
            return plan_blame(plan, GUESTMEM_PAGE_SHARED, entry.base, entry.last);
        }
        if (entry.last >= to) {
            break;
        }
        from = entry.last + 1;
    }
    return 0;
}

/* Choose the address of an anonymous range. */
static anon_region_t *place(guestmem_plan_t *plan, guestmem_plan_range_t *range)
{
    uintptr_t pages = ((range->size - 1) | (ARCH_PAGE_SIZE - 1)) + 1;
    anon_region_t *region = plan->oldest_region;
    while (region != NULL &&
           (pages == 0 || !range_alloc_find(&region->pages, &plan->reservations, pages,
                                            ARCH_PAGE_SIZE, &range->base))) {
        region = region->next;
    }
    if (region != NULL) {
        range_alloc_take(&region->pages, range->base, pages);
    }
    return region;
}

static int check_address(guestmem_plan_t *plan, guestmem_plan_range_t *range, uintptr_t *last)
{
    bool mapped = range->backing != GUESTMEM_EMULATED;
    if (check_range(plan, range->anonymous ? 0 : range->base, range->size, last) != 0) {
        return -1;
    }
    if (range->anonymous && place(plan, range) == NULL) {
        return plan_blame(plan, GUESTMEM_NO_ADDRESS, 0, range->size - 1);
    }
    *last = range->base + (range->size - 1);
    if (mapped && *last > arch_guest_last) {
        return plan_blame(plan, GUESTMEM_BAD_RANGE, range->base, *last);
    }
    return check_none(plan, &plan->reservations, range->base, *last) != 0 ||
                   check_pages(plan, range->base, *last, mapped) != 0 ||
                   (!range->anonymous && check_none(plan, &plan->regions, range->base, *last) != 0)
               ? -1
               : 0;
}

static frame_source_t source_of(const guestmem_plan_range_t *range)
{
    return (frame_source_t){
        .backing = range->backing,
        .use = range->ram ? FRAME_USE_RAM : FRAME_USE_ANY,
        .largest_bits = range->largest_bits != 0 ? range->largest_bits
                                                 : arch_frames[ARCH_NUM_FRAME_SIZES - 1].bits,
        .paddr_offset = range->paddr - range->base,
    };
}

static int check_source(guestmem_plan_t *plan, const guestmem_plan_range_t *range)
{
    bool misaligned = range->backing == GUESTMEM_UNTYPED &&
                      ((range->paddr - range->base) & (ARCH_PAGE_SIZE - 1)) != 0;
    if (range->backing == GUESTMEM_CALLER ||
        (range->largest_bits != 0 && arch_frame_index(range->largest_bits) < 0)) {
        return plan_blame(plan, GUESTMEM_BAD_ARGUMENT, range->base, range->base);
    }
    return misaligned ? plan_blame(plan, GUESTMEM_MISALIGNED, range->base, range->base) : 0;
}

/* Record a range that is free. @return NULL with a problem */
static plan_range_t *record(guestmem_plan_t *plan, const guestmem_plan_range_t *range,
                            uintptr_t last)
{
    plan_range_t *made = heap_alloc(&plan->scratch, sizeof(*made));
    vm_memory_reservation_t *kept = made != NULL ? reservation_pool_get(&plan->pool) : NULL;
    if (kept == NULL || plan_insert(plan, &plan->reservations, range->base, last, made) != 0) {
        if (kept != NULL) {
            reservation_pool_put(&plan->pool, kept);
        }
        heap_free(&plan->scratch, made, sizeof(*made));
        plan_blame(plan, GUESTMEM_NO_HEAP, range->base, last);
        return NULL;
    }
    *made = (plan_range_t){
        .record = kept,
        .mapped = range->backing != GUESTMEM_EMULATED,
        .first = range->base & ~(ARCH_PAGE_SIZE - 1),
        .last = last | (ARCH_PAGE_SIZE - 1),
    };
    plan->needs.reservations++;
    if (range->named) {
        plan_count_block(plan, GUESTMEM_NAME_SIZE);
    }
    return made;
}

/* Add a range to the RAM list, whose array has an entry for each range and each reservation. */
static int add_ram(guestmem_plan_t *plan, uintptr_t base, uintptr_t last)
{
    range_map_entry_t entry;
    if (base > 0 && range_map_find(&plan->ram, base - 1, &entry)) {
        range_map_remove(&plan->ram, entry.base);
        base = entry.base;
    }
    if (last < UINTPTR_MAX && range_map_find(&plan->ram, last + 1, &entry)) {
        range_map_remove(&plan->ram, entry.base);
        last = entry.last;
    }
    if (plan_insert(plan, &plan->ram, base, last, NULL) != 0) {
        return -1;
    }
    size_t before = plan->ram_capacity;
    plan->ram_reservations++;
    plan->ram_capacity = plan->ram.num_ranges + plan->ram_reservations;
    plan->needs.heap_bytes += (plan->ram_capacity - before) * sizeof(vm_ram_region_t);
    plan->needs.heap_blocks += before == 0;
    return 0;
}

int guestmem_plan_range(guestmem_plan_t *plan, guestmem_plan_range_t *range)
{
    uintptr_t last;
    if (check_address(plan, range, &last) != 0 || check_source(plan, range) != 0) {
        return -1;
    }
    plan_range_t *made = record(plan, range, last);
    if (made == NULL) {
        return -1;
    }
    if (!made->mapped) {
        return 0;
    }
    plan_count_block(plan, sizeof(guest_mapping_t));
    frame_source_t source = source_of(range);
    if (!range->on_fault && plan_frames(plan, &source, made->first, made->last) != 0) {
        return -1;
    }
    return range->ram ? add_ram(plan, range->base, last) : 0;
}

/* The range that holds an address, and is mapped. */
static plan_range_t *find_mapped(guestmem_plan_t *plan, uintptr_t base)
{
    range_map_entry_t entry;
    plan_range_t *made = range_map_find(&plan->reservations, base, &entry) ? entry.value : NULL;
    if (made == NULL || !made->mapped) {
        plan_blame(plan, GUESTMEM_NOT_MAPPED, base, base);
        return NULL;
    }
    return made;
}

int guestmem_plan_window(guestmem_plan_t *plan, uintptr_t base)
{
    plan_range_t *made = find_mapped(plan, base);
    if (made == NULL) {
        return -1;
    }
    if (made->windowed) {
        return 0;
    }
    made->windowed = true;
    return plan_window(plan, made->first, made->last);
}

int guestmem_plan_faults(guestmem_plan_t *plan, const guestmem_plan_range_t *range)
{
    const plan_range_t *made = find_mapped(plan, range->base);
    if (made == NULL || check_source(plan, range) != 0) {
        return -1;
    }
    frame_source_t source = source_of(range);
    return plan_faults(plan, &source, made->first, made->last);
}

guestmem_needs_t guestmem_plan_needs(const guestmem_plan_t *plan)
{
    guestmem_needs_t needs = plan->needs;
    needs.heap_bytes += plan->heap.bytes;
    needs.heap_blocks += plan->heap.blocks;
    return needs;
}

guestmem_plan_problem_t guestmem_plan_problem(const guestmem_plan_t *plan)
{
    return plan->problem;
}
