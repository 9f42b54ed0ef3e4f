/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The public calls of <guestmem/inspect.h>, which change nothing but names, and those of
 * <guestmem/policy.h>. */

#include <inttypes.h>
#include <stdio.h>
#include "reservation.h"

/*@ assigns \nothing;
    ensures \result == 0 || \exists integer i; gm_is_frame_size(i, \result) &&
        gm_arch_frames[i].counter == size;
 */
size_t guestmem_frame_size_bits(guestmem_frame_size_t size)
{
    /*@ loop invariant 0 <= i <= ARCH_NUM_FRAME_SIZES;
        loop assigns i;
        loop variant ARCH_NUM_FRAME_SIZES - i;
     */
    for (int i = 0; i < ARCH_NUM_FRAME_SIZES; i++) {
        if (gm_arch_frames[i].counter == size) {
            return gm_arch_frames[i].bits;
        }
    }
    return 0;
}

vm_memory_reservation_t *guestmem_find_reservation(vm_t *vm, uintptr_t addr)
{
    const gm_memory_t *memory = gm_memory_of(vm, __func__);
    return memory != NULL ? gm_reservation_find(memory, addr) : NULL;
}

vm_memory_reservation_t *guestmem_next_reservation(vm_t *vm, vm_memory_reservation_t *reservation)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return NULL;
    }
    if (reservation != NULL && gm_reservation_check(memory, reservation) != 0) {
        gm_report(memory, __func__, 0, 0);
        return NULL;
    }
    return gm_reservation_after(memory, reservation);
}

/* Count the frames of a mapping, and describe the first. */
static void describe_frames(const gm_memory_t *memory, const gm_mapping_t *mapping,
                            guestmem_reservation_info_t *info)
{
    const gm_run_t *run = gm_guest_space_next(memory, mapping->first, mapping->last);
    info->rights = run != NULL ? gm_run_rights(run, 0) : mapping->source.rights;
    info->cacheable = run == NULL || run->cacheable;
    for (; run != NULL; run = gm_guest_space_after(memory, run, mapping->last)) {
        info->frames[gm_arch_frame_counter(run->size_bits)] += run->count;
    }
}

int guestmem_reservation_info(vm_t *vm, vm_memory_reservation_t *reservation,
                              guestmem_reservation_info_t *info)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (info == NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "info is NULL; it receives the description");
        return gm_report(memory, __func__, 0, 0);
    }
    if (gm_reservation_check(memory, reservation) != 0) {
        return gm_report(memory, __func__, 0, 0);
    }
    const gm_mapping_t *mapping = reservation->mapping;
    *info = (guestmem_reservation_info_t){
        .base = reservation->base,
        .last = reservation->last,
        .name = reservation->name != NULL ? reservation->name : "",
        .backing = mapping != NULL ? mapping->source.backing : GUESTMEM_EMULATED,
        .anonymous = gm_region_of(reservation) != NULL,
        .ram = mapping != NULL && mapping->ram,
        .mapped = mapping != NULL,
        .rights = seL4_NoRights,
        .faults = reservation->faults,
    };
    if (mapping != NULL) {
        describe_frames(memory, mapping, info);
    }
    return 0;
}

int guestmem_frame_info(vm_t *vm, uintptr_t addr, guestmem_frame_info_t *info)
{
    size_t index;
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    const gm_run_t *run = gm_guest_space_find(memory, addr, &index);
    if (run == NULL || info == NULL) {
        gm_fail(memory, info == NULL ? GUESTMEM_BAD_ARGUMENT : GUESTMEM_NOT_MAPPED, "%s",
                info == NULL ? "info is NULL; it receives the description"
                             : "no frame is mapped there");
        return gm_report_guest(memory, __func__, addr, addr);
    }
    *info = (guestmem_frame_info_t){
        .base = gm_run_gpa(run, index),
        .size_bits = run->size_bits,
        .cap = run->frames[index].cap,
        .rights = gm_run_rights(run, index),
        .cacheable = run->cacheable,
        .caller = run->caller,
    };
    return 0;
}

int guestmem_name_reservation(vm_t *vm, vm_memory_reservation_t *reservation, const char *name)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (gm_reservation_check(memory, reservation) != 0) {
        return gm_report(memory, __func__, 0, 0);
    }
    if (name == NULL || name[0] == '\0') {
        gm_heap_free(&memory->heap, reservation->name, GUESTMEM_NAME_SIZE);
        reservation->name = NULL;
        return 0;
    }
    if (reservation->name == NULL) {
        reservation->name = gm_heap_alloc(&memory->heap, GUESTMEM_NAME_SIZE);
        if (reservation->name == NULL) {
            gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for a name");
            return gm_report(memory, __func__, reservation->base, reservation->last);
        }
    }
    snprintf(reservation->name, GUESTMEM_NAME_SIZE, "%s", name);
    return 0;
}

