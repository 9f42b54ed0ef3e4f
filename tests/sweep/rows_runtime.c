/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Rows of calls that make a VM and its VCPUs. See row.h. */

#include <sel4vm/boot.h>
#include <vka/object.h>
#include "row.h"

static int make_vm(scene_t *s)
{
    hosted_system_t *system = s->world.system;
    return vm_init(&s->fresh, hosted_vka(system), hosted_simple(system), *hosted_vmm_vspace(system),
                   hosted_io_ops(system), hosted_host_endpoint(system), "fresh");
}

/* Objects beside the VM's, so that the allocator cannot revoke the memory around them as a whole.
 */
static void take_neighbours(scene_t *s)
{
    scene_take_frames(s, 1, 12, GPA);
    for (seL4_Word bits = 4; bits < 8; bits++) {
        assert_int_equal(vka_alloc_cnode_object(s->world.vm.vka, bits, &s->frames[s->num_frames++]),
                         0);
    }
}

static void have_vm(scene_t *s)
{
    assert_int_equal(make_vm(s), 0);
}

static int make_vcpu(scene_t *s)
{
    return vm_create_vcpu(&s->fresh, 100) != NULL ? 0 : -1;
}

static void have_vcpu(scene_t *s)
{
    have_vm(s);
    assert_int_equal(make_vcpu(s), 0);
}

/* Memory management alone, as a VMM without the hosted runtime starts it. */
static int init_memory(scene_t *s)
{
    vm_t *vm = &s->world.vm;
    vm_t second = {.vka = vm->vka, .simple = vm->simple, .io_ops = vm->io_ops};
    if (vm_memory_init(&second) != 0) {
        assert_null(second.mem.reservation_cookie);
        vm_memory_destroy(&second);
        return -1;
    }
    vm_memory_destroy(&second);
    return 0;
}

static const row_t rows[] = {
    {"vm_memory_init", "", NULL, init_memory, ROW_NO_REASON},
    {"vm_init", "", NULL, make_vm, ROW_NO_REASON | ROW_MORE_LINES},
    {"vm_init", "memory beside it is in use", take_neighbours, make_vm,
     ROW_NO_REASON | ROW_MORE_LINES},
    {"vm_create_vcpu", "first", have_vm, make_vcpu, ROW_NO_REASON | ROW_MORE_LINES},
    {"vm_create_vcpu", "second", have_vcpu, make_vcpu, ROW_NO_REASON | ROW_MORE_LINES},
};

const row_list_t rows_of_runtime = {rows, sizeof(rows) / sizeof(rows[0])};
