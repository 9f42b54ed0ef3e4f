/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Life and death of kernel objects. An object is made by a retype and destroyed with its
 * last capability. What is destroyed inside an invocation is freed at its end, because a
 * revoke can delete the CNode that holds the slot it works on.
 */

#include "kernel.h"

#include <stdlib.h>
#include <string.h>

unsigned object_bits(seL4_Word type, seL4_Word size_bits)
{
    switch (type) {
    case seL4_UntypedObject:
        return (unsigned)size_bits;
    case seL4_TCBObject:
        return seL4_TCBBits;
    case seL4_EndpointObject:
        return seL4_EndpointBits;
    case seL4_NotificationObject:
        return seL4_NotificationBits;
    case seL4_CapTableObject:
        return seL4_SlotBits + (unsigned)size_bits;
    case seL4_ARM_SmallPageObject:
        return seL4_PageBits;
    case seL4_ARM_LargePageObject:
        return seL4_LargePageBits;
    case seL4_ARM_HugePageObject:
        return seL4_HugePageBits;
    case seL4_ARM_VSpaceObject:
        return seL4_VSpaceBits;
    default:
        return seL4_PageTableBits; /* and of VCPUs */
    }
}

static unsigned cap_object_bits(const cap_t *cap)
{
    switch (cap->type == CAP_ZOMBIE ? cap->object->type : cap->type) {
    case CAP_UNTYPED:
    case CAP_FRAME:
        return cap->bits;
    case CAP_CNODE:
        return cap->bits + seL4_SlotBits;
    case CAP_VSPACE:
        return seL4_VSpaceBits;
    case CAP_TCB:
        return seL4_TCBBits;
    case CAP_ENDPOINT:
        return seL4_EndpointBits;
    case CAP_NOTIFICATION:
        return seL4_NotificationBits;
    default:
        return seL4_PageTableBits; /* and of VCPUs and ASID pools */
    }
}

bool object_region(const cap_t *cap, uint64_t *base, uint64_t *last)
{
    switch (cap->type) {
    case CAP_NULL:
    case CAP_ASID_CONTROL:
    case CAP_IRQ_CONTROL:
    case CAP_IRQ_HANDLER:
    case CAP_DOMAIN:
    case CAP_REPLY:
        return false;
    case CAP_UNTYPED:
    case CAP_FRAME:
        *base = cap->paddr;
        break;
    default:
        *base = cap->object->paddr;
        break;
    }
    *last = *base + ((1ul << cap_object_bits(cap)) - 1);
    return true;
}

kernel_object_t *object_allocate(cap_type_t type, size_t size, uint64_t paddr)
{
    kernel_object_t *object = aligned_alloc(64, (size + 63) & ~(size_t)63);
    if (object) {
        memset(object, 0, size);
        object->paddr = paddr;
        object->type = type;
    }
    return object;
}

static kernel_object_t *create_cnode(kernel_t *kernel, unsigned radix, uint64_t paddr)
{
    cnode_t *cnode = (cnode_t *)object_allocate(CAP_CNODE, sizeof(*cnode), paddr);
    if (!cnode) {
        return NULL;
    }
    cnode->radix = radix;
    cnode->slots = cspace_allocate_slots(radix);
    if (!cnode->slots) {
        free(cnode);
        return NULL;
    }
    cnode->next_cnode = kernel->cnodes;
    kernel->cnodes = cnode;
    return &cnode->object;
}

static kernel_object_t *create_vspace(kernel_t *kernel, uint64_t paddr)
{
    size_t entries = 1ul << seL4_VSpaceIndexBits;
    vspace_object_t *vspace =
        (vspace_object_t *)object_allocate(CAP_VSPACE, sizeof(*vspace), paddr);
    if (vspace) {
        vspace->kernel = kernel;
        vspace->num_entries = entries;
        vspace->entries = calloc(entries, sizeof(*vspace->entries));
        if (!vspace->entries) {
            free(vspace);
            return NULL;
        }
    }
    return (kernel_object_t *)vspace;
}