int guestmem_get_statistics(vm_t *vm, guestmem_statistics_t *statistics)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (statistics == NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "statistics is NULL; it receives the counts");
        return gm_report(memory, __func__, 0, 0);
    }
    *statistics = memory->counts;
    statistics->reservations = memory->reservations.num_ranges;
    statistics->anonymous_regions = memory->regions.num_ranges;
    statistics->faults += statistics->faults_unhandled;
    const vm_memory_reservation_t *reservation = NULL;
    while ((reservation = gm_reservation_after(memory, reservation)) != NULL) {
        statistics->faults += reservation->faults;
    }
    for (int level = 0; level < ARCH_NUM_TABLE_LEVELS; level++) {
        statistics->page_tables += memory->tables[level].num_ranges;
    }
    statistics->heap_bytes = memory->heap.bytes;
    statistics->heap_blocks = memory->heap.blocks;
    return 0;
}

/* Descriptions. */

enum {
    SIZE_CHARS = 24,
    FRAMES_CHARS = 96,
    LINE_CHARS = 256,
    ADDRESS_CHARS = 2 * sizeof(uintptr_t)
};

/* A size in the largest unit that has no fraction. */
static const char *size_text(char text[SIZE_CHARS], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    unsigned unit = 0;
    for (; unit < 3 && bytes > 0 && bytes % 1024 == 0; unit++) {
        bytes /= 1024;
    }
    snprintf(text, SIZE_CHARS, "%" PRIu64 " %s", bytes, units[unit]);
    return text;
}

/* Frames by size, e.g. "2 x 4K, 1 x 2M". @return their bytes */
static uint64_t frames_text(char text[FRAMES_CHARS], const size_t frames[GUESTMEM_NUM_FRAME_SIZES])
{
    static const char *const names[] = {"4K", "2M", "1G", "64K", "32M"};
    uint64_t bytes = 0;
    size_t used = 0;
    snprintf(text, FRAMES_CHARS, "-");
    for (int i = 0; i < GUESTMEM_NUM_FRAME_SIZES; i++) {
        if (frames[i] > 0) {
            used += (size_t)snprintf(text + used, FRAMES_CHARS - used, "%s%zu x %s",
                                     used > 0 ? ", " : "", frames[i], names[i]);
            bytes += (uint64_t)frames[i] << guestmem_frame_size_bits((guestmem_frame_size_t)i);
        }
    }
    return bytes;
}

static const char *backing_text(const guestmem_reservation_info_t *info)
{
    static const char *const names[] = {
        [GUESTMEM_EMULATED] = "emulated",       [GUESTMEM_FREE_FRAMES] = "frames",
        [GUESTMEM_MAYBE_DEVICE] = "any frames", [GUESTMEM_UNTYPED] = "untyped",
        [GUESTMEM_CALLER] = "caller's frames",  [GUESTMEM_SHARED] = "shared",
    };
    return names[info->backing];
}

/* The guest's rights to all that is mapped. */
static const char *rights_text(const gm_memory_t *memory, const gm_mapping_t *mapping)
{
    static const char *const names[] = {"--", "-w", "r-", "rw"};
    const char *all = "-";
    if (mapping == NULL) {
        return all;
    }
    const gm_run_t *first = gm_guest_space_next(memory, mapping->first, mapping->last);
    for (const gm_run_t *run = first; run != NULL;
         run = gm_guest_space_after(memory, run, mapping->last)) {
        seL4_CapRights_t rights = gm_run_rights(run, 0);
        const char *name = names[seL4_CapRights_get_capAllowRead(rights) * 2 +
                                 seL4_CapRights_get_capAllowWrite(rights)];
        if (run != first && name != all) {
            return "mixed";
        }
        all = name;
    }
    return all;
}

static void print_range(guestmem_print_fn print, void *cookie, uintptr_t base, uintptr_t last,
                        const char *rest)
{
    char line[LINE_CHARS + 64]; /* `rest`, after the addresses and the size */
    char size[SIZE_CHARS] = "all";
    if (last - base != UINTPTR_MAX) {
        size_text(size, (uint64_t)last - base + 1);
    }
    snprintf(line, sizeof(line), "0x%0*" PRIxPTR "-%0*" PRIxPTR " %10s  %s", (int)ADDRESS_CHARS,
             base, (int)ADDRESS_CHARS, last, size, rest);
    print(line, cookie);
}

