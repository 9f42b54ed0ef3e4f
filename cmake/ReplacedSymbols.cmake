# SPDX-License-Identifier: BSD-2-Clause
# What other code takes from the five members of sel4vm and sel4vmmplatsupport that guestmem
# replaces. A linker loads an archive member only for a symbol that is still undefined, so whoever
# defines all of these first keeps the members out. scripts/check-linker-map checks that it did.
set(GUESTMEM_REPLACED_SYMBOLS
    # guest_memory
    map_vm_memory_reservation
    vm_free_reserved_memory
    vm_get_reservation_memory_region
    vm_map_reservation
    vm_map_reservation_frames
    vm_memory_handle_fault
    vm_memory_init
    vm_memory_make_anon
    vm_reserve_anon_memory
    vm_reserve_memory_at
    # guest_memory_helpers
    default_error_fault_callback
    # guest_ram
    vm_guest_ram_read_callback
    vm_guest_ram_write_callback
    vm_ram_allocate
    vm_ram_find_largest_free_region
    vm_ram_free
    vm_ram_mark_allocated
    vm_ram_register
    vm_ram_register_at
    vm_ram_register_at_custom_iterator
    vm_ram_touch
    # guest_vspace
    vm_guest_add_iospace
    vm_init_guest_vspace
    # guest_memory_util
    create_allocated_reservation_frame
    create_device_reservation_frame
    map_frame_alloc_reservation
    map_maybe_device_reservation
    map_ut_alloc_reservation
    map_ut_alloc_reservation_with_base_paddr)