static kernel_object_t *create_tcb(uint64_t paddr)
{
    tcb_object_t *tcb = (tcb_object_t *)object_allocate(CAP_TCB, sizeof(*tcb), paddr);
    if (tcb) {
        tcb->registers.spsr = SPSR_USER;
    }
    return (kernel_object_t *)tcb;
}

static kernel_object_t *create_vcpu(kernel_t *kernel, uint64_t paddr)
{
    vcpu_object_t *vcpu = (vcpu_object_t *)object_allocate(CAP_VCPU, sizeof(*vcpu), paddr);
    if (vcpu) {
        vcpu->registers[seL4_VCPUReg_SCTLR] = 0x34d58820; /* MMU and caches off */
        vcpu->gicv.list = vcpu->list_registers;
        vcpu->next = kernel->vcpus;
        kernel->vcpus = vcpu;
    }
    return (kernel_object_t *)vcpu;
}

bool object_create(kernel_t *kernel, seL4_Word type, seL4_Word size_bits, uint64_t paddr,
                   bool device, cap_t *cap)
{
    *cap = (cap_t){.rights = RIGHTS_ALL};
    switch (type) {
    case seL4_UntypedObject:
        cap->type = CAP_UNTYPED;
        cap->bits = (uint8_t)size_bits;
        break;
    case seL4_ARM_SmallPageObject:
    case seL4_ARM_LargePageObject:
    case seL4_ARM_HugePageObject:
        cap->type = CAP_FRAME;
        cap->rights = RIGHT_READ | RIGHT_WRITE;
        cap->bits = (uint8_t)object_bits(type, size_bits);
        kernel->counts.frames[(cap->bits - seL4_PageBits) / seL4_PageTableIndexBits]++;
        break;
    case seL4_TCBObject:
        cap->object = create_tcb(paddr);
        cap->type = CAP_TCB;
        break;
    case seL4_EndpointObject:
        cap->object = object_allocate(cap->type = CAP_ENDPOINT, sizeof(endpoint_object_t), paddr);
        break;
    case seL4_NotificationObject:
        cap->object =
            object_allocate(cap->type = CAP_NOTIFICATION, sizeof(notification_object_t), paddr);
        break;
    case seL4_CapTableObject:
        cap->type = CAP_CNODE;
        cap->bits = (uint8_t)size_bits;
        cap->object = create_cnode(kernel, (unsigned)size_bits, paddr);
        break;
    case seL4_ARM_VSpaceObject:
        cap->type = CAP_VSPACE;
        cap->object = create_vspace(kernel, paddr);
        break;
    case seL4_ARM_VCPUObject:
        cap->object = create_vcpu(kernel, paddr);
        cap->type = CAP_VCPU;
        break;
    default:
        cap->object = object_allocate(cap->type = CAP_PAGE_TABLE, sizeof(page_table_t), paddr);
        break;
    }
    if (cap->type == CAP_UNTYPED || cap->type == CAP_FRAME) {
        cap->paddr = paddr;
        cap->flags = device ? CAP_DEVICE : 0;
        return true;
    }
    kernel->counts.objects += cap->object != NULL;
    kernel->counts.page_tables += cap->object != NULL && cap->type == CAP_PAGE_TABLE;
    return cap->object != NULL;
}

/* Nobody uses the thread any more; its capabilities go with its zombie. */
static void finalise_tcb(kernel_t *kernel, tcb_object_t *tcb)
{
    thread_finalise(kernel, tcb);
    if (tcb->vcpu) {
        processor_detach(kernel, tcb->vcpu);
        tcb->vcpu->tcb = NULL;
        tcb->vcpu = NULL;
    }
    if (tcb->notification) {
        tcb->notification->tcb = NULL;
        tcb->notification = NULL;
    }
}

static void finalise_vcpu(kernel_t *kernel, vcpu_object_t *vcpu)
{
    vcpu_object_t **link = &kernel->vcpus;
    while (*link != vcpu) {
        link = &(*link)->next;
    }
    *link = vcpu->next;
    vcpu_bind(kernel, vcpu, NULL);
}

static void bury(kernel_t *kernel, kernel_object_t *object)
{
    kernel->counts.objects--;
    object_bury(kernel, object);
}

