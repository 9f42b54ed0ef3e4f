/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * See what a VM's memory is made of: reservations, their names and backing, statistics.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sel4vm/guest_vm.h>
#include <sel4vm/guest_memory.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Frame sizes of all architectures, as an index into counts; those of sizes that an architecture
 * does not have are 0. Not in order of size, so that the first three keep their values.
 */
typedef enum guestmem_frame_size {
    GUESTMEM_FRAME_4K,
    GUESTMEM_FRAME_2M,
    GUESTMEM_FRAME_1G,  /**< aarch64 */
    GUESTMEM_FRAME_64K, /**< arm_hyp */
    GUESTMEM_FRAME_32M, /**< arm_hyp */
    GUESTMEM_NUM_FRAME_SIZES
} guestmem_frame_size_t;

/**
 * The bytes of a frame, as a power of two.
 *
 * @param size  a frame size of any architecture
 * @return e.g. 12 for GUESTMEM_FRAME_4K; 0 if the architecture has no frames of that size
 */
size_t guestmem_frame_size_bits(guestmem_frame_size_t size);

/** How a reservation is backed. */
typedef enum guestmem_backing {
    GUESTMEM_EMULATED,     /**< no frames: each access faults */
    GUESTMEM_FREE_FRAMES,  /**< frames of the allocator */
    GUESTMEM_MAYBE_DEVICE, /**< frames of the allocator, of device untypeds too */
    GUESTMEM_UNTYPED,      /**< the physical memory at chosen addresses */
    GUESTMEM_CALLER,       /**< frames that an iterator or array handed in */
    GUESTMEM_SHARED,       /**< frames of another reservation, by guestmem_share() */
} guestmem_backing_t;

/** What there is to know about a reservation. */
typedef struct guestmem_reservation_info {
    uintptr_t base;                          /**< first GPA */
    uintptr_t last;                          /**< last GPA (inclusive) */
    const char *name;                        /**< "" if it has none; valid until renamed or freed */
    guestmem_backing_t backing;              /**< where its frames come from */
    bool anonymous;                          /**< its address was taken from an anonymous region */
    bool ram;                                /**< registered as RAM */
    bool mapped;                             /**< has frames, or will get them on fault */
    size_t frames[GUESTMEM_NUM_FRAME_SIZES]; /**< frames mapped now, by size */
    seL4_CapRights_t rights;                 /**< the guest's, of the first frame */
    bool cacheable;                          /**< the first frame's attribute */
    uint64_t faults;                         /**< faults dispatched to it */
} guestmem_reservation_info_t;

/**
 * The reservation that holds a GPA.
 *
 * @param vm    the VM
 * @param addr  GPA
 * @return owned by the VM; NULL if there is none
 */
vm_memory_reservation_t *guestmem_find_reservation(vm_t *vm, uintptr_t addr);

/**
 * The reservation with the lowest address above `reservation`; the lowest of all for NULL.
 *
 * @param vm           the VM
 * @param reservation  one of its reservations, or NULL
 * @return NULL after the last, or if `reservation` is none of this VM's
 */
vm_memory_reservation_t *guestmem_next_reservation(vm_t *vm, vm_memory_reservation_t *reservation);

/**
 * Describe a reservation.
 *
 * @param vm           the VM
 * @param reservation  one of its reservations
 * @param info         receives the description; written only on success
 * @return 0; -1 if it is none of this VM's
 */
int guestmem_reservation_info(vm_t *vm, vm_memory_reservation_t *reservation,
                              guestmem_reservation_info_t *info);

/** What there is to know about a frame that is mapped in the guest. */
typedef struct guestmem_frame_info {
    uintptr_t base;          /**< its first GPA */
    size_t size_bits;        /**< its size, as a power of two */
    seL4_CPtr cap;           /**< the capability that is mapped; stays the owner's */
    seL4_CapRights_t rights; /**< the guest's */
    bool cacheable;          /**< whether it is cached, in the guest and the VMM */
    bool caller;             /**< handed in by an iterator or array, whose owner's it is */
} guestmem_frame_info_t;

