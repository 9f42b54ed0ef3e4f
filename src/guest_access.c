/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Access of the VMM to guest memory: the public calls of <guestmem/memory.h> and the touching ones
 * of <sel4vm/guest_ram.h>. A range is accessed in pieces that are contiguous in the VMM, through
 * windows that stay or, if the policy wants none, through frames that are mapped for the moment.
 *
 * All windows that a range needs are opened before its first piece, so that an access that fails
 * for want of one has changed nothing: those that this access opened carry its number, and are
 * closed again. An access to the window that was used last is a comparison and a copy.
 */

#include <inttypes.h>
#include <guestmem/memory.h>
#include "guest_ram.h"
#include "reservation.h"

/* Which memory may be accessed. */
typedef enum scope {
    SCOPE_RAM,    /* RAM only: what a guest's descriptors may point at */
    SCOPE_MAPPED, /* any mapped reservation */
} scope_t;

/* How large pieces are. */
typedef enum pieces {
    PIECES_OF_PAGES,   /* no piece crosses a page */
    PIECES_OF_WINDOWS, /* as large as the VMM's mapping allows */
} pieces_t;

/* Called for each piece, in ascending order: `gpa` of its first byte, and the pointer to it, which
 * is valid during the call; `offset` is from the start of the range. @return 0 to go on */
typedef int (*piece_fn)(gm_memory_t *memory, uintptr_t gpa, char *pointer, size_t size,
                        size_t offset, void *cookie);

/* The pointer to `addr` in the window that was used last, or NULL. */
static inline char *recent_pointer(const gm_memory_t *memory, uintptr_t addr, size_t size)
{
    const gm_recent_window_t *recent = &memory->recent;
    uintptr_t offset = addr - recent->base;
    /* A size of 0 becomes the largest there is, and fits nowhere. */
    return offset < recent->length && size - 1 < recent->length - offset ? recent->pointer + offset
                                                                         : NULL;
}

/* Remember the window of a RAM reservation as the one that was used last. */
static void remember(gm_memory_t *memory, const vm_memory_reservation_t *reservation)
{
    const gm_mapping_t *mapping = reservation->mapping;
    if (mapping->ram) {
        memory->recent = (gm_recent_window_t){
            .base = reservation->base,
            .length = reservation->last - reservation->base + 1,
            .pointer = mapping->window.base + (reservation->base - mapping->first),
        };
    }
}

/* Close the windows of `[base, last]` that the current access opened. */
static void close_opened(gm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    gm_range_t range;
    while (gm_range_map_overlap(&memory->reservations, base, last, &range)) {
        gm_mapping_t *mapping = ((vm_memory_reservation_t *)range.value)->mapping;
        if (mapping != NULL && mapping->access == memory->access) {
            gm_window_close(memory, &mapping->window, mapping->first, mapping->last);
            mapping->access = 0;
        }
        if (range.last >= last) {
            return;
        }
        base = range.last + 1;
    }
}

/* The run with the frame at `gpa`. @return NULL after gm_fail() */
static const gm_run_t *run_at(gm_memory_t *memory, uintptr_t gpa, size_t *index)
{
    const gm_run_t *run = gm_guest_space_find(memory, gpa, index);
    if (run == NULL) {
        gm_fail(memory, GUESTMEM_NOT_MAPPED, "GPA 0x%" PRIxPTR " has no frame (yet)", gpa);
    }
    return run;
}

/* Check that the pages of `[gpa, last]` have frames, for an access without a window. */
static int check_frames(gm_memory_t *memory, uintptr_t gpa, uintptr_t last)
{
    for (;;) {
        size_t index;
        const gm_run_t *run = run_at(memory, gpa, &index);
        if (run == NULL) {
            return -1;
        }
        if (gm_run_last(run) >= last) {
            return 0;
        }
        gpa = gm_run_last(run) + 1;
    }
}

/* Make the part of the range that lies in one reservation accessible. */
static int prepare_part(gm_memory_t *memory, const vm_memory_reservation_t *reservation,
                        uintptr_t gpa, uintptr_t last)
{
    gm_mapping_t *mapping = reservation->mapping;
    if (mapping->window.base != NULL) {
        return 0;
    }
    if (memory->windows == GUESTMEM_WINDOWS_NONE) {
        return check_frames(memory, gpa, last < reservation->last ? last : reservation->last);
    }
    if (gm_window_open(memory, &mapping->window, mapping->first, mapping->last) != 0) {
        return -1;
    }
    mapping->access = memory->access;
    return 0;
}

