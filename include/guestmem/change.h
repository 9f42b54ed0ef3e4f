/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Memory that changes while the guest runs: taken back and given again (a balloon, memory that is
 * unplugged), with other rights, shared with another guest, or watched for being written.
 *
 * The guest may run while these calls are made, on another core as well.
 */

#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Give back the frames that lie wholly in `[addr, addr + size)`, with what is in them.
 *
 * Pages that a large frame holds only in part stay, as does what has no frame already. What the
 * next access finds is up to guestmem_set_discarded() in <guestmem/policy.h>. Frames that come
 * again have the rights that the reservation was mapped with. RAM stays RAM. Where the frames were
 * at chosen physical addresses, the same ones come again, if nobody has taken them meanwhile.
 * Pointers into what is given back become invalid. Devices in IO spaces lose it as well, and get it
 * again with the guest.
 *
 * @param vm         the VM
 * @param addr       GPA
 * @param size       bytes, at least 1; within one mapped reservation
 * @param discarded  receives how many bytes were given back; NULL is allowed
 * @return 0; -1 with nothing changed if an argument is bad, a frame in the range is not the
 *         library's to give back (a caller's, a device's, or one that came from `vm->simple`), or
 *         the heap is exhausted
 */
int guestmem_discard(vm_t *vm, uintptr_t addr, size_t size, size_t *discarded);

/**
 * Back all pages of `[addr, addr + size)` that have no frames, as they were mapped: after
 * guestmem_discard(), or where GUESTMEM_MAP_ON_FAULT is still to map. Large frames are taken where
 * they fit into the range.
 *
 * @param vm    the VM
 * @param addr  GPA
 * @param size  bytes, at least 1; within one mapped reservation
 * @return 0, also if nothing is missing; -1 with nothing changed if an argument is bad, a frame
 *         cannot be had, or the kernel refuses
 */
int guestmem_populate(vm_t *vm, uintptr_t addr, size_t size);

/**
 * Change what the guest may do with `[addr, addr + size)`. What it may no longer do faults into the
 * reservation's callback. What the VMM may do does not change.
 *
 * @param vm      the VM
 * @param addr    GPA
 * @param size    bytes, at least 1; within one mapped reservation, whole frames, each of which is
 *                there
 * @param rights  to the library's frames; to a caller's, no more than it was handed in with
 * @return 0; -1 with nothing changed if an argument is bad, part of the range has no frame, it cuts
 *         a large frame (guestmem_last_error() has it as the other range), the VM has IO spaces,
 *         the heap is exhausted, or the kernel refuses
 */
int guestmem_protect(vm_t *vm, uintptr_t addr, size_t size, seL4_CapRights_t rights);

/**
 * Give a second VM the frames that a VM has at `[addr, addr + size)`: both then see the same
 * memory.
 *
 * Each of the VMs has capabilities of its own, and either may be ended first, or free its
 * reservation: the memory goes back to the allocator that it came from with the last. That
 * allocator must be there until then. What either VM does with its reservation (other rights,
 * tracking) is its own; large frames that are shared are not broken. guestmem_discard() in the
 * VM that shares ends the sharing of what it gives back; in the other VM it is refused. Frames of a
 * caller's, which it frees, must be there until the reservation is freed.
 *
 * From then on calls for these two VMs must not be made at the same time: not on two threads
 * without a lock.
 *
 * @param from            the VM that has the memory; both VMs' allocators use one CSpace
 * @param addr            GPA there
 * @param size            bytes, at least 1; within one mapped reservation, whole frames, each of
 *                        which is there
 * @param to              the VM that gets it; it may be the same one
 * @param to_addr         GPA there; modulo the size of each frame it must be `addr`
 * @param rights          of the guest in `to`; to frames of a caller's, no more than they were
 *                        handed in with
 * @param fault_callback  called for accesses that `rights` forbid; not NULL
 * @param cookie          passed on to it; stays the caller's
 * @return a reservation of `to`, mapped, to be freed with vm_free_reserved_memory(); NULL with
 *         nothing changed in either VM, and guestmem_last_error(to) says why
 */
vm_memory_reservation_t *guestmem_share(vm_t *from, uintptr_t addr, size_t size, vm_t *to,
                                        uintptr_t to_addr, seL4_CapRights_t rights,
                                        memory_fault_callback_fn fault_callback, void *cookie);

/** What guestmem_track_written() notes. */
typedef enum guestmem_track {
    GUESTMEM_TRACK_NOTHING, /**< nothing (any more) */
    GUESTMEM_TRACK_FRAMES,  /**< which frames are written, large or small as they are */
    GUESTMEM_TRACK_PAGES    /**< which pages of 4 KiB are: large frames are broken into small ones
                                 first, with what is in them */
} guestmem_track_t;

