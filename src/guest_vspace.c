/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The vspace_t of a guest, for code of the runtime that looks up its capabilities: it returns those
 * that the reservations have mapped, and shares their frames with another address space. It has no
 * functions that map, since the library would not know of it; vspace.h refuses to call them.
 */

#include <guestmem/vspace.h>
#include <inttypes.h>
#include <stddef.h>
#include <utils/util.h>
#include "guest_space.h"

/* The memory of the VM whose `mem.vm_vspace` this is. */
static gm_memory_t *memory_of_vspace(vspace_t *vspace)
{
    vm_t *vm = (vm_t *)((char *)vspace - offsetof(vm_t, mem.vm_vspace));
    return vm->mem.reservation_cookie;
}

static seL4_CPtr get_cap(vspace_t *vspace, void *vaddr)
{
    size_t index;
    const gm_memory_t *memory = vspace->data;
    const gm_run_t *run = gm_guest_space_find(memory, (uintptr_t)vaddr, &index);
    return run != NULL ? run->frames[index].cap : seL4_CapNull;
}

/* The runtime expects the size of the frame here, in bits. */
static uintptr_t get_cookie(vspace_t *vspace, void *vaddr)
{
    size_t index;
    const gm_memory_t *memory = vspace->data;
    const gm_run_t *run = gm_guest_space_find(memory, (uintptr_t)vaddr, &index);
    return run != NULL ? run->size_bits : 0;
}

static seL4_CPtr get_root(vspace_t *vspace)
{
    const gm_memory_t *memory = vspace->data;
    return memory->root;
}

/* Copy the capability of a frame of exactly that size, and map the copy in another address space.
 */
static int share_frame(gm_memory_t *memory, uintptr_t gpa, vspace_t *to, size_t size_bits,
                       void *vaddr, reservation_t reservation)
{
    size_t index;
    seL4_CPtr copy;
    gm_run_t *run = gm_guest_space_find(memory, gpa, &index);
    if (run == NULL || run->size_bits != size_bits || gm_run_gpa(run, index) != gpa) {
        return gm_fail(memory, run == NULL ? GUESTMEM_NOT_MAPPED : GUESTMEM_BAD_FRAME,
                       "no frame of 2^%zu bytes begins at GPA 0x%" PRIxPTR
                       "; see guestmem_set_largest_frame()",
                       size_bits, gpa);
    }
    if (gm_frame_copy(memory, run, index, &copy) != 0) {
        return -1;
    }
    if (vspace_map_pages_at_vaddr(to, &copy, NULL, vaddr, 1, size_bits, reservation) != 0) {
        gm_frame_delete_copy(memory, run, index, copy);
        return gm_fail(memory, GUESTMEM_NO_ADDRESS, "could not map a frame at %p", vaddr);
    }
    return 0;
}

static void unshare_frame(gm_memory_t *memory, uintptr_t gpa, vspace_t *to, size_t size_bits,
                          void *vaddr)
{
    size_t index;
    gm_run_t *run = gm_guest_space_find(memory, gpa, &index);
    seL4_CPtr copy = vspace_get_cap(to, vaddr);
    vspace_unmap_pages(to, vaddr, 1, size_bits, VSPACE_PRESERVE);
    gm_frame_delete_copy(memory, run, index, copy);
}

/* The copies are the other address space's then: unmapping them there with VSPACE_FREE deletes
 * them. */
static int share_mem_at(vspace_t *from, vspace_t *to, void *start, int num_pages, size_t size_bits,
                        void *vaddr, reservation_t reservation)
{
    gm_memory_t *memory = from->data;
    uintptr_t gpa = (uintptr_t)start;
    if (memory->in_iterator) {
        gm_memory_refuse(memory->vm, "vspace_share_mem_at_vaddr");
        return -1;
    }
    if (gm_arch_frame_index(size_bits) < 0) {
        gm_fail(memory, GUESTMEM_BAD_FRAME, "the architecture has no frames of 2^%zu bytes",
                size_bits);
        return gm_report(memory, "vspace_share_mem_at_vaddr", gpa, gpa);
    }
    size_t size = (size_t)1 << size_bits;
    for (int i = 0; i < num_pages; i++) {
        char *page = (char *)vaddr + (size_t)i * size;
        if (share_frame(memory, gm_block_at(gpa, (size_t)i, size_bits), to, size_bits, page,
                        reservation) != 0) {
            while (i > 0) {
                i--;
                unshare_frame(memory, gm_block_at(gpa, (size_t)i, size_bits), to, size_bits,
                              (char *)vaddr + (size_t)i * size);
            }
            return gm_report(memory, "vspace_share_mem_at_vaddr", gpa,
                             gm_last_of(gpa, (size_t)num_pages * size));
        }
    }
    return 0;
}

int vm_init_guest_vspace(vspace_t *loader, vspace_t *vmm, vspace_t *new_vspace, vka_t *vka,
                         seL4_CPtr page_directory)
{
    (void)loader;
    (void)vmm;
    (void)vka;
    gm_memory_t *memory = new_vspace != NULL ? memory_of_vspace(new_vspace) : NULL;
    if (memory == NULL || page_directory == seL4_CapNull) {
        ZF_LOGE(
            "vm_init_guest_vspace: the vspace is of no VM whose vm_memory_init() has succeeded, "
            "or the root is null");
        return -1;
    }
    memory->root = page_directory;
    *new_vspace = (vspace_t){
        .data = memory,
        .get_cap = get_cap,
        .get_root = get_root,
        .get_cookie = get_cookie,
        .share_mem_at_vaddr = share_mem_at,
    };
    return 0;
}
