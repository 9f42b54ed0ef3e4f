/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The view of a guest's address space that a processor has: see <hosted/stage2.h>. */

#include "kernel.h"

#include <string.h>

static vspace_object_t *find(hosted_system_t *system, seL4_CPtr cptr)
{
    const cap_t *cap = &cspace_caller_slot(hosted_system_kernel(system), cptr)->cap;
    return cap->type == CAP_VSPACE ? (vspace_object_t *)cap->object : NULL;
}

bool hosted_stage2_translate(hosted_system_t *system, seL4_CPtr vspace, seL4_Word gpa,
                             hosted_stage2_mapping_t *mapping)
{
    kernel_t *kernel = hosted_system_kernel(system);
    pthread_mutex_lock(&kernel->lock);
    vspace_object_t *space = find(system, vspace);
    bool found = false;
    if (space && gpa >> seL4_HugePageBits < space->num_entries) {
        pte_slot_t at = mapping_lookup(space, gpa);
        found = *at.entry & PTE_VALID;
        if (found) {
            mapping_describe(kernel, gpa & ~((1ul << at.bits) - 1), at.bits, *at.entry, mapping);
        }
    }
    pthread_mutex_unlock(&kernel->lock);
    return found;
}

void hosted_stage2_for_each(hosted_system_t *system, seL4_CPtr vspace,
                            bool (*visit)(void *cookie, const hosted_stage2_mapping_t *mapping),
                            void *cookie)
{
    kernel_t *kernel = hosted_system_kernel(system);
    pthread_mutex_lock(&kernel->lock);
    vspace_object_t *space = find(system, vspace);
    uint64_t end = space ? (uint64_t)space->num_entries << seL4_HugePageBits : 0;
    for (uint64_t gpa = 0; gpa < end;) {
        pte_slot_t at = mapping_lookup(space, gpa);
        if (*at.entry & PTE_VALID) {
            hosted_stage2_mapping_t mapping;
            mapping_describe(kernel, gpa, at.bits, *at.entry, &mapping);
            if (!visit(cookie, &mapping)) {
                break;
            }
        }
        gpa = (gpa | ((1ul << at.bits) - 1)) + 1;
    }
    pthread_mutex_unlock(&kernel->lock);
}

int hosted_stage2_listen(hosted_system_t *system, seL4_CPtr vspace,
                         const hosted_stage2_listener_t *listener)
{
    kernel_t *kernel = hosted_system_kernel(system);
    pthread_mutex_lock(&kernel->lock);
    vspace_object_t *space = find(system, vspace);
    if (space) {
        space->listening = listener != NULL;
        if (listener) {
            space->listener = *listener;
        } else {
            memset(&space->listener, 0, sizeof(space->listener));
        }
    }
    pthread_mutex_unlock(&kernel->lock);
    return space ? 0 : -1;
}
