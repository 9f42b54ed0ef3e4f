/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See scene.h. */

#include "scene.h"
#include <stdio.h>
#include <hosted/vm.h>
#include <vka/capops.h>
#include <vka/object.h>

/* Ranges that fill the records: a range_map's leaf has 8, its branch 32 leaves, and a slab of
 * reservations 64. Frames fill leaves only: the board has no memory for the tables of so many. */
#define FULL_RECORDS ((size_t)256)
#define FULL_RUNS    ((size_t)64)

/* The scene whose frames a simple_t hands out; its `data` is the system's. */
static _Thread_local scene_t *simple_scene;

static const char *const names[SCENE_NUM_KINDS] = {
    [SCENE_ALONE] = "alone",
    [SCENE_SMALL] = "alone, 4K",
    [SCENE_CROWDED] = "crowded",
    [SCENE_CROWDED_SMALL] = "crowded, 4K",
    [SCENE_FULL_RECORDS] = "full records",
    [SCENE_FULL_RUNS] = "full runs",
};

const char *scene_name(scene_kind_t kind)
{
    return names[kind];
}

bool scene_is_small(const scene_t *scene)
{
    return scene->kind != SCENE_ALONE && scene->kind != SCENE_CROWDED;
}

uintptr_t scene_span(const scene_t *scene, uintptr_t origin, size_t *size)
{
    *size = scene_is_small(scene) ? 6 * PAGE : 4 * MEGABYTE + 4 * PAGE;
    return origin + 2 * MEGABYTE - (scene_is_small(scene) ? 3 : 2) * PAGE;
}

vm_memory_reservation_t *scene_reserve(scene_t *scene, uintptr_t origin)
{
    size_t size;
    uintptr_t base = scene_span(scene, origin, &size);
    return world_reserve(&scene->world, base, size);
}

static void count_line(void *cookie, int level, const char *line)
{
    scene_t *scene = cookie;
    world_t *world = &scene->world;
    scene->misuse += strstr(line, "is not allocated") != NULL;
    if (level >= ZF_LOG_ERROR) {
        world->log_lines++;
        snprintf(world->log_line, sizeof(world->log_line), "%s", line);
    }
}

void scene_open(scene_t *scene)
{
    char error[256];
    memset(scene, 0, sizeof(*scene));
    scene->world.system = hosted_system_create_from_file(BOARD_DTB, error, sizeof(error));
    if (scene->world.system == NULL) {
        fail_msg("%s", error);
    }
    scene->world.fault_answer = FAULT_HANDLED;
    hosted_log_to(count_line, scene);
}

void scene_close(scene_t *scene)
{
    hosted_system_destroy(scene->world.system);
    hosted_log_to(NULL, NULL);
}

void scene_watch(scene_t *scene, vm_t *vm, uintptr_t gpa, void *page)
{
    assert_non_null(page);
    assert_true(scene->num_windows < sizeof(scene->windows) / sizeof(scene->windows[0]));
    scene->windows[scene->num_windows++] = (scene_window_t){vm, gpa, page};
}

static void map_page(scene_t *scene, vm_t *vm, uintptr_t addr, size_t size)
{
    vm_memory_reservation_t *reservation =
        vm_reserve_memory_at(vm, addr, size, record_fault, &scene->world);
    assert_non_null(reservation);
    assert_int_equal(map_frame_alloc_reservation(vm, reservation), 0);
}

/* Mapped and emulated neighbours of the span near `origin`, in the same tables. */
static void make_neighbours(scene_t *scene, uintptr_t origin)
{
    size_t size;
    vm_t *vm = &scene->world.vm;
    uintptr_t base = scene_span(scene, origin, &size);
    map_page(scene, vm, base - PAGE, PAGE);
    map_page(scene, vm, base + size, PAGE);
    world_reserve(&scene->world, base - 2 * PAGE, 16);
    world_reserve(&scene->world, base - 2 * PAGE + 16, 16);
    assert_int_equal(
        guestmem_name_reservation(vm, guestmem_find_reservation(vm, base - PAGE), "neighbour"), 0);
}

static int keep_pointer(vm_t *vm, uintptr_t gpa, void *page, size_t size, size_t offset,
                        void *cookie)
{
    scene_watch(cookie, vm, gpa, page);
    return 0;
}

/* RAM in several entries, with a window that is open. */
static void make_ram_list(scene_t *scene)
{
    vm_t *vm = &scene->world.vm;
    uintptr_t ram = GPA + 64 * MEGABYTE;
    assert_int_equal(vm_ram_register_at(vm, ram, 4 * PAGE, false), 0);
    assert_int_equal(vm_ram_register_at(vm, ram + 8 * PAGE, 4 * PAGE, false), 0);
    vm_ram_mark_allocated(vm, ram + PAGE, PAGE);
    vm_ram_mark_allocated(vm, ram + 8 * PAGE, 2 * PAGE);
    assert_int_equal(vm_ram_touch(vm, ram + 9 * PAGE, 1, keep_pointer, scene), 0);
}

