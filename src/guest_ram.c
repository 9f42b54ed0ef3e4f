/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * RAM: the public calls of <sel4vm/guest_ram.h> but for access. RAM is a mapped reservation that is
 * also in the list of RAM, a sorted array.
 *
 * Removing RAM may split an entry, and it must not fail. So the array always has room for one more
 * entry for each RAM reservation: each can be removed once, and splits at most one entry then.
 * Between calls the array has exactly that room, so that its size depends on what it holds and not
 * on what came before.
 */

#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>
#include "guest_ram.h"
#include "reservation.h"

/* Whether RAM is in use; the values of vm_ram_region's `allocated`. */
typedef enum ram_state { RAM_FREE, RAM_ALLOCATED, RAM_ANY } ram_state_t;

#define MOST_ADDED 2 /* entries that a change of state adds at most: it splits one in three */

/*@ logic integer ram_end(vm_mem_t *mem, integer i) =
        mem->ram_regions[i].start + mem->ram_regions[i].size;

    // An entry in that state, or in any, has that address.
    predicate ram_has(vm_mem_t *mem, integer state, integer address) =
        \exists integer i; 0 <= i < mem->num_ram_regions &&
            mem->ram_regions[i].start <= address < ram_end(mem, i) &&
            (state == RAM_ANY || mem->ram_regions[i].allocated == state);
 */

/*@ requires capacity <= SIZE_MAX / sizeof(vm_ram_region_t);
    assigns \nothing;
    ensures \result == capacity * sizeof(vm_ram_region_t);
 */
static size_t list_bytes(size_t capacity)
{
    return capacity * sizeof(vm_ram_region_t);
}

/*@ requires \valid_read(region) && region->size > 0;
    requires region->start + region->size - 1 <= UINTPTR_MAX;
    assigns \nothing;
    ensures \result == region->start + region->size - 1;
 */
static uintptr_t region_last(const vm_ram_region_t *region)
{
    return region->start + (region->size - 1);
}

/* Move the list to an array of that capacity, at least 1. */
static int resize(gm_memory_t *memory, size_t capacity)
{
    vm_mem_t *mem = &memory->vm->mem;
    vm_ram_region_t *regions = gm_heap_alloc(&memory->heap, list_bytes(capacity));
    if (regions == NULL) {
        gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for the list of RAM");
        return -1;
    }
    for (int i = 0; i < mem->num_ram_regions; i++) {
        regions[i] = mem->ram_regions[i];
    }
    gm_heap_free(&memory->heap, mem->ram_regions, list_bytes(memory->ram_capacity));
    mem->ram_regions = regions;
    memory->ram_capacity = capacity;
    return 0;
}

/* Free the list, which is empty. */
static void free_list(gm_memory_t *memory)
{
    gm_heap_free(&memory->heap, memory->vm->mem.ram_regions, list_bytes(memory->ram_capacity));
    memory->vm->mem.ram_regions = NULL;
    memory->ram_capacity = 0;
}

/* Get the room that the next change of the list needs, for one more reservation too. */
static int prepare_change(gm_memory_t *memory)
{
    return resize(memory, (size_t)memory->vm->mem.num_ram_regions + MOST_ADDED +
                              memory->ram_reservations + 1);
}

/* After a change: give back what is more than the invariant asks for. If there is no heap for the
 * smaller array, the larger one serves as well. */
static void finish_change(gm_memory_t *memory)
{
    size_t capacity = (size_t)memory->vm->mem.num_ram_regions + memory->ram_reservations;
    if (capacity == 0) {
        free_list(memory);
    } else if (capacity != memory->ram_capacity) {
        (void)resize(memory, capacity);
    }
}

/* The index of the first entry that ends at or above `address`. */
/*@ requires ram_ok(mem);
    assigns \nothing;
    ensures \result <= mem->num_ram_regions;
    ensures \forall integer i; 0 <= i < \result ==> ram_end(mem, i) <= address;
    ensures \forall integer i; \result <= i < mem->num_ram_regions ==> address < ram_end(mem, i);
 */
