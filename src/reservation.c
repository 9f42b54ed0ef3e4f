/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Reservations of all kinds are in one map, so that one look-up serves every fault. Anonymous
 * regions are in a second one, which only reserving looks at. Each step checks everything, gets its
 * memory, and then cannot fail.
 *
 * Mapping is in three passes: acquire all frames, as a list of runs; clear what the kernel did not;
 * map the runs. Whatever fails is undone, by steps that cannot fail.
 */

#include <inttypes.h>
#include <sel4vm/guest_memory_helpers.h>
#include "reservation.h"

int gm_check_range(gm_memory_t *memory, uintptr_t addr, size_t size, uintptr_t *last)
{
    *last = gm_last_of(addr, size);
    if (size == 0) {
        return gm_fail(memory, GUESTMEM_BAD_RANGE, "the size is 0; give at least one byte");
    }
    if (size - 1 > UINTPTR_MAX - addr) {
        return gm_fail(memory, GUESTMEM_BAD_RANGE,
                       "0x%zx bytes from there wrap at the top of the address space", size);
    }
    return 0;
}

int gm_reservation_check(gm_memory_t *memory, const vm_memory_reservation_t *reservation)
{
    return reservation != NULL && reservation->memory == memory
               ? 0
               : gm_fail(memory, GUESTMEM_NO_RESERVATION,
                         "%p is no reservation of this VM (NULL, or another VM's)",
                         (const void *)reservation);
}

static int fail_reservation(gm_memory_t *memory, guestmem_error_code_t code,
                            const vm_memory_reservation_t *other, const char *text,
                            const char *advice)
{
    return gm_fail_range(memory, code, other->base, other->last, other->name, text, advice);
}

/* Check that nothing has bytes of the range, and no mapped reservation pages of it. */
static int check_free(gm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    gm_range_t range;
    uintptr_t from = gm_page_of(base);
    uintptr_t to = gm_page_last(last);
    if (!gm_range_map_overlap(&memory->reservations, from, to, &range)) {
        return 0;
    }
    if (gm_range_map_overlap(&memory->reservations, base, last, &range)) {
        return fail_reservation(memory, GUESTMEM_OVERLAP, range.value, "overlaps the reservation",
                                "free it or choose another range");
    }
    while (gm_range_map_overlap(&memory->reservations, from, to, &range)) {
        const vm_memory_reservation_t *other = range.value;
        if (other->mapping != NULL) {
            return fail_reservation(memory, GUESTMEM_PAGE_SHARED, other,
                                    "touches a page of the mapped reservation",
                                    "free it or choose another page");
        }
        if (range.last >= to) {
            break;
        }
        from = range.last + 1;
    }
    return 0;
}

static int check_no_region(gm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    gm_range_t range;
    return gm_range_map_overlap(&memory->regions, base, last, &range)
               ? gm_fail_range(memory, GUESTMEM_OVERLAP, range.base, range.last, NULL,
                               "overlaps the anonymous region",
                               "use vm_reserve_anon_memory() there")
               : 0;
}

static int check_callback(gm_memory_t *memory, gm_request_t request)
{
    return request.fault_callback != NULL ? 0
                                          : gm_fail(memory, GUESTMEM_BAD_ARGUMENT,
                                                    "the fault callback is NULL; give one, e.g. "
                                                    "default_error_fault_callback()");
}

/* Record a reservation of a range that is free. */
static vm_memory_reservation_t *record(gm_memory_t *memory, uintptr_t base, uintptr_t last,
                                       gm_request_t request)
{
    vm_memory_reservation_t *reservation = gm_heap_alloc(&memory->heap, sizeof(*reservation));
    if (reservation == NULL || gm_range_map_prepare(&memory->reservations, base) != 0) {
        gm_heap_free(&memory->heap, reservation, sizeof(*reservation));
        gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for a reservation's record");
        return NULL;
    }
    *reservation = (vm_memory_reservation_t){
        .base = base,
        .last = last,
        .memory = memory,
        .request = request,
    };
    gm_range_map_insert(&memory->reservations, base, last, reservation);
    return reservation;
}

vm_memory_reservation_t *gm_reservation_make(gm_memory_t *memory, uintptr_t addr, size_t size,
                                             gm_request_t request)
{
    uintptr_t last;
    if (gm_check_range(memory, addr, size, &last) != 0 || check_callback(memory, request) != 0 ||
        check_free(memory, addr, last) != 0 || check_no_region(memory, addr, last) != 0) {
        return NULL;
    }
    return record(memory, addr, last, request);
}

