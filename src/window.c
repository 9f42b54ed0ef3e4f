/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A frame capability can be mapped once, and the guest's is in the guest: so what the VMM maps is a
 * copy. All goes through the VMM's own vspace_t, which knows the copy that it has at an address: so
 * none is kept here, and other code can look up a window's pages there as well.
 *
 * A window has addresses for a whole mapping, and maps a frame when it is first needed. Where it
 * cannot have addresses, or a frame cannot be mapped at its own, an access maps the frame anywhere.
 *
 * The vspace_t of libsel4utils never frees a page table: where a small page was, a large one finds
 * the table there and fails, and the next search for a free range may find the same address. So
 * ranges where large frames do not fit are held while another one is looked for; and others that
 * double in size, so that a few of them lead past all addresses where the VMM once had small pages.
 */

#include <inttypes.h>
#include <sel4/sel4.h>
#include <sel4/sel4_arch/mapping.h>
#include <utils/util.h>
#include <vspace/arch/page.h>
#include "window.h"

#define ATTEMPTS  32
#define BOOK_BITS 21 /* what one of libsel4utils' tables spans on 64-bit; on 32-bit it is 4 MiB */

typedef struct held_ranges {
    reservation_t ranges[2 * ATTEMPTS];
    size_t count;
} held_ranges_t;

/*@ requires \valid_read(memory);
    assigns \nothing;
    ensures \result == &memory->vm->mem.vmm_vspace;
 */
static vspace_t *vmm_vspace(gm_memory_t *memory)
{
    return &memory->vm->mem.vmm_vspace;
}

/* How an attempt to map in a range of the VMM went. */
typedef enum attempt {
    ATTEMPT_DONE,
    ATTEMPT_FAILED,
    ATTEMPT_ELSEWHERE, /* failed, but another range may do */
} attempt_t;

/* What to make of a failure of map_at(). */
static attempt_t failed_attempt(const gm_memory_t *memory)
{
    return memory->failure.code == GUESTMEM_NO_ADDRESS ? ATTEMPT_ELSEWHERE : ATTEMPT_FAILED;
}

/* Hold a range, so that others are found. */
/*@ requires \valid(memory) && \valid(memory->vm) && \valid(held);
    requires held->count < 2 * ATTEMPTS && ARCH_PAGE_BITS <= bits < 64;
    assigns held->ranges[0 .. 2 * ATTEMPTS - 1], held->count;
    ensures \old(held->count) <= held->count <= \old(held->count) + 1;
 */
static void hold(gm_memory_t *memory, held_ranges_t *held, size_t bits, size_t align_bits)
{
    void *vaddr = NULL;
    reservation_t range =
        vspace_reserve_range_aligned(vmm_vspace(memory), ((size_t)1 << bits) - ARCH_PAGE_SIZE,
                                     align_bits, seL4_AllRights, 1, &vaddr);
    if (range.res != NULL) {
        held->ranges[held->count++] = range;
    }
}

/* After an attempt with frames of that size: hold the range that it found, by its size, and one of
 * twice the size each time. @return false if there is no need or no use of another attempt */
/*@ requires \valid(memory) && \valid(memory->vm) && \valid(held) && \separated(held, memory);
    requires held->count <= 2 * ATTEMPTS && ARCH_PAGE_BITS <= size_bits < 32;
    assigns held->ranges[0 .. 2 * ATTEMPTS - 1], held->count;
    ensures held->count <= 2 * ATTEMPTS;
    ensures \result ==> held->count > \old(held->count);
 */
static bool try_elsewhere(gm_memory_t *memory, attempt_t attempt, held_ranges_t *held,
                          size_t size_bits)
{
    size_t before = held->count;
    if (attempt != ATTEMPT_ELSEWHERE || size_bits == ARCH_PAGE_BITS ||
        held->count + 2 > ARRAY_SIZE(held->ranges)) {
        return false;
    }
    hold(memory, held, size_bits, size_bits);
    if (size_bits + before / 2 + 1 < 8 * sizeof(size_t)) {
        hold(memory, held, size_bits + before / 2 + 1, size_bits);
    }
    return held->count > before;
}

static void free_held(gm_memory_t *memory, held_ranges_t *held)
{
    while (held->count > 0) {
        vspace_free_reservation(vmm_vspace(memory), held->ranges[--held->count]);
    }
}

