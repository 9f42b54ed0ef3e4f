/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * All windows that a range needs are opened before its first piece, so that an access that fails
 * for want of one has changed nothing: those that this access opened carry its number, and are
 * closed again. Without windows, frames are lent one at a time.
 */

#include <inttypes.h>
#include "guest_access.h"
#include "ram_list.h"
#include "reservations.h"
#include "vmm_frame.h"

/* Close the windows of `[base, last]` that the current access opened. */
static void close_opened(vm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    range_map_entry_t entry;
    while (range_map_overlap(&memory->reservations, base, last, &entry)) {
        guest_mapping_t *mapping = ((vm_memory_reservation_t *)entry.value)->mapping;
        if (mapping != NULL && mapping->access == memory->access) {
            vmm_window_close(memory, &mapping->window, mapping->first, mapping->last);
            mapping->access = 0;
        }
        if (entry.last >= last) {
            return;
        }
        base = entry.last + 1;
    }
}

/* The run with the frame at `gpa`. @return NULL with the cause blamed */
static const frame_run_t *run_at(vm_memory_t *memory, uintptr_t gpa, size_t *index)
{
    const frame_run_t *run = guest_space_find(&memory->space, gpa, index);
    if (run == NULL) {
        memory_blame(memory, GUESTMEM_NOT_MAPPED, "GPA 0x%" PRIxPTR " has no frame (yet)", gpa);
    }
    return run;
}

/* Check that the pages of `[gpa, last]` have frames, for an access without a window. */
static int check_frames(vm_memory_t *memory, uintptr_t gpa, uintptr_t last)
{
    for (;;) {
        size_t index;
        const frame_run_t *run = run_at(memory, gpa, &index);
        if (run == NULL) {
            return -1;
        }
        if (frame_run_last(run) >= last) {
            return 0;
        }
        gpa = frame_run_last(run) + 1;
    }
}

/* Make the part of the range that lies in one reservation accessible. */
static int prepare_part(vm_memory_t *memory, const vm_memory_reservation_t *reservation,
                        uintptr_t gpa, uintptr_t last)
{
    guest_mapping_t *mapping = reservation->mapping;
    if (mapping->window.base != NULL) {
        return 0;
    }
    if (memory->windows == GUESTMEM_WINDOWS_NONE) {
        return check_frames(memory, gpa, last < reservation->last ? last : reservation->last);
    }
    if (vmm_window_open(memory, &mapping->window, mapping->first, mapping->last) != 0) {
        return -1;
    }
    mapping->access = memory->access;
    return 0;
}

/* The reservation with memory at `gpa`. @return NULL with the cause blamed */
static vm_memory_reservation_t *mapped_reservation(vm_memory_t *memory, uintptr_t gpa)
{
    vm_memory_reservation_t *reservation = reservations_find(memory, gpa);
    if (reservation == NULL || reservation->mapping == NULL) {
        memory_blame(memory, GUESTMEM_NOT_MAPPED, "GPA 0x%" PRIxPTR " is in no mapped reservation",
                     gpa);
        return NULL;
    }
    return reservation;
}

/* Make a range accessible; on failure, close_opened() is the caller's. */
static int prepare_parts(vm_memory_t *memory, uintptr_t gpa, uintptr_t last)
{
    for (;;) {
        const vm_memory_reservation_t *reservation = mapped_reservation(memory, gpa);
        if (reservation == NULL || prepare_part(memory, reservation, gpa, last) != 0) {
            return -1;
        }
        if (reservation->last >= last) {
            return 0;
        }
        gpa = reservation->last + 1;
    }
}

static int prepare(vm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    memory->access++;
    if (prepare_parts(memory, base, last) != 0) {
        close_opened(memory, base, last);
        return -1;
    }
    return 0;
}

int guest_access_prepare(vm_memory_t *memory, uintptr_t to, uintptr_t from, size_t size)
{
    uintptr_t to_last = to + (size - 1);
    uintptr_t from_last = from + (size - 1);
    memory->access++;
    if (prepare_parts(memory, to, to_last) != 0 || prepare_parts(memory, from, from_last) != 0) {
        close_opened(memory, to, to_last);
        close_opened(memory, from, from_last);
        return -1;
    }
    return 0;
}