static size_t find_region(const vm_mem_t *mem, uintptr_t address)
{
    size_t low = 0;
    size_t high = (size_t)mem->num_ram_regions;
    /*@ loop invariant low <= high <= mem->num_ram_regions;
        loop invariant \forall integer i; 0 <= i < low ==> ram_end(mem, i) <= address;
        loop invariant \forall integer i; high <= i < mem->num_ram_regions ==>
            address < ram_end(mem, i);
        loop assigns low, high;
        loop variant high - low;
     */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (region_last(&mem->ram_regions[middle]) < address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Replace entries `[from, to)` by `count` others; there is room. */
static void replace(vm_mem_t *mem, size_t from, size_t to, const vm_ram_region_t *regions,
                    size_t count)
{
    size_t after = (size_t)mem->num_ram_regions - to;
    if (after > 0) {
        memmove(&mem->ram_regions[from + count], &mem->ram_regions[to], list_bytes(after));
    }
    for (size_t i = 0; i < count; i++) {
        mem->ram_regions[from + i] = regions[i];
    }
    mem->num_ram_regions = (int)(from + count + after);
}

/* Extend an entry by the next, if that begins where it ends and has the same state.
 * @return whether it did */
/*@ requires \valid(left) && \valid_read(right) && \separated(left, right);
    requires left->size > 0 && left->start + left->size <= right->start;
    requires right->start + right->size <= UINTPTR_MAX;
    assigns left->size;
    ensures \result <==> left->allocated == right->allocated &&
        left->start + \old(left->size) == right->start;
    ensures \result ==> left->start + left->size == right->start + right->size;
    ensures !\result ==> left->size == \old(left->size);
 */
static bool join(vm_ram_region_t *left, const vm_ram_region_t *right)
{
    if (left->allocated != right->allocated || region_last(left) + 1 != right->start) {
        return false;
    }
    left->size += right->size;
    return true;
}

/* Merge the entries from `from` to `to` (inclusive) with neighbours of the same state. */
static void merge(vm_mem_t *mem, size_t from, size_t to)
{
    for (size_t i = to; i > from; i--) {
        if (i < (size_t)mem->num_ram_regions &&
            join(&mem->ram_regions[i - 1], &mem->ram_regions[i])) {
            replace(mem, i, i + 1, NULL, 0);
        }
    }
}

/* Make the pieces that take the place of the entries `[from, to)`, which are all that have bytes of
 * `[base, last]`: that range in a state, or without it, and what they have on both sides of it.
 * @return how many pieces */
/*@ requires ram_ok(mem) && from <= to <= mem->num_ram_regions && base <= last < UINTPTR_MAX;
    requires \forall integer i; from <= i < to ==>
        base < ram_end(mem, i) && mem->ram_regions[i].start <= last;
    requires \valid(pieces + (0 .. MOST_ADDED));
    requires \separated(pieces + (0 .. MOST_ADDED), mem, mem->ram_regions + (from .. to - 1));
    assigns pieces[0 .. MOST_ADDED];
    ensures \result <= 1 + MOST_ADDED;
    ensures \forall integer i; 0 <= i < \result ==> pieces[i].size > 0;
    ensures \forall integer i; 0 <= i < \result ==>
        pieces[i].start + pieces[i].size <= UINTPTR_MAX;
    ensures \forall integer i, j; 0 <= i < j < \result ==>
        pieces[i].start + pieces[i].size <= pieces[j].start;
    ensures \forall integer i; 0 <= i < \result ==>
        pieces[i].start + pieces[i].size <= base || last < pieces[i].start ||
        (pieces[i].start == base && pieces[i].size == last - base + 1 && state != RAM_ANY);
 */
static size_t cut(const vm_mem_t *mem, size_t from, size_t to, uintptr_t base, uintptr_t last,
                  ram_state_t state, vm_ram_region_t *pieces)
{
    size_t count = 0;
    if (from < to && mem->ram_regions[from].start < base) {
        const vm_ram_region_t *first = &mem->ram_regions[from];
        pieces[count++] = (vm_ram_region_t){first->start, base - first->start, first->allocated};
    }
    if (state != RAM_ANY) {
        pieces[count++] = (vm_ram_region_t){base, last - base + 1, (int)state};
    }
    if (from < to && region_last(&mem->ram_regions[to - 1]) > last) {
        const vm_ram_region_t *end = &mem->ram_regions[to - 1];
        pieces[count++] = (vm_ram_region_t){last + 1, region_last(end) - last, end->allocated};
    }
    return count;
}

/* Take `[base, last]` out of the list, and put it there again in a state, unless that is RAM_ANY.
 */
static void set_state(gm_memory_t *memory, uintptr_t base, uintptr_t last, ram_state_t state)
{
    vm_mem_t *mem = &memory->vm->mem;
    vm_ram_region_t pieces[1 + MOST_ADDED] = {{0}};
    size_t from = find_region(mem, base);
    size_t to = from;
    while (to < (size_t)mem->num_ram_regions && mem->ram_regions[to].start <= last) {
        to++;
    }
    size_t count = cut(mem, from, to, base, last, state, pieces);
    replace(mem, from, to, pieces, count);
    merge(mem, from > 0 ? from - 1 : 0, from + count);
    finish_change(memory);
}

/* Whether all of `[base, last]` is RAM of that state. */
/*@ requires gm_ram_ok(memory);
    requires base <= last && 0 <= state <= RAM_ANY;
    assigns \nothing;
    ensures \result ==> \forall integer a; base <= a <= last ==>
        ram_has(&memory->vm->mem, state, a);
 */
static bool is_all(const gm_memory_t *memory, uintptr_t base, uintptr_t last, ram_state_t state)
{
    const vm_mem_t *mem = &memory->vm->mem;
    /*@ loop invariant \at(base, Pre) <= base <= last && i <= mem->num_ram_regions;
        loop invariant \forall integer j; i <= j < mem->num_ram_regions ==> base < ram_end(mem, j);
        loop invariant \forall integer a; \at(base, Pre) <= a < base ==>
            ram_has(mem, state, a);
        loop assigns i, base;
        loop variant mem->num_ram_regions - i;
     */
    for (size_t i = find_region(mem, base); i < (size_t)mem->num_ram_regions; i++) {
        const vm_ram_region_t *region = &mem->ram_regions[i];
        if (region->start > base || (state != RAM_ANY && region->allocated != (int)state)) {
            return false;
        }
        //@ assert \forall integer a; base <= a < ram_end(mem, i) ==> ram_has(mem, state, a);
        if (region_last(region) >= last) {
            return true;
        }
        base = region_last(region) + 1;
    }
    return false;
}

bool gm_ram_covers(const gm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    return is_all(memory, base, last, RAM_ANY);
}

void gm_ram_forget(gm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    memory->ram_reservations--;
    set_state(memory, base, last, RAM_ANY);
}

int gm_ram_prepare_put_back(gm_memory_t *memory, size_t count)
{
    size_t has = (size_t)memory->vm->mem.num_ram_regions;
    return count > has ? resize(memory, count + memory->ram_reservations) : 0;
}

void gm_ram_give_room_back(gm_memory_t *memory)
{
    finish_change(memory);
}

void gm_ram_put_back(gm_memory_t *memory, const vm_ram_region_t *regions, size_t count)
{
    replace(&memory->vm->mem, 0, (size_t)memory->vm->mem.num_ram_regions, regions, count);
    finish_change(memory);
}

void gm_ram_destroy(gm_memory_t *memory)
{
    memory->vm->mem.num_ram_regions = 0;
    memory->ram_reservations = 0;
    free_list(memory);
}

/* Registration. */

static const gm_request_t ram_request = {default_error_fault_callback, NULL};

/* Map a reservation as RAM and record it; on failure it is freed. NULL is passed on. */
static int make_ram(gm_memory_t *memory, vm_memory_reservation_t *reservation,
                    const gm_frame_source_t *source)
{
    if (reservation == NULL) {
        return -1;
    }
    if (gm_reservation_map(memory, reservation, source, GUESTMEM_MAP_NOW) != 0 ||
        prepare_change(memory) != 0) {
        gm_reservation_free(memory, reservation);
        return -1;
    }
    reservation->mapping->ram = true;
    memory->ram_reservations++;
    set_state(memory, reservation->base, reservation->last, RAM_FREE);
    return 0;
}

static gm_frame_source_t ram_source(const gm_memory_t *memory, guestmem_backing_t backing)
{
    gm_frame_source_t source = gm_reservation_source(memory, backing);
    bool keep = backing == GUESTMEM_UNTYPED && memory->fixed_ram == GUESTMEM_FIXED_RAM_KEPT;
    source.use = keep ? GM_USE_KEPT_RAM : GM_USE_RAM;
    return source;
}

uintptr_t vm_ram_register(vm_t *vm, size_t bytes)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return 0;
    }
    gm_frame_source_t source = ram_source(memory, GUESTMEM_MAYBE_DEVICE);
    /* Not at 0, which is what the call returns for failure. */
    vm_memory_reservation_t *reservation = gm_reservation_make_anonymous(
        memory, bytes, ARCH_PAGE_SIZE, 0, ARCH_PAGE_SIZE, ram_request);
    if (make_ram(memory, reservation, &source) != 0) {
        gm_report(memory, __func__, 0, gm_last_of(0, bytes));
        return 0;
    }
    return reservation->base;
}

