/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Access to guest memory from the VMM. All windows that a range needs are opened before the first
 * call back, so that a touch that fails for want of one has changed nothing: those that this touch
 * opened carry its number, and are closed again.
 */

#include <inttypes.h>
#include <string.h>
#include <guestmem/memory.h>
#include "ram_list.h"
#include "reservations.h"

int vm_guest_ram_read_callback(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size,
                               size_t offset, void *buf)
{
    (void)vm;
    (void)guest_addr;
    memcpy((char *)buf + offset, vaddr, size);
    return 0;
}

int vm_guest_ram_write_callback(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size,
                                size_t offset, void *buf)
{
    (void)vm;
    (void)guest_addr;
    memcpy(vaddr, (const char *)buf + offset, size);
    return 0;
}

/* The mapping that holds `gpa`, or NULL. */
static guest_mapping_t *mapping_at(const vm_memory_t *memory, uintptr_t gpa)
{
    const vm_memory_reservation_t *reservation = reservations_find(memory, gpa);
    return reservation != NULL ? reservation->mapping : NULL;
}

/* Close the windows of `[base, last]` that the current touch opened. */
static void close_opened(vm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    range_map_entry_t entry;
    while (range_map_overlap(&memory->reservations, base, last, &entry)) {
        guest_mapping_t *mapping = ((vm_memory_reservation_t *)entry.value)->mapping;
        if (mapping != NULL && mapping->touch == memory->touch) {
            vmm_window_close(memory, &mapping->window, mapping->first, mapping->last);
            mapping->touch = 0;
        }
        if (entry.last >= last) {
            return;
        }
        base = entry.last + 1;
    }
}

static int open_window(vm_memory_t *memory, uintptr_t gpa, uintptr_t *mapping_last)
{
    const vm_memory_reservation_t *reservation = reservations_find(memory, gpa);
    if (reservation == NULL || reservation->mapping == NULL) {
        return memory_blame(memory, GUESTMEM_NOT_MAPPED,
                            "GPA 0x%" PRIxPTR " is in no mapped reservation", gpa);
    }
    guest_mapping_t *mapping = reservation->mapping;
    *mapping_last = reservation->last;
    if (mapping->window.base != NULL) {
        return 0;
    }
    if (vmm_window_open(memory, &mapping->window, mapping->first, mapping->last) != 0) {
        return -1;
    }
    mapping->touch = memory->touch;
    return 0;
}

static int open_windows(vm_memory_t *memory, uintptr_t base, uintptr_t last)
{
    uintptr_t gpa = base;
    memory->touch++;
    for (;;) {
        uintptr_t mapping_last = last;
        if (open_window(memory, gpa, &mapping_last) != 0) {
            close_opened(memory, base, last);
            return -1;
        }
        if (mapping_last >= last) {
            return 0;
        }
        gpa = mapping_last + 1;
    }
}

/* Call back for each page; windows are open. The callback may reserve and map elsewhere. */
static int touch_pages(vm_memory_t *memory, uintptr_t base, uintptr_t last,
                       ram_touch_callback_fn touch_callback, void *cookie)
{
    uintptr_t gpa = base;
    for (;;) {
        const guest_mapping_t *mapping = mapping_at(memory, gpa);
        uintptr_t page_last = gpa | (ARCH_PAGE_SIZE - 1);
        uintptr_t piece_last = page_last < last ? page_last : last;
        int result = touch_callback(memory->vm, gpa, mapping->window.base + (gpa - mapping->first),
                                    piece_last - gpa + 1, gpa - base, cookie);
        if (result != 0 || piece_last == last) {
            return result;
        }
        gpa = piece_last + 1;
    }
}

/* The touch of the public functions; `last` is set even where it fails. */
static int check_touch(vm_memory_t *memory, uintptr_t addr, size_t size, uintptr_t *last,
                       ram_touch_callback_fn touch_callback)
{
    *last = addr;
    if (!memory_check_range(memory, addr, size, last)) {
        return -1;
    }
    if (touch_callback == NULL) {
        return memory_blame(memory, GUESTMEM_BAD_ARGUMENT, "the touch callback is NULL; give one");
    }
    return 0;
}

int vm_ram_touch(vm_t *vm, uintptr_t addr, size_t size, ram_touch_callback_fn touch_callback,
                 void *cookie)
{
    uintptr_t last;
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (check_touch(memory, addr, size, &last, touch_callback) != 0) {
        return memory_report(memory, __func__, addr, last);
    }
    if (!ram_list_is_ram(memory, addr, last)) {
        memory_blame(memory, GUESTMEM_NOT_RAM,
                     "the range is not all RAM; register it with vm_ram_register_at()");
        return memory_report(memory, __func__, addr, last);
    }
    if (open_windows(memory, addr, last) != 0) {
        return memory_report(memory, __func__, addr, last);
    }
    return touch_pages(memory, addr, last, touch_callback, cookie);
}

int guestmem_access(vm_t *vm, uintptr_t addr, size_t size, ram_touch_callback_fn touch_callback,
                    void *cookie)
{
    uintptr_t last;
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (check_touch(memory, addr, size, &last, touch_callback) != 0 ||
        open_windows(memory, addr, last) != 0) {
        return memory_report(memory, __func__, addr, last);
    }
    return touch_pages(memory, addr, last, touch_callback, cookie);
}
