/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The public calls of <sel4vm/guest_memory.h> and <sel4vmmplatsupport/guest_memory_util.h>: the
 * life of a VM's memory, reservations and their mapping, and fault dispatch.
 */

#include <inttypes.h>
#include <stdlib.h>
#include <guestmem/memory.h>
#include <sel4vm/gen_config.h>
#include <sel4vmmplatsupport/guest_memory_util.h>
#include <utils/util.h>
#include <vka/capops.h>
#include "guest_ram.h"
#include "guest_save.h"
#include "iospace.h"
#include "reservation.h"

#ifndef CONFIG_LIB_SEL4VM_DEFER_MEMORY_MAP
#define DEFAULT_MAP_TIME GUESTMEM_MAP_NOW
#else
#define DEFAULT_MAP_TIME GUESTMEM_MAP_ON_FAULT
#endif

/* The life of a VM's memory. */

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
    gm_heap_t heap = {.allocate = allocate, .release = release, .cookie = &vm->io_ops->malloc_ops};
    gm_memory_t *memory = gm_heap_alloc_zeroed(&heap, sizeof(*memory));
    if (memory == NULL) {
        ZF_LOGE("vm_memory_init: the heap has no room for 0x%zx bytes", sizeof(*memory));
        return -1;
    }
    memory->vm = vm;
    memory->heap = heap;
    gm_range_map_init(&memory->reservations, &memory->heap);
    gm_range_map_init(&memory->regions, &memory->heap);
    gm_range_map_init(&memory->runs, &memory->heap);
    for (int level = 0; level < ARCH_NUM_TABLE_LEVELS; level++) {
        gm_range_map_init(&memory->tables[level], &memory->heap);
    }
    memory->untyped = (gm_recent_untyped_t){.base = 1, .last = 0};
    memory->map_time = DEFAULT_MAP_TIME;
    memory->largest_frame_bits = gm_arch_runtime_frame_bits;

    /* vm_init() gives the list a malloc() block; from here on it is of the VM's own heap. */
    free(vm->mem.ram_regions);
    vm->mem.ram_regions = NULL;
    vm->mem.num_ram_regions = 0;
    vm->mem.reservation_cookie = memory;
    return 0;
}

void vm_memory_destroy(vm_t *vm)
{
    if (vm == NULL || vm->mem.reservation_cookie == NULL) {
        return;
    }
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return; /* called by an iterator */
    }
    gm_saved_destroy(memory);
    gm_reservation_free_all(memory);
    gm_ram_destroy(memory);
    gm_iospaces_destroy(memory);
    gm_range_map_destroy(&memory->runs);
    for (int level = 0; level < ARCH_NUM_TABLE_LEVELS; level++) {
        gm_range_map_destroy(&memory->tables[level]);
    }
    const vka_object_t *root = &vm->mem.vm_vspace_root;
    if (root->cptr != seL4_CapNull) {
        gm_object_delete(memory, root->cptr, root->type, root->size_bits, root->ut);
    }
    vm->mem.vm_vspace_root = (vka_object_t){0};
    vm->mem.vm_vspace = (vspace_t){0};
    vm->mem.reservation_cookie = NULL;

    gm_heap_t heap = memory->heap;
    gm_heap_free(&heap, memory, sizeof(*memory));
}

/* Reservations. */

vm_memory_reservation_t *vm_reserve_memory_at(vm_t *vm, uintptr_t addr, size_t size,
                                              memory_fault_callback_fn fault_callback, void *cookie)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return NULL;
    }
    vm_memory_reservation_t *reservation =
        gm_reservation_make(memory, addr, size, (gm_request_t){fault_callback, cookie});
    if (reservation == NULL) {
        gm_report(memory, __func__, addr, gm_last_of(addr, size));
    }
    return reservation;
}

static vm_memory_reservation_t *reserve_anonymous(vm_t *vm, size_t size, size_t align,
                                                  size_t offset, gm_request_t request,
                                                  uintptr_t *addr, const char *function)
{
    gm_memory_t *memory = gm_memory_of(vm, function);
    if (memory == NULL) {
        return NULL;
    }
    vm_memory_reservation_t *reservation = NULL;
    if (addr == NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "addr is NULL; it receives the address");
    } else if (offset >= ARCH_PAGE_SIZE) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "the offset 0x%zx is not within a page of 4 KiB",
                offset);
    } else {
        reservation = gm_reservation_make_anonymous(memory, size, align, offset, 0, request);
    }
    if (reservation == NULL) {
        gm_report(memory, function, 0, gm_last_of(0, size));
    } else {
        *addr = reservation->base;
    }
    return reservation;
}

