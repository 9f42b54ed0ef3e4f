/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A VM's state, to start its guest again: RAM, VCPU, processor and interrupt controller.
 */

#include <stdlib.h>
#include <guestmem/change.h>
#include <hosted/processor.h>
#include <utils/util.h>
#include "runtime.h"

typedef struct saved_vm {
    guestmem_saved_t *memory;
    void *vcpu;
    void *engine;
    void *gic; /* NULL: the VM has none */
    engine_exit_t exit;
} saved_vm_t;

static void free_state(const hosted_vm_t *runtime, saved_vm_t *saved)
{
    free(saved->vcpu);
    runtime->class->free_saved(saved->engine);
    free(saved->gic);
    free(saved);
}

int hosted_vm_save(vm_t *vm)
{
    hosted_vm_t *runtime = runtime_of(vm);

    if (runtime == NULL || runtime->processor == NULL || runtime->saved != NULL) {
        ZF_LOGE("hosted_vm_save: the VM %s",
                runtime == NULL || runtime->processor == NULL ? "has not run" : "is saved already");
        return -1;
    }
    saved_vm_t *saved = calloc(1, sizeof(*saved));
    if (saved == NULL) {
        ZF_LOGE("hosted_vm_save: VM %s: no memory", vm->vm_name);
        return -1;
    }
    saved->vcpu = hosted_vcpu_save(runtime->system, runtime->runs->vcpu.cptr);
    saved->engine = runtime->class->save(runtime->processor->engine);
    saved->gic = gic_copy(vm);
    saved->exit = runtime->processor->exit;
    if (saved->vcpu == NULL || saved->engine == NULL ||
        (saved->gic == NULL && runtime->gic != NULL)) {
        ZF_LOGE("hosted_vm_save: VM %s: no memory", vm->vm_name);
    } else if ((saved->memory = guestmem_save(vm)) != NULL) {
        runtime->saved = saved;
        return 0;
    }
    free_state(runtime, saved);
    return -1;
}

int hosted_vm_restore(vm_t *vm)
{
    hosted_vm_t *runtime = runtime_of(vm);
    const saved_vm_t *saved = runtime != NULL ? runtime->saved : NULL;

    if (saved == NULL) {
        ZF_LOGE("hosted_vm_restore: nothing is saved");
        return -1;
    }
    if (guestmem_restore(vm, saved->memory) != 0) {
        return -1;
    }
    hosted_vcpu_restore(runtime->system, runtime->runs->vcpu.cptr, saved->vcpu);
    runtime->class->restore(runtime->processor->engine, saved->engine);
    runtime->processor->exit = saved->exit;
    gic_copy_back(vm, saved->gic);
    return 0;
}

void hosted_vm_free_saved(vm_t *vm)
{
    hosted_vm_t *runtime = runtime_of(vm);

    if (runtime != NULL && runtime->saved != NULL) {
        guestmem_free_saved(vm, runtime->saved->memory);
        free_state(runtime, runtime->saved);
        runtime->saved = NULL;
    }
}
