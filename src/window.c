/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A frame capability can be mapped once, and the guest's is in the guest: so what the VMM maps is a
 * copy. All goes through the VMM's own vspace_t, which knows the copy that it has at an address: so
 * none is kept here, and other code can look up a window's pages there as well.
 *
 * The vspace_t of libsel4utils never frees a page table: where a small page was, a large one finds
 * the table there and fails, and the next search for a free range may find the same address. So
 * ranges where large frames do not fit are held while another one is looked for. They double in
 * size, so that a few of them lead past all addresses where the VMM once had small pages.
 */

#include <inttypes.h>
#include <sel4/sel4.h>
#include <sel4/sel4_arch/mapping.h>
#include <vspace/arch/page.h>
#include "window.h"

#define HELD_RANGES 12

typedef struct held_ranges {
    reservation_t ranges[HELD_RANGES];
    size_t count;
} held_ranges_t;

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

/* After an attempt with frames of that size: hold the next free range, so that the one after it is
 * found. @return false if there is no need or no use of another attempt */
static bool try_elsewhere(gm_memory_t *memory, attempt_t attempt, held_ranges_t *held,
                          size_t size_bits)
{
    void *vaddr = NULL;
    if (attempt != ATTEMPT_ELSEWHERE || size_bits == ARCH_PAGE_BITS || held->count == HELD_RANGES ||
        size_bits + held->count >= 8 * sizeof(size_t)) {
        return false;
    }
    reservation_t range =
        vspace_reserve_range_aligned(vmm_vspace(memory), (size_t)1 << (size_bits + held->count),
                                     size_bits, seL4_AllRights, 1, &vaddr);
    if (range.res == NULL) {
        return false;
    }
    held->ranges[held->count++] = range;
    return true;
}

static void free_held(gm_memory_t *memory, held_ranges_t *held)
{
    while (held->count > 0) {
        vspace_free_reservation(vmm_vspace(memory), held->ranges[--held->count]);
    }
}

/*
 * Map a large frame at an address of the VMM as its vspace_t will, to learn from the kernel whether
 * a page table is in the way: libsel4utils asserts that there is none. Mapping the same capability
 * at the same address again is no error, so what was mapped here does not hinder the vspace_t. The
 * kernel returns FailedLookup with the span of what it has found, or on x86 DeleteFirst; the span
 * of a table that is missing, and that the vspace_t will make, is no smaller than the frame.
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

/* Map a frame that is not mapped anywhere in a reserved range, at a multiple of its size. Fails
 * with GUESTMEM_NO_ADDRESS where another range may do. */