/*
 * Map a large frame at an address of the VMM as its vspace_t will, to learn from the kernel whether
 * a page table is in the way: libsel4utils asserts that there is none. The kernel returns
 * FailedLookup with the span of what it has found, or on x86 DeleteFirst; the span of a table that
 * is missing, and that the vspace_t will make, is no smaller than the frame.
 */
static int try_large(gm_memory_t *memory, seL4_CPtr frame, size_t size_bits, bool cacheable,
                     void *vaddr)
{
    seL4_ARCH_VMAttributes attributes =
        cacheable ? seL4_ARCH_Default_VMAttributes
                  : (seL4_ARCH_VMAttributes)seL4_ARCH_Uncached_VMAttributes;
    seL4_CPtr root = vspace_get_root(vmm_vspace(memory));
    memory->counts.page_maps++;
    seL4_Error error =
        (seL4_Error)seL4_ARCH_Page_Map(frame, root, (seL4_Word)vaddr, seL4_AllRights, attributes);
    if (error == seL4_DeleteFirst ||
        (error == seL4_FailedLookup && seL4_MappingFailedLookupLevel() < size_bits)) {
        return gm_fail(memory, GUESTMEM_NO_ADDRESS,
                       "the VMM has a page table where a frame of 2^%zu bytes would go", size_bits);
    }
    return error == seL4_NoError || error == seL4_FailedLookup
               ? 0
               : gm_fail_kernel(memory, error, "could not map a frame in the VMM");
}

static int unmap_tried(gm_memory_t *memory, seL4_CPtr frame)
{
    memory->counts.page_unmaps++;
    seL4_Error error = (seL4_Error)seL4_ARCH_Page_Unmap(frame);
    return error == seL4_NoError
               ? 0
               : gm_fail_kernel(memory, error, "could not unmap a frame from the VMM");
}

/* Map through the vspace_t. Fails with GUESTMEM_NO_ADDRESS, where another range may do. */
static int map_through_vspace(gm_memory_t *memory, seL4_CPtr frame, size_t size_bits, void *vaddr,
                              reservation_t range)
{
    return vspace_map_pages_at_vaddr(vmm_vspace(memory), &frame, NULL, vaddr, 1, size_bits,
                                     range) == 0
               ? 0
               : gm_fail(memory, GUESTMEM_NO_ADDRESS, "could not map a frame in the VMM");
}

/*
 * The same for a large frame that try_large() may have mapped. Most kernels map a capability again
 * where it is mapped already; some refuse, and then it is unmapped before, from then on.
 */
static int map_tried(gm_memory_t *memory, seL4_CPtr frame, size_t size_bits, void *vaddr,
                     reservation_t range)
{
    if (memory->remap_refused) {
        return unmap_tried(memory, frame) == 0
                   ? map_through_vspace(memory, frame, size_bits, vaddr, range)
                   : -1;
    }
    if (map_through_vspace(memory, frame, size_bits, vaddr, range) == 0) {
        return 0;
    }
    if (unmap_tried(memory, frame) != 0 ||
        map_through_vspace(memory, frame, size_bits, vaddr, range) != 0) {
        return -1;
    }
    memory->remap_refused = true;
    return 0;
}

/* Map a frame that is not mapped anywhere in a reserved range, at a multiple of its size. Fails
 * with GUESTMEM_NO_ADDRESS where another range may do. */
static int map_at(gm_memory_t *memory, seL4_CPtr frame, size_t size_bits, bool cacheable,
                  void *vaddr, reservation_t range)
{
    if (size_bits == ARCH_PAGE_BITS) {
        return map_through_vspace(memory, frame, size_bits, vaddr, range);
    }
    return try_large(memory, frame, size_bits, cacheable, vaddr) == 0
               ? map_tried(memory, frame, size_bits, vaddr, range)
               : -1;
}

/* Temporary mappings. */

