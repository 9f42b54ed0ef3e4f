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
    switch (cap->type) {
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
    if (cap->type == CAP_NULL || cap->type == CAP_CONTROL) {
        return false;
    }
    *base = cap->type == CAP_UNTYPED || cap->type == CAP_FRAME ? cap->paddr : cap->object->paddr;
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

static kernel_object_t *create_vspace(uint64_t paddr)
{
    size_t entries = 1ul << seL4_VSpaceIndexBits;
    vspace_object_t *vspace =
        (vspace_object_t *)object_allocate(CAP_VSPACE, sizeof(*vspace), paddr);
    if (vspace) {
        vspace->num_entries = entries;
        vspace->entries = calloc(entries, sizeof(*vspace->entries));
        if (!vspace->entries) {
            free(vspace);
            return NULL;
        }
    }
    return (kernel_object_t *)vspace;
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
        cap->object = object_allocate(cap->type = CAP_TCB, sizeof(tcb_object_t), paddr);
        break;
    case seL4_EndpointObject:
        cap->object = object_allocate(cap->type = CAP_ENDPOINT, sizeof(kernel_object_t), paddr);
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
        cap->object = create_vspace(paddr);
        break;
    case seL4_ARM_VCPUObject:
        cap->object = object_allocate(cap->type = CAP_VCPU, sizeof(vcpu_object_t), paddr);
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

static void destroy_tcb(kernel_t *kernel, tcb_object_t *tcb)
{
    for (int i = 0; i < TCB_NUM_SLOTS; i++) {
        derivation_delete(kernel, &tcb->slots[i]);
    }
    if (tcb->vcpu) {
        tcb->vcpu->tcb = NULL;
    }
    if (tcb->notification) {
        tcb->notification->tcb = NULL;
    }
}

static void destroy_cnode(kernel_t *kernel, cnode_t *cnode)
{
    for (size_t i = 0; i < (size_t)1 << cnode->radix; i++) {
        if (cnode->slots[i].cap.type != CAP_NULL) {
            derivation_delete(kernel, &cnode->slots[i]);
        }
    }
}

static void destroy_vspace(kernel_t *kernel, const cap_t *cap)
{
    vspace_object_t *vspace = (vspace_object_t *)cap->object;
    mapping_drop_all(kernel, vspace);
    if (cap->asid && kernel->asids[cap->asid] == vspace) {
        kernel->asids[cap->asid] = NULL;
    }
}

void object_destroy(kernel_t *kernel, cap_t *cap)
{
    if (cap->type != CAP_FRAME && cap->type != CAP_UNTYPED && cap->type != CAP_CONTROL &&
        ((void *)cap->object == kernel->root || (void *)cap->object == kernel->host)) {
        return; /* the running thread holds them too; they go with the system */
    }
    switch (cap->type) {
    case CAP_FRAME:
        kernel->counts.frames[(cap->bits - seL4_PageBits) / seL4_PageTableIndexBits]--;
        return;
    case CAP_UNTYPED:
    case CAP_CONTROL:
        return;
    case CAP_PAGE_TABLE:
        if (cap->asid) {
            mapping_unmap_table(kernel, cap);
        }
        kernel->counts.page_tables--;
        break;
    case CAP_VSPACE:
        destroy_vspace(kernel, cap);
        break;
    case CAP_CNODE:
        destroy_cnode(kernel, (cnode_t *)cap->object);
        break;
    case CAP_TCB:
        destroy_tcb(kernel, (tcb_object_t *)cap->object);
        break;
    case CAP_VCPU:
        if (((vcpu_object_t *)cap->object)->tcb) {
            ((vcpu_object_t *)cap->object)->tcb->vcpu = NULL;
        }
        break;
    case CAP_NOTIFICATION:
        if (((notification_object_t *)cap->object)->tcb) {
            ((notification_object_t *)cap->object)->tcb->notification = NULL;
        }
        break;
    default:
        break;
    }
    kernel->counts.objects--;
    object_bury(kernel, cap->object);
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
