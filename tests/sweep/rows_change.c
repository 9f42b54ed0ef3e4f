/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Rows of calls that change memory while the guest runs, and of what comes of them. See row.h. */

#include <guestmem/change.h>
#include "row.h"

#define RAM_END                                                                                    \
    (GPA + 28 * MEGABYTE) /* of the first of two, with large frames if there are any               \
                           */

static size_t ram_bytes(const scene_t *s)
{
    return scene_is_small(s) ? 3 * PAGE : 2 * MEGABYTE + PAGE;
}

/* Frames of every size that the scene has, in several runs or, if they are small, in one. */
static void map_span(scene_t *s)
{
    assert_int_equal(map_frame_alloc_reservation(&s->world.vm, scene_reserve(s, GPA)), 0);
    scene_fill(s);
}

static void map_span_with_window(scene_t *s)
{
    char byte;
    size_t size;
    uintptr_t base = scene_span(s, GPA, &size);
    map_span(s);
    assert_int_equal(
        guestmem_access(&s->world.vm, base + 2 * PAGE, 1, vm_guest_ram_read_callback, &byte), 0);
}

static int discard_middle(scene_t *s)
{
    size_t size;
    uintptr_t base = scene_span(s, GPA, &size);
    return guestmem_discard(&s->world.vm, base + 1, size - 2, NULL);
}

static void discard_two(scene_t *s)
{
    size_t size;
    uintptr_t base = scene_span(s, GPA, &size);
    map_span(s);
    assert_int_equal(guestmem_discard(&s->world.vm, base + PAGE, size - 3 * PAGE, NULL), 0);
    assert_int_equal(guestmem_discard(&s->world.vm, base + size - PAGE, PAGE, NULL), 0);
}

static int populate(scene_t *s)
{
    size_t size;
    uintptr_t base = scene_span(s, GPA, &size);
    return guestmem_populate(&s->world.vm, base, size);
}

static int fault_at_discarded(scene_t *s)
{
    size_t size;
    uintptr_t gpa = scene_span(s, GPA, &size) + 2 * PAGE;
    return vm_memory_handle_fault(&s->world.vm, NULL, gpa, 8) == FAULT_RESTART ? 0 : -1;
}

static int protect_middle(scene_t *s)
{
    size_t size;
    uintptr_t base = scene_span(s, GPA, &size);
    return guestmem_protect(&s->world.vm, base + PAGE, size - 2 * PAGE, seL4_CanRead);
}

static int track(scene_t *s)
{
    return guestmem_track_written(&s->world.vm, row_reservation(s, GPA), GUESTMEM_TRACK_FRAMES);
}

static int track_no_more(scene_t *s)
{
    return guestmem_track_written(&s->world.vm, row_reservation(s, GPA), GUESTMEM_TRACK_NOTHING);
}

static void map_tracked(scene_t *s)
{
    map_span(s);
    assert_int_equal(track(s), 0);
}

static void write_two(scene_t *s)
{
    size_t size;
    uintptr_t base = scene_span(s, GPA, &size);
    map_tracked(s);
    assert_int_equal(vm_memory_handle_fault(&s->world.vm, NULL, base + PAGE, 4), FAULT_RESTART);
    assert_int_equal(vm_memory_handle_fault(&s->world.vm, NULL, base + 2 * PAGE, 4), FAULT_RESTART);
}

static int count(vm_t *vm, uintptr_t addr, size_t size, void *cookie)
{
    ++*(int *)cookie;
    return 0;
}

/* A report that failed has not begun. */
static int report(scene_t *s)
{
    int reported = 0;
    int error = guestmem_written(&s->world.vm, row_reservation(s, GPA), count, &reported);
    assert_int_equal(reported, error == 0 ? 2 : 0);
    return error;
}

/* Two RAM reservations side by side, without the page before and behind the place where they meet.
 */
static void discard_ram(scene_t *s)
{
    vm_t *vm = &s->world.vm;
    size_t size = ram_bytes(s);
    assert_int_equal(vm_ram_register_at(vm, RAM_END - size, size, false), 0);
    assert_int_equal(vm_ram_register_at(vm, RAM_END, size, false), 0);
    scene_fill(s);
    size = scene_is_small(s) ? PAGE : 2 * MEGABYTE;
    assert_int_equal(guestmem_discard(vm, RAM_END - size, size, NULL), 0);
    assert_int_equal(guestmem_discard(vm, RAM_END, size, NULL), 0);
}

static int read_discarded(scene_t *s)
{
    char bytes[16];
    return guestmem_read(&s->world.vm, RAM_END - 8, bytes, sizeof(bytes));
}

static int copy_discarded(scene_t *s)
{
    return guestmem_copy(&s->world.vm, RAM_END, RAM_END - 8, 8);
}

static int point_at_discarded(scene_t *s)
{
    return guestmem_pointer(&s->world.vm, RAM_END, 8) != NULL ? 0 : -1;
}