/* Map a large frame in a range of its own. */
static attempt_t map_large(gm_memory_t *memory, bool cacheable, gm_temporary_t *temporary)
{
    vspace_t *vmm = vmm_vspace(memory);
    size_t size = (size_t)1 << temporary->size_bits;
    void *vaddr = NULL;
    reservation_t range = vspace_reserve_range_aligned(vmm, size, temporary->size_bits,
                                                       seL4_AllRights, cacheable, &vaddr);
    if (range.res == NULL) {
        gm_fail(memory, GUESTMEM_NO_ADDRESS,
                "the VMM's address space has no room for a frame of 0x%zx bytes", size);
        return ATTEMPT_FAILED;
    }
    if (map_at(memory, temporary->cap, temporary->size_bits, cacheable, vaddr, range) != 0) {
        vspace_free_reservation(vmm, range);
        return failed_attempt(memory);
    }
    temporary->range = range;
    temporary->vaddr = vaddr;
    return ATTEMPT_DONE;
}

/* Map the frame at any address, which for a small one the vspace_t finds by itself. */
static int map_anywhere(gm_memory_t *memory, bool cacheable, gm_temporary_t *temporary)
{
    if (temporary->size_bits == ARCH_PAGE_BITS) {
        temporary->vaddr = vspace_map_pages(vmm_vspace(memory), &temporary->cap, NULL,
                                            seL4_AllRights, 1, ARCH_PAGE_BITS, cacheable);
        return temporary->vaddr != NULL
                   ? 0
                   : gm_fail(memory, GUESTMEM_NO_ADDRESS, "could not map a frame in the VMM");
    }
    held_ranges_t held = {.count = 0};
    attempt_t attempt;
    do {
        attempt = map_large(memory, cacheable, temporary);
    } while (try_elsewhere(memory, attempt, &held, temporary->size_bits));
    free_held(memory, &held);
    return attempt == ATTEMPT_DONE ? 0 : -1;
}

static void unmap(gm_memory_t *memory, const gm_temporary_t *temporary)
{
    vspace_t *vmm = vmm_vspace(memory);
    vspace_unmap_pages(vmm, temporary->vaddr, 1, temporary->size_bits, VSPACE_PRESERVE);
    if (temporary->range.res != NULL) {
        vspace_free_reservation(vmm, temporary->range);
    }
}

static void unmap_copy(gm_memory_t *memory, gm_temporary_t *temporary)
{
    unmap(memory, temporary);
    size_t index;
    gm_run_t *run = gm_guest_space_find(memory, temporary->gpa, &index);
    gm_frame_delete_copy(memory, run, index, temporary->cap);
    temporary->vaddr = NULL;
}

static int map_copy(gm_memory_t *memory, gm_run_t *run, size_t index, gm_temporary_t *temporary)
{
    *temporary = (gm_temporary_t){.size_bits = run->size_bits, .gpa = gm_run_gpa(run, index)};
    if (gm_frame_copy(memory, run, index, &temporary->cap) != 0) {
        return -1;
    }
    if (map_anywhere(memory, run->cacheable, temporary) != 0) {
        gm_frame_delete_copy(memory, run, index, temporary->cap);
        return -1;
    }
    return 0;
}

void gm_temporary_forget(gm_memory_t *memory)
{
    if (memory->kept.vaddr != NULL) {
        unmap_copy(memory, &memory->kept);
        memory->recent = (gm_recent_t){0};
    }
}

/* Map a frame that is not the kept one. If there is no room for another, the kept one gives way. */
static int map_another(gm_memory_t *memory, gm_run_t *run, size_t index, gm_temporary_t *temporary)
{
    if (map_copy(memory, run, index, temporary) == 0) {
        return 0;
    }
    if (memory->kept.vaddr == NULL || memory->kept_users > 0) {
        return -1;
    }
    gm_temporary_forget(memory);
    return map_copy(memory, run, index, temporary);
}

/* One frame stays mapped, in the hope that the next access is to it as well. The callback of an
 * access may make another one: then the frame of the outer access stays, and the inner one's does
 * not. */
int gm_temporary_map(gm_memory_t *memory, gm_run_t *run, size_t index, gm_temporary_t *temporary)
{
    gm_temporary_t *kept = &memory->kept;
    if (kept->vaddr == NULL || kept->gpa != gm_run_gpa(run, index)) {
        if (map_another(memory, run, index, temporary) != 0) {
            return -1;
        }
        if (memory->kept_users > 0) {
            return 0;
        }
        gm_temporary_forget(memory);
        *kept = *temporary;
    }
    *temporary = *kept;
    temporary->kept = true;
    memory->kept_users++;
    return 0;
}

