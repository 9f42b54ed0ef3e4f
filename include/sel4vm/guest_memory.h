/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Reservations: ranges of guest-physical addresses (GPA) with a fault callback, which may be backed
 * by frames.
 *
 * A reservation without frames is *emulated*: each access of the guest faults into its callback. A
 * mapped reservation covers the 4 KiB pages that it touches, and only accesses that its rights
 * forbid reach the callback. Reservations are byte-granular and never overlap; several emulated
 * ones may share a page, a mapped one shares none.
 *
 * Each call either does all that it says or changes nothing. A call that fails returns -1 or NULL,
 * logs one line, and leaves the reason with guestmem_last_error() of <guestmem/error.h>. One VM is
 * driven by one thread at a time; different VMs share nothing.
 */

#include <stddef.h>
#include <stdint.h>
#include <sel4/sel4.h>
#include <sel4vm/arch/guest_memory_arch.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A VM; see <sel4vm/guest_vm.h>. */
typedef struct vm vm_t;
/** A VCPU; see <sel4vm/guest_vm.h>. */
typedef struct vm_vcpu vm_vcpu_t;

/** A frame that a map iterator hands out. */
typedef struct vm_frame {
    seL4_CPtr cptr;          /**< frame capability, not mapped anywhere; seL4_CapNull: no frame */
    seL4_CapRights_t rights; /**< what the guest may do: read, read-write, or nothing (no rights, or
                                  write without read); what it may not do faults. The VMM does no
                                  more either. Not more than the capability has */
    uintptr_t vaddr;         /**< GPA of the frame's first byte, a multiple of its size */
    size_t size_bits;        /**< size, as a power of two: 12, 21 or 30 on aarch64; plus, if the
                                  caller wants to say it, how it is cached: GUESTMEM_FRAME_CACHED or
                                  GUESTMEM_FRAME_UNCACHED of <guestmem/memory.h> */
} vm_frame_t;

/** What a fault callback made of a fault. */
typedef enum memory_fault_result {
    FAULT_HANDLED,   /**< handled; the callback advanced or restarted the VCPU itself */
    FAULT_UNHANDLED, /**< not handled; the VM's unhandled-fault callback is asked */
    FAULT_RESTART,   /**< run the access again */
    FAULT_IGNORE,    /**< skip the access */
    FAULT_ERROR      /**< handling it failed; the VM stops */
} memory_fault_result_t;

/**
 * Called when the guest makes an access that stage 2 does not allow.
 *
 * It may reserve, map and free (its own reservation too), and touch guest RAM.
 *
 * @param vm            the VM
 * @param vcpu          the VCPU whose access it is
 * @param fault_addr    GPA of the access
 * @param fault_length  its width in bytes
 * @param cookie        as given with the callback
 */
typedef memory_fault_result_t (*memory_fault_callback_fn)(vm_t *vm, vm_vcpu_t *vcpu,
                                                          uintptr_t fault_addr, size_t fault_length,
                                                          void *cookie);

/**
 * Hands out the frame for a GPA of a reservation that is being mapped.
 *
 * The frame must lie inside the pages of the reservation and not overlap others. When a reservation
 * is mapped whole, frames may come in any order; on a fault, the frame must cover `addr`. Its
 * capability stays the caller's: it is unmapped when the reservation is freed, never deleted. The
 * iterator must not call the library for the same VM.
 *
 * @param addr    GPA; the first is the reservation's address, then the address of its first page
 * and the bytes handed out so far; on a fault, the address of the access
 * @param cookie  as given to vm_map_reservation()
 * @return a frame, or one with `cptr` seL4_CapNull to fail the map
 */
typedef vm_frame_t (*memory_map_iterator_fn)(uintptr_t addr, void *cookie);

/** A reservation: a handle that the library gives out. */
typedef struct vm_memory_reservation vm_memory_reservation_t;
/** What the library keeps for a VM, in `vm->mem.reservation_cookie`. */
typedef struct vm_memory_reservation_cookie vm_memory_reservation_cookie_t;

/**
 * Reserve `[addr, addr + size)`.
 *
 * @param vm              the VM
 * @param addr            GPA, any alignment
 * @param size            bytes, at least 1; the range may end at the top of the address space but
 *                        not wrap
 * @param fault_callback  called on faults in the range; not NULL
 * @param cookie          passed on to it; stays the caller's
 * @return the reservation, owned by the VM until vm_free_reserved_memory() or vm_memory_destroy();
 *         NULL if an argument is bad, the range overlaps a reservation or an anonymous region,
 *         touches a page of a mapped reservation, or the heap is exhausted
 */
vm_memory_reservation_t *vm_reserve_memory_at(vm_t *vm, uintptr_t addr, size_t size,
                                              memory_fault_callback_fn fault_callback,
                                              void *cookie);

/**
 * Reserve `size` bytes at a free address of an anonymous region.
 *
 * The lowest fitting address of the oldest region with room is taken. The reservation occupies
 * whole 4 KiB pages, so it can always be mapped.
 *
 * @param vm              the VM
 * @param size            bytes, at least 1
 * @param align           power of two; less than 4 KiB counts as 4 KiB
 * @param fault_callback  called on faults in the range; not NULL
 * @param cookie          passed on to it; stays the caller's
 * @param addr            receives the GPA; not NULL, written only on success
 * @return as vm_reserve_memory_at(); NULL also if no anonymous region has room
 * @see vm_memory_make_anon
 */
