/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Frames are tried from the largest size that alignment and room allow down to 4 KiB. Regular
 * memory comes zeroed from the kernel; memory of device untypeds does not, so for RAM it is cleared
 * here, before the guest can see it.
 */

#include <inttypes.h>
#include <vka/capops.h>
#include <vka/object.h>
#include "arch_paging.h"
#include "frame_source.h"
#include "io_space.h"
#include "memory.h"
#include "vmm_frame.h"

/* Whether memory may come from device untypeds. */
typedef enum device_use { REGULAR_ONLY, DEVICE_TOO } device_use_t;

/* Whether a physical address belongs to a device untyped; one that belongs to none is a device's.
 */
static bool is_device_memory(simple_t *simple, uintptr_t paddr)
{
    int count = simple != NULL ? simple_get_untyped_count(simple) : 0;
    for (int i = 0; i < count; i++) {
        size_t size_bits = 0;
        uintptr_t base = 0;
        bool device = true;
        simple_get_nth_untyped(simple, i, &size_bits, &base, &device);
        if (paddr >= base && paddr - base < ((uintptr_t)1 << size_bits)) {
            return device;
        }
    }
    return true;
}

static int no_slot(vm_memory_t *memory)
{
    return memory_blame(
        memory, GUESTMEM_NO_SLOT,
        "the allocator has no capability slot for a frame; give it a larger CSpace");
}

static int acquire_free(vm_memory_t *memory, int size, device_use_t device_use, frame_t *frame)
{
    vka_t *vka = memory->vm->vka;
    cspacepath_t path;
    if (vka_cspace_alloc_path(vka, &path) != 0) {
        return no_slot(memory);
    }
    memory->counts.object_allocations++;
    if (vka_utspace_alloc_maybe_device(vka, &path, arch_frames[size].type, arch_frames[size].bits,
                                       device_use == DEVICE_TOO, &frame->guest.cookie) != 0) {
        vka_cspace_free_path(vka, path);
        return memory_blame(memory, GUESTMEM_NO_FRAME,
                            "the allocator has no free frame; give it more untyped memory");
    }
    frame->guest.cap = path.capPtr;
    frame->origin = FRAME_ORIGIN_ALLOCATOR;
    return 0;
}

/*
 * The allocator is asked before simple. Where both have the memory, a root task's simple takes it
 * from the untyped behind the allocator's back, which then has nothing more of that untyped.
 */
static int acquire_at(vm_memory_t *memory, int size, uintptr_t paddr, frame_t *frame)
{
    vka_t *vka = memory->vm->vka;
    simple_t *simple = memory->vm->simple;
    cspacepath_t path;
    if (vka_cspace_alloc_path(vka, &path) != 0) {
        return no_slot(memory);
    }
    frame->guest.cap = path.capPtr;
    frame->origin = FRAME_ORIGIN_ALLOCATOR;
    memory->counts.object_allocations++;
    if (vka_utspace_alloc_at(vka, &path, arch_frames[size].type, arch_frames[size].bits, paddr,
                             &frame->guest.cookie) == 0) {
        return 0;
    }
    frame->origin = FRAME_ORIGIN_SIMPLE;
    if (simple != NULL && simple->frame_cap != NULL &&
        simple_get_frame_cap(simple, (void *)paddr, arch_frames[size].bits, &path) ==
            seL4_NoError) {
        return 0;
    }
    vka_cspace_free_path(vka, path);
    return memory_blame(memory, GUESTMEM_NO_FRAME,
                        "no free untyped memory at paddr 0x%" PRIxPTR
                        "; the board has none there, or it is in use",
                        paddr);
}

/* Set the attributes of an acquired frame, and clear it if it must be. */
static int prepare_frame(vm_memory_t *memory, const frame_source_t *source, bool device,
                         frame_t *frame)
{
    frame->rights = source->rights;
    frame->cacheable = !device || source->use == FRAME_USE_RAM;
    if (device && source->use == FRAME_USE_RAM &&
        vmm_frame_clear(memory, frame->guest.cap, frame->size_bits) != 0) {
        frame_source_release(memory, frame->guest, frame->origin, frame->size_bits);
        return -1;
    }
    return 0;
}

/* Acquire a frame of the size with that index for `frame->base`. */
static int acquire_size(vm_memory_t *memory, const frame_source_t *source, int size,
                        device_use_t device_use, frame_t *frame)
{
    bool device = device_use == DEVICE_TOO;
    frame->size_bits = arch_frames[size].bits;
    if (source->backing == GUESTMEM_UNTYPED) {
        uintptr_t paddr = frame->base + source->paddr_offset;
        device = is_device_memory(memory->vm->simple, paddr);
        if (acquire_at(memory, size, paddr, frame) != 0) {
            return -1;
        }
    } else if (acquire_free(memory, size, device_use, frame) != 0) {
        return -1;
    }
    return prepare_frame(memory, source, device, frame);
}

bool frame_source_fits(const frame_source_t *source, int size, uintptr_t gpa, uintptr_t first,
                       uintptr_t last, uintptr_t *base)
{
    uintptr_t mask = ((uintptr_t)1 << arch_frames[size].bits) - 1;
    *base = gpa & ~mask;
    return arch_frames[size].bits <= source->largest_bits && *base >= first &&
           (*base | mask) <= last &&
           (source->backing != GUESTMEM_UNTYPED || (source->paddr_offset & mask) == 0);
}

