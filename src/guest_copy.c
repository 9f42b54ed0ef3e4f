/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The public calls that move bytes of guest RAM. An access to the window that was used last is a
 * comparison and a copy.
 */

#include <string.h>
#include <guestmem/memory.h>
#include "guest_access.h"
#include "ram_list.h"

/* Bytes that are moved at a time where a copy overlaps itself or has no windows. */
#define BOUNCE_BYTES 1024

static int read_piece(vm_memory_t *memory, uintptr_t gpa, char *pointer, size_t size, size_t offset,
                      void *cookie)
{
    (void)memory;
    (void)gpa;
    memcpy((char *)cookie + offset, pointer, size);
    return 0;
}

static int write_piece(vm_memory_t *memory, uintptr_t gpa, char *pointer, size_t size,
                       size_t offset, void *cookie)
{
    (void)memory;
    (void)gpa;
    memcpy(pointer, *(const char **)cookie + offset, size);
    return 0;
}

static int fill_piece(vm_memory_t *memory, uintptr_t gpa, char *pointer, size_t size, size_t offset,
                      void *cookie)
{
    (void)memory;
    (void)gpa;
    (void)offset;
    memset(pointer, *(const uint8_t *)cookie, size);
    return 0;
}

/* Access RAM by pieces. @return -1 with the cause blamed */
static int access_ram(vm_memory_t *memory, uintptr_t addr, size_t size, access_fn access,
                      void *cookie)
{
    int answer;
    uintptr_t last;
    return memory_check_range(memory, addr, size, &last)
               ? guest_access_each(memory, addr, last, ACCESS_RAM, ACCESS_BY_WINDOW, access, cookie,
                                   &answer)
               : -1;
}

/* The last address of a range for a report. */
static uintptr_t reported_last(uintptr_t addr, size_t size)
{
    uintptr_t last;
    return size == 0 ? addr : __builtin_add_overflow(addr, size - 1, &last) ? UINTPTR_MAX : last;
}

/* Access RAM for the public function of that name; `buffer` must not be NULL. */
static int access_or_report(vm_t *vm, uintptr_t addr, size_t size, access_fn access,
                            const void *buffer, void *cookie, const char *function)
{
    vm_memory_t *memory = memory_of(vm, function);
    if (memory == NULL) {
        return -1;
    }
    if (buffer == NULL) {
        memory_blame(memory, GUESTMEM_BAD_ARGUMENT, "the buffer is NULL; give one");
    } else if (access_ram(memory, addr, size, access, cookie) == 0) {
        return 0;
    }
    return memory_report(memory, function, addr, reported_last(addr, size));
}

/* The window that was used last, if the VM is one and the range lies in it. */
static inline char *recent_pointer(const vm_t *vm, uintptr_t addr, size_t size)
{
    return vm != NULL && vm->mem.reservation_cookie != NULL
               ? guest_access_recent(vm->mem.reservation_cookie, addr, size)
               : NULL;
}

int guestmem_read(vm_t *vm, uintptr_t addr, void *buffer, size_t size)
{
    const char *pointer = recent_pointer(vm, addr, size);
    if (pointer != NULL && buffer != NULL) {
        memcpy(buffer, pointer, size);
        return 0;
    }
    return access_or_report(vm, addr, size, read_piece, buffer, buffer, __func__);
}

int guestmem_write(vm_t *vm, uintptr_t addr, const void *buffer, size_t size)
{
    char *pointer = recent_pointer(vm, addr, size);
    if (pointer != NULL && buffer != NULL) {
        memcpy(pointer, buffer, size);
        return 0;
    }
    return access_or_report(vm, addr, size, write_piece, buffer, &buffer, __func__);
}

int guestmem_fill(vm_t *vm, uintptr_t addr, uint8_t byte, size_t size)
{
    return access_or_report(vm, addr, size, fill_piece, &byte, &byte, __func__);
}

/* Copy by way of a buffer, from the end if the target begins inside the source. Without windows
 * it can end half-way. */
static int copy_bounced(vm_memory_t *memory, uintptr_t to, uintptr_t from, size_t size)
{
    char bytes[BOUNCE_BYTES];
    const char *source = bytes;
    size_t done = 0;
    while (done < size) {
        size_t piece = size - done < sizeof(bytes) ? size - done : sizeof(bytes);
        size_t offset = to > from ? size - done - piece : done;
        if (access_ram(memory, from + offset, piece, read_piece, bytes) != 0 ||
            access_ram(memory, to + offset, piece, write_piece, &source) != 0) {
            return -1;
        }
        done += piece;
    }
    return 0;
}

/* Copy from window to window, which are open; the ranges are apart. */
static void copy_direct(vm_memory_t *memory, uintptr_t to, uintptr_t from, size_t size)
{
    size_t done = 0;
    while (done < size) {
        size_t from_length;
        size_t to_length;
        const char *source = guest_access_window(memory, from + done, &from_length);
        char *target = guest_access_window(memory, to + done, &to_length);
        size_t piece = size - done;
        piece = piece < from_length ? piece : from_length;
        piece = piece < to_length ? piece : to_length;
        memcpy(target, source, piece);
        done += piece;
    }
}

static int copy_ram(vm_memory_t *memory, uintptr_t to, uintptr_t from, size_t size)
{
    uintptr_t to_last;
    uintptr_t from_last;
    if (!memory_check_range(memory, to, size, &to_last) ||
        !memory_check_range(memory, from, size, &from_last)) {
        return -1;
    }
    if (!ram_list_is_ram(memory, to, to_last) || !ram_list_is_ram(memory, from, from_last)) {
        return memory_blame(memory, GUESTMEM_NOT_RAM, "the source or the target is not all RAM");
    }
    if (guest_access_prepare(memory, to, from, size) != 0) {
        return -1;
    }
    bool apart = to > from_last || from > to_last;
    if (apart && memory->windows == GUESTMEM_WINDOWS_KEPT) {
        copy_direct(memory, to, from, size);
        return 0;
    }
    return copy_bounced(memory, to, from, size);
}

int guestmem_copy(vm_t *vm, uintptr_t to, uintptr_t from, size_t size)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (copy_ram(memory, to, from, size) != 0) {
        return memory_report(memory, __func__, to, reported_last(to, size));
    }
    return 0;
}

void *guestmem_pointer(vm_t *vm, uintptr_t addr, size_t *length)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return NULL;
    }
    char *pointer = NULL;
    if (length == NULL) {
        memory_blame(memory, GUESTMEM_BAD_ARGUMENT, "length is NULL; it receives the length");
    } else {
        pointer = guest_access_pointer(memory, addr, length);
    }
    if (pointer == NULL) {
        memory_report(memory, __func__, addr, addr);
    }
    return pointer;
}
