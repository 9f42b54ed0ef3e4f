/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Bad arguments of calls that map, and bad frames. See bad.h. */

#include "bad.h"

/* What an iterator of a row answers from. */
typedef struct hand_out {
    const scene_t *scene;
    frame_fault_t fault;
} hand_out_t;

static seL4_CPtr frame_for(const hand_out_t *out, size_t index)
{
    switch (out->fault) {
    case FRAME_NULL:
        return index == 2 ? seL4_CapNull : out->scene->frames[index].cptr;
    case FRAME_NO_CAP:
        return index == 2 ? seL4_CapInitThreadTCB : out->scene->frames[index].cptr;
    case FRAME_TWICE:
        return out->scene->frames[index == 2 ? 1 : index].cptr;
    case FRAME_IN_USE:
        return index == 2 ? out->scene->frames[6].cptr : out->scene->frames[index].cptr;
    default:
        return out->scene->frames[index].cptr;
    }
}

static vm_frame_t next_frame(uintptr_t addr, void *cookie)
{
    const hand_out_t *out = cookie;
    size_t index = (addr & (8 * PAGE - 1)) / PAGE;
    vm_frame_t frame = {frame_for(out, index), seL4_AllRights, addr, 12};
    if (index != 2) {
        return frame;
    }
    switch (out->fault) {
    case FRAME_SIZE_0:
        frame.size_bits = 0;
        break;
    case FRAME_SIZE_13:
        frame.size_bits = 13;
        break;
    case FRAME_SIZE_64:
        frame.size_bits = 64;
        break;
    case FRAME_MISALIGNED:
        frame.vaddr += 8;
        break;
    case FRAME_ELSEWHERE:
        frame.vaddr += PAGE;
        break;
    case FRAME_TOO_LARGE:
        frame.size_bits = 21;
        frame.vaddr &= ~(2 * MEGABYTE - 1);
        break;
    default:
        break;
    }
    return frame;
}

static memory_map_iterator_fn iterator(const bad_row_t *row)
{
    return row->frame == FRAME_NO_ITERATOR ? NULL : next_frame;
}

#define BAD_FRAMES                                                                                 \
    {.what = "no iterator", .code = GUESTMEM_BAD_ARGUMENT, .frame = FRAME_NO_ITERATOR},            \
        {.what = "no frame", .code = GUESTMEM_NO_FRAME, .frame = FRAME_NULL},                      \
        {.what = "size 0", .code = GUESTMEM_BAD_FRAME, .frame = FRAME_SIZE_0},                     \
        {.what = "size 13", .code = GUESTMEM_BAD_FRAME, .frame = FRAME_SIZE_13},                   \
        {.what = "size 64", .code = GUESTMEM_BAD_FRAME, .frame = FRAME_SIZE_64},                   \
        {.what = "misaligned", .code = GUESTMEM_BAD_FRAME, .frame = FRAME_MISALIGNED},             \
        {.what = "elsewhere", .code = GUESTMEM_BAD_FRAME, .frame = FRAME_ELSEWHERE},               \
        {.what = "too large", .code = GUESTMEM_BAD_FRAME, .frame = FRAME_TOO_LARGE},               \
        {.what = "no capability", .code = GUESTMEM_KERNEL, .frame = FRAME_NO_CAP},                 \
        {.what = "twice", .code = GUESTMEM_KERNEL, .frame = FRAME_TWICE},                          \
    {                                                                                              \
        .what = "in use", .code = GUESTMEM_KERNEL, .frame = FRAME_IN_USE                           \
    }

static int call_vm_map_reservation(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    hand_out_t out = {&b->scene, row->frame};
    return vm_map_reservation(vm, b->handles[row->handle], iterator(row), &out);
}

static const bad_row_t rows_vm_map_reservation[] = {BAD_HANDLES, BAD_TO_MAP, BAD_FRAMES};

static int call_vm_ram_register_at_custom_iterator(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    hand_out_t out = {&b->scene, row->frame};
    uintptr_t addr = row->addr != 0 ? row->addr : BAD_EMPTY;
    size_t size = row->addr != 0 ? row->size : 6 * PAGE;
    return vm_ram_register_at_custom_iterator(vm, addr, size, iterator(row), &out);
}

