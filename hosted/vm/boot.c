/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Making and destroying a VM. vm_init() makes, in this order: runtime state, name, memory
 * management, capability space, address space. Each is undone by vm_destroy(), which works on a VM
 * of which only a part was made; a failing vm_init() calls it and leaves `vm` zeroed.
 */

#include <stdlib.h>
#include <string.h>
#include <guestmem/memory.h>
#include <guestmem/vspace.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_vm_exits.h>
#include <utils/util.h>
#include <vka/capops.h>
#include <vka/object.h>
#include "gdb.h"

hosted_vm_t *runtime_of(const vm_t *vm)
{
    return vm != NULL ? vm->arch.hosted : NULL;
}

static size_t name_bytes(const char *name)
{
    return strlen(name) + 1;
}

static int make_runtime(vm_t *vm, const char *name)
{
    ps_malloc_ops_t *heap = &vm->io_ops->malloc_ops;
    void *state = NULL;
    void *copy = NULL;

    if (ps_calloc(heap, 1, sizeof(hosted_vm_t), &state) != 0) {
        return -1;
    }
    hosted_vm_t *runtime = state;
    if (ticker_init(&runtime->ticker) != 0) {
        ps_free(heap, sizeof(*runtime), runtime);
        return -1;
    }
    vm->arch.hosted = runtime;
    runtime->system = hosted_system_current();
    runtime->class = engine_find(NULL);
    if (ps_malloc(heap, name_bytes(name), &copy) != 0) {
        return -1;
    }
    vm->vm_name = memcpy(copy, name, name_bytes(name));
    return 0;
}

static void end_runtime(vm_t *vm)
{
    ps_malloc_ops_t *heap = &vm->io_ops->malloc_ops;

    hosted_vm_trace(vm, 0, NULL, NULL);
    if (vm->vm_name != NULL) {
        ps_free(heap, name_bytes(vm->vm_name), vm->vm_name);
    }
    gic_destroy(vm);
    gdb_destroy(vm->arch.hosted);
    free(vm->arch.hosted->pages);
    ticker_destroy(&vm->arch.hosted->ticker);
    ps_free(heap, sizeof(*vm->arch.hosted), vm->arch.hosted);
}

/* The guard that lets a word address the slots of the VM's capability space. */
static seL4_Word cspace_guard(void)
{
    return seL4_CNode_CapData_new(0, seL4_WordBits - VM_CSPACE_SIZE_BITS).words[0];
}

static int make_cspace(vm_t *vm)
{
    cspacepath_t src = {0};
    cspacepath_t dst = {0};

    if (vka_alloc_cnode_object(vm->vka, VM_CSPACE_SIZE_BITS, &vm->cspace.cspace_obj) != 0) {
        vm->cspace.cspace_obj = (vka_object_t){0};
        return -1;
    }
    vm->cspace.cspace_root_data = cspace_guard();
    vka_cspace_make_path(vm->vka, vm->cspace.cspace_obj.cptr, &src);
    dst.root = vm->cspace.cspace_obj.cptr;
    dst.capPtr = VM_CSPACE_SLOT;
    dst.capDepth = VM_CSPACE_SIZE_BITS;
    return vka_cnode_mint(&dst, &src, seL4_AllRights, vm->cspace.cspace_root_data);
}

/*
 * The space holds a capability to itself. Deleting the outer one alone would keep the object alive
 * through the inner one, so the inner ones go first.
 */
static void end_cspace(vm_t *vm)
{
    cspacepath_t path = {0};

    if (vm->cspace.cspace_obj.cptr == seL4_CapNull) {
        return;
    }
    vka_cspace_make_path(vm->vka, vm->cspace.cspace_obj.cptr, &path);
    vka_cnode_revoke(&path);
    vka_free_object(vm->vka, &vm->cspace.cspace_obj);
}

static int make_vspace(vm_t *vm)
{
    if (vka_alloc_vspace_root(vm->vka, &vm->mem.vm_vspace_root) != 0) {
        vm->mem.vm_vspace_root = (vka_object_t){0};
        return -1;
    }
    if (simple_ASIDPool_assign(vm->simple, vm->mem.vm_vspace_root.cptr) != seL4_NoError) {
        return -1;
    }
    return vm_init_guest_vspace(&vm->mem.vmm_vspace, &vm->mem.vmm_vspace, &vm->mem.vm_vspace,
                                vm->vka, vm->mem.vm_vspace_root.cptr);
}

int vm_init(vm_t *vm, vka_t *vka, simple_t *host_simple, vspace_t host_vspace, ps_io_ops_t *io_ops,
            seL4_CPtr host_endpoint, const char *name)
{
    if (vm == NULL || vka == NULL || host_simple == NULL || io_ops == NULL || name == NULL) {
        ZF_LOGE("vm_init: an argument is NULL");
        return -1;
    }
    *vm = (vm_t){
        .vka = vka,
        .simple = host_simple,
        .io_ops = io_ops,
        .mem.vmm_vspace = host_vspace,
        .host_endpoint = host_endpoint,
        .run.exit_reason = VM_GUEST_UNKNOWN_EXIT,
    };
    const char *step = hosted_system_current() == NULL ? "find the thread's seL4 system"
                       : make_runtime(vm, name) != 0   ? "allocate its state"
                       : vm_memory_init(vm) != 0       ? "start its memory management"
                       : make_cspace(vm) != 0          ? "make its capability space"
                       : make_vspace(vm) != 0          ? "make its address space"
                                                       : NULL;
    if (step != NULL) {
        ZF_LOGE("vm_init: VM %s: cannot %s", name, step);
        vm_destroy(vm);
        return -1;
    }
    vm->vm_initialised = true;
    return 0;
}

void vm_destroy(vm_t *vm)
{
    if (vm == NULL) {
        return;
    }
    if (vm->arch.hosted != NULL) {
        hosted_vm_free_saved(vm);
        runtime_destroy_vcpus(vm);
        end_cspace(vm);
        vm_memory_destroy(vm);
        end_runtime(vm);
    }
    *vm = (vm_t){0};
}
