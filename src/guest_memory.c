/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The public calls of <sel4vm/guest_memory.h>: life of a VM's memory, reservations, and faults.
 */

#include <stdlib.h>
#include <guestmem/memory.h>
#include <sel4vm/gen_config.h>
#include <utils/util.h>
#include <vka/object.h>
#include "io_space.h"
#include "ram_list.h"
#include "range_map_parts.h"
#include "reservations.h"

#ifndef CONFIG_LIB_SEL4VM_DEFER_MEMORY_MAP
#define DEFAULT_MAP_TIME GUESTMEM_MAP_NOW
#else
#define DEFAULT_MAP_TIME GUESTMEM_MAP_ON_FAULT
#endif

static void *allocate(void *cookie, size_t size)
{
    void *block = NULL;
    return ps_malloc(cookie, size, &block) == 0 ? block : NULL;
}

static void release(void *cookie, void *block, size_t size)
{
    ps_free(cookie, size, block);
}

int vm_memory_init(vm_t *vm)
{
    if (vm == NULL || vm->io_ops == NULL || vm->vka == NULL) {
        ZF_LOGE("vm_memory_init: the VM, its io_ops or its vka is NULL; set them first");
        return -1;
    }
    if (vm->mem.reservation_cookie != NULL) {
        ZF_LOGE("vm_memory_init: the VM is initialised already; call vm_memory_destroy() first");
        return -1;
    }
    heap_t heap = {.allocate = allocate, .release = release, .cookie = &vm->io_ops->malloc_ops};
    vm_memory_t *memory = heap_alloc(&heap, sizeof(*memory));
    if (memory == NULL) {
        ZF_LOGE("vm_memory_init: the heap has no room for 0x%zx bytes", sizeof(*memory));
        return -1;
    }
    memory->vm = vm;
    memory->heap = heap;
    reservation_pool_init(&memory->pool, &memory->heap);
    range_map_init_items(&memory->reservations, &memory->heap, sizeof(reservation_item_t));
    range_map_init(&memory->regions, &memory->heap);
    guest_space_init(&memory->space, &memory->heap);
    memory->map_time = DEFAULT_MAP_TIME;
    memory->largest_frame_bits = arch_frames[ARCH_NUM_FRAME_SIZES - 1].bits;

    /* vm_init() gives the list a malloc() block; from here on it is of the VM's own heap. */
    free(vm->mem.ram_regions);
    vm->mem.ram_regions = NULL;
    vm->mem.num_ram_regions = 0;
    vm->mem.reservation_cookie = memory;
    return 0;
}

/* End the guest's address space object, if it is there. */
static void end_root(vm_t *vm)
{
    if (vm->mem.vm_vspace_root.cptr != seL4_CapNull) {
        vka_free_object(vm->vka, &vm->mem.vm_vspace_root);
        vm->mem.vm_vspace_root = (vka_object_t){0};
    }
}

void vm_memory_destroy(vm_t *vm)
{
    if (vm == NULL || vm->mem.reservation_cookie == NULL) {
        return;
    }
    vm_memory_t *memory = vm->mem.reservation_cookie;
    reservations_free_all(memory);
    ram_list_destroy(memory);
    io_spaces_destroy(memory);
    guest_space_destroy(&memory->space);
    range_map_destroy(&memory->regions);
    range_map_destroy(&memory->reservations);
    end_root(vm);
    vm->mem.vm_vspace = (vspace_t){0};
    vm->mem.reservation_cookie = NULL;

    heap_t heap = memory->heap;
    heap_free(&heap, memory, sizeof(*memory));
}

/* The last address of a range for a report, if it is one at all. */
static uintptr_t reported_last(uintptr_t addr, size_t size)
{
    uintptr_t last = addr + (size - 1);
    return size == 0 ? addr : last < addr ? UINTPTR_MAX : last;
}

