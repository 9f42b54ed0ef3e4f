/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The content of a VM's RAM, kept to start the guest again: the public calls of <guestmem/change.h>
 * for that. A page of zeroes takes no room. From the save on all RAM is tracked, so that a restore
 * looks only at what was written; it gets all that it needs, and has the guest's right to write
 * taken away, before it changes the first byte.
 */

#include <assert.h>
#include <guestmem/change.h>
#include "guest_access.h"
#include "guest_ram.h"
#include "guest_save.h"
#include "tracking.h"

/* One RAM reservation. */
typedef struct saved_ram {
    struct saved_ram *next;
    uintptr_t base; /* of the reservation */
    size_t num_pages;
    bool tracked;        /* for the save */
    const char *pages[]; /* NULL where it had no frame */
} saved_ram_t;

struct guestmem_saved {
    size_t num_reservations; /* of all kinds; each has its `saved` set */
    vm_ram_region_t *list;   /* of RAM; NULL if it was empty */
    size_t list_count;
    saved_ram_t *ram;
};

static const char zero_page[ARCH_PAGE_SIZE];

/* The reservation of what is being saved, or restored after check_reservations(). */
static vm_memory_reservation_t *reservation_of(const gm_memory_t *memory, const saved_ram_t *ram)
{
    vm_memory_reservation_t *reservation = gm_reservation_find(memory, ram->base);
    assert(reservation != NULL && reservation->mapping != NULL);
    return reservation;
}

/*@ requires \valid_read(&ram->base) && ram->base - ram->base % ARCH_PAGE_SIZE <= gpa;
    assigns \nothing;
    ensures \result ==
        &ram->pages[(gpa - (ram->base - ram->base % ARCH_PAGE_SIZE)) / ARCH_PAGE_SIZE];
 */
static const char **page_at(saved_ram_t *ram, uintptr_t gpa)
{
    return &ram->pages[(gpa - gm_page_of(ram->base)) / ARCH_PAGE_SIZE];
}

/* Freeing. */

/*@ requires num_pages <= SIZE_MAX / ARCH_PAGE_SIZE;
    assigns \nothing;
    ensures \result == sizeof(saved_ram_t) + num_pages * sizeof(char *);
 */
static size_t ram_bytes(size_t num_pages)
{
    return sizeof(saved_ram_t) + num_pages * sizeof(char *);
}

static void free_saved(gm_memory_t *memory, guestmem_saved_t *saved)
{
    while (saved->ram != NULL) {
        saved_ram_t *ram = saved->ram;
        saved->ram = ram->next;
        for (size_t i = 0; i < ram->num_pages; i++) {
            if (ram->pages[i] != zero_page) {
                gm_heap_free(&memory->heap, (void *)ram->pages[i], ARCH_PAGE_SIZE);
            }
        }
        gm_heap_free(&memory->heap, ram, ram_bytes(ram->num_pages));
    }
    gm_heap_free(&memory->heap, saved->list, saved->list_count * sizeof(*saved->list));
    gm_heap_free(&memory->heap, saved, sizeof(*saved));
}

void gm_saved_destroy(gm_memory_t *memory)
{
    if (memory->saved != NULL) {
        free_saved(memory, memory->saved);
        memory->saved = NULL;
    }
}

/* End the tracking that a save has begun. */
static void track_no_more(gm_memory_t *memory, const guestmem_saved_t *saved)
{
    for (const saved_ram_t *ram = saved->ram; ram != NULL; ram = ram->next) {
        const vm_memory_reservation_t *reservation = gm_reservation_find(memory, ram->base);
        if (ram->tracked && reservation != NULL && reservation->saved) {
            gm_tracking_forget(memory, reservation->mapping);
        }
    }
}

/* Take the right to write from all that is saved. */
static int rearm_all(gm_memory_t *memory, const guestmem_saved_t *saved)
{
    for (const saved_ram_t *ram = saved->ram; ram != NULL; ram = ram->next) {
        if (gm_tracking_rearm(memory, reservation_of(memory, ram)->mapping) != 0) {
            return -1;
        }
    }
    return 0;
}