int vm_ram_register_at(vm_t *vm, uintptr_t start, size_t bytes, bool untyped)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    gm_frame_source_t source =
        ram_source(memory, untyped ? GUESTMEM_UNTYPED : GUESTMEM_MAYBE_DEVICE);
    return make_ram(memory, gm_reservation_make(memory, start, bytes, ram_request), &source) == 0
               ? 0
               : gm_report(memory, __func__, start, gm_last_of(start, bytes));
}

int vm_ram_register_at_custom_iterator(vm_t *vm, uintptr_t start, size_t bytes,
                                       memory_map_iterator_fn map_iterator, void *cookie)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    gm_frame_source_t source = ram_source(memory, GUESTMEM_CALLER);
    source.iterator = map_iterator;
    source.cookie = cookie;
    if (map_iterator == NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "the map iterator is NULL; give one");
    } else if (make_ram(memory, gm_reservation_make(memory, start, bytes, ram_request), &source) ==
               0) {
        return 0;
    }
    return gm_report(memory, __func__, start, gm_last_of(start, bytes));
}

/* Allocation. */

int vm_ram_find_largest_free_region(vm_t *vm, uintptr_t *addr, size_t *size)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (addr == NULL || size == NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "addr or size is NULL; they receive the range");
        return gm_report(memory, __func__, 0, 0);
    }
    const vm_ram_region_t *largest = NULL;
    for (int i = 0; i < vm->mem.num_ram_regions; i++) {
        const vm_ram_region_t *region = &vm->mem.ram_regions[i];
        if (!region->allocated && (largest == NULL || region->size > largest->size)) {
            largest = region;
        }
    }
    if (largest == NULL) {
        gm_fail(memory, GUESTMEM_NO_ADDRESS, "the VM has no RAM that is not allocated");
        return gm_report(memory, __func__, 0, 0);
    }
    *addr = largest->start;
    *size = largest->size;
    return 0;
}