void gm_temporary_unmap(gm_memory_t *memory, gm_temporary_t *temporary)
{
    if (temporary->kept) {
        memory->kept_users--;
    } else if (temporary->vaddr != NULL) {
        unmap_copy(memory, temporary);
    }
}

/* Set memory to zero by aligned stores: what is mapped uncached may take no others. */
static void zero_uncached(void *memory, size_t size)
{
    volatile uint64_t *word = memory;
    for (size_t i = 0; i < size / sizeof(*word); i += 4) {
        word[i] = 0;
        word[i + 1] = 0;
        word[i + 2] = 0;
        word[i + 3] = 0;
    }
}

/*
 * Clearing through the cache and cleaning it is much faster than uncached stores, but 32-bit
 * kernels refuse to clean frames outside of their own window. That is asked of the last cache line
 * before anything is written, since what is in a cache that cannot be cleaned may be written to
 * memory at any time.
 */
static int clear_frame(gm_memory_t *memory, seL4_CPtr cap, size_t size_bits)
{
    size_t size = (size_t)1 << size_bits;
    gm_temporary_t temporary = {.cap = cap, .size_bits = size_bits};
    if (map_anywhere(memory, true, &temporary) != 0) {
        return -1;
    }
    bool cached =
        gm_arch_frame_clean(cap, size - ARCH_CLEAN_TRIAL, ARCH_CLEAN_TRIAL) == seL4_NoError;
    if (!cached) {
        unmap(memory, &temporary);
        temporary = (gm_temporary_t){.cap = cap, .size_bits = size_bits};
        if (map_anywhere(memory, false, &temporary) != 0) {
            return -1;
        }
        zero_uncached(temporary.vaddr, size);
    } else {
        memset(temporary.vaddr, 0, size);
    }
    seL4_Error error = cached ? gm_arch_frame_clean(cap, 0, size) : seL4_NoError;
    unmap(memory, &temporary);
    return error == seL4_NoError
               ? 0
               : gm_fail_kernel(memory, error, "could not clean a cleared frame from the caches");
}