/* The reservation with memory at `gpa`. @return NULL after gm_fail() */
static vm_memory_reservation_t *mapped_reservation(gm_memory_t *memory, uintptr_t gpa)
{
    vm_memory_reservation_t *reservation = gm_reservation_find(memory, gpa);
    if (reservation == NULL || reservation->mapping == NULL) {
        gm_fail(memory, GUESTMEM_NOT_MAPPED, "GPA 0x%" PRIxPTR " is in no mapped reservation", gpa);
        return NULL;
    }
    return reservation;
}

/* Make a range accessible; on failure, the caller calls close_opened(). */
static int prepare_parts(gm_memory_t *memory, uintptr_t gpa, uintptr_t last)
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

/* Make a range accessible. @return 0; -1 after gm_fail(), and nothing has changed */
static int prepare(gm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    memory->access++;
    if (prepare_parts(memory, base, last) != 0) {
        close_opened(memory, base, last);
        return -1;
    }
    return 0;
}

/* A piece, and the frame that is mapped for it if there is no window. */
typedef struct piece {
    uintptr_t last;
    char *pointer;
    gm_temporary_t temporary;
} piece_t;

static int begin_piece(gm_memory_t *memory, uintptr_t gpa, uintptr_t last, piece_t *piece)
{
    size_t index;
    *piece = (piece_t){.last = last, .pointer = recent_pointer(memory, gpa, last - gpa + 1)};
    if (piece->pointer != NULL) {
        return 0; /* page after page of one window */
    }
    const vm_memory_reservation_t *reservation = mapped_reservation(memory, gpa);
    if (reservation == NULL) {
        return -1; /* the piece function has freed it */
    }
    const gm_mapping_t *mapping = reservation->mapping;
    piece->last = last < reservation->last ? last : reservation->last;
    if (mapping->window.base != NULL) {
        remember(memory, reservation);
        piece->pointer = mapping->window.base + (gpa - mapping->first);
        return 0;
    }
    const gm_run_t *run = run_at(memory, gpa, &index);
    if (run == NULL || gm_temporary_map(memory, run, index, &piece->temporary) != 0) {
        return -1;
    }
    uintptr_t mask = ((uintptr_t)1 << run->size_bits) - 1;
    piece->last = piece->last < (gpa | mask) ? piece->last : gpa | mask;
    piece->pointer = (char *)piece->temporary.vaddr + (gpa & mask);
    return 0;
}

/* Access `[base, last]`. `*result` receives what the last call of `access` returned.
 * @return 0; -1 after gm_fail() if the range cannot be accessed */
static int access_range(gm_memory_t *memory, uintptr_t base, uintptr_t last, scope_t scope,
                        pieces_t pieces, piece_fn access, void *cookie, int *result)
{
    if (scope == SCOPE_RAM && !gm_ram_covers(memory, base, last)) {
        return gm_fail(memory, GUESTMEM_NOT_RAM,
                       "the range is not all RAM; register it with vm_ram_register_at()");
    }
    if (prepare(memory, base, last) != 0) {
        return -1;
    }
    uintptr_t gpa = base;
    for (;;) {
        piece_t piece;
        uintptr_t limit =
            pieces == PIECES_OF_PAGES && gm_page_last(gpa) < last ? gm_page_last(gpa) : last;
        if (begin_piece(memory, gpa, limit, &piece) != 0) {
            return -1;
        }
        *result = access(memory, gpa, piece.pointer, piece.last - gpa + 1, gpa - base, cookie);
        gm_temporary_unmap(memory, &piece.temporary);
        if (*result != 0 || piece.last == last) {
            return 0;
        }
        gpa = piece.last + 1;
    }
}

/* Touching: a callback of the VMM's for each page. */

int vm_guest_ram_read_callback(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size,
                               size_t offset, void *buf)
{
    (void)vm;
    (void)guest_addr;
    memcpy((char *)buf + offset, vaddr, size);
    return 0;
}

int vm_guest_ram_write_callback(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size,
                                size_t offset, void *buf)
{
    (void)vm;
    (void)guest_addr;
    memcpy(vaddr, (const char *)buf + offset, size);
    return 0;
}

