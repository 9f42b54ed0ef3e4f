/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Access of the VMM to guest memory: the public calls of <guestmem/memory.h> and the touching ones
 * of <sel4vm/guest_ram.h>. A range is checked whole before its first byte is accessed: that it has
 * frames, and that their owner's rights allow the access. Then it is accessed in pieces that are
 * contiguous in the VMM: in windows, or where there is none, in frames that are mapped for it.
 *
 * An access to memory that was used last is a comparison and a copy.
 */

#include <inttypes.h>
#include <guestmem/memory.h>
#include "guest_access.h"
#include "guest_ram.h"
#include "reservation.h"

/* A piece, and the frame that is mapped for it if it is in no window. */
typedef struct piece {
    uintptr_t last;
    char *pointer;
    bool cacheable;
    gm_temporary_t temporary;
} piece_t;

/* What is done to a range, in pieces. */
typedef struct gm_access {
    enum {
        SCOPE_RAM,   /* RAM only: what a guest's descriptors may point at */
        SCOPE_MAPPED /* any mapped reservation */
    } scope;
    enum {
        PIECES_OF_PAGES,   /* no piece crosses a page */
        PIECES_OF_WINDOWS, /* as large as the VMM's mapping allows */
    } pieces;
    enum {
        ACCESS_READS,
        ACCESS_WRITES,
        ACCESS_UNKNOWN /* up to the caller's callback */
    } kind;
    /* Called for each piece, in ascending order, with its GPA, size, and offset from the start of
     * the range; the pointer is valid during the call. @return 0 to go on */
    int (*access)(gm_memory_t *memory, const struct gm_access *access, const piece_t *piece,
                  uintptr_t gpa, size_t size, size_t offset);
    void *buffer;                   /* for `access`: where bytes go to or come from */
    uintptr_t to;                   /* a copy's target */
    ram_touch_callback_fn callback; /* the caller's, and its cookie */
    void *cookie;
} gm_access_t;

/* Copying. */

/*@ requires size > 0;
    assigns \nothing;
    ensures size == 1 ==> \result;
 */
static bool is_aligned(const void *pointer, size_t size)
{
    return ((uintptr_t)pointer & (size - 1)) == 0;
}

/* Words of guest memory, which has no type of its own. */
typedef uint16_t word16_t __attribute__((may_alias));
typedef uint32_t word32_t __attribute__((may_alias));
typedef uint64_t word64_t __attribute__((may_alias));

/* Copy 1, 2, 4 or 8 bytes by one load of `from` and one store to `to`, each aligned. */
static void copy_word(void *to, const void *from, size_t size)
{
    switch (size) {
    case 1:
        *(volatile uint8_t *)to = *(const volatile uint8_t *)from;
        break;
    case 2:
        *(volatile word16_t *)to = *(const volatile word16_t *)from;
        break;
    case 4:
        *(volatile word32_t *)to = *(const volatile word32_t *)from;
        break;
    default:
        *(volatile word64_t *)to = *(const volatile word64_t *)from;
    }
}