vm_memory_reservation_t *vm_reserve_anon_memory(vm_t *vm, size_t size, size_t align,
                                                memory_fault_callback_fn fault_callback,
                                                void *cookie, uintptr_t *addr)
{
    return reserve_anonymous(vm, size, align, 0, (gm_request_t){fault_callback, cookie}, addr,
                             __func__);
}

vm_memory_reservation_t *guestmem_reserve_anon_at_offset(vm_t *vm, size_t size, size_t align,
                                                         size_t offset,
                                                         memory_fault_callback_fn fault_callback,
                                                         void *cookie, uintptr_t *addr)
{
    return reserve_anonymous(vm, size, align, offset, (gm_request_t){fault_callback, cookie}, addr,
                             __func__);
}

int vm_memory_make_anon(vm_t *vm, uintptr_t addr, size_t size)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    return gm_region_make(memory, addr, size) == 0
               ? 0
               : gm_report(memory, __func__, addr, gm_last_of(addr, size));
}

int vm_free_reserved_memory(vm_t *vm, vm_memory_reservation_t *reservation)
{
    gm_memory_t *memory = gm_memory_of(vm, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (gm_reservation_check(memory, reservation) != 0) {
        return gm_report(memory, __func__, 0, 0);
    }
    if (reservation->mapping != NULL && reservation->mapping->ram) {
        gm_ram_forget(memory, reservation->base, reservation->last);
    }
    gm_reservation_free(memory, reservation);
    return 0;
}

/*@ requires reservation == \null || (gm_reservation_ok(reservation) &&
        reservation->last - reservation->base < UINTPTR_MAX);
    requires (addr == \null || \valid(addr)) && (size == \null || \valid(size));
    requires \separated(addr, size, reservation);
    assigns *addr, *size;
    ensures reservation != \null && addr != \null && size != \null ==>
        *addr == \old(reservation->base) && *addr + *size - 1 == \old(reservation->last);
 */
void vm_get_reservation_memory_region(vm_memory_reservation_t *reservation, uintptr_t *addr,
                                      size_t *size)
{
    if (reservation == NULL || addr == NULL || size == NULL) {
        ZF_LOGE("vm_get_reservation_memory_region: an argument is NULL; nothing is written");
        return;
    }
    *addr = reservation->base;
    *size = reservation->last - reservation->base + 1;
}

/* Mapping. Each public function checks the handle, says where the frames come from, and maps. */

/*@ requires gm_can_map(memory, reservation) && \valid_read(source);
    requires \base_addr(source) != \base_addr(memory) &&
        \base_addr(source) != \base_addr(reservation);
    requires own: source->backing == GUESTMEM_FREE_FRAMES && source->use == GM_USE_ANY &&
        memory->iospaces == \null;
    assigns GM_RUNS, GM_SPACE(memory), memory->untyped, memory->error, gm_list, gm_first,
        reservation->mapping, reservation->saved;
    ensures gm_space_ok(memory) && gm_refused >= \old(gm_refused);
    ensures gm_map_done{Pre, Post}(\result, reservation);
    ensures \result == 0 ==> (map_time == GUESTMEM_MAP_ON_FAULT ? gm_none_mapped{Pre, Post} :
        gm_mapped > \old(gm_mapped));
 */
static int map_source(gm_memory_t *memory, vm_memory_reservation_t *reservation,
                      const gm_frame_source_t *source, guestmem_map_time_t map_time,
                      const char *function)
{
    return gm_reservation_map(memory, reservation, source, map_time) == 0
               ? 0
               : gm_report(memory, function, reservation->base, reservation->last);
}

/* The memory of a VM, if the handle is one of its reservations. @return NULL after a report */
/*@ requires gm_vm_ok(vm) && (reservation == \null || \valid_read(reservation));
    requires vm == \null || reservation == \null ||
        \base_addr(reservation) != \base_addr(vm->mem.reservation_cookie);
    assigns vm->mem.reservation_cookie->failure, vm->mem.reservation_cookie->error;
    ensures \result == \null || (vm != \null && \result == vm->mem.reservation_cookie &&
        \valid(\result) && reservation != \null && \result == \old(reservation->memory));
 */
static gm_memory_t *memory_for(vm_t *vm, const vm_memory_reservation_t *reservation,
                               const char *function)
{
    gm_memory_t *memory = gm_memory_of(vm, function);
    if (memory != NULL && gm_reservation_check(memory, reservation) != 0) {
        gm_report(memory, function, 0, 0);
        return NULL;
    }
    return memory;
}

static int map_iterator_frames(gm_memory_t *memory, vm_memory_reservation_t *reservation,
                               memory_map_iterator_fn map_iterator, void *cookie,
                               guestmem_map_time_t map_time, const char *function)
{
    gm_frame_source_t source = gm_reservation_source(memory, GUESTMEM_CALLER);
    source.iterator = map_iterator;
    source.cookie = cookie;
    if (map_iterator == NULL) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "the map iterator is NULL; give one");
        return gm_report(memory, function, reservation->base, reservation->last);
    }
    return map_source(memory, reservation, &source, map_time, function);
}