int gm_window_clear(gm_memory_t *memory, const gm_run_t *run)
{
    for (size_t i = 0; i < run->count; i++) {
        if (clear_frame(memory, run->frames[i].cap, run->size_bits) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Where the guest's caches are off, what it wrote is found, and what is copied seen, in memory. */
static seL4_Error clean_whole(const gm_memory_t *memory, seL4_CPtr cap, size_t size_bits)
{
    return memory->vm->mem.clean_cache ? gm_arch_frame_clean(cap, 0, (size_t)1 << size_bits)
                                       : seL4_NoError;
}

/* Copy to the frames of `to` that lie in a frame of `from`, which the VMM has mapped. */
static int copy_frame(gm_memory_t *memory, const gm_temporary_t *from, const gm_run_t *to)
{
    size_t size = (size_t)1 << to->size_bits;
    size_t first = gm_run_index(to, from->gpa);
    size_t count = (size_t)1 << (from->size_bits - to->size_bits);
    seL4_Error error = clean_whole(memory, from->cap, from->size_bits);
    for (size_t i = 0; i < count && error == seL4_NoError; i++) {
        gm_temporary_t temporary = {.cap = to->frames[first + i].cap, .size_bits = to->size_bits};
        if (map_anywhere(memory, to->cacheable, &temporary) != 0) {
            return -1;
        }
        memcpy(temporary.vaddr, (const char *)from->vaddr + i * size, size);
        error = clean_whole(memory, temporary.cap, to->size_bits);
        unmap(memory, &temporary);
    }
    return error == seL4_NoError
               ? 0
               : gm_fail_kernel(memory, error, "could not clean a frame from the caches");
}

int gm_window_copy(gm_memory_t *memory, gm_run_t *from, const gm_run_t *to)
{
    int error = 0;
    for (size_t i = 0; i < from->count && error == 0; i++) {
        gm_temporary_t temporary;
        error = map_copy(memory, from, i, &temporary);
        if (error == 0) {
            error = copy_frame(memory, &temporary, to);
            unmap_copy(memory, &temporary);
        }
    }
    return error;
}

/* Windows. */

enum {
    FRAME_OUTSIDE,
    FRAME_IN_WINDOW,
    FRAME_NEW,    /* in the window, until it is settled */
    FRAME_POINTED /* in the window, and there is a pointer to it that the VMM may write by */
};

/* The HVA of a GPA in the window of a mapping that begins with `first`. */
/*@ requires \valid_read(window) && first <= gpa;
    assigns \nothing;
    ensures \result == window->base + (gpa - first);
 */
static char *address_of(const gm_window_t *window, uintptr_t first, uintptr_t gpa)
{
    return window->base + (gpa - first);
}

/* The index of the frame of a run that holds `gpa`, or the one next to it if it is outside. */
/*@ requires gm_run_ok(run);
    assigns \nothing;
    ensures \result < run->count;
    ensures gpa <= run->base ==> \result == 0;
    ensures gpa >= gm_run_end(run) ==> \result == run->count - 1;
    ensures run->base <= gpa < gm_run_end(run) ==>
        run->base + \result * (1 << run->size_bits) <= gpa <
            run->base + (\result + 1) * (1 << run->size_bits);
 */
static size_t index_at(const gm_run_t *run, uintptr_t gpa)
{
    return gpa <= run->base ? 0 : gpa > gm_run_last(run) ? run->count - 1 : gm_run_index(run, gpa);
}

/* Whether a window suits a frame: one that came later may be larger than those that it was made
 * for, or be cached otherwise. */
/*@ requires \valid_read(window) && gm_run_ok(run) && \valid_read(&run->cacheable);
    requires first <= run->base && index < run->count;
    assigns \nothing;
    ensures \result ==> run->cacheable == window->cacheable;
 */
static bool suits(const gm_window_t *window, uintptr_t first, const gm_run_t *run, size_t index)
{
    uintptr_t vaddr = (uintptr_t)address_of(window, first, gm_run_gpa(run, index));
    return run->cacheable == window->cacheable && gm_offset_in(vaddr, run->size_bits) == 0;
}

static int map_frame(gm_memory_t *memory, gm_window_t *window, uintptr_t first, gm_run_t *run,
                     size_t index)
{
    seL4_CPtr copy = seL4_CapNull;
    char *vaddr = address_of(window, first, gm_run_gpa(run, index));
    if (gm_frame_copy(memory, run, index, &copy) != 0) {
        return -1;
    }
    if (map_at(memory, copy, run->size_bits, run->cacheable, vaddr, window->range) != 0) {
        gm_frame_delete_copy(memory, run, index, copy);
        return -1;
    }
    gm_run_states(run)[index] = FRAME_NEW;
    run->num_in_window++;
    window->num_frames++;
    window->num_new++;
    memory->counts.window_frames++;
    return 0;
}

static void unmap_frame(gm_memory_t *memory, gm_window_t *window, uintptr_t first, gm_run_t *run,
                        size_t index)
{
    vspace_t *vmm = vmm_vspace(memory);
    char *vaddr = address_of(window, first, gm_run_gpa(run, index));
    seL4_CPtr copy = vspace_get_cap(vmm, vaddr);
    vspace_unmap_pages(vmm, vaddr, 1, run->size_bits, VSPACE_PRESERVE);
    gm_frame_delete_copy(memory, run, index, copy);
    window->num_new -= gm_run_states(run)[index] == FRAME_NEW;
    gm_run_states(run)[index] = FRAME_OUTSIDE;
    run->num_in_window--;
    window->num_frames--;
    memory->counts.window_frames--;
}

/* Map the frames of `[gpa, end]` that are not in the window, and that it suits; they are FRAME_NEW
 * then. */
static int map_missing(gm_memory_t *memory, gm_window_t *window, uintptr_t first, uintptr_t gpa,
                       uintptr_t end)
{
    for (gm_run_t *run = gm_guest_space_next(memory, gpa, end); run != NULL;
         run = gm_guest_space_after(memory, run, end)) {
        size_t stop = run->num_in_window < run->count ? index_at(run, end) + 1 : 0;
        for (size_t i = index_at(run, gpa); i < stop; i++) {
            if (gm_run_states(run)[i] == FRAME_OUTSIDE && suits(window, first, run, i) &&
                map_frame(memory, window, first, run, i) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

static void settle_run(gm_memory_t *memory, gm_window_t *window, uintptr_t first, gm_run_t *run,
                       uintptr_t gpa, uintptr_t end, bool stay)
{
    gm_frame_state_t *states = gm_run_states(run);
    size_t stop = index_at(run, end) + 1;
    for (size_t i = index_at(run, gpa); i < stop; i++) {
        if (states[i] == FRAME_NEW && stay) {
            states[i] = FRAME_IN_WINDOW;
            window->num_new--;
        } else if (states[i] == FRAME_NEW) {
            unmap_frame(memory, window, first, run, i);
        }
    }
}

static void close_empty(gm_memory_t *memory, gm_window_t *window)
{
    if (window->base != NULL && window->num_frames == 0) {
        vspace_free_reservation(vmm_vspace(memory), window->range);
        *window = (gm_window_t){0};
        memory->windows_closed++;
    }
}

void gm_window_settle(gm_memory_t *memory, gm_window_t *window, uintptr_t first, uintptr_t gpa,
                      uintptr_t end, bool stay)
{
    for (gm_run_t *run = window->num_new > 0 ? gm_guest_space_next(memory, gpa, end) : NULL;
         run != NULL; run = gm_guest_space_after(memory, run, end)) {
        settle_run(memory, window, first, run, gpa, end, stay);
    }
    window->refused = window->refused && stay;
    close_empty(memory, window);
}

static int map_in_window(gm_memory_t *memory, gm_window_t *window, uintptr_t first, uintptr_t gpa,
                         uintptr_t end)
{
    int error = map_missing(memory, window, first, gpa, end);
    if (error != 0) {
        gm_window_settle(memory, window, first, gpa, end, false);
    }
    return error;
}

/* The largest frame in a range. */
/*@ requires gm_runs_ok(memory) && first <= last;
    assigns \nothing;
    ensures gm_is_frame_bits(\result);
 */
static size_t largest_frame(const gm_memory_t *memory, uintptr_t first, uintptr_t last)
{
    size_t bits = ARCH_PAGE_BITS;
    /*@ loop invariant gm_is_frame_bits(bits) && (run != \null ==> gm_run_ok(run));
        loop assigns run, bits;
        loop variant run != \null ? UINTPTR_MAX - gm_run_end(run) : -1;
     */
    for (const gm_run_t *run = gm_guest_space_next(memory, first, last); run != NULL;
         run = gm_guest_space_after(memory, run, last)) {
        bits = run->size_bits > bits ? run->size_bits : bits;
    }
    return bits;
}

/* Reserve addresses for `[first, last]`, and map the frames of `[gpa, end]` there. */
static attempt_t open_somewhere(gm_memory_t *memory, gm_window_t *window, size_t largest_bits,
                                uintptr_t first, uintptr_t last, uintptr_t gpa, uintptr_t end)
{
    /* Large frames must lie at multiples of their size in the VMM as well. */
    uintptr_t offset = gm_offset_in(first, largest_bits);
    void *vaddr = NULL;
    const gm_run_t *run = gm_guest_space_run(memory, gpa);
    bool cacheable = run == NULL || run->cacheable;
    reservation_t range =
        vspace_reserve_range_aligned(vmm_vspace(memory), offset + (last - first) + 1, largest_bits,
                                     seL4_AllRights, cacheable, &vaddr);
    if (range.res == NULL) {
        window->refused = true;
        window->refused_at = memory->windows_closed;
        gm_fail(memory, GUESTMEM_NO_ADDRESS,
                "the VMM's address space has no room for a window of 0x%" PRIxPTR " bytes",
                last - first + 1);
        return ATTEMPT_FAILED;
    }
    *window = (gm_window_t){
        .base = (char *)vaddr + offset, .before = offset, .range = range, .cacheable = cacheable};
    return map_in_window(memory, window, first, gpa, end) == 0 ? ATTEMPT_DONE
                                                               : failed_attempt(memory);
}

static int open_window(gm_memory_t *memory, gm_window_t *window, uintptr_t first, uintptr_t last,
                       uintptr_t gpa, uintptr_t end)
{
    size_t largest_bits = largest_frame(memory, first, last);
    held_ranges_t held = {.count = 0};
    attempt_t attempt;
    do {
        attempt = open_somewhere(memory, window, largest_bits, first, last, gpa, end);
    } while (try_elsewhere(memory, attempt, &held, largest_bits));
    free_held(memory, &held);
    return attempt == ATTEMPT_DONE ? 0 : -1;
}

int gm_window_map(gm_memory_t *memory, gm_window_t *window, uintptr_t first, uintptr_t last,
                  uintptr_t gpa, uintptr_t end)
{
    if (window->base != NULL) {
        return map_in_window(memory, window, first, gpa, end);
    }
    bool ask = !window->refused || window->refused_at != memory->windows_closed;
    return ask ? open_window(memory, window, first, last, gpa, end)
               : gm_fail(memory, GUESTMEM_NO_ADDRESS,
                         "the VMM's address space had no room for a window");
}

uintptr_t gm_window_find(const gm_memory_t *memory, const gm_window_t *window, uintptr_t first,
                         uintptr_t gpa, uintptr_t end, char **pointer)
{
    uintptr_t next = gpa;
    const gm_run_t *run = window->base != NULL ? gm_guest_space_run(memory, gpa) : NULL;
    /*@ loop invariant gpa <= next;
        loop invariant run != \null ==> gm_run_ok(run) && gm_run_readable(run) &&
            run->base <= next < gm_run_end(run) && next <= end;
        loop assigns run, next;
        loop variant UINTPTR_MAX - next;
     */
    while (run != NULL) {
        size_t stop = index_at(run, end) + 1;
        //@ assert next < run->base + run->count * (1 << run->size_bits);
        //@ assert next < run->base + stop * (1 << run->size_bits);
        size_t i = run->num_in_window == run->count ? stop : gm_run_index(run, next);
        /*@ loop invariant i <= stop;
            loop assigns i;
            loop variant stop - i;
         */
        while (i < stop && gm_run_states(run)[i] != FRAME_OUTSIDE) {
            i++;
        }
        next = gm_max(next, gm_run_gpa(run, i));
        if (i < stop || next > end) {
            break;
        }
        run = gm_guest_space_run(memory, next);
    }
    *pointer = next > gpa ? address_of(window, first, gpa) : NULL;
    return next > gpa ? gm_min(next - 1, end) : gpa;
}

void gm_window_point(gm_memory_t *memory, gm_window_t *window, uintptr_t gpa, uintptr_t end)
{
    for (gm_run_t *run = gm_guest_space_next(memory, gpa, end); run != NULL;
         run = gm_guest_space_after(memory, run, end)) {
        size_t stop = index_at(run, end) + 1;
        for (size_t i = index_at(run, gpa); i < stop; i++) {
            gm_run_states(run)[i] = FRAME_POINTED;
        }
    }
    window->pointed = true;
}

bool gm_window_next_pointed(const gm_memory_t *memory, const gm_window_t *window, uintptr_t *gpa,
                            uintptr_t end)
{
    /*@ loop invariant run != \null ==> gm_run_ok(run) && gm_run_readable(run);
        loop assigns run;
        loop variant run != \null ? UINTPTR_MAX - gm_run_end(run) : -1;
     */
    for (const gm_run_t *run = window->pointed ? gm_guest_space_next(memory, *gpa, end) : NULL;
         run != NULL; run = gm_guest_space_after(memory, run, end)) {
        /*@ loop invariant i <= run->count;
            loop assigns i;
            loop variant run->count - i;
         */
        for (size_t i = index_at(run, *gpa); run->num_in_window > 0 && i < run->count; i++) {
            if (gm_run_states(run)[i] == FRAME_POINTED && gm_run_gpa(run, i) >= *gpa) {
                *gpa = gm_run_gpa(run, i);
                return true;
            }
        }
    }
    return false;
}

/* The first frame of `[gpa, end]` that is in the window, or NULL. */
static gm_run_t *first_in_window(const gm_memory_t *memory, uintptr_t gpa, uintptr_t end,
                                 size_t *index)
{
    for (gm_run_t *run = gm_guest_space_next(memory, gpa, end); run != NULL;
         run = gm_guest_space_after(memory, run, end)) {
        size_t stop = run->num_in_window > 0 ? index_at(run, end) + 1 : 0;
        for (*index = index_at(run, gpa); *index < stop; ++*index) {
            if (gm_run_states(run)[*index] != FRAME_OUTSIDE) {
                return run;
            }
        }
    }
    return NULL;
}

/* The vspace_t of libsel4utils cannot free parts of a range in which nothing was ever mapped, of
 * 2^BOOK_BITS bytes each: its addresses would be lost, with an error in the log. So a frame is
 * mapped there for a moment. */
static void visit_unused_parts(gm_memory_t *memory, const gm_window_t *window, uintptr_t first,
                               uintptr_t last)
{
    const uintptr_t mask = ((uintptr_t)1 << BOOK_BITS) - 1;
    size_t index;
    size_t other;
    seL4_CPtr copy = seL4_CapNull;
    uintptr_t base = (uintptr_t)window->base;
    uintptr_t end = base + (last - first);
    gm_run_t *run = first_in_window(memory, first, last, &index);
    for (uintptr_t part = ((base - window->before) + mask) & ~mask;
         run != NULL && run->size_bits <= BOOK_BITS && part <= end && end - part >= mask;
         part += mask + 1) {
        uintptr_t from = part > base ? part : base;
        if (part + mask >= base && first_in_window(memory, first + (from - base),
                                                   first + (part + mask - base), &other) != NULL) {
            continue;
        }
        if (copy == seL4_CapNull && gm_frame_copy(memory, run, index, &copy) != 0) {
            return;
        }
        if (map_at(memory, copy, run->size_bits, window->cacheable, (void *)part, window->range) ==
            0) {
            vspace_unmap_pages(vmm_vspace(memory), (void *)part, 1, run->size_bits,
                               VSPACE_PRESERVE);
        }
    }
    if (copy != seL4_CapNull) {
        gm_frame_delete_copy(memory, run, index, copy);
    }
}

static void forget_in(gm_memory_t *memory, uintptr_t first, uintptr_t last)
{
    if (memory->kept.vaddr != NULL && memory->kept.gpa >= first && memory->kept.gpa <= last) {
        gm_temporary_forget(memory);
    }
}

/* Unmap the frames of a run that are in the window. */
static void unmap_run(gm_memory_t *memory, gm_window_t *window, uintptr_t first, gm_run_t *run)
{
    for (size_t i = 0; i < run->count && run->num_in_window > 0; i++) {
        if (gm_run_states(run)[i] != FRAME_OUTSIDE) {
            unmap_frame(memory, window, first, run, i);
        }
    }
}

void gm_window_close(gm_memory_t *memory, gm_window_t *window, uintptr_t first, uintptr_t last)
{
    forget_in(memory, first, last);
    if (window->num_frames > 0) {
        visit_unused_parts(memory, window, first, last);
    }
    for (gm_run_t *run = window->num_frames > 0 ? gm_guest_space_next(memory, first, last) : NULL;
         run != NULL; run = gm_guest_space_after(memory, run, last)) {
        unmap_run(memory, window, first, run);
    }
    close_empty(memory, window);
    memory->recent = (gm_recent_t){0};
}

/* How many frames of `[gpa, end]`, which are whole, are in the window. */
static size_t count_frames(const gm_memory_t *memory, uintptr_t gpa, uintptr_t end)
{
    size_t count = 0;
    for (const gm_run_t *run = gm_guest_space_next(memory, gpa, end); run != NULL;
         run = gm_guest_space_after(memory, run, end)) {
        count += run->num_in_window;
    }
    return count;
}

void gm_window_drop(gm_memory_t *memory, gm_window_t *window, uintptr_t first, uintptr_t last,
                    uintptr_t gpa, uintptr_t end)
{
    size_t count = window->num_frames > 0 ? count_frames(memory, gpa, end) : 0;
    if (count > 0 && count == window->num_frames) {
        gm_window_close(memory, window, first, last);
        return;
    }
    forget_in(memory, gpa, end);
    memory->recent = (gm_recent_t){0};
    for (gm_run_t *run = count > 0 ? gm_guest_space_next(memory, gpa, end) : NULL; run != NULL;
         run = gm_guest_space_after(memory, run, end)) {
        unmap_run(memory, window, first, run);
    }
}
