/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * While a mapping is tracked, a frame that the guest may read and write is mapped without the right
 * to write, until the guest writes it: then it gets the right, and the page's bit. So the rights
 * that a frame is mapped with follow from the records. These are changed first, then frames are
 * mapped by them; if that fails, both are changed back.
 */

#include <assert.h>
#include <inttypes.h>
#include "tracking.h"

/* Whether written pages of a frame are noted: not if the guest may not write it anyway, and not
 * where it may not execute, as a fault then need not be a write. */
static bool is_tracked(const gm_mapping_t *mapping, const gm_run_t *run, size_t index)
{
    seL4_CapRights_t rights = gm_run_rights(run, index);
    return mapping->written != NULL && run->cacheable && seL4_CapRights_get_capAllowRead(rights) &&
           seL4_CapRights_get_capAllowWrite(rights);
}

/* The first page from `page` on, up to `last`, that is written; above `last` if none is. */
/*@ requires last <= UINTPTR_MAX / ARCH_PAGE_SIZE && page <= last + 1;
    requires \valid_read(written + (0 .. last / 64));
    assigns \nothing;
    ensures page <= \result <= last + 64;
 */
static size_t next_bit(const uint64_t *written, size_t page, size_t last)
{
    /*@ loop invariant \at(page, Pre) <= page <= last + 64;
        loop assigns page;
        loop variant last - page;
     */
    while (page <= last) {
        uint64_t bits = written[page / 64] >> page % 64;
        if (bits != 0) {
            return page + (size_t)__builtin_ctzll(bits);
        }
        page = (page / 64 + 1) * 64;
    }
    return page;
}

/* Whether the guest has got the right to write a frame. */
/*@ requires gm_mapping_bits(mapping, mapping->given) && gm_run_ok(run) && index < run->count;
    requires mapping->first <= run->base + index * (1 << run->size_bits) <= mapping->last;
    assigns \nothing;
 */
static bool has_right(const gm_mapping_t *mapping, const gm_run_t *run, size_t index)
{
    size_t page = gm_mapping_page(mapping, gm_run_gpa(run, index));
    return mapping->given[page / 64] >> page % 64 & 1;
}

static void forget_written(gm_memory_t *memory, gm_mapping_t *mapping)
{
    gm_heap_free(&memory->heap, mapping->written, 2 * gm_mapping_written_bytes(mapping));
    mapping->written = NULL;
    memory->tracked--;
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
    return is_tracked(mapping, run, index) && !has_right(mapping, run, index)
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
        *index = gpa > run->base ? gm_run_index(run, gpa) : 0;
        for (; *index < run->count && gm_run_gpa(run, *index) <= end; ++*index) {
            if ((read_only_too || seL4_CapRights_get_capAllowWrite(gm_run_rights(run, *index))) &&
                map_by_records(memory, mapping, run, *index) != 0) {
                return run;
            }
        }
    }
    return NULL;
}

/* The end of what may have changed, where a frame could not be mapped: the kernel may have had to
 * unmap it for that. */
/*@ requires \valid_read(memory) && gm_run_ok(run) && index < run->count;
    assigns \nothing;
    ensures gm_arch_frame_remaps && !memory->remap_refused ==>
        \result == run->base + index * (1 << run->size_bits);
    ensures !gm_arch_frame_remaps || memory->remap_refused ==>
        \result == run->base + (index + 1) * (1 << run->size_bits);
 */
static uintptr_t after_failure(const gm_memory_t *memory, const gm_run_t *run, size_t index)
{
    return gm_guest_space_remaps(memory) ? gm_run_gpa(run, index) : gm_run_gpa_last(run, index) + 1;
}

/* Map the frames of `[gpa, end)` by the records, which are as they were again. */
static void map_back(gm_memory_t *memory, const gm_mapping_t *mapping, uintptr_t gpa, uintptr_t end,
                     bool read_only_too)
{
    gm_failure_t failure = memory->failure;
    const gm_run_t *run;
    size_t index;
    while (gpa < end &&
           (run = map_all(memory, mapping, gpa, end - 1, read_only_too, &index)) != NULL) {
        gm_guest_space_withdraw(memory, run, index);
        gpa = gm_run_gpa_last(run, index) + 1;
    }
    memory->failure = failure;
}

bool gm_tracking_holds(const gm_memory_t *memory, const gm_mapping_t *mapping, uintptr_t gpa)
{
    size_t index;
    const gm_run_t *run = gm_guest_space_find(memory, gpa, &index);
    return run != NULL && is_tracked(mapping, run, index);
}

int gm_tracking_give_right(gm_memory_t *memory, gm_mapping_t *mapping, uintptr_t gpa)
{
    size_t index;
    const gm_run_t *run = gm_guest_space_find(memory, gpa, &index);
    uintptr_t base = gm_run_gpa(run, index);
    if (has_right(mapping, run, index)) {
        return 0; /* another VCPU's fault was on its way while it got that */
    }
    gm_mapping_mark(mapping, mapping->given, base, base, true);
    if (map_by_records(memory, mapping, run, index) != 0) {
        gm_mapping_mark(mapping, mapping->given, base, base, false);
        map_back(memory, mapping, base, after_failure(memory, run, index), true);
        return -1;
    }
    gm_mapping_note(mapping, gpa, gpa);
    return 0;
}