/**
 * Begin or end to note which frames of a reservation are written.
 *
 * Begun, the guest loses the right to write them; its first write to a frame faults, is noted, and
 * runs again, without a callback. What the VMM writes with guestmem_write(), guestmem_fill() and
 * guestmem_copy() is noted too, and what it touches with a callback other than
 * vm_guest_ram_read_callback(). Frames to which it has a pointer (guestmem_pointer(), or those of
 * create_allocated_reservation_frame()) count as written at all times, for lack of better
 * knowledge. A caller's frames must have been handed in with no more rights than their capabilities
 * have, or a write that these forbid runs again for ever. Not seen is what others write that share
 * the frames (vspace_share_mem_at_vaddr(), guestmem_share()).
 *
 * It takes a kernel invocation for each frame that the guest may write. Breaking frames takes as
 * much free memory as they have, until the call returns, and is possible where they are the
 * library's, at no chosen physical address, and the VMM has no pointer to them; what comes
 * later may be large again. guestmem_set_largest_frame() is the way to have small ones at once.
 *
 * @param vm           the VM
 * @param reservation  one of its reservations, mapped
 * @param track        from now on; where that is new, nothing is written yet
 * @return 0, also if it is so already; -1 with nothing changed if an argument is bad, the frames
 *         are a device's, the VM has IO spaces, large frames cannot be broken, memory or heap is
 *         exhausted, or the kernel refuses
 */
int guestmem_track_written(vm_t *vm, vm_memory_reservation_t *reservation, guestmem_track_t track);

/**
 * Called for what was written. It may access the guest's memory, but not change what
 * <guestmem/change.h> changes, nor free the reservation.
 *
 * @param vm      the VM
 * @param addr    GPA
 * @param size    bytes: a frame, as far as it is the reservation's
 * @param cookie  the caller's
 * @return 0 to go on; anything else ends the report
 */
typedef int (*guestmem_written_fn)(vm_t *vm, uintptr_t addr, size_t size, void *cookie);

/**
 * Report what was written since tracking began or the last report, in ascending order, and watch it
 * again: what is written from now on is in the next report, even while this one is made.
 *
 * Frames that came meanwhile are reported as written, and pages that were discarded as well, each
 * by itself if it has no frame now. It takes a kernel invocation for each written frame.
 *
 * @param vm           the VM
 * @param reservation  one of its reservations, tracked
 * @param callback     called for each; not NULL
 * @param cookie       passed on to it; stays the caller's
 * @return 0; what the callback returned if it ended the report: what was not reported is in the
 *         next one; -1 with nothing changed if an argument is bad, the reservation is not tracked,
 *         or the kernel refuses
 */
int guestmem_written(vm_t *vm, vm_memory_reservation_t *reservation, guestmem_written_fn callback,
                     void *cookie);

/** The content of a VM's RAM at some time. */
typedef struct guestmem_saved guestmem_saved_t;

/**
 * Keep the content of the VM's RAM, to bring it back with guestmem_restore().
 *
 * It is copied to the VM's heap, but for pages of zeroes. From now on all RAM is tracked, as by
 * guestmem_track_written(), in frames, or as it is tracked already; neither that call nor
 * guestmem_written() is for RAM then. All that it says about what is noted, what counts as written
 * and what cannot be tracked holds here. A VM has one saved state at a time.
 *
 * The guest must not run during the call. Its VCPUs and devices, and reservations that are no RAM,
 * are up to the caller.
 *
 * @param vm  the VM
 * @return NULL with nothing changed if one is saved already, RAM cannot be tracked or read by the
 *         VMM, the heap is exhausted, or the kernel refuses; else to be freed with
 *         guestmem_free_saved(), or with the VM
 */
guestmem_saved_t *guestmem_save(vm_t *vm);

/**
 * Bring the content of all RAM back to what it was, and the list of RAM with it: which of it is
 * allocated. Only what was written since the save or the last restore is touched. Pages that were
 * discarded get frames again; others that had none then, and have some now, are zeroed. Rights stay
 * as they are, and a caller's frames that were handed in without the right to write.
 *
 * The guest must not run during the call. Instruction caches are made to forget what was there
 * before, but for memory that the kernel does not clean from the caches.
 *
 * It takes a kernel invocation for each frame that the guest has written, one for each page of
 * 4 KiB that has changed, and what it takes to map in the VMM what is not mapped there already.
 *
 * @param vm     the VM
 * @param saved  from guestmem_save()
 * @return 0; -1 with nothing changed if it is not the VM's saved state, a reservation was made,
 *         mapped or freed after the save, a frame for what was discarded cannot be had, the heap is
 *         exhausted, or the kernel refuses. Where the VMM has no windows, or caches must be
 *         cleaned, it may fail half-way; another restore completes it.
 */
int guestmem_restore(vm_t *vm, guestmem_saved_t *saved);

/**
 * Free what guestmem_save() returned, and end the tracking that it began.
 *
 * @param vm     the VM
 * @param saved  its saved state; NULL is allowed
 */
void guestmem_free_saved(vm_t *vm, guestmem_saved_t *saved);

#ifdef __cplusplus
}
#endif