vm_memory_reservation_t *vm_reserve_memory_at(vm_t *vm, uintptr_t addr, size_t size,
                                              memory_fault_callback_fn fault_callback, void *cookie)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return NULL;
    }
    reservation_request_t request = {fault_callback, cookie};
    vm_memory_reservation_t *reservation = reservations_make(memory, addr, size, &request);
    if (reservation == NULL) {
        memory_report(memory, __func__, addr, reported_last(addr, size));
    }
    return reservation;
}

vm_memory_reservation_t *vm_reserve_anon_memory(vm_t *vm, size_t size, size_t align,
                                                memory_fault_callback_fn fault_callback,
                                                void *cookie, uintptr_t *addr)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return NULL;
    }
    reservation_request_t request = {fault_callback, cookie};
    vm_memory_reservation_t *reservation = NULL;
    if (addr == NULL) {
        memory_blame(memory, GUESTMEM_BAD_ARGUMENT, "addr is NULL; it receives the address");
    } else {
        reservation = reservations_make_anonymous(memory, size, align, &request);
    }
    if (reservation == NULL) {
        memory_report(memory, __func__, 0, reported_last(0, size));
    } else {
        *addr = reservation->base;
    }
    return reservation;
}

int vm_memory_make_anon(vm_t *vm, uintptr_t addr, size_t size)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (reservations_make_region(memory, addr, size) != 0) {
        return memory_report(memory, __func__, addr, reported_last(addr, size));
    }
    return 0;
}

int vm_free_reserved_memory(vm_t *vm, vm_memory_reservation_t *reservation)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    __builtin_prefetch(reservation); /* whatever it is: while it is checked, it comes */
    if (!memory_check_reservation(memory, reservation)) {
        return memory_report(memory, __func__, 0, 0);
    }
    if (reservation->mapping != NULL && reservation->mapping->ram) {
        ram_list_forget(memory, reservation->base, reservation->last);
    }
    reservations_free(memory, reservation);
    return 0;
}

/* Map with an iterator's frames, for the public function of that name. */
static int map_with_iterator(vm_t *vm, vm_memory_reservation_t *reservation,
                             memory_map_iterator_fn map_iterator, void *cookie,
                             const guestmem_map_time_t *map_time, const char *function)
{
    vm_memory_t *memory = memory_of(vm, function);
    if (memory == NULL) {
        return -1;
    }
    if (!memory_check_reservation(memory, reservation)) {
        return memory_report(memory, function, 0, 0);
    }
    frame_source_t source = reservations_source(memory, GUESTMEM_CALLER);
    source.iterator = map_iterator;
    source.cookie = cookie;
    if (map_iterator == NULL) {
        memory_blame(memory, GUESTMEM_BAD_ARGUMENT, "the map iterator is NULL; give one");
    } else if (reservations_map(memory, reservation, &source,
                                map_time != NULL ? *map_time : memory->map_time) == 0) {
        return 0;
    }
    return memory_report(memory, function, reservation->base, reservation->last);
}

int vm_map_reservation(vm_t *vm, vm_memory_reservation_t *reservation,
                       memory_map_iterator_fn map_iterator, void *cookie)
{
    return map_with_iterator(vm, reservation, map_iterator, cookie, NULL, __func__);
}

int map_vm_memory_reservation(vm_t *vm, vm_memory_reservation_t *vm_reservation,
                              memory_map_iterator_fn map_iterator, void *map_cookie)
{
    const guestmem_map_time_t now = GUESTMEM_MAP_NOW;
    return map_with_iterator(vm, vm_reservation, map_iterator, map_cookie, &now, __func__);
}

/* The caller's array, as an iterator. */
typedef struct frame_array {
    const seL4_CPtr *frames;
    size_t num_frames;
    size_t size_bits;
    uintptr_t first; /* GPA of the first frame */
} frame_array_t;

static vm_frame_t frame_of_array(uintptr_t addr, void *cookie)
{
    const frame_array_t *array = cookie;
    size_t index = (size_t)((addr - array->first) >> array->size_bits);
    if (index >= array->num_frames) {
        return (vm_frame_t){.cptr = seL4_CapNull};
    }
    return (vm_frame_t){
        .cptr = array->frames[index],
        .rights = seL4_AllRights,
        .vaddr = array->first + ((uintptr_t)index << array->size_bits),
        .size_bits = array->size_bits,
    };
}