static void settle_all(gm_memory_t *memory, const guestmem_saved_t *saved, bool stay)
{
    for (const saved_ram_t *ram = saved->ram; ram != NULL; ram = ram->next) {
        gm_access_settle(memory, reservation_of(memory, ram), stay);
    }
}

/* Saving. */

static int save_page(vm_t *vm, uintptr_t addr, void *vaddr, size_t size, size_t offset,
                     void *cookie)
{
    gm_memory_t *memory = vm->mem.reservation_cookie;
    const char **page = page_at(cookie, addr);
    (void)offset;
    if (memcmp(vaddr, zero_page, size) == 0) {
        *page = zero_page;
        return 0;
    }
    char *copy = gm_heap_alloc(&memory->heap, ARCH_PAGE_SIZE);
    if (copy == NULL) {
        return gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for a copy of the RAM");
    }
    memcpy(copy + gm_offset_in(addr, ARCH_PAGE_BITS), vaddr, size);
    *page = copy;
    return 0;
}

static int save_pages(gm_memory_t *memory, const vm_memory_reservation_t *reservation,
                      saved_ram_t *ram)
{
    for (const gm_run_t *run = gm_guest_space_next(memory, reservation->base, reservation->last);
         run != NULL; run = gm_guest_space_after(memory, run, reservation->last)) {
        uintptr_t base = gm_max(run->base, reservation->base);
        uintptr_t last = gm_min(gm_run_last(run), reservation->last);
        if (gm_access_map(memory, base, last) != 0 || gm_access_clean(memory, base, last) != 0 ||
            gm_access_each_page(memory, base, last, save_page, ram) != 0) {
            return -1;
        }
    }
    return 0;
}

static int save_ram(gm_memory_t *memory, guestmem_saved_t *saved,
                    const vm_memory_reservation_t *reservation)
{
    gm_mapping_t *mapping = reservation->mapping;
    size_t num_pages = gm_mapping_page(mapping, mapping->last) + 1;
    saved_ram_t *ram = gm_heap_alloc_zeroed(&memory->heap, ram_bytes(num_pages));
    if (ram == NULL) {
        return gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for the pages' addresses");
    }
    ram->base = reservation->base;
    ram->num_pages = num_pages;
    ram->next = saved->ram;
    saved->ram = ram;
    return save_pages(memory, reservation, ram);
}

static int save_list(gm_memory_t *memory, guestmem_saved_t *saved)
{
    const vm_mem_t *mem = &memory->vm->mem;
    size_t bytes = (size_t)mem->num_ram_regions * sizeof(*saved->list);
    if (bytes > 0 && (saved->list = gm_heap_alloc(&memory->heap, bytes)) == NULL) {
        return gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for a list of RAM");
    }
    saved->list_count = (size_t)mem->num_ram_regions;
    if (bytes > 0) {
        memcpy(saved->list, mem->ram_regions, bytes);
    }
    return 0;
}

static int track_all(gm_memory_t *memory, const guestmem_saved_t *saved)
{
    for (saved_ram_t *ram = saved->ram; ram != NULL; ram = ram->next) {
        gm_mapping_t *mapping = reservation_of(memory, ram)->mapping;
        if (mapping->written == NULL) {
            if (gm_tracking_begin(memory, mapping, false) != 0) {
                return -1;
            }
            ram->tracked = true;
        }
    }
    return rearm_all(memory, saved);
}

static int save_all(gm_memory_t *memory, guestmem_saved_t *saved)
{
    vm_memory_reservation_t *reservation = NULL;
    while ((reservation = gm_reservation_after(memory, reservation)) != NULL) {
        reservation->saved = true;
        saved->num_reservations++;
        if (reservation->mapping != NULL && reservation->mapping->ram &&
            save_ram(memory, saved, reservation) != 0) {
            return -1;
        }
    }
    return save_list(memory, saved) == 0 ? track_all(memory, saved) : -1;
}