slot_t *object_slots(const cap_t *zombie)
{
    return zombie->object->type == CAP_TCB ? ((tcb_object_t *)zombie->object)->slots
                                           : ((cnode_t *)zombie->object)->slots;
}

void object_free(kernel_t *kernel, const cap_t *zombie)
{
    bury(kernel, zombie->object);
}

static cap_t zombie_of(const cap_t *cap, uint64_t slots)
{
    return (cap_t){.type = CAP_ZOMBIE, .bits = cap->bits, .object = cap->object, .left = slots};
}

static bool is_object(const cap_t *cap)
{
    return cap->type >= CAP_PAGE_TABLE && cap->type <= CAP_ASID_POOL;
}

cap_t object_finalise(kernel_t *kernel, const cap_t *cap, bool final)
{
    const cap_t nothing = {.type = CAP_NULL};
    if (cap->type == CAP_ZOMBIE) {
        return *cap;
    }
    if (cap->type == CAP_FRAME) {
        mapping_unmap_page(kernel, cap);
    }
    if (!final || (is_object(cap) &&
                   ((void *)cap->object == kernel->root || (void *)cap->object == kernel->host))) {
        return nothing; /* the running thread holds those two; they go with the system */
    }
    switch (cap->type) {
    case CAP_FRAME:
        kernel->counts.frames[(cap->bits - seL4_PageBits) / seL4_PageTableIndexBits]--;
        return nothing;
    case CAP_CNODE:
        return zombie_of(cap, 1ul << cap->bits);
    case CAP_TCB:
        finalise_tcb(kernel, (tcb_object_t *)cap->object);
        return zombie_of(cap, TCB_NUM_SLOTS);
    case CAP_PAGE_TABLE:
        if (cap->asid) {
            mapping_unmap_table(kernel, cap);
        }
        kernel->counts.page_tables--;
        break;
    case CAP_VSPACE:
        mapping_drop_all(kernel, (vspace_object_t *)cap->object);
        processor_forget_space(kernel, (vspace_object_t *)cap->object);
        asid_delete(kernel, cap);
        break;
    case CAP_VCPU:
        finalise_vcpu(kernel, (vcpu_object_t *)cap->object);
        break;
    case CAP_ENDPOINT:
        message_cancel_all(kernel, &((endpoint_object_t *)cap->object)->queue);
        break;
    case CAP_NOTIFICATION:
        message_cancel_all(kernel, &((notification_object_t *)cap->object)->queue);
        if (((notification_object_t *)cap->object)->tcb) {
            ((notification_object_t *)cap->object)->tcb->notification = NULL;
        }
        break;
    case CAP_ASID_POOL:
        asid_delete_pool(kernel, (asid_pool_t *)cap->object);
        break;
    case CAP_IRQ_HANDLER:
        irq_deactivate(kernel, cap->irq);
        return nothing;
    default:
        break;
    }
    if (is_object(cap)) {
        bury(kernel, cap->object);
    }
    return nothing;
}

void object_bury(kernel_t *kernel, kernel_object_t *object)
{
    object->next_dead = kernel->dead;
    kernel->dead = object;
}

static void free_object(kernel_t *kernel, kernel_object_t *object)
{
    if (object->type == CAP_VSPACE) {
        vspace_object_t *vspace = (vspace_object_t *)object;
        if (vspace->host) {
            host_free_tables(vspace);
        } else {
            free(vspace->entries);
        }
    } else if (object->type == CAP_CNODE) {
        cnode_t *cnode = (cnode_t *)object;
        cnode_t **link = &kernel->cnodes;
        while (*link != cnode) {
            link = &(*link)->next_cnode;
        }
        *link = cnode->next_cnode;
        cspace_free_slots(cnode->slots, cnode->radix);
    }
    free(object);
}

void object_free_dead(kernel_t *kernel)
{
    while (kernel->dead) {
        kernel_object_t *object = kernel->dead;
        kernel->dead = object->next_dead;
        free_object(kernel, object);
    }
}

_Static_assert((int)seL4_PageTableBits == seL4_VCPUBits && seL4_VCPUBits == seL4_ASIDPoolBits,
               "three object types share a size above");