/* Change the state of RAM that is all in the other state. */
static int change_state(gm_memory_t *memory, uintptr_t start, size_t bytes, ram_state_t state)
{
    uintptr_t last;
    if (gm_check_range(memory, start, bytes, &last) != 0) {
        return -1;
    }
    if (!is_all(memory, start, last, state == RAM_FREE ? RAM_ALLOCATED : RAM_FREE)) {
        return gm_fail(memory, GUESTMEM_NOT_RAM, "the range is not all %s RAM",
                       state == RAM_FREE ? "allocated" : "unallocated");
    }
    if (prepare_change(memory) != 0) {
        return -1;
    }
    set_state(memory, start, last, state);
    return 0;
}

/* The same for a call that returns nothing. A range that is in that state already, as after a
 * reboot of the guest, is nothing to log. */
static void change_or_report(vm_t *vm, uintptr_t start, size_t bytes, ram_state_t state,
                             const char *function)
{
    gm_memory_t *memory = gm_memory_of(vm, function);
    if (memory == NULL || change_state(memory, start, bytes, state) == 0) {
        return;
    }
    uintptr_t last = gm_last_of(start, bytes);
    if (memory->failure.code == GUESTMEM_NOT_RAM && is_all(memory, start, last, state)) {
        gm_note(memory, function, start, last);
    } else {
        gm_report(memory, function, start, last);
    }
}

void vm_ram_mark_allocated(vm_t *vm, uintptr_t start, size_t bytes)
{
    change_or_report(vm, start, bytes, RAM_ALLOCATED, __func__);
}

void vm_ram_free(vm_t *vm, uintptr_t start, size_t bytes)
{
    change_or_report(vm, start, bytes, RAM_FREE, __func__);
}

/* The lowest unallocated range of RAM; not at 0, which is what the call returns for failure. */
/*@ requires ram_ok(mem) && \valid(start);
    assigns *start;
    ensures \result ==> *start > 0 && \old(\exists integer i; 0 <= i < mem->num_ram_regions &&
        !mem->ram_regions[i].allocated && mem->ram_regions[i].start <= \at(*start, Post) &&
        \at(*start, Post) + bytes <= ram_end(mem, i));
 */
static bool find_unallocated(const vm_mem_t *mem, size_t bytes, uintptr_t *start)
{
    /*@ loop invariant 0 <= i <= mem->num_ram_regions;
        loop assigns i;
        loop variant mem->num_ram_regions - i;
     */
    for (int i = 0; i < mem->num_ram_regions; i++) {
        const vm_ram_region_t *region = &mem->ram_regions[i];
        size_t skipped = region->start == 0 ? ARCH_PAGE_SIZE : 0;
        if (!region->allocated && region->size >= skipped && region->size - skipped >= bytes) {
            *start = region->start + skipped;
            return true;
        }
    }
    return false;
}

uintptr_t vm_ram_allocate(vm_t *vm, size_t bytes)
{
    uintptr_t start = 0;
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return 0;
    }
    if (bytes == 0 || !find_unallocated(&vm->mem, bytes, &start)) {
        gm_fail(memory, bytes > 0 ? GUESTMEM_NO_ADDRESS : GUESTMEM_BAD_RANGE,
                "no unallocated range of RAM has 0x%zx bytes", bytes);
    } else if (change_state(memory, start, bytes, RAM_ALLOCATED) == 0) {
        return start;
    }
    gm_report(memory, __func__, start, gm_last_of(start, bytes));
    return 0;
}