static void print_reservation(const gm_memory_t *memory, const vm_memory_reservation_t *reservation,
                              const guestmem_reservation_info_t *info, guestmem_print_fn print,
                              void *cookie)
{
    const gm_mapping_t *mapping = reservation->mapping;
    char frames[FRAMES_CHARS];
    char size[SIZE_CHARS];
    char rest[LINE_CHARS];
    uint64_t mapped = frames_text(frames, info->frames);
    uint64_t missing = mapping != NULL ? (uint64_t)mapping->last - mapping->first + 1 - mapped : 0;
    snprintf(rest, sizeof(rest), "%-*s  %-15s  %-3s  %-6s  %s%s%s%s", GUESTMEM_NAME_SIZE - 1,
             info->name, backing_text(info), info->ram ? "RAM" : "-", rights_text(memory, mapping),
             mapped > 0 || missing == 0 ? frames : "", mapped > 0 && missing > 0 ? "; " : "",
             missing > 0 ? "not mapped: " : "", missing > 0 ? size_text(size, missing) : "");
    print_range(print, cookie, info->base, info->last, rest);
}

static void print_totals(const guestmem_statistics_t *counts, guestmem_print_fn print, void *cookie)
{
    char frames[FRAMES_CHARS];
    char line[LINE_CHARS];
    frames_text(frames, counts->frames);
    snprintf(
        line, sizeof(line),
        "reservations: %zu; anonymous regions: %zu; frames: %s; page tables: %zu; faults: %" PRIu64
        ", %" PRIu64 " of them in no reservation; lost objects: %" PRIu64,
        counts->reservations, counts->anonymous_regions, frames, counts->page_tables,
        counts->faults, counts->faults_unhandled, counts->lost_objects);
    print(line, cookie);
}

int guestmem_describe(vm_t *vm, guestmem_print_fn print, void *cookie)
{
    vm_memory_reservation_t *reservation = NULL;
    guestmem_reservation_info_t info = {0};
    guestmem_statistics_t counts = {0};
    gm_range_t region;
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (print == NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "print is NULL; it receives the lines");
        return gm_report(memory, __func__, 0, 0);
    }
    while ((reservation = guestmem_next_reservation(vm, reservation)) != NULL) {
        (void)guestmem_reservation_info(vm, reservation, &info); /* of this VM, so it is known */
        print_reservation(memory, reservation, &info, print, cookie);
    }
    for (bool more = gm_range_map_next(&memory->regions, 0, &region); more;
         more = region.last < UINTPTR_MAX &&
                gm_range_map_next(&memory->regions, region.last + 1, &region)) {
        print_range(print, cookie, region.base, region.last, "anonymous region");
    }
    (void)guestmem_get_statistics(vm, &counts);
    print_totals(&counts, print, cookie);
    return 0;
}

/* Policy. */

/*@ requires gm_vm_ok(vm);
    assigns vm->mem.reservation_cookie->map_time, vm->mem.reservation_cookie->failure,
        vm->mem.reservation_cookie->error;
    ensures \result == 0 || \result == -1;
    ensures \result == 0 ==> vm->mem.reservation_cookie->map_time == map_time &&
        (map_time == GUESTMEM_MAP_NOW || map_time == GUESTMEM_MAP_ON_FAULT);
    ensures \result == -1 && vm != \null && vm->mem.reservation_cookie != \null ==>
        vm->mem.reservation_cookie->map_time == \old(vm->mem.reservation_cookie->map_time);
 */
int guestmem_set_map_time(vm_t *vm, guestmem_map_time_t map_time)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (map_time != GUESTMEM_MAP_NOW && map_time != GUESTMEM_MAP_ON_FAULT) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "%d is no guestmem_map_time_t", (int)map_time);
        return gm_report(memory, __func__, 0, 0);
    }
    memory->map_time = map_time;
    return 0;
}

/*@ requires \valid(memory);
    assigns memory->failure;
    ensures \result == 0 || \result == -1;
    ensures \result == 0 <==> \exists integer i; gm_is_frame_size(i, size_bits);
 */
static int check_frame_size(gm_memory_t *memory, size_t size_bits)
{
    return gm_arch_frame_index(size_bits) >= 0
               ? 0
               : gm_fail(memory, GUESTMEM_BAD_ARGUMENT,
                         "the architecture has no frames of 2^%zu bytes", size_bits);
}

