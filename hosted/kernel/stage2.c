/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The view of a guest's address space that a processor has: see <hosted/stage2.h>. */

#include "kernel.h"

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
        mapping->size_bits = at.bits;
        if (found) {
            mapping_describe(kernel, gpa & ~((1ul << at.bits) - 1), at.bits, *at.entry, mapping);
        }
    }
    pthread_mutex_unlock(&kernel->lock);
    return found;
}

void stage2_visit(kernel_t *kernel, vspace_object_t *space,
                  bool (*visit)(void *cookie, const hosted_stage2_mapping_t *mapping), void *cookie)
{
    uint64_t end = (uint64_t)space->num_entries << seL4_HugePageBits;
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
}

void hosted_stage2_for_each(hosted_system_t *system, seL4_CPtr vspace,
                            bool (*visit)(void *cookie, const hosted_stage2_mapping_t *mapping),
                            void *cookie)
{
    kernel_t *kernel = hosted_system_kernel(system);
    pthread_mutex_lock(&kernel->lock);
    vspace_object_t *space = find(system, vspace);
    if (space) {
        stage2_visit(kernel, space, visit, cookie);
    }
    pthread_mutex_unlock(&kernel->lock);
}

void stage2_watch(vspace_object_t *vspace, stage2_watcher_t *watcher)
{
    stage2_unwatch(watcher);
    watcher->vspace = vspace;
    watcher->next = vspace->watchers;
    vspace->watchers = watcher;
}

void stage2_unwatch(stage2_watcher_t *watcher)
{
    if (!watcher->vspace) {
        return;
    }
    stage2_watcher_t **link = &watcher->vspace->watchers;
    while (*link != watcher) {
        link = &(*link)->next;
    }
    *link = watcher->next;
    watcher->vspace = NULL;
}

int hosted_stage2_listen(hosted_system_t *system, seL4_CPtr vspace,
                         const hosted_stage2_listener_t *listener)
{
    kernel_t *kernel = hosted_system_kernel(system);
    pthread_mutex_lock(&kernel->lock);
    vspace_object_t *space = find(system, vspace);
    if (space && listener) {
        space->listener.listener = *listener;
        stage2_watch(space, &space->listener);
    } else if (space) {
        stage2_unwatch(&space->listener);
    }
    pthread_mutex_unlock(&kernel->lock);
    return space ? 0 : -1;
}
