/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The names, prototypes and structures that VMMs were written for: if one of the headers says
 * anything else, this file does not compile. Source: the documentation of libsel4vm and
 * libsel4vmmplatsupport, and for types that it leaves out their headers.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sel4vm/guest_iospace.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vm.h>
#include <sel4vmmplatsupport/guest_memory_util.h>

#define SAME(type, other)               _Static_assert(__builtin_types_compatible_p(type, other), #type)
#define FUNCTION(result, name, ...)     SAME(__typeof__(name), result(__VA_ARGS__))
#define MEMBER(type, structure, member) SAME(__typeof__(((structure *)0)->member), type)

/* guest_memory.h */
MEMBER(seL4_CPtr, vm_frame_t, cptr);
MEMBER(seL4_CapRights_t, vm_frame_t, rights);
MEMBER(uintptr_t, vm_frame_t, vaddr);
MEMBER(size_t, vm_frame_t, size_bits);
SAME(memory_fault_callback_fn,
     memory_fault_result_t (*)(vm_t *, vm_vcpu_t *, uintptr_t, size_t, void *));
SAME(memory_map_iterator_fn, vm_frame_t (*)(uintptr_t, void *));
FUNCTION(vm_memory_reservation_t *, vm_reserve_memory_at, vm_t *, uintptr_t, size_t,
         memory_fault_callback_fn, void *);
FUNCTION(vm_memory_reservation_t *, vm_reserve_anon_memory, vm_t *, size_t, size_t,
         memory_fault_callback_fn, void *, uintptr_t *);
FUNCTION(int, vm_memory_make_anon, vm_t *, uintptr_t, size_t);
FUNCTION(int, vm_free_reserved_memory, vm_t *, vm_memory_reservation_t *);
FUNCTION(int, vm_map_reservation, vm_t *, vm_memory_reservation_t *, memory_map_iterator_fn,
         void *);
FUNCTION(int, vm_map_reservation_frames, vm_t *, vm_memory_reservation_t *, seL4_CPtr *, size_t,
         size_t);
FUNCTION(void, vm_get_reservation_memory_region, vm_memory_reservation_t *, uintptr_t *, size_t *);
FUNCTION(int, vm_memory_init, vm_t *);
_Static_assert(FAULT_HANDLED == 0 && FAULT_UNHANDLED == 1 && FAULT_RESTART == 2 &&
                   FAULT_IGNORE == 3 && FAULT_ERROR == 4,
               "the runtime's objects have these values compiled in");

/* guest_memory_helpers.h */
FUNCTION(memory_fault_result_t, default_error_fault_callback, vm_t *, vm_vcpu_t *, uintptr_t,
         size_t, void *);

/* guest_ram.h */
MEMBER(uintptr_t, vm_ram_region_t, start);
MEMBER(size_t, vm_ram_region_t, size);
MEMBER(int, vm_ram_region_t, allocated);
SAME(ram_touch_callback_fn, int (*)(vm_t *, uintptr_t, void *, size_t, size_t, void *));
FUNCTION(int, vm_guest_ram_read_callback, vm_t *, uintptr_t, void *, size_t, size_t, void *);
FUNCTION(int, vm_guest_ram_write_callback, vm_t *, uintptr_t, void *, size_t, size_t, void *);
FUNCTION(int, vm_ram_touch, vm_t *, uintptr_t, size_t, ram_touch_callback_fn, void *);
FUNCTION(int, vm_ram_find_largest_free_region, vm_t *, uintptr_t *, size_t *);
FUNCTION(uintptr_t, vm_ram_register, vm_t *, size_t);
FUNCTION(int, vm_ram_register_at, vm_t *, uintptr_t, size_t, bool);
FUNCTION(int, vm_ram_register_at_custom_iterator, vm_t *, uintptr_t, size_t, memory_map_iterator_fn,
         void *);
FUNCTION(void, vm_ram_mark_allocated, vm_t *, uintptr_t, size_t);
FUNCTION(uintptr_t, vm_ram_allocate, vm_t *, size_t);
FUNCTION(void, vm_ram_free, vm_t *, uintptr_t, size_t);

/* guest_iospace.h */
FUNCTION(int, vm_guest_add_iospace, vm_t *, vspace_t *, seL4_CPtr);

/* guest_memory_util.h */
FUNCTION(void *, create_allocated_reservation_frame, vm_t *, uintptr_t, seL4_CapRights_t,
         memory_fault_callback_fn, void *);
FUNCTION(void *, create_device_reservation_frame, vm_t *, uintptr_t, seL4_CapRights_t,
         memory_fault_callback_fn, void *);
FUNCTION(int, map_ut_alloc_reservation_with_base_paddr, vm_t *, uintptr_t,
         vm_memory_reservation_t *);
FUNCTION(int, map_ut_alloc_reservation, vm_t *, vm_memory_reservation_t *);
FUNCTION(int, map_frame_alloc_reservation, vm_t *, vm_memory_reservation_t *);
FUNCTION(int, map_maybe_device_reservation, vm_t *, vm_memory_reservation_t *);

/* What a VMM reads and sets in a vm_t for its memory. */
MEMBER(vspace_t, vm_t, mem.vm_vspace);
MEMBER(vka_object_t, vm_t, mem.vm_vspace_root);
MEMBER(vspace_t, vm_t, mem.vmm_vspace);
MEMBER(int, vm_t, mem.num_ram_regions);
MEMBER(vm_ram_region_t *, vm_t, mem.ram_regions);
MEMBER(vm_memory_reservation_cookie_t *, vm_t, mem.reservation_cookie);
MEMBER(unhandled_mem_fault_callback_fn, vm_t, mem.unhandled_mem_fault_handler);
MEMBER(void *, vm_t, mem.unhandled_mem_fault_cookie);
MEMBER(int, vm_t, mem.clean_cache);
MEMBER(int, vm_t, mem.map_one_to_one);
MEMBER(vka_t *, vm_t, vka);
MEMBER(ps_io_ops_t *, vm_t, io_ops);
MEMBER(simple_t *, vm_t, simple);
MEMBER(char *, vm_t, vm_name);