int vm_map_reservation(vm_t *vm, vm_memory_reservation_t *reservation,
                       memory_map_iterator_fn map_iterator, void *cookie)
{
    gm_memory_t *memory = memory_for(vm, reservation, __func__);
    return memory != NULL ? map_iterator_frames(memory, reservation, map_iterator, cookie,
                                                memory->map_time, __func__)
                          : -1;
}

int map_vm_memory_reservation(vm_t *vm, vm_memory_reservation_t *vm_reservation,
                              memory_map_iterator_fn map_iterator, void *map_cookie)
{
    gm_memory_t *memory = memory_for(vm, vm_reservation, __func__);
    return memory != NULL ? map_iterator_frames(memory, vm_reservation, map_iterator, map_cookie,
                                                GUESTMEM_MAP_NOW, __func__)
                          : -1;
}

/* The caller's array, as an iterator. */
typedef struct frame_array {
    const seL4_CPtr *frames;
    size_t num_frames;
    size_t size_bits;
    uintptr_t first; /* GPA of the first frame */
} frame_array_t;

/*@ requires \valid_read((frame_array_t *)cookie) && ((frame_array_t *)cookie)->size_bits < 32;
    requires ((frame_array_t *)cookie)->first <= addr;
    requires \valid_read(((frame_array_t *)cookie)->frames +
        (0 .. ((frame_array_t *)cookie)->num_frames - 1));
    assigns \nothing;
    ensures \result.cptr != 0 ==> \result.vaddr <= addr < \result.vaddr + (1 << \result.size_bits);
 */
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
        .vaddr = gm_block_at(array->first, index, array->size_bits),
        .size_bits = array->size_bits,
    };
}

int vm_map_reservation_frames(vm_t *vm, vm_memory_reservation_t *reservation, seL4_CPtr *frames,
                              size_t num_frames, size_t frame_size_bits)
{
    gm_memory_t *memory = memory_for(vm, reservation, __func__);
    if (memory == NULL) {
        return -1;
    }
    if (frames == NULL || gm_arch_frame_index(frame_size_bits) < 0) {
        gm_fail(memory, GUESTMEM_BAD_ARGUMENT, "%s",
                frames == NULL ? "the array of frames is NULL; give one"
                               : "the architecture has no frames of that size");
        return gm_report(memory, __func__, reservation->base, reservation->last);
    }
    frame_array_t array = {frames, num_frames, frame_size_bits, gm_page_of(reservation->base)};
    return map_iterator_frames(memory, reservation, frame_of_array, &array, GUESTMEM_MAP_NOW,
                               __func__);
}

/* The six functions of <sel4vmmplatsupport/guest_memory_util.h>. */

/* Make a page that the guest and the VMM share. @return its HVA, or NULL after gm_fail() */
static void *make_shared_page(gm_memory_t *memory, uintptr_t addr, const gm_frame_source_t *source,
                              gm_request_t request)
{
    if (gm_page_of(addr) != addr) {
        gm_fail(memory, GUESTMEM_MISALIGNED, "0x%" PRIxPTR " is no multiple of 4 KiB", addr);
        return NULL;
    }
    vm_memory_reservation_t *reservation =
        gm_reservation_make(memory, addr, ARCH_PAGE_SIZE, request);
    if (reservation == NULL) {
        return NULL;
    }
    gm_window_t *window = NULL;
    if (gm_reservation_map(memory, reservation, source, GUESTMEM_MAP_NOW) == 0) {
        window = &reservation->mapping->window;
    }
    if (window == NULL || gm_window_map(memory, window, reservation->base, reservation->last,
                                        reservation->base, reservation->last) != 0) {
        gm_reservation_free(memory, reservation);
        return NULL;
    }
    gm_window_settle(memory, window, reservation->base, reservation->base, reservation->last, true);
    gm_window_point(memory, window, reservation->base, reservation->last);
    return window->base;
}