static bool is_word(size_t size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

/* The largest word that is aligned at `pointer` and has at most `size` bytes. */
/*@ requires size > 0;
    assigns \nothing;
    ensures \result == 1 || \result == 2 || \result == 4 || \result == 8;
    ensures \result <= size;
 */
static size_t word_at(const void *pointer, size_t size)
{
    size_t word = 8;
    /*@ loop invariant word == 1 || word == 2 || word == 4 || word == 8;
        loop assigns word;
        loop variant word;
     */
    while (word > size || !is_aligned(pointer, word)) {
        word /= 2;
    }
    return word;
}

/* Copy between guest memory and a buffer, which may be guest memory too. `guest` is the one of both
 * whose alignment counts: an aligned word is one access, as the guest may access it at any time; if
 * the memory is not cached, all accesses are aligned, as others may fault. */
static inline void copy(char *to, const char *from, const char *guest, size_t size, bool cacheable)
{
    if (cacheable && !(is_word(size) && is_aligned(guest, size))) {
        memcpy(to, from, size);
        return;
    }
    while (size > 0) {
        uint64_t bytes;
        size_t word = word_at(guest, size);
        if (is_aligned(to, word) && is_aligned(from, word)) {
            copy_word(to, from, word);
        } else if (guest == to) {
            memcpy(&bytes, from, word);
            copy_word(to, &bytes, word);
        } else {
            copy_word(&bytes, from, word);
            memcpy(to, &bytes, word);
        }
        to += word, from += word, guest += word, size -= word;
    }
}

static inline void copy_in(char *guest, const char *buffer, size_t size, bool cacheable)
{
    copy(guest, buffer, guest, size, cacheable);
}

static inline void copy_out(char *buffer, const char *guest, size_t size, bool cacheable)
{
    copy(buffer, guest, guest, size, cacheable);
}

/* Ranges. */

/* The pointer to `addr` in the memory that was used last, or NULL. */
static inline char *recent_pointer(const gm_memory_t *memory, uintptr_t addr, size_t size)
{
    const gm_recent_t *recent = &memory->recent;
    uintptr_t offset = addr - recent->base;
    /* A size of 0 becomes the largest there is, and fits nowhere. */
    return offset < recent->length && size - 1 < recent->length - offset ? recent->pointer + offset
                                                                         : NULL;
}

/* Note that memory which was used last is written, if it is tracked. */
/*@ requires \valid_read(memory) && size > 0;
    requires \let mapping = memory->recent.tracked; mapping != \null ==> \valid_read(mapping) &&
        mapping->first <= addr && addr + size - 1 <= mapping->last &&
        (mapping->written != \null ==> gm_mapping_bits(mapping, mapping->written));
    assigns memory->recent.tracked->written[
        (addr - memory->recent.tracked->first) / ARCH_PAGE_SIZE / 64 ..
        (addr + size - 1 - memory->recent.tracked->first) / ARCH_PAGE_SIZE / 64];
 */
static inline void note_recent(const gm_memory_t *memory, uintptr_t addr, size_t size)
{
    if (memory->recent.tracked != NULL) {
        gm_mapping_note(memory->recent.tracked, addr, addr + (size - 1));
    }
}

/* Remember RAM around `gpa`, which the VMM has mapped at `pointer`: the run if all of it is mapped
 * there, else the frame. */
/*@ requires \valid(memory) && gm_reservation_ok(reservation) && gm_mapped_ok(reservation);
    requires reservation->mapping != \null && \valid_read(piece);
    requires gm_run_ok(run) && gm_run_readable(run) && index < run->count;
    requires run->base + index * (1 << run->size_bits) <= gpa <
        run->base + (index + 1) * (1 << run->size_bits);
    requires run->base <= gpa < gm_run_end(run) && reservation->base <= gpa <= reservation->last;
    assigns memory->recent;
    ensures memory->recent == \old(memory->recent) || (memory->recent.base <= gpa &&
        gpa - memory->recent.base < memory->recent.length &&
        \old(reservation->base) <= memory->recent.base &&
        memory->recent.base + memory->recent.length - 1 <= \old(reservation->last));
 */
static void remember(gm_memory_t *memory, const vm_memory_reservation_t *reservation,
                     const gm_run_t *run, size_t index, uintptr_t gpa, const piece_t *piece)
{
    bool stays = piece->temporary.vaddr == NULL || piece->temporary.kept;
    if (!stays || !reservation->mapping->ram || !run->cacheable || run->restricted) {
        return;
    }
    bool whole = run->num_in_window == run->count;
    uintptr_t base = whole ? run->base : gm_run_gpa(run, index);
    uintptr_t last = whole ? gm_run_last(run) : gm_run_gpa_last(run, index);
    base = gm_max(base, reservation->base);
    last = gm_min(last, reservation->last);
    gm_mapping_t *mapping = reservation->mapping;
    memory->recent =
        (gm_recent_t){base, last - base + 1, piece->pointer - (gpa - base), piece->temporary.kept,
                      mapping->written != NULL ? mapping : NULL};
}

/* Whether the VMM may access a frame so: what the library acquired always. */
/*@ requires \valid_read(access) && \valid_read(&run->restricted) && index < run->count;
    requires \valid_read(run->frames + (0 .. run->count - 1));
    assigns \nothing;
 */
static bool may_access(const gm_run_t *run, size_t index, const gm_access_t *access)
{
    seL4_CapRights_t rights = run->frames[index].rights;
    return !run->restricted ||
           (seL4_CapRights_get_capAllowRead(rights) &&
            (access->kind != ACCESS_WRITES || seL4_CapRights_get_capAllowWrite(rights)));
}

/* The run with the frame at `gpa`. @return NULL after gm_fail() */
/*@ requires \valid(memory) && gm_runs_ok(memory) && gm_runs_readable(memory);
    assigns memory->failure;
    ensures \result != \null ==> gm_run_ok(\result) && gm_run_readable(\result) &&
        \result->base <= gpa < gm_run_end(\result);
 */
static gm_run_t *run_at(gm_memory_t *memory, uintptr_t gpa)
{
    gm_run_t *run = gm_guest_space_run(memory, gpa);
    if (run == NULL) {
        gm_fail(memory, GUESTMEM_NOT_MAPPED, "GPA 0x%" PRIxPTR " has no frame (yet)", gpa);
    }
    return run;
}

/* Check that the frames of a run that have bytes of `[gpa, last]` may be accessed. */
/*@ requires \valid(memory) && \valid_read(access) && gm_run_ok(run) && gpa < gm_run_end(run);
    requires gm_run_readable(run);
    assigns memory->failure;
    ensures \result == 0 || \result == -1;
 */
static int check_rights(gm_memory_t *memory, const gm_access_t *access, const gm_run_t *run,
                        uintptr_t gpa, uintptr_t last)
{
    size_t index = gpa > run->base ? gm_run_index(run, gpa) : 0;
    /*@ loop invariant index <= run->count;
        loop assigns index;
        loop variant run->count - index;
     */
    for (; run->restricted && index < run->count && gm_run_gpa(run, index) <= last; index++) {
        if (!may_access(run, index, access)) {
            return gm_fail(
                memory, GUESTMEM_NO_RIGHT,
                "the caller's frame at GPA 0x%" PRIxPTR " was handed in without the right to %s it",
                gm_run_gpa(run, index), access->kind == ACCESS_WRITES ? "write" : "read");
        }
    }
    return 0;
}

/* Check that the pages of `[gpa, last]` have frames, or get them again after a discard, and that
 * they may be accessed. */
/*@ requires gm_memory_ok(memory) && \valid_read(access) && gpa <= last;
    assigns memory->failure;
    ensures \result == 0 || \result == -1;
 */
static int check_frames(gm_memory_t *memory, const gm_access_t *access, bool refilled,
                        uintptr_t gpa, uintptr_t last)
{
    /*@ loop invariant gm_memory_ok(memory);
        loop assigns gpa, memory->failure;
        loop variant UINTPTR_MAX - gpa;
     */
    while (gpa <= last) {
        //@ ghost gm_runs_are_ok(memory);
        const gm_run_t *run =
            refilled ? gm_guest_space_next(memory, gpa, last) : run_at(memory, gpa);
        if (run == NULL) {
            return refilled ? 0 : -1;
        }
        uintptr_t run_last = gm_run_last(run);
        if (check_rights(memory, access, run, gpa, last) != 0) {
            return -1;
        }
        gpa = run_last + 1; /* a guest's addresses end below the top */
    }
    return 0;
}

/* The reservation with memory at `gpa`, or NULL. For all of `[gpa, last]`, as far as it has memory:
 * `for (r = mapped_at(gpa); r != NULL; r = mapped_after(r, last))` */
/*@ requires gm_reservations_ok(memory) && gm_reservations_mapped(memory);
    assigns \nothing;
    ensures \result != \null ==> gm_reservation_ok(\result) && gm_mapped_ok(\result) &&
        \result->base <= gpa <= \result->last && \result->mapping != \null;
 */
static vm_memory_reservation_t *mapped_at(const gm_memory_t *memory, uintptr_t gpa)
{
    vm_memory_reservation_t *reservation = gm_reservation_find(memory, gpa);
    return reservation != NULL && reservation->mapping != NULL ? reservation : NULL;
}

/* What follows a reservation without a gap, if it has memory and `last` is above that reservation;
 * else NULL. */
/*@ requires gm_reservations_ok(memory) && gm_reservations_mapped(memory);
    requires gm_reservation_ok(reservation);
    assigns \nothing;
    ensures \result != \null ==> gm_reservation_ok(\result) && gm_mapped_ok(\result) &&
        \result->base <= reservation->last + 1 <= \result->last && reservation->last < last &&
        \result->mapping != \null;
 */
static vm_memory_reservation_t *
mapped_after(const gm_memory_t *memory, const vm_memory_reservation_t *reservation, uintptr_t last)
{
    return reservation->last < last ? mapped_at(memory, reservation->last + 1) : NULL;
}

/* As mapped_at(), where it is an error if there is none. @return NULL after gm_fail() */
/*@ requires gm_reservations_ok(memory) && gm_reservations_mapped(memory);
    assigns memory->failure;
    ensures \result != \null ==> gm_reservation_ok(\result) && gm_mapped_ok(\result) &&
        \result->base <= gpa <= \result->last && \result->mapping != \null;
 */
static vm_memory_reservation_t *mapped_reservation(gm_memory_t *memory, uintptr_t gpa)
{
    vm_memory_reservation_t *reservation = mapped_at(memory, gpa);
    if (reservation == NULL) {
        gm_fail(memory, GUESTMEM_NOT_MAPPED, "GPA 0x%" PRIxPTR " is in no mapped reservation", gpa);
    }
    return reservation;
}

/* Check that all of a range may be accessed. It may have to be filled then. */
/*@ requires gm_memory_ok(memory) && \valid_read(access) && gpa <= last;
    requires gm_ram_ok(memory);
    assigns memory->failure;
    ensures \result == 0 || \result == -1;
 */
static int check_access(gm_memory_t *memory, const gm_access_t *access, uintptr_t gpa,
                        uintptr_t last)
{
    if (access->scope == SCOPE_RAM && !gm_ram_covers(memory, gpa, last)) {
        return gm_fail(memory, GUESTMEM_NOT_RAM,
                       "the range is not all RAM; register it with vm_ram_register_at()");
    }
    /*@ loop invariant gm_memory_ok(memory) && gpa <= last;
        loop assigns gpa, memory->failure;
        loop variant last - gpa;
     */
    for (;;) {
        //@ ghost gm_reservations_are_ok(memory);
        //@ ghost gm_reservations_are_mapped(memory);
        const vm_memory_reservation_t *reservation = mapped_reservation(memory, gpa);
        if (reservation == NULL) {
            return -1;
        }
        uintptr_t end = gm_min(last, reservation->last);
        if (check_frames(memory, access, reservation->mapping->refilled, gpa, end) != 0) {
            return -1;
        }
        if (end == last) {
            return 0;
        }
        gpa = end + 1;
    }
}

static void empty(gm_memory_t *memory, gm_run_t **filled)
{
    gm_mapping_empty(memory, *filled);
    *filled = NULL;
}

/* Fill what was discarded of a range that passed check_access().
 * @return 0, and what to empty() if the access fails; -1 after gm_fail(), and nothing has changed
 */
static int fill(gm_memory_t *memory, uintptr_t gpa, uintptr_t last, gm_run_t **filled)
{
    for (const vm_memory_reservation_t *reservation = mapped_at(memory, gpa); reservation != NULL;
         reservation = mapped_after(memory, reservation, last)) {
        gm_mapping_t *mapping = reservation->mapping;
        if (mapping->refilled && gm_mapping_fill(memory, mapping, gm_max(gpa, reservation->base),
                                                 gm_min(last, reservation->last), mapping->first,
                                                 mapping->last, filled) != 0) {
            empty(memory, filled);
            return -1;
        }
    }
    return 0;
}

/* Note that a range is written, where that is tracked. */
static void note_written(gm_memory_t *memory, uintptr_t gpa, uintptr_t last)
{
    const vm_memory_reservation_t *reservation =
        memory->tracked > 0 ? mapped_at(memory, gpa) : NULL;
    for (; reservation != NULL; reservation = mapped_after(memory, reservation, last)) {
        gm_mapping_note(reservation->mapping, gm_max(gpa, reservation->base),
                        gm_min(last, reservation->last));
    }
}

/* Let what map_windows() mapped of a range stay, or undo it. */
static void settle_windows(gm_memory_t *memory, uintptr_t gpa, uintptr_t last, bool stay)
{
    for (const vm_memory_reservation_t *reservation = mapped_at(memory, gpa); reservation != NULL;
         reservation = mapped_after(memory, reservation, last)) {
        gm_mapping_t *mapping = reservation->mapping;
        gm_window_settle(memory, &mapping->window, mapping->first, gm_max(gpa, reservation->base),
                         gm_min(last, reservation->last), stay);
    }
}

/* Map in its window the part of a range that lies in one reservation.
 * @return whether all of it is in the window then; else `*outside` is the first GPA that is not */
static bool map_window(gm_memory_t *memory, gm_mapping_t *mapping, uintptr_t gpa, uintptr_t end,
                       uintptr_t *outside)
{
    char *pointer;
    (void)gm_window_map(memory, &mapping->window, mapping->first, mapping->last, gpa, end);
    uintptr_t found = gm_window_find(memory, &mapping->window, mapping->first, gpa, end, &pointer);
    bool all = pointer != NULL && found == end;
    *outside = pointer != NULL && !all ? found + 1 : gpa;
    return all;
}

/* Map a range in windows, whole or in part. What is outside of them is mapped by itself when its
 * turn comes; that this can be done is tried at once, with the first such frame.
 * @return 0, to be settled; -1 after gm_fail(), and nothing has changed */
static int map_windows(gm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    gm_run_t *outside = NULL;
    size_t index;
    const vm_memory_reservation_t *reservation =
        memory->windows == GUESTMEM_WINDOWS_KEPT ? mapped_at(memory, base) : NULL;
    for (; reservation != NULL; reservation = mapped_after(memory, reservation, last)) {
        uintptr_t gpa;
        if (!map_window(memory, reservation->mapping, gm_max(base, reservation->base),
                        gm_min(last, reservation->last), &gpa) &&
            outside == NULL) {
            outside = gm_guest_space_find(memory, gpa, &index);
        }
    }
    if (outside != NULL) {
        gm_temporary_t temporary;
        if (gm_temporary_map(memory, outside, index, &temporary) != 0) {
            settle_windows(memory, base, last, false);
            return -1;
        }
        gm_temporary_unmap(memory, &temporary);
    }
    return 0;
}

/* Begin with the piece at `gpa` of a range that ends with `last`, as large as the VMM's mapping
 * allows. */
static int begin_piece(gm_memory_t *memory, uintptr_t gpa, uintptr_t last, piece_t *piece)
{
    *piece = (piece_t){.last = last, .cacheable = true};
    piece->pointer = !memory->recent.kept ? recent_pointer(memory, gpa, last - gpa + 1) : NULL;
    if (piece->pointer != NULL) {
        return 0; /* page after page of one window */
    }
    const vm_memory_reservation_t *reservation = mapped_reservation(memory, gpa);
    gm_run_t *run = reservation != NULL ? run_at(memory, gpa) : NULL;
    if (run == NULL) {
        return -1; /* the callback has freed it */
    }
    size_t index = gm_run_index(run, gpa);
    const gm_mapping_t *mapping = reservation->mapping;
    piece->cacheable = run->cacheable;
    piece->last = gm_window_find(memory, &mapping->window, mapping->first, gpa,
                                 gm_min(last, reservation->last), &piece->pointer);
    if (piece->pointer == NULL) {
        if (gm_temporary_map(memory, run, index, &piece->temporary) != 0) {
            return -1;
        }
        piece->last = gm_min(gm_min(last, reservation->last), gm_run_gpa_last(run, index));
        piece->pointer = (char *)piece->temporary.vaddr + (gpa - gm_run_gpa(run, index));
    }
    remember(memory, reservation, run, index, gpa, piece);
    return 0;
}

/* Make what was written to `[gpa, last]` visible to a guest whose caches are off. */
/*@ requires \valid(memory) && gm_runs_ok(memory) && gm_runs_readable(memory) && gpa <= last;
    assigns memory->failure;
    ensures \result == 0 || \result == -1;
 */
static int clean(gm_memory_t *memory, uintptr_t gpa, uintptr_t last)
{
    /*@ loop invariant gpa <= last;
        loop assigns gpa;
        loop variant last - gpa;
     */
    for (;;) {
        const gm_run_t *run = gm_guest_space_run(memory, gpa);
        if (run == NULL) {
            return 0; /* the callback has freed it */
        }
        size_t index = gm_run_index(run, gpa);
        uintptr_t base = gm_run_gpa(run, index);
        uintptr_t end = gm_min(last, gm_run_gpa_last(run, index));
        //@ assert base <= gpa <= end && end - base < 1 << run->size_bits;
        seL4_Error error =
            run->cacheable ? gm_arch_frame_clean(run->frames[index].cap, gpa - base, end - gpa + 1)
                           : seL4_NoError;
        if (error != seL4_NoError) {
            return gm_fail_kernel(memory, error,
                                  "could not clean GPA 0x%" PRIxPTR " from the caches", gpa);
        }
        if (end == last) {
            return 0;
        }
        gpa = end + 1;
    }
}

/* Access `[*gpa, last]`, piece by piece; `*gpa` becomes the last address of the last piece. */
static int access_pieces(gm_memory_t *memory, uintptr_t *gpa, uintptr_t last,
                         const gm_access_t *access, int *result)
{
    size_t offset = 0;
    for (;;) {
        piece_t piece;
        uintptr_t limit =
            access->pieces == PIECES_OF_PAGES ? gm_min(gm_page_last(*gpa), last) : last;
        if (begin_piece(memory, *gpa, limit, &piece) != 0) {
            return -1;
        }
        size_t size = piece.last - *gpa + 1;
        *result = access->access(memory, access, &piece, *gpa, size, offset);
        gm_temporary_unmap(memory, &piece.temporary);
        *gpa = piece.last;
        if (*result != 0 || piece.last == last) {
            return 0;
        }
        offset += size;
        ++*gpa;
    }
}

/* Access `[base, last]`. `*result` receives what the last call of `access->access` returned.
 * @return 0; -1 after gm_fail() if the range cannot be accessed */
static int access_range(gm_memory_t *memory, uintptr_t base, uintptr_t last,
                        const gm_access_t *access, int *result)
{
    gm_run_t *filled = NULL;
    if (check_access(memory, access, base, last) != 0 || fill(memory, base, last, &filled) != 0) {
        return -1;
    }
    bool had_kept = memory->kept.vaddr != NULL;
    if (map_windows(memory, base, last) != 0) {
        empty(memory, &filled);
        return -1;
    }
    settle_windows(memory, base, last, true);
    uintptr_t gpa = base;
    int error = access_pieces(memory, &gpa, last, access, result);
    if (access->kind != ACCESS_READS) {
        note_written(memory, base, gpa);
    }
    if (memory->vm->mem.clean_cache && access->kind != ACCESS_READS &&
        clean(memory, base, gpa) != 0) {
        error = -1;
    }
    if (error != 0 && !had_kept && memory->kept_users == 0) {
        gm_temporary_forget(memory);
    }
    return error;
}

/* Touching: a callback of the VMM's for each page. */

/* Whether a guest's memory is cached; what is not mapped is some memory of the caller's. */
static bool is_cached(const vm_t *vm, uintptr_t gpa)
{
    const gm_memory_t *memory = vm != NULL ? vm->mem.reservation_cookie : NULL;
    if (memory == NULL || recent_pointer(memory, gpa, 1) != NULL) {
        return true;
    }
    const gm_run_t *run = gm_guest_space_run(memory, gpa);
    return run == NULL || run->cacheable;
}

int vm_guest_ram_read_callback(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size,
                               size_t offset, void *buf)
{
    copy_out((char *)buf + offset, vaddr, size, is_cached(vm, guest_addr));
    return 0;
}

int vm_guest_ram_write_callback(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size,
                                size_t offset, void *buf)
{
    copy_in(vaddr, (const char *)buf + offset, size, is_cached(vm, guest_addr));
    return 0;
}

static int touch_piece(gm_memory_t *memory, const gm_access_t *access, const piece_t *piece,
                       uintptr_t gpa, size_t size, size_t offset)
{
    return access->callback(memory->vm, gpa, piece->pointer, size, offset, access->cookie);
}

static int touch_range(vm_t *vm, uintptr_t addr, size_t size, gm_access_t *access,
                       const char *function)
{
    int result = 0;
    uintptr_t last;
    gm_memory_t *memory = gm_memory_of(vm, function);
    if (memory == NULL) {
        return -1;
    }
    char *pointer = recent_pointer(memory, addr, size);
    if (pointer != NULL && size - 1 <= gm_page_last(addr) - addr && access->callback != NULL &&
        !memory->recent.kept && !memory->vm->mem.clean_cache) {
        if (access->callback != vm_guest_ram_read_callback) {
            note_recent(memory, addr, size);
        }
        return access->callback(vm, addr, pointer, size, 0, access->cookie);
    }
    access->access = touch_piece;
    access->pieces = PIECES_OF_PAGES;
    access->kind = access->callback == vm_guest_ram_read_callback    ? ACCESS_READS
                   : access->callback == vm_guest_ram_write_callback ? ACCESS_WRITES
                                                                     : ACCESS_UNKNOWN;
    if (access->callback == NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "the touch callback is NULL; give one");
    } else if (size == 0) {
        return 0;
    } else if (gm_check_range(memory, addr, size, &last) == 0 &&
               access_range(memory, addr, last, access, &result) == 0) {
        return result;
    }
    return gm_report_guest(memory, function, addr, gm_last_of(addr, size));
}

