/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The public calls that let a callback touch guest memory page by page. */

#include <string.h>
#include <guestmem/memory.h>
#include "guest_access.h"

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

/* The callback of a touch. */
typedef struct touch {
    ram_touch_callback_fn callback;
    void *cookie;
} touch_t;

static int touch_piece(vm_memory_t *memory, uintptr_t gpa, char *pointer, size_t size,
                       size_t offset, void *cookie)
{
    const touch_t *touch = cookie;
    return touch->callback(memory->vm, gpa, pointer, size, offset, touch->cookie);
}

/* Touch a range for the public function of that name. */
static int touch_range(vm_t *vm, uintptr_t addr, size_t size, access_scope_t scope, touch_t *touch,
                       const char *function)
{
    int answer = 0;
    uintptr_t last = addr;
    vm_memory_t *memory = memory_of(vm, function);
    if (memory == NULL) {
        return -1;
    }
    if (!memory_check_range(memory, addr, size, &last)) {
        return memory_report(memory, function, addr, last);
    }
    if (touch->callback == NULL) {
        memory_blame(memory, GUESTMEM_BAD_ARGUMENT, "the touch callback is NULL; give one");
        return memory_report(memory, function, addr, last);
    }
    if (guest_access_each(memory, addr, last, scope, ACCESS_BY_PAGE, touch_piece, touch, &answer) !=
        0) {
        return memory_report(memory, function, addr, last);
    }
    return answer;
}

int vm_ram_touch(vm_t *vm, uintptr_t addr, size_t size, ram_touch_callback_fn touch_callback,
                 void *cookie)
{
    touch_t touch = {touch_callback, cookie};
    return touch_range(vm, addr, size, ACCESS_RAM, &touch, __func__);
}

int guestmem_access(vm_t *vm, uintptr_t addr, size_t size, ram_touch_callback_fn touch_callback,
                    void *cookie)
{
    touch_t touch = {touch_callback, cookie};
    return touch_range(vm, addr, size, ACCESS_MAPPED, &touch, __func__);
}
