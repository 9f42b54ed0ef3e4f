/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * See vmm_memory.h. This file includes headers of seL4's libraries alone, and compiles with theirs
 * as with guestmem's.
 */

#include "vmm_memory.h"
#include <string.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>
#include <sel4vmmplatsupport/guest_memory_util.h>
#include <vka/object.h>

#define PAGE ((size_t)1 << seL4_PageBits)

/* The guest's memory map; the devices and the chosen memory are at their physical addresses. */
#define TIMER      ((uintptr_t)0x20000000)
#define TIMER_SIZE ((size_t)0x20)
#define MAILBOX    ((uintptr_t)0x20001000)
#define SHARED     ((uintptr_t)0x20010000)
#define POOL       ((uintptr_t)0x30000000)
#define POOL_SIZE  ((size_t)8 << 20)
#define RAM        ((uintptr_t)0x80000000)
#define RAM_SIZE   ((size_t)2 << 20)
#define MORE_RAM   ((uintptr_t)0x90000000)
#define NUM_FRAMES 3

/* Leave the function with the text of an expectation that is not met. */
#define EXPECT(expectation)                                                                        \
    do {                                                                                           \
        if (!(expectation)) {                                                                      \
            return #expectation;                                                                   \
        }                                                                                          \
    } while (0)

/* Frames of the VMM's own, as a VMM hands them out for a guest's pages. */
typedef struct frame_pool {
    vka_object_t frames[NUM_FRAMES];
    uintptr_t base;
    size_t asked;
} frame_pool_t;

static int fill_pool(vm_t *vm, uintptr_t base, frame_pool_t *pool)
{
    int error = 0;
    pool->base = base;
    pool->asked = 0;
    for (size_t i = 0; i < NUM_FRAMES; i++) {
        error |= vka_alloc_frame(vm->vka, seL4_PageBits, &pool->frames[i]);
    }
    return error;
}

static vm_frame_t hand_out(uintptr_t addr, void *cookie)
{
    vm_frame_t frame = {seL4_CapNull, seL4_NoRights, 0, 0};
    frame_pool_t *pool = cookie;
    size_t index = (addr - pool->base) / PAGE;
    pool->asked++;
    if (index < NUM_FRAMES) {
        frame.cptr = pool->frames[index].cptr;
        frame.rights = seL4_AllRights;
        frame.vaddr = pool->base + index * PAGE;
        frame.size_bits = seL4_PageBits;
    }
    return frame;
}

static memory_fault_result_t emulate(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t fault_addr,
                                     size_t fault_length, void *cookie)
{
    (void)vm, (void)vcpu, (void)fault_addr, (void)fault_length;
    int *faults = cookie;
    *faults += 1;
    return FAULT_HANDLED;
}

static const char *use_reservations(vm_t *vm)
{
    static int faults;
    uintptr_t addr = 0;
    size_t size = 0;
    vm_memory_reservation_t *timer = vm_reserve_memory_at(vm, TIMER, TIMER_SIZE, emulate, &faults);
    EXPECT(timer != NULL);
    EXPECT(vm_reserve_memory_at(vm, TIMER + 1, 1, emulate, &faults) == NULL);
    vm_get_reservation_memory_region(timer, &addr, &size);
    EXPECT(addr == TIMER && size == TIMER_SIZE);
    EXPECT(vm_free_reserved_memory(vm, timer) == 0);
    EXPECT(vm_reserve_memory_at(vm, TIMER, TIMER_SIZE, emulate, &faults) != NULL);

    EXPECT(vm_memory_make_anon(vm, POOL, POOL_SIZE) == 0);
    vm_memory_reservation_t *anywhere =
        vm_reserve_anon_memory(vm, PAGE, PAGE, default_error_fault_callback, NULL, &addr);
    EXPECT(anywhere != NULL);
    EXPECT(addr >= POOL && addr - POOL <= POOL_SIZE - PAGE && addr % PAGE == 0);
    return NULL;
}

static const char *use_own_frames(vm_t *vm)
{
    static frame_pool_t pool;
    static frame_pool_t other;
    seL4_CPtr frames[NUM_FRAMES];
    EXPECT(fill_pool(vm, MAILBOX, &pool) == 0);
    vm_memory_reservation_t *mailbox =
        vm_reserve_memory_at(vm, MAILBOX, NUM_FRAMES * PAGE, default_error_fault_callback, NULL);
    EXPECT(mailbox != NULL);
    EXPECT(vm_map_reservation(vm, mailbox, hand_out, &pool) == 0);
    EXPECT(pool.asked == NUM_FRAMES);
    EXPECT(vspace_get_cap(&vm->mem.vm_vspace, (void *)(MAILBOX + PAGE)) == pool.frames[1].cptr);

    EXPECT(fill_pool(vm, SHARED, &other) == 0);
    for (size_t i = 0; i < NUM_FRAMES; i++) {
        frames[i] = other.frames[i].cptr;
    }
    vm_memory_reservation_t *shared =
        vm_reserve_memory_at(vm, SHARED, NUM_FRAMES * PAGE, default_error_fault_callback, NULL);
    EXPECT(shared != NULL);
    EXPECT(vm_map_reservation_frames(vm, shared, frames, NUM_FRAMES, seL4_PageBits) == 0);
    EXPECT(vspace_get_cap(&vm->mem.vm_vspace, (void *)(SHARED + 2 * PAGE)) == frames[2]);
    return NULL;
}

