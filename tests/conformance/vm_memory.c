/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See vm_memory.h. */

#include "vm_memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vka/object.h>

bool memory_make(suite_t *suite, vm_t *vm)
{
    counting_t *counting = &suite->counting;
    memset(vm, 0, sizeof(*vm));
    vm->vka = &counting->vka;
    vm->simple = suite->env->simple;
    vm->io_ops = &counting->io_ops;
    vm->mem.vmm_vspace = counting->vspace;
    vm->mem.ram_regions = malloc(1); /* as vm_init() does */
    if (!EXPECT(vm_memory_init(vm) == 0)) {
        return false;
    }
    /* Whatever the runtime is configured to do; checks of mapping on faults ask for that. */
    return EXPECT(guestmem_set_map_time(vm, GUESTMEM_MAP_NOW) == 0) &&
           EXPECT(vka_alloc_vspace_root(vm->vka, &vm->mem.vm_vspace_root) == 0) &&
           EXPECT_ERROR(simple_ASIDPool_assign(vm->simple, vm->mem.vm_vspace_root.cptr),
                        seL4_NoError) &&
           EXPECT(vm_init_guest_vspace(&vm->mem.vmm_vspace, &vm->mem.vmm_vspace, &vm->mem.vm_vspace,
                                       vm->vka, vm->mem.vm_vspace_root.cptr) == 0);
}

bool memory_open(suite_t *suite)
{
    const conformance_env_t *env = suite->env;
    counting_init(&suite->counting, env->vka, env->vspace, env->io_ops);
    return memory_make(suite, &suite->vm);
}

void memory_close(suite_t *suite)
{
    static const holdings_t nothing = {0};
    counting_fail_at(&suite->counting, 0);
    vm_memory_destroy(&suite->vm);
    EXPECT_HELD(&nothing);
}

memory_fault_result_t record_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t length,
                                   void *cookie)
{
    (void)vm, (void)vcpu;
    faults_t *faults = cookie;
    faults->count++;
    faults->addr = addr;
    faults->length = length;
    return faults->answer;
}

vm_memory_reservation_t *reserve(suite_t *suite, uintptr_t addr, size_t size)
{
    static faults_t unexpected = {.answer = FAULT_ERROR};
    vm_memory_reservation_t *reservation =
        vm_reserve_memory_at(&suite->vm, addr, size, record_fault, &unexpected);
    EXPECT(reservation != NULL);
    return reservation;
}

bool suite_expect_reason(suite_t *suite, guestmem_error_code_t code, const char *file, int line)
{
    char text[160];
    const guestmem_error_t *error = guestmem_last_error(&suite->vm);
    snprintf(text, sizeof(text), "the reason \"%s\", not \"%s\"", guestmem_error_name(code),
             guestmem_error_name(error->code));
    return suite_expect(suite, error->code == code, text, file, line) &&
           suite_expect(suite, strstr(error->message, error->function) != NULL,
                        "the message to name the call", file, line);
}

guestmem_reservation_info_t info_of(suite_t *suite, vm_memory_reservation_t *reservation)
{
    guestmem_reservation_info_t info = {0};
    EXPECT(guestmem_reservation_info(&suite->vm, reservation, &info) == 0);
    return info;
}

guestmem_statistics_t statistics_of(suite_t *suite)
{
    guestmem_statistics_t statistics = {0};
    EXPECT(guestmem_get_statistics(&suite->vm, &statistics) == 0);
    return statistics;
}

bool has_frame(suite_t *suite, uintptr_t gpa)
{
    return vspace_get_cap(&suite->vm.mem.vm_vspace, (void *)gpa) != seL4_CapNull;
}

bool suite_expect_held(suite_t *suite, const holdings_t *before, const char *file, int line)
{
    char text[200];
    const holdings_t *now = &suite->counting.held;
    snprintf(text, sizeof(text),
             "nothing more or less held, but slots %+ld, objects %+ld (%+ld bytes), heap %+ld "
             "(%+ld bytes), VMM pages %+ld, ranges %+ld",
             now->slots - before->slots, now->objects - before->objects,
             now->object_bytes - before->object_bytes, now->blocks - before->blocks,
             now->block_bytes - before->block_bytes, now->pages - before->pages,
             now->reservations - before->reservations);
    return suite_expect(suite, holdings_equal(now, before), text, file, line);
}

/* An allocator keeps books, and when these grow it takes a page of what was just cut in pieces: of
   the memory that a check wants. So let them grow before. */
static void warm_allocator(suite_t *suite)
{
    vka_object_t objects[64];
    size_t count = 0;
    while (count < sizeof(objects) / sizeof(objects[0]) &&
           EXPECT(vka_alloc_frame(suite->env->vka, seL4_PageBits, &objects[count]) == 0)) {
        count++;
    }
    while (count > 0) {
        vka_free_object(suite->env->vka, &objects[--count]);
    }
}

uintptr_t free_paddr(suite_t *suite, size_t bytes)
{
    /* From inside a larger block: allocators cut from one end or the other. */
    uint32_t bits = BLOCK_BITS;
    while (((size_t)1 << bits) < 16 * bytes) {
        bits++;
    }
    warm_allocator(suite);
    vka_object_t block;
    if (!EXPECT(vka_alloc_untyped(suite->env->vka, bits, &block) == 0)) {
        return 0;
    }
    uintptr_t paddr = vka_object_paddr(suite->env->vka, &block);
    vka_free_object(suite->env->vka, &block);
    return EXPECT(paddr != VKA_NO_PADDR) ? paddr + ((size_t)1 << bits) / 4 : 0;
}

vm_frame_t hand_out(uintptr_t addr, void *cookie)
{
    handout_t *handout = cookie;
    handout->asked[handout->next] = addr;
    return handout->frames[handout->next++];
}
