/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See state.h. */

#include "state.h"
#include <inttypes.h>
#include <stdio.h>

static void print_census(FILE *out, scene_t *scene, unsigned detail)
{
    static const hosted_census_t nothing;
    hosted_census_t census;
    hosted_census_take(scene->world.system, &census);
    if ((detail & STATE_NO_HEAP_BYTES) != 0) {
        census.heap_bytes = 0;
    }
    if ((detail & STATE_NO_DERIVATION) != 0) {
        census.derivation = 0;
    }
    if ((detail & STATE_RECORDS) != 0) {
        fprintf(out, "heap: %zu blocks, %" PRIu64 " bytes\n", census.heap_blocks,
                census.heap_bytes);
    } else {
        hosted_census_print_difference(out, &nothing, &census);
    }
}

static void print_reservations(FILE *out, vm_t *vm, unsigned detail)
{
    vm_memory_reservation_t *reservation = NULL;
    while ((reservation = guestmem_next_reservation(vm, reservation)) != NULL) {
        guestmem_reservation_info_t info;
        assert_int_equal(guestmem_reservation_info(vm, reservation, &info), 0);
        assert_ptr_equal(guestmem_find_reservation(vm, info.base), reservation);
        assert_ptr_equal(guestmem_find_reservation(vm, info.last), reservation);
        fprintf(out,
                "reservation %#" PRIxPTR "..%#" PRIxPTR " '%s' backing %d%s%s%s, frames %zu %zu "
                "%zu, rights %" PRIx64 ", %scacheable, faults %" PRIu64 "\n",
                info.base, info.last, info.name, (int)info.backing,
                info.anonymous ? " anonymous" : "", info.ram ? " ram" : "",
                info.mapped ? " mapped" : "", info.frames[0], info.frames[1], info.frames[2],
                (uint64_t)info.rights.words[0], info.cacheable ? "" : "not ",
                (detail & STATE_NO_FAULTS) == 0 ? info.faults : 0);
    }
}

static void print_ram(FILE *out, const vm_t *vm)
{
    for (int i = 0; i < vm->mem.num_ram_regions; i++) {
        const vm_ram_region_t *region = &vm->mem.ram_regions[i];
        fprintf(out, "ram %#" PRIxPTR " %#zx allocated %d\n", region->start, region->size,
                region->allocated);
    }
}

static void print_statistics(FILE *out, vm_t *vm, unsigned detail)
{
    guestmem_statistics_t is;
    assert_int_equal(guestmem_get_statistics(vm, &is), 0);
    fprintf(out,
            "statistics: %zu reservations, %zu regions, %zu %zu %zu frames, %zu tables, %zu window "
            "frames, %zu bytes in %zu blocks\n",
            is.reservations, is.anonymous_regions, is.frames[0], is.frames[1], is.frames[2],
            is.page_tables, is.window_frames,
            (detail & STATE_NO_HEAP_BYTES) == 0 ? is.heap_bytes : 0, is.heap_blocks);
}

/* Where the guest's mappings of one VM are printed. */
typedef struct reach {
    FILE *out;
    vm_t *vm;
} reach_t;

static bool print_mapping(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    const reach_t *reach = cookie;
    vspace_t *vspace = &reach->vm->mem.vm_vspace;
    fprintf(reach->out,
            "guest %#" PRIxPTR " 2^%u -> %#" PRIxPTR " %c%c%c%c, cap %" PRIuPTR " of 2^%" PRIuPTR
            "\n",
            (uintptr_t)mapping->gpa, mapping->size_bits, (uintptr_t)mapping->paddr,
            mapping->read ? 'r' : '-', mapping->write ? 'w' : '-', mapping->execute ? 'x' : '-',
            mapping->cacheable ? 'c' : '-', (uintptr_t)vspace_get_cap(vspace, (void *)mapping->gpa),
            vspace_get_cookie(vspace, (void *)mapping->gpa));
    return true;
}

static void print_vm(FILE *out, scene_t *scene, vm_t *vm, unsigned detail)
{
    const unsigned char *bytes = (const unsigned char *)vm;
    size_t used = 0;
    for (size_t i = 0; i < sizeof(*vm); i++) {
        used += bytes[i] != 0;
    }
    if (used == 0) {
        fprintf(out, "vm: zeroed\n");
        return;
    }
    fprintf(out, "vm: %u vcpus, initialised %d\n", vm->num_vcpus, vm->vm_initialised);
    if (vm->mem.reservation_cookie == NULL) {
        return;
    }
    print_reservations(out, vm, detail);
    print_ram(out, vm);
    if ((detail & STATE_RECORDS) == 0) {
        reach_t reach = {out, vm};
        print_statistics(out, vm, detail);
        hosted_stage2_for_each(scene->world.system, vm->mem.vm_vspace_root.cptr, print_mapping,
                               &reach);
    }
}

/* Write through a window; the memory that the guest sees there must hold it. It sees none where
 * undo has failed, which is counted. */
static void print_window(FILE *out, scene_t *scene, const scene_window_t *window)
{
    hosted_stage2_mapping_t mapping;
    guestmem_statistics_t statistics;
    vm_t *vm = window->vm;
    assert_int_equal(guestmem_get_statistics(vm, &statistics), 0);
    bool reached = hosted_stage2_translate(scene->world.system, vm->mem.vm_vspace_root.cptr,
                                           window->gpa, &mapping);
    const volatile unsigned char *memory =
        reached ? hosted_physical_memory(scene->world.system,
                                         mapping.paddr + (window->gpa - mapping.gpa), 1)
                : NULL;
    bool same = memory != NULL && *memory == *window->page;
    if (same) {
        *window->page ^= 0x5a;
        same = *memory == *window->page;
        *window->page ^= 0x5a;
    }
    fprintf(out, "window %#" PRIxPTR ": %s, value %d, cap %" PRIuPTR "\n", window->gpa,
            same || (!reached && statistics.lost_objects > 0) ? "works" : "broken", *window->page,
            (uintptr_t)vspace_get_cap(&vm->mem.vmm_vspace, (void *)window->page));
}

char *state_take(scene_t *scene, unsigned detail)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    print_census(out, scene, detail);
    print_vm(out, scene, &scene->world.vm, detail);
    for (size_t i = 0; i < scene->num_others; i++) {
        print_vm(out, scene, &scene->others[i], detail);
    }
    print_vm(out, scene, &scene->fresh, detail);
    for (size_t i = 0; i < scene->num_windows; i++) {
        print_window(out, scene, &scene->windows[i]);
    }
    assert_int_equal(fclose(out), 0);
    return text;
}

/* Whether `text` has the line of that length. */
static bool has_line(const char *text, const char *line, size_t length)
{
    while (*text != '\0') {
        size_t other = strcspn(text, "\n");
        if (other == length && memcmp(text, line, length) == 0) {
            return true;
        }
        text += other + (text[other] == '\n');
    }
    return false;
}

static void print_missing(const char *from, const char *in, const char *mark)
{
    int printed = 0;
    while (*from != '\0' && printed < 6) {
        size_t length = strcspn(from, "\n");
        if (!has_line(in, from, length)) {
            fprintf(stderr, "    %s %.*s\n", mark, (int)length, from);
            printed++;
        }
        from += length + (from[length] == '\n');
    }
}

void state_print_difference(const char *before, const char *after)
{
    print_missing(before, after, "-");
    print_missing(after, before, "+");
}
