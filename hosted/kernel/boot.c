/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The state that the kernel hands to the root task: its CNode, thread, address space and ASID pool,
 * and the board's untypeds. These objects were not retyped from untyped memory; they have addresses
 * above all physical memory, so that no untyped is ever their parent.
 */

#include "kernel.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Lines that the kernel keeps: maintenance of the virtual interrupt controller, its own timer, the
   virtual timer. */
static const unsigned kernel_irqs[] = {25, 26, 27};

static uint64_t kernel_address(unsigned n)
{
    return 1ul << 60 | (uint64_t)n << 40;
}

static void hold(kernel_t *kernel, seL4_CPtr slot, cap_t cap)
{
    derivation_add(kernel, NULL, &kernel->root->slots[slot], &cap);
}

static int make_root_cnode(kernel_t *kernel)
{
    cap_t cap;
    if (!object_create(kernel, seL4_CapTableObject, CONFIG_ROOT_CNODE_SIZE_BITS, kernel_address(1),
                       false, &cap)) {
        return -1;
    }
    kernel->root = (cnode_t *)cap.object;
    cap.guard_bits = (uint16_t)(seL4_WordBits - CONFIG_ROOT_CNODE_SIZE_BITS);
    hold(kernel, seL4_CapInitThreadCNode, cap);
    return 0;
}

static int make_asid_pool(kernel_t *kernel)
{
    asid_pool_t *pool =
        (asid_pool_t *)object_allocate(CAP_ASID_POOL, sizeof(*pool), kernel_address(4));
    if (!pool) {
        return -1;
    }
    kernel->counts.objects++;
    kernel->asid_pools[0] = pool;
    hold(kernel, seL4_CapInitThreadASIDPool,
         (cap_t){.type = CAP_ASID_POOL, .object = &pool->object});
    return 0;
}

static int make_host_vspace(kernel_t *kernel)
{
    cap_t cap;
    if (!object_create(kernel, seL4_ARM_VSpaceObject, 0, kernel_address(2), false, &cap)) {
        return -1;
    }
    vspace_object_t *vspace = (vspace_object_t *)cap.object;
    size_t entries = 1ul << (47 - seL4_HugePageBits);
    void *table = mmap(NULL, entries * sizeof(uint64_t), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    hold(kernel, seL4_CapInitThreadVSpace, cap);
    if (table == MAP_FAILED) {
        return -1;
    }
    free(vspace->entries);
    vspace->entries = table;
    vspace->num_entries = entries;
    vspace->host = true;
    host_map_init(kernel);
    kernel->host = vspace;
    vspace->asid = 1;
    kernel->asid_pools[0]->spaces[1] = vspace;
    kernel->root->slots[seL4_CapInitThreadVSpace].cap.asid = 1;
    return 0;
}

static int make_root_thread(kernel_t *kernel)
{
    cap_t cap;
    if (!object_create(kernel, seL4_TCBObject, 0, kernel_address(3), false, &cap)) {
        return -1;
    }
    tcb_object_t *tcb = (tcb_object_t *)cap.object;
    tcb->priority = tcb->max_priority = seL4_MaxPrio;
    tcb->state = THREAD_RUNNING;
    kernel->root_thread = tcb;
    hold(kernel, seL4_CapInitThreadTCB, cap);
    return 0;
}

int kernel_boot(kernel_t *kernel)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&kernel->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    pthread_condattr_t condition;
    pthread_condattr_init(&condition);
    pthread_condattr_setclock(&condition, CLOCK_MONOTONIC);
    pthread_cond_init(&kernel->changed, &condition);
    pthread_condattr_destroy(&condition);
    pthread_mutex_init(&kernel->run_lock, NULL);
    pthread_cond_init(&kernel->stopped, NULL);
    kernel->caps.next = kernel->caps.previous = &kernel->caps;
    if (make_root_cnode(kernel) || make_asid_pool(kernel) || make_host_vspace(kernel) ||
        make_root_thread(kernel)) {
        return -1;
    }
    hold(kernel, seL4_CapIRQControl, (cap_t){.type = CAP_IRQ_CONTROL});
    hold(kernel, seL4_CapASIDControl, (cap_t){.type = CAP_ASID_CONTROL});
    hold(kernel, seL4_CapDomain, (cap_t){.type = CAP_DOMAIN});
    for (size_t i = 0; i < sizeof(kernel_irqs) / sizeof(kernel_irqs[0]); i++) {
        kernel->irqs[kernel_irqs[i]].active = true;
    }
    return 0;
}

void kernel_boot_untyped(kernel_t *kernel, seL4_CPtr slot, uint64_t paddr, unsigned bits,
                         bool device)
{
    hold(kernel, slot,
         (cap_t){.type = CAP_UNTYPED,
                 .rights = RIGHTS_ALL,
                 .bits = (uint8_t)bits,
                 .flags = device ? CAP_DEVICE : 0,
                 .paddr = paddr});
}

int kernel_boot_endpoint(kernel_t *kernel, seL4_CPtr slot)
{
    cap_t cap;
    if (!object_create(kernel, seL4_EndpointObject, 0, kernel_address(5), false, &cap)) {
        return -1;
    }
    hold(kernel, slot, cap);
    return 0;
}

void kernel_delete_all(kernel_t *kernel)
{
    /* The root CNode goes last: it holds the slots of the others. It is not searched for
       capabilities, which would touch all of it. */
    slot_t *slot;
    while ((slot = kernel->caps.previous) && slot != &kernel->caps) {
        derivation_delete(kernel, slot);
    }
    if (kernel->host) {
        object_bury(kernel, &kernel->host->object);
        kernel->host = NULL;
    }
    if (kernel->root) {
        object_bury(kernel, &kernel->root->object);
        kernel->root = NULL;
    }
    object_free_dead(kernel);
}

void kernel_shut_down(kernel_t *kernel)
{
    kernel_delete_all(kernel);
    message_free(kernel);
    device_free(kernel);
    physical_free(kernel);
    pthread_cond_destroy(&kernel->changed);
    pthread_cond_destroy(&kernel->stopped);
    pthread_mutex_destroy(&kernel->run_lock);
    pthread_mutex_destroy(&kernel->lock);
}
