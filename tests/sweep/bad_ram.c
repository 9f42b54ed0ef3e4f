/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Bad arguments of calls about RAM, and of access from the VMM. See bad.h. */

#include "bad.h"

static unsigned char buffer[16];

static int call_vm_ram_register(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    (void)b;
    return vm_ram_register(vm, row->size) != 0 ? 0 : -1;
}

static const bad_row_t rows_vm_ram_register[] = {
    {.what = "size 0", GUESTMEM_BAD_RANGE, 0, 0},
    {.what = "no room", GUESTMEM_NO_ADDRESS, 0, PAGE},
    {.what = "beyond all", GUESTMEM_NO_ADDRESS, 0, SIZE_MAX},
};

static int call_vm_ram_register_at(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    (void)b;
    return vm_ram_register_at(vm, row->addr, row->size, row->extra != 0);
}

static const bad_row_t rows_vm_ram_register_at[] = {
    {.what = "size 0", GUESTMEM_BAD_RANGE, BAD_EMPTY, 0},
    {.what = "wraps", GUESTMEM_BAD_RANGE, UINTPTR_MAX, 2},
    {.what = "overlaps RAM", GUESTMEM_OVERLAP, BAD_RAM + 3 * PAGE, 2 * PAGE},
    {.what = "overlaps a reservation", GUESTMEM_OVERLAP, BAD_FREE, 1},
    {.what = "shares a page", GUESTMEM_PAGE_SHARED, BAD_FREE + 8 * PAGE + 2048, 1},
    {.what = "in a region", GUESTMEM_OVERLAP, BAD_REGION, PAGE},
    {.what = "unreachable", GUESTMEM_BAD_RANGE, BAD_ABOVE + 64 * PAGE, PAGE},
    {.what = "half of it unreachable", GUESTMEM_OVERLAP, BAD_ABOVE - PAGE, 2 * PAGE},
    {.what = "no memory there", GUESTMEM_NO_FRAME, BAD_HIGH + 64 * PAGE, PAGE, 1},
    {.what = "the memory is in use", GUESTMEM_NO_FRAME, UART, 2 * PAGE, 1},
};

static int call_vm_ram_mark_allocated(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    int lines = b->scene.world.log_lines;
    vm_ram_mark_allocated(vm, row->addr, row->size);
    return b->scene.world.log_lines == lines ? 0 : -1;
}

#define BAD_RAM_RANGES                                                                             \
    {.what = "size 0", GUESTMEM_BAD_RANGE, BAD_RAM, 0},                                            \
        {.what = "wraps", GUESTMEM_BAD_RANGE, BAD_RAM, SIZE_MAX},                                  \
        {.what = "no RAM", GUESTMEM_NOT_RAM, BAD_EMPTY, PAGE},                                     \
        {.what = "mapped, but no RAM", GUESTMEM_NOT_RAM, BAD_MAPPED, PAGE},                        \
        {.what = "begins before RAM", GUESTMEM_NOT_RAM, BAD_RAM - 1, 2},                           \
    {                                                                                              \
        .what = "ends behind RAM", GUESTMEM_NOT_RAM, BAD_RAM + 3 * PAGE, PAGE + 1                  \
    }

static const bad_row_t rows_vm_ram_mark_allocated[] = {
    BAD_RAM_RANGES,
    {.what = "allocated", GUESTMEM_NOT_RAM, BAD_RAM + PAGE, PAGE},
    {.what = "half of it allocated", GUESTMEM_NOT_RAM, BAD_RAM, 2 * PAGE},
};

static int call_vm_ram_free(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    int lines = b->scene.world.log_lines;
    vm_ram_free(vm, row->addr, row->size);
    return b->scene.world.log_lines == lines ? 0 : -1;
}

static const bad_row_t rows_vm_ram_free[] = {
    BAD_RAM_RANGES,
    {.what = "free", GUESTMEM_NOT_RAM, BAD_RAM, PAGE},
    {.what = "half of it free", GUESTMEM_NOT_RAM, BAD_RAM + PAGE, 2 * PAGE},
};

static int call_vm_ram_allocate(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    (void)b;
    return vm_ram_allocate(vm, row->size) != 0 ? 0 : -1;
}

static const bad_row_t rows_vm_ram_allocate[] = {
    {.what = "size 0", GUESTMEM_BAD_RANGE, 0, 0},
    {.what = "no room", GUESTMEM_NO_ADDRESS, 0, 8 * PAGE},
    {.what = "beyond all", GUESTMEM_NO_ADDRESS, 0, SIZE_MAX},
};

static int call_vm_ram_find_largest_free_region(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    (void)b;
    uintptr_t addr = 77;
    size_t size = 77;
    int result = vm_ram_find_largest_free_region(vm, row->missing == MISSING_FIRST ? NULL : &addr,
                                                 row->missing == MISSING_SECOND ? NULL : &size);
    assert_true(addr == 77 && size == 77);
    return result;
}

static const bad_row_t rows_vm_ram_find_largest_free_region[] = {
    {.what = "no addr", .code = GUESTMEM_BAD_ARGUMENT, .missing = MISSING_FIRST},
    {.what = "no size", .code = GUESTMEM_BAD_ARGUMENT, .missing = MISSING_SECOND},
};

