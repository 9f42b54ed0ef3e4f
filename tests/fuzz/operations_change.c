/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Operations of <guestmem/change.h>. */

#include <guestmem/change.h>
#include <hosted/stage2.h>
#include <stdlib.h>
#include "operations.h"

static uintptr_t frame_last(const model_frame_t *frame)
{
    return frame->gpa + (((uintptr_t)1 << frame->bits) - 1);
}

static bool is_cached(const model_reservation_t *reservation, const model_frame_t *frame)
{
    return reservation->ram || frame->cached || !model_is_device(frame->paddr);
}

/* A range in a reservation, or nearly; in pages, or not. */
static model_reservation_t *choose_range(model_vm_t *vm, const operation_t *operation,
                                         uintptr_t *addr, size_t *size, unsigned *codes)
{
    *addr = operation->addr;
    *size = operation->size;
    if (vm->num_reservations > 0 && operation->pick < 240) {
        const model_reservation_t *reservation =
            vm->reservations[operation->pick % vm->num_reservations];
        uintptr_t bytes = reservation->last - reservation->base + 1;
        bool whole = operation->arg % 8 == 0;
        *addr = reservation->base + (bytes != 0 && !whole ? operation->addr / 8 % bytes : 0);
        *addr = operation->arg & 16 && (*addr & ~(PAGE - 1)) >= reservation->base
                    ? *addr & ~(PAGE - 1)
                    : *addr;
        uintptr_t left = reservation->last - *addr + 1;
        *size = whole || (operation->arg & 32 && *size > left) ? left : *size;
    }
    uintptr_t last = *addr + (*size - 1);
    model_reservation_t *reservation = model_find(vm, *addr);
    bool mapped = reservation != NULL && reservation->mapped;
    *codes = *size == 0 || last < *addr ? CODE(BAD_RANGE)
             : !mapped                  ? CODE(NOT_MAPPED)
             : last > reservation->last ? CODE(BAD_RANGE)
                                        : 0;
    return reservation;
}

/* Discarding. */

static bool is_within(const model_frame_t *frame, uintptr_t base, uintptr_t last)
{
    return frame->gpa >= base && frame_last(frame) <= last;
}

/* Whether the library may give a frame back. */
static bool is_discardable(const model_reservation_t *reservation, const model_frame_t *frame)
{
    return reservation->backing != GUESTMEM_CALLER && reservation->backing != GUESTMEM_SHARED &&
           (reservation->backing != GUESTMEM_UNTYPED || is_cached(reservation, frame));
}

/* Take the frames that lie wholly in a range out of the list. @return their bytes */
static size_t drop_frames(model_vm_t *vm, model_reservation_t *reservation, uintptr_t base,
                          uintptr_t last)
{
    size_t left = 0;
    size_t bytes = 0;
    uintptr_t first = 0;
    uintptr_t end = 0;
    for (size_t i = 0; i < reservation->num_frames; i++) {
        const model_frame_t frame = reservation->frames[i];
        if (!is_within(&frame, base, last)) {
            reservation->frames[left++] = frame;
            continue;
        }
        model_untag(vm, frame.gpa, frame_last(&frame));
        first = bytes == 0 ? frame.gpa : first;
        end = frame_last(&frame);
        bytes += (size_t)1 << frame.bits;
    }
    reservation->num_frames = left;
    if (bytes > 0) {
        model_note_written(reservation, first, end);
    }
    return bytes;
}

