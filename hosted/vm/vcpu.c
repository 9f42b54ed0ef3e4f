/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * VCPUs: a kernel VCPU object, a thread, and a badged fault endpoint each. create_objects() makes
 * them in order and end_vcpu() undoes whatever of it was made.
 */

#include <stdlib.h>
#include <sel4vm/arch/guest_arm_context.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_vm_util.h>
#include <utils/util.h>
#include <vka/capops.h>
#include <vka/object.h>
#include "runtime.h"

/* The boot VCPU's MPIDR: multiprocessor format (bit 31), threads of one core (bit 24). */
#define BOOT_MPIDR ((seL4_Word)1 << 31 | (seL4_Word)1 << 24)

/* The endpoint's badged capability, in the VM's own capability space only. */
static void fault_slot(vm_vcpu_t *vcpu, cspacepath_t *slot)
{
    *slot = (cspacepath_t){
        .root = vcpu->vm->cspace.cspace_obj.cptr,
        .capPtr = VM_FAULT_EP_SLOT + vcpu->vcpu_id,
        .capDepth = VM_CSPACE_SIZE_BITS,
    };
}

static int make_fault_endpoint(vm_vcpu_t *vcpu)
{
    cspacepath_t endpoint = {0};
    cspacepath_t slot;

    vka_cspace_make_path(vcpu->vm->vka, vcpu->vm->host_endpoint, &endpoint);
    fault_slot(vcpu, &slot);
    return vka_cnode_mint(&slot, &endpoint, seL4_AllRights, VCPU_BADGE(vcpu->vcpu_id));
}

static int make_thread(vm_vcpu_t *vcpu)
{
    vm_t *vm = vcpu->vm;
    struct vm_tcb *tcb = &vcpu->tcb;

    if (vka_alloc_tcb(vm->vka, &tcb->tcb) != 0) {
        tcb->tcb = (vka_object_t){0};
        return -1;
    }
    seL4_CPtr cptr = tcb->tcb.cptr;
    if (seL4_TCB_Configure(cptr, VM_FAULT_EP_SLOT + vcpu->vcpu_id, vm->cspace.cspace_obj.cptr,
                           vm->cspace.cspace_root_data, vm->mem.vm_vspace_root.cptr, seL4_NilData,
                           0, seL4_CapNull) != seL4_NoError) {
        return -1;
    }
    seL4_Word priority = (seL4_Word)tcb->priority;
    return seL4_TCB_SetSchedParams(cptr, simple_get_tcb(vm->simple), priority, priority);
}

static int bind(vm_vcpu_t *vcpu)
{
    if (seL4_ARM_VCPU_SetTCB(vcpu->vcpu.cptr, vcpu->tcb.tcb.cptr) != seL4_NoError) {
        return -1;
    }
#if CONFIG_MAX_NUM_NODES > 1
    return seL4_TCB_SetAffinity(vcpu->tcb.tcb.cptr, vcpu->vcpu_id);
#else
    return 0;
#endif
}

static int make_fault(vm_vcpu_t *vcpu)
{
    void *fault = NULL;
    if (ps_calloc(&vcpu->vm->io_ops->malloc_ops, 1, sizeof(fault_t), &fault) != 0) {
        return -1;
    }
    vcpu->vcpu_arch.fault = fault;
    vcpu->vcpu_arch.fault->vcpu = vcpu;
    return 0;
}

static const char *create_objects(vm_vcpu_t *vcpu)
{
    if (make_fault(vcpu) != 0) {
        return "allocate its state";
    }
    if (vka_alloc_vcpu(vcpu->vm->vka, &vcpu->vcpu) != 0) {
        vcpu->vcpu = (vka_object_t){0};
        return "make its kernel object";
    }
    if (make_fault_endpoint(vcpu) != 0) {
        return "make its fault endpoint";
    }
    if (make_thread(vcpu) != 0) {
        return "make its thread";
    }
    return bind(vcpu) != 0 ? "bind its thread to it" : NULL;
}