int vm_ram_touch(vm_t *vm, uintptr_t addr, size_t size, ram_touch_callback_fn touch_callback,
                 void *cookie)
{
    gm_access_t access = {.scope = SCOPE_RAM, .callback = touch_callback, .cookie = cookie};
    return touch_range(vm, addr, size, &access, __func__);
}

int guestmem_access(vm_t *vm, uintptr_t addr, size_t size, ram_touch_callback_fn touch_callback,
                    void *cookie)
{
    gm_access_t access = {.scope = SCOPE_MAPPED, .callback = touch_callback, .cookie = cookie};
    return touch_range(vm, addr, size, &access, __func__);
}

/* All of a reservation. */

int gm_access_map(gm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    const gm_access_t access = {.scope = SCOPE_MAPPED, .kind = ACCESS_READS};
    return check_frames(memory, &access, false, base, last) == 0 ? map_windows(memory, base, last)
                                                                 : -1;
}

void gm_access_settle(gm_memory_t *memory, vm_memory_reservation_t *reservation, bool stay)
{
    gm_mapping_t *mapping = reservation->mapping;
    gm_window_settle(memory, &mapping->window, mapping->first, mapping->first, mapping->last, stay);
    if (!stay) {
        memory->recent = (gm_recent_t){0}; /* may have been remembered since */
    }
}