void operate_discard(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    uintptr_t addr;
    size_t size;
    unsigned codes;
    size_t discarded = 1;
    model_reservation_t *reservation = choose_range(vm, operation, &addr, &size, &codes);
    for (size_t i = 0; codes == 0 && i < reservation->num_frames; i++) {
        const model_frame_t *frame = &reservation->frames[i];
        if (is_within(frame, addr, addr + (size - 1)) && !is_discardable(reservation, frame)) {
            codes = CODE(BAD_FRAME);
        }
    }
    model_say(model, "guestmem_discard(&vm[%u], 0x%lx, 0x%lx, &discarded);", vm->index,
              (unsigned long)addr, (unsigned long)size);
    model_begin_call(model, operation->inject);
    bool ok = guestmem_discard(&vm->vm, addr, size, &discarded) == 0;
    model_finish_call(model, vm, ok, codes, 0);
    size_t bytes = ok ? drop_frames(vm, reservation, addr, addr + (size - 1)) : 1;
    must(discarded == bytes, "0x%zx bytes are discarded, not 0x%zx", discarded, bytes);
    if (ok && bytes > 0 && !vm->discarded_left) {
        reservation->refilled = true;
    }
}

void operate_populate(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    uintptr_t addr;
    size_t size;
    unsigned codes;
    model_reservation_t *reservation = choose_range(vm, operation, &addr, &size, &codes);
    if (codes == 0 &&
        (reservation->backing == GUESTMEM_CALLER || !operation_affordable(model, vm, addr, size))) {
        return;
    }
    model_say(model, "guestmem_populate(&vm[%u], 0x%lx, 0x%lx);", vm->index, (unsigned long)addr,
              (unsigned long)size);
    model_begin_call(model, operation->inject);
    bool ok = guestmem_populate(&vm->vm, addr, size) == 0;
    bool scarce = codes == 0 && reservation->backing == GUESTMEM_UNTYPED;
    model_finish_call(model, vm, ok, codes, scarce ? CODE(NO_FRAME) : 0);
    if (ok) {
        uintptr_t last = addr + (size - 1);
        model_learn_missing(model, vm, reservation, addr, last, addr & ~(PAGE - 1),
                            last | (PAGE - 1));
    }
}

void operate_discarded(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    int discarded = operation->arg % 8 == 7 ? 2 : operation->arg % 2;
    model_say(model, "guestmem_set_discarded(&vm[%u], %d);", vm->index, discarded);
    model_begin_call(model, operation->inject);
    bool ok = guestmem_set_discarded(&vm->vm, (guestmem_discarded_t)discarded) == 0;
    model_finish_call(model, vm, ok, discarded == 2 ? CODE(BAD_ARGUMENT) : 0, 0);
    vm->discarded_left = ok ? discarded == GUESTMEM_DISCARDED_LEFT : vm->discarded_left;
}

/* Rights. */

/* What the guest may do follows from the rights and the tracking. */
void model_set_rights(model_reservation_t *reservation)
{
    for (size_t i = 0; i < reservation->num_frames; i++) {
        model_frame_t *frame = &reservation->frames[i];
        frame->read = frame->may_read;
        frame->write = frame->may_read && frame->may_write &&
                       (!model_is_tracked(reservation, frame) || frame->given);
    }
}

bool model_is_tracked(const model_reservation_t *reservation, const model_frame_t *frame)
{
    return reservation->written != NULL && frame->may_read && frame->may_write &&
           is_cached(reservation, frame);
}

/* Widen a range to whole pages at the reservation's ends. @return why it is not one of whole
 * frames */
static unsigned whole_codes(const model_reservation_t *reservation, uintptr_t *base,
                            uintptr_t *last)
{
    *base = *base == reservation->base ? first_page(reservation) : *base;
    *last = *last == reservation->last ? last_page(reservation) : *last;
    unsigned codes = model_has_frames(reservation, *base, *last) ? 0 : CODE(NOT_MAPPED);
    for (size_t i = 0; i < reservation->num_frames; i++) {
        const model_frame_t *frame = &reservation->frames[i];
        bool touched = frame->gpa <= *last && frame_last(frame) >= *base;
        codes |= touched && !is_within(frame, *base, *last) ? CODE(MISALIGNED) : 0;
    }
    return codes;
}