/* Anonymous regions. Reservations in them take whole pages. */

/* Find the lowest gap of `size` bytes or more between the reservations, at or above `from`. */
static bool find_gap(const gm_memory_t *memory, uintptr_t from, uintptr_t size, gm_range_t *gap)
{
    gm_range_t range;
    *gap = (gm_range_t){from, UINTPTR_MAX, NULL};
    while (gm_range_map_next(&memory->reservations, gap->base, &range)) {
        if (range.base > gap->base && range.base - gap->base >= size) {
            gap->last = range.base - 1;
            return true;
        }
        if (gm_page_last(range.last) == UINTPTR_MAX) {
            return false;
        }
        gap->base = gm_page_last(range.last) + 1;
    }
    return gap->last - gap->base >= size - 1;
}

/* Find the lowest free address of a region for `size` bytes, a multiple of 4 KiB like `align`. */
static bool find_in_region(const gm_memory_t *memory, const gm_region_t *region, uintptr_t lowest,
                           uintptr_t size, uintptr_t align, uintptr_t *addr)
{
    uintptr_t from = region->no_room_below > lowest ? region->no_room_below : lowest;
    gm_range_t gap;
    while (from <= region->last && find_gap(memory, from, size, &gap)) {
        uintptr_t aligned = (gap.base + (align - 1)) & ~(align - 1);
        if (aligned < gap.base || aligned > region->last || region->last - aligned < size - 1) {
            return false;
        }
        if (aligned <= gap.last && gap.last - aligned >= size - 1) {
            *addr = aligned;
            return true;
        }
        from = gap.last + 1; /* a reservation follows, so this does not wrap */
    }
    return false;
}

vm_memory_reservation_t *gm_reservation_make_anonymous(gm_memory_t *memory, size_t size,
                                                       size_t align, size_t offset,
                                                       uintptr_t lowest, gm_request_t request)
{
    uintptr_t last;
    uintptr_t page;
    if (gm_check_range(memory, offset, size, &last) != 0 || check_callback(memory, request) != 0) {
        return NULL;
    }
    if (align == 0 || (align & (align - 1)) != 0) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "the alignment 0x%zx is no power of two", align);
        return NULL;
    }
    uintptr_t pages = gm_page_last(last) + 1; /* 0 if that is the whole address space */
    align = align < ARCH_PAGE_SIZE ? ARCH_PAGE_SIZE : align;
    gm_region_t *region = memory->oldest_region;
    while (region != NULL &&
           (pages == 0 || !find_in_region(memory, region, lowest, pages, align, &page))) {
        region = region->next;
    }
    if (region == NULL) {
        gm_fail(memory, GUESTMEM_NO_ADDRESS,
                "no anonymous region has room for 0x%zx bytes aligned to 0x%zx; make one with "
                "vm_memory_make_anon()",
                size, align);
        return NULL;
    }
    uintptr_t addr = page + offset;
    vm_memory_reservation_t *reservation = record(memory, addr, addr + (size - 1), request);
    /* One reservation after another is found at once; at the top of the address space it takes a
     * walk. */
    if (reservation != NULL && page == region->no_room_below && page + pages > page) {
        region->no_room_below = page + pages;
    }
    return reservation;
}

int gm_region_make(gm_memory_t *memory, uintptr_t addr, size_t size)
{
    uintptr_t last;
    gm_range_t range;
    if (gm_check_range(memory, addr, size, &last) != 0 ||
        check_no_region(memory, addr, last) != 0) {
        return -1;
    }
    if (gm_range_map_overlap(&memory->reservations, addr, last, &range)) {
        return fail_reservation(memory, GUESTMEM_OVERLAP, range.value, "overlaps the reservation",
                                "free it or choose another range");
    }
    gm_region_t *region = gm_heap_alloc(&memory->heap, sizeof(*region));
    if (region == NULL || gm_range_map_prepare(&memory->regions, addr) != 0) {
        gm_heap_free(&memory->heap, region, sizeof(*region));
        return gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for a region's record");
    }
    uintptr_t first_page = gm_page_of(addr + (ARCH_PAGE_SIZE - 1));
    *region = (gm_region_t){
        .last = last,
        .no_room_below = first_page >= addr ? first_page : UINTPTR_MAX,
    };
    gm_range_map_insert(&memory->regions, addr, last, region);
    gm_region_t **link = &memory->oldest_region;
    while (*link != NULL) {
        link = &(*link)->next;
    }
    *link = region;
    return 0;
}

