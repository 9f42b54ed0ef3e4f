/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Rows of calls about RAM, and of access from the VMM. See row.h. */

#include "row.h"

#define RAM    (GPA + 24 * MEGABYTE)
#define REGION (GPA + 0x10000000)

static size_t ram_bytes(const scene_t *s)
{
    return scene_is_small(s) ? 3 * PAGE : 2 * MEGABYTE + PAGE;
}

/* RAM that ends at a 2 MiB boundary. */
static uintptr_t ram_end(void)
{
    return RAM + 4 * MEGABYTE;
}

static void make_region(scene_t *s)
{
    assert_int_equal(vm_memory_make_anon(&s->world.vm, REGION, 16 * MEGABYTE), 0);
    scene_fill(s);
}

/* Two RAM reservations side by side, each with frames of every size that the scene has. */
static void make_ram(scene_t *s)
{
    vm_t *vm = &s->world.vm;
    size_t size = ram_bytes(s);
    assert_int_equal(vm_ram_register_at(vm, ram_end() - size, size, false), 0);
    assert_int_equal(vm_ram_register_at(vm, ram_end(), size, false), 0);
    scene_fill(s);
}

/* The second of them has its window already. */
static void make_ram_with_window(scene_t *s)
{
    char byte;
    make_ram(s);
    assert_int_equal(vm_ram_touch(&s->world.vm, ram_end(), 1, vm_guest_ram_read_callback, &byte),
                     0);
}

static void make_ram_in_use(scene_t *s)
{
    make_ram(s);
    vm_ram_mark_allocated(&s->world.vm, ram_end() - PAGE, 2 * PAGE);
}

static void take_frames(scene_t *s)
{
    scene_take_frames(s, 3, 12, RAM);
    scene_fill(s);
}

static void reserve_mixture(scene_t *s)
{
    vm_t *vm = &s->world.vm;
    take_frames(s);
    vm_memory_reservation_t *shared = world_reserve(&s->world, RAM, 3 * PAGE);
    seL4_CPtr caps[] = {s->frames[0].cptr, s->frames[1].cptr, s->frames[2].cptr};
    assert_int_equal(vm_map_reservation_frames(vm, shared, caps, 3, 12), 0);
    vm_memory_reservation_t *free = world_reserve(&s->world, RAM + 3 * PAGE, 2 * PAGE);
    assert_int_equal(map_frame_alloc_reservation(vm, free), 0);
    vm_memory_reservation_t *device = world_reserve(&s->world, RAM + 5 * PAGE, PAGE);
    assert_int_equal(map_ut_alloc_reservation_with_base_paddr(vm, UART, device), 0);
}

static vm_frame_t next_frame(uintptr_t addr, void *cookie)
{
    const scene_t *s = cookie;
    return (vm_frame_t){s->frames[(addr - RAM) / PAGE].cptr, seL4_AllRights, addr, 12};
}

static int register_anywhere(scene_t *s)
{
    return vm_ram_register(&s->world.vm, ram_bytes(s)) != 0 ? 0 : -1;
}

static int register_at(scene_t *s)
{
    return vm_ram_register_at(&s->world.vm, RAM, ram_bytes(s), false);
}

static int register_beside(scene_t *s)
{
    return vm_ram_register_at(&s->world.vm, ram_end() + ram_bytes(s), 3 * PAGE, false);
}

static int register_one_to_one(scene_t *s)
{
    return vm_ram_register_at(&s->world.vm, RAM_PADDR + 16 * MEGABYTE, ram_bytes(s), true);
}

/* Memory that the kernel does not clear: the library does, through the VMM. */
static int register_reserved(scene_t *s)
{
    guestmem_set_fixed_ram(&s->world.vm, GUESTMEM_FIXED_RAM_CLEARED);
    return vm_ram_register_at(&s->world.vm, RESERVED, ram_bytes(s), true);
}

static int register_frames(scene_t *s)
{
    return vm_ram_register_at_custom_iterator(&s->world.vm, RAM, 3 * PAGE, next_frame, s);
}

static int touch(scene_t *s)
{
    char bytes[16];
    return vm_ram_touch(&s->world.vm, ram_end() - 8, 16, vm_guest_ram_read_callback, bytes);
}