void operate_protect(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    uintptr_t addr;
    size_t size;
    unsigned codes;
    bool read = operation->arg >> 6 != 0;
    bool write = operation->arg >> 6 & 1;
    model_reservation_t *reservation = choose_range(vm, operation, &addr, &size, &codes);
    uintptr_t base = addr;
    uintptr_t last = addr + (size - 1);
    if (codes == 0) {
        codes = whole_codes(reservation, &base, &last);
    }
    model_say(model, "guestmem_protect(&vm[%u], 0x%lx, 0x%lx, seL4_CapRights_new(0, 0, %d, %d));",
              vm->index, (unsigned long)addr, (unsigned long)size, read, write);
    model_begin_call(model, operation->inject);
    bool ok = guestmem_protect(&vm->vm, addr, size, seL4_CapRights_new(0, 0, read, write)) == 0;
    model_finish_call(model, vm, ok, codes, 0);
    for (size_t i = 0; ok && i < reservation->num_frames; i++) {
        model_frame_t *frame = &reservation->frames[i];
        if (is_within(frame, base, last)) {
            frame->may_read = read && frame->had_read;
            frame->may_write = write && frame->had_write;
        }
    }
    if (ok) {
        model_set_rights(reservation);
    }
}

/* Sharing. */

/* Why the frames of `[base, last]` cannot be so much further up in an address space. */
static unsigned move_codes(const model_reservation_t *reservation, uintptr_t base, uintptr_t last,
                           uintptr_t distance)
{
    unsigned codes = distance % PAGE != 0 ? CODE(MISALIGNED) : 0;
    for (size_t i = 0; i < reservation->num_frames; i++) {
        const model_frame_t *frame = &reservation->frames[i];
        bool misaligned = distance % ((uintptr_t)1 << frame->bits) != 0;
        codes |= is_within(frame, base, last) && misaligned ? CODE(MISALIGNED) : 0;
    }
    return codes;
}

/* Take over what is shared now; neither of the two has tags from now on. */
static void add_shared(model_t *model, model_vm_t *vm, model_reservation_t *owned, uintptr_t base,
                       uintptr_t last, model_reservation_t *shared)
{
    uintptr_t distance = first_page(shared) - base;
    model_learn_all(model, vm, shared);
    owned->shared = shared->shared = true;
    owned->num_tags = 0;
    size_t next = 0;
    for (size_t i = 0; i < owned->num_frames; i++) {
        model_frame_t *frame = &owned->frames[i];
        if (is_within(frame, base, last)) {
            model_frame_t *other = &shared->frames[next++];
            must(other->gpa == frame->gpa + distance && other->bits == frame->bits &&
                     other->paddr == frame->paddr,
                 "0x%lx is another frame than 0x%lx", (unsigned long)other->gpa,
                 (unsigned long)frame->gpa);
            frame->shared = other->shared = true;
            other->had_read = other->had_write = true;
            other->cached = is_cached(owned, frame);
        }
    }
    must(next == shared->num_frames, "%zu frames, not %zu", shared->num_frames, next);
}