vm_memory_reservation_t *vm_reserve_anon_memory(vm_t *vm, size_t size, size_t align,
                                                memory_fault_callback_fn fault_callback,
                                                void *cookie, uintptr_t *addr);

/**
 * Make `[addr, addr + size)` an anonymous region, from which vm_reserve_anon_memory() and
 * vm_ram_register() take addresses. It lives as long as the VM's memory.
 *
 * @param vm    the VM
 * @param addr  GPA
 * @param size  bytes, at least 1
 * @return 0; -1 if an argument is bad, the range overlaps a reservation or another region, or the
 *         heap is exhausted
 */
int vm_memory_make_anon(vm_t *vm, uintptr_t addr, size_t size);

/**
 * Free a reservation of any kind, and its frames.
 *
 * Frames that the library acquired go back to where they came from; frames that a caller's iterator
 * handed in are unmapped and stay the caller's. Pointers that create_allocated_reservation_frame()
 * or create_device_reservation_frame() gave for it become invalid, and so does the handle. RAM
 * stops being RAM.
 *
 * @param vm           the VM
 * @param reservation  one of its reservations; the handle is invalid after the call
 * @return 0; -1 if `reservation` is none of this VM's
 */
int vm_free_reserved_memory(vm_t *vm, vm_memory_reservation_t *reservation);

/**
 * Map a reservation with the frames that an iterator hands out.
 *
 * With GUESTMEM_MAP_ON_FAULT (see <guestmem/policy.h>) the iterator is kept and asked for one frame
 * at each first fault; `cookie` must live until the reservation is fully mapped or freed.
 *
 * @param vm            the VM
 * @param reservation   one of its reservations
 * @param map_iterator  see memory_map_iterator_fn; not NULL
 * @param cookie        passed on to it; stays the caller's
 * @return 0; -1 with nothing mapped if an argument is bad, the reservation is mapped already,
 * shares a page with another reservation, lies outside the guest's address space, a frame does not
 *         fit, or the kernel or an allocator refuses
 */
int vm_map_reservation(vm_t *vm, vm_memory_reservation_t *reservation,
                       memory_map_iterator_fn map_iterator, void *cookie);

/**
 * As vm_map_reservation(), in the call whatever the policy is; the runtime calls it on x86_64.
 *
 * @param vm              the VM
 * @param vm_reservation  one of its reservations
 * @param map_iterator    see memory_map_iterator_fn; not NULL
 * @param map_cookie      passed on to it; not kept
 * @return as vm_map_reservation()
 */
int map_vm_memory_reservation(vm_t *vm, vm_memory_reservation_t *vm_reservation,
                              memory_map_iterator_fn map_iterator, void *map_cookie);

/**
 * Map a reservation, at once, with an array of frames of one size, with all rights, which the
 * capabilities must have.
 *
 * @param vm               the VM
 * @param reservation      one of its reservations
 * @param frames           capabilities in ascending order of GPA; the array may go after the call,
 *                         the capabilities stay the caller's
 * @param num_frames       how many there are; they must cover the reservation
 * @param frame_size_bits  size of each; the reservation's first page must be a multiple of it
 * @return as vm_map_reservation()
 */
int vm_map_reservation_frames(vm_t *vm, vm_memory_reservation_t *reservation, seL4_CPtr *frames,
                              size_t num_frames, size_t frame_size_bits);

/**
 * Get a reservation's range.
 *
 * @param reservation  a reservation of any VM
 * @param addr         receives its GPA
 * @param size         receives its size in bytes
 */
void vm_get_reservation_memory_region(vm_memory_reservation_t *reservation, uintptr_t *addr,
                                      size_t *size);

/**
 * Start a VM's memory management; vm_init() calls it, before vm_init_guest_vspace().
 *
 * @param vm  zeroed but for `vka`, `simple`, `io_ops` and `mem.vmm_vspace`; `mem.ram_regions` is
 *            NULL or from malloc(), and is taken over
 * @return 0; -1 if an argument is bad, it was called before, or the heap is exhausted
 * @see vm_memory_destroy in <guestmem/memory.h>
 */
int vm_memory_init(vm_t *vm);

/**
 * Handle a stage-2 fault; a VM's abort handler calls it.
 *
 * The fault goes to the reservation that holds the whole access `[addr, addr + size)`: it maps the
 * frame if the reservation is mapped on fault, else its callback is called.
 *
 * @param vm    the VM
 * @param vcpu  the VCPU whose access it is; passed on to the callback
 * @param addr  GPA of the access
 * @param size  width of the access in bytes; 0 (an instruction fetch of unknown width) counts as 1
 * @return what the callback returned; FAULT_RESTART after a map; FAULT_UNHANDLED if no reservation
 *         holds `addr`; FAULT_ERROR if the access crosses the reservation's end, or a map failed
 */
memory_fault_result_t vm_memory_handle_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr,
                                             size_t size);

#ifdef __cplusplus
}
#endif