static const bad_row_t rows_vm_ram_register_at_custom_iterator[] = {
    BAD_FRAMES,
    {.what = "size 0", GUESTMEM_BAD_RANGE, BAD_EMPTY, 0},
    {.what = "wraps", GUESTMEM_BAD_RANGE, BAD_EMPTY, SIZE_MAX},
    {.what = "overlaps", GUESTMEM_OVERLAP, BAD_FREE, PAGE},
    {.what = "unreachable", GUESTMEM_BAD_RANGE, BAD_ABOVE + 64 * PAGE, PAGE},
};

static int call_vm_map_reservation_frames(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    hand_out_t out = {&b->scene, row->frame};
    seL4_CPtr caps[6];
    for (size_t i = 0; i < 6; i++) {
        caps[i] = frame_for(&out, i);
    }
    size_t size_bits = row->frame == FRAME_SIZE_0       ? 0
                       : row->frame == FRAME_SIZE_13    ? 13
                       : row->frame == FRAME_SIZE_64    ? 64
                       : row->frame == FRAME_MISALIGNED ? 21
                                                        : 12;
    return vm_map_reservation_frames(vm, b->handles[row->handle],
                                     row->frame == FRAME_NO_ITERATOR ? NULL : caps,
                                     row->frame == FRAME_TOO_FEW ? row->extra : 6, size_bits);
}

static const bad_row_t rows_vm_map_reservation_frames[] = {
    BAD_HANDLES,
    BAD_TO_MAP,
    {.what = "no array", .code = GUESTMEM_BAD_ARGUMENT, .frame = FRAME_NO_ITERATOR},
    {.what = "a null frame", .code = GUESTMEM_NO_FRAME, .frame = FRAME_NULL},
    {.what = "size 0", .code = GUESTMEM_BAD_ARGUMENT, .frame = FRAME_SIZE_0},
    {.what = "size 13", .code = GUESTMEM_BAD_ARGUMENT, .frame = FRAME_SIZE_13},
    {.what = "size 64", .code = GUESTMEM_BAD_ARGUMENT, .frame = FRAME_SIZE_64},
    {.what = "misaligned", .code = GUESTMEM_BAD_FRAME, .frame = FRAME_MISALIGNED},
    {.what = "no capability", .code = GUESTMEM_KERNEL, .frame = FRAME_NO_CAP},
    {.what = "twice", .code = GUESTMEM_KERNEL, .frame = FRAME_TWICE},
    {.what = "in use", .code = GUESTMEM_KERNEL, .frame = FRAME_IN_USE},
    {.what = "none", .code = GUESTMEM_NO_FRAME, .frame = FRAME_TOO_FEW},
    {.what = "one too few", .code = GUESTMEM_NO_FRAME, .extra = 5, .frame = FRAME_TOO_FEW},
};

static int call_map_frame_alloc_reservation(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    return map_frame_alloc_reservation(vm, b->handles[row->handle]);
}

static const bad_row_t rows_map_frame_alloc_reservation[] = {BAD_HANDLES, BAD_TO_MAP};

static int call_map_maybe_device_reservation(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    return map_maybe_device_reservation(vm, b->handles[row->handle]);
}

static const bad_row_t rows_map_maybe_device_reservation[] = {BAD_HANDLES, BAD_TO_MAP};

static int call_map_ut_alloc_reservation(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    return map_ut_alloc_reservation(vm, b->handles[row->handle]);
}

static const bad_row_t rows_map_ut_alloc_reservation[] = {
    BAD_HANDLES,
    BAD_TO_MAP,
    {.what = "no memory there", .code = GUESTMEM_NO_FRAME, .handle = HANDLE_HIGH},
};

static int call_map_ut_alloc_reservation_with_base_paddr(bad_scene_t *b, vm_t *vm,
                                                         const bad_row_t *row)
{
    return map_ut_alloc_reservation_with_base_paddr(vm, row->addr, b->handles[row->handle]);
}