void operate_share(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    const uintptr_t large = 2 * MEGABYTE;
    uintptr_t addr;
    size_t size;
    unsigned codes;
    bool read = operation->arg >> 6 != 0;
    bool write = operation->arg >> 6 & 1;
    model_vm_t *from = operation->arg & 1 ? vm : &model->vms[(vm->index + 1) % MODEL_VMS];
    model_reservation_t *owned = choose_range(from, operation, &addr, &size, &codes);
    uintptr_t to_addr =
        operation->arg & 2 ? operation->addr : (operation->addr & ~(large - 1)) + addr % large;
    /* A caller frees its frames while they are shared, and the pool hands them out again. */
    if ((codes == 0 && owned->backing == GUESTMEM_CALLER) ||
        vm->num_reservations == MODEL_RESERVATIONS ||
        !operation_affordable(model, vm, to_addr, size)) {
        return;
    }
    uintptr_t base = addr;
    uintptr_t last = addr + (size - 1);
    model_reservation_t *shared = model_new_reservation(model);
    shared->base = to_addr;
    shared->last = to_addr + (size - 1);
    if (codes == 0) {
        codes = whole_codes(owned, &base, &last) | move_codes(owned, base, last, to_addr - addr) |
                model_reserve_codes(vm, to_addr, size) | model_map_codes(vm, shared);
    }
    model_say(model,
              "vm_memory_reservation_t *r%u = guestmem_share(&vm[%u], 0x%lx, 0x%lx, &vm[%u], "
              "0x%lx, seL4_CapRights_new(0, 0, %d, %d), callback, NULL);",
              shared->id, from->index, (unsigned long)addr, (unsigned long)size, vm->index,
              (unsigned long)to_addr, read, write);
    model_begin_call(model, operation->inject);
    vm_memory_reservation_t *handle =
        guestmem_share(&from->vm, addr, size, &vm->vm, to_addr,
                       seL4_CapRights_new(0, 0, read, write), operation_callback, shared);
    model_finish_call(model, vm, handle != NULL, codes, 0);
    if (handle == NULL) {
        model_drop(shared);
        return;
    }
    model_add(vm, shared, handle, to_addr, to_addr + (size - 1));
    shared->mapped = true;
    shared->backing = GUESTMEM_SHARED;
    shared->read = read;
    shared->write = write;
    add_shared(model, vm, owned, base, last, shared);
}

/* Written pages. */

static size_t page_of(const model_reservation_t *reservation, uintptr_t gpa)
{
    return (gpa - first_page(reservation)) / PAGE;
}

void model_note_written(model_reservation_t *reservation, uintptr_t base, uintptr_t last)
{
    size_t end = page_of(reservation, last);
    for (size_t i = page_of(reservation, base); reservation->written != NULL && i <= end; i++) {
        reservation->written[i] = true;
    }
}

/* The caller's frames have a reservation's rights, but for those of a capability of less. */
bool model_has_limited(const model_t *model, const model_reservation_t *reservation)
{
    for (unsigned i = 0; reservation->supply != NULL && i < POOL_SIZE; i++) {
        if (reservation->supply->owned[i] && pool_is_limited(model, i)) {
            return true;
        }
    }
    return false;
}

/* Whether the library may move what is in a frame to others. */
static bool is_movable(const model_reservation_t *reservation, const model_frame_t *frame)
{
    return reservation->backing != GUESTMEM_CALLER && reservation->backing != GUESTMEM_UNTYPED &&
           !frame->pointed && !frame->shared;
}

/* Pages of large frames. */
static size_t large_pages(const model_reservation_t *reservation)
{
    size_t pages = 0;
    for (size_t i = 0; i < reservation->num_frames; i++) {
        unsigned bits = reservation->frames[i].bits;
        pages += bits > 12 ? (size_t)1 << (bits - 12) : 0;
    }
    return pages;
}

/* The large frames are small ones now, with the same rights and content. */
static void break_frames(model_t *model, model_vm_t *vm, model_reservation_t *reservation)
{
    size_t left = 0;
    size_t count = reservation->num_frames;
    model_frame_t *frames = reservation->frames;
    reservation->room = count + large_pages(reservation);
    reservation->frames = calloc(reservation->room + 1, sizeof(*frames));
    must(reservation->frames != NULL, "no memory");
    for (size_t i = 0; i < count; i++) {
        for (uintptr_t gpa = frames[i].gpa; gpa <= frame_last(&frames[i]); gpa += PAGE) {
            model_frame_t *frame = &reservation->frames[left++];
            *frame = frames[i];
            if (frame->bits > 12) {
                hosted_stage2_mapping_t mapping = {0};
                hosted_stage2_translate(model->machine->system, vm->vm.mem.vm_vspace_root.cptr, gpa,
                                        &mapping);
                frame->gpa = gpa;
                frame->bits = 12;
                frame->paddr = mapping.paddr;
                frame->touched = false;
            }
        }
    }
    free(frames);
    reservation->num_frames = left;
}

