/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See lasting.h. */

#include "lasting.h"
#include <guestmem/inspect.h>
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>
#include <sel4vmmplatsupport/guest_memory_util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vka/object.h>
#include "layout.h"

#define TIMES      1000
#define SIZE       ((size_t)16 << 20)
#define TOO_MUCH   ((size_t)(sizeof(size_t) == 4 ? 1 : 64) << 30)
#define BLOCK_BITS 21 /* a frame of 2 MiB */
#define MAX_TAKEN  4096

int lasting_repeat(vm_t *vm)
{
    for (int i = 0; i < TIMES; i++) {
        vm_memory_reservation_t *range =
            vm_reserve_memory_at(vm, FREE_BASE, SIZE, default_error_fault_callback, NULL);
        if (range == NULL || map_frame_alloc_reservation(vm, range) != 0 ||
            vm_free_reserved_memory(vm, range) != 0) {
            printf("  reserve, map, free of 16 MiB: failed at %d\n", i);
            return 1;
        }
    }
    printf("  reserve, map, free of 16 MiB: %d times\n", TIMES);
    return 0;
}

/* How many frames of 2 MiB the allocator has: take all, and give them back. */
static size_t count_free(vka_t *vka)
{
    static vka_object_t taken[MAX_TAKEN];
    size_t count = 0;
    while (count < MAX_TAKEN && vka_alloc_frame(vka, BLOCK_BITS, &taken[count]) == 0) {
        count++;
    }
    for (size_t i = 0; i < count; i++) {
        vka_free_object(vka, &taken[i]);
    }
    return count;
}

static int same(const char *what, size_t after, size_t before)
{
    printf("  %-44s %zu, before %zu%s\n", what, after, before, after == before ? "" : "  WRONG");
    return after == before ? 0 : 1;
}

static int ask_for_too_much(vm_t *vm)
{
    if (vm_ram_register_at(vm, RAM_BASE, TOO_MUCH, false) != 0) {
        return 0;
    }
    printf("  %zu GiB of RAM were registered  WRONG\n", TOO_MUCH >> 30);
    return 1;
}

int lasting_exhaust(vm_t *vm)
{
    guestmem_statistics_t before;
    guestmem_statistics_t after;
    /* The first time, the allocator takes memory for its own records, and keeps it. */
    int wrong = ask_for_too_much(vm);
    size_t free_before = count_free(vm->vka);
    guestmem_get_statistics(vm, &before);
    wrong += ask_for_too_much(vm);
    guestmem_get_statistics(vm, &after);
    wrong += same("frames of 2 MiB that are free", count_free(vm->vka), free_before);
    wrong += same("frames of 2 MiB that the guest has", after.frames[GUESTMEM_FRAME_2M],
                  before.frames[GUESTMEM_FRAME_2M]);
    wrong += same("frames of 4 KiB that the guest has", after.frames[GUESTMEM_FRAME_4K],
                  before.frames[GUESTMEM_FRAME_4K]);
    wrong += same("page tables", after.page_tables, before.page_tables);
    wrong += same("bytes of heap", after.heap_bytes, before.heap_bytes);
    vm_memory_reservation_t *again =
        vm_reserve_memory_at(vm, RAM_BASE, SIZE, default_error_fault_callback, NULL);
    printf("  the range is free again: %s\n", again != NULL ? "yes" : "no  WRONG");
    return wrong + (again == NULL || vm_free_reserved_memory(vm, again) != 0);
}