int gm_access_each_page(gm_memory_t *memory, uintptr_t base, uintptr_t last,
                        ram_touch_callback_fn callback, void *cookie)
{
    int result = 0;
    const gm_access_t access = {
        .pieces = PIECES_OF_PAGES, .access = touch_piece, .callback = callback, .cookie = cookie};
    return access_pieces(memory, &base, last, &access, &result) == 0 ? result : -1;
}

int gm_access_clean(gm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    return memory->vm->mem.clean_cache ? clean(memory, base, last) : 0;
}

/* Moving bytes of RAM. */

#define BOUNCE_BYTES 1024 /* moved at a time where a copy overlaps, or its source is uncached */

static int read_piece(gm_memory_t *memory, const gm_access_t *access, const piece_t *piece,
                      uintptr_t gpa, size_t size, size_t offset)
{
    (void)memory, (void)gpa;
    copy_out((char *)access->buffer + offset, piece->pointer, size, piece->cacheable);
    return 0;
}

static int write_piece(gm_memory_t *memory, const gm_access_t *access, const piece_t *piece,
                       uintptr_t gpa, size_t size, size_t offset)
{
    (void)memory, (void)gpa;
    copy_in(piece->pointer, (const char *)access->buffer + offset, size, piece->cacheable);
    return 0;
}