static void make_other_vm(scene_t *scene, uintptr_t origin)
{
    size_t size;
    uintptr_t base = scene_span(scene, origin, &size);
    vm_t *vm = &scene->others[scene->num_others++];
    world_make_vm(&scene->world, vm);
    map_page(scene, vm, base, 2 * PAGE);
    scene_watch(scene, vm, base + 8 * MEGABYTE,
                create_allocated_reservation_frame(vm, base + 8 * MEGABYTE, seL4_CanRead,
                                                   record_fault, &scene->world));
}

static void crowd(scene_t *scene)
{
    uintptr_t addr;
    world_t *w = &scene->world;
    make_other_vm(scene, GPA);
    make_other_vm(scene, RAM_PADDR);
    make_neighbours(scene, GPA);
    make_neighbours(scene, RAM_PADDR);
    make_neighbours(scene, FLASH);
    make_ram_list(scene);
    scene_watch(scene, &w->vm, GPA + 96 * MEGABYTE,
                create_allocated_reservation_frame(&w->vm, GPA + 96 * MEGABYTE, seL4_AllRights,
                                                   record_fault, w));
    assert_int_equal(vm_memory_make_anon(&w->vm, GPA + 0x8000000, 4 * PAGE), 0);
    for (int i = 0; i < 2; i++) {
        assert_non_null(vm_reserve_anon_memory(&w->vm, 5000, PAGE, record_fault, w, &addr));
    }
}

void scene_make(scene_t *scene, scene_kind_t kind)
{
    scene->kind = kind;
    scene->num_others = 0;
    scene->num_windows = 0;
    scene->num_frames = 0;
    memset(&scene->fresh, 0, sizeof(scene->fresh));
    hosted_census_take(scene->world.system, &scene->before);
    world_make_vm(&scene->world, &scene->world.vm);
    if (scene_is_small(scene)) {
        assert_int_equal(guestmem_set_largest_frame(&scene->world.vm, 12), 0);
    }
    if (kind == SCENE_CROWDED || kind == SCENE_CROWDED_SMALL) {
        crowd(scene);
    }
}

void scene_fill(scene_t *scene)
{
    vm_t *vm = &scene->world.vm;
    guestmem_statistics_t have;
    assert_int_equal(guestmem_get_statistics(vm, &have), 0);
    /* Each in 1 GiB of its own, so that the tables of all levels are as many. */
    for (size_t i = 0; scene->kind == SCENE_FULL_RUNS && i < FULL_RUNS; i++) {
        assert_non_null(create_allocated_reservation_frame(
            vm, (uintptr_t)(8 + i) << 30, seL4_AllRights, record_fault, &scene->world));
    }
    for (size_t i = have.reservations; scene->kind == SCENE_FULL_RECORDS && i < FULL_RECORDS; i++) {
        world_reserve(&scene->world, ((uintptr_t)8 << 30) + i * PAGE, PAGE);
    }
}

void scene_unmake(scene_t *scene)
{
    vm_destroy(&scene->fresh);
    for (size_t i = 0; i < scene->num_others; i++) {
        vm_memory_destroy(&scene->others[i]);
    }
    vm_memory_destroy(&scene->world.vm);
    for (size_t i = 0; i < scene->num_frames; i++) {
        vka_free_object(hosted_vka(scene->world.system), &scene->frames[i]);
    }
    scene->num_frames = 0;
}

void scene_take_frames(scene_t *scene, size_t count, size_t size_bits, uintptr_t at)
{
    assert_true(scene->num_frames + count <= sizeof(scene->frames) / sizeof(scene->frames[0]));
    if (scene->num_frames == 0) {
        scene->frames_at = at;
    }
    for (size_t i = 0; i < count; i++) {
        scene->frames[scene->num_frames++] = world_frame(&scene->world, size_bits);
    }
}

/* A copy of the frame at that physical address, if it is one of the scene's. */
static seL4_Error copy_frame(void *data, void *paddr, int size_bits, cspacepath_t *path)
{
    const scene_t *scene = simple_scene;
    uintptr_t offset = (uintptr_t)paddr - scene->frames_at;
    size_t index = offset / (2 * PAGE);
    if (size_bits != 12 || offset % (2 * PAGE) != 0 || index >= scene->num_frames) {
        return seL4_FailedLookup;
    }
    cspacepath_t from;
    vka_cspace_make_path(scene->world.vm.vka, scene->frames[index].cptr, &from);
    return (seL4_Error)vka_cnode_copy(path, &from, seL4_AllRights);
}

void scene_use_simple(scene_t *scene)
{
    scene->frames_at = RAM_PADDR + 2 * MEGABYTE - 3 * PAGE;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(vka_alloc_frame_at(scene->world.vm.vka, 12,
                                            scene->frames_at + i * 2 * PAGE,
                                            &scene->frames[scene->num_frames]),
                         0);
        scene->num_frames++;
    }
    scene->simple = *hosted_simple(scene->world.system);
    scene->simple.frame_cap = copy_frame;
    scene->world.vm.simple = &scene->simple;
    simple_scene = scene;
}
