/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The boot information as a simple_t. All untypeds belong to the system's vka; so there is no
 * frame to hand out here, and simple_get_frame_cap() sends its callers to vka_alloc_frame_at().
 */

#include <stdio.h>
#include <string.h>
#include <simple/simple_helpers.h>
#include "system.h"

static seL4_Error frame_cap(void *data, void *paddr, int size_bits, cspacepath_t *path)
{
    (void)data, (void)paddr, (void)size_bits, (void)path;
    return seL4_FailedLookup;
}

static void *frame_mapping(void *data, void *paddr, int size_bits)
{
    (void)data, (void)paddr, (void)size_bits;
    return NULL;
}

static size_t num_untypeds(const hosted_system_t *system)
{
    return system->board.num_untypeds;
}

static void *frame_info(void *data, void *paddr, int size_bits, seL4_CPtr *cap,
                        seL4_Word *ut_offset)
{
    hosted_system_t *system = data;
    uint64_t base = (uint64_t)(uintptr_t)paddr;
    for (size_t i = 0; i < num_untypeds(system); i++) {
        const seL4_UntypedDesc *untyped = &system->untypeds[i];
        if (base >= untyped->paddr && base - untyped->paddr < 1ul << untyped->sizeBits &&
            size_bits <= untyped->sizeBits) {
            *cap = system->bootinfo->untyped.start + i;
            *ut_offset = base - untyped->paddr;
            break;
        }
    }
    return NULL;
}

static seL4_Error asid_assign(void *data, seL4_CPtr vspace)
{
    hosted_system_t *system = data;
    kernel_t *entered = kernel_current();
    kernel_enter(&system->kernel);
    seL4_Error error = seL4_ARM_ASIDPool_Assign(seL4_CapInitThreadASIDPool, vspace);
    kernel_enter(entered);
    return error;
}

/* The capabilities of the root task that are there, in ascending order of their slots. */
static const seL4_CPtr initial_caps[] = {
    seL4_CapInitThreadTCB, seL4_CapInitThreadCNode,    seL4_CapInitThreadVSpace, seL4_CapIRQControl,
    seL4_CapASIDControl,   seL4_CapInitThreadASIDPool, seL4_CapDomain,
};

static int cap_count(void *data)
{
    return (int)(ARRAY_SIZE(initial_caps) + num_untypeds(data));
}

static seL4_CPtr nth_cap(void *data, int n)
{
    hosted_system_t *system = data;
    if (n < 0 || n >= cap_count(data)) {
        return seL4_CapNull;
    }
    size_t index = (size_t)n;
    return index < ARRAY_SIZE(initial_caps)
               ? initial_caps[index]
               : system->bootinfo->untyped.start + index - ARRAY_SIZE(initial_caps);
}

static seL4_CPtr init_cap(void *data, seL4_CPtr cap)
{
    (void)data;
    return cap;
}

static uint8_t cnode_size(void *data)
{
    (void)data;
    return CONFIG_ROOT_CNODE_SIZE_BITS;
}

static int untyped_count(void *data)
{
    return (int)num_untypeds(data);
}

static seL4_CPtr nth_untyped(void *data, int n, size_t *size_bits, uintptr_t *paddr, bool *device)
{
    hosted_system_t *system = data;
    if (n < 0 || (size_t)n >= num_untypeds(system)) {
        return seL4_CapNull;
    }
    const seL4_UntypedDesc *untyped = &system->untypeds[n];
    if (size_bits) {
        *size_bits = untyped->sizeBits;
    }
    if (paddr) {
        *paddr = untyped->paddr;
    }
    if (device) {
        *device = untyped->isDevice;
    }
    return system->bootinfo->untyped.start + (seL4_CPtr)n;
}

static int userimage_count(void *data)
{
    (void)data;
    return 0;
}

static seL4_CPtr nth_userimage(void *data, int n)
{
    (void)data, (void)n;
    return seL4_CapNull;
}

static int core_count(void *data)
{
    return (int)((hosted_system_t *)data)->bootinfo->numNodes;
}

static void print(void *data)
{
    hosted_system_t *system = data;
    for (size_t i = 0; i < num_untypeds(system); i++) {
        const seL4_UntypedDesc *untyped = &system->untypeds[i];
        printf("untyped %3zu: %#12lx, 2^%u bytes%s\n", i, untyped->paddr, untyped->sizeBits,
               untyped->isDevice ? ", device" : "");
    }
}

static ssize_t extended_bootinfo_len(void *data, seL4_Word type)
{
    hosted_system_t *system = data;
    return type == SEL4_BOOTINFO_HEADER_FDT
               ? (ssize_t)(system->board_dtb_size + sizeof(seL4_BootInfoHeader))
               : -1;
}

static ssize_t extended_bootinfo(void *data, seL4_Word type, void *dest, ssize_t max_len)
{
    hosted_system_t *system = data;
    ssize_t length = extended_bootinfo_len(data, type);
    if (length < 0 || !dest || max_len < (ssize_t)sizeof(seL4_BootInfoHeader)) {
        return -1;
    }
    seL4_BootInfoHeader header = {.id = type, .len = (seL4_Word)length};
    length = length < max_len ? length : max_len;
    memcpy(dest, &header, sizeof(header));
    memcpy((char *)dest + sizeof(header), system->board_dtb, (size_t)length - sizeof(header));
    return length;
}

bool simple_is_untyped_cap(simple_t *simple, seL4_CPtr pos)
{
    int count = simple_get_untyped_count(simple);
    for (int i = 0; i < count; i++) {
        if (simple_get_nth_untyped(simple, i, NULL, NULL, NULL) == pos) {
            return true;
        }
    }
    return false;
}

seL4_CPtr simple_last_valid_cap(simple_t *simple)
{
    seL4_CPtr last = 0;
    int count = simple_get_cap_count(simple);
    for (int i = 0; i < count; i++) {
        last = MAX(last, simple_get_nth_cap(simple, i));
    }
    return last;
}

static seL4_Error irq(void *data, int irq, seL4_CNode root, seL4_Word index, uint8_t depth)
{
    (void)data;
    return seL4_IRQControl_Get(seL4_CapIRQControl, (seL4_Word)irq, root, index, depth);
}

static seL4_Error irq_trigger(void *data, int irq, int trigger, int core, seL4_CNode root,
                              seL4_Word index, uint8_t depth)
{
    (void)data, (void)core;
    return seL4_IRQControl_GetTrigger(seL4_CapIRQControl, (seL4_Word)irq, (seL4_Word)trigger, root,
                                      index, depth);
}

void simple_init(hosted_system_t *system)
{
    system->simple = (simple_t){
        .data = system,
        .frame_cap = frame_cap,
        .frame_mapping = frame_mapping,
        .frame_info = frame_info,
        .ASID_assign = asid_assign,
        .cap_count = cap_count,
        .nth_cap = nth_cap,
        .init_cap = init_cap,
        .cnode_size = cnode_size,
        .untyped_count = untyped_count,
        .nth_untyped = nth_untyped,
        .userimage_count = userimage_count,
        .nth_userimage = nth_userimage,
        .core_count = core_count,
        .print = print,
        .extended_bootinfo_len = extended_bootinfo_len,
        .extended_bootinfo = extended_bootinfo,
        .arch_simple = {.data = system, .irq = irq, .irq_trigger = irq_trigger},
    };
}