/**
 * Describe the frame at a GPA.
 *
 * @param vm    the VM
 * @param addr  GPA
 * @param info  receives the description; written only on success
 * @return 0; -1 if no frame is mapped there, or `info` is NULL
 */
int guestmem_frame_info(vm_t *vm, uintptr_t addr, guestmem_frame_info_t *info);

/**
 * Name a reservation, for errors, logs and maps.
 *
 * @param vm           the VM
 * @param reservation  one of its reservations
 * @param name         copied, cut to GUESTMEM_NAME_SIZE - 1 bytes; NULL or "" removes the name
 * @return 0; -1 if the reservation is none of this VM's, or the heap is exhausted
 */
int guestmem_name_reservation(vm_t *vm, vm_memory_reservation_t *reservation, const char *name);

/** What a VM's memory consists of now, and what it has asked of the kernel so far. */
typedef struct guestmem_statistics {
    size_t reservations;                     /**< of all kinds */
    size_t anonymous_regions;                /**< made with vm_memory_make_anon() */
    size_t frames[GUESTMEM_NUM_FRAME_SIZES]; /**< mapped in the guest, by size */
    size_t page_tables;                      /**< objects below the root */
    size_t window_frames;                    /**< guest frames that the VMM has mapped in windows */
    size_t heap_bytes;                       /**< held from malloc_ops */
    size_t heap_blocks;                      /**< in as many allocations */
    uint64_t faults;                         /**< calls of vm_memory_handle_fault() */
    uint64_t faults_unhandled;               /**< of them, with no reservation at the address */
    uint64_t page_maps;          /**< frames mapped in the guest and IO spaces, and large
                                      ones in the VMM */
    uint64_t page_unmaps;        /**< frames unmapped */
    uint64_t table_maps;         /**< page tables mapped */
    uint64_t cap_copies;         /**< capabilities copied */
    uint64_t cap_deletes;        /**< capabilities deleted */
    uint64_t object_allocations; /**< frames and tables asked of the vka */
    uint64_t lost_objects;       /**< what the kernel refused to undo: objects whose
                                      slot and memory stay taken, rather than go to
                                      another while the guest may still reach them, a
                                      caller's frames that stay mapped, frames that the
                                      guest does without or has other rights to, and pages
                                      whose old instructions it may still execute after a
                                      restore */
    uint64_t errors_not_logged;  /**< errors that a guest caused and that were too many
                                      to log */
} guestmem_statistics_t;

/**
 * Get a VM's statistics.
 *
 * @param vm          the VM
 * @param statistics  receives them; written only on success
 * @return 0; -1 if an argument is NULL or the VM has no memory management
 */
int guestmem_get_statistics(vm_t *vm, guestmem_statistics_t *statistics);

/**
 * Takes a line of a description.
 *
 * @param line    without its end; valid until the call returns
 * @param cookie  as given to guestmem_describe()
 */
typedef void (*guestmem_print_fn)(const char *line, void *cookie);

/**
 * Describe a VM's memory for people: a line for each reservation, by address, with its range, size,
 * name, backing, the guest's rights, and the frames that are mapped now; then the anonymous
 * regions, and how much there is in all. What the lines look like may change.
 *
 * No memory is allocated and the kernel is not called, so it can be called while something is
 * wrong; in a debugger of the VMM, `call guestmem_describe(vm, puts, 0)`.
 *
 * @param vm      the VM
 * @param print   called for each line; not NULL. It must not change this VM's memory
 * @param cookie  passed on to it; stays the caller's
 * @return 0; -1 if an argument is NULL or the VM has no memory management
 */
int guestmem_describe(vm_t *vm, guestmem_print_fn print, void *cookie);

#ifdef __cplusplus
}
#endif