static int fill_piece(gm_memory_t *memory, const gm_access_t *access, const piece_t *piece,
                      uintptr_t gpa, size_t size, size_t offset)
{
    (void)memory, (void)gpa, (void)offset;
    uint8_t byte = *(const uint8_t *)access->buffer;
    if (piece->cacheable) {
        memset(piece->pointer, byte, size);
        return 0;
    }
    uint64_t bytes = byte * UINT64_C(0x0101010101010101);
    for (size_t done = 0; done < size;) {
        size_t word = word_at(piece->pointer + done, size - done);
        copy_word(piece->pointer + done, &bytes, word);
        done += word;
    }
    return 0;
}

/*@ requires size == 0 || addr + size - 1 <= UINTPTR_MAX; */
static int access_ram(gm_memory_t *memory, uintptr_t addr, size_t size, const gm_access_t *access)
{
    int result = 0;
    uintptr_t last;
    return size == 0 ? 0
           : gm_check_range(memory, addr, size, &last) == 0 &&
                   access_range(memory, addr, last, access, &result) == 0
               ? result
               : -1;
}

static gm_access_t read_access(void *buffer)
{
    return (gm_access_t){
        .pieces = PIECES_OF_WINDOWS, .kind = ACCESS_READS, .access = read_piece, .buffer = buffer};
}