static const bad_row_t rows_map_ut_alloc_reservation_with_base_paddr[] = {
    BAD_HANDLES,
    {.what = "mapped", GUESTMEM_ALREADY_MAPPED, RAM_PADDR, .handle = HANDLE_MAPPED},
    {.what = "unreachable", GUESTMEM_BAD_RANGE, RAM_PADDR, .handle = HANDLE_ABOVE},
    {.what = "shares a page", GUESTMEM_PAGE_SHARED, RAM_PADDR + 16, .handle = HANDLE_SHARED},
    {.what = "misaligned by a byte", GUESTMEM_MISALIGNED, RAM_PADDR + 1},
    {.what = "misaligned by half a page", GUESTMEM_MISALIGNED, RAM_PADDR + PAGE / 2},
    {.what = "wraps", GUESTMEM_BAD_RANGE, ~(PAGE - 1)},
    {.what = "no memory there", GUESTMEM_NO_FRAME, BAD_HIGH},
    {.what = "no memory behind the first page", GUESTMEM_NO_FRAME, UART},
};

/* The page that a row is about; a good one where it says nothing. */
static uintptr_t page_of(const bad_row_t *row, uintptr_t good)
{
    return row->addr != 0 ? row->addr : good;
}

static memory_fault_callback_fn callback(const bad_row_t *row)
{
    return row->missing == MISSING_FIRST ? NULL : record_fault;
}

static int call_create_allocated_reservation_frame(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    return create_allocated_reservation_frame(vm, page_of(row, BAD_EMPTY), seL4_AllRights,
                                              callback(row), b) != NULL
               ? 0
               : -1;
}

#define BAD_PAGES                                                                                  \
    {.what = "no callback", .code = GUESTMEM_BAD_ARGUMENT, .missing = MISSING_FIRST},              \
        {.what = "misaligned", GUESTMEM_MISALIGNED, BAD_EMPTY + 8},                                \
        {.what = "at the top", GUESTMEM_MISALIGNED, UINTPTR_MAX},                                  \
        {.what = "overlaps", GUESTMEM_OVERLAP, BAD_FREE + PAGE},                                   \
        {.what = "overlaps at its end", GUESTMEM_OVERLAP, BAD_MAPPED + 2 * PAGE},                  \
        {.what = "in a region", GUESTMEM_OVERLAP, BAD_REGION + 4 * PAGE - PAGE},                   \
        {.what = "unreachable", GUESTMEM_BAD_RANGE, BAD_ABOVE + 64 * PAGE},                        \
    {                                                                                              \
        .what = "unreachable, the last", GUESTMEM_BAD_RANGE, ~(PAGE - 1)                           \
    }

static const bad_row_t rows_create_allocated_reservation_frame[] = {BAD_PAGES};

static int call_create_device_reservation_frame(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    return create_device_reservation_frame(vm, page_of(row, UART + 0x10000), seL4_AllRights,
                                           callback(row), b) != NULL
               ? 0
               : -1;
}

static const bad_row_t rows_create_device_reservation_frame[] = {
    BAD_PAGES,
    {.what = "no device there", GUESTMEM_NO_FRAME, BAD_HIGH + 64 * PAGE},
};

static int call_vm_memory_handle_fault(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    (void)b;
    return vm_memory_handle_fault(vm, NULL, row->addr, row->size) == FAULT_ERROR ? -1 : 0;
}

static const bad_row_t rows_vm_memory_handle_fault[] = {
    {.what = "crosses the end", GUESTMEM_BAD_RANGE, BAD_FREE + 6 * PAGE - 4, 8},
    {.what = "by a byte", GUESTMEM_BAD_RANGE, BAD_FREE + 6 * PAGE - 1, 2},
    {.what = "wraps", GUESTMEM_BAD_RANGE, BAD_FREE, SIZE_MAX},
};

static const bad_entry_t entries[] = {
    BAD_ENTRY(vm_map_reservation),
    BAD_ENTRY(vm_map_reservation_frames),
    BAD_ENTRY(vm_ram_register_at_custom_iterator),
    BAD_ENTRY(map_frame_alloc_reservation),
    BAD_ENTRY(map_maybe_device_reservation),
    BAD_ENTRY(map_ut_alloc_reservation),
    BAD_ENTRY(map_ut_alloc_reservation_with_base_paddr),
    BAD_ENTRY(create_allocated_reservation_frame),
    BAD_ENTRY(create_device_reservation_frame),
    BAD_ENTRY(vm_memory_handle_fault),
};

const bad_list_t bad_mapping = {entries, sizeof(entries) / sizeof(entries[0])};
