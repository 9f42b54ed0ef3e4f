/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Bad arguments of calls that make, free, and describe reservations, and set policy. See bad.h. */

#include "bad.h"

static memory_fault_callback_fn callback(const bad_row_t *row)
{
    return row->missing == MISSING_FIRST ? NULL : record_fault;
}

static int call_vm_reserve_memory_at(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    return vm_reserve_memory_at(vm, row->addr, row->size, callback(row), b) != NULL ? 0 : -1;
}

static const bad_row_t rows_vm_reserve_memory_at[] = {
    {.what = "no callback", GUESTMEM_BAD_ARGUMENT, BAD_EMPTY, PAGE, .missing = MISSING_FIRST},
    {.what = "size 0", GUESTMEM_BAD_RANGE, BAD_EMPTY, 0},
    {.what = "size 0 at the top", GUESTMEM_BAD_RANGE, UINTPTR_MAX, 0},
    {.what = "wraps by a byte", GUESTMEM_BAD_RANGE, UINTPTR_MAX, 2},
    {.what = "wraps far", GUESTMEM_BAD_RANGE, BAD_EMPTY, SIZE_MAX},
    {.what = "all but one byte", GUESTMEM_OVERLAP, 0, SIZE_MAX},
    {.what = "first byte of another", GUESTMEM_OVERLAP, BAD_FREE - 1, 2},
    {.what = "last byte of another", GUESTMEM_OVERLAP, BAD_FREE + 6 * PAGE - 1, 2},
    {.what = "around another", GUESTMEM_OVERLAP, BAD_FREE - PAGE, 8 * PAGE},
    {.what = "inside another", GUESTMEM_OVERLAP, BAD_FREE + PAGE, 1},
    {.what = "a page of a mapped one", GUESTMEM_PAGE_SHARED, BAD_MAPPED + 3 * PAGE - 4, 2},
    {.what = "in a region", GUESTMEM_OVERLAP, BAD_REGION + 4 * PAGE - 1, 1},
    {.what = "last byte in a region", GUESTMEM_OVERLAP, BAD_REGION - PAGE, PAGE + 1},
};

static int call_vm_reserve_anon_memory(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    uintptr_t addr = 77;
    vm_memory_reservation_t *made = vm_reserve_anon_memory(
        vm, row->size, row->extra, callback(row), b, row->missing == MISSING_SECOND ? NULL : &addr);
    assert_int_equal(addr, 77);
    return made != NULL ? 0 : -1;
}

static const bad_row_t rows_vm_reserve_anon_memory[] = {
    {.what = "no callback", GUESTMEM_BAD_ARGUMENT, 0, 1, 1, .missing = MISSING_FIRST},
    {.what = "no addr", GUESTMEM_BAD_ARGUMENT, 0, 1, 1, .missing = MISSING_SECOND},
    {.what = "size 0", GUESTMEM_BAD_RANGE, 0, 0, 1},
    {.what = "align 0", GUESTMEM_BAD_ARGUMENT, 0, 1, 0},
    {.what = "align 3", GUESTMEM_BAD_ARGUMENT, 0, 1, 3},
    {.what = "align no power of two", GUESTMEM_BAD_ARGUMENT, 0, 1, PAGE + 8},
    {.what = "align of all bits", GUESTMEM_BAD_ARGUMENT, 0, 1, SIZE_MAX},
    {.what = "no page left", GUESTMEM_NO_ADDRESS, 0, 1, 1},
    {.what = "align beyond all", GUESTMEM_NO_ADDRESS, 0, 1, (size_t)1 << 63},
    {.what = "size beyond all", GUESTMEM_NO_ADDRESS, 0, SIZE_MAX, 1},
    {.what = "size that rounds to 0", GUESTMEM_NO_ADDRESS, 0, SIZE_MAX - 4, 1},
};

static int call_vm_memory_make_anon(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    (void)b;
    return vm_memory_make_anon(vm, row->addr, row->size);
}

static const bad_row_t rows_vm_memory_make_anon[] = {
    {.what = "size 0", GUESTMEM_BAD_RANGE, BAD_EMPTY, 0},
    {.what = "wraps", GUESTMEM_BAD_RANGE, BAD_EMPTY, SIZE_MAX},
    {.what = "over a reservation", GUESTMEM_OVERLAP, BAD_FREE + PAGE, 1},
    {.what = "over a region", GUESTMEM_OVERLAP, BAD_REGION, PAGE},
    {.what = "all there is", GUESTMEM_OVERLAP, 0, SIZE_MAX},
};

