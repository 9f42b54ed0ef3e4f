/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * IO spaces: what a guest's devices see through the machine's IOMMU.
 */

#include <sel4/sel4.h>
#include <sel4vm/guest_vm.h>
#include <vspace/vspace.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Map a VM's memory for a device: what the guest has mapped, now and later, is mapped in the IO
 * space at the same addresses and with the same rights, and unmapped with it. So the device can
 * reach the memory of its guest, and no other.
 *
 * Kernels map frames of 4 KiB alone in IO spaces. So from here on the library acquires none that
 * are larger, and mapping larger ones that a caller hands in fails; adding an IO space fails if
 * larger ones are mapped. Memory mapped for an IO space takes a capability slot a frame, and page
 * tables.
 *
 * @param vm       the VM
 * @param loader   not used; for compatibility
 * @param iospace  the capability of the IO space, which stays the caller's. vm_memory_destroy()
 *                 unmaps what was mapped in it
 * @return 0; -1 with nothing changed: the kernel has no IO spaces (CONFIG_IOMMU or
 * CONFIG_TK1_SMMU), `iospace` is null or there already, a frame is too large, or slots, page tables
 * or heap are exhausted
 */
int vm_guest_add_iospace(vm_t *vm, vspace_t *loader, seL4_CPtr iospace);

#ifdef __cplusplus
}
#endif