int vm_map_reservation_frames(vm_t *vm, vm_memory_reservation_t *reservation, seL4_CPtr *frames,
                              size_t num_frames, size_t frame_size_bits)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (!memory_check_reservation(memory, reservation)) {
        return memory_report(memory, __func__, 0, 0);
    }
    if (frames == NULL || arch_frame_index(frame_size_bits) < 0) {
        memory_blame(memory, GUESTMEM_BAD_ARGUMENT, "%s",
                     frames == NULL ? "the array of frames is NULL; give one"
                                    : "the architecture has no frames of that size");
        return memory_report(memory, __func__, reservation->base, reservation->last);
    }
    const guestmem_map_time_t now = GUESTMEM_MAP_NOW;
    frame_array_t array = {frames, num_frames, frame_size_bits,
                           reservations_first_page(reservation)};
    return map_with_iterator(vm, reservation, frame_of_array, &array, &now, __func__);
}

void vm_get_reservation_memory_region(vm_memory_reservation_t *reservation, uintptr_t *addr,
                                      size_t *size)
{
    if (reservation == NULL || addr == NULL || size == NULL) {
        ZF_LOGE("vm_get_reservation_memory_region: an argument is NULL; nothing is told");
        return;
    }
    *addr = reservation->base;
    *size = reservation->last - reservation->base + 1;
}

/* The access crosses the end of its reservation. */
static __attribute__((noinline)) memory_fault_result_t
fault_crosses(vm_memory_t *memory, const reservation_item_t *item, uintptr_t addr, size_t size)
{
    const vm_memory_reservation_t *reservation = item->range.value;
    memory_blame_other(memory, GUESTMEM_BAD_RANGE, reservation->base, reservation->last,
                       reservation->name, "the access crosses the end of the reservation", NULL);
    memory_report(memory, "vm_memory_handle_fault", addr, reported_last(addr, size));
    return FAULT_ERROR;
}

/* A fault in a mapped reservation: map the frame, or call back if it is there. */
static __attribute__((noinline)) memory_fault_result_t fault_mapped(vm_memory_t *memory,
                                                                    const reservation_item_t *item,
                                                                    vm_vcpu_t *vcpu, uintptr_t addr,
                                                                    size_t size)
{
    const vm_memory_reservation_t *reservation = item->range.value;
    switch (guest_mapping_fault(memory, reservation->mapping, addr)) {
    case GUEST_MAPPING_MAPPED:
        return FAULT_RESTART;
    case GUEST_MAPPING_FAILED:
        memory_report(memory, "vm_memory_handle_fault", addr, reported_last(addr, size));
        return FAULT_ERROR;
    default:
        /* What got the frame may have changed the reservations, but for this one. */
        item = reservations_item(memory, reservation);
        return item->fault_callback(memory->vm, vcpu, addr, size, item->fault_cookie);
    }
}

memory_fault_result_t vm_memory_handle_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size)
{
    vm_memory_t *memory = memory_of(vm, __func__);
    if (memory == NULL) {
        return FAULT_ERROR;
    }
    memory->counts.faults++;
    reservation_item_t *item = (reservation_item_t *)range_map_find_item(
        &memory->reservations, addr, sizeof(reservation_item_t));
    if (item == NULL || item->range.last < addr) {
        memory->counts.faults_unhandled++;
        return FAULT_UNHANDLED;
    }
    item->state += RESERVATION_FAULT;
    if (size > 0 && size - 1 > item->range.last - addr) {
        return fault_crosses(memory, item, addr, size);
    }
    if ((item->state & RESERVATION_MAPPED) != 0) {
        return fault_mapped(memory, item, vcpu, addr, size);
    }
    /* The callback may free the reservation: it is not looked at afterwards. */
    return item->fault_callback(vm, vcpu, addr, size, item->fault_cookie);
}