/* Mapping. */

gm_frame_source_t gm_reservation_source(const gm_memory_t *memory, guestmem_backing_t backing)
{
    return (gm_frame_source_t){
        .backing = backing,
        .rights = seL4_AllRights,
        .largest_bits = memory->largest_frame_bits,
    };
}

/* Check that a reservation can be mapped: not mapped yet, reachable, and alone on its pages. */
static int check_mappable(gm_memory_t *memory, const vm_memory_reservation_t *reservation)
{
    if (reservation->mapping != NULL) {
        return gm_fail(memory, GUESTMEM_ALREADY_MAPPED,
                       "the reservation is mapped already; free it first");
    }
    if (memory->root == seL4_CapNull) {
        return gm_fail(memory, GUESTMEM_NOT_INITIALISED,
                       "the VM has no address space yet; call vm_init_guest_vspace() first");
    }
    if (reservation->last > gm_arch_guest_last) {
        return gm_fail(memory, GUESTMEM_BAD_RANGE, "the guest's address space ends at 0x%" PRIxPTR,
                       gm_arch_guest_last);
    }
    gm_range_t range;
    uintptr_t first = gm_page_of(reservation->base);
    uintptr_t last = gm_page_last(reservation->last);
    if ((reservation->base > first &&
         gm_range_map_overlap(&memory->reservations, first, reservation->base - 1, &range)) ||
        (reservation->last < last &&
         gm_range_map_overlap(&memory->reservations, reservation->last + 1, last, &range))) {
        return fail_reservation(memory, GUESTMEM_PAGE_SHARED, range.value,
                                "cannot be mapped, as it shares a page with the reservation",
                                "free that or move one of them");
    }
    return 0;
}

/* Acquire frames for all of a mapping. An iterator may hand them out in any order: it is asked
 * until they are as many bytes as the mapping, and that they do not overlap is seen when they are
 * mapped. */
static int acquire_frames(gm_memory_t *memory, const gm_mapping_t *mapping, gm_run_t **newest)
{
    uintptr_t gpa = mapping->first;
    for (;;) {
        uintptr_t first = mapping->source.backing == GUESTMEM_CALLER ? mapping->first : gpa;
        if (gm_frame_acquire(memory, &mapping->source, gpa, first, mapping->last, mapping->last,
                             newest) != 0) {
            return -1;
        }
        uintptr_t size = (uintptr_t)1 << (*newest)->size_bits;
        if (size - 1 == mapping->last - gpa) {
            return gm_run_fit(memory, newest);
        }
        if (size - 1 > mapping->last - gpa) {
            return gm_fail(memory, GUESTMEM_BAD_FRAME,
                           "the map iterator's frames are more than the reservation");
        }
        gpa += size;
    }
}

/* The same, without any runs after a failure. */
static int acquire_runs(gm_memory_t *memory, const gm_mapping_t *mapping, gm_run_t **newest)
{
    *newest = NULL;
    if (acquire_frames(memory, mapping, newest) == 0) {
        return 0;
    }
    gm_frames_discard(memory, *newest);
    return -1;
}

/* Clear the runs of free memory that the kernel did not, and map them all, the newest first. On
 * failure none is mapped, and all are discarded. */
static int map_runs(gm_memory_t *memory, const gm_frame_source_t *source, gm_run_t *newest)
{
    bool clear = source->use == GM_USE_RAM || source->backing == GUESTMEM_MAYBE_DEVICE;
    for (const gm_run_t *run = newest; run != NULL && clear; run = run->older) {
        if (run->device && gm_window_clear(memory, run) != 0) {
            gm_frames_discard(memory, newest);
            return -1;
        }
    }
    for (gm_run_t *run = newest; run != NULL; run = run->older) {
        if (gm_guest_space_map(memory, run) != 0) {
            while (newest != run) {
                gm_run_t *older = newest->older;
                gm_guest_space_unmap(memory, newest);
                newest = older;
            }
            gm_frames_discard(memory, run);
            return -1;
        }
    }
    return 0;
}