static int call_vm_free_reserved_memory(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    return vm_free_reserved_memory(vm, b->handles[row->handle]);
}

static const bad_row_t rows_vm_free_reserved_memory[] = {BAD_HANDLES};

static int call_guestmem_next_reservation(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    return guestmem_next_reservation(vm, b->handles[row->handle]) != NULL ? 0 : -1;
}

/* NULL is the first one's predecessor here. */
static const bad_row_t rows_guestmem_next_reservation[] = {
    {.what = "another VM's", .code = GUESTMEM_NO_RESERVATION, .handle = HANDLE_FOREIGN},
};

static int call_guestmem_reservation_info(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    guestmem_reservation_info_t info;
    return guestmem_reservation_info(vm, b->handles[row->handle],
                                     row->missing == MISSING_FIRST ? NULL : &info);
}

static const bad_row_t rows_guestmem_reservation_info[] = {
    BAD_HANDLES,
    {.what = "no info", .code = GUESTMEM_BAD_ARGUMENT, .missing = MISSING_FIRST},
};

static int call_guestmem_name_reservation(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    return guestmem_name_reservation(vm, b->handles[row->handle], "a name");
}

static const bad_row_t rows_guestmem_name_reservation[] = {BAD_HANDLES};

static int call_guestmem_get_statistics(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    (void)b;
    (void)row;
    return guestmem_get_statistics(vm, NULL);
}

static const bad_row_t rows_guestmem_get_statistics[] = {{.what = "NULL", GUESTMEM_BAD_ARGUMENT}};

static int call_guestmem_set_map_time(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    (void)b;
    return guestmem_set_map_time(vm, (guestmem_map_time_t)row->extra);
}

static const bad_row_t rows_guestmem_set_map_time[] = {
    {.what = "one too many", GUESTMEM_BAD_ARGUMENT, .extra = GUESTMEM_MAP_ON_FAULT + 1},
    {.what = "all bits", GUESTMEM_BAD_ARGUMENT, .extra = UINT32_MAX},
};

static int call_guestmem_set_windows(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    (void)b;
    return guestmem_set_windows(vm, (guestmem_windows_t)row->extra);
}

static const bad_row_t rows_guestmem_set_windows[] = {
    {.what = "one too many", GUESTMEM_BAD_ARGUMENT, .extra = GUESTMEM_WINDOWS_NONE + 1},
    {.what = "all bits", GUESTMEM_BAD_ARGUMENT, .extra = UINT32_MAX},
};

static int call_guestmem_set_largest_frame(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    (void)b;
    return guestmem_set_largest_frame(vm, row->extra);
}

static const bad_row_t rows_guestmem_set_largest_frame[] = {
    {.what = "0", GUESTMEM_BAD_ARGUMENT, .extra = 0},
    {.what = "13", GUESTMEM_BAD_ARGUMENT, .extra = 13},
    {.what = "64", GUESTMEM_BAD_ARGUMENT, .extra = 64},
    {.what = "12 of more bits than a byte", GUESTMEM_BAD_ARGUMENT, .extra = 256 + 12},
};

static int call_guestmem_set_reservation_largest_frame(bad_scene_t *b, vm_t *vm,
                                                       const bad_row_t *row)
{
    return guestmem_set_reservation_largest_frame(vm, b->handles[row->handle],
                                                  row->handle == HANDLE_FREE ? row->extra : 12);
}

static const bad_row_t rows_guestmem_set_reservation_largest_frame[] = {
    BAD_HANDLES,
    {.what = "0", GUESTMEM_BAD_ARGUMENT, .extra = 0},
    {.what = "13", GUESTMEM_BAD_ARGUMENT, .extra = 13},
    {.what = "256 + 12", GUESTMEM_BAD_ARGUMENT, .extra = 256 + 12},
};

static const bad_entry_t entries[] = {
    BAD_ENTRY(vm_reserve_memory_at),       BAD_ENTRY(vm_reserve_anon_memory),
    BAD_ENTRY(vm_memory_make_anon),        BAD_ENTRY(vm_free_reserved_memory),
    BAD_ENTRY(guestmem_next_reservation),  BAD_ENTRY(guestmem_reservation_info),
    BAD_ENTRY(guestmem_name_reservation),  BAD_ENTRY(guestmem_get_statistics),
    BAD_ENTRY(guestmem_set_map_time),      BAD_ENTRY(guestmem_set_windows),
    BAD_ENTRY(guestmem_set_largest_frame), BAD_ENTRY(guestmem_set_reservation_largest_frame),
};

const bad_list_t bad_reservations = {entries, sizeof(entries) / sizeof(entries[0])};