guestmem_saved_t *guestmem_save(vm_t *vm)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return NULL;
    }
    bool had_kept = memory->kept.vaddr != NULL;
    guestmem_saved_t *saved = NULL;
    if (memory->saved != NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT,
                "a state of the VM is saved already; free it with guestmem_free_saved()");
    } else if ((saved = gm_heap_alloc_zeroed(&memory->heap, sizeof(*saved))) == NULL) {
        gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for a saved state");
    } else if (save_all(memory, saved) == 0) {
        settle_all(memory, saved, true);
        for (const saved_ram_t *ram = saved->ram; ram != NULL; ram = ram->next) {
            gm_tracking_clear(reservation_of(memory, ram)->mapping);
        }
        memory->saved = saved;
        return saved;
    }
    if (saved != NULL) {
        track_no_more(memory, saved);
        settle_all(memory, saved, false);
        if (!had_kept) {
            gm_temporary_forget(memory);
        }
        free_saved(memory, saved);
    }
    gm_report(memory, __func__, 0, 0);
    return NULL;
}

/* Restoring. */

static int check_saved(gm_memory_t *memory, const guestmem_saved_t *saved)
{
    return saved != NULL && saved == memory->saved
               ? 0
               : gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "%p is no saved state of this VM",
                         (const void *)saved);
}

static int check_reservations(gm_memory_t *memory, const guestmem_saved_t *saved)
{
    const vm_memory_reservation_t *reservation = NULL;
    while ((reservation = gm_reservation_after(memory, reservation)) != NULL) {
        if (!reservation->saved) {
            return gm_fail_range(memory, GUESTMEM_OVERLAP, reservation->base, reservation->last,
                                 reservation->name,
                                 "the saved state does not have, as it is now, the reservation",
                                 "it was made or mapped after guestmem_save()");
        }
    }
    return memory->reservations.num_ranges == saved->num_reservations
               ? 0
               : gm_fail(memory, GUESTMEM_NO_RESERVATION,
                         "a reservation was freed after guestmem_save()");
}

/* Back the pages of a reservation that had frames, and have none now. */
static int fill(gm_memory_t *memory, saved_ram_t *ram, gm_run_t **filled)
{
    gm_mapping_t *mapping = reservation_of(memory, ram)->mapping;
    for (uintptr_t gpa = mapping->first; gpa <= mapping->last;) {
        size_t index;
        const gm_run_t *run = gm_guest_space_find(memory, gpa, &index);
        uintptr_t end = run != NULL ? gm_run_last(run) : gm_page_last(gpa);
        if (run == NULL && *page_at(ram, gpa) != NULL) {
            uintptr_t first = gpa;
            uintptr_t last = mapping->last;
            gm_guest_space_hole(memory, gpa, &first, &last);
            while (end < last && *page_at(ram, end + 1) != NULL) {
                end += ARCH_PAGE_SIZE;
            }
            if (gm_mapping_fill(memory, mapping, gpa, end, gpa, end, filled) != 0) {
                return -1;
            }
        }
        gpa = end + 1;
    }
    return 0;
}

/* The next written range from `*gpa` on that has a frame, as far as it is the reservation's. A
 * caller's frame that neither guest nor VMM may write is left alone, whoever wrote it. */
static bool next_written(const gm_memory_t *memory, const vm_memory_reservation_t *reservation,
                         uintptr_t *gpa, uintptr_t *base, uintptr_t *last)
{
    size_t index;
    while (gm_tracking_find(memory, reservation->mapping, gpa, last)) {
        *base = gm_max(*gpa, reservation->base);
        *gpa = *last + 1;
        *last = gm_min(*last, reservation->last);
        const gm_run_t *run = gm_guest_space_find(memory, *base, &index);
        if (run != NULL &&
            seL4_CapRights_get_capAllowWrite(gm_run_limit(run, index, seL4_AllRights))) {
            return true;
        }
    }
    return false;
}