typedef struct touch {
    ram_touch_callback_fn callback;
    void *cookie;
} touch_t;

static int touch_piece(gm_memory_t *memory, uintptr_t gpa, char *pointer, size_t size,
                       size_t offset, void *cookie)
{
    const touch_t *touch = cookie;
    return touch->callback(memory->vm, gpa, pointer, size, offset, touch->cookie);
}

static int touch_range(vm_t *vm, uintptr_t addr, size_t size, scope_t scope, touch_t *touch,
                       const char *function)
{
    int result = 0;
    uintptr_t last;
    gm_memory_t *memory = gm_memory_of(vm, function);
    if (memory == NULL) {
        return -1;
    }
    int error = gm_check_range(memory, addr, size, &last);
    if (error == 0 && touch->callback == NULL) {
        error = gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "the touch callback is NULL; give one");
    }
    if (error == 0) {
        error =
            access_range(memory, addr, last, scope, PIECES_OF_PAGES, touch_piece, touch, &result);
    }
    return error == 0 ? result : gm_report(memory, function, addr, last);
}

int vm_ram_touch(vm_t *vm, uintptr_t addr, size_t size, ram_touch_callback_fn touch_callback,
                 void *cookie)
{
    touch_t touch = {touch_callback, cookie};
    return touch_range(vm, addr, size, SCOPE_RAM, &touch, __func__);
}

int guestmem_access(vm_t *vm, uintptr_t addr, size_t size, ram_touch_callback_fn touch_callback,
                    void *cookie)
{
    touch_t touch = {touch_callback, cookie};
    return touch_range(vm, addr, size, SCOPE_MAPPED, &touch, __func__);
}

/* Moving bytes of RAM. */

#define BOUNCE_BYTES 1024 /* moved at a time where a copy overlaps itself or has no windows */

static int read_piece(gm_memory_t *memory, uintptr_t gpa, char *pointer, size_t size, size_t offset,
                      void *cookie)
{
    (void)memory;
    (void)gpa;
    memcpy((char *)cookie + offset, pointer, size);
    return 0;
}

static int write_piece(gm_memory_t *memory, uintptr_t gpa, char *pointer, size_t size,
                       size_t offset, void *cookie)
{
    (void)memory;
    (void)gpa;
    memcpy(pointer, *(const char **)cookie + offset, size);
    return 0;
}

static int fill_piece(gm_memory_t *memory, uintptr_t gpa, char *pointer, size_t size, size_t offset,
                      void *cookie)
{
    (void)memory;
    (void)gpa;
    (void)offset;
    memset(pointer, *(const uint8_t *)cookie, size);
    return 0;
}

static int access_ram(gm_memory_t *memory, uintptr_t addr, size_t size, piece_fn access,
                      void *cookie)
{
    int result;
    uintptr_t last;
    return gm_check_range(memory, addr, size, &last) == 0
               ? access_range(memory, addr, last, SCOPE_RAM, PIECES_OF_WINDOWS, access, cookie,
                              &result)
               : -1;
}

/* Access RAM for the public function of that name; `buffer` must not be NULL. */
static int access_or_report(gm_memory_t *memory, uintptr_t addr, size_t size, piece_fn access,
                            const void *buffer, void *cookie, const char *function)
{
    if (buffer == NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "the buffer is NULL; give one");
    } else if (access_ram(memory, addr, size, access, cookie) == 0) {
        return 0;
    }
    return gm_report(memory, function, addr, gm_last_of(addr, size));
}

int guestmem_read(vm_t *vm, uintptr_t addr, void *buffer, size_t size)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    const char *pointer = recent_pointer(memory, addr, size);
    if (pointer != NULL && buffer != NULL) {
        memcpy(buffer, pointer, size);
        return 0;
    }
    return access_or_report(memory, addr, size, read_piece, buffer, buffer, __func__);
}

int guestmem_write(vm_t *vm, uintptr_t addr, const void *buffer, size_t size)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    char *pointer = recent_pointer(memory, addr, size);
    if (pointer != NULL && buffer != NULL) {
        memcpy(pointer, buffer, size);
        return 0;
    }
    return access_or_report(memory, addr, size, write_piece, buffer, &buffer, __func__);
}

int guestmem_fill(vm_t *vm, uintptr_t addr, uint8_t byte, size_t size)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    return memory != NULL ? access_or_report(memory, addr, size, fill_piece, &byte, &byte, __func__)
                          : -1;
}

