/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Rows of calls that map reservations, and of faults that do. See row.h. */

#include "row.h"

#define REGION (GPA + 0x10000000)

static void reserve_span(scene_t *s)
{
    scene_reserve(s, GPA);
    scene_fill(s);
}

static void reserve_one_to_one(scene_t *s)
{
    scene_reserve(s, RAM_PADDR);
    scene_fill(s);
}

static void reserve_flash(scene_t *s)
{
    scene_reserve(s, FLASH);
    scene_fill(s);
}

static void reserve_with_simple(scene_t *s)
{
    if (scene_is_small(s)) {
        scene_use_simple(s);
    }
    reserve_one_to_one(s);
}

static void reserve_anonymous(scene_t *s)
{
    uintptr_t addr;
    assert_int_equal(vm_memory_make_anon(&s->world.vm, REGION, 16 * MEGABYTE), 0);
    assert_non_null(vm_reserve_anon_memory(&s->world.vm,
                                           scene_is_small(s) ? 3 * PAGE : 2 * MEGABYTE + PAGE, PAGE,
                                           record_fault, &s->world, &addr));
    assert_int_equal(addr, REGION);
    scene_fill(s);
}

/* Two pages, two large frames, two pages; or six pages. */
static void reserve_for_frames(scene_t *s)
{
    size_t size;
    uintptr_t base = scene_span(s, GPA, &size);
    scene_reserve(s, GPA);
    scene_take_frames(s, scene_is_small(s) ? 3 : 2, 12, base);
    scene_take_frames(s, scene_is_small(s) ? 0 : 2, 21, base);
    scene_take_frames(s, scene_is_small(s) ? 3 : 2, 12, base);
    scene_fill(s);
}

static void on_fault(scene_t *s)
{
    assert_int_equal(guestmem_set_map_time(&s->world.vm, GUESTMEM_MAP_ON_FAULT), 0);
}

static vm_frame_t next_frame(uintptr_t addr, void *cookie)
{
    const scene_t *s = cookie;
    uintptr_t at = s->frames_at;
    for (size_t i = 0; i < s->num_frames; i++) {
        size_t bits = s->frames[i].size_bits;
        if (addr >= at && addr - at < (uintptr_t)1 << bits) {
            seL4_CapRights_t rights = i % 2 == 0 ? seL4_AllRights : seL4_CanRead;
            return (vm_frame_t){s->frames[i].cptr, rights, at, bits};
        }
        at += (uintptr_t)1 << bits;
    }
    return (vm_frame_t){.cptr = seL4_CapNull};
}

static int map_iterator(scene_t *s)
{
    return vm_map_reservation(&s->world.vm, row_reservation(s, GPA), next_frame, s);
}

static int map_array(scene_t *s)
{
    seL4_CPtr caps[8];
    for (size_t i = 0; i < s->num_frames; i++) {
        caps[i] = s->frames[i].cptr;
    }
    return vm_map_reservation_frames(&s->world.vm, row_reservation(s, GPA), caps, s->num_frames,
                                     s->frames[0].size_bits);
}

/* A reservation of two large frames, or six small ones. */
static void reserve_for_array(scene_t *s)
{
    if (scene_is_small(s)) {
        reserve_for_frames(s);
        return;
    }
    size_t size;
    uintptr_t base = scene_span(s, GPA, &size);
    world_reserve(&s->world, base + 2 * PAGE, 4 * MEGABYTE);
    scene_take_frames(s, 2, 21, base + 2 * PAGE);
    scene_fill(s);
}

static int map_large_array(scene_t *s)
{
    if (scene_is_small(s)) {
        return map_array(s);
    }
    seL4_CPtr caps[] = {s->frames[0].cptr, s->frames[1].cptr};
    return vm_map_reservation_frames(
        &s->world.vm, guestmem_find_reservation(&s->world.vm, s->frames_at), caps, 2, 21);
}

static int map_free(scene_t *s)
{
    return map_frame_alloc_reservation(&s->world.vm, row_reservation(s, GPA));
}

static int map_anonymous(scene_t *s)
{
    return map_frame_alloc_reservation(&s->world.vm,
                                       guestmem_find_reservation(&s->world.vm, REGION));
}

static int map_maybe_device(scene_t *s)
{
    return map_maybe_device_reservation(&s->world.vm, row_reservation(s, GPA));
}

static int map_one_to_one(scene_t *s)
{
    return map_ut_alloc_reservation(&s->world.vm, row_reservation(s, RAM_PADDR));
}

static int map_flash(scene_t *s)
{
    return map_ut_alloc_reservation(&s->world.vm, row_reservation(s, FLASH));
}

static int map_at_paddr(scene_t *s)
{
    size_t size;
    return map_ut_alloc_reservation_with_base_paddr(&s->world.vm, scene_span(s, RAM_PADDR, &size),
                                                    row_reservation(s, GPA));
}

/* No large frame fits, as the addresses differ modulo 2 MiB; two pages suffice for that. */
static int map_askew(scene_t *s)
{
    return map_ut_alloc_reservation_with_base_paddr(
        &s->world.vm, RAM_PADDR + PAGE, guestmem_find_reservation(&s->world.vm, REGION));
}