size_t frame_source_expected(const frame_source_t *source, uintptr_t base, size_t size_bits,
                             uintptr_t last)
{
    size_t frames = (size_t)((last - base) >> size_bits) + 1;
    if (source->backing != GUESTMEM_CALLER) {
        for (int size = arch_frame_index(size_bits) + 1; size < ARCH_NUM_FRAME_SIZES; size++) {
            uintptr_t larger = (uintptr_t)1 << arch_frames[size].bits;
            uintptr_t room = larger - (base & (larger - 1));
            if (arch_frames[size].bits <= source->largest_bits && frames > room >> size_bits) {
                frames = (size_t)(room >> size_bits);
            }
        }
    }
    return frames;
}

static int acquire_largest(vm_memory_t *memory, const frame_source_t *source,
                           device_use_t device_use, uintptr_t gpa, uintptr_t first, uintptr_t last,
                           frame_t *frame)
{
    for (int size = ARCH_NUM_FRAME_SIZES - 1; size >= 0; size--) {
        if (frame_source_fits(source, size, gpa, first, last, &frame->base) &&
            acquire_size(memory, source, size, device_use, frame) == 0) {
            return 0;
        }
    }
    return -1; /* a 4 KiB frame always fits, so the last attempt has blamed the cause */
}

/* Ask the iterator, and check what it hands out. */
static int acquire_from_caller(vm_memory_t *memory, const frame_source_t *source, uintptr_t gpa,
                               uintptr_t first, uintptr_t last, frame_t *frame)
{
    uintptr_t asked = gpa < source->iterator_from ? source->iterator_from : gpa;
    vm_frame_t given = source->iterator(asked, source->cookie);
    if (given.cptr == seL4_CapNull) {
        return memory_blame(memory, GUESTMEM_NO_FRAME,
                            "the map iterator gave no frame for GPA 0x%" PRIxPTR, asked);
    }
    if (arch_frame_index(given.size_bits) < 0) {
        return memory_blame(memory, GUESTMEM_BAD_FRAME,
                            "the map iterator's frame for GPA 0x%" PRIxPTR
                            " has 2^%zu bytes, which is no frame size",
                            asked, given.size_bits);
    }
    uintptr_t mask = ((uintptr_t)1 << given.size_bits) - 1;
    if ((given.vaddr & mask) != 0 || asked < given.vaddr || asked - given.vaddr > mask) {
        return memory_blame(memory, GUESTMEM_BAD_FRAME,
                            "the map iterator's frame of 2^%zu bytes at 0x%" PRIxPTR
                            " is misaligned or does not hold GPA 0x%" PRIxPTR,
                            given.size_bits, given.vaddr, asked);
    }
    if (given.vaddr < first || (given.vaddr | mask) > last) {
        return memory_blame(memory, GUESTMEM_BAD_FRAME,
                            "the map iterator's frame of 2^%zu bytes at 0x%" PRIxPTR
                            " reaches beyond the free pages of the reservation",
                            given.size_bits, given.vaddr);
    }
    *frame = (frame_t){
        .base = given.vaddr,
        .size_bits = given.size_bits,
        .rights = given.rights,
        .cacheable = source->cacheable,
        .origin = FRAME_ORIGIN_CALLER,
        .guest = {.cap = given.cptr},
    };
    return 0;
}

int frame_source_acquire(vm_memory_t *memory, const frame_source_t *source, uintptr_t gpa,
                         uintptr_t first, uintptr_t last, frame_t *frame)
{
    *frame = (frame_t){0};
    if (source->backing == GUESTMEM_CALLER) {
        return acquire_from_caller(memory, source, gpa, first, last, frame);
    }
    frame_source_t limited = *source;
    limited.largest_bits = io_spaces_largest_frame(memory, source->largest_bits);
    if (acquire_largest(memory, &limited, REGULAR_ONLY, gpa, first, last, frame) == 0) {
        return 0;
    }
    if (source->backing != GUESTMEM_MAYBE_DEVICE) {
        return -1;
    }
    return acquire_largest(memory, &limited, DEVICE_TOO, gpa, first, last, frame);
}

void frame_source_release(vm_memory_t *memory, guest_frame_t frame, frame_origin_t origin,
                          size_t size_bits)
{
    if (origin == FRAME_ORIGIN_CALLER) {
        return;
    }
    vka_t *vka = memory->vm->vka;
    cspacepath_t path;
    vka_cspace_make_path(vka, frame.cap, &path);
    memory->counts.cap_deletes++;
    if (vka_cnode_delete(&path) != seL4_NoError) {
        return; /* the guest may still reach it: better lost than given to another */
    }
    vka_cspace_free_path(vka, path);
    if (origin == FRAME_ORIGIN_ALLOCATOR) {
        vka_utspace_free(vka, arch_frames[arch_frame_index(size_bits)].type, size_bits,
                         frame.cookie);
    }
}

void frame_source_release_run(vm_memory_t *memory, const frame_run_t *run)
{
    for (size_t i = run->count; i > 0; i--) {
        frame_source_release(memory, run->frames[i - 1], run->origin, run->size_bits);
    }
}