static const char *use_the_six_functions(vm_t *vm, const vmm_memory_layout_t *layout)
{
    memory_fault_callback_fn on_fault = default_error_fault_callback;
    vm_memory_reservation_t *free_frames =
        vm_reserve_memory_at(vm, 0x40000000, 4 * PAGE, on_fault, NULL);
    vm_memory_reservation_t *any = vm_reserve_memory_at(vm, 0x40100000, 4 * PAGE, on_fault, NULL);
    vm_memory_reservation_t *chosen =
        vm_reserve_memory_at(vm, 0x40200000, (size_t)2 << 20, on_fault, NULL);
    vm_memory_reservation_t *device =
        vm_reserve_memory_at(vm, layout->device, PAGE, on_fault, NULL);
    EXPECT(free_frames != NULL && any != NULL && chosen != NULL && device != NULL);
    EXPECT(map_frame_alloc_reservation(vm, free_frames) == 0);
    EXPECT(map_maybe_device_reservation(vm, any) == 0);
    EXPECT(map_ut_alloc_reservation_with_base_paddr(vm, layout->memory, chosen) == 0);
    EXPECT(map_ut_alloc_reservation(vm, device) == 0);

    char *page = create_allocated_reservation_frame(vm, 0x40400000, seL4_CanRead, on_fault, NULL);
    EXPECT(page != NULL);
    memcpy(page, "the guest reads this", 21);
    EXPECT(create_device_reservation_frame(vm, layout->other_device, seL4_AllRights, on_fault,
                                           NULL) != NULL);
    return NULL;
}

/* The callback of vm_ram_touch(), for each page. */
static int count_pages(vm_t *vm, uintptr_t guest_addr, void *vmm_vaddr, size_t size, size_t offset,
                       void *cookie)
{
    (void)vm, (void)guest_addr, (void)size, (void)offset;
    size_t *pages = cookie;
    *pages += 1;
    return vmm_vaddr != NULL ? 0 : -1;
}

static const char *use_ram(vm_t *vm)
{
    static frame_pool_t pool;
    uintptr_t addr = 0;
    size_t size = 0;
    size_t pages = 0;
    char text[] = "written across the end of a page";
    char read[sizeof(text)] = "";
    EXPECT(vm_ram_register_at(vm, RAM, RAM_SIZE, false) == 0);
    EXPECT(vm_ram_find_largest_free_region(vm, &addr, &size) == 0);
    EXPECT(addr == RAM && size == RAM_SIZE);
    EXPECT(vm->mem.num_ram_regions == 1 && vm->mem.ram_regions[0].start == RAM);

    EXPECT(vm_ram_touch(vm, RAM + PAGE - 8, sizeof(text), vm_guest_ram_write_callback, text) == 0);
    EXPECT(vm_ram_touch(vm, RAM + PAGE - 8, sizeof(read), vm_guest_ram_read_callback, read) == 0);
    EXPECT(memcmp(text, read, sizeof(text)) == 0);
    EXPECT(vm_ram_touch(vm, RAM, 4 * PAGE, count_pages, &pages) == 0);
    EXPECT(pages == 4);

    vm_ram_mark_allocated(vm, RAM, PAGE);
    uintptr_t initrd = vm_ram_allocate(vm, 4 * PAGE);
    EXPECT(initrd >= RAM + PAGE && initrd - RAM <= RAM_SIZE - 4 * PAGE);
    vm_ram_free(vm, initrd, 4 * PAGE);

    EXPECT(fill_pool(vm, MORE_RAM, &pool) == 0);
    EXPECT(vm_ram_register_at_custom_iterator(vm, MORE_RAM, NUM_FRAMES * PAGE, hand_out, &pool) ==
           0);
    EXPECT(vm_ram_touch(vm, MORE_RAM, PAGE, count_pages, &pages) == 0);
    uintptr_t anywhere = vm_ram_register(vm, 4 * PAGE);
    EXPECT(anywhere >= POOL && anywhere - POOL <= POOL_SIZE - 4 * PAGE);
    return NULL;
}

const char *vmm_memory_use(vm_t *vm, const vmm_memory_layout_t *layout)
{
    const char *unmet = use_reservations(vm);
    unmet = unmet != NULL ? unmet : use_own_frames(vm);
    unmet = unmet != NULL ? unmet : use_the_six_functions(vm, layout);
    return unmet != NULL ? unmet : use_ram(vm);
}