static gm_access_t write_access(const void *buffer)
{
    return (gm_access_t){.pieces = PIECES_OF_WINDOWS,
                         .kind = ACCESS_WRITES,
                         .access = write_piece,
                         .buffer = (void *)buffer};
}

/* Access RAM for the public function of that name; the buffer must not be NULL. */
static int access_or_report(gm_memory_t *memory, uintptr_t addr, size_t size,
                            const gm_access_t *access, const char *function)
{
    if (access->buffer == NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "the buffer is NULL; give one");
    } else if (access_ram(memory, addr, size, access) == 0) {
        return 0;
    }
    return gm_report_guest(memory, function, addr, gm_last_of(addr, size));
}

int guestmem_read(vm_t *vm, uintptr_t addr, void *buffer, size_t size)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    const char *pointer = recent_pointer(memory, addr, size);
    if (pointer != NULL && buffer != NULL) {
        copy_out(buffer, pointer, size, true);
        return 0;
    }
    gm_access_t access = read_access(buffer);
    return access_or_report(memory, addr, size, &access, __func__);
}

int guestmem_write(vm_t *vm, uintptr_t addr, const void *buffer, size_t size)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    char *pointer = recent_pointer(memory, addr, size);
    if (pointer != NULL && buffer != NULL && !vm->mem.clean_cache) {
        note_recent(memory, addr, size);
        copy_in(pointer, buffer, size, true);
        return 0;
    }
    gm_access_t access = write_access(buffer);
    return access_or_report(memory, addr, size, &access, __func__);
}

