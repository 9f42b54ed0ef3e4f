/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The view of a guest's address space that a processor has: see <hosted/stage2.h>. */

#include "kernel.h"

bool hosted_space_translate(hosted_system_t *system, void *space, seL4_Word gpa,
                            hosted_stage2_mapping_t *mapping)
{
    kernel_t *kernel = hosted_system_kernel(system);
    vspace_object_t *vspace = space;
    bool found = false;
    pthread_mutex_lock(&kernel->lock);
    if (vspace && gpa >> seL4_HugePageBits < vspace->num_entries) {
        pte_slot_t at = mapping_lookup(vspace, gpa);
        found = *at.entry & PTE_VALID;
        mapping->size_bits = at.bits;
        if (found) {
            mapping_describe(kernel, gpa & ~((1ul << at.bits) - 1), at.bits, *at.entry, mapping);
        }
    }
    pthread_mutex_unlock(&kernel->lock);
    return found;
}

void hosted_space_for_each(hosted_system_t *system, void *space,
                           bool (*visit)(void *cookie, const hosted_stage2_mapping_t *mapping),
                           void *cookie)
{
    kernel_t *kernel = hosted_system_kernel(system);
    vspace_object_t *vspace = space;
    pthread_mutex_lock(&kernel->lock);
    uint64_t end = vspace ? (uint64_t)vspace->num_entries << seL4_HugePageBits : 0;
    for (uint64_t gpa = 0; gpa < end;) {
        pte_slot_t at = mapping_lookup(vspace, gpa);
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

void hosted_space_listen(hosted_system_t *system, void *space,
                         const hosted_stage2_listener_t *listener)
{
    kernel_t *kernel = hosted_system_kernel(system);
    vspace_object_t *vspace = space;
    pthread_mutex_lock(&kernel->lock);
    vspace->listening = listener != NULL;
    vspace->listener = listener ? *listener : (hosted_stage2_listener_t){0};
    pthread_mutex_unlock(&kernel->lock);
}

static vspace_object_t *find(hosted_system_t *system, seL4_CPtr cptr)
{
    kernel_t *kernel = hosted_system_kernel(system);
    pthread_mutex_lock(&kernel->lock);
    const cap_t *cap = &cspace_caller_slot(kernel, cptr)->cap;
    vspace_object_t *space = cap->type == CAP_VSPACE ? (vspace_object_t *)cap->object : NULL;
    pthread_mutex_unlock(&kernel->lock);
    return space;
}

bool hosted_stage2_translate(hosted_system_t *system, seL4_CPtr vspace, seL4_Word gpa,
                             hosted_stage2_mapping_t *mapping)
{
    return hosted_space_translate(system, find(system, vspace), gpa, mapping);
}

void hosted_stage2_for_each(hosted_system_t *system, seL4_CPtr vspace,
                            bool (*visit)(void *cookie, const hosted_stage2_mapping_t *mapping),
                            void *cookie)
{
    hosted_space_for_each(system, find(system, vspace), visit, cookie);
}

int hosted_stage2_listen(hosted_system_t *system, seL4_CPtr vspace,
                         const hosted_stage2_listener_t *listener)
{
    vspace_object_t *space = find(system, vspace);
    if (!space) {
        return -1;
    }
    hosted_space_listen(system, space, listener);
    return 0;
}