int gm_reservation_map(gm_memory_t *memory, vm_memory_reservation_t *reservation,
                       const gm_frame_source_t *source, guestmem_map_time_t map_time)
{
    if (check_mappable(memory, reservation) != 0) {
        return -1;
    }
    gm_mapping_t *mapping = gm_heap_alloc(&memory->heap, sizeof(*mapping));
    if (mapping == NULL) {
        return gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for a mapping's record");
    }
    *mapping = (gm_mapping_t){
        .source = *source,
        .first = gm_page_of(reservation->base),
        .last = gm_page_last(reservation->last),
        .on_fault = map_time == GUESTMEM_MAP_ON_FAULT,
    };
    mapping->source.iterator_from = reservation->base;
    if (reservation->largest_frame_bits != 0) {
        mapping->source.largest_bits = reservation->largest_frame_bits;
    }
    gm_run_t *newest;
    if (!mapping->on_fault && (acquire_runs(memory, mapping, &newest) != 0 ||
                               map_runs(memory, &mapping->source, newest) != 0)) {
        gm_heap_free(&memory->heap, mapping, sizeof(*mapping));
        return -1;
    }
    reservation->mapping = mapping;
    return 0;
}

/* Memory that changes while the guest runs. */

/* Acquire frames for the pages of `[gpa, end]` that have none, which begin and end in
 * `[first, last]`. */
static int acquire_missing(gm_memory_t *memory, const gm_mapping_t *mapping, uintptr_t gpa,
                           uintptr_t end, uintptr_t first, uintptr_t last, gm_run_t **newest)
{
    size_t index;
    for (gpa = gm_page_of(gpa);; first = ++gpa) {
        const gm_run_t *run = gm_guest_space_find(memory, gpa, &index);
        if (run == NULL) {
            uintptr_t from = first;
            uintptr_t to = last;
            gm_guest_space_hole(memory, gpa, &from, &to);
            if (gm_frame_acquire(memory, &mapping->source, gpa, from, to, to < end ? to : end,
                                 newest) != 0) {
                return -1;
            }
            run = *newest;
            if (gpa < gm_run_gpa(run, run->count - 1) || gpa > gm_run_last(run)) {
                return gm_fail(memory, GUESTMEM_BAD_FRAME,
                               "the map iterator's frame at 0x%" PRIxPTR
                               " does not hold GPA 0x%" PRIxPTR,
                               gm_run_gpa(run, run->count - 1), gpa);
            }
        }
        gpa = gm_run_last(run);
        if (gpa >= end) {
            return *newest != NULL ? gm_run_fit(memory, newest) : 0;
        }
    }
}

int gm_mapping_fill(gm_memory_t *memory, gm_mapping_t *mapping, uintptr_t gpa, uintptr_t end,
                    uintptr_t first, uintptr_t last, gm_run_t **filled)
{
    *filled = NULL;
    if (acquire_missing(memory, mapping, gpa, end, first, last, filled) != 0) {
        gm_frames_discard(memory, *filled);
        return -1;
    }
    if (map_runs(memory, &mapping->source, *filled) != 0) {
        return -1;
    }
    for (const gm_run_t *run = *filled; run != NULL; run = run->older) {
        gm_mapping_note(mapping, run->base, gm_run_last(run));
    }
    return 0;
}

void gm_mapping_empty(gm_memory_t *memory, gm_run_t *filled)
{
    while (filled != NULL) {
        gm_run_t *older = filled->older;
        gm_guest_space_unmap(memory, filled);
        filled = older;
    }
}

/* Check that a frame can be given back, and got again: that it is the library's, that the allocator
 * takes it, and that it is memory. */
static int check_discardable(gm_memory_t *memory, const gm_mapping_t *mapping, const gm_run_t *run,
                             size_t index)
{
    const char *why =
        run->caller ? "is the caller's, who frees it"
        : run->device && mapping->source.backing == GUESTMEM_UNTYPED && !run->cacheable
            ? "is a device's"
        : run->frames[index].cookie == 0 ? "has memory that the allocator does not take back"
                                         : NULL;
    return why == NULL ? 0
                       : gm_fail(memory, GUESTMEM_BAD_FRAME, "the frame at GPA 0x%" PRIxPTR " %s",
                                 gm_run_gpa(run, index), why);
}

/* Find the frames that lie wholly in `[*gpa, *end]`, and narrow that to them.
 * @return 0, with `*size` bytes of them; -1 after gm_fail() */
