/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A frame capability can be mapped once, and the guest's is in the guest. So the window maps
 * copies. All goes through the VMM's own vspace_t, which knows the copy that it has at an address:
 * so none is kept here, and other code can look up a window's pages there as well.
 */

#include <inttypes.h>
#include "arch_paging.h"
#include "memory.h"
#include "vmm_detour.h"
#include "vmm_frame.h"
#include "vmm_window.h"

static vspace_t *vmm_vspace(vm_memory_t *memory)
{
    return &memory->vm->mem.vmm_vspace;
}

/* Where a frame of the run is seen, in a window that shows `first` at its base. */
static char *window_address(const vmm_window_t *window, uintptr_t first, const frame_run_t *run,
                            size_t index)
{
    return window->base + (frame_run_gpa(run, index) - first);
}

static int show_frame(vm_memory_t *memory, const vmm_window_t *window, uintptr_t first,
                      const frame_run_t *run, size_t index)
{
    seL4_CPtr copy = seL4_CapNull;
    if (vmm_frame_copy(memory, run->frames[index].cap, &copy) != 0) {
        return -1;
    }
    if (vmm_frame_map_at(memory, copy, run->size_bits, run->cacheable,
                         window_address(window, first, run, index), window->range) != 0) {
        vmm_frame_drop(memory, copy);
        return -1;
    }
    memory->counts.window_frames++;
    return 0;
}

static void hide_frame(vm_memory_t *memory, const vmm_window_t *window, uintptr_t first,
                       const frame_run_t *run, size_t index)
{
    char *vaddr = window_address(window, first, run, index);
    seL4_CPtr copy = vspace_get_cap(vmm_vspace(memory), vaddr);
    vspace_unmap_pages(vmm_vspace(memory), vaddr, 1, run->size_bits, VSPACE_PRESERVE);
    vmm_frame_drop(memory, copy);
    memory->counts.window_frames--;
}

/* Hide the first `count` frames of a run. */
static void hide_frames(vm_memory_t *memory, const vmm_window_t *window, uintptr_t first,
                        const frame_run_t *run, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        hide_frame(memory, window, first, run, i);
    }
}

static int show_run(vm_memory_t *memory, const vmm_window_t *window, uintptr_t first,
                    const frame_run_t *run)
{
    for (size_t i = 0; i < run->count; i++) {
        if (show_frame(memory, window, first, run, i) != 0) {
            hide_frames(memory, window, first, run, i);
            return -1;
        }
    }
    return 0;
}

/* Hide the runs from `first` on that start below `end`. */
static void hide_runs(vm_memory_t *memory, const vmm_window_t *window, uintptr_t first,
                      uintptr_t last, const frame_run_t *end)
{
    uintptr_t gpa = first;
    frame_run_t *run = guest_space_next(&memory->space, gpa, last);
    while (run != NULL && run != end) {
        hide_frames(memory, window, first, run, run->count);
        gpa = frame_run_last(run);
        run = gpa < last ? guest_space_next(&memory->space, gpa + 1, last) : NULL;
    }
}

static int show_runs(vm_memory_t *memory, const vmm_window_t *window, uintptr_t first,
                     uintptr_t last)
{
    uintptr_t gpa = first;
    frame_run_t *run = guest_space_next(&memory->space, gpa, last);
    while (run != NULL) {
        if (show_run(memory, window, first, run) != 0) {
            hide_runs(memory, window, first, last, run);
            return -1;
        }
        gpa = frame_run_last(run);
        run = gpa < last ? guest_space_next(&memory->space, gpa + 1, last) : NULL;
    }
    return 0;
}

/* What the runs of a mapping ask of the VMM's range. */
typedef struct window_needs {
    size_t largest_bits;
    bool cacheable;
} window_needs_t;

static int survey(vm_memory_t *memory, uintptr_t first, uintptr_t last, window_needs_t *needs)
{
    uintptr_t gpa = first;
    frame_run_t *run = guest_space_next(&memory->space, gpa, last);
    *needs = (window_needs_t){ARCH_PAGE_BITS, run != NULL && run->cacheable};
    while (run != NULL && run->base <= gpa) {
        if (run->cacheable != needs->cacheable) {
            return memory_blame(memory, GUESTMEM_NOT_MAPPED,
                                "the range mixes device memory and normal memory at GPA 0x%" PRIxPTR
                                "; use a reservation for each",
                                run->base);
        }
        needs->largest_bits =
            run->size_bits > needs->largest_bits ? run->size_bits : needs->largest_bits;
        gpa = frame_run_last(run);
        if (gpa >= last) {
            return 0;
        }
        gpa++;
        run = guest_space_next(&memory->space, gpa, last);
    }
    return memory_blame(memory, GUESTMEM_NOT_MAPPED, "GPA 0x%" PRIxPTR " has no frame (yet)", gpa);
}

/* Reserve a range, and show the frames in it. Where that was in vain, `*elsewhere` tells whether
 * another range may do: one fails to map, the rest is the same anywhere. */
static int open_somewhere(vm_memory_t *memory, vmm_window_t *window, const window_needs_t *needs,
                          uintptr_t first, uintptr_t last, bool *elsewhere)
{
    /* Large frames must lie at multiples of their size in the VMM as well. */
    uintptr_t offset = first & (((uintptr_t)1 << needs->largest_bits) - 1);
    void *vaddr = NULL;
    window->range =
        vspace_reserve_range_aligned(vmm_vspace(memory), offset + (last - first) + 1,
                                     needs->largest_bits, seL4_AllRights, needs->cacheable, &vaddr);
    if (window->range.res == NULL) {
        *elsewhere = false;
        return memory_blame(memory, GUESTMEM_NO_ADDRESS,
                            "the VMM's address space has no room for a window of 0x%" PRIxPTR
                            " bytes",
                            last - first + 1);
    }
    window->base = (char *)vaddr + offset;
    if (show_runs(memory, window, first, last) != 0) {
        *elsewhere = memory->failure.code == GUESTMEM_NO_ADDRESS;
        vspace_free_reservation(vmm_vspace(memory), window->range);
        *window = (vmm_window_t){0};
        return -1;
    }
    return 0;
}

int vmm_window_open(vm_memory_t *memory, vmm_window_t *window, uintptr_t first, uintptr_t last)
{
    window_needs_t needs;
    vmm_detour_t detour = {.count = 0};
    bool elsewhere;
    int error;
    if (survey(memory, first, last, &needs) != 0) {
        return -1;
    }
    do {
        error = open_somewhere(memory, window, &needs, first, last, &elsewhere);
    } while (error != 0 && elsewhere &&
             vmm_detour_take(vmm_vspace(memory), &detour, (size_t)1 << needs.largest_bits,
                             needs.largest_bits));
    vmm_detour_end(vmm_vspace(memory), &detour);
    return error;
}

void vmm_window_close(vm_memory_t *memory, vmm_window_t *window, uintptr_t first, uintptr_t last)
{
    if (window->base != NULL) {
        hide_runs(memory, window, first, last, NULL);
        vspace_free_reservation(vmm_vspace(memory), window->range);
        *window = (vmm_window_t){0};
        memory->recent = (recent_window_t){0};
    }
}