static int never_called(vm_t *vm, uintptr_t addr, void *page, size_t size, size_t offset,
                        void *cookie)
{
    (void)vm, (void)addr, (void)page, (void)size, (void)offset, (void)cookie;
    fail_msg("a touch that is refused calls back");
    return 0;
}

static int call_vm_ram_touch(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    return vm_ram_touch(vm, row->addr, row->size,
                        row->missing == MISSING_FIRST ? NULL : never_called, b);
}

static const bad_row_t rows_vm_ram_touch[] = {
    BAD_RAM_RANGES,
    {.what = "no callback", GUESTMEM_BAD_ARGUMENT, BAD_RAM, 1, .missing = MISSING_FIRST},
};

static int call_guestmem_access(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    return guestmem_access(vm, row->addr, row->size,
                           row->missing == MISSING_FIRST ? NULL : never_called, b);
}

static const bad_row_t rows_guestmem_access[] = {
    {.what = "size 0", GUESTMEM_BAD_RANGE, BAD_MAPPED, 0},
    {.what = "wraps", GUESTMEM_BAD_RANGE, BAD_MAPPED, SIZE_MAX},
    {.what = "nothing", GUESTMEM_NOT_MAPPED, BAD_EMPTY, 1},
    {.what = "emulated", GUESTMEM_NOT_MAPPED, BAD_FREE, 1},
    {.what = "ends behind the memory", GUESTMEM_NOT_MAPPED, BAD_MAPPED, 3 * PAGE},
    {.what = "begins before RAM", GUESTMEM_NOT_MAPPED, BAD_RAM - 1, 2},
    {.what = "no callback", GUESTMEM_BAD_ARGUMENT, BAD_MAPPED, 1, .missing = MISSING_FIRST},
};

static int call_guestmem_read(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    (void)b;
    return guestmem_read(vm, row->addr, row->missing == MISSING_FIRST ? NULL : buffer, row->size);
}

static const bad_row_t rows_guestmem_read[] = {
    BAD_RAM_RANGES,
    {.what = "no buffer", GUESTMEM_BAD_ARGUMENT, BAD_RAM, 1, .missing = MISSING_FIRST},
};

static int call_guestmem_write(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    (void)b;
    return guestmem_write(vm, row->addr, row->missing == MISSING_FIRST ? NULL : buffer, row->size);
}

static const bad_row_t rows_guestmem_write[] = {
    BAD_RAM_RANGES,
    {.what = "no buffer", GUESTMEM_BAD_ARGUMENT, BAD_RAM, 1, .missing = MISSING_FIRST},
};

static int call_guestmem_fill(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    (void)b;
    return guestmem_fill(vm, row->addr, 0x77, row->size);
}

static const bad_row_t rows_guestmem_fill[] = {BAD_RAM_RANGES};

static int call_guestmem_copy(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    (void)b;
    return guestmem_copy(vm, row->addr, row->extra != 0 ? row->extra : BAD_RAM, row->size);
}

static const bad_row_t rows_guestmem_copy[] = {
    BAD_RAM_RANGES,
    {.what = "from no RAM", GUESTMEM_NOT_RAM, BAD_RAM, 1, BAD_EMPTY},
    {.what = "from before RAM", GUESTMEM_NOT_RAM, BAD_RAM, 2, BAD_RAM - 1},
    {.what = "from behind RAM", GUESTMEM_NOT_RAM, BAD_RAM, PAGE, BAD_RAM + 4 * PAGE - 1},
    {.what = "the source wraps", GUESTMEM_BAD_RANGE, BAD_RAM, PAGE, UINTPTR_MAX},
};

static int call_guestmem_pointer(bad_scene_t *b, vm_t *vm, const bad_row_t *row)
{
    (void)b;
    size_t length;
    return guestmem_pointer(vm, row->addr, row->missing == MISSING_FIRST ? NULL : &length) != NULL
               ? 0
               : -1;
}

static const bad_row_t rows_guestmem_pointer[] = {
    {.what = "no length", GUESTMEM_BAD_ARGUMENT, BAD_RAM, .missing = MISSING_FIRST},
    {.what = "no RAM", GUESTMEM_NOT_RAM, BAD_EMPTY},
    {.what = "mapped, but no RAM", GUESTMEM_NOT_RAM, BAD_MAPPED},
    {.what = "behind RAM", GUESTMEM_NOT_RAM, BAD_RAM + 4 * PAGE},
    {.what = "the top", GUESTMEM_NOT_RAM, UINTPTR_MAX},
};

static const bad_entry_t entries[] = {
    BAD_ENTRY(vm_ram_register),       BAD_ENTRY(vm_ram_register_at),
    BAD_ENTRY(vm_ram_mark_allocated), BAD_ENTRY(vm_ram_free),
    BAD_ENTRY(vm_ram_allocate),       BAD_ENTRY(vm_ram_find_largest_free_region),
    BAD_ENTRY(vm_ram_touch),          BAD_ENTRY(guestmem_access),
    BAD_ENTRY(guestmem_read),         BAD_ENTRY(guestmem_write),
    BAD_ENTRY(guestmem_fill),         BAD_ENTRY(guestmem_copy),
    BAD_ENTRY(guestmem_pointer),
};

const bad_list_t bad_ram = {entries, sizeof(entries) / sizeof(entries[0])};