static int find_discardable(gm_memory_t *memory, const gm_mapping_t *mapping, uintptr_t *gpa,
                            uintptr_t *end, uintptr_t *size)
{
    uintptr_t first = *gpa;
    uintptr_t last = *end;
    *size = 0;
    for (const gm_run_t *run = gm_guest_space_next(memory, first, last); run != NULL;
         run = gm_guest_space_after(memory, run, last)) {
        uintptr_t bytes = (uintptr_t)1 << run->size_bits;
        size_t i = first > run->base ? (size_t)((first - run->base + (bytes - 1)) / bytes) : 0;
        for (; i < run->count && gm_run_gpa(run, i) + (bytes - 1) <= last; i++) {
            if (check_discardable(memory, mapping, run, i) != 0) {
                return -1;
            }
            *gpa = *size == 0 ? gm_run_gpa(run, i) : *gpa;
            *end = gm_run_gpa(run, i) + (bytes - 1);
            *size += bytes;
        }
    }
    return 0;
}

int gm_mapping_discard(gm_memory_t *memory, gm_mapping_t *mapping, uintptr_t gpa, uintptr_t end,
                       uintptr_t *size)
{
    gm_cuts_t cuts;
    gm_range_t run;
    if (find_discardable(memory, mapping, &gpa, &end, size) != 0) {
        return -1;
    }
    if (*size == 0) {
        return 0;
    }
    if (gm_guest_space_cut(memory, gpa, end, &cuts) != 0) {
        return -1;
    }
    gm_window_drop(memory, &mapping->window, mapping->first, mapping->last, gpa, end);
    while (gm_range_map_previous(&memory->runs, end, &run) && run.last >= gpa) {
        gm_guest_space_unmap(memory, run.value);
    }
    gm_mapping_note(mapping, gpa, end);
    mapping->refilled |= memory->discarded == GUESTMEM_DISCARDED_REFILLED;
    if (mapping->source.use == GM_USE_KEPT_RAM) {
        mapping->source.use = GM_USE_RAM; /* what comes again is zeroed */
    }
    return 0;
}

/* Tracking: the rights that a frame is mapped with follow from the records. They are changed first,
 * then frames are mapped by them; if that fails, both are changed back. */

/* Whether written pages of a frame are noted: not if the guest may not write it anyway, and not
 * where it may not execute, as a fault then need not be a write. */
static bool is_tracked(const gm_mapping_t *mapping, const gm_run_t *run, size_t index)
{
    seL4_CapRights_t rights = gm_run_rights(run, index);
    return mapping->written != NULL && run->cacheable && seL4_CapRights_get_capAllowRead(rights) &&
           seL4_CapRights_get_capAllowWrite(rights);
}

static size_t page_number(const gm_mapping_t *mapping, uintptr_t gpa)
{
    return (size_t)((gpa - mapping->first) >> ARCH_PAGE_BITS);
}

static size_t written_bytes(const gm_mapping_t *mapping)
{
    return (page_number(mapping, mapping->last) / 64 + 1) * sizeof(uint64_t);
}

/* The first page from `page` on, up to `last`, that is written; above `last` if none is. */
static size_t next_bit(const uint64_t *written, size_t page, size_t last)
{
    while (page <= last) {
        uint64_t bits = written[page / 64] >> page % 64;
        if (bits != 0) {
            return page + (size_t)__builtin_ctzll(bits);
        }
        page = (page | 63) + 1;
    }
    return page;
}

static bool is_written(const gm_mapping_t *mapping, uintptr_t gpa, uintptr_t end)
{
    size_t last = page_number(mapping, end);
    return next_bit(mapping->written, page_number(mapping, gpa), last) <= last;
}

static void clear_written(gm_mapping_t *mapping, uintptr_t gpa, uintptr_t end)
{
    size_t last = page_number(mapping, end);
    for (size_t i = page_number(mapping, gpa); i <= last; i++) {
        mapping->written[i / 64] &= ~(UINT64_C(1) << i % 64);
    }
}

static uintptr_t frame_last(const gm_run_t *run, size_t index)
{
    return gm_run_gpa(run, index) + (((uintptr_t)1 << run->size_bits) - 1);
}

static void forget_written(gm_memory_t *memory, gm_mapping_t *mapping)
{
    if (mapping->written != NULL) {
        gm_heap_free(&memory->heap, mapping->written, written_bytes(mapping));
        mapping->written = NULL;
        memory->tracked--;
    }
}

static int map_without_write(gm_memory_t *memory, const gm_run_t *run, size_t index)
{
    seL4_CapRights_t rights = gm_run_rights(run, index);
    return gm_guest_space_remap(memory, run, index, seL4_CapRights_set_capAllowWrite(rights, 0));
}