/* A second VM that has the span, of which a part is shared already. */
static void make_owner(scene_t *s)
{
    size_t size;
    uintptr_t base = scene_span(s, GPA, &size);
    vm_t *owner = &s->others[s->num_others++];
    world_make_vm(&s->world, owner);
    assert_int_equal(guestmem_set_largest_frame(owner, scene_is_small(s) ? 12 : 21), 0);
    vm_memory_reservation_t *reservation =
        vm_reserve_memory_at(owner, base, size, record_fault, &s->world);
    assert_non_null(reservation);
    assert_int_equal(map_frame_alloc_reservation(owner, reservation), 0);
    assert_non_null(guestmem_share(owner, base + size - 2 * PAGE, PAGE, owner,
                                   base + size + 16 * MEGABYTE, seL4_AllRights, record_fault,
                                   &s->world));
    scene_fill(s);
}

static int share_from(scene_t *s, vm_t *owner)
{
    size_t size;
    uintptr_t base = scene_span(s, GPA, &size);
    return guestmem_share(owner, base + PAGE, size - 2 * PAGE, &s->world.vm,
                          base + PAGE + 8 * MEGABYTE, seL4_CanRead, record_fault, &s->world) != NULL
               ? 0
               : -1;
}

static int share(scene_t *s)
{
    return share_from(s, &s->others[s->num_others - 1]);
}

static int share_in_one(scene_t *s)
{
    return share_from(s, &s->world.vm);
}

static void map_ram(scene_t *s)
{
    vm_t *vm = &s->world.vm;
    uint64_t word = 7;
    size_t size = ram_bytes(s);
    assert_int_equal(vm_ram_register_at(vm, RAM_END - size, size, false), 0);
    assert_int_equal(vm_ram_register_at(vm, RAM_END, size, false), 0);
    scene_fill(s);
    assert_int_equal(guestmem_write(vm, RAM_END - 4, &word, sizeof(word)), 0);
}

static int save(scene_t *s)
{
    return guestmem_save(&s->world.vm) != NULL ? 0 : -1;
}

static guestmem_saved_t *saved_state;

static void map_saved(scene_t *s)
{
    map_ram(s);
    saved_state = guestmem_save(&s->world.vm);
    assert_non_null(saved_state);
}

/* Written by the guest, with RAM freed that was allocated; and what was discarded comes again. */
static void change_saved(scene_t *s)
{
    vm_t *vm = &s->world.vm;
    map_ram(s);
    vm_ram_mark_allocated(vm, RAM_END, PAGE);
    saved_state = guestmem_save(vm);
    assert_non_null(saved_state);
    assert_int_equal(vm_memory_handle_fault(vm, NULL, RAM_END - PAGE, 4), FAULT_RESTART);
    vm_ram_free(vm, RAM_END, PAGE);
}

static void discard_saved(scene_t *s)
{
    size_t size = scene_is_small(s) ? PAGE : 2 * MEGABYTE;
    map_saved(s);
    assert_int_equal(guestmem_discard(&s->world.vm, RAM_END - size, size, NULL), 0);
    assert_int_equal(guestmem_discard(&s->world.vm, RAM_END, size, NULL), 0);
}

static int restore(scene_t *s)
{
    return guestmem_restore(&s->world.vm, saved_state);
}

static const row_t rows[] = {
    {"guestmem_discard", "no window", map_span, discard_middle, 0},
    {"guestmem_discard", "from a window", map_span_with_window, discard_middle, 0},
    {"guestmem_populate", "two gaps", discard_two, populate, 0},
    {"guestmem_protect", "", map_span, protect_middle, ROW_REMAPS},
    {"guestmem_protect", "tracked", write_two, protect_middle, ROW_REMAPS},
    {"guestmem_share", "", make_owner, share, ROW_MOVES_FRAMES},
    {"guestmem_share", "in one VM", map_span, share_in_one, ROW_MOVES_FRAMES},
    {"guestmem_track_written", "", map_span, track, ROW_REMAPS},
    {"guestmem_track_written", "no more", write_two, track_no_more, ROW_REMAPS},
    {"guestmem_written", "", write_two, report, ROW_REMAPS},
    {"vm_memory_handle_fault", "tracked", map_tracked, fault_at_discarded, ROW_REMAPS},
    {"vm_memory_handle_fault", "discarded", discard_two, fault_at_discarded, ROW_NOT_REPEATED},
    {"guestmem_read", "discarded", discard_ram, read_discarded, 0},
    {"guestmem_copy", "discarded", discard_ram, copy_discarded, 0},
    {"guestmem_pointer", "discarded", discard_ram, point_at_discarded, 0},
    {"guestmem_save", "", map_ram, save, ROW_REMAPS},
    {"guestmem_restore", "written", change_saved, restore, ROW_REMAPS},
    {"guestmem_restore", "discarded", discard_saved, restore, ROW_REMAPS},
};

const row_list_t rows_of_changes = {rows, sizeof(rows) / sizeof(rows[0])};