int gm_tracking_begin(gm_memory_t *memory, gm_mapping_t *mapping, bool pages)
{
    size_t index;
    if (mapping->written != NULL) {
        return !pages || mapping->in_pages
                   ? 0
                   : gm_fail(memory, GUESTMEM_BAD_ARGUMENT,
                             "written frames are tracked, which may be large; end that first");
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
    if (pages && gm_mapping_check_break(memory, mapping) != 0) {
        return -1;
    }
    size_t bytes = gm_mapping_written_bytes(mapping);
    mapping->written = gm_heap_alloc_zeroed(&memory->heap, 2 * bytes);
    if (mapping->written == NULL) {
        return gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for two bits for each page");
    }
    mapping->given = mapping->written + bytes / sizeof(uint64_t);
    memory->tracked++;
    const gm_run_t *failed = map_all(memory, mapping, mapping->first, mapping->last, false, &index);
    if (failed != NULL) {
        forget_written(memory, mapping);
        map_back(memory, mapping, mapping->first, after_failure(memory, failed, index), false);
        return -1;
    }
    if (pages && gm_mapping_break(memory, mapping) != 0) {
        forget_written(memory, mapping);
        map_back(memory, mapping, mapping->first, mapping->last + 1, false);
        return -1;
    }
    mapping->in_pages = pages;
    memory->recent = (gm_recent_t){0};
    return 0;
}

int gm_tracking_end(gm_memory_t *memory, gm_mapping_t *mapping)
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
        map_back(memory, mapping, mapping->first, after_failure(memory, failed, index), false);
        return -1;
    }
    forget_written(memory, mapping);
    memory->recent = (gm_recent_t){0};
    return 0;
}

/* Map the frames up to `end` that the guest has the right to write without it, or with it again.
 * @return NULL; after gm_fail() the run of the first that cannot be mapped so, and its index */
static const gm_run_t *map_given(gm_memory_t *memory, const gm_mapping_t *mapping, uintptr_t end,
                                 bool write, size_t *index)
{
    size_t last = gm_mapping_page(mapping, end);
    for (size_t page = 0; (page = next_bit(mapping->given, page, last)) <= last; page++) {
        const gm_run_t *run =
            gm_guest_space_find(memory, gm_block_at(mapping->first, page, ARCH_PAGE_BITS), index);
        if (run == NULL) {
            continue; /* it came for an access that failed, and went again */
        }
        if (is_tracked(mapping, run, *index) &&
            (write ? map_by_records(memory, mapping, run, *index)
                   : map_without_write(memory, run, *index)) != 0) {
            return run;
        }
        page = gm_mapping_page(mapping, gm_run_gpa_last(run, *index));
    }
    return NULL;
}

int gm_tracking_rearm(gm_memory_t *memory, gm_mapping_t *mapping)
{
    size_t index;
    const gm_run_t *run;
    uintptr_t gpa = mapping->first;
    while (gpa <= mapping->last &&
           gm_window_next_pointed(memory, &mapping->window, &gpa, mapping->last)) {
        run = gm_guest_space_find(memory, gpa, &index);
        assert(run != NULL);
        gm_mapping_note(mapping, gpa, gpa);
        gpa = gm_run_gpa_last(run, index) + 1;
    }
    run = map_given(memory, mapping, mapping->last, false, &index);
    if (run == NULL) {
        memset(mapping->given, 0, gm_mapping_written_bytes(mapping));
        return 0;
    }
    gm_failure_t failure = memory->failure;
    uintptr_t end = after_failure(memory, run, index);
    while (end > mapping->first &&
           (run = map_given(memory, mapping, end - 1, true, &index)) != NULL) {
        gm_guest_space_withdraw(memory, run, index);
        end = gm_run_gpa(run, index);
    }
    memory->failure = failure;
    return -1;
}

void gm_tracking_forget(gm_memory_t *memory, gm_mapping_t *mapping)
{
    forget_written(memory, mapping);
    map_back(memory, mapping, mapping->first, mapping->last + 1, false);
    memory->recent = (gm_recent_t){0};
}

bool gm_tracking_find(const gm_memory_t *memory, const gm_mapping_t *mapping, uintptr_t *gpa,
                      uintptr_t *last)
{
    size_t end = gm_mapping_page(mapping, mapping->last);
    size_t page = *gpa <= mapping->last
                      ? next_bit(mapping->written, gm_mapping_page(mapping, *gpa), end)
                      : end + 1;
    if (page > end) {
        return false;
    }
    /* by ?: and not by if, after which the provers do not find the contract's last part */
    uintptr_t written = gm_block_at(mapping->first, page, ARCH_PAGE_BITS);
    const gm_run_t *run = gm_guest_space_run(memory, written);
    size_t index = run != NULL ? gm_run_index(run, written) : 0;
    uintptr_t base = run != NULL ? gm_run_gpa(run, index) : written;
    *last = run != NULL ? gm_run_gpa_last(run, index) : gm_page_last(written);
    *gpa = base;
    return true;
}

bool gm_tracking_next(const gm_memory_t *memory, gm_mapping_t *mapping, uintptr_t *gpa,
                      uintptr_t *last)
{
    bool found = gm_tracking_find(memory, mapping, gpa, last);
    if (found) {
        gm_mapping_mark(mapping, mapping->written, *gpa, *last, false);
    }
    return found;
}

int gm_tracking_protect(gm_memory_t *memory, gm_mapping_t *mapping, uintptr_t first, uintptr_t last,
                        seL4_CapRights_t rights)
{
    gm_cuts_t cuts;
    gm_run_t *run;
    size_t index;
    if (memory->iospaces != NULL) {
        return gm_fail(memory, GUESTMEM_BAD_ARGUMENT,
                       "the VM has IO spaces, in which the rights of devices would not change");
    }
    if (gm_guest_space_check_whole(memory, first, last, "rights are those of whole frames") != 0 ||
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
    map_back(memory, mapping, first, after_failure(memory, failed, index), true);
    gm_guest_space_join(memory, &cuts);
    return -1;
}