int guestmem_fill(vm_t *vm, uintptr_t addr, uint8_t byte, size_t size)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    gm_access_t access = {
        .pieces = PIECES_OF_WINDOWS, .kind = ACCESS_WRITES, .access = fill_piece, .buffer = &byte};
    return memory != NULL ? access_or_report(memory, addr, size, &access, __func__) : -1;
}

/* Copy through a buffer, from the end if the target begins inside the source. */
/*@ requires from + size <= UINTPTR_MAX + 1 && to + size <= UINTPTR_MAX + 1;
    ensures \result == 0 || \result == -1;
 */
static int copy_bounced(gm_memory_t *memory, uintptr_t to, uintptr_t from, size_t size)
{
    char bytes[BOUNCE_BYTES];
    gm_access_t read = read_access(bytes);
    gm_access_t write = write_access(bytes);
    size_t done = 0;
    /*@ loop invariant done <= size && from + size <= UINTPTR_MAX + 1 &&
            to + size <= UINTPTR_MAX + 1;
        loop variant size - done;
     */
    while (done < size) {
        size_t piece = size - done < sizeof(bytes) ? size - done : sizeof(bytes);
        size_t offset = to > from ? size - done - piece : done;
        if (access_ram(memory, from + offset, piece, &read) != 0 ||
            access_ram(memory, to + offset, piece, &write) != 0) {
            return -1;
        }
        done += piece;
    }
    return 0;
}

/* Copy a piece of the source to its place in the target. */
static int copy_piece(gm_memory_t *memory, const gm_access_t *access, const piece_t *piece,
                      uintptr_t gpa, size_t size, size_t offset)
{
    gm_access_t write = write_access(piece->pointer);
    return piece->cacheable ? access_ram(memory, access->to + offset, size, &write)
                            : copy_bounced(memory, access->to + offset, gpa, size);
}

