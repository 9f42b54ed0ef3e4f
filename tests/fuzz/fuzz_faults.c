/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A hostile guest: a fixed VM with reservations of every kind, and a stream of faults and of
 * descriptors that the VMM is asked to follow. Whatever comes, each fault goes where the table
 * below says, a touch reaches RAM or nothing, and nothing grows or is lost.
 */

#include <guestmem/error.h>
#include "machine.h"
#include <guestmem/inspect.h>
#include <guestmem/memory.h>
#include <guestmem/policy.h>
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>
#include <sel4vmmplatsupport/guest_memory_util.h>
#include <string.h>
#include <utils/util.h>

typedef enum kind {
    EMULATED,   /* each access is called back */
    PRESENT,    /* mapped: what still faults is forbidden, and called back */
    ON_FAULT,   /* the first access to each frame maps it */
    FORBIDDING, /* RAM: its callback stops the VM */
} kind_t;

typedef struct row {
    uintptr_t base;
    uintptr_t last;
    kind_t kind;
} row_t;

#define GUEST_TOP ((uintptr_t)1 << 40)
#define RAM       ((uintptr_t)0x40000000)
#define RAM_SIZE  (3 * MEGABYTE)
#define CHOSEN    ((uintptr_t)0x60000ffe)

static const row_t rows[] = {
    {0x0, 0x0, EMULATED},                  /* one byte at address 0 */
    {0x9000000, 0x9000fff, PRESENT},       /* a device's page */
    {0xa000000, 0xa0001ff, EMULATED},      /* two devices in one page */
    {0xa000200, 0xa000203, EMULATED},      /* of which one is tiny */
    {RAM, RAM + RAM_SIZE - 1, FORBIDDING}, /* two neighbours of RAM, */
    {RAM + RAM_SIZE, RAM + RAM_SIZE + 0x4fff, FORBIDDING},
    {0x50000000, 0x50003fff, PRESENT},
    {0x50200000, 0x507fffff, ON_FAULT}, /* large frames, */
    {CHOSEN, 0x60400001, ON_FAULT},     /* and frames of chosen physical memory */
    {GUEST_TOP - 0x3000, GUEST_TOP - 1, ON_FAULT},
    {GUEST_TOP, GUEST_TOP + 0xfff, EMULATED}, /* where nothing can be mapped */
    {UINTPTR_MAX - 0x1006, UINTPTR_MAX, EMULATED},
};

typedef struct guest {
    machine_t machine;
    vm_t vm;
    memory_fault_result_t answer; /* of the callback */
    bool over;                    /* whether nothing is known of its memory any more */
    unsigned calls;
    uintptr_t called_addr;
    size_t called_length;
} guest_t;

static memory_fault_result_t on_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t fault_addr,
                                      size_t fault_length, void *cookie)
{
    guest_t *guest = cookie;
    guest->calls++;
    guest->called_addr = fault_addr;
    guest->called_length = fault_length;
    return guest->answer;
}

static void make_row(guest_t *guest, const row_t *row)
{
    vm_t *vm = &guest->vm;
    size_t size = row->last - row->base + 1;
    if (row->kind == FORBIDDING) {
        must(vm_ram_register_at(vm, row->base, size, false) == 0, "no RAM");
        return;
    }
    if (row->base == 0x9000000) {
        must(create_device_reservation_frame(vm, row->base, seL4_CanRead, on_fault, guest) != NULL,
             "no device");
        return;
    }
    vm_memory_reservation_t *reservation =
        vm_reserve_memory_at(vm, row->base, size, on_fault, guest);
    must(reservation != NULL, "no reservation at 0x%lx", (unsigned long)row->base);
    if (row->kind == EMULATED) {
        return;
    }
    must(guestmem_set_map_time(vm, row->kind == ON_FAULT ? GUESTMEM_MAP_ON_FAULT
                                                         : GUESTMEM_MAP_NOW) == 0,
         "no policy");
    must((row->base == CHOSEN ? map_ut_alloc_reservation(vm, reservation)
                              : map_frame_alloc_reservation(vm, reservation)) == 0,
         "no frames at 0x%lx", (unsigned long)row->base);
}

static const row_t *row_at(uintptr_t addr)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (addr >= rows[i].base && addr <= rows[i].last) {
            return &rows[i];
        }
    }
    return NULL;
}

/* What a fault must answer. */
static memory_fault_result_t expected_result(guest_t *guest, const row_t *row, uintptr_t addr,
                                             size_t size, bool present)
{
    if (row == NULL) {
        return FAULT_UNHANDLED;
    }
    if (size > 0 && size - 1 > row->last - addr) {
        return FAULT_ERROR;
    }
    if (row->kind == ON_FAULT && !present) {
        return FAULT_RESTART;
    }
    return row->kind == FORBIDDING ? FAULT_ERROR : guest->answer;
}