/* Map what was written. */
static int map_written(gm_memory_t *memory, const saved_ram_t *ram)
{
    uintptr_t base;
    uintptr_t last;
    const vm_memory_reservation_t *reservation = reservation_of(memory, ram);
    uintptr_t gpa = reservation->mapping->first;
    while (next_written(memory, reservation, &gpa, &base, &last)) {
        if (gm_access_map(memory, base, last) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Get all that a restore needs. */
static int prepare(gm_memory_t *memory, const guestmem_saved_t *saved, gm_run_t **filled)
{
    for (saved_ram_t *ram = saved->ram; ram != NULL; ram = ram->next) {
        if (fill(memory, ram, filled) != 0 || map_written(memory, ram) != 0) {
            return -1;
        }
    }
    if (gm_ram_prepare_put_back(memory, saved->list_count) != 0) {
        return -1;
    }
    if (rearm_all(memory, saved) != 0) {
        gm_ram_give_room_back(memory);
        return -1;
    }
    return 0;
}

/* Let the guest not execute what was in a page before. The frame is mapped and the bytes lie in it,
 * so the kernel does it, but for memory whose caches it does not maintain (IllegalOperation, as of
 * device memory): these are the caller's, as the header says. No other error can come. */
static void unify(gm_memory_t *memory, uintptr_t addr, size_t size)
{
    size_t index;
    const gm_run_t *run = gm_guest_space_find(memory, addr, &index);
    seL4_Error error =
        gm_arch_frame_unify(run->frames[index].cap, addr - gm_run_gpa(run, index), size);
    if (error != seL4_NoError && error != seL4_IllegalOperation) {
        memory->counts.lost_objects++; /* the guest may execute what is not there any more */
    }
}

/* What is as it was needs no call of the kernel. */
static int restore_page(vm_t *vm, uintptr_t addr, void *vaddr, size_t size, size_t offset,
                        void *cookie)
{
    const char *page = *page_at(cookie, addr);
    (void)offset;
    page = (page != NULL ? page : zero_page) + gm_offset_in(addr, ARCH_PAGE_BITS);
    if (memcmp(vaddr, page, size) != 0) {
        memcpy(vaddr, page, size);
        unify(vm->mem.reservation_cookie, addr, size);
    }
    return 0;
}

static int restore_ram(gm_memory_t *memory, saved_ram_t *ram)
{
    uintptr_t base;
    uintptr_t last;
    const vm_memory_reservation_t *reservation = reservation_of(memory, ram);
    uintptr_t gpa = reservation->mapping->first;
    while (next_written(memory, reservation, &gpa, &base, &last)) {
        if (gm_access_clean(memory, base, last) != 0 ||
            gm_access_each_page(memory, base, last, restore_page, ram) != 0 ||
            gm_access_clean(memory, base, last) != 0) {
            return -1;
        }
    }
    gm_tracking_clear(reservation->mapping);
    return 0;
}

static int restore(gm_memory_t *memory, const guestmem_saved_t *saved)
{
    gm_run_t *filled = NULL;
    bool had_kept = memory->kept.vaddr != NULL;
    if (prepare(memory, saved, &filled) != 0) {
        settle_all(memory, saved, false);
        if (!had_kept) {
            gm_temporary_forget(memory);
        }
        gm_mapping_empty(memory, filled);
        return -1;
    }
    settle_all(memory, saved, true);
    for (saved_ram_t *ram = saved->ram; ram != NULL; ram = ram->next) {
        if (restore_ram(memory, ram) != 0) {
            gm_ram_give_room_back(memory);
            return -1;
        }
    }
    gm_ram_put_back(memory, saved->list, saved->list_count);
    return 0;
}

int guestmem_restore(vm_t *vm, guestmem_saved_t *saved)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    return check_saved(memory, saved) == 0 && check_reservations(memory, saved) == 0 &&
                   restore(memory, saved) == 0
               ? 0
               : gm_report(memory, __func__, 0, 0);
}

void guestmem_free_saved(vm_t *vm, guestmem_saved_t *saved)
{
    gm_memory_t *memory = saved != NULL ? gm_memory_of(vm, __func__) : NULL;
    if (memory == NULL) {
        return;
    }
    if (check_saved(memory, saved) != 0) {
        gm_report(memory, __func__, 0, 0);
        return;
    }
    track_no_more(memory, saved);
    gm_saved_destroy(memory);
}
