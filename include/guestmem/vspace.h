/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The guest's address space, as the runtime sets it up.
 */

#include <vka/vka.h>
#include <vspace/vspace.h>
#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Give a VM its guest address space; vm_init() calls it, after vm_memory_init() and after the root
 * object got its ASID.
 *
 * `new_vspace` becomes a view of that space: get_cap, get_cookie (size in bits) and get_root work
 * for what reservations have mapped, and vspace_share_mem() shares it with the VMM's address space
 * or another one, by frames of exactly the size that it is given (cached as the caller says, which
 * should be as guestmem_frame_info() says); unmap it there before the reservation is freed, or what
 * is shared stays shared. It is not mapped through: that is what
 * reservations are for, and its mapping functions fail and say so.
 *
 * @param loader          the VMM's address space
 * @param vmm             the VMM's address space
 * @param new_vspace      the member `mem.vm_vspace` of a vm_t; nothing else is possible
 * @param vka             the VM's allocator
 * @param page_directory  the root object's capability; vm_memory_destroy() deletes it if it is also
 *                        `vm->mem.vm_vspace_root`
 * @return 0; -1 if the VM's memory is not initialised
 */
int vm_init_guest_vspace(vspace_t *loader, vspace_t *vmm, vspace_t *new_vspace, vka_t *vka,
                         seL4_CPtr page_directory);

#ifdef __cplusplus
}
#endif