static void end_vcpu(vm_vcpu_t *vcpu)
{
    vm_t *vm = vcpu->vm;
    ps_malloc_ops_t *heap = &vm->io_ops->malloc_ops;
    cspacepath_t slot;

    if (runtime_of(vm)->runs == vcpu) { /* its processor goes with the thread */
        runtime_of(vm)->runs = NULL;
        runtime_of(vm)->processor = NULL;
    }
    if (vcpu->tcb.tcb.cptr != seL4_CapNull) {
        vka_free_object(vm->vka, &vcpu->tcb.tcb);
    }
    fault_slot(vcpu, &slot);
    vka_cnode_delete(&slot); /* of an empty slot is no error */
    if (vcpu->vcpu.cptr != seL4_CapNull) {
        vka_free_object(vm->vka, &vcpu->vcpu);
    }
    if (vcpu->vcpu_arch.fault != NULL) {
        ps_free(heap, sizeof(fault_t), vcpu->vcpu_arch.fault);
    }
    ps_free(heap, sizeof(*vcpu), vcpu);
}

vm_vcpu_t *vm_create_vcpu(vm_t *vm, int priority)
{
    void *memory = NULL;

    if (vm == NULL || !vm->vm_initialised) {
        ZF_LOGE("vm_create_vcpu: the VM is not initialised");
        return NULL;
    }
    if (vm->num_vcpus >= CONFIG_MAX_NUM_NODES) {
        ZF_LOGE("vm_create_vcpu: VM %s has %u VCPUs, the most that there can be", vm->vm_name,
                vm->num_vcpus);
        return NULL;
    }
    if (ps_calloc(&vm->io_ops->malloc_ops, 1, sizeof(vm_vcpu_t), &memory) != 0) {
        ZF_LOGE("vm_create_vcpu: VM %s: no heap", vm->vm_name);
        return NULL;
    }
    vm_vcpu_t *vcpu = memory;
    vcpu->vm = vm;
    vcpu->vcpu_id = vm->num_vcpus;
    vcpu->tcb.priority = priority;
    vcpu->target_cpu = -1;
    const char *step = create_objects(vcpu);
    if (step != NULL) {
        ZF_LOGE("vm_create_vcpu: VM %s: cannot %s", vm->vm_name, step);
        end_vcpu(vcpu);
        return NULL;
    }
    vm->vcpus[vm->num_vcpus++] = vcpu;
    return vcpu;
}

void runtime_destroy_vcpus(vm_t *vm)
{
    while (vm->num_vcpus > 0) {
        vm->num_vcpus--;
        end_vcpu(vm->vcpus[vm->num_vcpus]);
        vm->vcpus[vm->num_vcpus] = NULL;
    }
}

int vm_assign_vcpu_target(vm_vcpu_t *vcpu, int target_cpu)
{
    if (vcpu == NULL) {
        ZF_LOGE("vm_assign_vcpu_target: the VCPU is NULL");
        return -1;
    }
    if (target_cpu != -1 && vm_vcpu_for_target_cpu(vcpu->vm, target_cpu) != NULL) {
        ZF_LOGE("vm_assign_vcpu_target: VM %s has a VCPU for CPU %d", vcpu->vm->vm_name,
                target_cpu);
        return -1;
    }
    vcpu->target_cpu = target_cpu;
    return 0;
}

int vcpu_start(vm_vcpu_t *vcpu)
{
    if (vcpu == NULL) {
        ZF_LOGE("vcpu_start: the VCPU is NULL");
        return -1;
    }
    for (unsigned i = 0; i < vcpu->vm->num_vcpus; i++) {
        if (vcpu->vm->vcpus[i] != vcpu && vcpu->vm->vcpus[i]->vcpu_online) {
            ZF_LOGE("vcpu_start: VM %s: a hosted VM runs one VCPU, and %u was started",
                    vcpu->vm->vm_name, i);
            return -1;
        }
    }
    seL4_Word mpidr = vcpu->vcpu_id == BOOT_VCPU ? BOOT_MPIDR : (seL4_Word)vcpu->target_cpu;
    if (vm_set_arm_vcpu_reg(vcpu, seL4_VCPUReg_VMPIDR_EL2, mpidr) != 0 ||
        seL4_TCB_Resume(vm_get_vcpu_tcb(vcpu)) != seL4_NoError) {
        return -1;
    }
    vcpu->vcpu_online = true;
    return 0;
}

int vm_register_unhandled_vcpu_fault_callback(vm_vcpu_t *vcpu,
                                              unhandled_vcpu_fault_callback_fn vcpu_fault_callback,
                                              void *cookie)
{
    if (vcpu == NULL || vcpu_fault_callback == NULL) {
        ZF_LOGE("vm_register_unhandled_vcpu_fault_callback: an argument is NULL");
        return -1;
    }
    vcpu->vcpu_arch.unhandled_vcpu_callback = vcpu_fault_callback;
    vcpu->vcpu_arch.unhandled_vcpu_callback_cookie = cookie;
    return 0;
}