static void reserve_pages(scene_t *s)
{
    world_reserve(&s->world, REGION, 3 * PAGE - 8);
    scene_fill(s);
}

static int share_page(scene_t *s)
{
    return create_allocated_reservation_frame(&s->world.vm, REGION, seL4_CanRead, record_fault,
                                              &s->world) != NULL
               ? 0
               : -1;
}

static int share_device(scene_t *s)
{
    return create_device_reservation_frame(&s->world.vm, UART, seL4_AllRights, record_fault,
                                           &s->world) != NULL
               ? 0
               : -1;
}

static int share_simple(scene_t *s)
{
    return create_device_reservation_frame(&s->world.vm, RAM_PADDR + 2 * MEGABYTE - PAGE,
                                           seL4_AllRights, record_fault, &s->world) != NULL
               ? 0
               : -1;
}

static void use_simple(scene_t *s)
{
    scene_use_simple(s);
    scene_fill(s);
}

static void defer_free(scene_t *s)
{
    on_fault(s);
    reserve_span(s);
    assert_int_equal(map_free(s), 0);
}

/* One frame is there already, and its tables with it. */
static void defer_second(scene_t *s)
{
    size_t size;
    defer_free(s);
    uintptr_t base = scene_span(s, GPA, &size);
    assert_int_equal(vm_memory_handle_fault(&s->world.vm, NULL, base + size - 4, 4), FAULT_RESTART);
}

static void defer_maybe_device(scene_t *s)
{
    on_fault(s);
    reserve_span(s);
    assert_int_equal(map_maybe_device(s), 0);
}

static void defer_one_to_one(scene_t *s)
{
    on_fault(s);
    reserve_with_simple(s);
    assert_int_equal(map_one_to_one(s), 0);
}

static void defer_iterator(scene_t *s)
{
    on_fault(s);
    reserve_for_frames(s);
    assert_int_equal(map_iterator(s), 0);
}

static void defer_later(scene_t *s)
{
    on_fault(s);
    reserve_for_frames(s);
}

static void defer_span(scene_t *s)
{
    on_fault(s);
    reserve_span(s);
}

/* An access to the second and third page behind the span's base. */
static int fault(scene_t *s)
{
    size_t size;
    uintptr_t gpa = scene_span(s, GPA, &size) + 3 * PAGE - 8;
    return vm_memory_handle_fault(&s->world.vm, NULL, gpa, 8) == FAULT_RESTART ? 0 : -1;
}

static int fault_first(scene_t *s)
{
    size_t size;
    uintptr_t gpa = scene_span(s, GPA, &size);
    return vm_memory_handle_fault(&s->world.vm, NULL, gpa, 8) == FAULT_RESTART ? 0 : -1;
}

static int fault_one_to_one(scene_t *s)
{
    size_t size;
    uintptr_t gpa = scene_span(s, RAM_PADDR, &size);
    return vm_memory_handle_fault(&s->world.vm, NULL, gpa, 8) == FAULT_RESTART ? 0 : -1;
}

#define FAULT "vm_memory_handle_fault"

static const row_t rows[] = {
    {"vm_map_reservation", "frames of several sizes", reserve_for_frames, map_iterator,
     ROW_MOVES_FRAMES},
    {"vm_map_reservation", "on fault", defer_later, map_iterator, ROW_MOVES_FRAMES},
    {"vm_map_reservation_frames", "", reserve_for_array, map_large_array, ROW_MOVES_FRAMES},
    {"map_frame_alloc_reservation", "", reserve_span, map_free, 0},
    {"map_frame_alloc_reservation", "anonymous", reserve_anonymous, map_anonymous, 0},
    {"map_frame_alloc_reservation", "on fault", defer_span, map_free, 0},
    {"map_maybe_device_reservation", "", reserve_span, map_maybe_device, 0},
    {"map_ut_alloc_reservation", "RAM", reserve_one_to_one, map_one_to_one, 0},
    {"map_ut_alloc_reservation", "device", reserve_flash, map_flash, 0},
    {"map_ut_alloc_reservation", "simple and untyped", reserve_with_simple, map_one_to_one,
     ROW_MOVES_FRAMES},
    {"map_ut_alloc_reservation_with_base_paddr", "", reserve_span, map_at_paddr, 0},
    {"map_ut_alloc_reservation_with_base_paddr", "askew", reserve_pages, map_askew, 0},
    {"create_allocated_reservation_frame", "", scene_fill, share_page, 0},
    {"create_device_reservation_frame", "", scene_fill, share_device, 0},
    {"create_device_reservation_frame", "simple", use_simple, share_simple, ROW_MOVES_FRAMES},
    {FAULT, "first frame", defer_free, fault_first, ROW_NOT_REPEATED},
    {FAULT, "second frame", defer_second, fault, ROW_NOT_REPEATED},
    {FAULT, "maybe device", defer_maybe_device, fault, ROW_NOT_REPEATED},
    {FAULT, "simple and untyped", defer_one_to_one, fault_one_to_one,
     ROW_NOT_REPEATED | ROW_MOVES_FRAMES},
    {FAULT, "caller's frames", defer_iterator, fault, ROW_NOT_REPEATED | ROW_MOVES_FRAMES},
};

const row_list_t rows_of_mapping = {rows, sizeof(rows) / sizeof(rows[0])};
