/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Rows of calls that make, free and describe reservations. See row.h. */

#include "row.h"

#define REGION (GPA + 0x10000000)

static void reserve_span(scene_t *s)
{
    scene_reserve(s, GPA);
    scene_fill(s);
}

static void make_region(scene_t *s)
{
    uintptr_t addr;
    vm_t *vm = &s->world.vm;
    assert_int_equal(vm_memory_make_anon(vm, REGION, MEGABYTE), 0);
    assert_non_null(vm_reserve_anon_memory(vm, 1, PAGE, record_fault, &s->world, &addr));
    scene_fill(s);
}

static void map_span(scene_t *s)
{
    reserve_span(s);
    assert_int_equal(map_frame_alloc_reservation(&s->world.vm, row_reservation(s, GPA)), 0);
}

/* Three RAM reservations that are one entry of the list; freeing the middle one splits it, freeing
 * the first makes the list smaller. */
static void make_ram(scene_t *s)
{
    for (uintptr_t i = 0; i < 3; i++) {
        assert_int_equal(
            vm_ram_register_at(&s->world.vm, GPA + (24 + i) * MEGABYTE, MEGABYTE, false), 0);
    }
    scene_fill(s);
}

static int reserve(scene_t *s)
{
    size_t size;
    uintptr_t base = scene_span(s, GPA, &size);
    return vm_reserve_memory_at(&s->world.vm, base, size, record_fault, &s->world) != NULL ? 0 : -1;
}

static int reserve_top(scene_t *s)
{
    return vm_reserve_memory_at(&s->world.vm, UINTPTR_MAX, 1, record_fault, &s->world) != NULL ? 0
                                                                                               : -1;
}

static int reserve_anonymous(scene_t *s)
{
    uintptr_t addr = 77;
    if (vm_reserve_anon_memory(&s->world.vm, 3 * PAGE, 4 * PAGE, record_fault, &s->world, &addr) ==
        NULL) {
        assert_int_equal(addr, 77);
        return -1;
    }
    return 0;
}

static int make_anonymous(scene_t *s)
{
    return vm_memory_make_anon(&s->world.vm, REGION + MEGABYTE, MEGABYTE);
}

static int free_span(scene_t *s)
{
    return vm_free_reserved_memory(&s->world.vm, row_reservation(s, GPA));
}

static int free_first_ram(scene_t *s)
{
    return vm_free_reserved_memory(&s->world.vm,
                                   guestmem_find_reservation(&s->world.vm, GPA + 24 * MEGABYTE));
}

static int free_ram(scene_t *s)
{
    return vm_free_reserved_memory(&s->world.vm,
                                   guestmem_find_reservation(&s->world.vm, GPA + 25 * MEGABYTE));
}

static int name(scene_t *s)
{
    return guestmem_name_reservation(&s->world.vm, row_reservation(s, GPA), "a name");
}

static const row_t rows[] = {
    {"vm_reserve_memory_at", "", scene_fill, reserve, 0},
    {"vm_reserve_memory_at", "the last byte", scene_fill, reserve_top, 0},
    {"vm_reserve_anon_memory", "", make_region, reserve_anonymous, 0},
    {"vm_memory_make_anon", "first", scene_fill, make_anonymous, 0},
    {"vm_memory_make_anon", "beside another", make_region, make_anonymous, 0},
    {"vm_free_reserved_memory", "mapped", map_span, free_span, 0},
    {"vm_free_reserved_memory", "the first of RAM", make_ram, free_first_ram, 0},
    {"vm_free_reserved_memory", "the middle of RAM", make_ram, free_ram, 0},
    {"guestmem_name_reservation", "", reserve_span, name, 0},
    {"guestmem_name_reservation", "mapped", map_span, name, 0},
};

const row_list_t rows_of_reservations = {rows, sizeof(rows) / sizeof(rows[0])};