static int map_at(gm_memory_t *memory, seL4_CPtr frame, size_t size_bits, bool cacheable,
                  void *vaddr, reservation_t range)
{
    bool large = size_bits > ARCH_PAGE_BITS;
    if (large && try_large(memory, frame, size_bits, cacheable, vaddr) != 0) {
        return -1;
    }
    if (vspace_map_pages_at_vaddr(vmm_vspace(memory), &frame, NULL, vaddr, 1, size_bits, range) ==
        0) {
        return 0;
    }
    if (large) {
        memory->counts.page_unmaps++;
        seL4_Error error = (seL4_Error)seL4_ARCH_Page_Unmap(frame); /* undoes try_large() */
        if (error != seL4_NoError) {
            return gm_fail_kernel(memory, error, "could not unmap a frame from the VMM");
        }
    }
    return gm_fail(memory, GUESTMEM_NO_ADDRESS, "could not map a frame in the VMM");
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

int gm_temporary_map(gm_memory_t *memory, const gm_run_t *run, size_t index,
                     gm_temporary_t *temporary)
{
    *temporary = (gm_temporary_t){.size_bits = run->size_bits};
    if (gm_frame_copy(memory, run->frames[index].cap, &temporary->cap) != 0) {
        return -1;
    }
    if (map_anywhere(memory, run->cacheable, temporary) != 0) {
        gm_frame_delete_copy(memory, temporary->cap);
        return -1;
    }
    return 0;
}

void gm_temporary_unmap(gm_memory_t *memory, gm_temporary_t *temporary)
{
    if (temporary->vaddr != NULL) {
        unmap(memory, temporary);
        gm_frame_delete_copy(memory, temporary->cap);
        temporary->vaddr = NULL;
    }
}

int gm_window_clear(gm_memory_t *memory, const gm_run_t *run)
{
    for (size_t i = 0; i < run->count; i++) {
        gm_temporary_t temporary = {.cap = run->frames[i].cap, .size_bits = run->size_bits};
        if (map_anywhere(memory, true, &temporary) != 0) {
            return -1;
        }
        memset(temporary.vaddr, 0, (size_t)1 << run->size_bits);
        seL4_Error error = gm_arch_frame_clean(temporary.cap, run->size_bits);
        unmap(memory, &temporary);
        if (error != seL4_NoError) {
            return gm_fail_kernel(memory, error, "could not clean a cleared frame from the caches");
        }
    }
    return 0;
}

/* Windows. */

/* The HVA of a frame of the run, in a window that begins with `first`. */
static char *window_address(const gm_window_t *window, uintptr_t first, const gm_run_t *run,
                            size_t index)
{
    return window->base + (gm_run_gpa(run, index) - first);
}

static int map_frame(gm_memory_t *memory, const gm_window_t *window, uintptr_t first,
                     const gm_run_t *run, size_t index)
{
    seL4_CPtr copy = seL4_CapNull;
    if (gm_frame_copy(memory, run->frames[index].cap, &copy) != 0) {
        return -1;
    }
    if (map_at(memory, copy, run->size_bits, run->cacheable,
               window_address(window, first, run, index), window->range) != 0) {
        gm_frame_delete_copy(memory, copy);
        return -1;
    }
    memory->counts.window_frames++;
    return 0;
}

/* Unmap the first `count` frames of a run. */
static void unmap_frames(gm_memory_t *memory, const gm_window_t *window, uintptr_t first,
                         const gm_run_t *run, size_t count)
{
    vspace_t *vmm = vmm_vspace(memory);
    for (size_t i = 0; i < count; i++) {
        char *vaddr = window_address(window, first, run, i);
        seL4_CPtr copy = vspace_get_cap(vmm, vaddr);
        vspace_unmap_pages(vmm, vaddr, 1, run->size_bits, VSPACE_PRESERVE);
        gm_frame_delete_copy(memory, copy);
        memory->counts.window_frames--;
    }
}

static int map_run(gm_memory_t *memory, const gm_window_t *window, uintptr_t first,
                   const gm_run_t *run)
{
    for (size_t i = 0; i < run->count; i++) {
        if (map_frame(memory, window, first, run, i) != 0) {
            unmap_frames(memory, window, first, run, i);
            return -1;
        }
    }
    return 0;
}

/* Unmap the runs from `first` on, up to but not including `end`. */
static void unmap_runs(gm_memory_t *memory, const gm_window_t *window, uintptr_t first,
                       uintptr_t last, const gm_run_t *end)
{
    for (gm_run_t *run = gm_guest_space_next(memory, first, last); run != end && run != NULL;
         run = gm_guest_space_after(memory, run, last)) {
        unmap_frames(memory, window, first, run, run->count);
    }
}

static int map_runs(gm_memory_t *memory, const gm_window_t *window, uintptr_t first, uintptr_t last)
{
    for (gm_run_t *run = gm_guest_space_next(memory, first, last); run != NULL;
         run = gm_guest_space_after(memory, run, last)) {
        if (map_run(memory, window, first, run) != 0) {
            unmap_runs(memory, window, first, last, run);
            return -1;
        }
    }
    return 0;
}

/* Check that the range is mapped without gaps and of one kind of memory, and find its largest
 * frame. */
static int survey(gm_memory_t *memory, uintptr_t first, uintptr_t last, size_t *largest_bits,
                  bool *cacheable)
{
    uintptr_t gpa = first;
    gm_run_t *run = gm_guest_space_next(memory, first, last);
    *largest_bits = ARCH_PAGE_BITS;
    *cacheable = run != NULL && run->cacheable;
    for (; run != NULL && run->base <= gpa; run = gm_guest_space_next(memory, gpa, last)) {
        if (run->cacheable != *cacheable) {
            return gm_fail(memory, GUESTMEM_NOT_MAPPED,
                           "the range mixes device memory and normal memory at GPA 0x%" PRIxPTR
                           "; use a reservation for each",
                           run->base);
        }
        *largest_bits = run->size_bits > *largest_bits ? run->size_bits : *largest_bits;
        if (gm_run_last(run) >= last) {
            return 0;
        }
        gpa = gm_run_last(run) + 1;
    }
    return gm_fail(memory, GUESTMEM_NOT_MAPPED, "GPA 0x%" PRIxPTR " has no frame (yet)", gpa);
}

/* Reserve a range, and map the frames in it. */
static attempt_t open_somewhere(gm_memory_t *memory, gm_window_t *window, size_t largest_bits,
                                bool cacheable, uintptr_t first, uintptr_t last)
{
    /* Large frames must lie at multiples of their size in the VMM as well. */
    uintptr_t offset = first & (((uintptr_t)1 << largest_bits) - 1);
    void *vaddr = NULL;
    reservation_t range =
        vspace_reserve_range_aligned(vmm_vspace(memory), offset + (last - first) + 1, largest_bits,
                                     seL4_AllRights, cacheable, &vaddr);
    if (range.res == NULL) {
        gm_fail(memory, GUESTMEM_NO_ADDRESS,
                "the VMM's address space has no room for a window of 0x%" PRIxPTR " bytes",
                last - first + 1);
        return ATTEMPT_FAILED;
    }
    *window = (gm_window_t){(char *)vaddr + offset, range};
    if (map_runs(memory, window, first, last) != 0) {
        vspace_free_reservation(vmm_vspace(memory), range);
        *window = (gm_window_t){0};
        return failed_attempt(memory);
    }
    return ATTEMPT_DONE;
}

int gm_window_open(gm_memory_t *memory, gm_window_t *window, uintptr_t first, uintptr_t last)
{
    size_t largest_bits;
    bool cacheable;
    held_ranges_t held = {.count = 0};
    attempt_t attempt;
    if (survey(memory, first, last, &largest_bits, &cacheable) != 0) {
        return -1;
    }
    do {
        attempt = open_somewhere(memory, window, largest_bits, cacheable, first, last);
    } while (try_elsewhere(memory, attempt, &held, largest_bits));
    free_held(memory, &held);
    return attempt == ATTEMPT_DONE ? 0 : -1;
}

void gm_window_close(gm_memory_t *memory, gm_window_t *window, uintptr_t first, uintptr_t last)
{
    if (window->base != NULL) {
        unmap_runs(memory, window, first, last, NULL);
        vspace_free_reservation(vmm_vspace(memory), window->range);
        *window = (gm_window_t){0};
        memory->recent = (gm_recent_window_t){0};
    }
}