static void *create_frame(vm_t *vm, uintptr_t addr, guestmem_backing_t backing,
                          seL4_CapRights_t rights, gm_request_t request, const char *function)
{
    gm_memory_t *memory = gm_memory_of(vm, function);
    if (memory == NULL) {
        return NULL;
    }
    gm_frame_source_t source = gm_reservation_source(memory, backing);
    source.rights = rights;
    void *page = make_shared_page(memory, addr, &source, request);
    if (page == NULL) {
        gm_report(memory, function, addr, gm_page_last(addr));
    }
    return page;
}

void *create_allocated_reservation_frame(vm_t *vm, uintptr_t addr, seL4_CapRights_t rights,
                                         memory_fault_callback_fn alloc_fault_callback,
                                         void *alloc_fault_cookie)
{
    return create_frame(vm, addr, GUESTMEM_FREE_FRAMES, rights,
                        (gm_request_t){alloc_fault_callback, alloc_fault_cookie}, __func__);
}

void *create_device_reservation_frame(vm_t *vm, uintptr_t addr, seL4_CapRights_t rights,
                                      memory_fault_callback_fn fault_callback, void *fault_cookie)
{
    return create_frame(vm, addr, GUESTMEM_UNTYPED, rights,
                        (gm_request_t){fault_callback, fault_cookie}, __func__);
}

/*@ requires vm != \null && vm->mem.reservation_cookie != \null && gm_vm_ok(vm);
    requires gm_can_map(vm->mem.reservation_cookie, reservation);
    requires vm->mem.reservation_cookie->vm == vm;
    requires own: vm->mem.reservation_cookie->iospaces == \null;
    requires own: backing == GUESTMEM_FREE_FRAMES;
    assigns GM_RUNS, GM_SPACE(vm->mem.reservation_cookie);
    assigns vm->mem.reservation_cookie->untyped, vm->mem.reservation_cookie->error;
    assigns gm_list, gm_first, reservation->mapping, reservation->saved;
    ensures gm_tables_ok && gm_reserved == 0 && gm_refused >= \old(gm_refused);
    ensures gm_map_done{Pre, Post}(\result, reservation);
    ensures \result == 0 ==>
        (\old(vm->mem.reservation_cookie->map_time) == GUESTMEM_MAP_ON_FAULT ?
            gm_none_mapped{Pre, Post} : gm_mapped > \old(gm_mapped));
 */
static int map_backing(vm_t *vm, vm_memory_reservation_t *reservation, guestmem_backing_t backing,
                       const char *function)
{
    gm_memory_t *memory = memory_for(vm, reservation, function);
    /*@ assert reservation->mapping == \at(reservation->mapping, Pre) &&
            reservation->saved == \at(reservation->saved, Pre) &&
            reservation->base == \at(reservation->base, Pre) &&
            reservation->last == \at(reservation->last, Pre);
     */
    if (memory == NULL) {
        return -1;
    }
    //@ assert memory == \at(vm->mem.reservation_cookie, Pre);
    //@ assert memory->vm == \at(vm, Pre) && memory->vm->vka == \at(vm->vka, Pre);
    gm_frame_source_t source = gm_reservation_source(memory, backing);
    /*@ assert reservation->mapping == \at(reservation->mapping, Pre) &&
            reservation->saved == \at(reservation->saved, Pre) &&
            reservation->base == \at(reservation->base, Pre) &&
            reservation->last == \at(reservation->last, Pre);
     */
    return map_source(memory, reservation, &source, memory->map_time, function);
}

int map_ut_alloc_reservation_with_base_paddr(vm_t *vm, uintptr_t paddr,
                                             vm_memory_reservation_t *reservation)
{
    gm_memory_t *memory = memory_for(vm, reservation, __func__);
    if (memory == NULL) {
        return -1;
    }
    gm_frame_source_t source = gm_reservation_source(memory, GUESTMEM_UNTYPED);
    source.paddr_offset = paddr - reservation->base;
    if (gm_page_of(source.paddr_offset) != source.paddr_offset) {
        gm_fail(memory, GUESTMEM_MISALIGNED,
                "paddr 0x%" PRIxPTR " and the reservation differ modulo 4 KiB; for part of a page "
                "use guestmem_reserve_anon_at_offset()",
                paddr);
        return gm_report(memory, __func__, reservation->base, reservation->last);
    }
    if (paddr > UINTPTR_MAX - (reservation->last - reservation->base)) {
        gm_fail(memory, GUESTMEM_BAD_RANGE, "the physical range from 0x%" PRIxPTR " wraps", paddr);
        return gm_report(memory, __func__, reservation->base, reservation->last);
    }
    return map_source(memory, reservation, &source, memory->map_time, __func__);
}