static int mark_allocated(scene_t *s)
{
    int lines = s->world.log_lines;
    vm_ram_mark_allocated(&s->world.vm, ram_end() - PAGE, 2 * PAGE);
    return s->world.log_lines == lines ? 0 : -1;
}

static int allocate(scene_t *s)
{
    return vm_ram_allocate(&s->world.vm, PAGE) != 0 ? 0 : -1;
}

static int give_back(scene_t *s)
{
    int lines = s->world.log_lines;
    vm_ram_free(&s->world.vm, ram_end() - PAGE, PAGE);
    return s->world.log_lines == lines ? 0 : -1;
}

static int access_mixture(scene_t *s)
{
    static char bytes[6 * PAGE];
    return guestmem_access(&s->world.vm, RAM + 1, sizeof(bytes) - 2, vm_guest_ram_read_callback,
                           bytes);
}

static int copy(scene_t *s)
{
    return guestmem_copy(&s->world.vm, ram_end() - ram_bytes(s), ram_end() + PAGE, 16);
}

/* A third one behind the two. */
static void make_third_ram(scene_t *s)
{
    make_ram(s);
    assert_int_equal(vm_ram_register_at(&s->world.vm, ram_end() + ram_bytes(s), 2 * PAGE, false),
                     0);
}

/* The source lies in two, neither of which is the target's. */
static int copy_across(scene_t *s)
{
    return guestmem_copy(&s->world.vm, ram_end() - ram_bytes(s), ram_end() + ram_bytes(s) - 8, 16);
}

static int read_across(scene_t *s)
{
    char bytes[16];
    return guestmem_read(&s->world.vm, ram_end() - 8, bytes, sizeof(bytes));
}

static int write_across(scene_t *s)
{
    return guestmem_write(&s->world.vm, ram_end() - 8, "written by a VMM", 16);
}

static int fill_across(scene_t *s)
{
    return guestmem_fill(&s->world.vm, ram_end() - 8, 0x5a, 16);
}

static int point_at(scene_t *s)
{
    return guestmem_pointer(&s->world.vm, ram_end() + 1, 1) != NULL ? 0 : -1;
}

/* The same without windows: each page is mapped for the access, and unmapped. */
static void make_ram_without_windows(scene_t *s)
{
    make_ram(s);
    assert_int_equal(guestmem_set_windows(&s->world.vm, GUESTMEM_WINDOWS_NONE), 0);
}

static const row_t rows[] = {
    {"vm_ram_register", "", make_region, register_anywhere, 0},
    {"vm_ram_register_at", "free memory", scene_fill, register_at, 0},
    {"vm_ram_register_at", "beside RAM", make_ram, register_beside, 0},
    {"vm_ram_register_at", "untyped", scene_fill, register_one_to_one, 0},
    {"vm_ram_register_at", "cleared by the library", scene_fill, register_reserved, ROW_SLOW},
    {"vm_ram_register_at_custom_iterator", "", take_frames, register_frames, ROW_MOVES_FRAMES},
    {"vm_ram_touch", "no window", make_ram, touch, 0},
    {"vm_ram_touch", "one of two windows", make_ram_with_window, touch, 0},
    {"vm_ram_touch", "windows are not kept", make_ram_without_windows, touch, 0},
    {"vm_ram_mark_allocated", "", make_ram, mark_allocated, 0},
    {"vm_ram_allocate", "", make_ram, allocate, 0},
    {"vm_ram_free", "", make_ram_in_use, give_back, 0},
    {"guestmem_access", "three backings", reserve_mixture, access_mixture, ROW_ENDS_HALF_WAY},
    {"guestmem_read", "no window", make_ram, read_across, 0},
    {"guestmem_read", "windows are not kept", make_ram_without_windows, read_across, 0},
    {"guestmem_write", "one of two windows", make_ram_with_window, write_across, 0},
    {"guestmem_write", "windows are not kept", make_ram_without_windows, write_across, 0},
    {"guestmem_fill", "no window", make_ram, fill_across, 0},
    {"guestmem_copy", "no window", make_ram, copy, 0},
    {"guestmem_copy", "from two", make_third_ram, copy_across, 0},
    {"guestmem_copy", "windows are not kept", make_ram_without_windows, copy, 0},
    {"guestmem_pointer", "no window", make_ram, point_at, 0},
};

const row_list_t rows_of_ram = {rows, sizeof(rows) / sizeof(rows[0])};