/*@ requires gm_vm_ok(vm);
    assigns vm->mem.reservation_cookie->largest_frame_bits, vm->mem.reservation_cookie->failure,
        vm->mem.reservation_cookie->error;
    ensures \result == 0 || \result == -1;
    ensures \result == 0 ==> vm->mem.reservation_cookie->largest_frame_bits == size_bits &&
        (\exists integer i; gm_is_frame_size(i, size_bits));
    ensures \result == -1 && vm != \null && vm->mem.reservation_cookie != \null ==>
        vm->mem.reservation_cookie->largest_frame_bits ==
   \old(vm->mem.reservation_cookie->largest_frame_bits);
 */
int guestmem_set_largest_frame(vm_t *vm, size_t size_bits)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (check_frame_size(memory, size_bits) != 0) {
        return gm_report(memory, __func__, 0, 0);
    }
    memory->largest_frame_bits = size_bits;
    return 0;
}

int guestmem_set_reservation_largest_frame(vm_t *vm, vm_memory_reservation_t *reservation,
                                           size_t size_bits)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (gm_reservation_check(memory, reservation) != 0 ||
        check_frame_size(memory, size_bits) != 0) {
        return gm_report(memory, __func__, 0, 0);
    }
    reservation->largest_frame_bits = (uint8_t)size_bits;
    return 0;
}

/*@ requires gm_vm_ok(vm);
    assigns vm->mem.reservation_cookie->windows, vm->mem.reservation_cookie->failure,
        vm->mem.reservation_cookie->error;
    ensures \result == 0 || \result == -1;
    ensures \result == 0 ==> vm->mem.reservation_cookie->windows == windows &&
        (windows == GUESTMEM_WINDOWS_KEPT || windows == GUESTMEM_WINDOWS_NONE);
    ensures \result == -1 && vm != \null && vm->mem.reservation_cookie != \null ==>
        vm->mem.reservation_cookie->windows == \old(vm->mem.reservation_cookie->windows);
 */
int guestmem_set_windows(vm_t *vm, guestmem_windows_t windows)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (windows != GUESTMEM_WINDOWS_KEPT && windows != GUESTMEM_WINDOWS_NONE) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "%d is no guestmem_windows_t", (int)windows);
        return gm_report(memory, __func__, 0, 0);
    }
    memory->windows = windows;
    return 0;
}

/*@ requires gm_vm_ok(vm);
    assigns vm->mem.reservation_cookie->fixed_ram, vm->mem.reservation_cookie->failure,
        vm->mem.reservation_cookie->error;
    ensures \result == 0 || \result == -1;
    ensures \result == 0 ==> vm->mem.reservation_cookie->fixed_ram == fixed_ram &&
        (fixed_ram == GUESTMEM_FIXED_RAM_KEPT || fixed_ram == GUESTMEM_FIXED_RAM_CLEARED);
    ensures \result == -1 && vm != \null && vm->mem.reservation_cookie != \null ==>
        vm->mem.reservation_cookie->fixed_ram == \old(vm->mem.reservation_cookie->fixed_ram);
 */
int guestmem_set_fixed_ram(vm_t *vm, guestmem_fixed_ram_t fixed_ram)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (fixed_ram != GUESTMEM_FIXED_RAM_KEPT && fixed_ram != GUESTMEM_FIXED_RAM_CLEARED) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "%d is no guestmem_fixed_ram_t", (int)fixed_ram);
        return gm_report(memory, __func__, 0, 0);
    }
    memory->fixed_ram = fixed_ram;
    return 0;
}

/*@ requires gm_vm_ok(vm);
    assigns vm->mem.reservation_cookie->discarded, vm->mem.reservation_cookie->failure,
        vm->mem.reservation_cookie->error;
    ensures \result == 0 || \result == -1;
    ensures \result == 0 ==> vm->mem.reservation_cookie->discarded == discarded &&
        (discarded == GUESTMEM_DISCARDED_REFILLED || discarded == GUESTMEM_DISCARDED_LEFT);
    ensures \result == -1 && vm != \null && vm->mem.reservation_cookie != \null ==>
        vm->mem.reservation_cookie->discarded == \old(vm->mem.reservation_cookie->discarded);
 */
int guestmem_set_discarded(vm_t *vm, guestmem_discarded_t discarded)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (discarded != GUESTMEM_DISCARDED_REFILLED && discarded != GUESTMEM_DISCARDED_LEFT) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "%d is no guestmem_discarded_t", (int)discarded);
        return gm_report(memory, __func__, 0, 0);
    }
    memory->discarded = discarded;
    return 0;
}