/* Why tracking cannot begin. */
static unsigned track_codes(const model_reservation_t *reservation, bool pages)
{
    unsigned codes = 0;
    if (reservation->written != NULL) {
        return pages && !reservation->in_pages ? CODE(BAD_ARGUMENT) : 0;
    }
    for (size_t i = 0; i < reservation->num_frames; i++) {
        const model_frame_t *frame = &reservation->frames[i];
        codes |= is_cached(reservation, frame) ? 0 : CODE(BAD_FRAME);
        codes |= pages && frame->bits > 12 && !is_movable(reservation, frame) ? CODE(BAD_FRAME) : 0;
    }
    return codes;
}

void operate_track(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    static const char *const names[] = {"NOTHING", "FRAMES", "PAGES"};
    picked_t picked = operation_pick(model, vm, operation);
    model_reservation_t *reservation = picked.reservation;
    guestmem_track_t track = (guestmem_track_t)(operation->arg % 3);
    bool on = track != GUESTMEM_TRACK_NOTHING;
    bool pages = track == GUESTMEM_TRACK_PAGES;
    if (reservation != NULL &&
        (model_has_limited(model, reservation) ||
         (pages && !operation_affordable(model, vm, PAGE, large_pages(reservation) * PAGE + 1)) ||
         (pages && large_pages(reservation) > 1024))) {
        return;
    }
    unsigned codes = reservation == NULL               ? CODE(NO_RESERVATION)
                     : !reservation->mapped            ? CODE(NOT_MAPPED)
                     : model_is_saved(vm, reservation) ? CODE(BAD_ARGUMENT)
                     : on                              ? track_codes(reservation, pages)
                                                       : 0;
    model_say(model, "guestmem_track_written(&vm[%u], %s, GUESTMEM_TRACK_%s);", vm->index,
              picked.text, names[track]);
    model_begin_call(model, operation->inject);
    bool ok = guestmem_track_written(&vm->vm, picked.handle, track) == 0;
    model_finish_call(model, vm, ok, codes, 0);
    if (!ok || reservation == NULL || on == (reservation->written != NULL)) {
        return;
    }
    free(reservation->written);
    reservation->written =
        on ? calloc(page_of(reservation, reservation->last) + 1, sizeof(bool)) : NULL;
    reservation->in_pages = pages;
    if (pages) {
        break_frames(model, vm, reservation);
    }
    for (size_t i = 0; i < reservation->num_frames; i++) {
        reservation->frames[i].given = false;
    }
    model_set_rights(reservation);
}

/* A report that is being made. */
typedef struct report {
    model_reservation_t *reservation;
    size_t page;   /* nothing before it is left to report */
    unsigned left; /* how many are taken before it is ended */
} report_t;

static const model_frame_t *frame_at(const model_reservation_t *reservation, uintptr_t gpa)
{
    for (size_t i = 0; i < reservation->num_frames; i++) {
        const model_frame_t *frame = &reservation->frames[i];
        if (frame->gpa <= gpa && frame_last(frame) >= gpa) {
            return frame;
        }
    }
    return NULL;
}

/* Find what must be reported next. @return whether there is anything */
static bool next_written(report_t *report, uintptr_t *addr, uintptr_t *last)
{
    model_reservation_t *reservation = report->reservation;
    size_t pages = page_of(reservation, reservation->last) + 1;
    while (report->page < pages && !reservation->written[report->page]) {
        report->page++;
    }
    if (report->page == pages) {
        return false;
    }
    *addr = first_page(reservation) + report->page * PAGE;
    *last = *addr | (PAGE - 1);
    const model_frame_t *frame = frame_at(reservation, *addr);
    if (frame != NULL) {
        *addr = frame->gpa;
        *last = frame_last(frame);
    }
    for (size_t i = page_of(reservation, *addr); i <= page_of(reservation, *last); i++) {
        reservation->written[i] = false;
    }
    *addr = *addr < reservation->base ? reservation->base : *addr;
    *last = *last > reservation->last ? reservation->last : *last;
    return true;
}