/* Map both ranges of a copy in windows, so that it does not fail half-way for want of one. */
static int map_both(gm_memory_t *memory, uintptr_t to, uintptr_t to_last, uintptr_t from,
                    uintptr_t from_last)
{
    if (map_windows(memory, from, from_last) != 0) {
        return -1;
    }
    int error = map_windows(memory, to, to_last);
    settle_windows(memory, from, from_last, error == 0);
    if (error == 0) {
        settle_windows(memory, to, to_last, true);
    }
    return error;
}

static int copy_ram(gm_memory_t *memory, uintptr_t to, uintptr_t from, size_t size)
{
    uintptr_t to_last;
    uintptr_t from_last;
    gm_access_t read = read_access(NULL);
    gm_access_t write = write_access(NULL);
    bool had_kept = memory->kept.vaddr != NULL;
    gm_run_t *filled = NULL;
    int error;
    if (size == 0) {
        return 0;
    }
    if (gm_check_range(memory, to, size, &to_last) != 0 ||
        gm_check_range(memory, from, size, &from_last) != 0 ||
        check_access(memory, &read, from, from_last) != 0 ||
        check_access(memory, &write, to, to_last) != 0 ||
        fill(memory, from, from_last, &filled) != 0 || fill(memory, to, to_last, &filled) != 0) {
        return -1;
    }
    if (map_both(memory, to, to_last, from, from_last) != 0) {
        empty(memory, &filled);
        return -1;
    }
    if (to <= from_last && from <= to_last) {
        error = copy_bounced(memory, to, from, size);
    } else {
        read.access = copy_piece;
        read.to = to;
        error = access_ram(memory, from, size, &read);
    }
    if (error != 0 && !had_kept && memory->kept_users == 0) {
        gm_temporary_forget(memory);
    }
    return error;
}

int guestmem_copy(vm_t *vm, uintptr_t to, uintptr_t from, size_t size)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    return copy_ram(memory, to, from, size) == 0
               ? 0
               : gm_report_guest(memory, __func__, to, gm_last_of(to, size));
}

/* The pointer to RAM that is to be used in place, so that it must be in a window. */
static char *find_pointer(gm_memory_t *memory, uintptr_t addr, size_t size)
{
    uintptr_t last;
    char *pointer = NULL;
    gm_run_t *filled = NULL;
    gm_access_t access = {.scope = SCOPE_RAM, .kind = ACCESS_UNKNOWN};
    if (gm_check_range(memory, addr, size, &last) != 0 ||
        check_access(memory, &access, addr, last) != 0) {
        return NULL;
    }
    const vm_memory_reservation_t *reservation = mapped_reservation(memory, addr);
    if (reservation == NULL) {
        return NULL;
    }
    gm_mapping_t *mapping = reservation->mapping;
    gm_window_t *window = &mapping->window;
    if (last > reservation->last) {
        gm_fail_range(memory, GUESTMEM_NO_ADDRESS, reservation->base, reservation->last,
                      reservation->name, "the range crosses the end of the RAM reservation",
                      "RAM is contiguous in the VMM within one reservation");
        return NULL;
    }
    if (memory->windows == GUESTMEM_WINDOWS_NONE) {
        gm_fail(memory, GUESTMEM_NO_ADDRESS,
                "the VM's policy is to keep no windows; see guestmem_set_windows()");
        return NULL;
    }
    if (fill(memory, addr, last, &filled) != 0) {
        return NULL;
    }
    if (gm_window_map(memory, window, mapping->first, mapping->last, addr, last) == 0 &&
        (gm_window_find(memory, window, mapping->first, addr, last, &pointer) != last ||
         pointer == NULL)) {
        gm_fail(memory, GUESTMEM_NO_ADDRESS,
                "some frames do not suit the window of the RAM, which mixes sizes or attributes");
        pointer = NULL;
    }
    gm_window_settle(memory, window, mapping->first, addr, last, pointer != NULL);
    if (pointer != NULL) {
        gm_window_point(memory, window, addr, last);
    } else {
        empty(memory, &filled);
    }
    return pointer;
}

void *guestmem_pointer(vm_t *vm, uintptr_t addr, size_t size)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    char *pointer = memory != NULL ? find_pointer(memory, addr, size) : NULL;
    if (memory != NULL && pointer == NULL) {
        gm_report_guest(memory, __func__, addr, gm_last_of(addr, size));
    }
    return pointer;
}

int guestmem_clean(vm_t *vm, uintptr_t addr, size_t size)
{
    uintptr_t last;
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    gm_access_t access = {.scope = SCOPE_MAPPED, .kind = ACCESS_READS};
    if (memory == NULL) {
        return -1;
    }
    if (size == 0 ||
        (gm_check_range(memory, addr, size, &last) == 0 &&
         check_access(memory, &access, addr, last) == 0 && clean(memory, addr, last) == 0)) {
        return 0;
    }
    return gm_report_guest(memory, __func__, addr, gm_last_of(addr, size));
}