/* Remember the window of a RAM reservation. */
static void remember(vm_memory_t *memory, const vm_memory_reservation_t *reservation)
{
    const guest_mapping_t *mapping = reservation->mapping;
    if (mapping->ram) {
        memory->recent = (recent_window_t){
            .base = reservation->base,
            .length = reservation->last - reservation->base + 1,
            .pointer = mapping->window.base + (reservation->base - mapping->first),
        };
    }
}

/* A piece, and the frame that is lent for it if there is no window. */
typedef struct piece {
    uintptr_t last;
    char *pointer;
    vmm_loan_t loan;
} piece_t;

static int begin_piece(vm_memory_t *memory, uintptr_t gpa, uintptr_t last, piece_t *piece)
{
    size_t index;
    *piece = (piece_t){.last = last, .pointer = guest_access_recent(memory, gpa, last - gpa + 1)};
    if (piece->pointer != NULL) {
        return 0; /* page after page of one window */
    }
    const vm_memory_reservation_t *reservation = mapped_reservation(memory, gpa);
    if (reservation == NULL) {
        return -1; /* the access function has freed it */
    }
    const guest_mapping_t *mapping = reservation->mapping;
    piece->last = last < reservation->last ? last : reservation->last;
    if (mapping->window.base != NULL) {
        remember(memory, reservation);
        piece->pointer = mapping->window.base + (gpa - mapping->first);
        return 0;
    }
    const frame_run_t *run = run_at(memory, gpa, &index);
    if (run == NULL || vmm_frame_lend(memory, run->frames[index].cap, run->size_bits,
                                      run->cacheable, &piece->loan) != 0) {
        return -1;
    }
    uintptr_t offset = gpa & (((uintptr_t)1 << run->size_bits) - 1);
    uintptr_t frame_last = gpa | (((uintptr_t)1 << run->size_bits) - 1);
    piece->last = piece->last < frame_last ? piece->last : frame_last;
    piece->pointer = (char *)piece->loan.vaddr + offset;
    return 0;
}

int guest_access_each(vm_memory_t *memory, uintptr_t base, uintptr_t last, access_scope_t scope,
                      access_pieces_t pieces, access_fn access, void *cookie, int *answer)
{
    if (scope == ACCESS_RAM && !ram_list_is_ram(memory, base, last)) {
        return memory_blame(memory, GUESTMEM_NOT_RAM,
                            "the range is not all RAM; register it with vm_ram_register_at()");
    }
    if (prepare(memory, base, last) != 0) {
        return -1;
    }
    uintptr_t gpa = base;
    for (;;) {
        piece_t piece;
        uintptr_t page_last = gpa | (ARCH_PAGE_SIZE - 1);
        uintptr_t limit = pieces == ACCESS_BY_PAGE && page_last < last ? page_last : last;
        if (begin_piece(memory, gpa, limit, &piece) != 0) {
            return -1;
        }
        *answer = access(memory, gpa, piece.pointer, piece.last - gpa + 1, gpa - base, cookie);
        vmm_frame_return(memory, &piece.loan);
        if (*answer != 0 || piece.last == last) {
            return 0;
        }
        gpa = piece.last + 1;
    }
}

char *guest_access_window(vm_memory_t *memory, uintptr_t addr, size_t *length)
{
    char *pointer = guest_access_recent(memory, addr, 1);
    if (pointer == NULL) {
        remember(memory, reservations_find(memory, addr));
        pointer = guest_access_recent(memory, addr, 1);
    }
    *length = memory->recent.length - (addr - memory->recent.base);
    return pointer;
}

char *guest_access_pointer(vm_memory_t *memory, uintptr_t addr, size_t *length)
{
    if (guest_access_recent(memory, addr, 1) == NULL) {
        if (!ram_list_is_ram(memory, addr, addr)) {
            memory_blame(memory, GUESTMEM_NOT_RAM,
                         "the address is no RAM; register it with vm_ram_register_at()");
            return NULL;
        }
        if (prepare(memory, addr, addr) != 0) {
            return NULL;
        }
        if (reservations_find(memory, addr)->mapping->window.base == NULL) {
            memory_blame(memory, GUESTMEM_NO_ADDRESS,
                         "the VM's policy is to keep no windows; see guestmem_set_windows()");
            return NULL;
        }
    }
    return guest_access_window(memory, addr, length);
}