/* Map a frame with the rights that it has by the records. */
static int map_by_records(gm_memory_t *memory, const gm_mapping_t *mapping, const gm_run_t *run,
                          size_t index)
{
    return is_tracked(mapping, run, index) &&
                   !is_written(mapping, gm_run_gpa(run, index), frame_last(run, index))
               ? map_without_write(memory, run, index)
               : gm_guest_space_remap(memory, run, index, gm_run_rights(run, index));
}

/* The same for the frames of `[gpa, end]`. Of those that the guest may not write, tracking changes
 * nothing: they can be left out.
 * @return NULL; after gm_fail() the run of the first that cannot be mapped so, and its index */
static const gm_run_t *map_all(gm_memory_t *memory, const gm_mapping_t *mapping, uintptr_t gpa,
                               uintptr_t end, bool read_only_too, size_t *index)
{
    for (const gm_run_t *run = gm_guest_space_next(memory, gpa, end); run != NULL;
         run = gm_guest_space_after(memory, run, end)) {
        *index = gpa > run->base ? (size_t)((gpa - run->base) >> run->size_bits) : 0;
        for (; *index < run->count && gm_run_gpa(run, *index) <= end; ++*index) {
            if ((read_only_too || seL4_CapRights_get_capAllowWrite(gm_run_rights(run, *index))) &&
                map_by_records(memory, mapping, run, *index) != 0) {
                return run;
            }
        }
    }
    return NULL;
}

/* Map the frames from `gpa` on by the records, which are as they were again, up to that which could
 * not be mapped otherwise; and that too, if the kernel has had to unmap it for that. */
static void map_back(gm_memory_t *memory, const gm_mapping_t *mapping, uintptr_t gpa,
                     const gm_run_t *run, size_t index, bool read_only_too)
{
    gm_failure_t failure = memory->failure;
    uintptr_t behind =
        gm_guest_space_remaps(memory) ? gm_run_gpa(run, index) : frame_last(run, index) + 1;
    while (gpa < behind &&
           (run = map_all(memory, mapping, gpa, behind - 1, read_only_too, &index)) != NULL) {
        gm_guest_space_withdraw(memory, run, index);
        gpa = frame_last(run, index) + 1;
    }
    memory->failure = failure;
}

/* The guest writes: give it the right to. */
static int give_right(gm_memory_t *memory, gm_mapping_t *mapping, const gm_run_t *run, size_t index,
                      uintptr_t gpa)
{
    uintptr_t base = gm_run_gpa(run, index);
    bool written = is_written(mapping, base, frame_last(run, index));
    gm_mapping_note(mapping, gpa, gpa);
    if (map_by_records(memory, mapping, run, index) == 0) {
        return 0;
    }
    if (!written) {
        clear_written(mapping, base, frame_last(run, index));
    }
    map_back(memory, mapping, base, run, index, true);
    return -1;
}

int gm_mapping_track(gm_memory_t *memory, gm_mapping_t *mapping)
{
    size_t index;
    if (mapping->written != NULL) {
        return 0;
    }
    if (memory->iospaces != NULL) {
        return gm_fail(memory, GUESTMEM_BAD_ARGUMENT,
                       "the VM has IO spaces, and what devices write would not be seen");
    }
    for (const gm_run_t *run = gm_guest_space_next(memory, mapping->first, mapping->last);
         run != NULL; run = gm_guest_space_after(memory, run, mapping->last)) {
        if (!run->cacheable) {
            return gm_fail_range(memory, GUESTMEM_BAD_FRAME, run->base, gm_run_last(run), NULL,
                                 "written pages cannot be tracked, as a device has the frames at",
                                 NULL);
        }
    }
    mapping->written = gm_heap_alloc_zeroed(&memory->heap, written_bytes(mapping));
    if (mapping->written == NULL) {
        return gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for a bit for each page");
    }
    memory->tracked++;
    const gm_run_t *failed = map_all(memory, mapping, mapping->first, mapping->last, false, &index);
    if (failed != NULL) {
        forget_written(memory, mapping);
        map_back(memory, mapping, mapping->first, failed, index, false);
        return -1;
    }
    memory->recent = (gm_recent_t){0};
    return 0;
}

int gm_mapping_track_no_more(gm_memory_t *memory, gm_mapping_t *mapping)
{
    size_t index;
    uint64_t *written = mapping->written;
    if (written == NULL) {
        return 0;
    }
    mapping->written = NULL;
    const gm_run_t *failed = map_all(memory, mapping, mapping->first, mapping->last, false, &index);
    mapping->written = written;
    if (failed != NULL) {
        map_back(memory, mapping, mapping->first, failed, index, false);
        return -1;
    }
    forget_written(memory, mapping);
    memory->recent = (gm_recent_t){0};
    return 0;
}