int map_ut_alloc_reservation(vm_t *vm, vm_memory_reservation_t *reservation)
{
    return map_backing(vm, reservation, GUESTMEM_UNTYPED, __func__);
}

/*@ requires vm != \null && vm->mem.reservation_cookie != \null && gm_vm_ok(vm);
    requires gm_can_map(vm->mem.reservation_cookie, reservation);
    requires vm->mem.reservation_cookie->vm == vm;
    requires own: vm->mem.reservation_cookie->iospaces == \null;
    assigns GM_RUNS, GM_SPACE(vm->mem.reservation_cookie);
    assigns vm->mem.reservation_cookie->untyped, vm->mem.reservation_cookie->error;
    assigns gm_list, gm_first, reservation->mapping, reservation->saved;
    ensures gm_tables_ok && gm_reserved == 0 && gm_refused >= \old(gm_refused);
    ensures gm_map_done{Pre, Post}(\result, reservation);
    ensures \result == 0 ==>
        (\old(vm->mem.reservation_cookie->map_time) == GUESTMEM_MAP_ON_FAULT ?
            gm_none_mapped{Pre, Post} : gm_mapped > \old(gm_mapped));
 */
int map_frame_alloc_reservation(vm_t *vm, vm_memory_reservation_t *reservation)
{
    return map_backing(vm, reservation, GUESTMEM_FREE_FRAMES, __func__);
}

int map_maybe_device_reservation(vm_t *vm, vm_memory_reservation_t *reservation)
{
    return map_backing(vm, reservation, GUESTMEM_MAYBE_DEVICE, __func__);
}

/* Faults. What an emulated device's faults do not need is kept out of their way. */

static __attribute__((noinline)) memory_fault_result_t fault_unhandled(vm_t *vm)
{
    gm_memory_t *memory = gm_memory_of(vm, "vm_memory_handle_fault");
    if (memory == NULL) {
        return FAULT_ERROR;
    }
    memory->counts.faults_unhandled++;
    return FAULT_UNHANDLED;
}

/* A fault in a mapped reservation, or at the end of one. */
static __attribute__((noinline)) memory_fault_result_t
fault_in(vm_t *vm, vm_memory_reservation_t *reservation, vm_vcpu_t *vcpu, uintptr_t addr,
         size_t size)
{
    gm_memory_t *memory = gm_memory_of(vm, "vm_memory_handle_fault");
    if (memory == NULL) {
        return FAULT_ERROR;
    }
    if (size > 0 && size - 1 > reservation->last - addr) {
        gm_fail_range(memory, GUESTMEM_BAD_RANGE, reservation->base, reservation->last,
                      reservation->name, "the access crosses the end of the reservation", NULL);
        gm_report_guest(memory, "vm_memory_handle_fault", addr, gm_last_of(addr, size));
        return FAULT_ERROR;
    }
    switch (gm_reservation_fault(memory, reservation, addr)) {
    case GM_FAULT_MAPPED:
        return FAULT_RESTART;
    case GM_FAULT_FAILED:
        gm_report(memory, "vm_memory_handle_fault", addr, gm_last_of(addr, size));
        return FAULT_ERROR;
    default:
        return reservation->request.fault_callback(vm, vcpu, addr, size,
                                                   reservation->request.fault_cookie);
    }
}

memory_fault_result_t vm_memory_handle_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size)
{
    const gm_memory_t *memory = vm != NULL ? vm->mem.reservation_cookie : NULL;
    if (memory == NULL || memory->reservations.num_chunks == 0) {
        return fault_unhandled(vm);
    }
    vm_memory_reservation_t *reservation = gm_range_map_nearest(&memory->reservations, addr);
    if (addr - reservation->base > reservation->last - reservation->base) {
        return fault_unhandled(vm);
    }
    reservation->faults++;
    if (reservation->mapping != NULL || size > reservation->last - addr) {
        return fault_in(vm, reservation, vcpu, addr, size);
    }
    /* The callback may free the reservation: it is not looked at afterwards. */
    return reservation->request.fault_callback(vm, vcpu, addr, size,
                                               reservation->request.fault_cookie);
}