static void fault(guest_t *guest, uintptr_t addr, size_t size)
{
    const row_t *row = row_at(addr);
    bool present = vspace_get_cap(&guest->vm.mem.vm_vspace, (void *)addr) != seL4_CapNull;
    memory_fault_result_t expected = expected_result(guest, row, addr, size, present);
    bool whole = row != NULL && (size == 0 || size - 1 <= row->last - addr);
    bool called = whole && row->kind != FORBIDDING && (row->kind != ON_FAULT || present);
    guest->calls = 0;
    guest->machine.log_lines = 0;
    memory_fault_result_t result = vm_memory_handle_fault(&guest->vm, NULL, addr, size);
    /* Chosen memory that is not mapped yet may have become a page table, or another frame: then the
     * range is not what the rows say any more. */
    guest->over = row != NULL && row->base == CHOSEN && whole && !present &&
                  result == FAULT_ERROR &&
                  guestmem_last_error(&guest->vm)->code == GUESTMEM_NO_FRAME;
    if (guest->over) {
        return;
    }
    must(result == expected, "a fault at 0x%lx of 0x%zx bytes answered %d, not %d",
         (unsigned long)addr, size, (int)result, (int)expected);
    must(guest->calls == (called ? 1u : 0u), "%u call backs", guest->calls);
    must(!called || (guest->called_addr == addr && guest->called_length == size),
         "called back for another access");
    must(guest->machine.log_lines <= 1, "%u log lines", guest->machine.log_lines);
    must(row == NULL || row->kind != ON_FAULT || !whole ||
             vspace_get_cap(&guest->vm.mem.vm_vspace, (void *)addr) != seL4_CapNull,
         "nothing was mapped at 0x%lx", (unsigned long)addr);
}

typedef struct touch {
    uintptr_t next;
    size_t done;
    uint8_t sum;
} touch_t;

static int follow(vm_t *vm, uintptr_t guest_addr, void *vmm_vaddr, size_t size, size_t offset,
                  void *cookie)
{
    touch_t *touch = cookie;
    unsigned char *bytes = vmm_vaddr;
    must(guest_addr == touch->next && offset == touch->done, "pages out of order");
    must(size >= 1 && size <= PAGE - (guest_addr & (PAGE - 1)), "a piece of 0x%zx bytes", size);
    must(row_at(guest_addr)->kind == FORBIDDING, "0x%lx is no RAM", (unsigned long)guest_addr);
    touch->sum = (uint8_t)(touch->sum + bytes[0] + bytes[size - 1]);
    bytes[size - 1] = touch->sum;
    touch->next += size;
    touch->done += size;
    return 0;
}

/* The guest names a range, the VMM accesses it. */
static void touch(guest_t *guest, uintptr_t addr, size_t size)
{
    const uintptr_t ram_last = RAM + RAM_SIZE + 0x4fff;
    bool valid = size == 0 || (addr >= RAM && addr <= ram_last && size - 1 <= ram_last - addr);
    touch_t state = {.next = addr};
    guest->machine.log_lines = 0;
    int result = vm_ram_touch(&guest->vm, addr, size, follow, &state);
    must(result == (valid ? 0 : -1), "a touch of 0x%zx bytes at 0x%lx answered %d", size,
         (unsigned long)addr, result);
    must(state.done == (valid ? size : 0), "0x%zx bytes were touched", state.done);
    must(guest->machine.log_lines <= (valid ? 0u : 1u), "%u log lines", guest->machine.log_lines);
}

/* Where accesses are made: anywhere, or about the ends of a reservation. */
static uintptr_t address(const uint8_t *bytes)
{
    uint64_t raw;
    memcpy(&raw, bytes + 1, sizeof(raw));
    const row_t *row = &rows[bytes[0] / 4 % ARRAY_SIZE(rows)];
    uintptr_t near = (uintptr_t)(int64_t)(int8_t)bytes[1];
    switch (bytes[0] % 4) {
    case 0:
        return raw;
    case 1:
        return row->base + near;
    case 2:
        return row->last + near;
    default:
        return row->base + raw % (row->last - row->base + 1);
    }
}

/* A length: what instructions have, or anything. */
static size_t length(const uint8_t *bytes)
{
    uint64_t raw;
    memcpy(&raw, bytes, sizeof(raw));
    return bytes[0] < 224 ? (size_t)bytes[0] % 17 : (size_t)(raw >> (bytes[0] % 32) * 2);
}

/* One event: kind and answer, address, length. */
enum { EVENT_BYTES = 18, MOST_EVENTS = 512 };

static void one_event(guest_t *guest, const uint8_t *bytes)
{
    uintptr_t addr = address(bytes + 1);
    size_t size = length(bytes + 10);
    guest->answer = (memory_fault_result_t)(bytes[0] / 4 % (FAULT_ERROR + 1));
    if (bytes[0] % 4 == 0) {
        uint64_t raw;
        memcpy(&raw, bytes + 10, sizeof(raw));
        touch(guest, addr, bytes[0] & 4 ? raw : raw % (4 * MEGABYTE));
    } else {
        fault(guest, addr, size);
    }
}

/* What all frames and windows take at most. */
static void check_bounds(guest_t *guest)
{
    guestmem_statistics_t statistics;
    must(guestmem_get_statistics(&guest->vm, &statistics) == 0, "no statistics");
    must(statistics.reservations == ARRAY_SIZE(rows), "%zu reservations", statistics.reservations);
    must(statistics.heap_bytes < 256 * 1024, "%zu bytes of heap", statistics.heap_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
const char *__lsan_default_options(void);

/* The system lives on, and its page tables hide pointers; the census counts what the VM leaves. */
const char *__lsan_default_options(void)
{
    return "detect_leaks=0";
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static guest_t guest;
    if (guest.machine.system == NULL) {
        machine_begin(&guest.machine);
    }
    hosted_census_t before = machine_census(&guest.machine);
    machine_make_vm(&guest.machine, &guest.vm);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        make_row(&guest, &rows[i]);
    }
    guest.over = false;
    for (size_t i = 0; !guest.over && i < MOST_EVENTS && (i + 1) * EVENT_BYTES <= size; i++) {
        one_event(&guest, bytes + i * EVENT_BYTES);
    }
    check_bounds(&guest);
    vm_memory_destroy(&guest.vm);
    machine_require_census(&guest.machine, &before, "after a VM's end");
    return 0;
}