/* Map the frames with written pages up to `end` without the right to write, or with it again. */
static int map_written(gm_memory_t *memory, const gm_mapping_t *mapping, uintptr_t end, bool write,
                       const gm_run_t **failed, size_t *index)
{
    size_t last = page_number(mapping, end);
    size_t page = 0;
    while ((page = next_bit(mapping->written, page, last)) <= last) {
        const gm_run_t *run = gm_guest_space_find(
            memory, mapping->first + ((uintptr_t)page << ARCH_PAGE_BITS), index);
        if (run != NULL && is_tracked(mapping, run, *index) &&
            (write ? map_by_records(memory, mapping, run, *index)
                   : map_without_write(memory, run, *index)) != 0) {
            *failed = run;
            return -1;
        }
        page = run != NULL ? page_number(mapping, frame_last(run, *index)) + 1 : page + 1;
    }
    return 0;
}

int gm_mapping_rearm(gm_memory_t *memory, gm_mapping_t *mapping)
{
    const gm_run_t *failed;
    size_t index;
    uintptr_t gpa = mapping->first;
    while (gm_window_next_pointed(memory, &mapping->window, &gpa, mapping->last)) {
        const gm_run_t *run = gm_guest_space_find(memory, gpa, &index);
        gm_mapping_note(mapping, gpa, gpa);
        gpa = frame_last(run, index) + 1;
    }
    if (map_written(memory, mapping, mapping->last, false, &failed, &index) == 0) {
        return 0;
    }
    gm_failure_t failure = memory->failure;
    uintptr_t behind =
        gm_guest_space_remaps(memory) ? gm_run_gpa(failed, index) : frame_last(failed, index) + 1;
    while (behind > mapping->first &&
           map_written(memory, mapping, behind - 1, true, &failed, &index) != 0) {
        gm_guest_space_withdraw(memory, failed, index);
        behind = gm_run_gpa(failed, index);
    }
    memory->failure = failure;
    return -1;
}

bool gm_mapping_next_written(const gm_memory_t *memory, gm_mapping_t *mapping, uintptr_t *gpa,
                             uintptr_t *last)
{
    size_t index;
    size_t end = page_number(mapping, mapping->last);
    size_t page = *gpa <= mapping->last
                      ? next_bit(mapping->written, page_number(mapping, *gpa), end)
                      : end + 1;
    if (page > end) {
        return false;
    }
    *gpa = mapping->first + ((uintptr_t)page << ARCH_PAGE_BITS);
    *last = gm_page_last(*gpa);
    const gm_run_t *run = gm_guest_space_find(memory, *gpa, &index);
    if (run != NULL) {
        *gpa = gm_run_gpa(run, index);
        *last = frame_last(run, index);
    }
    clear_written(mapping, *gpa, *last);
    return true;
}

/* Check that `[first, last]` has frames in all pages, and cuts none. */
static int check_whole_frames(gm_memory_t *memory, uintptr_t first, uintptr_t last)
{
    const uintptr_t ends[] = {first, last};
    size_t index;
    for (uintptr_t gpa = first; gpa <= last;) {
        const gm_run_t *run = gm_guest_space_find(memory, gpa, &index);
        if (run == NULL) {
            return gm_fail(memory, GUESTMEM_NOT_MAPPED, "GPA 0x%" PRIxPTR " has no frame", gpa);
        }
        gpa = gm_run_last(run) + 1;
    }
    for (int i = 0; i < 2; i++) {
        const gm_run_t *run = gm_guest_space_find(memory, ends[i], &index);
        if (gm_run_gpa(run, index) < first || frame_last(run, index) > last) {
            return gm_fail_range(memory, GUESTMEM_MISALIGNED, gm_run_gpa(run, index),
                                 frame_last(run, index), NULL, "the range cuts the frame at",
                                 "rights are those of whole frames");
        }
    }
    return 0;
}