/* The pointer to RAM at `addr`, whose window is open, and how many bytes of it follow there. */
static char *open_pointer(gm_memory_t *memory, uintptr_t addr, size_t *length)
{
    char *pointer = recent_pointer(memory, addr, 1);
    if (pointer == NULL) {
        remember(memory, gm_reservation_find(memory, addr));
        pointer = recent_pointer(memory, addr, 1);
    }
    *length = memory->recent.length - (addr - memory->recent.base);
    return pointer;
}

/* Copy through a buffer, from the end if the target begins inside the source. Without windows
 * it can fail half-way. */
static int copy_bounced(gm_memory_t *memory, uintptr_t to, uintptr_t from, size_t size)
{
    char bytes[BOUNCE_BYTES];
    const char *source = bytes;
    size_t done = 0;
    while (done < size) {
        size_t piece = size - done < sizeof(bytes) ? size - done : sizeof(bytes);
        size_t offset = to > from ? size - done - piece : done;
        if (access_ram(memory, from + offset, piece, read_piece, bytes) != 0 ||
            access_ram(memory, to + offset, piece, write_piece, &source) != 0) {
            return -1;
        }
        done += piece;
    }
    return 0;
}

/* Copy from window to window, which are open; the ranges are disjoint. */
static void copy_direct(gm_memory_t *memory, uintptr_t to, uintptr_t from, size_t size)
{
    size_t done = 0;
    while (done < size) {
        size_t from_length;
        size_t to_length;
        const char *source = open_pointer(memory, from + done, &from_length);
        char *target = open_pointer(memory, to + done, &to_length);
        size_t piece = size - done;
        piece = piece < from_length ? piece : from_length;
        piece = piece < to_length ? piece : to_length;
        memcpy(target, source, piece);
        done += piece;
    }
}

static int copy_ram(gm_memory_t *memory, uintptr_t to, uintptr_t from, size_t size)
{
    uintptr_t to_last;
    uintptr_t from_last;
    if (gm_check_range(memory, to, size, &to_last) != 0 ||
        gm_check_range(memory, from, size, &from_last) != 0) {
        return -1;
    }
    if (!gm_ram_covers(memory, to, to_last) || !gm_ram_covers(memory, from, from_last)) {
        return gm_fail(memory, GUESTMEM_NOT_RAM, "the source or the target is not all RAM");
    }
    memory->access++;
    if (prepare_parts(memory, to, to_last) != 0 || prepare_parts(memory, from, from_last) != 0) {
        close_opened(memory, to, to_last);
        close_opened(memory, from, from_last);
        return -1;
    }
    bool disjoint = to > from_last || from > to_last;
    if (disjoint && memory->windows == GUESTMEM_WINDOWS_KEPT) {
        copy_direct(memory, to, from, size);
        return 0;
    }
    return copy_bounced(memory, to, from, size);
}

int guestmem_copy(vm_t *vm, uintptr_t to, uintptr_t from, size_t size)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    return copy_ram(memory, to, from, size) == 0
               ? 0
               : gm_report(memory, __func__, to, gm_last_of(to, size));
}

static char *find_pointer(gm_memory_t *memory, uintptr_t addr, size_t *length)
{
    if (length == NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "length is NULL; it receives the length");
        return NULL;
    }
    if (recent_pointer(memory, addr, 1) == NULL) {
        if (!gm_ram_covers(memory, addr, addr)) {
            gm_fail(memory, GUESTMEM_NOT_RAM,
                    "the address is no RAM; register it with vm_ram_register_at()");
            return NULL;
        }
        if (prepare(memory, addr, addr) != 0) {
            return NULL;
        }
        if (gm_reservation_find(memory, addr)->mapping->window.base == NULL) {
            gm_fail(memory, GUESTMEM_NO_ADDRESS,
                    "the VM's policy is to keep no windows; see guestmem_set_windows()");
            return NULL;
        }
    }
    return open_pointer(memory, addr, length);
}

void *guestmem_pointer(vm_t *vm, uintptr_t addr, size_t *length)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    char *pointer = memory != NULL ? find_pointer(memory, addr, length) : NULL;
    if (memory != NULL && pointer == NULL) {
        gm_report(memory, __func__, addr, addr);
    }
    return pointer;
}