static int check_written(vm_t *vm, uintptr_t addr, size_t size, void *cookie)
{
    (void)vm;
    report_t *report = cookie;
    uintptr_t expected = 0;
    uintptr_t last = 0;
    must(next_written(report, &expected, &last), "0x%lx is reported, and nothing is written",
         (unsigned long)addr);
    must(addr == expected && size == last - expected + 1,
         "0x%zx bytes at 0x%lx are reported, not 0x%lx at 0x%lx", size, (unsigned long)addr,
         (unsigned long)(last - expected + 1), (unsigned long)expected);
    return --report->left == 0 ? 3 : 0;
}

static void operate_report(model_t *model, model_vm_t *vm, const picked_t *picked, unsigned most,
                           unsigned inject)
{
    model_reservation_t *reservation = picked->reservation;
    unsigned codes = reservation == NULL    ? CODE(NO_RESERVATION)
                     : !reservation->mapped ? CODE(NOT_MAPPED)
                     : reservation->written == NULL || model_is_saved(vm, reservation)
                         ? CODE(BAD_ARGUMENT)
                         : 0;
    report_t report = {.reservation = reservation, .left = most};
    model_say(model, "guestmem_written(&vm[%u], %s, callback, NULL); /* at most %u */", vm->index,
              picked->text, most);
    for (size_t i = 0; codes == 0 && i < reservation->num_frames; i++) {
        const model_frame_t *frame = &reservation->frames[i];
        if (frame->pointed) {
            reservation->written[page_of(reservation, frame->gpa)] = true;
        }
    }
    model_begin_call(model, inject);
    int result = guestmem_written(&vm->vm, picked->handle, check_written, &report);
    model_finish_call(model, vm, result != -1, codes, 0);
    if (result == -1 || reservation == NULL) {
        must(report.left == most, "a report that fails has begun");
        return;
    }
    uintptr_t addr;
    uintptr_t last;
    must(result == (most > 0 && report.left == 0 ? 3 : 0), "a report answered %d", result);
    must(result == 3 || !next_written(&report, &addr, &last), "not all is reported");
    for (size_t i = 0; i < reservation->num_frames; i++) {
        reservation->frames[i].given = false;
    }
    model_set_rights(reservation);
}

void operate_written(model_t *model, model_vm_t *vm, const operation_t *operation)
{
    picked_t picked = operation_pick(model, vm, operation);
    for (unsigned i = 0; i < vm->num_reservations && picked.reservation != NULL &&
                         picked.reservation->written == NULL && operation->arg > 16;
         i++) { /* rather one that is tracked */
        if (vm->reservations[i]->written != NULL) {
            picked.reservation = vm->reservations[i];
            picked.handle = picked.reservation->handle;
            snprintf(picked.text, sizeof(picked.text), "r%u", picked.reservation->id);
        }
    }
    operate_report(model, vm, &picked, operation->arg % 4 == 0 ? operation->arg / 4 % 3 + 1 : 0,
                   operation->inject);
}

void model_forget_written(model_t *model, model_vm_t *vm)
{
    (void)model;
    for (size_t i = 0; i < vm->num_reservations; i++) {
        model_reservation_t *reservation = vm->reservations[i];
        if (reservation->written == NULL || model_is_saved(vm, reservation)) {
            continue;
        }
        must(guestmem_track_written(&vm->vm, reservation->handle, GUESTMEM_TRACK_NOTHING) == 0 &&
                 guestmem_track_written(&vm->vm, reservation->handle, GUESTMEM_TRACK_FRAMES) == 0,
             "tracking does not begin again");
        reservation->in_pages = false;
        for (size_t j = 0; j <= page_of(reservation, reservation->last); j++) {
            reservation->written[j] = false;
        }
        for (size_t j = 0; j < reservation->num_frames; j++) {
            reservation->frames[j].given = false;
        }
        model_set_rights(reservation);
    }
}