int gm_mapping_protect(gm_memory_t *memory, gm_mapping_t *mapping, uintptr_t first, uintptr_t last,
                       seL4_CapRights_t rights)
{
    gm_cuts_t cuts;
    gm_run_t *run;
    size_t index;
    if (memory->iospaces != NULL) {
        return gm_fail(memory, GUESTMEM_BAD_ARGUMENT,
                       "the VM has IO spaces, in which the rights of devices would not change");
    }
    if (check_whole_frames(memory, first, last) != 0 ||
        gm_guest_space_cut(memory, first, last, &cuts) != 0) {
        return -1;
    }
    for (run = gm_guest_space_next(memory, first, last); run != NULL;
         run = gm_guest_space_after(memory, run, last)) {
        run->had = run->rights;
        run->rights = rights;
    }
    const gm_run_t *failed = map_all(memory, mapping, first, last, true, &index);
    if (failed == NULL) {
        return 0;
    }
    for (run = gm_guest_space_next(memory, first, last); run != NULL;
         run = gm_guest_space_after(memory, run, last)) {
        run->rights = run->had;
    }
    map_back(memory, mapping, first, failed, index, true);
    gm_guest_space_join(memory, &cuts);
    return -1;
}

gm_fault_t gm_reservation_fault(gm_memory_t *memory, vm_memory_reservation_t *reservation,
                                uintptr_t gpa)
{
    gm_mapping_t *mapping = reservation->mapping;
    gm_run_t *filled;
    size_t index;
    if (mapping == NULL) {
        return GM_FAULT_NONE;
    }
    const gm_run_t *run = gm_guest_space_find(memory, gpa, &index);
    if (run != NULL) {
        return !is_tracked(mapping, run, index)                    ? GM_FAULT_NONE
               : give_right(memory, mapping, run, index, gpa) == 0 ? GM_FAULT_MAPPED
                                                                   : GM_FAULT_FAILED;
    }
    if (!mapping->on_fault && !mapping->refilled) {
        return GM_FAULT_NONE;
    }
    if (gm_mapping_fill(memory, mapping, gpa, gpa, mapping->first, mapping->last, &filled) != 0) {
        mapping->on_fault = false;
        mapping->refilled = false;
        return GM_FAULT_FAILED;
    }
    return GM_FAULT_MAPPED;
}

/* Unmap the window and the frames, the highest first, and free the mapping. */
static void destroy_mapping(gm_memory_t *memory, gm_mapping_t *mapping)
{
    gm_range_t run;
    gm_window_close(memory, &mapping->window, mapping->first, mapping->last);
    while (gm_range_map_previous(&memory->runs, mapping->last, &run) &&
           run.last >= mapping->first) {
        gm_guest_space_unmap(memory, run.value);
    }
    forget_written(memory, mapping);
    gm_heap_free(&memory->heap, mapping, sizeof(*mapping));
}

void gm_reservation_free(gm_memory_t *memory, vm_memory_reservation_t *reservation)
{
    if (reservation->mapping != NULL) {
        destroy_mapping(memory, reservation->mapping);
    }
    gm_region_t *region = gm_region_of(reservation);
    if (region != NULL && reservation->base < region->no_room_below) {
        region->no_room_below = gm_page_of(reservation->base);
    }
    memory->counts.faults += reservation->faults;
    gm_range_map_remove(&memory->reservations, reservation->base);
    gm_heap_free(&memory->heap, reservation->name, GUESTMEM_NAME_SIZE);
    reservation->memory = NULL;
    gm_heap_free(&memory->heap, reservation, sizeof(*reservation));
}

void gm_reservation_free_all(gm_memory_t *memory)
{
    gm_range_t range;
    while (gm_range_map_previous(&memory->reservations, UINTPTR_MAX, &range)) {
        gm_reservation_free(memory, range.value);
    }
    while (memory->oldest_region != NULL) {
        gm_region_t *region = memory->oldest_region;
        memory->oldest_region = region->next;
        gm_heap_free(&memory->heap, region, sizeof(*region));
    }
    gm_range_map_destroy(&memory->regions);
    gm_range_map_destroy(&memory->reservations);
}

memory_fault_result_t default_error_fault_callback(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t fault_addr,
                                                   size_t fault_length, void *cookie)
{
    (void)vcpu;
    (void)cookie;
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return FAULT_ERROR;
    }
    const vm_memory_reservation_t *reservation = gm_reservation_find(memory, fault_addr);
    if (reservation != NULL) {
        fail_reservation(memory, GUESTMEM_NO_RIGHT, reservation,
                         "the guest's access is not allowed in the reservation", NULL);
    } else {
        gm_fail(memory, GUESTMEM_NO_RIGHT, "the guest's access is in no reservation");
    }
    gm_report_guest(memory, __func__, fault_addr, gm_last_of(fault_addr, fault_length));
    return FAULT_ERROR;
}
